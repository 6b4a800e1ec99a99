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
    outputs              good(on), marker(on), heartbeat(on), all_off()
    inputs               standardise(), acknowledge(): whether active; not debounced
    usb, uart            transports of the link: open(), close(), write(buf, n), readinto(buf);
                         `uart` is None where the board has none
    store                read(name), write(name, data): small files that survive a power cut
    unique_id()          8 bytes
    boot_id()            counts the boots, below 2**30
    reset_cause()        "power", "watchdog" or "reset"
    watchdog_start(ms), watchdog_feed(), watchdog_stop(), reset(), bootloader()

`service_pin()` says whether the service pin is active: then the gauge is not started.

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

if sys.platform == "rp2":
    from gauge.hw.rp2 import Hardware, service_pin
elif sys.platform == "esp32":
    from gauge.hw.esp32 import Hardware, service_pin
else:
    from gauge.hw.unix import Hardware, service_pin

__all__ = ("Hardware", "service_pin")
