"""The verdict on a roll: every claim of its grade kept, broken, or not to be decided.

Thickness, porosity and permittivity are judged segment by segment with the gauge's own values,
the rest with the laboratory's (`porogauge.lab`), and so are porosity and permittivity of a film
whose layers hide it from the electrodes; rules and guard band are those of `porogauge.grades`.
What was not measured is never taken for good: a claim that no segment breaks cannot be decided as
long as segments that were due have no value.

    >>> found = judge(store, find(store, "A-17"))
    >>> found.outcome, [verdict.sentence for verdict in found.claims]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from gauge import config

from . import grades, lab
from .recipe_check import FIT_DAYS
from .rolls import Roll, in_force, recipe_values
from .segments import FIELDS as SEGMENT_FIELDS
from .segments import Segment, segments, table
from .store import Store, words_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FIELDS", "RollVerdict", "judge"]

FIELDS = (*SEGMENT_FIELDS, "rh_ppm")  # of windows that a verdict is made of

INLINE = ("thickness_um", "porosity_percent", "permittivity")
_LEAST = 0.9  # of the segments that are due must have been measured
_GUARD = 2.0  # standard uncertainties, where the recipe states none


@dataclass(frozen=True, slots=True)
class RollVerdict:
    """`outcome` pass | fail | undecided; `segments` that were due, `measured` of them; `notes`
    what the reader has to know besides."""

    outcome: str
    claims: tuple[grades.Verdict, ...]
    guard: float
    segments: int
    measured: int
    notes: tuple[str, ...]


def judge(
    store: Store,
    roll: Roll,
    guard: float | None = None,
    windows: Mapping[str, np.ndarray] | None = None,
) -> RollVerdict:
    """Judge a roll by the claims of its grade.

    `guard`: standard uncertainties by which a value has to be inside (default: the recipe's
    guard factor, 2 where it states none). `windows`: the roll's table of `FIELDS` where it was
    read already.
    """
    if windows is None:
        windows = table(store, roll, FIELDS)
    notes = [] if roll.ended else ["the roll has not ended: this is what is known so far"]
    forces = in_force(store, roll)
    hidden = False
    if forces:
        words = words_of(forces[0])
        if guard is None:
            guard = words[config.GUARD_C2] / 100 or _GUARD
        hidden = words[config.POROSITY_MODE] != config.POROSITY_MEASURED
    guard = _GUARD if guard is None else guard
    changed = {(row["recipe_id"], row["calibration_id"]) for row in forces}
    changed -= {(roll.recipe, roll.calibration)}
    grade = grades.grade(roll.grade)
    inline = [
        name
        for name in INLINE
        if name == "thickness_um" or not (hidden or grade.in_laboratory(name))
    ]
    pieces = segments(store, roll, windows=windows)
    measured = [piece for piece in pieces if piece.windows]
    values: dict[str, list[tuple[float, float]]] = {
        name: [value for piece in measured if (value := getattr(piece, name)) is not None]
        for name in inline
    }
    unstated = set()
    for result in lab.results(store, roll):
        if result.property not in grades.PROPERTIES or result.property in inline:
            continue  # those that the gauge measures are compared, not judged
        if result.u is None:
            unstated.add(result.property)
        else:
            values.setdefault(result.property, []).append((result.value, result.u))
    recipe = recipe_values(store, roll.recipe)
    rh_percent = float(windows["rh_ppm"].mean()) / 1e4
    beyond = _beyond_fit(recipe, roll, measured, rh_percent) if recipe else ""
    claims = []
    for verdict in grades.verdicts(roll.grade, values, guard):
        if verdict.property in inline:
            verdict = _open(verdict, pieces, measured)
        elif verdict.property in unstated and verdict.outcome == grades.PASS:
            verdict = _undecided(verdict, "another value of it has no uncertainty")
        elif verdict.property in unstated and verdict.value is None:
            verdict = _undecided(verdict, "the value has no uncertainty: withdraw it, add --u")
        if changed and verdict.property in inline and verdict.outcome == grades.PASS:
            verdict = _undecided(verdict, "recipe or calibration changed within the roll")
        if beyond and verdict.property == "porosity_percent" and verdict.property in inline:
            notes.append(beyond)
            if verdict.outcome == grades.PASS:
                verdict = _undecided(verdict, beyond)
        claims.append(verdict)
    notes += _not_sampled(recipe, lab.results(store, roll), pieces)
    for finding in lab.compare(store, roll, windows=windows):
        if finding.agrees is False:
            notes.append(finding.sentence)
    return RollVerdict(
        grades.overall(claims), tuple(claims), guard, len(pieces), len(measured), tuple(notes)
    )


def _not_sampled(
    recipe: Mapping[str, Any], results: list[lab.Result], pieces: list[Segment]
) -> list[str]:
    """What the recipe's sampling plan asks the laboratory for, and is not there."""
    length_m = pieces[-1].end_m if pieces else 0.0
    every_m = recipe.get("sampling.every_m")
    due = 1 if every_m is None else max(1, int(length_m / float(every_m)))
    found = []
    for name in recipe.get("sampling.properties") or ():
        there = sum(result.property == name for result in results)
        if there == 0:
            found.append(f"the sampling plan asks for {name}: there is no laboratory value")
        elif there < due:
            found.append(
                f"the sampling plan asks for {name} every {every_m} m: {due} values are due on"
                f" {length_m:.0f} m, {there} there"
            )
    return found


def _beyond_fit(
    recipe: Mapping[str, Any], roll: Roll, measured: list[Segment], rh_percent: float
) -> str:
    """Why L of the recipe was not fitted for this roll; empty: it was, or nobody says for what."""
    fitted = recipe["mixing.fitted_on"]
    if fitted is not None:
        days = (datetime.fromtimestamp(roll.started).date() - date.fromisoformat(fitted)).days
        if days > FIT_DAYS:
            return f"L was fitted {days} days before the roll: a fit is good for three months"
    found = {
        "thickness_{}_um": [p.thickness_um for p in measured],
        "porosity_{}_percent": [p.porosity_percent for p in measured],
        "rh_{}_percent": [(rh_percent, 0.0)],
    }
    for name, pairs in found.items():
        low, high = (recipe[f"mixing.valid_{name.format(end)}"] for end in ("min", "max"))
        values = [pair[0] for pair in pairs if pair is not None]
        outside = [
            value
            for value in values
            if (low is not None and value < low) or (high is not None and value > high)
        ]
        if outside:
            quantity, _, unit = name.partition("_{}_")
            ends = f"{min(outside):.4g} to {max(outside):.4g} {unit}"
            return f"L was not fitted for {quantity} of {ends}; legal is what the recipe states"
    return ""


def _undecided(verdict: grades.Verdict, why: str) -> grades.Verdict:
    return replace(
        verdict, outcome=grades.UNDECIDED, sentence=f"{verdict.sentence}; cannot be decided: {why}"
    )


def _open(
    verdict: grades.Verdict, pieces: list[Segment], measured: list[Segment]
) -> grades.Verdict:
    """A claim that is kept where it was measured, and not measured everywhere it was due."""
    if verdict.outcome != grades.PASS:
        return verdict
    without = sum(getattr(piece, verdict.property) is None for piece in measured)
    if without:
        return _undecided(
            verdict, f"{without} of {len(measured)} segments have film but no valid value"
        )
    if len(measured) < _LEAST * len(pieces):
        return _undecided(
            verdict,
            f"only {len(measured)} of {len(pieces)} segments that are due were measured",
        )
    return verdict
