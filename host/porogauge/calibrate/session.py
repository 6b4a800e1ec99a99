"""A procedure under way: its steps are done one after the other, and no point is ever lost.

    session = Session.open(book.unfinished, "gap", basis, steps)
    for step in session.left: ...            # or
    session.run(station, on_point=print)
    result = module.fit(session.points, tables, options)
    session.forget()

Every point is on the disk before the next step begins, in WORK/PROCEDURE.json. A second `open`
goes on after it, provided that it is the same procedure on the same head with the same files:
`basis` says what these are, and a file of another basis is refused, never mixed in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import notation
from ..errors import PorogaugeError
from .procedure import Point, Station, Step

__all__ = ["Session", "point_of", "unfinished"]


def point_of(step: Step, reading: Any) -> Point:
    """Setting and reading of a step as one row of a points file."""
    return {**step.setting, "id": step.id, **asdict(reading)}


class Session:
    """See the module; `points` are those of this start and of the ones before it."""

    def __init__(self, path: Path, basis: Mapping[str, Any], steps: Sequence[Step]) -> None:
        self.path = path
        self.basis = dict(basis)
        self.steps = list(steps)
        self.points: list[Point] = []

    @classmethod
    def open(
        cls,
        work: Path,
        procedure: str,
        basis: Mapping[str, Any],
        steps: Sequence[Step],
        restart: bool = False,
    ) -> Session:
        """Go on with what is kept in `work`, or begin.

        Raises PorogaugeError when what is kept belongs to another basis or to other steps;
        `restart` forgets it.
        """
        session = cls(work / f"{procedure}.json", basis, steps)
        if restart:
            session.forget()
        kept = _read(session.path)
        if kept is None:
            return session
        for name, value in session.basis.items():
            before = kept["basis"].get(name)
            if before != value:
                raise PorogaugeError(
                    f"{session.path}: has {len(kept['points'])} points of {procedure} with {name}"
                    f" {before}, now it is {value}: --restart forgets them"
                )
        known = {step.id: step for step in session.steps}
        for point in kept["points"]:
            step = known.get(point["id"])
            if step is None or any(point.get(k) != v for k, v in step.setting.items()):
                raise PorogaugeError(
                    f"{session.path}: has a point {point['id']} that is not one of these steps:"
                    " the options have changed; --restart forgets what was measured"
                )
        session.points = kept["points"]
        return session

    @property
    def left(self) -> list[Step]:
        """Steps that are still to be done, in their order."""
        done = {point["id"] for point in self.points}
        return [step for step in self.steps if step.id not in done]

    def run(
        self,
        station: Station,
        on_step: Callable[[int, Step], None] = lambda *_: None,
        on_point: Callable[[int, Point], None] = lambda *_: None,
    ) -> list[Point]:
        """Do the steps that are left and return all points. Numbers of steps count from 1."""
        for step in self.left:
            number = self.steps.index(step) + 1
            on_step(number, step)
            point = point_of(step, station.perform(step))
            self.points.append(point)
            self._keep()
            on_point(number, point)
        return self.points

    def forget(self) -> None:
        """The procedure is over, or not wanted."""
        self.path.unlink(missing_ok=True)

    def _keep(self) -> None:
        draft = self.path.with_suffix(".draft")
        try:
            with draft.open("w", encoding="utf-8") as stream:
                json.dump({"basis": self.basis, "points": self.points}, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(draft, self.path)
        except OSError as error:
            raise PorogaugeError(f"{self.path}: cannot be written: {error.strerror}") from None


def _read(path: Path) -> dict[str, Any] | None:
    """What is kept of a procedure; None when nothing is."""
    try:
        kept = notation.json(path.read_text(encoding="utf-8"))
        if isinstance(kept["basis"], dict) and all("id" in point for point in kept["points"]):
            return kept
        error: Exception | str = "it is of another version"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as found:
        error = found
    raise PorogaugeError(f"{path}: cannot be read ({error}); --restart forgets what was measured")


def unfinished(work: Path) -> dict[str, int]:
    """Procedure -> points that are kept of it, of all that were begun and not ended."""
    found = {}
    for path in sorted(work.glob("*.json")):
        if not path.name.endswith(".restore.json"):
            kept = _read(path)
            found[path.stem] = len(kept["points"]) if kept else 0
    return found
