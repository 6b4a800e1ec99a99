"""Recipe and calibration that fit a scenario exactly: what perfect metrology would have found.

    >>> recipe, calibration = exact_files(Scenario.from_dict({}))
    >>> words = exact_words(Scenario.from_dict({}))

Both are in the form of the files that the host's compiler takes (`porogauge.recipe`), so that the
bench goes the same way as an instrument on a line. The scenario's `[recipe]` and `[calibration]`
tables replace single fields: an error of calibration, other limits. Uncertainties are those that
the scenario's noise leaves after a standardisation.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np

from .chips.ad7746 import NOISE_AF
from .fields import CONVERSIONS_MS
from .film import permittivity
from .head import EPS0, air_permittivity, area_m2
from .scenario import Scenario
from .world import World

_BAUD = 921_600
_STANDARD_WINDOWS = 45


def exact_words(scenario: Scenario) -> array:
    """Return the board's words. Raises porogauge.recipe.RecipeError for a field of the scenario
    that the compiler refuses."""
    from porogauge.recipe import compile_words

    recipe, calibration = exact_files(scenario)
    names = (f"{scenario.source} [recipe]", f"{scenario.source} [calibration]")
    return compile_words(recipe, calibration, names)


def exact_files(scenario: Scenario) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (recipe, calibration) as nested dicts in the units of the files."""
    recipe = _merged(_recipe(scenario), scenario.recipe)
    return recipe, _merged(_calibration(scenario), scenario.calibration)


def _merged(exact: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for table, content in changes.items():
        if isinstance(content, dict) and isinstance(exact.get(table), dict):
            exact[table].update(content)
        else:
            exact[table] = content
    return exact


def latency_us(scenario: Scenario, which: str = "a") -> float:
    """From the taking of a distance by a laser to the arrival of its last byte."""
    laser = scenario.laser
    own = laser.latency_us["ab".index(which)]
    return laser.latency_cycles * 1e6 / laser.rate_hz + own + 30e6 / _BAUD


def _recipe(scenario: Scenario) -> dict[str, Any]:
    film, climate = scenario.film, scenario.climate
    t, phi = film.thickness_um, film.porosity_percent
    eps = float(permittivity(film.mixing, phi / 100, film.solid_permittivity, film.structure))
    exact_law = film.mixing == "bruggeman_l"
    flags = [
        f"{quantity}_{limit}"
        for quantity in ("thickness", "porosity")
        for limit in ("lolo", "hihi")
    ]
    faults = ["laser_a_fault", "laser_b_fault", "capacitance_fault"]
    return {
        "recipe": {"name": (scenario.run.name or "bench")[:80], "version": 1},
        "material": {
            "permittivity": film.solid_permittivity,
            "permittivity_ppm_per_percent_rh": film.solid_ppm_per_rh,
            "permittivity_ppm_per_k": film.solid_ppm_per_k,
            "u_permittivity": round(
                film.solid_permittivity
                * 1e-6
                * math.hypot(
                    film.solid_ppm_per_rh * climate.rh_noise_percent,
                    film.solid_ppm_per_k * climate.air_noise_c,
                ),
                6,
            ),
            "density_g_cm3": 1.42,
        },
        "mixing": {
            "structure_factor": round(film.structure if exact_law else 1 / 3, 6),
            "u_structure_factor": 0,
            "correction_percent": [] if exact_law else correction_percent(scenario),
        },
        "layer": layers(scenario),
        "film": {
            "target_thickness_um": t,
            "target_porosity_percent": phi,
            "thickness_offset_um": film.intrusion_um,
        },
        "limits": {
            "thickness_lolo_um": round(0.8 * t, 3),
            "thickness_lo_um": round(0.9 * t, 3),
            "thickness_hi_um": round(1.1 * t, 3),
            "thickness_hihi_um": round(1.2 * t, 3),
            "thickness_deadband_um": round(0.01 * t, 3),
            **({} if _hidden(scenario) else _porosity_limits(phi)),
            # 2.5 is the product's limit; a film that is denser by intent gets its own
            "permittivity_max": max(2.5, round(1.2 * eps, 2)),
            "permittivity_deadband": 0.01,
            "porosity_u95_max_percent": 10,
            "guard_factor": 0,
            "on_delay_windows": 0,
            "off_delay_windows": 2,
            "latch": [],
        },
        "outputs": {
            "reject": [*flags, "permittivity_high", "not_physical", *faults],
            "marker": [*flags, "permittivity_high"],
            "marker_delay_mm": 500,
            "marker_length_mm": 50,
        },
    }


def _porosity_limits(phi: float) -> dict[str, float]:
    return {
        "porosity_lolo_percent": max(0.0, phi - 10),
        "porosity_lo_percent": max(0.0, phi - 5),
        "porosity_hi_percent": min(100.0, phi + 5),
        "porosity_hihi_percent": min(100.0, phi + 10),
        "porosity_deadband_percent": 0.5,
    }


def _hidden(scenario: Scenario) -> bool:
    """Whether metal hides the film's porosity from the electrodes."""
    metals = [layer.kind for layer in scenario.layers if layer.kind != "dense"]
    return "metal_grounded" in metals or len(metals) > 1


def layers(scenario: Scenario) -> list[dict[str, Any]]:
    """Return what lies on the film as the [[layer]] tables of a recipe, exactly known."""
    kinds = {"dense": "adhesive", "metal_floating": "floating_metal", "metal_grounded": "metal"}
    found = []
    for number, layer in enumerate(scenario.layers, 1):
        table = {
            "name": f"{number} {layer.name}",
            "kind": kinds[layer.kind],
            "thickness_um": layer.thickness_um,
            "u_thickness_um": 0,
        }
        if layer.kind == "dense":
            table["permittivity"] = layer.permittivity
        found.append(table)
    return found


def correction_percent(scenario: Scenario) -> list[float]:
    """Corrections to a porosity from the isotropic Bruggeman law, at 0, 3.125, ... 100 %.

    They make the closed form right for another mixing law at the solid's nominal permittivity.
    """
    film = scenario.film
    solid, nodes = film.solid_permittivity, np.linspace(0, 1, 33)
    wanted = permittivity("bruggeman_l", nodes, solid, 1 / 3)
    low, high = np.zeros(33), np.ones(33)
    for _ in range(50):  # every law falls with porosity
        middle = (low + high) / 2
        above = permittivity(film.mixing, middle, solid, film.structure) > wanted
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return [round(float(value), 4) for value in 100 * (high - nodes)]


def _calibration(scenario: Scenario) -> dict[str, Any]:
    head, laser, cap = scenario.head, scenario.laser, scenario.capacitance
    world = World(scenario)
    air = air_permittivity(world.air_c(0), world.rh_percent(0), float(world.pressure.at(0)))
    c0_pf = float(1e12 * EPS0 * air * area_m2(head) / (head.gap_um * 1e-6))
    noise_af = NOISE_AF[CONVERSIONS_MS.index(cap.conversion_ms)] * cap.noise
    frame_k = math.sqrt(2) * cap.temperature_noise_k
    return {
        "calibration": {"name": "exact, of the bench"},
        "head": {"serial": 1, "electrode_diameter_mm": head.electrode_mm},
        "lasers": {
            "model": laser.model,
            "rate_hz": laser.rate_hz,
            "synchronisation": int(laser.sync == "master_slave"),
            "a_latency_us": round(latency_us(scenario, "a")),
            "b_latency_us": round(latency_us(scenario, "b")),
            "sum_distance_um": round(head.sum_distance_um, 6),
            "sum_distance_um_per_k": head.sum_um_per_k,
            "reference_um": head.reference_um,
        },
        "capacitance": {
            "conversion_ms": cap.conversion_ms,
            "capdac_code": cap.capdac_code,
            "capdac_pf": round(cap.capdac_code * cap.capdac_step_ff / 1000, 6),
            "gain_ppm": cap.gain_ppm,
            "offset_pf": cap.offset_ff / 1000,
            "stray_pf": head.stray_pf,
            "c0_pf": round(c0_pf, 6),
            "gap_um": head.gap_um,
            "gap_um_per_k": head.gap_um_per_k,
            "frame_c": head.frame_reference_c,
        },
        "deficit": {"scale_ppm": 0, "offset_um": 0},
        "uncertainty": {
            "thickness_um": 0,
            "deficit_um": 0,  # the board adds the noise of C and C0 itself
            "common_um": round(abs(head.sum_um_per_k) * frame_k, 6),
            "capacitance_af": round(math.hypot(noise_af, 0.14)),
            "gap_percent": 0,
        },
        "standardisation": {
            "windows": _STANDARD_WINDOWS,
            "c0_drift_max_percent": 1,
            "sum_distance_drift_max_um": 10,
            "due_s": 720,
            "due_k": 0.5,
            "warm_up_s": 0,
            "off_sheet_um": 0.5,
        },
        "envelope": {
            "thickness_min_um": 1,
            "thickness_max_um": 400,
            "porosity_min_percent": 0,
            "porosity_max_percent": 98,
            "passline_max_um": 400,
            "rh_min_percent": 0,
            "rh_max_percent": 100,
            "air_min_c": -20,
            "air_max_c": 80,
        },
        "encoder": {"counts_per_m": scenario.line.counts_per_m},
    }
