"""A head in ten formulas: what a calibration procedure would read of it, and what it should find.

Written apart from the procedures and from the bench, so that a formula that is wrong in one of
them does not agree with itself.

    >>> head = ModelHead()
    >>> points = head.points("gap", tables())
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from porogauge.calibrate.physics import U_FRAME_C
from porogauge.calibrate.procedures import PROCEDURES
from porogauge.recipe import standard_calibration, standard_recipe

# standard uncertainty of one reading's mean: pF, um
U_C_PF, U_LASER_PAIR_UM = 40e-6 / 8, 0.004


def tables() -> dict[str, Any]:
    """Files of the drawing, as floats, without a target."""
    calibration, recipe = standard_calibration(), standard_recipe()
    for content in (calibration, recipe):
        for table in content.values():
            for name, value in table.items():
                if type(value).__name__ == "Decimal":
                    table[name] = float(value)
    calibration["lasers"] |= {"sum_distance_um": 2050.0, "reference_um": 500.0}
    calibration["capacitance"] |= {
        "c0_pf": 6.95897,
        "gap_um": 400.0,
        "stray_pf": 0.0,
        "capdac_code": 42,
        "capdac_pf": 6.9468,
    }
    calibration["uncertainty"] |= {"thickness_um": 0.05, "deficit_um": 0.02, "gap_percent": 0.05}
    recipe["material"] |= {"permittivity": 3.3, "u_permittivity": 0.005}
    return {"calibration": calibration, "recipe": recipe}


@dataclass
class ModelHead:
    """Hidden values; `exact_tables` are the files that would state them."""

    gap_um: float = 402.7
    area_um2: float = math.pi * 1e8 * 1.003
    stray_pf: float = 0.21
    step_pf: float = 0.1782
    gain: float = -8e-4
    offset_pf: float = 0.013
    d_um: float = 2047.3
    tile_um: float = 500.4
    gain_a: float = 1.2e-3
    gain_b: float = -0.7e-3
    d_per_k: float = 1.07
    gap_per_k: float = 1.21
    eps: float = 3.36
    per_rh: float = 2200e-6
    per_k: float = 150e-6
    structure: float = 0.41
    intrusion_um: float = 0.24
    errors: dict[str, float] = field(default_factory=dict)  # of standards and of readings

    def error(self, name: str) -> float:
        return self.errors.get(name, 0.0)

    def read(self, step, words: dict[str, Any]) -> dict[str, Any]:
        """The point of a step. `words`: CAPDAC code in force."""
        s, frame_k = step.setting, step.setting.get("frame_set_c", 23.0) - 23.0
        rh, air = s.get("rh_set_percent", 50.0), s.get("air_set_c", 23.0)
        kind, label = s["kind"], str(s.get("label", ""))
        gap = self.gap_um + self.gap_per_k * frame_k
        d = self.d_um + self.d_per_k * frame_k
        t, delta, seen = 0.0, 0.0, self.tile_um
        tilt = math.radians(s.get("tilt_deg") or 0.0)
        if kind == "stage":
            gap += s["stage_um"] + self.error(step.id)
        elif kind in ("block", "vibrate"):
            seen = (s["thickness_um"] + self.error(label)) / math.cos(tilt)
        elif kind == "plate":
            eps = s["permittivity"] + self.error(label.rpartition("-")[0])
            seen = t = s["thickness_um"] + self.error(label)
            delta = t * (1 - 1 / eps) + self.error("offset")
        elif kind == "solid":
            eps = self.eps * (1 + self.per_rh * (rh - 50) + self.per_k * (air - 23))
            seen = t = s["thickness_um"] + self.error(label)
            delta = t * (1 - 1 / eps)
        elif kind == "sample":
            t = s["t_ref_um"] + self.error(label + " t")
            phi = s["phi_ref_percent"] / 100 + self.error(label + " phi")
            eps = bruggeman(phi, self.eps + self.error("solid"), self.structure)
            delta = t * (1 - 1 / eps)
            seen = t - self.intrusion_um
        if kind in ("solid", "sample"):  # what the calibration leaves
            delta = delta * (1 + self.error("gap")) + self.error("deficit")
            seen += self.error("lasers")
        # permittivity of air as the radio refractivity of Smith and Weintraub has it
        kelvin = air + 273.15
        vapour = rh / 100 * 6.112 * math.exp(17.62 * air / (243.12 + air))
        eps_air = 1 + 2e-6 * (77.6 * 1013.25 / kelvin + 3.73e5 * vapour / kelvin**2)
        c = 8.8541878128e-6 * eps_air * self.area_um2 / (gap - delta) + self.stray_pf
        if kind == "capacitor":
            c = s["reference_pf"] + self.error(label)
        code = words["capdac_code"] if step.capdac_code is None else step.capdac_code
        cap = (c - code * self.step_pf) * (1 + self.gain) + self.offset_pf
        cap += self.error("C of " + step.id)
        height = s.get("height_um") or 0.0
        a = (d / 2 - height - seen / 2) * (1 + self.gain_a)
        b = (d / 2 + height - seen / 2) * (1 + self.gain_b)
        a += self.error("laser of " + step.id)
        return {
            **s,
            "id": step.id,
            "windows": 64,
            "capdac_code": code,
            "cap_pf": cap if abs(cap) < 4.096 else None,
            "cap_sd_pf": 40e-6,
            "a_um": a,
            "a_sd_um": 0.03,
            "b_um": b,
            "b_sd_um": 0.03,
            "sum_sd_um": 8 * U_LASER_PAIR_UM,
            "frame_c": 23.0 + frame_k + self.error("frame of " + step.id),
            "air_c": air,
            "rh_percent": rh,
            "skew_us": 12.0 if kind == "vibrate" else None,
        }

    def points(self, name: str, files: dict[str, Any], options: dict | None = None) -> list:
        """All points of a procedure."""
        steps = PROCEDURES[name].steps(files, options or {})
        return [self.read(step, files["calibration"]["capacitance"]) for step in steps]

    def exact_tables(self) -> dict[str, Any]:
        """Files that state what is hidden."""
        files = copy.deepcopy(tables())
        lasers, cap = files["calibration"]["lasers"], files["calibration"]["capacitance"]
        middle = tables()["calibration"]["lasers"]["sum_distance_um"] / 2
        nodes = 300 + 40.0 * np.arange(33)
        for which, gain in (("a", self.gain_a), ("b", self.gain_b)):
            lasers[f"{which}_map_um"] = [float(-gain / (1 + gain) * (x - middle)) for x in nodes]
        lasers |= {
            "map_start_um": 300.0,
            "map_step_um": 40.0,
            "sum_distance_um": self.true_d_um,
            "sum_distance_um_per_k": self.d_per_k,
            "reference_um": self.tile_um,
        }
        air = 1 + 2e-6 * (77.6 * 1013.25 / 296.15 + 3.73e5 * 14.04 / 296.15**2)
        cap |= {
            "gap_um": self.gap_um,
            "gap_um_per_k": self.gap_per_k,
            "stray_pf": self.stray_pf,
            "c0_pf": 8.8541878128e-6 * air * self.area_um2 / self.gap_um,
            "capdac_pf": cap["capdac_code"] * self.step_pf,
            "gain_ppm": 1e6 * self.gain,
            "offset_pf": self.offset_pf,
        }
        files["recipe"]["material"] |= {
            "permittivity": self.eps,
            "permittivity_ppm_per_percent_rh": 1e6 * self.per_rh,
            "permittivity_ppm_per_k": 1e6 * self.per_k,
        }
        return files

    @property
    def true_d_um(self) -> float:
        """D of lasers whose maps are zero where they read half of the drawing's D."""
        middle = tables()["calibration"]["lasers"]["sum_distance_um"] / 2
        errors = middle * (self.gain_a / (1 + self.gain_a) + self.gain_b / (1 + self.gain_b))
        return self.d_um + errors


def bruggeman(phi: float, eps_s: float, structure: float) -> float:
    """Permittivity at which the L-family has this porosity, by bisection of Wiener's bounds."""
    low, high = 1.0, eps_s
    for _ in range(80):
        eps = (low + high) / 2
        found = (eps_s - eps) * ((1 - structure) * eps + structure) / (eps * (eps_s - 1))
        low, high = (eps, high) if found > phi else (low, eps)
    return low


def uncertainties_of(name: str, files: dict[str, Any], options: dict | None = None):
    """Name -> standard uncertainty of every error that the points of a procedure have."""
    found: dict[str, float] = {}
    for step in PROCEDURES[name].steps(files, options or {}):
        s = step.setting
        found["C of " + step.id] = U_C_PF
        found["laser of " + step.id] = U_LASER_PAIR_UM
        found["frame of " + step.id] = U_FRAME_C
        label = str(s.get("label", ""))
        if s["kind"] == "stage":
            found[step.id] = s["u_stage_um"]
        elif s["kind"] == "capacitor":
            found[label] = s["u_reference_pf"]
        elif s["kind"] in ("block", "plate", "solid"):
            found[label] = s["u_thickness_um"]
        if s["kind"] == "plate":
            found[label.rpartition("-")[0]] = s["u_permittivity"]
        if s["kind"] == "sample":
            found[label + " t"] = s["u_t_ref_um"]
            found[label + " phi"] = s["u_phi_ref_percent"] / 100
    stated = files["calibration"]["uncertainty"]
    if name == "scale":
        found["offset"] = PROCEDURES[name].OPTIONS["u_offset_um"][0]
    if name in ("environment", "recipe"):
        found |= {"lasers": stated["thickness_um"], "deficit": stated["deficit_um"]}
        found["gap"] = stated["gap_percent"] / 100
    if name == "recipe":
        found["solid"] = files["recipe"]["material"]["u_permittivity"]
    return found


class Estimator:
    """A procedure as a function of all errors of its points.

    >>> estimator = Estimator("gap", head.exact_tables())
    >>> estimator.of("gap_um")(*[0.0] * len(estimator.errors))
    """

    def __init__(self, name: str, files: dict[str, Any], options: dict | None = None):
        self.module, self.files, self.options = PROCEDURES[name], files, options or {}
        self.errors = uncertainties_of(name, files, self.options)
        self._known: dict[tuple[float, ...], Any] = {}

    def result(self, *values: float):
        """What the procedure finds with these errors."""
        if values not in self._known:
            head = ModelHead(errors=dict(zip(self.errors, values, strict=True)))
            points = head.points(self.module.NAME, self.files, self.options)
            self._known[values] = self.module.fit(points, self.files, self.options)
        return self._known[values]

    def of(self, estimate: str) -> Callable[..., float]:
        return lambda *values: self.result(*map(float, values)).estimates[estimate].value
