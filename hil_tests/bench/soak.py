"""The soak: long campaigns and hours of virtual line time, in pieces that are kept when done.

    >>> soak = Soak(Plan(faults=1000, board_faults=150, hours=8, board_minutes=10), folder)
    >>> for piece in soak.run():
    ...     print(piece.name)
    >>> soak.report()["passed"]
    True

Four parts: drawn faults on unix32 and on the emulated RP2040 (a piece is a roll), hours of virtual
time on unix32 (a piece is a shift of an hour), and minutes on the emulated RP2040 (one piece). A
piece that is done is one line in the folder's state file; a soak that was interrupted, or killed,
goes on behind the last one. Every other shift leaves out faults that restart the board, so that
its ticks begin anew several times in one go.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .campaign import Campaign
from .campaign_result import Outcome
from .images import ROOT
from .shift import Shift, ShiftDone, heap_flat, rss_flat

STATE, REPORT = "state.jsonl", "report.json"
FLAT = 0.01  # share by which memory may change
SHIFT_S = 3600.0
_SOURCES = ("firmware/gauge", "hil_tests/bench", "host/porogauge", "boards")


class SoakError(ValueError):
    """The state file is of another soak, or damaged."""


@dataclass(frozen=True)
class Plan:
    """How much of everything; the same plan and program give the same result."""

    faults: int = 1000
    board_faults: int = 150
    hours: float = 8.0
    board_minutes: float = 10.0
    seed: int = 1

    @property
    def shifts_s(self) -> list[float]:
        """Length of each shift on unix32."""
        left, found = 3600 * self.hours, []
        while left > 0:
            found.append(min(left, SHIFT_S))
            left -= SHIFT_S
        return found


class Piece(NamedTuple):
    """What has just been done, of how much, in the part's own unit."""

    name: str
    done: float
    whole: float
    unit: str


class Soak:
    """A plan and a folder with its state. Raises SoakError when that is of another soak."""

    def __init__(self, plan: Plan, folder: Path, fresh: bool = False):
        self.plan, self.folder = plan, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._state = folder / STATE
        self._rolls: dict[str, list[Outcome]] = {"unix32": [], "rp2040": []}
        self._shifts: dict[str, list[ShiftDone]] = {"unix32": [], "rp2040": []}
        self.resumed = 0  # pieces that were done before
        self._head = head = {"plan": asdict(plan), "program": program()}
        if fresh or not self._state.exists():
            self._state.write_text(json.dumps(head) + "\n")
        else:
            self._resume()

    def _resume(self) -> None:
        head = self._head
        first, *lines = self._state.read_text().splitlines() or [""]
        if _parsed(first) != head:
            raise SoakError(
                f"{self._state}: is of another plan, or of another state of the program; go on"
                " with that, name another folder (--out), or begin anew (--fresh)"
            )
        whole = [told for line in lines if (told := _parsed(line)) is not None]
        for told in whole:
            self._keep(told)
        self.resumed = len(whole)
        if len(whole) < len(lines):  # it was killed while it wrote
            self._state.write_text("".join(json.dumps(line) + "\n" for line in (head, *whole)))

    def _keep(self, told: dict[str, Any]) -> None:
        if "roll" in told:
            self._rolls[told["target"]].append(Outcome.of(told["roll"]))
        else:
            done = ShiftDone.of(told["shift"])
            self._shifts[done.target].append(done)

    def _done(self, told: dict[str, Any]) -> None:
        """A piece is done: one line."""
        with self._state.open("a") as file:
            file.write(json.dumps(told) + "\n")
        self._keep(told)

    # -- running

    def run(self) -> Iterator[Piece]:
        """Do what is left, and tell of each step."""
        plan = self.plan
        yield from self._campaign("unix32", plan.faults)
        for number, seconds in enumerate(plan.shifts_s, 1):
            yield from self._shift("unix32", number, seconds, steady=number % 2 == 1)
        yield from self._campaign("rp2040", plan.board_faults)
        if plan.board_minutes:
            yield from self._shift("rp2040", 1, 60 * plan.board_minutes, steady=False)

    def _campaign(self, target: str, count: int) -> Iterator[Piece]:
        done = self._rolls[target]
        campaign = Campaign(count, self.plan.seed, target, done=done)
        whole = len(done) + len(campaign.rolls)
        for outcome in campaign.run():
            self._done({"target": target, "roll": outcome.told()})
            yield Piece(f"faults on {target}", len(done), whole, "rolls")

    def _shift(self, target: str, number: int, seconds: float, steady: bool) -> Iterator[Piece]:
        if any(done.number == number for done in self._shifts[target]):
            return
        shift = Shift(self.plan.seed, number, target, seconds, steady)
        for done in shift.run():
            yield Piece(f"shift {number} on {target}", done.seconds, seconds, "s")
        self._done({"shift": shift.done.told()})

    # -- results

    def campaign(self, target: str) -> Campaign:
        """All faults on a target, of rolls and shifts together."""
        of_shifts = [outcome for done in self._shifts[target] for outcome in done.outcomes]
        return Campaign(0, self.plan.seed, target, done=[*self._rolls[target], *of_shifts])

    @property
    def problems(self) -> list[str]:
        """All that must not be, in words."""
        found = []
        for target in ("unix32", "rp2040"):
            for outcome in self._rolls[target]:
                found += _told(f"faults on {target}, roll {outcome.roll}", outcome)
            for done in self._shifts[target]:
                where = f"shift {done.number} on {target}"
                for outcome in done.outcomes:
                    found += _told(f"{where}, roll {outcome.roll}", outcome)
                found += _grown(f"{where}: the board's heap", heap_flat(done.looks))
            looks = [look for done in self._shifts[target] for look in done.looks]
            found += _grown(f"shifts on {target}: the host's process", rss_flat(looks))
        return found

    def report(self) -> dict[str, Any]:
        """What was covered, and what came of it; also written into the folder."""
        found: dict[str, Any] = dict(self._head)
        for target in ("unix32", "rp2040"):
            campaign, shifts = self.campaign(target), self._shifts[target]
            looks = [look for done in shifts for look in done.looks]
            heap = [share for d in shifts if (share := heap_flat(d.looks)) is not None]
            rss = rss_flat(looks)
            found[target] = {
                **campaign.summary(),
                "campaign_faults": sum(len(o.effects) for o in self._rolls[target]),
                "shifts": len(shifts),
                "shifts_s": round(sum(done.seconds for done in shifts), 1),
                "boots": sum(done.boots for done in shifts),
                "ticks_wrapped": sum(done.wraps for done in shifts),
                "heap_low_bytes": min((look.heap_low for look in looks), default=None),
                "heap_low_change": round(max(heap), 5) if heap else None,
                "rss_bytes": looks[-1].rss if looks else None,
                "rss_change": None if rss is None else round(rss, 5),
                "kinds": campaign.kinds,
            }
        found["problems"] = self.problems
        found["passed"] = not found["problems"] and not any(
            found[target]["covered_too_rarely"] for target in ("unix32", "rp2040")
        )
        (self.folder / REPORT).write_text(json.dumps(found, indent=1) + "\n")
        return found


def _told(where: str, outcome: Outcome) -> list[str]:
    return [f"{where}, {p.at_s:.3f} s: {p.what}: {p.text}" for p in outcome.problems]


def _grown(what: str, share: float | None) -> list[str]:
    if share is None or share <= FLAT:
        return []
    return [f"{what} needs {100 * share:.2f} % more memory than when it had settled"]


def _parsed(line: str) -> dict[str, Any] | None:
    """A line of the state file; None when it is cut off."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def program() -> str:
    """Hash of all that a soak's result depends on in this checkout."""
    found = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return found.hexdigest()[:16]
