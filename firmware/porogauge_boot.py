"""Which version of the gauge runs: chosen before `gauge` is imported (pure, but for `start`).

Versions lie side by side: "own" is the one frozen into the image, or in files beside main.py; "a"
and "b" are the folders SLOTS/a and SLOTS/b, which an update fills in turn. The pointer says which
one runs. It is kept in two files, each with a number and a CRC32: the whole one with the higher
number counts, and the other one is written next, so that a cut leaves the old or the new pointer.

    settled  it runs
    new      it is started for the first time: that start is its trial
    tried    the trial runs; a start in this state means that the trial did not end well
    failed   the trial before this did not end well, the version that had been in force runs

On trial a version runs until its self-test has passed (`gauge.update`): then it is settled. If it
ends, hangs or fails before, or the power does, the version before it runs again.
"""

import gc
import json
import os
import sys
import time
from binascii import crc32

SLOTS = "slots"
VERSIONS = ("own", "a", "b")
SETTLED, NEW, TRIED, FAILED = "settled", "new", "tried", "failed"
_STATES = (SETTLED, NEW, TRIED, FAILED)
_COLLECT_BYTES = 16384  # of garbage at most while modules are loaded: they lie close together then
_PAUSE_MS = 10_000
_WATCHDOG_MS = 8000  # from here until the program's own watchdog, on trial
# indices of a pointer: number of the write, state, version that runs, the other one ("": none),
# bits of self-tests that may fail on trial, why the last trial failed
NUMBER, STATE, RUNS, OTHER, ACCEPTED, WHY = range(6)

found = None  # the pointer in force, once choose() has run


def _path(number):
    return SLOTS + "/pointer." + str(number & 1)


def _copy(which):
    """Return the pointer in one of the two files, or None when it is absent or not whole."""
    try:
        with open(_path(which), "rb") as file:
            data = file.read()
        text, crc = data[:-8], data[-8:]
        if b"%08x" % crc32(text) != crc:
            return None
        pointer = json.loads(text)
        number, state, runs, other, accepted, why = pointer
        good = number & 1 == which and state in _STATES and runs in VERSIONS
        good = good and (other in VERSIONS or other == "") and accepted >= 0 and why + "" == why
    except (OSError, ValueError, TypeError):
        return None
    return pointer if good else None


def read():
    """Return the pointer that counts; that of a board without slots when there is none."""
    best = [0, SETTLED, VERSIONS[0], "", 0, ""]
    for which in (0, 1):
        pointer = _copy(which)
        if pointer is not None and pointer[NUMBER] > best[NUMBER]:
            best = pointer
    return best


def write(state, runs, other, accepted=0, why=""):
    """Replace the pointer and return it. Raises OSError when the file system is full or broken."""
    try:
        os.mkdir(SLOTS)
    except OSError:
        pass  # it is there
    pointer = [read()[NUMBER] + 1, state, runs, other, accepted, why]
    text = json.dumps(pointer).encode()
    with open(_path(pointer[NUMBER]), "wb") as file:
        file.write(text + b"%08x" % crc32(text))
    return pointer


def folder(version):
    """Return the folder of a version, "" for "own"."""
    return "" if version == VERSIONS[0] else SLOTS + "/" + version


def _there(version):
    try:
        return version == VERSIONS[0] or bool(os.stat(folder(version) + "/gauge"))
    except OSError:
        return False


def choose():
    """Choose the version, put its folder first in sys.path, and return the pointer."""
    global found
    pointer = read()
    if pointer[STATE] == TRIED:
        pointer = _fall_back(pointer, "it ended before its self-test had passed")
    elif pointer[STATE] == NEW:
        try:
            pointer = write(TRIED, *pointer[RUNS:])
        except OSError:  # what cannot be marked as tried is not tried
            pointer = _fall_back(pointer, "its trial could not be written down: flash full")
    if not _there(pointer[RUNS]):
        pointer = _fall_back(pointer, "its files are gone")
    found = pointer
    place = folder(pointer[RUNS])
    if place:
        sys.path.insert(0, place)
    return pointer


def _fall_back(pointer, why):
    """Return to the other version, or to the board's own when there is none."""
    other = pointer[OTHER] or VERSIONS[0]
    try:
        return write(FAILED, other, pointer[RUNS], 0, why)
    except OSError:  # the next start comes here again
        return [pointer[NUMBER], FAILED, other, pointer[RUNS], 0, why]


def on_trial():
    """Whether this start is the trial of a version."""
    return found is not None and found[STATE] == TRIED


def confirm():
    """The trial ended well. Raises OSError."""
    global found
    found = write(SETTLED, found[RUNS], found[OTHER])


def take_back(why):
    """The trial failed: the other version runs from the next start on. Raises OSError."""
    global found
    found = write(FAILED, found[OTHER] or VERSIONS[0], found[RUNS], 0, why)


def start():
    """Run the version in force, unless the service pin keeps the REPL.

    A version that cannot even be imported restarts the board: at once on trial, else after a
    pause, in which Ctrl-C leads to the REPL. One on trial that hangs meanwhile is restarted by the
    watchdog.
    """
    gc.threshold(_COLLECT_BYTES)
    choose()
    try:
        if on_trial():
            import machine

            machine.WDT(timeout=_WATCHDOG_MS)
        from gauge.hw import service_pin

        if service_pin():
            return
        from gauge import app
    except Exception as error:
        import machine

        sys.print_exception(error)
        if not on_trial():
            time.sleep_ms(_PAUSE_MS)
        machine.reset()
    app.main()
