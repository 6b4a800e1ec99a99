"""Virtual time, the one interface that world and chips know of it.

    >>> clock = EventClock()
    >>> clock.call_at(1000, lambda: print("at", clock.now_ns))  # doctest: +ELLIPSIS
    <...Handle object at ...>
    >>> clock.run_until(2000)
    at 1000
    >>> clock.now_ns
    2000

Times are integer nanoseconds since power-up. Calls that are due at the same instant are made in
the order in which they were asked for, so that a run repeats exactly.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable

MS = 1_000_000
"""Nanoseconds in a millisecond."""
SECOND = 1_000_000_000
"""Nanoseconds in a second."""


class Handle:
    """A call that was asked for. `cancel()` is allowed at any time, also when it was made."""

    __slots__ = ("fn",)

    def __init__(self, fn: Callable[[], object]):
        self.fn: Callable[[], object] | None = fn

    def cancel(self) -> None:
        """Do not make the call."""
        self.fn = None


class Clock(ABC):
    """Where a chip learns the time and asks to be called.

    Targets bring their own: `EventClock` here, one on the emulator's alarms in the RP2040 target.
    """

    @property
    @abstractmethod
    def now_ns(self) -> int:
        """Time now."""

    @abstractmethod
    def call_at(self, t_ns: int, fn: Callable[[], object]) -> Handle:
        """Call `fn()` at `t_ns`; at once, but not from within this call, when that has passed."""

    def call_after(self, delay_ns: int, fn: Callable[[], object]) -> Handle:
        """Call `fn()` after `delay_ns`."""
        return self.call_at(self.now_ns + delay_ns, fn)


class EventClock(Clock):
    """A clock that jumps from call to call."""

    def __init__(self, now_ns: int = 0):
        self._now = now_ns
        self._order = 0
        self._heap: list[tuple[int, int, Handle]] = []

    @property
    def now_ns(self) -> int:
        return self._now

    def call_at(self, t_ns: int, fn: Callable[[], object]) -> Handle:
        handle = Handle(fn)
        self._order += 1
        heapq.heappush(self._heap, (int(t_ns), self._order, handle))
        return handle

    def next_ns(self) -> int | None:
        """Return the time of the next call, None when there is none."""
        heap = self._heap
        while heap and heap[0][2].fn is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run_until(self, t_ns: int) -> None:
        """Make all calls due up to and including `t_ns`; it is `t_ns` afterwards.

        Raises ValueError when `t_ns` has passed: time never runs back.
        """
        if t_ns < self._now:
            raise ValueError(f"time is {self._now} ns and cannot go back to {t_ns} ns")
        heap = self._heap
        while heap and heap[0][0] <= t_ns:
            due, _, handle = heapq.heappop(heap)
            fn = handle.fn
            if fn is not None:
                handle.fn = None
                if due > self._now:
                    self._now = due
                fn()
        # a call may itself have let time pass (a bus transfer): never step back
        self._now = max(self._now, t_ns)

    def run_for(self, ns: int) -> None:
        """Run for `ns` from now."""
        self.run_until(self._now + ns)
