"""Incremental encoder on the web: two wires in quadrature.

`counts_per_m` counts every edge of wire A; forward, A leads B: A rises while B is low. Pushed,
`connect(fn)` calls `fn(a, b)` at every edge of either wire; pulled, `count(t_ns)` is the signed
number of edges of A since power-up, what a decoder that counts both edges of A must have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..clock import MS, Clock
from ..scenario import Scenario
from ..world import World

_BLOCK_NS = 20 * MS
# levels of (A, B) in the four quarters of a period, forward
_LEVELS = ((False, False), (True, False), (True, True), (False, True))


class Encoder:
    """The encoder. `stop()` and `resume()` are a fault by script: meanwhile pulses are lost."""

    def __init__(self, clock: Clock, world: World, scenario: Scenario):
        self.clock, self.line = clock, world.line
        self._per_mm = 2 * scenario.line.counts_per_m / 1000  # quarters per millimetre
        self._lost = 0  # quarters that were lost
        self._stopped_at: int | None = None
        self._to: Callable[[bool, bool], object] | None = None
        self._edges: deque[tuple[int, int]] = deque()
        self._made_ns = 0

    def _world_quarter(self, t_ns: int) -> int:
        return int(self.line.position_mm(t_ns * 1e-9) * self._per_mm // 1)

    def quarter(self, t_ns: int) -> int:
        """Signed quarters of a period since power-up, as seen on the wires."""
        if self._stopped_at is not None:
            return self._stopped_at
        return self._world_quarter(t_ns) - self._lost

    def count(self, t_ns: int) -> int:
        """Signed edges of A since power-up."""
        return (self.quarter(t_ns) + 1) // 2

    def levels(self, t_ns: int) -> tuple[bool, bool]:
        """Levels of A and B."""
        return _LEVELS[self.quarter(t_ns) & 3]

    def stop(self) -> None:
        """Lose all pulses from now on."""
        self._stopped_at = self.quarter(self.clock.now_ns)

    def resume(self) -> None:
        """Give pulses again; what was lost stays lost, whole periods of it."""
        if self._stopped_at is not None:
            now = self._world_quarter(self.clock.now_ns)
            lost = now - self._stopped_at
            self._lost = lost - lost % 4  # so that the wires need not jump
            self._stopped_at = None

    def connect(self, to: Callable[[bool, bool], object]) -> None:
        """Call `to(a, b)` now and at every edge from now on."""
        self._to = to
        self._made_ns = self.clock.now_ns
        to(*self.levels(self.clock.now_ns))
        self._more()

    def _more(self) -> None:
        """Compute the edges of the next block of time and wait for the first."""
        t0 = self._made_ns
        self._made_ns = t1 = t0 + _BLOCK_NS
        times, levels, ways = self.line.crossings(self._per_mm, t0 * 1e-9, t1 * 1e-9)
        for t, level, way in zip(times.tolist(), levels.tolist(), ways.tolist(), strict=True):
            # upwards a level is entered, downwards it is left for the one below
            self._edges.append((round(t * 1e9), level if way > 0 else level - 1))
        self._next()

    def _next(self) -> None:
        if self._edges:
            self.clock.call_at(self._edges[0][0], self._edge)
        else:
            self.clock.call_at(self._made_ns, self._more)

    def _edge(self) -> None:
        _, quarter = self._edges.popleft()
        if self._stopped_at is None:
            self._to(*_LEVELS[(quarter - self._lost) & 3])
        self._next()
