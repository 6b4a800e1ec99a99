"""Drivers: one chip, one file; bytes in, readings out, the bus handed in.

Every driver has two sides. `start()` runs when the gauge starts and when a sensor comes back: it
may wait (with a timeout), checks the chip's identity or reads back what it wrote, and raises
`DriverError`, whose text names the probable wiring fault. What runs with every window (`read`,
`poll`) waits for nothing but a bus transfer, allocates nothing and raises nothing: it returns a
reading, or one of the negative codes below.

    >>> code = converter.read()
    >>> if drivers.is_fault(code):
    ...     print(drivers.fault_text(code))

Times are ticks: microseconds modulo 2**30.
"""

from micropython import const

# What a steady-state method returns instead of a reading. All negative; those below SKIPPED are
# faults.
NOT_READY = const(-1)  # nothing new: ask again later
SKIPPED = const(-2)  # a result came, but it is not one to use (the first one after a change)
NO_ANSWER = const(-3)  # the chip does not acknowledge
BUS_STUCK = const(-4)  # the transfer did not end in time
CHECKSUM = const(-5)  # the bytes were damaged on the wire
EXCITATION = const(-6)  # AD7746: the excitation pin cannot drive its load
TOO_LOW = const(-7)  # at the lower end of the range: an open electrode?
TOO_HIGH = const(-8)  # at the upper end of the range: a short circuit?
LOST_SETUP = const(-9)  # the chip was restarted or another one answers: start() again
REFUSED = const(-10)  # a command was answered with an error
WRONG_CHIP = const(-11)  # another model than the one that is expected

_TEXTS = (
    "not ready",
    "skipped",
    "does not answer: check its power, SDA and SCL",
    "bus held: a short circuit of SDA or SCL, or a chip without power on the bus",
    "damaged bytes: check pull-ups, cable length and screen",
    "the excitation pin cannot drive its load: short circuit of the EXC electrode or its cable",
    "at the lower end of the range: electrode open, or the CAPDAC code is too high",
    "at the upper end of the range: electrodes short-circuited, or the CAPDAC code is too low",
    "lost its settings: its supply was interrupted",
    "refuses a command",
    "is another model than expected",
)


def is_fault(code):
    """Return whether a returned code is a fault (and not a reading, NOT_READY or SKIPPED)."""
    return code < SKIPPED


def fault_text(code):
    """Return what a negative code says, for people."""
    return _TEXTS[-1 - code] if -len(_TEXTS) <= code < 0 else "code %d" % code


def bus_code(error):
    """Return the code of an OSError that a bus transfer raised."""
    # ETIMEDOUT is 110, on ESP32 116
    return BUS_STUCK if error.errno in (110, 116) else NO_ANSWER


def ticks_diff(later, earlier):
    """Return `later - earlier` of two ticks, signed, right across the wrap."""
    # The sign is put back by XOR: adding half the range first could reach 2**30 and be allocated.
    return (((later - earlier) & 0x3FFFFFFF) ^ 0x20000000) - 0x20000000


class DriverError(OSError):
    """A chip could not be started. `fault` says what is wrong, where, and what to check."""

    def __init__(self, fault):
        super().__init__(fault)
        self.fault = fault

    def __str__(self):
        return self.fault
