"""Counting cycles of guest code between two marks.

Guest code raises and lowers a pin through SIO, two instructions of known cost, e.g. from viper

    ptr32(0xD0000014)[0] = 1 << 20      # start
    ...
    ptr32(0xD0000018)[0] = 1 << 20      # end

and the bench takes the time of both edges: one cycle is 8 ns of virtual time. The count repeats
exactly; the emulator knows no XIP cache misses, so it is a gate against regressions, not a proof.
"""

from __future__ import annotations

from rp2040py.gpio_pin import GPIOPinState

CYCLE_NS = 8


class CycleCounter:
    """Counts cycles between a rise and the next fall of pin `number`; `counts` has them all."""

    def __init__(self, mcu, number: int) -> None:
        self.counts: list[int] = []
        self._clock = mcu.clock
        self._rise: float | None = None
        mcu.gpio[number].add_listener(self._changed)

    def _changed(self, new, old) -> None:
        if new == GPIOPinState.HIGH:
            self._rise = self._clock.nanos
        elif self._rise is not None:
            self.counts.append(round((self._clock.nanos - self._rise) / CYCLE_NS))
            self._rise = None
