"""Rollers of the line, which a recipe lists: what turns marks the web once a turn.

    [[roller]]
    name = "calender"
    circumference_mm = 900

The statistics name the roller that a period of the web belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import pi
from typing import Any

from .derived import Check, read_tables
from .recipe_fields import ROLLER

__all__ = ["ROLLERS", "Roller", "read_rollers", "roller_tables", "turns"]

ROLLERS = "roller"  # key of the array of tables, in a file and among its values


@dataclass(frozen=True, slots=True)
class Roller:
    """One of circumference and diameter is stated, the other one None."""

    name: str
    circumference_mm: Decimal | None = None
    diameter_mm: Decimal | None = None

    @property
    def turn_mm(self) -> float:
        """Length of web in a turn."""
        if self.circumference_mm is not None:
            return float(self.circumference_mm)
        return pi * float(self.diameter_mm)


def read_rollers(content: Any, source: str, check: Check) -> tuple[tuple[Roller, ...], list[str]]:
    """Check the [[roller]] tables of a file: the rollers, and what is wrong with them."""
    tables, problems = read_tables(ROLLERS, ROLLER, content, source, check)
    for where, values in tables:
        stated = [values.get(name) for name in ("circumference_mm", "diameter_mm")]
        if (stated[0] is None) == (stated[1] is None):
            legal = ROLLER["roller.circumference_mm"].legal
            problems.append(
                f"{where}: states {'neither' if stated[0] is None else 'both'} of circumference_mm"
                f" and diameter_mm; legal: one of them, a circumference of {legal}"
            )
    return () if problems else tuple(Roller(**values) for _, values in tables), problems


def roller_tables(rollers: tuple[Roller, ...]) -> list[dict[str, Any]]:
    """Return rollers as the tables of a file, without what is left out."""
    names = ("name", "circumference_mm", "diameter_mm")
    return [
        {name: getattr(one, name) for name in names if getattr(one, name) is not None}
        for one in rollers
    ]


def turns(values: Mapping[str, Any]) -> dict[str, float]:
    """Name of each roller of a recipe's values -> length of web in a turn, millimetres."""
    return {roller.name: roller.turn_mm for roller in values.get(ROLLERS, ())}
