"""Growth of D and gap with the frame, and the solid's permittivity with climate.

With the gap empty (tile in the beams) at several temperatures of the frame:

    a + b + tile = D + per_k_D (T - T_ref),    C = c0 gap / (gap + per_k_gap (T - T_ref))

With dense films of the recipe's solid, conditioned to several humidities and temperatures:

    eps = t / (t - Delta) = eps_50 [1 + per_rh (RH - 50 %) + per_k (T - 23 C)]

The thickness of a dense film is known twice, as stated and as measured here. What the
calibration leaves in t and Delta is common to all of them: it decides the permittivity and
hardly the slopes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, inf, sqrt
from typing import Any

import numpy as np

from .linear import LEAST_P, NotDetermined, Solution, Unknown, solve
from .physics import (
    PRESSURE_HPA,
    U_FRAME_C,
    Head,
    PointsError,
    Reference,
    air_permittivity,
    numbers,
    pressure_hpa,
    setting,
)
from .procedure import Estimate, Point, Result, Step, reading_columns

NAME = "environment"
OPTIONS = {
    "windows": (64, "windows", 4, 1000, "windows of each reading"),
    "u_rh_percent": (0.05, "%", 0.0, 5.0, "error of the humidity sensor between climates"),
    "u_air_k": (0.03, "K", 0.0, 5.0, "error of the air sensor between climates"),
    "rh_window_percent": (15.0, "%", 0.0, 50.0, "humidity to either side of 50 % that is used"),
    "residual_limit_um": (0.05, "um", 0.001, 5.0, "largest residual of D and gap"),
    "u_permittivity_limit": (0.08, "", 0.001, 1.0, "largest u of the solid's permittivity"),
}
STANDARDS = ("label", "thickness_um", "u_thickness_um")
COLUMNS = (
    ("id", "", None, None, True, "name of the point"),
    ("kind", "", None, None, True, "empty or solid"),
    ("label", "", None, None, False, "which dense film"),
    ("thickness_um", "um", 1.0, 1000.0, False, "its stated thickness"),
    ("u_thickness_um", "um", 0.0, 100.0, False, "standard uncertainty of that"),
    *reading_columns(
        "windows cap_pf frame_c air_c rh_percent",
        "cap_sd_pf a_um b_um a_sd_um b_sd_um sum_sd_um",
    ),
)
_FRAME_K = (-10.0, -5.0, 0.0, 5.0, 10.0)
_CLIMATES = ((50.0, 23.0), (20.0, 23.0), (80.0, 23.0), (50.0, 13.0), (50.0, 33.0), (50.0, 23.0))
_FILMS = (
    {"label": "solid-75", "thickness_um": 75.0, "u_thickness_um": 0.1},
    {"label": "solid-125", "thickness_um": 125.0, "u_thickness_um": 0.1},
)
_MODEL_UM = 0.002
_LEAST_READINGS = 4


def steps(tables: Mapping[str, Any], options: Mapping[str, Any]) -> list[Step]:
    """Return the readings to take; `standards` replaces the usual dense films."""
    head = Head(tables["calibration"])
    windows = int(setting(options, OPTIONS, "windows"))
    found = []
    for kelvin in _FRAME_K:
        frame = head.cap["frame_c"] + kelvin
        found.append(
            Step(
                f"frame {frame:g}",
                f"Clear the gap and bring the frame to {frame:g} C.",
                {"kind": "empty", "frame_set_c": frame},
                windows,
            )
        )
    frame = head.cap["frame_c"]
    for i, (rh, air) in enumerate(_CLIMATES):
        climate = {"frame_set_c": frame, "rh_set_percent": rh, "air_set_c": air}
        again = " again" if i == len(_CLIMATES) - 1 else ""
        where = f"{rh:g} %RH, {air:g} C{again}"
        found.append(
            Step(
                f"empty {where}",
                f"Clear the gap, frame at {frame:g} C, air at {where}.",
                {"kind": "empty", **climate},
                windows,
            )
        )
        for film in options.get("standards") or _FILMS:
            found.append(
                Step(
                    f"{film['label']} {where}",
                    f"Put the dense film {film['label']} into the gap, conditioned to {where}.",
                    {"kind": "solid", **film, **climate},
                    windows,
                )
            )
    return found


def fit(points: Sequence[Point], tables: Mapping[str, Any], options: Mapping[str, Any]) -> Result:
    """Return growth of D and gap, permittivity and its slopes.

    Raises PointsError when points lack data.
    """
    head = Head(tables["calibration"])
    result = Result(NAME, {}, {"calibration": {}, "recipe": {}}, residual_unit="um")
    empty = [p for p in points if p.get("kind") == "empty" and p.get("cap_pf") is not None]
    solid = [
        p for p in points
        if p.get("kind") == "solid" and None not in (p.get("cap_pf"), p.get("a_um"), p.get("b_um"))
    ]  # fmt: skip
    if not empty:
        raise PointsError("no reading of the empty gap: add points of kind 'empty'")
    if len(empty) < _LEAST_READINGS:
        result.reasons.append(
            f"{len(empty)} readings of the empty gap; at least {_LEAST_READINGS} are needed"
        )
    span = max(p["frame_c"] for p in empty) - min(p["frame_c"] for p in empty)
    grown = span >= 3
    if grown:
        _frame(result, empty, head, options)
    else:
        result.warnings.append(
            f"the frame moved by {span:.1f} K only: its growth is left as it is"
        )
    if solid:
        changed = Head(result.apply(tables)["calibration"])
        _solid(result, empty, solid, changed, numbers(tables["recipe"]["material"]), options)
    else:
        result.warnings.append("no dense film: the solid's permittivity is left as it is")
    if not grown and not solid:
        result.reasons.append("neither the frame nor the climate was changed: nothing was found")
    result.keep_found(tables)
    return result


def _add(result: Result, name: str, value: float, u: float, unit: str, k: float, path: str,
         places: int) -> None:  # fmt: skip
    result.estimates[name] = Estimate(value, u, unit, k, path)
    kind, _, field = path.partition(":")
    result.changes[kind][field] = round(value, places) if places else round(value)


def _frame(result: Result, empty: list[Point], head: Head, options) -> None:
    """Growth of D and gap."""
    reference = head.cap["frame_c"]
    lasers = [p for p in empty if p.get("a_um") is not None and p.get("b_um") is not None]
    product = head.cap["c0_pf"] * head.cap["gap_um"]
    air = np.array(
        [air_permittivity(p["air_c"], p["rh_percent"], pressure_hpa(p, options)) for p in empty]
    )
    air /= air.mean()
    sets = {
        "gap": (
            empty,
            [product * at / head.capacitance(p) for p, at in zip(empty, air, strict=True)],
            [product * head.u_capacitance(p) / head.capacitance(p) ** 2 for p in empty],
        )
    }
    if head.tile_um and lasers:
        sets["sum_distance"] = (lasers, [head.distances(p) + head.tile_um for p in lasers],
                                [head.u_distances(p) for p in lasers])  # fmt: skip
    else:
        result.warnings.append("no tile in the beams: the growth of D is left as it is")
    found = _growth(sets, head, reference)
    worst = 0.0
    for name, (points, _, noise) in sets.items():
        table = "capacitance" if name == "gap" else "lasers"
        per_k, u = found[name], found.u_of(name) * found.stretch
        if name == "gap":  # its scale is that of the gap
            u = hypot(u, per_k * head.u["gap_percent"] / 100)
        _add(result, f"{name}_um_per_k", per_k, u, "um/K", found.k,
             f"calibration:{table}.{name}_um_per_k", 5)  # fmt: skip
        for i, point in enumerate(points):
            warm = point["frame_c"] - reference
            rest = sets[name][1][i] - found[f"{name} at"] - per_k * warm
            worst = max(worst, abs(rest))
            own = float(np.hypot(np.hypot(noise[i], _MODEL_UM), U_FRAME_C * per_k))
            result.residuals.append(
                {"id": f"{point['id']} {name}", "x": warm, "residual": rest, "u": own}
            )
    result.chi2, result.dof = found.chi2, found.dof
    result.warnings += found.warnings
    limit = setting(options, OPTIONS, "residual_limit_um")
    most = max(abs(found[name]) for name in sets)
    if worst > max(limit, 4 * U_FRAME_C * most):
        result.reasons.append(
            f"a residual of D or gap is {worst:.3f} um, more than {limit:g} um: was the frame not"
            " yet at one temperature?"
        )
    drift = max(
        hypot(
            found[name] * U_FRAME_C * sqrt(2), found.u_of(name) * head.standard["due_k"] / sqrt(3)
        )
        for name in sets
    )
    result.changes["calibration"]["uncertainty.common_um"] = round(drift, 4)


def _growth(sets: Mapping[str, tuple], head: Head, reference: float) -> Solution:
    """Fit both lines at once: the frame sensor's error of a reading is the same in both."""
    points = {id(p): p for group, _, _ in sets.values() for p in group}
    order = {key: i for i, key in enumerate(points)}
    names = list(sets)
    unknowns = []
    for name, (_, values, _) in sets.items():
        before = (head.cap if name == "gap" else head.lasers)[f"{name}_um_per_k"]
        unknowns.append(Unknown(f"{name} at", float(np.mean(values)), inf, 1.0))
        unknowns.append(Unknown(name, before, inf, 1.0))
    first = len(unknowns)
    unknowns += [Unknown(f"frame {i}", 0.0, U_FRAME_C) for i in range(len(points))]
    read = {name: np.array([p["frame_c"] - reference for p in sets[name][0]]) for name in names}
    place = {name: np.array([order[id(p)] for p in sets[name][0]]) for name in names}

    def predict(p: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [
                p[2 * i] + p[2 * i + 1] * (read[name] - p[first + place[name]])
                for i, name in enumerate(names)
            ]
        )

    values = np.concatenate([sets[name][1] for name in names])
    noise = np.concatenate([sets[name][2] for name in names])
    return solve(unknowns, predict, values, np.hypot(noise, _MODEL_UM))


def _nearest(empty: list[Point], point: Point) -> Point:
    """The reading without film whose climate and frame are those of a point."""

    def apart(other: Point) -> float:
        climate = abs(other["rh_percent"] - point["rh_percent"]) / 3
        climate += abs(other["air_c"] - point["air_c"]) / 2
        return climate + abs(other["frame_c"] - point["frame_c"]) / 0.5

    return min(empty, key=apart)


def _read(empty: list[Point], solid: list[Point], head: Head, options) -> tuple[np.ndarray, ...]:
    """t and Delta of the dense films, their noise, and what errors of the frame sensor do.

    Such an error, of a reading with film or of the one without, moves t and Delta together: a
    row of the last array for each film, a column for each reading.
    """
    before = [_nearest(empty, point) for point in solid]
    readings = list({id(p): p for p in [*before, *solid]})
    drift = np.zeros((len(solid), len(readings)))
    found = []
    # C0 of another climate is not another gap: 30 %RH more would look like 4 ppm/%RH of slope
    usual = air_permittivity(23.0, 50.0, PRESSURE_HPA)
    for i, (without, point) in enumerate(zip(before, solid, strict=True)):
        reference = Reference(head, [without])
        now = air_permittivity(
            without["air_c"], without["rh_percent"], pressure_hpa(without, options)
        )
        reference.gap *= now / usual
        found.append(
            (
                reference.thickness(point),
                reference.deficit(point),
                hypot(reference.u_thickness(point), reference.u_thickness(without)),
                hypot(reference.u_deficit(point), reference.u_deficit(without)),
            )
        )
        drift[i, readings.index(id(without))] -= 1
        drift[i, readings.index(id(point))] += 1
    return (*np.array(found).T, drift)


def _solid(result: Result, empty, solid, head: Head, material, options) -> None:
    """The solid's permittivity and its slopes."""
    t, delta, u_t, u_delta, drift = _read(empty, solid, head, options)
    rh = np.array([p["rh_percent"] - 50.0 for p in solid])
    air = np.array([p["air_c"] - 23.0 for p in solid])
    labels = {
        str(p["label"]): (float(p["thickness_um"]), float(p["u_thickness_um"])) for p in solid
    }
    place = np.array([list(labels).index(str(p["label"])) for p in solid])
    n = len(labels)
    unknowns = [
        Unknown("eps", material["permittivity"], inf, 0.05),
        Unknown("per_rh", material.get("permittivity_ppm_per_percent_rh", 0.0), 2e4, 100.0),
        Unknown("per_k", material.get("permittivity_ppm_per_k", 0.0), 2e4, 100.0),
        Unknown("lasers", 0.0, max(1e-6, head.u["thickness_um"])),
        Unknown("deficit", 0.0, max(1e-6, head.u["deficit_um"])),
        Unknown("gap", 0.0, max(1e-9, 0.01 * head.u["gap_percent"])),
        *(
            Unknown(f"thickness of {label}", stated, u or 1e-6)
            for label, (stated, u) in labels.items()
        ),
        *(Unknown(f"frame {i}", 0.0, U_FRAME_C) for i in range(drift.shape[1])),
    ]
    growth = head.lasers["sum_distance_um_per_k"], head.cap["gap_um_per_k"]

    def predict(p: np.ndarray) -> np.ndarray:
        eps = p[0] * (1 + 1e-6 * (p[1] * rh + p[2] * air))
        true_t = p[6 : 6 + n][place]
        frame = drift @ p[6 + n :]
        return np.concatenate(
            [
                true_t + p[3] + growth[0] * frame,
                (true_t * (1 - 1 / eps) + p[4]) * (1 + p[5]) + growth[1] * frame,
            ]
        )

    # errors of the climate's sensors, as deficit
    slope_rh = material.get("permittivity_ppm_per_percent_rh", 0.0) * 1e-6
    climate = t / material["permittivity"] * hypot(
        slope_rh * setting(options, OPTIONS, "u_rh_percent"),
        abs(material.get("permittivity_ppm_per_k", 0.0)) * 1e-6
        * setting(options, OPTIONS, "u_air_k"),
    )  # fmt: skip
    u = np.concatenate([np.hypot(u_t, _MODEL_UM), np.hypot(np.hypot(u_delta, _MODEL_UM), climate)])
    try:
        found = solve(unknowns, predict, np.concatenate([t, delta]), u)
    except NotDetermined as error:
        result.reasons.append(f"{error}; measure dense films in more climates")
        return
    k, stretch = found.k, found.stretch
    paths = (
        ("eps", "permittivity", "permittivity", "", 5),
        ("per_rh", "permittivity_ppm_per_percent_rh", "per_rh_ppm", "ppm/%RH", 0),
        ("per_k", "permittivity_ppm_per_k", "per_k_ppm", "ppm/K", 0),
    )
    told = {"eps": True, "per_rh": np.ptp(rh) >= 10, "per_k": np.ptp(air) >= 3}
    for name, field, shown, unit, places in paths:
        if told[name]:
            _add(result, shown, found[name], found.u_of(name) * stretch, unit, k,
                 f"recipe:material.{field}", places)  # fmt: skip
        else:
            result.warnings.append(f"material.{field} is left as it is: one climate only")
    window = setting(options, OPTIONS, "rh_window_percent") / sqrt(3)
    rows = np.zeros((3, len(found.names)))
    for i, away in enumerate((-1, 0, 1)):
        rows[i, found.index("eps")] = 1
        rows[i, found.index("per_rh")] = away * sqrt(1.5) * window * found["eps"] * 1e-6
    u_eps = float(sqrt(np.mean(found.spread(rows) ** 2))) * stretch
    result.changes["recipe"]["material.u_permittivity"] = round(max(u_eps, 1e-4), 5)
    result.warnings += found.warnings
    result.chi2 += found.chi2
    result.dof += found.dof
    result.correlation["permittivity,per_rh_ppm"] = found.correlation("eps", "per_rh")
    half = len(solid)
    result.residuals += [
        {"id": f"{p['id']} deficit", "x": float(x), "residual": float(r), "u": float(s)}
        for p, x, r, s in zip(solid, rh + 50, found.residuals[half:], found.u[half:], strict=True)
    ]
    if found.probability < LEAST_P:
        result.reasons.append(
            f"the dense films do not agree: chi-square {found.chi2:.0f} for {found.dof} degrees of"
            " freedom; are they dense, flat, and conditioned long enough?"
        )
    limit = setting(options, OPTIONS, "u_permittivity_limit")
    if u_eps > limit:
        result.reasons.append(f"u of the solid's permittivity is {u_eps:.3f}, more than {limit:g}")
