"""Offset, gain, CAPDAC and linearity of the capacitance converter, from reference capacitors.

    reading = (1 + gain) (C - dac(code)) + offset

Capacitors of known value take the place of the electrodes, each read with as many CAPDAC codes as
leave it within the converter's range, whatever the CAPDAC's true step is (parts differ by 20 %).
Code 0 takes nothing off: it tells gain and offset. A capacitor read with several codes is the
same capacitor, so that the difference of two of them must be the same anywhere in the range:
that tells linearity far better than the capacitors are known. The drift of a capacitor between
two readings is not told from the converter's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, sqrt
from typing import Any

import numpy as np

from .linear import LEAST_P, NotDetermined, Unknown, solve
from .physics import CDC_FULL_PF, CDC_QUANTUM_PF, Head, complete, setting
from .procedure import Estimate, Point, Result, Step, reading_columns

NAME = "converter"
OPTIONS = {
    "windows": (64, "windows", 4, 1000, "windows of each reading"),
    "linearity_limit_ppm": (100, "ppm of 4.096 pF", 1, 1000, "largest residual that is accepted"),
}
STANDARDS = ("label", "reference_pf", "u_reference_pf")
COLUMNS = (
    ("id", "", None, None, True, "name of the point"),
    ("kind", "", None, None, True, "capacitor"),
    ("label", "", None, None, True, "which capacitor: one name, one capacitor"),
    ("reference_pf", "pF", 0.0, 100.0, True, "its stated value"),
    ("u_reference_pf", "pF", 0.0, 10.0, True, "standard uncertainty of that"),
    *reading_columns(
        "capdac_code windows cap_pf",
        "cap_sd_pf",
    ),
)
_CATALOGUE_PF = (1.0, 2.0, 3.0, 3.9, 5.0, 6.5, 8.5, 10.0, 12.0, 15.0, 18.0, 22.0)
_TYPICAL_STEP_PF = 0.1654  # AD7746: 21 pF over 127 steps
_STEP_ERROR = 0.2  # of parts
_WITHIN_PF = 3.95  # of the converter's 4.096 pF, for a reading to be planned


def steps(tables: Mapping[str, Any], options: Mapping[str, Any]) -> list[Step]:
    """Return the readings to take; `standards` replaces the usual set of capacitors."""
    head = Head(tables["calibration"])
    main = int(head.cap["capdac_code"])
    step = head.cap["capdac_pf"] / main if main else _TYPICAL_STEP_PF
    spread = max(1, round(main / 6))
    codes = [0] if not main else [0, max(1, main - spread), main, min(127, main + spread)]
    standards = options.get("standards") or [
        {"label": f"{c:g} pF", "reference_pf": c, "u_reference_pf": max(2e-4, 1e-4 * c)}
        for c in _CATALOGUE_PF
    ]
    found = []
    for standard in standards:
        c = float(standard["reference_pf"])
        for code in codes:
            ends = [c - code * step * (1 + way * _STEP_ERROR) for way in (-1, 1)]
            if max(abs(end) for end in ends) > _WITHIN_PF:
                continue
            found.append(
                Step(
                    f"{standard['label']}@{code}",
                    f"Connect the reference capacitor {standard['label']} in place of the"
                    " electrodes.",
                    {"kind": "capacitor", **standard},
                    int(setting(options, OPTIONS, "windows")),
                    code,
                )
            )
    return found


def fit(points: Sequence[Point], tables: Mapping[str, Any], options: Mapping[str, Any]) -> Result:
    """Return offset, gain, CAPDAC and linearity. Raises PointsError when points lack data."""
    head = Head(tables["calibration"])
    main = int(head.cap["capdac_code"])
    good, skipped = complete(
        points,
        ("capacitor",),
        ("cap_pf", "reference_pf", "u_reference_pf", "capdac_code"),
        "a converter at its end (saturated) gives none",
    )
    codes = sorted({int(p["capdac_code"]) for p in good} - {0})
    labels = {str(p["label"]): float(p["u_reference_pf"]) for p in good}
    step = head.cap["capdac_pf"] / main if main else _TYPICAL_STEP_PF
    unknowns = [
        Unknown("gain", 0.0, scale=1e-3),
        Unknown("offset", 0.0, scale=1e-2),
        *(Unknown(f"dac {code}", code * step, scale=0.1) for code in codes),
        *(Unknown(f"error of {label}", 0.0, u) for label, u in labels.items() if u),
    ]
    names = [x.name for x in unknowns]
    stated = np.array([float(p["reference_pf"]) for p in good])
    pick = np.zeros((len(good), len(names)))  # what each point takes of the unknown pF
    for row, point in zip(pick, good, strict=True):
        if point["capdac_code"]:
            row[names.index(f"dac {int(point['capdac_code'])}")] = -1
        if labels[str(point["label"])]:
            row[names.index(f"error of {point['label']}")] = 1
    observed = np.array([float(p["cap_pf"]) for p in good])
    noise = np.array([head.u_capacitance(p) for p in good])
    result = Result(NAME, {}, {"calibration": {}}, residual_unit="fF")
    if skipped:
        result.warnings.append(f"beyond the converter's range, not used: {', '.join(skipped)}")

    def predict(p: np.ndarray) -> np.ndarray:
        return (1 + p[0]) * (stated + pick @ p) + p[1]

    try:
        # What noise does not explain is the converter's linearity: one number for all points.
        bend = 0.0
        for _ in range(4):
            found = solve(unknowns, predict, observed, np.hypot(noise, bend))
            spare = max(1.0, len(good) - float(found.leverage.sum()))
            excess = found.residuals @ found.residuals / spare - float(np.mean(noise**2))
            bend = sqrt(max(0.0, excess))
    except NotDetermined as error:
        result.reasons.append(f"{error}; read more capacitors with more CAPDAC codes")
        return result
    if main and f"dac {main}" not in names:
        result.reasons.append(f"no reading with the CAPDAC code in force, {main}")
        return result
    _estimate(result, found, head, main, codes)
    _linearity(result, found, bend, float(np.mean(noise)), options)
    result.residuals = [
        {"id": p["id"], "x": float(p["cap_pf"]), "residual": 1e3 * r, "u": 1e3 * u}
        for p, r, u in zip(good, found.residuals, found.u, strict=True)
    ]
    scatter = [float(p["cap_sd_pf"]) for p in good if p.get("cap_sd_pf")]
    if scatter:
        noise_af = hypot(sqrt(float(np.mean(np.square(scatter)))), CDC_QUANTUM_PF / sqrt(12)) * 1e6
        result.changes["calibration"]["uncertainty.capacitance_af"] = max(1, round(noise_af))
        result.notes["noise_af"] = noise_af
    if result.dof and found.probability < LEAST_P:
        result.reasons.append(
            f"the readings do not follow a straight line: chi-square {found.chi2:.0f} for"
            f" {found.dof} degrees of freedom; is a capacitor unstable or misnamed?"
        )
    result.keep_found(tables)
    return result


def _estimate(result: Result, found, head: Head, main: int, codes: list[int]) -> None:
    """Values, uncertainties, what changes in the file."""
    k, stretch = found.k, found.stretch
    changes = result.changes["calibration"]
    result.chi2, result.dof = found.chi2, found.dof
    result.warnings += found.warnings

    def add(name: str, value: float, u: float, unit: str, field: str | None, places: int) -> None:
        path = f"calibration:{field}" if field else None
        result.estimates[name] = Estimate(value, u * stretch, unit, k, path)
        if field:
            changes[field] = round(value, places) if places else round(value)

    add("offset_pf", found["offset"], found.u_of("offset"), "pF", "capacitance.offset_pf", 6)
    add("gain_ppm", 1e6 * found["gain"], 1e6 * found.u_of("gain"), "ppm",
        "capacitance.gain_ppm", 0)  # fmt: skip
    result.correlation["offset_pf,gain_ppm"] = found.correlation("offset", "gain")
    if main:
        name = f"dac {main}"
        add("capdac_pf", found[name], found.u_of(name), "pF", "capacitance.capdac_pf", 6)
        low, high = codes[0], codes[-1]
        if low != high:
            row = np.zeros(len(found.names))
            row[found.index(f"dac {high}")], row[found.index(f"dac {low}")] = 1, -1
            span = high - low
            value = (found[f"dac {high}"] - found[f"dac {low}"]) / span
            u = float(found.spread(row)[0]) / span
            add("capdac_step_ff", 1e3 * value, 1e3 * u, "fF", None, 0)
    result.notes["dac_pf"] = {code: found[f"dac {code}"] for code in codes}


def _linearity(result: Result, found, bend: float, noise: float, options) -> None:
    limit = setting(options, OPTIONS, "linearity_limit_ppm")
    worst = 1e6 * float(np.max(np.abs(found.residuals))) / CDC_FULL_PF
    u = 1e6 * hypot(bend, noise) / CDC_FULL_PF
    result.estimates["linearity_ppm"] = Estimate(worst, u, "ppm of 4.096 pF")
    result.notes["linearity_rms_ppm"] = 1e6 * bend / CDC_FULL_PF
    if worst > limit:
        result.reasons.append(
            f"linearity: a residual is {worst:.0f} ppm of 4.096 pF, more than {limit:.0f} ppm"
        )
