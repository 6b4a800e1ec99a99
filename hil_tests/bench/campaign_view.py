"""A finished roll as its judge sees it: windows, faults in groups, outputs, and what is wrong.

>>> view = View(roll, run)
>>> view.problem("lost", 3.2, view.near(3.1, 3.3), "windows 4 to 9 are not there")
>>> view.outcome.problems[0].what
'lost'
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .campaign_draw import EDGE_S, Roll
from .campaign_result import Effect, Outcome, Problem
from .expected import EXPECT, LINK, RESTARTS, WATCHDOG_S, end_s, expect
from .runner import Run

BACK_LINK_S = 3.0  # from the end of a fault of the link until all is there that was made meanwhile
ON_THE_WAY_S = 0.0015  # distances of a window come so long after its end, and may be hit as well
STAYING = ("watchdog_restart", "crash_restart")  # flags that stay until they are acknowledged


@dataclass
class Group:
    """Faults whose effects overlap."""

    indices: list[int]
    begin_s: float
    end_s: float
    deadline_s: float  # until then all must be well again
    may: frozenset[str]  # flags that can come


def _group(roll: Roll, indices: list[int], link: bool) -> Group | None:
    """The faults of a group that hit the measurement, or (`link`) the way to the host."""
    stops = (*LINK, *RESTARTS) if link else tuple(k for k in EXPECT if k not in LINK)
    indices = [i for i in indices if roll.faults[i].kind in stops]
    if not indices:
        return None
    master_slave = roll.scenario.laser.sync == "master_slave"
    faults = [roll.faults[i] for i in indices]
    expected = [expect(fault, master_slave) for fault in faults]
    end = max(map(end_s, faults))
    # each may begin to recover only when the one before has
    back = sum(max(e.back_s, BACK_LINK_S * link) for e in expected)
    may = frozenset(name for e in expected for name in (*e.flags, *e.also))
    return Group(indices, min(f.at_s for f in faults) - ON_THE_WAY_S, end, end + back, may)


@dataclass
class Restart:
    """The board stopped, began anew as boot `boot`, whose first window ended at `first_s`."""

    boot: int
    before: int  # the boot before
    stopped_s: float
    began_s: float
    first_s: float | None


class View:
    """`rows` are the roll's records in user units, `begins` and `ends` of their windows in s."""

    def __init__(self, roll: Roll, run: Run):
        self.roll, self.run = roll, run
        self.outcome = Outcome(roll.number, roll.scenario.run.seed)
        self.outcome.effects = [Effect(f.kind, f.at_s) for f in roll.faults]
        master_slave = roll.scenario.laser.sync == "master_slave"
        self.expected = [expect(fault, master_slave) for fault in roll.faults]
        self.groups = [g for i in roll.groups if (g := _group(roll, i, False))]
        self.link_groups = [g for i in roll.groups if (g := _group(roll, i, True))]
        since_ns = 1e9 * (roll.begin_s - EDGE_S)
        self.rows = [row for row in run.records() if run.window_end_ns(row) > since_ns]
        self.ends = [1e-9 * run.window_end_ns(row) for row in self.rows]
        self.begins = [
            end - 1e-6 * row["dt_us"] for end, row in zip(self.ends, self.rows, strict=True)
        ]
        edges = [edge for edge in run.target.outputs if edge.name == "good"]
        self.edges_s = [1e-9 * edge.t_ns for edge in edges]
        self.levels = [edge.level for edge in edges]
        self.boots = [b for b in sorted(run.boots) if run.boots[b] >= 1e9 * roll.begin_s]
        self.judged = [b for b in sorted(run.boots) if b not in run.boots_over(since_ns)]
        self.restarts = [self._restart(boot) for boot in self.boots if boot > min(run.boots)]
        # a reference that was not renewed, or of another boot, is told of until the next empty gap
        restarts = any(fault.kind in RESTARTS for fault in roll.faults)
        self.may_be_due = (
            roll.due
            or restarts
            or any(
                group.begin_s < b + 2 and a < group.deadline_s
                for group in self.groups
                for a, b in roll.empty_s
            )
        )

    def _restart(self, boot: int) -> Restart:
        """When a boot began, and when the one before had stopped."""
        began_ns = self.run.boots[boot]
        began_s = stopped_s = 1e-9 * began_ns
        for since, until in self.run.interruptions.off_ns:
            if abs(until - began_ns) < 1_000_000:
                stopped_s = 1e-9 * since
        for fault in self.roll.faults:
            if fault.kind == "board_hang" and began_s - 1.1 * WATCHDOG_S < fault.at_s < began_s:
                stopped_s = min(stopped_s, fault.at_s)
        before = max(b for b in self.run.boots if b < boot)
        first_s = next((end for _, end in self.of_boot(boot)), None)
        return Restart(boot, before, stopped_s, began_s, first_s)

    # -- small questions

    def problem(self, what: str, at_s: float, group: Group | None, text: str) -> None:
        """Note a problem, for each fault of the group."""
        indices = group.indices if group else []
        kinds = tuple(self.roll.faults[i].kind for i in indices)
        self.outcome.problems.append(Problem(what, round(at_s, 4), kinds, text))
        for i in indices:
            self.outcome.effects[i].problems[what] += 1

    def near(self, begin_s: float, stop_s: float, groups: list[Group] | None = None):
        """Return the latest group whose faults or their effects overlap a time, or None."""
        for group in reversed(self.groups if groups is None else groups):
            if group.begin_s <= stop_s and begin_s <= group.deadline_s:
                return group
        return None

    def before(self, at_s: float) -> Group | None:
        """Return the last group that had begun at an instant."""
        begun = [g for g in (*self.groups, *self.link_groups) if g.begin_s <= at_s]
        return max(begun, key=lambda g: g.begin_s, default=None)

    def phase(self, i: int) -> str:
        """Return film, empty or edge: what was in the gap in a window and around it."""
        for a, b in self.roll.empty_s:
            if a + EDGE_S < self.begins[i] and self.ends[i] < b - 0.05:
                return "empty"
            if a - 0.1 < self.ends[i] and self.begins[i] < b + EDGE_S:
                return "edge"
        return "film"

    def good_at(self, t_s: float) -> bool:
        """Level of the output `good` at an instant."""
        k = bisect.bisect_right(self.edges_s, t_s)
        return self.levels[k - 1] if k else False

    def energised(self, begin_s: float, stop_s: float) -> float:
        """Return for how long `good` was energised within a time."""
        k = bisect.bisect_right(self.edges_s, begin_s)
        level, at, total = self.levels[k - 1] if k else False, begin_s, 0.0
        while at < stop_s:
            until = min(stop_s, self.edges_s[k]) if k < len(self.edges_s) else stop_s
            total += (until - at) * level
            at = until
            if k < len(self.levels):
                level = self.levels[k]
            k += 1
        return total

    def made_s(self, i: int) -> float:
        """Return when a window was made: without its converter a period later, by the clock."""
        late = "capacitance_fault" in self.rows[i]["flags"]
        return self.ends[i] + late * 1e-3 * self.roll.scenario.capacitance.conversion_ms

    def well(self, i: int, phase: str) -> bool:
        """Whether a window is as if there were no faults."""
        row = self.rows[i]
        flags = set(row["flags"])
        if self.may_be_due:
            flags -= {"standardisation_due", "standardisation_refused"}
        if "record_gap" in flags and self.near(self.ends[i], self.ends[i], self.link_groups):
            flags.remove("record_gap")  # it told the ring's end, which stops nothing
        flags -= self.staying(self.ends[i])
        if phase == "film":
            return row["state"] == "measuring" and row["valid"] and not flags
        may = {"no_film", "standardisation_due"}
        if "flash_write" in flags:  # it is erased ahead while there is nothing to measure
            may |= {"flash_write", "overrun"}
        return row["state"] in ("off_sheet", "standardising") and flags <= may

    def staying(self, at_s: float) -> set[str]:
        """Flags of restarts that there were by then: they stay until they are acknowledged."""
        faults = zip(self.roll.faults, self.expected, strict=True)
        return {e.flag for fault, e in faults if fault.at_s < at_s} & {*STAYING}

    def near_restart(self, i: int) -> bool:
        """Whether a window is among the first of a boot."""
        return any(0 < self.ends[i] - restart.began_s < 4.0 for restart in self.restarts)

    def of_boot(self, boot: int) -> Iterator[tuple[dict[str, Any], float]]:
        """Records of a boot with their ends."""
        pairs = zip(self.rows, self.ends, strict=True)
        return ((row, end) for row, end in pairs if row["boot"] == boot)

    def time_of(self, boot: int, seq: int) -> float:
        """About when a window that is not there ended."""
        here = [(row["seq"], end) for row, end in self.of_boot(boot) if row["seq"] < seq]
        return here[-1][1] if here else 1e-9 * self.run.boots[boot]

    def gone(self, group: Group, windows: int) -> None:
        """Windows do not exist, and the log says so."""
        self.outcome.gaps += windows
        for i in group.indices:
            self.outcome.effects[i].in_gaps += windows

    def ended(self) -> Outcome:
        """Return the outcome, in order and rounded."""
        self.outcome.problems.sort(key=lambda problem: problem.at_s)
        for effect in self.outcome.effects:
            for name in ("flagged_s", "back_s"):
                value = getattr(effect, name)
                setattr(effect, name, None if value is None else round(value, 4))
        return self.outcome
