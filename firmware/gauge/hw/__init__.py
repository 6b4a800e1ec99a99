"""The board's hardware behind one interface; the only place that imports `machine`.

`Hardware()` is everything a port builds from the board's constants (module `board`, see
`boards/NAME/board.py`):

    name                 the board's
    board                the module of constants
    now()                ticks: microseconds modulo 2**30
    idle(ms)             sleep until /RDY falls, the host sends over USB, or `ms` are over
    idle_words[0]        microseconds slept so far, modulo 2**30
    i2c                  like machine.I2C; free_i2c() frees a held SDA line
    ready                Ready: falls of /RDY with their ticks
    lasers               (A, B): LaserStream
    encoder.counts()     signed counts of the web encoder, folded into +-2**29
    outputs              good(on), marker(on), heartbeat(on), all_off(); any_on(): is one high?
    inputs               standardise(), acknowledge(): whether active; not debounced
    usb, uart            transports of the link: open(), close(), write(buf, n), readinto(buf);
                         `uart` is None where the board has none
    store                read(name), write(name, data), rename(name, to), has(name): small files
                         that survive a power cut
    flash                the journal's, or None: `sectors` of 4096 bytes; read(address, buf);
                         program(address, page), 256 bytes, 0xFF leaves what is there;
                         erase(sector)
    unique_id()          8 bytes
    boot_id()            counts the boots, below 2**30
    reset_cause()        why it started, one of `health.RESET_CAUSES`
    resets               starts counted by cause, one word for each of `health.RESET_CAUSES`
    board_mc()           temperature of the chip, thousandths of a degree, or health.UNKNOWN_MC
    watchdog_start(ms), watchdog_feed(), watchdog_stop(), reset(), bootloader()

`service_pin()` says whether the service pin is active: then the gauge is not started.
`restart()` resets the board, also where no Hardware could be built.

A LaserStream is one laser's line. Its bytes go into `ring` (a power of two long) and every third
one's arrival into `stamps` (a quarter as many words, lowest 30 bits are ticks), from index 0
since `start()`:

    ring, stamps         bytearray, words
    head()               ring index of the next byte
    poll()               call before head(); does the work where no hardware does
    start()              distances follow: indices begin at 0
    stop()               command mode: read(buf) -> bytes taken, never waits
    write(data)          send a command of at most 32 bytes: its length, or 0 while the
                         transmitter is busy
    baud, set_baud(baud) the rate as built, and another one to look for a laser; not on all ports
    errors()             framing, parity and overrun errors seen since the last call
"""

import sys

from gauge.hw.common import Store

if sys.platform == "rp2":
    from gauge.hw.rp2 import Hardware, restart, service_pin
elif sys.platform == "esp32":
    from gauge.hw.esp32 import Hardware, restart, service_pin
else:
    from gauge.hw.unix import Hardware, restart, service_pin

__all__ = ("Hardware", "Store", "restart", "service_pin")
