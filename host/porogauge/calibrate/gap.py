"""Electrode gap, area and stray capacitance, from a stage that moves the electrodes apart.

    C = eps0 eps_air A / (gap + z) + stray

z is how far the stage (or a shim) has moved them from where they work; a reading of kind "empty"
is one at z = 0 exactly. Far apart the capacitance leaves the range of the CAPDAC code in force:
a lower code is used there, and read at the same place as the other one once, so that what the
two take off need not be known. The permittivity of air follows temperature, humidity and
pressure (`physics.air_permittivity`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .linear import LEAST_P, NotDetermined, Unknown, solve
from .physics import (
    CDC_FULL_PF,
    EPS0_PF_PER_UM,
    Head,
    air_permittivity,
    area_um2,
    complete,
    frame_temperatures,
    pressure_hpa,
    setting,
)
from .procedure import Estimate, Point, Result, Step, reading_columns

NAME = "gap"
OPTIONS = {
    "windows": (64, "windows", 4, 1000, "windows of each reading"),
    "u_stage_um": (0.1, "um", 0.0, 10.0, "standard uncertainty of a position of the stage"),
    "u_growth_um_per_k": (0.3, "um/K", 0.0, 10.0, "how well gap_um_per_k is known now"),
    "linearity_ppm": (20, "ppm of 4.096 pF", 0, 1000, "linearity of the converter, rms"),
    "pressure_hpa": (1013.25, "hPa", 500, 1100, "air pressure, where a point states none"),
}
STANDARDS = ("stage_um", "u_stage_um")
COLUMNS = (
    ("id", "", None, None, True, "name of the point"),
    ("kind", "", None, None, True, "empty (z = 0) or stage"),
    ("stage_um", "um", 0.0, 10_000.0, False, "how far the electrodes were moved apart"),
    ("u_stage_um", "um", 0.0, 100.0, False, "standard uncertainty of that"),
    *reading_columns(
        "capdac_code windows cap_pf frame_c air_c rh_percent",
        "cap_sd_pf pressure_hpa",
    ),
)
_NEAR_UM = (25.0, 50.0, 75.0, 100.0, 150.0, 200.0)
_FAR_UM = (200.0, 300.0, 450.0, 600.0, 800.0, 1000.0)
_LEAST_POINTS = 8


def steps(tables: Mapping[str, Any], options: Mapping[str, Any]) -> list[Step]:
    """Return the readings to take; `standards` replaces the usual positions of the stage."""
    head = Head(tables["calibration"])
    main = int(head.cap["capdac_code"])
    product = head.cap["c0_pf"] * head.cap["gap_um"]
    windows = int(setting(options, OPTIONS, "windows"))

    def at(z: float) -> float:
        return product / (head.cap["gap_um"] + z) + head.cap["stray_pf"]

    low = 0
    if main:
        low = round(at(_FAR_UM[0]) * 0.75 * main / head.cap["capdac_pf"])
    places = [(z, main) for z in _NEAR_UM] + [(z, low) for z in _FAR_UM]
    if options.get("standards"):
        given = [float(row["stage_um"]) for row in options["standards"]]
        near = [z for z in given if abs(at(z) - head.cap["capdac_pf"]) < 0.9 * CDC_FULL_PF]
        far = [z for z in given if z not in near]
        both = near[-1:] if far else []
        places = [(z, main) for z in near] + [(z, low) for z in both + far]
    u_of = {
        float(row["stage_um"]): float(row["u_stage_um"]) for row in options.get("standards") or []
    }
    default = setting(options, OPTIONS, "u_stage_um")
    empty = Step("empty", "Clear the gap, stage at its zero.", {"kind": "empty"}, windows)
    found = [empty]
    for z, code in places:
        u = u_of.get(z, default)
        found.append(
            Step(
                f"stage {z:g}" + ("" if code == main else f"@{code}"),
                f"Move the electrodes {z:g} um apart from where they work.",
                {"kind": "stage", "label": "stage", "stage_um": z, "u_stage_um": u},
                windows,
                code,
            )
        )
    return found + [Step("empty again", empty.text, dict(empty.setting), windows)]


def fit(points: Sequence[Point], tables: Mapping[str, Any], options: Mapping[str, Any]) -> Result:
    """Return gap, stray capacitance and area. Raises PointsError when points lack data."""
    head = Head(tables["calibration"])
    main = int(head.cap["capdac_code"])
    good, skipped = complete(
        points, ("empty", "stage"), ("cap_pf", "capdac_code"), "take them anew"
    )
    z = np.array([float(p.get("stage_um") or 0.0) if p["kind"] == "stage" else 0.0 for p in good])
    u_z = np.array(
        [float(p.get("u_stage_um") or 0.0) if p["kind"] == "stage" else 0.0 for p in good]
    )
    u_z = np.hypot(u_z, head.u_growth("gap"))
    air = np.array(
        [air_permittivity(p["air_c"], p["rh_percent"], pressure_hpa(p, options)) for p in good]
    )
    warm = frame_temperatures(good) - head.cap["frame_c"]
    codes = sorted({int(p["capdac_code"]) for p in good} - {main})
    step = head.cap["capdac_pf"] / main if main else 0.1654
    gain = 1 + 1e-6 * head.cap.get("gain_ppm", 0.0)
    observed = np.array([(p["cap_pf"] - head.cap.get("offset_pf", 0.0)) / gain for p in good])
    noise = np.array([head.u_capacitance(p) for p in good])
    noise = np.hypot(noise, setting(options, OPTIONS, "linearity_ppm") * 1e-6 * CDC_FULL_PF)
    product = head.cap["c0_pf"] * head.cap["gap_um"]
    unknowns = [
        Unknown("gap", head.cap["gap_um"], scale=10.0),
        Unknown("product", product, scale=0.01 * product),
        Unknown("stray", head.cap["stray_pf"], scale=0.05),
        Unknown("growth", head.cap["gap_um_per_k"], setting(options, OPTIONS, "u_growth_um_per_k")
                or 1e-9),
        *(Unknown(f"dac {code}", code * step, scale=0.1) for code in codes),
    ]  # fmt: skip
    taken = np.array([int(p["capdac_code"]) for p in good])
    result = Result(NAME, {}, {"calibration": {}}, residual_unit="fF")
    if skipped:
        result.warnings.append(f"beyond the converter's range, not used: {', '.join(skipped)}")
    if len(good) < _LEAST_POINTS:
        result.reasons.append(f"{len(good)} points; at least {_LEAST_POINTS} are needed")
    if not any(p["kind"] == "empty" for p in good):
        result.reasons.append("no reading of kind 'empty': where the electrodes work is not known")
        return result

    def predict(p: np.ndarray) -> np.ndarray:
        c = p[1] * air / (p[0] + z + p[3] * warm) + p[2]
        dac = np.full(len(c), head.cap["capdac_pf"])
        for i, code in enumerate(codes):
            dac[taken == code] = p[4 + i]
        return c - dac

    try:
        u = noise
        for _ in range(3):  # the stage's error shows in C, the more so the nearer
            found = solve(unknowns, predict, observed, u)
            slope = found["product"] / (found["gap"] + z) ** 2
            u = np.hypot(noise, slope * u_z)
    except NotDetermined as error:
        result.reasons.append(f"{error}; read more positions")
        return result
    _estimate(result, found, head, air, tables, main)
    result.residuals = [
        {"id": p["id"], "x": float(x), "residual": 1e3 * r, "u": 1e3 * s}
        for p, x, r, s in zip(good, z, found.residuals, found.u, strict=True)
    ]
    if found.probability < LEAST_P:
        result.reasons.append(
            f"the readings do not follow C = eps A / (gap + z) + stray: chi-square"
            f" {found.chi2:.0f} for {found.dof} degrees of freedom; is a shim dirty, or the"
            " stage worse than stated?"
        )
    result.keep_found(tables)
    return result


def _estimate(result: Result, found, head: Head, air, tables, main: int) -> None:
    """Values, uncertainties, what changes in the file."""
    k, stretch = found.k, found.stretch
    gap, product, stray = found["gap"], found["product"], found["stray"]
    mean_air = float(np.mean(air))
    c0 = product * mean_air / gap
    row = np.zeros(len(found.names))
    row[found.index("product")] = mean_air / gap
    row[found.index("gap")] = -c0 / gap
    u_c0 = float(found.spread(row)[0])
    area = product / EPS0_PF_PER_UM / 1e6
    u_area = found.u_of("product") / EPS0_PF_PER_UM / 1e6
    result.chi2, result.dof = found.chi2, found.dof
    result.warnings += found.warnings
    rows = (
        ("gap_um", gap, found.u_of("gap"), "um", 4),
        ("stray_pf", stray, found.u_of("stray"), "pF", 6),
        ("c0_pf", c0, u_c0, "pF", 6),
    )
    changes = result.changes["calibration"]
    for name, value, u, unit, places in rows:
        path = f"calibration:capacitance.{name}"
        result.estimates[name] = Estimate(value, u * stretch, unit, k, path)
        changes[f"capacitance.{name}"] = round(value, places)
    result.estimates["area_mm2"] = Estimate(area, u_area * stretch, "mm2", k)
    result.correlation["gap_um,stray_pf"] = found.correlation("gap", "stray")
    # What errors of gap and stray (which is in C0 and C alike) do to a deficit of a tenth gap.
    x = 0.1
    row = np.zeros(len(found.names))
    row[found.index("gap")] = 1 / gap
    row[found.index("stray")] = (1 - x) / c0
    percent = 100 * float(found.spread(row)[0]) * stretch
    changes["uncertainty.gap_percent"] = max(0.001, round(percent, 4))
    result.estimates["deficit_error_percent"] = Estimate(0.0, percent, "%", k)
    diameter = tables["calibration"]["head"].get("electrode_diameter_mm")
    if diameter:
        ideal = area_um2(float(diameter)) / 1e6
        result.notes["area_over_ideal"] = area / ideal
        if not 0.8 <= area / ideal <= 1.25:
            result.reasons.append(
                f"the effective area, {area:.1f} mm2, does not belong to electrodes of"
                f" {float(diameter):g} mm ({ideal:.1f} mm2)"
            )
    if abs(float(stray)) > 2:
        result.reasons.append(f"stray capacitance {stray:.3f} pF is not within -2 to 2 pF")
    most = 100.0  # um of deficit: a dense film of 150 um
    full = c0 / (1 - most / gap) + stray if gap > 2 * most else 2 * c0 + stray
    if full - head.cap["capdac_pf"] > CDC_FULL_PF and main:
        code = round((c0 + full) / 2 / (head.cap["capdac_pf"] / main))
        result.warnings.append(
            f"a film with {most:g} um of deficit would saturate the converter: take CAPDAC code"
            f" {code} instead of {main} and calibrate anew from the converter on"
        )
