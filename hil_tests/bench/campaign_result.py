"""What came of a roll of the fault campaign, and of each of its faults."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

PROBLEMS = ("lost", "wrong", "flag", "output", "back")


@dataclass(frozen=True)
class Problem:
    """Something that must not happen; `kinds` are the faults that may have led to it."""

    what: str  # one of lost, wrong, flag, output, back
    at_s: float
    kinds: tuple[str, ...]
    text: str


@dataclass
class Effect:
    """What one fault did. Times are None where there was nothing to see."""

    kind: str
    at_s: float
    affected: int = 0  # windows without numbers, or that came late
    flagged_s: float | None = None  # from its begin to the end of the first window with its flag
    back_s: float | None = None  # from the end of its group to the last window that it hit
    in_gaps: int = 0  # windows that do not exist, in a hole that is told of
    problems: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROBLEMS, 0))


@dataclass
class Outcome:
    """A roll's result."""

    roll: int
    seed: int
    effects: list[Effect] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    windows: int = 0
    gaps: int = 0
    virtual_s: float = 0.0
    # windows with a number and those whose two standard uncertainties cover the truth, by
    # (quantity, whether a fault was near)
    covered: dict[str, list[int]] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """The roll as plain values, for machines."""
        return asdict(self)

    @classmethod
    def of(cls, told: dict[str, Any]) -> Outcome:
        """The roll out of `told()`."""
        effects = [Effect(**effect) for effect in told["effects"]]
        problems = [
            Problem(**{**problem, "kinds": tuple(problem["kinds"])})
            for problem in told["problems"]
        ]
        return cls(**{**told, "effects": effects, "problems": problems})
