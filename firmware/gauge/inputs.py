"""Contacts become presses: debounced, each press counted once (pure)."""

from micropython import const

from gauge.drivers import ticks_diff

_DEBOUNCE_US = const(20_000)


class Button:
    """An input that must be active for 20 ms before it counts, once per press."""

    def __init__(self, level):
        self._level = level
        self._since = -1

    def pressed(self, now):
        """Return True once when the input has become active; `now` in ticks."""
        if not self._level():
            self._since = -1
        elif self._since == -1:
            self._since = now
        elif self._since >= 0 and ticks_diff(now, self._since) >= _DEBOUNCE_US:
            self._since = -2  # counted; waits for the release
            return True
        return False
