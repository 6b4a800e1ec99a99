"""Everything that the windows of a web say about the process, one value after the other.

    >>> for found in statistics("roll.db", Options(rollers={"calender": 900.0}), roll="A-17"):
    ...     print(found.report["value"], found.report["mean"]["value"])

`Analysis.report` is plain data for JSON, for the page and for certificates; its keys are in
STATISTICS.md. Its arrays are for pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from gauge import config

from ..grades import grade
from ..rollers import turns
from ..rolls import Roll, find, in_force, recipe_values
from ..store import Store, words_of
from . import capability, control_charts, correlation, variance
from . import readings as making
from .estimate import Estimate, NotComputable, attempt, chi2_point, missing, t_point
from .rules import NELSON, RULES, WESTERN_ELECTRIC, chance, signals
from .spectrum import Peak, Spectrum, peaks, rollers_of, spectrum
from .windows import VALUES, Value, Web, read_boots, read_roll

__all__ = [
    "Analysis",
    "Limits",
    "Options",
    "analyse",
    "limits_of",
    "rollers_of_line",
    "statistics",
]

_STRETCHES = 200  # of a signal that are listed
_ADVISED_R = 10  # readings of a subgroup up to which its range is a good measure


@dataclass(frozen=True, slots=True)
class Limits:
    """Specification limits, one of them may be None; `source` says whose they are."""

    lower: float | None = None
    upper: float | None = None
    source: str = "none"


@dataclass(frozen=True, slots=True)
class Options:
    """What to compute. `values`: of `windows.VALUES`; `limits`: value -> limits, instead of those
    of recipe and grade; `rollers`: name -> circumference in mm, besides those of the recipe."""

    values: tuple[str, ...] = ("thickness", "porosity")
    subgroup_m: float = 1.0
    size: int = 5
    ewma_weight: float = 0.2
    rollers: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, Limits] = field(default_factory=dict)


@dataclass(slots=True)
class Analysis:
    """One value of one web. `report`: plain data; the rest is None where it cannot be computed."""

    value: Value
    report: dict[str, Any]
    limits: Limits
    readings: making.Readings | None = None
    middles: np.ndarray | None = None  # of the subgroups, metres
    charts: dict[str, control_charts.Chart] = field(default_factory=dict)
    correlation: np.ndarray | None = None
    spectrum: Spectrum | None = None
    peaks: list[Peak] = field(default_factory=list)


def statistics(
    database: str | Path,
    options: Options | None = None,
    *,
    roll: str | None = None,
    device: str | None = None,
    boot: int | None = None,
) -> list[Analysis]:
    """Analyse a roll, or all that a database has of a device (of one boot).

    Raises PorogaugeError when there are no windows at all, UsageError when it is not clear which
    device is meant. What cannot be computed of the windows is null in the report, with a reason.
    """
    options = options or Options()
    with Store(database, read_only=True, check=False) as store:
        if roll is None:
            known = None
            web = read_boots(store, options.values, device, boot)
        else:
            known = find(store, roll)
            web = read_roll(store, known, options.values)
        limits = {
            name: options.limits.get(name) or limits_of(store, web, known, name)
            for name in options.values
        }
        options = replace(options, rollers=rollers_of_line(store, web, known) | options.rollers)
    return analyse(web, options, limits)


def rollers_of_line(store: Store, web: Web, roll: Roll | None) -> dict[str, float]:
    """Name and circumference (mm) of the rollers that the recipe lists."""
    if roll is not None:
        return turns(recipe_values(store, roll.recipe))
    rows = store.configurations(web.device, web.boots[-1])
    return turns(recipe_values(store, rows[-1]["recipe_id"])) if rows else {}


def analyse(web: Web, options: Options, limits: Mapping[str, Limits]) -> list[Analysis]:
    """Analyse a web; `limits` (`limits_of`) of each of the values of the options."""
    grids = _Grids(web, options)
    with suppress(NotComputable):  # each value tells of it
        _ = grids.readings, grids.fine
    with ThreadPoolExecutor(len(options.values)) as pool:
        return list(
            pool.map(
                lambda name: _analyse(web, grids, name, options, limits[name]), options.values
            )
        )


class _Grids:
    """Where windows are in readings, and in places of two windows: once for all values."""

    def __init__(self, web: Web, options: Options) -> None:
        self._web = web
        self._reading = options.subgroup_m / options.size, options.size

    @cached_property
    def readings(self) -> making.Grid:
        making.advance_m(self._web.sections)  # says so when the web stood still
        return making.Grid(self._web.sections, *self._reading)

    @cached_property
    def fine(self) -> making.Grid:
        # Two windows in a place: speed may vary, and few places are empty.
        step = 2 * making.advance_m(self._web.sections)
        return making.Grid(self._web.sections, ceil(1e3 * step - 1e-6) / 1e3)


def limits_of(store: Store, web: Web, roll: Roll | None, name: str) -> Limits:
    """Those of the recipe in force at the end; where it has none, the claim of the grade."""
    if roll is None:
        rows = store.configurations(web.device, web.boots[-1])
    else:
        rows = in_force(store, roll)
    found = [_stated(words_of(row), name) for row in rows]
    if found and found[-1] != (None, None):
        source = f"recipe {rows[-1]['recipe_id']:08x}"
        if any(pair != found[-1] for pair in found):
            source += ", in force at the end; other limits were before"
        return Limits(*found[-1], source)
    claim = grade(roll.grade).claim(VALUES[name].name) if roll is not None else None
    return Limits() if claim is None else Limits(claim.low, claim.high, f"grade {roll.grade}")


def _stated(words: Sequence[int], name: str) -> tuple[float | None, float | None]:
    """Lower and upper limit of a configuration."""
    if name == "permittivity":
        return None, words[config.PERMITTIVITY_MAX_E4] / 10_000
    if name not in ("thickness", "porosity"):
        return None, None
    unit, factor, end = ("8NM", 8000, 1000) if name == "thickness" else ("PPM", 10_000, 100)
    lower, upper = (
        words[getattr(config, f"{name}_{which}_{unit}".upper())] / factor
        for which in ("lolo", "hihi")
    )
    # 0 and the end of the scale mean 'no limit'
    return lower or None, None if upper >= end else upper


def _analyse(web: Web, grids: _Grids, name: str, options: Options, limits: Limits) -> Analysis:
    value = VALUES[name]
    left_out = web.left_out[name]
    notes: list[str] = []
    report: dict[str, Any] = {
        "value": value.name,
        "unit": value.unit,
        "device": web.device,
        "boots": list(web.boots),
        "windows": web.windows,
        "windows_used": web.windows - sum(left_out.values()),
        "left_out": dict(sorted(left_out.items())),
        "not_stored": web.missing,
        "sections": len(web.sections),
        "length_m": float(sum(np.ptp(section.metres) for section in web.sections)),
        "window_u95": web.u95[name],
        "limits": asdict(limits),
    }
    found = Analysis(value, report, limits)
    report["readings"] = attempt(lambda: _readings(found, grids, name, options))
    report["autocorrelation"] = attempt(lambda: _correlation(found, notes))
    worth = _worth(found)
    report |= _moments(found, worth, limits)
    report["charts"] = _charts(found, options, notes)
    report["capability"] = attempt(lambda: _capability(found, options, worth, limits, notes))
    report["variance_components"] = attempt(lambda: _components(found, options, notes))
    report["spectrum"] = attempt(lambda: _spectrum(found, grids, name, options, notes))
    report["notes"] = notes
    return found


def _needed(found: Analysis) -> making.Readings:
    if found.readings is None:
        raise NotComputable(found.report["readings"]["reason"])
    return found.readings


def _readings(found: Analysis, grids: _Grids, name: str, options: Options) -> dict[str, Any]:
    made = grids.readings.means(name)
    if not len(made.valid):
        raise NotComputable(
            f"no {made.step_m:g} m of web have a valid number in half of their windows"
        )
    found.readings = made
    table, found.middles = making.subgroups(made, options.size)
    whole = int(np.isfinite(table[:, 0]).sum())
    touched = int(np.isfinite(made.means.reshape(table.shape)).any(axis=1).sum())
    return {
        "length_m": made.step_m,
        "used": len(made.valid),
        "left_out": made.left_out,
        "subgroup_m": options.subgroup_m,
        "per_subgroup": options.size,
        "subgroups_used": whole,
        "subgroups_incomplete": touched - whole,
    }


def _correlation(found: Analysis, notes: list[str]) -> dict[str, Any]:
    made = _needed(found)
    r = correlation.autocorrelation(made.means, max(2, len(made.means) // 4))
    found.correlation = r
    try:
        length = Estimate(
            correlation.length_m(r, made.step_m), reason="no interval: see STATISTICS.md"
        )
    except NotComputable as error:
        length = missing(error)
    worth = correlation.effective(r, len(made.valid))
    if worth.mean < 0.5 * len(made.valid):
        notes.append(
            f"neighbouring readings are alike: {len(made.valid)} are worth {worth.mean:.0f}"
            f" independent ones for the mean, {worth.variance:.0f} for the standard deviation;"
            " intervals take that into account"
        )
    return {
        "lag_m": made.step_m,
        "lag_1": float(r[1]),
        "length_m": length.to_dict(),
        "worth_for_mean": worth.mean,
        "worth_for_spread": worth.variance,
    }


def _worth(found: Analysis) -> correlation.Effective | None:
    if found.correlation is None or found.readings is None:
        return None
    return correlation.effective(found.correlation, len(found.readings.valid))


def _moments(
    found: Analysis, worth: correlation.Effective | None, limits: Limits
) -> dict[str, Any]:
    """Mean and standard deviation of the readings, and how many are beyond the limits."""
    if found.readings is None:
        none = missing(found.report["readings"]["reason"]).to_dict()
        return {"mean": none, "sd": none, "outside": {"reason": none["reason"]}}
    values = found.readings.valid
    mean = Estimate(float(values.mean()), reason="no interval: too few readings")
    sd = missing("one reading only")
    if len(values) > 1:
        s = float(values.std(ddof=1))
        sd = Estimate(s, reason="no interval: too few readings")
        if worth is not None and worth.mean >= 2:
            half = t_point(0.975, worth.mean - 1) * s / sqrt(worth.mean)
            mean = Estimate(mean.value, mean.value - half, mean.value + half)
        if worth is not None and worth.variance >= 2:
            dof = worth.variance - 1
            low, high = (s * sqrt(dof / chi2_point(p, dof)) for p in (0.975, 0.025))
            sd = Estimate(s, low, high)
    outside: dict[str, Any] = {"reason": "there are no limits"}
    if limits.lower is not None or limits.upper is not None:
        below = 0 if limits.lower is None else int((values < limits.lower).sum())
        above = 0 if limits.upper is None else int((values > limits.upper).sum())
        percent = 100 * (below + above) / len(values)
        outside = {"below": below, "above": above, "percent": percent, "reason": None}
    return {"mean": mean.to_dict(), "sd": sd.to_dict(), "outside": outside}


# ---------------------------------------------------------------- charts


def _charts(found: Analysis, options: Options, notes: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}

    def add(*charts: control_charts.Chart) -> None:
        for chart in charts:
            found.charts[chart.name] = chart
            made[chart.name] = _chart(chart, found.middles, options) | {"reason": None}

    def table() -> np.ndarray:
        return making.subgroups(_needed(found), options.size)[0]

    def points() -> np.ndarray:
        return table().mean(axis=1)

    jobs: tuple[tuple[tuple[str, ...], Callable[[], Any]], ...] = (
        (("xbar_r", "r"), lambda: add(*control_charts.xbar_r(table()))),
        (("xbar_s", "s"), lambda: add(*control_charts.xbar_s(table()))),
        (("individuals", "moving_range"), lambda: add(*control_charts.individuals(points()))),
        (("ewma",), lambda: add(control_charts.ewma(points(), options.ewma_weight))),
    )
    for names, job in jobs:
        try:
            job()
        except NotComputable as error:
            made |= {name: {"reason": str(error)} for name in names}
    if options.size > _ADVISED_R and "r" in found.charts:
        notes.append(
            f"subgroups of {options.size} readings: of so many the range says little,"
            " use the chart of standard deviations"
        )
    _alike(found, made, notes)
    return made


def _alike(found: Analysis, made: dict[str, Any], notes: list[str]) -> None:
    """Say it where the charts' assumption of independent points does not hold."""
    if "xbar_r" not in found.charts:
        return
    try:
        r = correlation.autocorrelation(found.charts["xbar_r"].points, 1)[1]
    except NotComputable:
        return
    count = made["xbar_r"]["points"]
    for name in ("xbar_r", "xbar_s", "individuals", "ewma"):
        if name in found.charts:
            made[name]["lag_1"] = float(r)
    if r > 2 / sqrt(count):
        notes.append(
            f"neighbouring subgroups are alike (autocorrelation {r:.2f}): their means move more"
            " than the scatter within them and from one to the next explains; the charts signal"
            " more often than 'by_chance', and that is a property of the film, not an event"
        )


def _chart(
    chart: control_charts.Chart, middles: np.ndarray | None, options: Options
) -> dict[str, Any]:
    there = np.isfinite(chart.points)
    last = np.flatnonzero(there)[-1]

    def limit(of: float | np.ndarray) -> float:
        return float(of[last]) if isinstance(of, np.ndarray) else float(of)

    found: dict[str, Any] = {}
    if chart.patterns:
        z = chart.z
        for rule in WESTERN_ELECTRIC + NELSON:
            at = signals(z, rule)
            found[rule] = _stretches(at, middles, options.subgroup_m) | {
                "by_chance": chance(rule) * _eligible(there, RULES[rule][1])
            }
    else:
        found["beyond_limits"] = _stretches(chart.beyond, middles, options.subgroup_m)
    return {
        "points": int(there.sum()),
        "centre": chart.centre,
        "lower": limit(chart.lower),
        "upper": limit(chart.upper),
        "sigma_of_point": chart.sigma,
        "signals": found,
    }


def _eligible(there: np.ndarray, needed: int) -> int:
    """Points at which a pattern of so many points can be complete."""
    total = np.concatenate([[0], np.cumsum(there)])
    return int((total[needed:] - total[:-needed] == needed).sum())


def _stretches(at: np.ndarray, middles: np.ndarray | None, length_m: float) -> dict[str, Any]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], at.astype(np.int8), [0]])))
    pairs = list(zip(edges[::2], edges[1::2] - 1, strict=True))
    half = length_m / 2
    return {
        "count": int(at.sum()),
        "stretches_m": [
            [float(middles[a] - half), float(middles[b] + half)] for a, b in pairs[:_STRETCHES]
        ],
        "stretches_left_off": max(0, len(pairs) - _STRETCHES),
    }


# ---------------------------------------------------------------- capability and the rest


def _capability(
    found: Analysis,
    options: Options,
    worth: correlation.Effective | None,
    limits: Limits,
    notes: list[str],
) -> dict[str, Any]:
    made = _needed(found)
    if limits.lower is None and limits.upper is None:
        raise NotComputable("neither recipe nor grade has limits: state --lower and --upper")
    table = making.subgroups(made, options.size)[0]
    process = capability.process(table, *(() if worth is None else (worth.mean, worth.variance)))
    told: dict[str, Any] = {
        name: estimate.to_dict()
        for name, estimate in capability.indices(process, limits.lower, limits.upper).items()
    }
    told["cnpk"] = capability.percentile_index(made.valid, limits.lower, limits.upper).to_dict()
    told["sd_within"], told["sd_overall"] = process.within, process.overall
    steps = 1
    if found.correlation is not None:
        try:
            steps = ceil(correlation.length_m(found.correlation, made.step_m) / made.step_m)
        except NotComputable as error:
            steps = len(found.correlation) if "longer" in str(error) else 1
    try:
        test = capability.normality(made.valid, steps)
        told["normality"] = asdict(test) | {"reason": None}
        notes.append(test.sentence)
    except NotComputable as error:
        told["normality"] = {"reason": str(error)}
        notes.append(f"normality could not be tested: {error}")
    if worth is None:
        notes.append("autocorrelation could not be tested: intervals take it that there is none")
    notes.append(
        f"capability is that of means over {made.step_m:g} m of web, the gauge's own scatter"
        " included; other lengths give other indices"
    )
    return told


def _components(found: Analysis, options: Options, notes: list[str]) -> dict[str, Any]:
    table = making.subgroups(_needed(found), options.size)[0]
    worth = None
    try:
        means = table.mean(axis=1)
        count = int(np.isfinite(means).sum())
        r = correlation.autocorrelation(means, max(2, len(means) // 4))
        worth = correlation.effective(r, count).variance
    except NotComputable:
        notes.append("variance components: too few subgroups to see whether they are alike")
    made = variance.one_way(table, worth)
    shares = made.shares_percent
    return {
        "method": made.method,
        "unit": f"{found.value.unit}^2" if found.value.unit else "",
        "components": {
            name: estimate.to_dict() | {"percent": shares.get(name)}
            for name, estimate in made.components.items()
        },
    }


def _spectrum(
    found: Analysis, grids: _Grids, name: str, options: Options, notes: list[str]
) -> dict[str, Any]:
    grid = grids.fine.means(name)
    made = found.spectrum = spectrum(grid.means, grid.step_m)
    found.peaks = peaks(made)
    told = []
    for peak in found.peaks:
        fits = rollers_of(peak, options.rollers, made.resolution_per_m)
        told.append(asdict(peak) | {"rollers": fits})
    if found.peaks and not options.rollers:
        notes.append("periods were found; name the rollers of the line to see whose they are")
    return {
        "method": "Welch, Hann window, stretches that overlap by half",
        "stretch_m": made.stretch_m,
        "stretches": made.stretches,
        "stretches_left_out": made.left_out,
        "shortest_period_mm": 2000 * grid.step_m,
        "longest_period_mm": 1000 * made.stretch_m / 8,
        "periods": told,
    }
