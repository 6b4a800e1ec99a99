"""Whether a recipe can do what its grade promises, with this head: what a process engineer asks.

`porogauge.recipe` refuses what cannot be meant. Here is told what follows of it: claims of the
grade that the limits let pass or cannot be decided, porosity that the layers hide, and how well
thickness and porosity will be known over the recipe's range, as the board itself will state it
(`porogauge.forecast`).

    >>> found = review(normalise("recipe", tables, "r.toml"), words)
    >>> found.errors, found.warnings, found.identity.verdict
    ([], [], 'identifiable')
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from math import exp, log
from typing import Any

from gauge import config

from .contradictions import PERMITTIVITY_OFF, permittivity_at
from .derived import LAYERS, film_of
from .forecast import Forecast
from .grades import GRADES, PROPERTIES, Grade
from .recipe_fields import INDEX, plain
from .stack import INDICATIVE_U95, TYPICAL, Film, Identity, identifiability

__all__ = ["FIT_DAYS", "Review", "Row", "refused", "review", "table"]

_DRAWS, _AGREE = 20_000, 0.05  # of a simulation; how well it has to agree to call U95 linear
_POINTS = 5  # of the table, along thickness and along porosity
_ASSUMED_U = 0.1  # of L, where it was not fitted; below it is no assumption any more
FIT_DAYS = 92  # for which a fit of L is good
_TOP = {"um": 1000, "percent": 100}  # an upper limit there is not applied
_THICKNESS_UM, _POROSITY = (5.0, 150.0), (15.0, 80.0)  # of the base grade: no limit, no claim

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One film of the table. U95 of porosity is in points; None: porosity is not to be had.

    `verdict`: measured, indicative (trends, no release), not_resolvable (the board withholds it),
    not_identifiable (layers hide it), or why the board has no number. `interval_points`: where
    95 % of the errors of porosity lie by simulation; `linear`: that agrees with U95.
    """

    thickness_um: float
    porosity_percent: float
    permittivity: float
    u95_thickness_um: float | None
    u95_porosity_percent: float | None
    interval_points: tuple[float, float] | None
    linear: bool | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Review:
    """`errors` make a recipe unfit for its grade; `warnings` are to be known by who uses it."""

    errors: list[str]
    warnings: list[str]
    identity: Identity
    rows: list[Row]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return asdict(self)


def review(values: Values, words: array, today: date | None = None) -> Review:
    """Look at a checked recipe (`recipe.normalise`) with a head's words (compiled with it)."""
    grade = GRADES[values["recipe.grade"]]
    film = film_of(values)
    limit = float(values["limits.porosity_u95_max_percent"]) / 100
    if values[LAYERS] or values["layers.porosity"] == "measured":
        identity = identifiability(values[LAYERS], film or TYPICAL, values["stack.report"], limit)
    else:
        identity = Identity("not_identifiable", "[layers] says that porosity is hidden.", None)
    if values["layers.thickness_um"] and not values[LAYERS]:
        identity = replace(identity, sentence="Layers are stated as sums, by [layers].")
    rows = table(values, words)
    if identity.verdict == "identifiable" and film is not None:
        identity = _with_head(identity, film, Forecast(words), values)
    errors = _against_grade(values, grade)
    warnings = _undecided(values, grade) + _law(values, today or date.today())
    warnings += (
        _envelope(values, words) + _resolution(rows) + _lopsided(rows) + _room(values, words)
    )
    return Review(errors, warnings, identity, rows)


def _with_head(identity: Identity, film: Film, forecast: Forecast, values: Values) -> Identity:
    """The verdict on the layers, and on what head, solid and L add to it."""
    told = forecast.of(film.thickness_um, permittivity_at(values, film.porosity))
    u95 = 2 * told.u_porosity_percent
    if not u95:
        why = _LESS.get(told.reason, told.reason.replace("_", " "))
        return Identity("not_identifiable", f"Porosity of the target is {why}.", None)
    sentence = (
        f"U95 of porosity is {u95:.1f} points at {film.thickness_um:g} um and"
        f" {100 * film.porosity:g} %. {identity.sentence}"
    )
    if u95 <= 100 * INDICATIVE_U95:
        return Identity("identifiable", sentence, u95 / 100)
    sentence = f"Good for trends, not for release decisions: {sentence}"
    return Identity("indicative", sentence, u95 / 100)


def refused(found: Mapping[str, tuple[Mapping[str, Any], str]]) -> list[str]:
    """Errors of the recipe among files (`recipe.load_files`), each with its file's name."""
    from .recipe import normalise

    if "recipe" not in found:
        return []
    tables, source = found["recipe"]
    values = normalise("recipe", tables, source)
    return [f"{source}: {text}" for text in _against_grade(values, GRADES[values["recipe.grade"]])]


# ---------------------------------------------------------------- the grade


def _against_grade(v: Values, grade: Grade) -> list[str]:
    """Targets and limits that a grade does not allow, layers that it needs."""
    found = []
    for name in ("thickness_um", "porosity_percent"):
        claim = grade.claim(name)
        if claim is None:
            continue
        quantity, unit = name.split("_")
        for path, low, high in (
            (f"film.target_{name}", claim.low, claim.high),
            (f"limits.{quantity}_lolo_{unit}", claim.low, None),
            (f"limits.{quantity}_hihi_{unit}", None, claim.high),
        ):
            value = v[path]
            if _unused(path, value):
                continue
            if (low is not None and value < low) or (high is not None and value > high):
                found.append(
                    f"{path} ({plain(value)}): grade {grade.name} promises"
                    f" {PROPERTIES[name].text} of {claim.text}; legal: {_legal(low, high)}"
                )
    claim = grade.claim("permittivity")
    if claim is not None and v["limits.permittivity_max"] > claim.high:
        found.append(
            f"limits.permittivity_max ({plain(v['limits.permittivity_max'])}): grade {grade.name}"
            f" promises a permittivity of {claim.text}; legal: 1 to {claim.high:g}"
        )
    if claim is not None:
        found += _never(v, grade, claim.high)
    kinds = {layer.kind.removeprefix("floating_") for layer in v[LAYERS]}
    for kind in grade.layers:
        if kind not in kinds:
            found.append(
                f"layer.kind: film of grade {grade.name} has a layer of {kind}, and no [[layer]]"
                f' states it; legal: kind = "{kind}"'
            )
    return found


def _unused(path: str, value: Any) -> bool:
    """Whether a target or limit is left out."""
    return value is None or value == (_TOP[path.rpartition("_")[2]] if "_hihi_" in path else 0)


def _legal(low: float | None, high: float | None) -> str:
    if low is None:
        return f"up to {high:g}"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"


def _never(v: Values, grade: Grade, highest: float) -> list[str]:
    """Without limits on porosity, the grade's own range counts: can permittivity be met in it?"""
    claim = grade.claim("porosity_percent")
    if claim is None or permittivity_at(v, claim.high / 100) <= highest:
        return []
    return [
        f"limits.permittivity_max: {highest:g} cannot be met even at {claim.high:g} % porosity"
        f" with this solid, material.permittivity ({plain(v['material.permittivity'])}); legal: a"
        " solid of lower permittivity"
    ]


def _undecided(v: Values, grade: Grade) -> list[str]:
    """Claims that inline limits do not guard, or that need the laboratory."""
    found = []
    hidden = v["layers.porosity"] != "measured"
    sampled = v["sampling.properties"]
    missing = []
    for claim in grade.claims:
        about = PROPERTIES[claim.property]
        if grade.in_laboratory(claim.property) and claim.property not in sampled:
            missing.append(f"{about.text} ({claim.text})")
    if missing:
        found.append(
            f"grade {grade.name} promises {', '.join(missing)}, which the laboratory has to find,"
            " and sampling.properties does not ask for it: a roll cannot be decided"
        )
    open_ends = []
    for name in ("thickness_um", "porosity_percent"):
        claim = grade.claim(name)
        if claim is None or (hidden and name == "porosity_percent"):
            continue
        quantity, unit = name.split("_")
        paths = [f"limits.{quantity}_{end}_{unit}" for end in ("lolo", "hihi")]
        open_ends += [path for path in paths if _unused(path, v[path])]
    if open_ends:
        found.append(
            f"{', '.join(open_ends)}: left out, so that nothing is rejected there; what grade"
            f" {grade.name} promises is decided by the roll's verdict alone"
        )
    claim = grade.claim("porosity_percent")
    highest = v["limits.permittivity_max"]
    if claim is not None and not hidden and highest < PERMITTIVITY_OFF:
        eps = permittivity_at(v, claim.low / 100)
        if v["limits.porosity_lo_percent"] == 0 and eps > highest:
            found.append(
                f"limits.permittivity_max ({plain(highest)}) cannot be met at {claim.low:g} %"
                f" porosity, which grade {grade.name} allows, with this solid unless pores are"
                f" flat: such film has {eps:.2f} and will be flagged"
            )
    return found


def _law(v: Values, today: date) -> list[str]:
    """How well founded L is."""
    fitted, u = v["mixing.fitted_on"], float(v["mixing.u_structure_factor"])
    if fitted is None:
        if u < _ASSUMED_U and v["layers.porosity"] == "measured":
            return [
                f"mixing.u_structure_factor ({u:g}): L was not fitted with samples of this film"
                " (mixing.fitted_on is left out); an assumed L has an uncertainty of 0.15:"
                " 'porogauge calibrate recipe' fits it"
            ]
        return []
    days = (today - date.fromisoformat(fitted)).days
    if days > FIT_DAYS:
        return [
            f"mixing.fitted_on ({fitted}): L was fitted {days} days ago; a fit is good for three"
            " months: 'porogauge calibrate recipe' renews it"
        ]
    return []


# ---------------------------------------------------------------- what the head can tell


def table(v: Values, words: array) -> list[Row]:
    """What the board will state over the recipe's range of thickness and porosity."""
    from .calibrate.budget import budget, monte_carlo  # numpy

    forecast = Forecast(words)
    hidden = words[config.POROSITY_MODE] != config.POROSITY_MEASURED
    rows = []
    for t in _range(v, "thickness_um", _THICKNESS_UM, geometric=True):
        for percent in _range(v, "porosity_percent", _POROSITY, geometric=False):
            eps = permittivity_at(v, percent / 100)
            told = forecast.of(t, eps)
            u95_t = 2 * told.u_thickness_um if "thickness" in told.valid else None
            u95 = 2 * told.u_porosity_percent if told.u_porosity_percent else None
            if hidden:
                verdict, u95 = "not_identifiable", None
            elif told.reason != "ok":
                verdict = told.reason
            else:
                verdict = "indicative" if u95 > 100 * INDICATIVE_U95 else "measured"
            interval = linear = None
            if u95 is not None:
                trial = monte_carlo(words, t, percent / 100, _DRAWS)
                interval = (round(100 * trial.low, 2), round(100 * trial.high, 2))
                linear = trial.agrees(budget(words, t, percent / 100), _AGREE)
            rows.append(Row(t, percent, round(eps, 4), u95_t, u95, interval, linear, verdict))
    return rows


def _range(v: Values, name: str, base: tuple[float, float], geometric: bool) -> list[float]:
    """Round values over what a recipe has to do with: its limits, its grade, else the base's."""
    quantity, unit = name.split("_")
    claim = GRADES[v["recipe.grade"]].claim(name)
    low = float(v[f"limits.{quantity}_lolo_{unit}"]) or (claim.low if claim else base[0])
    high = float(v[f"limits.{quantity}_hihi_{unit}"])
    if high == _TOP[unit]:
        high = claim.high if claim else base[1]
    target = v[f"film.target_{name}"]
    if low >= high:
        return [float(target or low)]
    found = {float(target)} if target is not None else set()
    for step in range(_POINTS):
        part = step / (_POINTS - 1)
        value = exp(log(low) + part * log(high / low)) if geometric else low + part * (high - low)
        found.add(float(f"{value:.2g}"))
    return sorted(value for value in found | {low, high} if low <= value <= high)


_LESS = {  # than measured: what a sentence calls it
    "indicative": "indicative only",
    "not_resolvable": "not reported",
    "capacitance_fault": "not to be had (the converter would be at its end)",
    "not_physical": "not to be had (no mixture of air and this solid is like it)",
}


def _resolution(rows: list[Row]) -> list[str]:
    """Where porosity will be less than measured: a sentence for each thickness, or for all."""
    found = []
    at = {
        t: [row for row in rows if row.thickness_um == t] for t in {r.thickness_um for r in rows}
    }
    if len({row.verdict for row in rows}) == 1 and rows[0].verdict in _LESS:
        return [f"over the whole range of the recipe porosity will be {_place(rows)}"]
    for t in sorted(at):
        kinds = dict.fromkeys(row.verdict for row in at[t] if row.verdict in _LESS)
        parts = [_place([row for row in at[t] if row.verdict == kind]) for kind in kinds]
        if parts:
            found.append(f"at {t:g} um thickness porosity will be {'; '.join(parts)}")
    return found


def _lopsided(rows: list[Row]) -> list[str]:
    """Where an uncertainty is no half of an interval: one sentence, with the worst of it."""
    bent = [row for row in rows if row.linear is False]
    if not bent:
        return []
    worst = max(bent, key=lambda row: abs(sum(row.interval_points)))
    low, high = worst.interval_points
    return [
        f"up to {max(row.thickness_um for row in bent):g} um thickness the error of porosity is"
        f" not linear everywhere: at {worst.thickness_um:g} um and"
        f" {worst.porosity_percent:g} % it is {low:.1f} to {high:+.1f} points (95 %), not ±"
        f"{worst.u95_porosity_percent:.1f}; averages over such film are biased"
    ]


def _place(rows: list[Row]) -> str:
    """Verdict, porosities and uncertainties of rows that have the same verdict."""
    percents = [row.porosity_percent for row in rows]
    u95 = [row.u95_porosity_percent for row in rows if row.u95_porosity_percent]
    text = f"{_LESS[rows[0].verdict]} at {_span(percents, 'g')} %"
    return text + (f", U95 of {_span(u95, '.1f')} points" if u95 else "")


def _span(numbers: list[float], form: str) -> str:
    low, high = (format(end, form) for end in (min(numbers), max(numbers)))
    return low if low == high else f"{low} to {high}"


def _envelope(v: Values, words: array) -> list[str]:
    """Targets outside of what the head was calibrated for."""
    found = []
    for path, low, high, factor in (
        ("film.target_thickness_um", "thickness_min_8nm", "thickness_max_8nm", 8000),
        ("film.target_porosity_percent", "porosity_min_ppm", "porosity_max_ppm", 10_000),
    ):
        ends = [words[INDEX[name]] / factor for name in (low, high)]
        target = v[path]
        if target is not None and not ends[0] <= target <= ends[1]:
            found.append(
                f"{path} ({plain(target)}) is outside of what the head was calibrated for,"
                f" {ends[0]:g} to {ends[1]:g}: every window will be flagged outside_envelope"
            )
    return found


def _room(v: Values, words: array) -> list[str]:
    """Limits between which the guard bands leave nothing."""
    guard, film = float(v["limits.guard_factor"]), film_of(v)
    if guard <= 0 or film is None:
        return []
    told = Forecast(words).of(film.thickness_um, permittivity_at(v, film.porosity))
    found = []
    for quantity, unit, u, name in (
        ("thickness", "um", told.u_thickness_um, "um"),
        ("porosity", "percent", told.u_porosity_percent, "points"),
    ):
        low = float(v[f"limits.{quantity}_lo_{unit}"])
        high = float(v[f"limits.{quantity}_hi_{unit}"])
        if u and low + guard * u >= high - guard * u:
            found.append(
                f"limits.guard_factor ({guard:g}): {quantity} is known to {u:.2g} {name} (u): the"
                f" guard bands leave nothing between {low:g} and {high:g}; it takes limits"
                f" {2 * guard * u:.2g} apart, or a guard factor below {(high - low) / (2 * u):.1f}"
            )
    return found
