"""A shift: roll after roll on one board that runs on for hours, looked at as it goes.

    >>> shift = Shift(seed=1, number=1, target="unix32", seconds=3600)
    >>> for roll in shift.run():
    ...     print(roll.at_s, roll.heap_low, roll.rss)

After each roll all that was stored of it is judged as in a campaign, and forgotten; the database
keeps it, on disk, as a logger's. Memory is looked at meanwhile: the lowest mark of the board's
heap, and what the process of host and bench has resident.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from gauge import record
from gauge.link import protocol
from porogauge.store import StoreError

from .campaign import Bench, broken_off, on_one_cpu
from .campaign_draw import Rolls
from .campaign_result import Outcome
from .runner import make_target
from .target import TargetError

PER_ROLL = 3  # faults
ROLL_S = 60.0
TICKS_S = (1 << 30) / 1e6  # after which the board's ticks begin anew
SETTLED_S = 300.0  # of a boot, until its heap has been through all it does
SETTLED_LOOKS = 20  # of a process, until its caches are full
MEAN_OF = 5  # looks
OVERLAP_NS = 300_000_000  # of what is kept before the next roll
_STAYING = record.FLAG_WATCHDOG_RESTART | record.FLAG_CRASH_RESTART


@dataclass
class Look:
    """Memory after a roll, and how long the board has run since its start."""

    at_s: float
    boot: int
    uptime_s: int
    heap_low: int  # bytes of the board's heap that were free at the least
    heap_bytes: int
    rss: int | None  # bytes; None: this system does not tell
    process: int  # whose


@dataclass
class ShiftDone:
    """What a shift came to."""

    number: int
    target: str
    seconds: float = 0.0
    boots: int = 0
    wraps: int = 0  # of the board's ticks
    looks: list[Look] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As plain values, for a file."""
        return asdict(self)

    @classmethod
    def of(cls, told: dict[str, Any]) -> ShiftDone:
        """The shift out of `told()`."""
        looks = [Look(**look) for look in told["looks"]]
        outcomes = [Outcome.of(outcome) for outcome in told["outcomes"]]
        return cls(**{**told, "looks": looks, "outcomes": outcomes})


class Shift:
    """`seconds` of virtual time; `steady`: without faults after which the board starts anew."""

    def __init__(self, seed: int, number: int, target: str, seconds: float, steady: bool):
        self.target, self.seconds = target, seconds
        self.rolls = Rolls(1000 * seed + number, seconds, steady, PER_ROLL, ROLL_S)
        self.done = ShiftDone(number, target)

    def run(self) -> Iterator[ShiftDone]:
        """Run it, and yield its state after each roll."""
        with tempfile.TemporaryDirectory(prefix="porogauge-soak-") as folder, on_one_cpu():
            bench = Bench(self.rolls.world, make_target(self.target), Path(folder) / "roll.db")
            try:
                yield from self._rolls(bench)
            finally:
                bench.run.target.stop()
                bench.run.store.close()

    def _rolls(self, bench: Bench) -> Iterator[ShiftDone]:
        run, done = bench.run, self.done
        while run.target.now_ns < self.seconds * 1e9:
            rows = run.records()
            due = bool(rows) and "standardisation_due" in rows[-1]["flags"]
            roll = self.rolls.roll(len(done.outcomes) + 1, run.target.now_ns / 1e9, due)
            try:
                outcome = bench.measure(roll)
                done.looks.append(self._look(bench))
            except (TargetError, StoreError) as error:
                done.outcomes.append(broken_off(roll, error))
                yield done
                return
            done.outcomes.append(outcome)
            done.seconds = run.target.now_ns / 1e9
            outcome.virtual_s = round(done.seconds - roll.begin_s, 1)
            done.boots = len(run.boots)
            done.wraps = _wraps(list(run.boots.values()), run.target.now_ns)
            # so that what is kept has arrived, and tells of no restart that was acknowledged
            run.run_until(run.target.now_ns + 2 * OVERLAP_NS)
            run.forget(run.target.now_ns - OVERLAP_NS)
            bench.witness.forget(run.target.now_ns - 2 * OVERLAP_NS)
            yield done

    def _look(self, bench: Bench) -> Look:
        """Look at memory; acknowledge the restarts, which were judged."""
        run = bench.run
        run.request(protocol.ACKNOWLEDGE, _STAYING.to_bytes(4, "little"))
        words = run.look_at_health()
        return Look(
            at_s=round(run.target.now_ns / 1e9, 1),
            boot=run.session.boot,
            uptime_s=words["uptime_s"],
            heap_low=words["heap_low"],
            heap_bytes=words["heap_alloc"] + words["heap_free"],
            rss=resident(),
            process=os.getpid(),
        )


def _wraps(boots_ns: list[int], now_ns: int) -> int:
    """How often the board's ticks began anew while it ran."""
    ends = [*sorted(boots_ns)[1:], now_ns]
    spans = zip(sorted(boots_ns), ends, strict=True)
    return sum(int((end - begin) / 1e9 / TICKS_S) for begin, end in spans)


def resident() -> int | None:
    """Bytes of this process in memory; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def heap_flat(looks: list[Look]) -> float | None:
    """Largest change of the heap's lowest mark in a settled boot, as a share of the heap.

    None: no boot was looked at twice when it had settled.
    """
    found: float | None = None
    for boot in {look.boot for look in looks}:
        first, *rest = [k for k in looks if k.boot == boot and k.uptime_s > SETTLED_S] or [None]
        for look in rest:
            found = max(found or 0.0, (first.heap_low - look.heap_low) / look.heap_bytes)
    return found


def rss_flat(looks: list[Look]) -> float | None:
    """Largest growth of a process after it had settled, as a share; None: not known.

    Means of a few looks are compared: blocks come and go with what is under way.
    """
    found: float | None = None
    for process in {look.process for look in looks}:
        mine = [look for look in looks if look.process == process and look.rss is not None]
        sizes = [look.rss for look in mine[SETTLED_LOOKS:]]
        if len(sizes) >= 2 * MEAN_OF:
            grown = mean(sizes[-MEAN_OF:]) / mean(sizes[:MEAN_OF]) - 1
            found = grown if found is None else max(found, grown)
    return found
