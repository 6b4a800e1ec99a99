"""Results of the laboratory: kept with the roll, compared with what the gauge measured.

    >>> add(store, book, "A-17", "basis_weight_g_m2", 17.9, u=0.1, at_m=3.0, who="lab", why="QC 4")
    >>> for finding in compare(store, find(store, "A-17")):
    ...     print(finding.sentence)

A value is never changed: one that was wrong is withdrawn, with a reason, and stays readable.

What tells a thickness error from one of permittivity (deficit, structure factor L, permittivity
of the solid): the areal mass of the solid is m = rho_s t (1 - phi). An error e of the gauge's
thickness also moves its porosity, and with

    h = (A eps**2 + B) (1 - 1/eps),  A = (1-L)/(eps_s-1), B = L eps_s/(eps_s-1)

moves t (1 - phi) by (1 - phi - h) e only (physics.md section 3: -0.25 e at 25 um, 50 %); an error
f of porosity moves it by -t f. With a laboratory thickness besides, both follow.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

from .book import Book
from .errors import PorogaugeError, UsageError
from .rolls import Roll, find, in_force, recipe_values
from .segments import FIELDS, Segment, porosity_by_thickness, segments, table
from .store import Store, words_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PROPERTIES", "Finding", "LabError", "Result", "add", "compare", "results", "withdraw"]


class LabError(PorogaugeError):
    """A laboratory result that is not there, or cannot be compared."""


@dataclass(frozen=True, slots=True)
class Property:
    """A property that a laboratory measures: legal range, and units that are understood."""

    low: float
    high: float
    unit: str  # in which it is kept
    units: dict[str, float]  # unit as written -> factor to the one in which it is kept
    text: str


_LENGTH = {"um": 1.0, "µm": 1.0, "nm": 1e-3, "mm": 1e3}
_PERCENT = {"%": 1.0, "percent": 1.0}
PROPERTIES = {
    "mean_pore_um": Property(0.001, 100, "um", _LENGTH, "mean pore size"),
    "max_pore_um": Property(0.001, 1000, "um", _LENGTH, "maximum pore size"),
    "air_resistance_s_per_100cc": Property(
        0.1,
        100_000,
        "s/100 cc",
        {"s/100 cc": 1.0, "s/100cc": 1.0, "s/100 ml": 1.0, "s/100ml": 1.0},
        "air resistance",
    ),
    "heat_shrinkage_percent": Property(-5, 100, "%", _PERCENT, "heat shrinkage"),
    "heat_resistance_c": Property(0, 600, "C", {"C": 1.0, "°C": 1.0}, "heat resistance"),
    "porosity_percent": Property(0, 100, "%", _PERCENT, "gravimetric porosity"),
    "thickness_um": Property(1, 1000, "um", _LENGTH, "micrometer thickness"),
    "basis_weight_g_m2": Property(
        0.1,
        2000,
        "g/m2",
        {"g/m2": 1.0, "g/m²": 1.0, "gsm": 1.0, "mg/cm2": 10.0, "mg/cm²": 10.0},
        "basis weight",
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """A laboratory result in the property's own unit; `u` None: nobody stated it."""

    number: int
    property: str
    value: float
    u: float | None
    unit: str
    at_m: float | None
    method: str | None
    operator: str | None
    instrument: str | None
    time: float
    who: str
    why: str


# ---------------------------------------------------------------- keeping


def add(
    store: Store,
    book: Book,
    name: str,
    property: str,
    value: float,
    *,
    who: str,
    why: str,
    u: float | None = None,
    unit: str | None = None,
    at_m: float | None = None,
    method: str | None = None,
    operator: str | None = None,
    instrument: str | None = None,
) -> Result:
    """Keep a result with a roll and return it.

    `u`: standard uncertainty, `unit` that of value and u (default: the one in the property's
    name), `at_m` where along the roll the sample was taken (default: it stands for the whole
    roll). Raises UsageError naming what is wrong and what is legal.
    """
    about = _property(property)
    factor = 1.0
    if unit is not None:
        if unit not in about.units:
            raise UsageError(
                f"{property}: {unit!r} is not a unit of it; legal: {', '.join(about.units)}"
            )
        factor = about.units[unit]
    value *= factor
    if not (isfinite(value) and about.low <= value <= about.high):
        raise UsageError(
            f"{property}: {value:g} {about.unit} is out of range;"
            f" legal: {about.low:g} to {about.high:g} {about.unit}"
        )
    if u is not None:
        u *= factor
        span = about.high - about.low
        if not (isfinite(u) and 0 < u <= span):
            raise UsageError(
                f"{property}: u = {u:g} {about.unit} is out of range;"
                f" legal: above 0, up to {span:g} {about.unit}"
            )
    for option, text in (("method", method), ("operator", operator), ("instrument", instrument)):
        if text is not None and not (1 <= len(text.strip()) <= 80 and text.isprintable()):
            raise UsageError(f"--{option}: a text of 1 to 80 printable characters")
    roll = find(store, name)
    if at_m is not None:
        length = float(table(store, roll, ())["metres"].max())
        if not 0 <= at_m <= length:
            raise UsageError(f"--at-m: {at_m:g} is not on the roll; legal: 0 to {length:.3f} m")
    told = {
        "property": property,
        "value": value,
        "u": u,
        "unit": about.unit,
        "at_m": at_m,
        "method": method,
        "operator": operator,
        "instrument": instrument,
    }
    return _keep(store, book, roll, told, None, who, why)


def withdraw(store: Store, book: Book, name: str, number: int, *, who: str, why: str) -> None:
    """Withdraw a result that was wrong; it stays in database and log. Raises LabError."""
    roll = find(store, name)
    known = {result.number: result for result in results(store, roll)}
    if number not in known:
        there = ", ".join(map(str, known)) or "none"
        raise LabError(f"roll {name} has no laboratory result {number}; there: {there}")
    old = known[number]
    told = {"property": old.property, "value": None, "u": None, "unit": old.unit}
    told |= dict.fromkeys(("at_m", "method", "operator", "instrument"))
    _keep(store, book, roll, told, old, who, why)


def _keep(
    store: Store,
    book: Book,
    roll: Roll,
    told: dict[str, Any],
    old: Result | None,
    who: str,
    why: str,
) -> Result:
    now = time.time()
    with store.batch():
        before = None
        if old is not None:
            before = {"number": old.number, "value": old.value, "u": old.u, "unit": old.unit}
        entry = book.audit.append("lab", roll.name, who, why, before, told)
        number = store.change(
            "INSERT INTO lab (roll, property, value, u, unit, at_m, method, operator, instrument,"
            " withdraws, time, who, why, head) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                roll.id,
                *told.values(),
                None if old is None else old.number,
                now,
                who,
                why,
                f"{entry['n']}:{entry['hash']}",
            ),
        )
    return Result(number, *told.values(), now, who, why)


def results(store: Store, roll: Roll) -> list[Result]:
    """Results of a roll that were not withdrawn, oldest first."""
    return [
        Result(*row)
        for row in store.query(
            "SELECT id, property, value, u, unit, at_m, method, operator, instrument, time, who,"
            " why FROM lab WHERE roll=? AND withdraws IS NULL AND id NOT IN"
            " (SELECT withdraws FROM lab WHERE withdraws IS NOT NULL) ORDER BY id",
            (roll.id,),
        )
    ]


def _property(name: str) -> Property:
    if name not in PROPERTIES:
        from difflib import get_close_matches

        close = get_close_matches(name, PROPERTIES, 1, 0.4)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise UsageError(
            f"'{name}' is not a laboratory property{hint}; legal: {', '.join(PROPERTIES)}"
        )
    return PROPERTIES[name]


# ---------------------------------------------------------------- comparing


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison: laboratory minus gauge, its standard uncertainty, and what it says.

    `agrees` None: it could not be compared, the sentence says why.
    """

    property: str
    at_m: float | None
    laboratory: float | None
    gauge: float | None
    difference: float | None
    u: float | None
    unit: str
    agrees: bool | None
    sentence: str


_COMPARED = ("thickness_um", "porosity_percent", "basis_weight_g_m2")
_K = 2.0  # standard uncertainties within which two values agree


def compare(
    store: Store,
    roll: Roll,
    span_m: float = 1.0,
    windows: Mapping[str, np.ndarray] | None = None,
) -> list[Finding]:
    """Compare results with the gauge's values around their place, and say what disagrees.

    `span_m`: length of web around `at_m` whose mean is taken; without a place it is the whole
    roll. Findings on single values come first, then, where basis weights are known, what they
    say about thickness and permittivity. `windows`: as in `porogauge.segments.segments`.
    """
    found: list[Finding] = []
    known = results(store, roll)
    if windows is None and any(result.property in _COMPARED for result in known):
        windows = table(store, roll, FIELDS)
    for result in known:
        if result.property in ("thickness_um", "porosity_percent"):
            about = PROPERTIES[result.property].text
            inline = getattr(_around(store, roll, windows, result.at_m, span_m), result.property)
            found.append(_compare(result, inline, about))
    for result in known:
        if result.property == "basis_weight_g_m2":
            found += _weigh(store, roll, windows, result, known, span_m)
    return found


def _around(
    store: Store,
    roll: Roll,
    windows: Mapping[str, np.ndarray],
    at_m: float | None,
    span_m: float,
) -> Segment:
    metres = windows["metres"]
    low, high = float(metres.min()), float(metres.max())
    if at_m is not None:
        low, high = max(low, at_m - span_m / 2), min(high, at_m + span_m / 2)
    return segments(store, roll, between=(low, high), windows=windows)[0]


def _none(result: Result, why: str) -> Finding:
    text = f"{PROPERTIES[result.property].text} cannot be compared: {why}"
    return Finding(
        result.property, result.at_m, result.value, None, None, None, result.unit, None, text
    )


def _compare(result: Result, inline: tuple[float, float] | None, about: str) -> Finding:
    if inline is None:
        return _none(result, "the gauge has no valid value there")
    if result.u is None:
        return _none(result, "its uncertainty was not stated (--u)")
    difference, u = result.value - inline[0], sqrt(result.u**2 + inline[1] ** 2)
    agrees = abs(difference) <= _K * u
    text = (
        f"{about}: laboratory {result.value:.4g}, gauge {inline[0]:.4g} {result.unit}; difference"
        f" {difference:+.3g} ± {_K * u:.2g} {result.unit} (U95):"
        f" {'they agree' if agrees else 'they do not agree'}"
    )
    return Finding(
        result.property,
        result.at_m,
        result.value,
        inline[0],
        difference,
        u,
        result.unit,
        agrees,
        text,
    )


def _weigh(
    store: Store,
    roll: Roll,
    windows: Mapping[str, np.ndarray],
    result: Result,
    known: list[Result],
    span_m: float,
) -> list[Finding]:
    """What a basis weight says: alone, and with the thickness of the same place."""
    plan = recipe_values(store, roll.recipe)
    if not plan:
        return [_none(result, "the recipe's file, which states the density, is not known")]
    if plan.get("layer"):
        return [_none(result, "the film has layers whose mass the recipe does not state")]
    density = float(plan["material.density_g_cm3"])
    u_density = float(plan["material.u_density_g_cm3"])
    piece = _around(store, roll, windows, result.at_m, span_m)
    if piece.solid_um is None or piece.thickness_um is None:
        return [_none(result, "the gauge has no valid value there")]
    s, u_s = piece.solid_um
    mass = s * density, sqrt((u_s * density) ** 2 + (s * u_density) ** 2)
    first = _compare(result, mass, "basis weight")
    if first.agrees is None:
        return [first]
    words = words_of(in_force(store, roll)[0])
    t, u_t = piece.thickness_um
    h = porosity_by_thickness(words, t, s)
    lever = s / t - h  # d(t (1 - phi)) / dt
    missing = result.value / density - s  # of solid, in um
    u_missing = sqrt(
        (result.u / density) ** 2 + (result.value / density * u_density / density) ** 2
    )
    thicknesses = [
        other
        for other in known
        if other.property == "thickness_um" and other.at_m == result.at_m and other.u is not None
    ]
    if not thicknesses:
        return [first, _alone(first, t, u_t, lever, missing)]
    return [first, *_apart(first, thicknesses[-1], piece, lever, missing, u_missing)]


def _alone(weight: Finding, t: float, u_t: float, lever: float, missing: float) -> Finding:
    """A basis weight without a thickness: one equation for two errors."""
    points = -100 * missing / t  # error of porosity, laboratory minus gauge
    if weight.agrees:
        text = (
            "thickness and permittivity: the basis weight confirms t (1 - porosity); it is nearly"
            " blind to thickness, which a micrometer reading of the same place would check"
        )
    else:
        text = (
            "thickness or permittivity: the basis weight alone cannot tell. "
            f"Either porosity is to be corrected by {points:+.2g} points (permittivity, structure"
            " factor)"
        )
        if abs(lever) > 1e-3:
            error = missing / lever
            text += (
                f", or thickness by {error:+.2g} um, which is {abs(error) / u_t:.1f} times its"
                " standard uncertainty"
            )
        text += "; measure the thickness of the same place"
    return Finding("permittivity", weight.at_m, None, None, points, None, "%", weight.agrees, text)


def _apart(
    weight: Finding,
    thickness: Result,
    piece: Segment,
    lever: float,
    missing: float,
    u_missing: float,
) -> list[Finding]:
    """Basis weight and thickness of one place: an error of each kind, and what it means."""
    t, u_t = piece.thickness_um
    error_t = thickness.value - t  # laboratory minus gauge
    error_phi = 100 * (lever * error_t - missing) / t
    u_lab = 100 * sqrt((lever * thickness.u) ** 2 + u_missing**2) / t
    u_phi = piece.porosity_percent[1] if piece.porosity_percent else 100 * piece.solid_um[1] / t
    u = sqrt(u_lab**2 + u_phi**2)
    thick = abs(error_t) > _K * sqrt(thickness.u**2 + u_t**2)
    permittive = abs(error_phi) > _K * u
    amount = (
        f"thickness is to be corrected by {error_t:+.2g} um, porosity besides what follows from"
        f" that by {error_phi:+.2g} ± {_K * u:.2g} points"
    )
    if thick and permittive:
        text = f"thickness and permittivity are both off: {amount}"
    elif thick:
        text = (
            f"a thickness error, not one of permittivity: {amount}; check D, the lasers' map and"
            " the recipe's thickness offset"
        )
    elif permittive:
        text = (
            f"an error of permittivity, not of thickness: {amount}; check gap and scale, then the"
            " recipe's structure factor, permittivity and its humidity"
        )
    else:
        text = f"neither thickness nor permittivity is off by more than U95: {amount}"
    return [
        Finding("permittivity", weight.at_m, None, None, error_phi, u, "%", not permittive, text)
    ]
