"""Time since boot out of ticks that wrap (pure)."""

from micropython import const

_TICKS = const(0x3FFFFFFF)
_HALF = const(0x20000000)


class BoardClock:
    """Seconds and microseconds since boot; update() at least every 8 minutes.

    `s` and `us` are the time of the last update. Records are stamped with the same clock, so that
    the host needs one relation only.
    """

    def __init__(self):
        self.s = 0
        self.us = 0
        self.at_s = 0
        self.at_us = 0
        self._last = -1

    def update(self, ticks):
        """Move on to `ticks`; the first call is time zero."""
        if self._last >= 0:
            us = self.us + ((((ticks - self._last) & _TICKS) ^ _HALF) - _HALF)
            self.s += us // 1_000_000
            self.us = us % 1_000_000
        self._last = ticks

    def at(self, ticks):
        """Set `at_s` and `at_us` to the time of ticks within 8 minutes of the last update."""
        us = self.us + ((((ticks - self._last) & _TICKS) ^ _HALF) - _HALF)
        self.at_s = self.s + us // 1_000_000
        self.at_us = us % 1_000_000
