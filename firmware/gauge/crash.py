"""What is kept of a program that ended with an error: a report in the file `crash`.

    boot 12
    Traceback (most recent call last): ...
    ZeroDivisionError: divide by zero
    health 4711,0,...             the words of HEALTH, without their names

Written while the program ends, before the board is reset; the next start journals it, raises the
flag crash_restart, and puts the file aside under the name `crash.last`.

    >>> try:
    ...     App(hardware).run()
    ... except Exception as error:
    ...     crash.keep(hardware.store, error, hardware.boot_id(), app.vitals)
"""

import gc
import io
import sys

FILE = "crash"
LAST = "crash.last"
_TRACEBACK = 500  # bytes of a traceback that are kept, its end
_REPORT = 1056  # bytes of a report: as an entry of the journal has
_PAUSE_MS = 10_000


def keep(store, error, boot, vitals):
    """Write the report of an error; `vitals` has the words of HEALTH (None: none yet).

    When the report before was not yet taken, the program does not even start: waits then, so that
    a board that ends at once does not wear out its flash. Raises nothing but KeyboardInterrupt.
    """
    import time  # not above: on the bench it is replaced after this module was imported

    again = store.has(FILE)
    gc.collect()
    try:
        out = io.StringIO()
        sys.print_exception(error, out)
        text = out.getvalue().strip().encode()[-_TRACEBACK:]
        text = bytes([byte if byte < 0x7F else 0x3F for byte in text])
        health = ""
        if vitals is not None:
            try:
                vitals.fill()
            except Exception:
                pass  # the words of the last time then
            health = ",".join([str(word) for word in vitals.words])
        report = b"boot %d\n%s\nhealth %s\n" % (boot, text, health.encode())
        store.write(FILE, report[:_REPORT])
    except Exception:
        pass  # the cause of the reset is told all the same
    if again:
        time.sleep_ms(_PAUSE_MS)


def take(store):
    """Return the report that waits, as bytes; empty: none."""
    return store.read(FILE) or b""


def put_aside(store):
    """The report has been journaled: the next start is no restart after an error."""
    try:
        store.rename(FILE, LAST)
    except OSError:
        pass


def last(store):
    """Return in short what the program last ended with, as bytes: boot, place, error."""
    data = store.read(LAST) or store.read(FILE) or b""
    lines = [line.strip() for line in data.split(b"\n") if line and line[:6] != b"health"]
    return b": ".join(lines[:1] + lines[1:][-2:])
