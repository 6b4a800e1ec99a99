"""Heads that nobody has calibrated yet: hidden errors, what a user starts from, and the truth.

    >>> scenario = hidden_head(7)
    >>> tables = nominal_tables()           # {"calibration": ..., "recipe": ...}
    >>> truth_of(scenario)["calibration:capacitance.gap_um"] == scenario.head.gap_um
    True

A hidden head is a scenario whose film never comes: what is in the gap is a matter of the fixture
(`fixture`, `stations`). Its errors are drawn from the seed within `SPREAD`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from . import noise
from .calibration import latency_us
from .chips import ad7746
from .chips.optoncdt import as_read
from .head import EPS0, air_permittivity, area_m2, disc_m2
from .scenario import Scenario

NEVER_S = 1e6
CAPDAC_PF = 21 / 127  # one step of a typical AD7746, data sheet
GAP_UM, SUM_UM, TILE_UM, ELECTRODE_MM = 400.0, 2050.0, 500.0, 20.0
COUNTS_PER_M = 1000  # default of a scenario's [line]
LATENCY_US = 533  # two periods of 250 us and three characters

# (section, field): (lowest, highest); pairs are drawn for each laser
SPREAD: dict[tuple[str, str], tuple[float, float]] = {
    ("head", "gap_um"): (GAP_UM - 5, GAP_UM + 5),
    ("head", "area_percent"): (-0.5, 0.5),
    ("head", "stray_pf"): (0.1, 0.3),
    ("head", "sum_distance_um"): (SUM_UM - 10, SUM_UM + 10),
    ("head", "reference_um"): (TILE_UM - 1, TILE_UM + 1),
    ("head", "sum_um_per_k"): (1.0, 1.3),
    ("head", "gap_um_per_k"): (1.0, 1.3),
    ("head", "spot_offset_um"): (-20, 20),
    ("laser", "gain_ppm"): (-2000, 2000),
    ("laser", "linearity_um"): (0.2, 0.8),
    ("laser", "linearity_deg"): (-180, 180),
    ("laser", "latency_us"): (-40, 40),
    ("capacitance", "capdac_step_ff"): (800 * CAPDAC_PF, 1200 * CAPDAC_PF),
    ("capacitance", "gain_ppm"): (-3000, 3000),
    ("capacitance", "offset_ff"): (-30, 30),
    ("capacitance", "linearity_ppm"): (0, 40),
    ("capacitance", "temperature_error_k"): (-0.2, 0.2),
    ("film", "structure"): (0.2, 0.5),
    ("film", "solid_permittivity"): (3.2, 3.4),
    ("film", "solid_ppm_per_rh"): (1500, 3500),
    ("film", "solid_ppm_per_k"): (-300, 300),
    ("film", "intrusion_um"): (-0.3, 0.3),
}
PAIRS = ("gain_ppm", "linearity_deg", "latency_us")


def hidden_head(seed: int) -> Scenario:
    """Return the scenario of a head with hidden errors."""
    draw = noise.generator(seed, noise.HEAD)
    data: dict[str, dict[str, Any]] = {
        "run": {"seed": seed, "name": f"hidden head {seed}"},
        "film": {"start_s": NEVER_S},
        "head": {"electrode_mm": ELECTRODE_MM},
    }
    for (section, field), (low, high) in SPREAD.items():
        pair = section == "laser" and field in PAIRS
        drawn = draw.uniform(low, high, 2).tolist() if pair else float(draw.uniform(low, high))
        data.setdefault(section, {})[field] = drawn
    return Scenario.from_dict(data, source=f"head {seed}")


def nominal_tables() -> dict[str, dict[str, Any]]:
    """Return calibration and recipe of a new head: its drawing, with wide uncertainties."""
    from porogauge.recipe import standard_calibration, standard_recipe

    calibration, recipe = standard_calibration(), standard_recipe()
    air = air_permittivity(23.0, 50.0, 1013.25)
    c0_pf = 1e12 * EPS0 * air * disc_m2(ELECTRODE_MM) / (GAP_UM * 1e-6)
    code = round(c0_pf / CAPDAC_PF)
    calibration["calibration"]["name"] = "drawing of the head"
    calibration["head"]["electrode_diameter_mm"] = ELECTRODE_MM
    calibration["lasers"] |= {
        "a_latency_us": LATENCY_US,
        "b_latency_us": LATENCY_US,
        "sum_distance_um": SUM_UM,
        "reference_um": TILE_UM,
    }
    calibration["capacitance"] |= {
        "capdac_code": code,
        "capdac_pf": round(code * CAPDAC_PF, 6),
        "c0_pf": round(float(c0_pf), 6),
        "gap_um": GAP_UM,
        "stray_pf": 0.0,
    }
    calibration["uncertainty"] |= {
        "thickness_um": 5.0,
        "deficit_um": 2.0,
        "common_um": 1.0,
        "gap_percent": 2.0,
    }
    calibration["standardisation"] |= {"warm_up_s": 0}
    calibration["envelope"] |= {"thickness_max_um": 200}
    calibration["encoder"]["counts_per_m"] = COUNTS_PER_M
    recipe["recipe"]["name"] = "film of the bench"
    recipe["material"] |= {"permittivity": 3.3, "u_permittivity": 0.1}
    recipe["mixing"] |= {"structure_factor": 0.333333, "u_structure_factor": 0.15}
    for name in [name for name in recipe["limits"] if name[-3:] in ("_um", "ent")]:
        if not name.startswith("porosity_u95"):
            del recipe["limits"][name]  # no limits: the film's range is not known yet
    for name in ("target_thickness_um", "target_porosity_percent"):
        recipe["film"].pop(name, None)
    return {"calibration": calibration, "recipe": recipe}


def laser_error_um(scenario: Scenario, which: str, read_um: float) -> float:
    """Return by how much laser "a" or "b" reads too far where it reads `read_um`."""
    true_um = read_um
    for _ in range(20):
        seen = as_read(np.array([true_um / 1000]), scenario.laser, which)
        true_um += read_um - 1000 * float(seen[0])
    return read_um - true_um


def truth_of(scenario: Scenario, tables: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Return the true values of a head and its film, in the units of the files' fields.

    "calibration:capacitance.gap_um" and so on. What holds at a frame temperature is that of
    `tables` (as the head's own sensor reads it), without them 23 C in truth; CAPDAC that of its
    code. D is that of lasers whose errors count from where they read half of `SUM_UM`: a constant
    of their passline maps cannot be told from it.
    """
    head, cap, film = scenario.head, scenario.capacitance, scenario.film
    code, kelvin = cap.capdac_code, 0.0
    if tables is not None:
        given = tables["calibration"]["capacitance"]
        code = int(given["capdac_code"])
        kelvin = float(given["frame_c"]) - cap.temperature_error_k - head.frame_reference_c
    gap_um = head.gap_um + head.gap_um_per_k * kelvin
    climate = scenario.climate
    air = air_permittivity(climate.air_c, climate.rh_percent, climate.pressure_hpa)
    area = area_m2(head)
    at_middle = sum(laser_error_um(scenario, which, SUM_UM / 2) for which in "ab")
    calibration = {
        "lasers.sum_distance_um": head.sum_distance_um + head.sum_um_per_k * kelvin + at_middle,
        "lasers.sum_distance_um_per_k": head.sum_um_per_k,
        "lasers.reference_um": head.reference_um,
        "lasers.a_latency_us": latency_us(scenario, "a"),
        "lasers.b_latency_us": latency_us(scenario, "b"),
        "capacitance.capdac_pf": code * cap.capdac_step_ff / 1000,
        "capacitance.gain_ppm": cap.gain_ppm,
        "capacitance.offset_pf": cap.offset_ff / 1000,
        "capacitance.stray_pf": head.stray_pf,
        "capacitance.c0_pf": 1e18 * EPS0 * air * area / gap_um,
        "capacitance.gap_um": gap_um,
        "capacitance.gap_um_per_k": head.gap_um_per_k,
    }
    recipe = {
        "material.permittivity": film.solid_permittivity,
        "material.permittivity_ppm_per_percent_rh": film.solid_ppm_per_rh,
        "material.permittivity_ppm_per_k": film.solid_ppm_per_k,
        "mixing.structure_factor": film.structure,
        "film.thickness_offset_um": film.intrusion_um,
    }
    return {f"calibration:{name}": float(value) for name, value in calibration.items()} | {
        f"recipe:{name}": float(value) for name, value in recipe.items()
    }


def seen_deficit_um(scenario: Scenario, tables: Mapping[str, Any], true_um: float) -> float:
    """Return what a calibration makes of a known deficit, without noise, at 23 C in truth.

    The formulas of `gauge.film`, against the empty gap of the same head.
    """
    head, cap = scenario.head, scenario.capacitance
    given = {name: float(value) for name, value in _numbers(tables["calibration"]["capacitance"])}
    deficit = {name: float(value) for name, value in _numbers(tables["calibration"]["deficit"])}
    code = int(given["capdac_code"])
    air = air_permittivity(23.0, 50.0, 1013.25)

    def found_pf(gap_um: float) -> float:
        cap_f = EPS0 * air * area_m2(head) / (gap_um * 1e-6) + head.stray_pf * 1e-12
        left_f = ad7746.as_read(cap_f - code * cap.capdac_step_ff * 1e-15, cap)
        read_pf = (1e12 * left_f - given["offset_pf"]) / (1 + 1e-6 * given["gain_ppm"])
        return read_pf + given["capdac_pf"] - given["stray_pf"]

    c0, c = found_pf(head.gap_um), found_pf(head.gap_um - true_um)
    delta = given["gap_um"] * given["c0_pf"] / c0 * (c - c0) / c
    return (delta - deficit["offset_um"]) / (1 + 1e-6 * deficit["scale_ppm"])


def _numbers(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in table.items() if not isinstance(value, list))
