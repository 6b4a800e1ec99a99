"""The fault campaign: faults by lot, rolls with them, and what came of each kind in one table.

    >>> campaign = Campaign(count=40, seed=1, target="unix32")
    >>> for outcome in campaign.run():
    ...     print(outcome.roll, outcome.problems)
    >>> print(campaign.table())

Deterministic: the same count, seed and target draw the same faults (`campaign_draw`), run the same
rolls and are judged by the same rules (`campaign_check`). On rp2040 the board is booted once, and
every roll runs in a forked copy of it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from porogauge.store import StoreError

from .calibration import exact_words
from .campaign_check import judge
from .campaign_draw import FIRST_S, Roll, draw
from .campaign_result import PROBLEMS, Effect, Outcome, Problem
from .fields import FAULTS
from .runner import Run, make_target, target_for
from .scenario import Scenario
from .target import Target, TargetError
from .witness import Witness

TAIL_S = 0.3  # after all has been overcome
LEAST_COVERED = 0.93  # share of windows whose two standard uncertainties cover the truth
ENOUGH = 5000  # windows to judge that share by

COLUMNS = (
    # of `Campaign.kinds`, heading
    ("kind", "fault"),
    ("faults", "count"),
    ("windows_affected", "affected"),
    ("flagged_s_median", "flag s"),
    ("flagged_s_worst", "worst"),
    ("back_s_median", "back s"),
    ("back_s_worst", "worst"),
    ("in_gaps", "in gaps"),
    *((name, name) for name in PROBLEMS),
)


class Bench:
    """A booted and configured instrument that is about to run a roll."""

    def __init__(self, world: Scenario, target: Target, database: str | Path = ":memory:"):
        self.run = Run(world, target, database)
        self.witness = Witness(self.run)
        try:
            self.run.boot()
            self.run.configure(exact_words(world))
            if self.run.target.now_ns > FIRST_S * 1e9:
                raise TargetError(
                    f"the board needed {self.run.target.now_ns / 1e9:.2f} s to start"
                )
        except BaseException:
            self.run.target.stop()
            raise

    def measure(self, roll: Roll) -> Outcome:
        """Let the roll's faults happen; judge what was stored. The board runs on."""
        run = self.run
        run.set_faults(roll.scenario)
        run.run_until(round((roll.scenario.run.duration_s + TAIL_S) * 1e9))
        run.drain()
        return judge(roll, run, self.witness)

    def measure_one(self, roll: Roll) -> Outcome:
        """`measure`, and stop the board."""
        try:
            return self.measure(roll)
        finally:
            self.run.target.stop()


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Keep bench and unix boards on one CPU, where the system can: they wait for each other.

    A request takes a quarter less time than between two CPUs, one of which sleeps.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(allowed) < 2:
        yield
        return
    os.sched_setaffinity(0, {sorted(allowed)[os.getpid() % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class Campaign:
    """`count` faults by lot on a target, rp2040 or unix32.

    `only`: this roll alone; `done`: rolls that were run before, which are not run again.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        target: str,
        only: int | None = None,
        done: Iterable[Outcome] = (),
    ):
        self.seed, self.target = seed, target
        self.outcomes = list(done)
        numbers = {outcome.roll for outcome in self.outcomes}
        rolls = [r for r in draw(count, seed, target) if only in (None, r.number)]
        self.rolls = [roll for roll in rolls if roll.number not in numbers]

    def run(self) -> Iterator[Outcome]:
        """Run roll after roll and yield what came of each."""
        rolls = self._on_unix() if self.target == "unix32" else self._on_board()
        for roll, outcome in rolls:
            outcome.virtual_s = round(roll.scenario.run.duration_s, 1)
            self.outcomes.append(outcome)
            yield outcome

    def _on_unix(self) -> Iterator[tuple[Roll, Outcome]]:
        with on_one_cpu():
            for roll in self.rolls:
                try:
                    yield (
                        roll,
                        Bench(roll.world, target_for(roll.scenario, self.target)).measure_one(
                            roll
                        ),
                    )
                except (TargetError, StoreError) as error:
                    yield roll, broken_off(roll, error)

    def _on_board(self) -> Iterator[tuple[Roll, Outcome]]:
        from .rp2040.fork import ForkError, forked

        if not self.rolls:
            return
        bench = Bench(self.rolls[0].world, make_target(self.target))
        try:
            for roll in self.rolls:
                try:
                    yield roll, forked(bench.measure, roll)
                except ForkError as error:
                    yield roll, broken_off(roll, error)
        finally:
            bench.run.target.stop()

    # -- results

    @property
    def problems(self) -> list[tuple[Outcome, Problem]]:
        """All that must not happen, with the roll in which it did."""
        return [(outcome, problem) for outcome in self.outcomes for problem in outcome.problems]

    @property
    def kinds(self) -> list[dict[str, Any]]:
        """A line for each kind of fault that was drawn."""
        effects = [effect for outcome in self.outcomes for effect in outcome.effects]
        found = []
        for kind in FAULTS:
            of_kind = [effect for effect in effects if effect.kind == kind]
            if of_kind:
                found.append(_line(kind, of_kind))
        return found

    def summary(self) -> dict[str, Any]:
        """What the whole campaign was worth.

        `covered` has the share of numbers within two standard uncertainties of the truth and how
        many there are, far from any fault and near one.
        """
        counts = Counter(problem.what for _, problem in self.problems)
        covered: dict[str, list[int]] = {}
        for outcome in self.outcomes:
            for name, (windows, hits) in outcome.covered.items():
                total = covered.setdefault(name, [0, 0])
                total[0] += windows
                total[1] += hits
        shares = {name: (round(hits / n, 4), n) for name, (n, hits) in sorted(covered.items())}
        too_rare = [n for n, (share, m) in shares.items() if m >= ENOUGH and share < LEAST_COVERED]
        return {
            "target": self.target,
            "seed": self.seed,
            "rolls": len(self.outcomes),
            "faults": sum(len(outcome.effects) for outcome in self.outcomes),
            "virtual_s": round(sum(o.virtual_s for o in self.outcomes), 1),
            "windows": sum(outcome.windows for outcome in self.outcomes),
            "in_gaps": sum(outcome.gaps for outcome in self.outcomes),
            **{name: counts[name] for name in PROBLEMS},
            "covered": shares,
            "covered_too_rarely": too_rare,
        }

    def table(self) -> str:
        """The kinds as a table for people."""
        lines = [[_text(line[name]) for name, _ in COLUMNS] for line in self.kinds]
        rows = [[heading for _, heading in COLUMNS], *lines]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )


def broken_off(roll: Roll, error: Exception) -> Outcome:
    """The result of a roll that hung, crashed, or stored a window twice."""
    outcome = Outcome(roll.number, roll.scenario.run.seed)
    outcome.effects = [Effect(fault.kind, fault.at_s) for fault in roll.faults]
    kinds = tuple(sorted({fault.kind for fault in roll.faults}))
    last = (str(error).strip() or "no text").splitlines()[-1]
    outcome.problems = [Problem("lost", 0.0, kinds, f"the roll did not end: {last}")]
    return outcome


def _line(kind: str, effects: list[Effect]) -> dict[str, Any]:
    """Times in seconds; None where there is nothing to tell."""
    line: dict[str, Any] = {
        "kind": kind,
        "faults": len(effects),
        "windows_affected": sum(effect.affected for effect in effects),
    }
    for name in ("flagged_s", "back_s"):
        times = [t for effect in effects if (t := getattr(effect, name)) is not None]
        line[f"{name}_median"] = round(median(times), 3) if times else None
        line[f"{name}_worst"] = round(max(times), 3) if times else None
    line["in_gaps"] = sum(effect.in_gaps for effect in effects)
    for what in PROBLEMS:
        line[what] = sum(effect.problems[what] for effect in effects)
    return line


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
