"""The bench's clock on the emulator's virtual time.

The emulator keeps its alarms in a linked list that it walks at every insertion; thousands of
events would make that slow. `EmulatorClock` keeps its own heap and holds one alarm there, for the
earliest event. Events of one instant run in the order in which they were requested.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from ..clock import Clock, Handle

TIMERAWH, TIMERAWL = 0x24, 0x28


class EmulatorClock(Clock):
    """`Clock` over an emulator's `SimulationClock`; never reset, whatever the chip does."""

    def __init__(self, simulation_clock) -> None:
        self._clock = simulation_clock
        self._alarm = simulation_clock.create_alarm(self._fire)
        self._heap: list[tuple[int, int, Handle]] = []
        self._order = 0
        self._armed_ns: int | None = None
        self._firing = False

    @property
    def now_ns(self) -> int:
        """Virtual time in nanoseconds, to the nearest."""
        return int(self._clock.nanos + 0.5)

    def call_at(self, t_ns: int, fn: Callable[[], object]) -> Handle:
        t_ns = int(t_ns)
        handle = Handle(fn)
        self._order += 1
        heapq.heappush(self._heap, (t_ns, self._order, handle))
        if not self._firing and (self._armed_ns is None or t_ns < self._armed_ns):
            self._arm(t_ns)
        return handle

    def _arm(self, t_ns: int) -> None:
        self._armed_ns = t_ns
        delta = t_ns - self._clock.nanos
        self._alarm.schedule(delta if delta > 0 else 0.0)

    def _fire(self) -> None:
        heap, pop = self._heap, heapq.heappop
        now = self.now_ns
        self._firing = True
        try:
            while heap and heap[0][0] <= now:
                handle = pop(heap)[2]
                fn, handle.fn = handle.fn, None
                if fn is not None:
                    fn()
        finally:
            self._firing = False
            self._armed_ns = None
            while heap and heap[0][2].fn is None:
                pop(heap)
            if heap:
                self._arm(heap[0][0])


def quicken_timer(mcu) -> None:
    """Let the microsecond timer's two most read registers come first."""
    timer, clock = mcu.timer, mcu.clock
    stock = timer.read_uint32

    def read(offset: int) -> int:
        if offset == TIMERAWL:
            return int((clock.nanos - timer._epoch_nanos) / 1000) & 0xFFFFFFFF
        if offset == TIMERAWH:
            return int((clock.nanos - timer._epoch_nanos) / 1000) >> 32
        return stock(offset)

    timer.read_uint32 = read
