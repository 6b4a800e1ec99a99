"""What each grade of film claims, and whether measured values keep it.

A grade is a list of claims; a claim is a property with a lowest and a highest value. Some are
measured inline, the others in the laboratory. A recipe names its grade; a roll is judged against
the grade's claims with what was measured of it.

    >>> for verdict in verdicts("preferred-pore", {"porosity_percent": (48.0, 1.1)}):
    ...     print(verdict.outcome, verdict.sentence)
    pass porosity 48 ± 2.2 % (U95) is within 15 to 80 %, by 2 u at least
    undecided mean pore size was not measured: laboratory value needed, 0.05 to 1 um

Units are in the properties' names; `u` is a standard uncertainty. With a guard of g a claim is
kept when the value is inside by g u, broken when it is outside by g u, and between the two it
cannot be decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from .errors import UsageError

__all__ = ["GRADES", "PROPERTIES", "Claim", "Grade", "Property", "Verdict", "grade", "verdicts"]

PASS, FAIL, UNDECIDED = "pass", "fail", "undecided"


@dataclass(frozen=True, slots=True)
class Property:
    """What can be claimed of a film. `inline`: the gauge measures it; `unit` as people read it."""

    name: str
    text: str
    unit: str
    inline: bool = False


PROPERTIES = {
    p.name: p
    for p in (
        Property("thickness_um", "thickness", "um", True),
        Property("porosity_percent", "porosity", "%", True),
        Property("permittivity", "relative permittivity", "", True),
        Property("mean_pore_um", "mean pore size", "um"),
        Property("max_pore_um", "maximum pore size", "um"),
        Property("air_resistance_s_per_100cc", "air resistance", "s/100 cc"),
        Property("heat_resistance_c", "heat resistance", "C"),
        Property("heat_shrinkage_percent", "heat shrinkage", "%"),
    )
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A property and its limits, both legal; None: no limit on that side."""

    property: str
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """The limits in words: "15 to 80 %", "at most 2.5", "at least 200 C"."""
        unit = PROPERTIES[self.property].unit
        unit = f" {unit}" if unit else ""
        if self.low is None:
            return f"at most {self.high:g}{unit}"
        if self.high is None:
            return f"at least {self.low:g}{unit}"
        return f"{self.low:g} to {self.high:g}{unit}"


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade's claims; `layers`: kinds of layers that its film has, besides the porous one;
    `laboratory`: what the gauge could measure, but not through these layers."""

    name: str
    text: str
    claims: tuple[Claim, ...]
    layers: tuple[str, ...] = ()
    laboratory: tuple[str, ...] = ()

    def in_laboratory(self, property: str) -> bool:
        """Whether a claim on this property is decided by laboratory values."""
        return not PROPERTIES[property].inline or property in self.laboratory

    def claim(self, property: str) -> Claim | None:
        """The claim on this property, or None."""
        return next((c for c in self.claims if c.property == property), None)


_POROSITY = Claim("porosity_percent", 15, 80)
_PORE = Claim("mean_pore_um", 0.01, 5)
_THICKNESS = Claim("thickness_um", 5, 150)
_BASE = (_POROSITY, _PORE)

GRADES = {
    g.name: g
    for g in (
        Grade("base", "porous film: porosity and mean pore size", _BASE),
        Grade(
            "preferred-pore",
            "pores of the preferred size",
            (_POROSITY, Claim("mean_pore_um", 0.05, 1)),
        ),
        Grade(
            "preferred-porosity",
            "the preferred porosity",
            (Claim("porosity_percent", 30, 80), _PORE),
        ),
        Grade("thickness", "film of stated thickness", (_THICKNESS, *_BASE)),
        Grade(
            "low-permittivity",
            "for circuits: permittivity",
            (Claim("permittivity", high=2.5), *_BASE),
        ),
        Grade(
            "through-pore",
            "pores open from face to face: separators, filters",
            (
                Claim("porosity_percent", 30, 80),
                Claim("max_pore_um", high=10),
                Claim("thickness_um", 5, 100),
                Claim("air_resistance_s_per_100cc", 30, 2000),
                Claim("heat_resistance_c", 200),
                Claim("heat_shrinkage_percent", high=1),
            ),
        ),
        Grade(
            "dense-skin",
            "porous core between dense skins; values are the core's",
            (_THICKNESS, *_BASE),
            ("skin",),
        ),
        Grade(
            "laminate-adhesive",
            "porous film with adhesive; values are the porous layer's",
            (_THICKNESS, *_BASE),
            ("adhesive",),
        ),
        Grade(
            "laminate-metal",
            "porous film with metal: porosity is measured before metallising",
            (_THICKNESS, *_BASE),
            ("metal",),
            ("porosity_percent",),
        ),
        Grade(
            "laminate-substrate-metal",
            "porous film on a substrate, with metal: porosity is measured before metallising",
            (_THICKNESS, *_BASE),
            ("substrate", "metal"),
            ("porosity_percent",),
        ),
    )
}


def grade(name: str) -> Grade:
    """Return a grade by its name. Raises UsageError with the nearest name and all legal ones."""
    if name not in GRADES:
        close = get_close_matches(name, GRADES, 1, 0.5)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise UsageError(f"'{name}' is not a grade{hint}; legal: {', '.join(GRADES)}")
    return GRADES[name]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one claim. `value` and `u`: the ones that decided, None: not measured."""

    property: str
    outcome: str  # pass | fail | undecided
    sentence: str
    value: float | None
    u: float | None
    low: float | None
    high: float | None
    segment: int | None = None  # index of the segment that decided, None: a single value

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return asdict(self)


Measured = tuple[float, float] | Sequence[tuple[float, float]]


def verdicts(
    name: str, measured: Mapping[str, Measured | None], guard: float = 2.0
) -> list[Verdict]:
    """Judge every claim of a grade by what was measured.

    `measured`: property -> (value, standard uncertainty), or a list of such pairs, one for each
    segment of the roll, all of which have to keep the claim; None, or no entry: not measured.
    `guard`: standard uncertainties by which a value has to be inside; negative: by which it may
    be outside. Raises ValueError for a property that is none, UsageError for a grade that is none.
    """
    found = grade(name)
    for property in measured:
        if property not in PROPERTIES:
            raise ValueError(f"{property!r} is no property; legal: {', '.join(PROPERTIES)}")
    return [
        _verdict(claim, measured.get(claim.property), guard, found.in_laboratory(claim.property))
        for claim in found.claims
    ]


def overall(found: Sequence[Verdict]) -> str:
    """One word for a roll: fail when a claim is broken, undecided when one is open, else pass."""
    outcomes = {verdict.outcome for verdict in found}
    return next(word for word in (FAIL, UNDECIDED, PASS) if word in outcomes)


def _verdict(claim: Claim, measured: Measured | None, guard: float, laboratory: bool) -> Verdict:
    about = PROPERTIES[claim.property]
    if measured is None or len(measured) == 0:
        source = "laboratory value needed" if laboratory else "the gauge has no valid value"
        return Verdict(
            claim.property,
            UNDECIDED,
            f"{about.text} was not measured: {source}, {claim.text}",
            None,
            None,
            claim.low,
            claim.high,
        )
    single = not isinstance(measured[0], Sequence)
    pairs = [measured] if single else list(measured)
    # The segment that decides is the one with the least room.
    index, (value, u) = min(enumerate(pairs), key=lambda item: _room(claim, item[1], guard))
    outcome = _outcome(claim, value, u, guard)
    unit = f" {about.unit}" if about.unit else ""
    where = "" if single else f" in segment {index + 1} of {len(pairs)}"
    text = f"{about.text} {value:.4g} ± {2 * u:.2g}{unit} (U95){where}"
    if outcome == PASS:
        text += f" is within {claim.text}"
        text += f", by {guard:g} u at least" if guard > 0 else ""
        text += f", with {-guard:g} u of tolerance" if guard < 0 else ""
    elif outcome == FAIL:
        text += f" is outside {claim.text}"
        text += f", by more than {abs(guard):g} u" if guard else ""
    else:
        text += f" is nearer to a limit of {claim.text} than {guard:g} u: cannot be decided"
    return Verdict(
        claim.property,
        outcome,
        text,
        value,
        u,
        claim.low,
        claim.high,
        None if single else index,
    )


def _room(claim: Claim, pair: tuple[float, float], guard: float) -> float:
    """Distance from the nearest limit, less the guard band: what is negative is not inside."""
    value, u = pair
    rooms = [value - claim.low] if claim.low is not None else []
    rooms += [claim.high - value] if claim.high is not None else []
    return min(rooms) - guard * u


def _outcome(claim: Claim, value: float, u: float, guard: float) -> str:
    if _room(claim, (value, u), guard) >= 0:
        return PASS
    return FAIL if _room(claim, (value, u), -abs(guard)) < 0 else UNDECIDED
