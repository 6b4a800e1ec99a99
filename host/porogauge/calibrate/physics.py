"""What a head's calibration makes of raw readings: the board's formulas in floating point.

Lengths in micrometres, capacitance in picofarad. The board's own arithmetic is `gauge.film` and
`gauge.mixture`; these are for fits, where a change smaller than a word has to be seen. Formulas:
physics.md sections 0 and 3 (notation from there).

    >>> round(air_permittivity(23, 50, 1013.25), 6)
    1.000651
    >>> round(porosity(25.0, 12.05, 3.3, 1 / 3), 3)
    0.5
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, hypot, pi, sqrt
from typing import Any

import numpy as np

from ..errors import IncompleteError
from .procedure import Point

EPS0_PF_PER_UM = 8.8541878128e-6  # CODATA 2018
CDC_FULL_PF = 4.096  # the converter's range to either side of its CAPDAC
CDC_QUANTUM_PF = 8.192 / 2**24
PRESSURE_HPA = 1013.25
U_FRAME_C = 0.01  # noise of one frame temperature, which all windows of a reading share


class PointsError(IncompleteError):
    """Points of a procedure cannot be used; says which, and what to do."""


def air_permittivity(air_c: float, rh_percent: float, pressure_hpa: float) -> float:
    """Relative permittivity of moist air, -20..80 C.

    Refractivity at radio frequencies with the 'best average' coefficients of Rueger (2002);
    vapour pressure over water by the Magnus form with the constants of Sonntag (1990).
    """
    kelvin = air_c + 273.15
    vapour = rh_percent / 100 * 6.112 * exp(17.62 * air_c / (243.12 + air_c))
    n = 77.6890 * (pressure_hpa - vapour) / kelvin
    n += 71.2952 * vapour / kelvin + 375463 * vapour / kelvin**2
    return (1 + 1e-6 * n) ** 2


def area_um2(diameter_mm: float) -> float:
    """Area of a disc."""
    return pi / 4 * (1000 * diameter_mm) ** 2


def pressure_hpa(point: Point, options: Mapping[str, Any]) -> float:
    """Air pressure of a point: as set, as told, or the standard one."""
    stated = point.get("pressure_hpa")
    return float(options.get("pressure_hpa", PRESSURE_HPA) if stated is None else stated)


def numbers(table: Mapping[str, Any]) -> dict[str, Any]:
    """A file's table with plain floats instead of exact decimals."""
    return {k: float(v) if _is_number(v) else v for k, v in table.items()}


def setting(options: Mapping[str, Any], legal: Mapping[str, tuple], name: str) -> float:
    """An option's value, or its default in a procedure's OPTIONS."""
    value = options.get(name)
    return float(legal[name][0] if value is None else value)


def _is_number(value: Any) -> bool:
    from decimal import Decimal

    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def frame_temperatures(points: Sequence[Point]) -> np.ndarray:
    """Frame temperatures of points, drawn to their mean by as much as they may be noise alone.

    A slope that is fitted against noisy temperatures comes out too small, all of it where the
    frame kept one temperature: its growth would then seem to be none.
    """
    read = np.array([float(p["frame_c"]) for p in points])
    if len(read) < 2:
        return read
    real = max(0.0, 1 - U_FRAME_C**2 / max(float(np.var(read, ddof=1)), 1e-12))
    return read.mean() + real * (read - read.mean())


class Head:
    """A calibration, as floats, and what it makes of points."""

    def __init__(self, calibration: Mapping[str, Any]):
        self.lasers = numbers(calibration["lasers"])
        self.cap = numbers(calibration["capacitance"])
        self.deficit = numbers(calibration.get("deficit", {}))
        self.u = numbers(calibration["uncertainty"])
        self.envelope = numbers(calibration["envelope"])
        self.standard = numbers(calibration["standardisation"])
        self.kappa = 1 + 1e-6 * self.deficit.get("scale_ppm", 0.0)
        self.offset_um = self.deficit.get("offset_um", 0.0)
        self.tile_um = self.lasers.get("reference_um", 0.0)
        self._start = self.lasers.get("map_start_um", 0.0)
        self._step = self.lasers.get("map_step_um", 0.0)
        self._maps = {
            which: np.array([float(x) for x in self.lasers.get(f"{which}_map_um", ())])
            for which in "ab"
        }

    def capacitance(self, point: Point, capdac_pf: float | None = None) -> float:
        """C of a point, stray removed, in pF."""
        gain = 1 + 1e-6 * self.cap.get("gain_ppm", 0.0)
        taken = self.cap["capdac_pf"] if capdac_pf is None else capdac_pf
        read = (point["cap_pf"] - self.cap.get("offset_pf", 0.0)) / gain
        return read + taken - self.cap["stray_pf"]

    def u_capacitance(self, point: Point) -> float:
        """Standard uncertainty of the mean of a point's conversions, in pF."""
        scatter = point.get("cap_sd_pf") or self.u["capacitance_af"] * 1e-6
        return hypot(scatter, CDC_QUANTUM_PF / sqrt(12)) / sqrt(max(1, point["windows"]))

    def distance(self, which: str, read_um: float) -> float:
        """Distance of laser "a" or "b", mapped."""
        table = self._maps[which]
        if not self._step or not len(table):
            return read_um
        nodes = self._start + self._step * np.arange(len(table))
        return read_um + float(np.interp(read_um, nodes, table))

    def distances(self, point: Point) -> float:
        """Sum of both distances."""
        return self.distance("a", point["a_um"]) + self.distance("b", point["b_um"])

    def growth(self, per_k: str, frame_c: float) -> float:
        """Growth of "gap" or "sum_distance" since the calibration."""
        table = self.cap if per_k == "gap" else self.lasers
        return table[f"{per_k}_um_per_k"] * (frame_c - self.cap["frame_c"])

    def u_growth(self, per_k: str) -> float:
        """Standard uncertainty of `growth` by the noise of the frame's temperature."""
        table = self.cap if per_k == "gap" else self.lasers
        return abs(table[f"{per_k}_um_per_k"]) * U_FRAME_C

    def u_distances(self, point: Point) -> float:
        """Standard uncertainty of the sum of the means of both lasers, from their scatter."""
        scatter = point.get("sum_sd_um")
        if scatter is None:
            scatter = hypot(point.get("a_sd_um") or 0.0, point.get("b_sd_um") or 0.0)
        return max(scatter, 0.002) / sqrt(max(1, point["windows"]))


class Reference:
    """What the head read without film: means over the points of kind "empty"."""

    def __init__(self, head: Head, points: Iterable[Point]):
        empty = [p for p in points if p["kind"] == "empty" and p.get("cap_pf") is not None]
        if not empty:
            raise PointsError("no reading of the empty gap: add a point of kind 'empty'")
        self.head = head
        self.c0 = float(np.mean([head.capacitance(p) for p in empty]))
        self.frame_c = float(np.mean([p["frame_c"] for p in empty]))
        self.gap = head.cap["c0_pf"] * head.cap["gap_um"] / self.c0
        noise = sqrt(sum(head.u_capacitance(p) ** 2 for p in empty)) * self.gap / self.c0
        frame = head.u_growth("gap") / sqrt(len(empty))
        self.u_deficit_zero = hypot(noise / len(empty), frame)  # common to all points
        tiles = [p for p in empty if p.get("a_um") is not None and p.get("b_um") is not None]
        if head.tile_um and tiles:
            self.d = float(np.mean([head.distances(p) for p in tiles])) + head.tile_um
            self.d_frame_c = float(np.mean([p["frame_c"] for p in tiles]))
            noise = sqrt(sum(head.u_distances(p) ** 2 for p in tiles)) / len(tiles)
            frame = head.u_growth("sum_distance") / sqrt(len(tiles))
            self.u_thickness_zero = hypot(noise, frame)
        else:
            self.d = head.lasers["sum_distance_um"]
            self.d_frame_c = head.cap["frame_c"]
            self.u_thickness_zero = 0.0

    def deficit(self, point: Point, raw: bool = False) -> float:
        """Delta of a point; `raw`: without scale and offset of the calibration."""
        c = self.head.capacitance(point)
        growth = self.head.cap["gap_um_per_k"] * (point["frame_c"] - self.frame_c)
        delta = self.gap * (c - self.c0) / c + growth
        return delta if raw else (delta - self.head.offset_um) / self.head.kappa

    def u_deficit(self, point: Point) -> float:
        """Standard uncertainty of the same from the noise of the converter at this point."""
        c = self.head.capacitance(point)
        return self.gap * self.head.u_capacitance(point) * self.c0 / c**2

    def thickness(self, point: Point) -> float:
        """t of a point, without the recipe's offset."""
        growth = self.head.lasers["sum_distance_um_per_k"] * (point["frame_c"] - self.d_frame_c)
        return self.d + growth - self.head.distances(point)

    def u_thickness(self, point: Point) -> float:
        """Standard uncertainty of the same from the noise of the lasers at this point."""
        return self.head.u_distances(point)


def solid_permittivity(
    material: Mapping[str, float], air_c: float, rh_percent: float, eps: float | None = None
) -> float:
    """Permittivity of the recipe's solid in a climate; `eps`: instead of its nominal one."""
    change = material.get("permittivity_ppm_per_percent_rh", 0.0) * (rh_percent - 50)
    change += material.get("permittivity_ppm_per_k", 0.0) * (air_c - 23)
    return (material["permittivity"] if eps is None else eps) * (1 + 1e-6 * change)


def porosity(t, delta, eps_s, structure):
    """Porosity (fraction) by the L-family; arrays are fine."""
    a = (1 - structure) / (eps_s - 1)
    b = structure * eps_s / (eps_s - 1)
    return 1 - a * delta / (t - delta) - b * delta / t


def mixture_permittivity(phi, eps_s, structure):
    """Permittivity of a film of that porosity, the inverse of `porosity`; arrays are fine."""
    phi = np.asarray(phi, float)
    if structure >= 1:
        return 1 / (phi + (1 - phi) / eps_s)
    b = (eps_s - 1) * phi + structure - (1 - structure) * eps_s
    return (-b + np.sqrt(b * b + 4 * (1 - structure) * structure * eps_s)) / (2 * (1 - structure))


def complete(points: Sequence[Point], kinds: Sequence[str], columns: Sequence[str], why: str):
    """Return (points of those kinds that have all columns, ids of those that have not).

    Raises PointsError when none is left.
    """
    wanted = [p for p in points if p.get("kind") in kinds]
    good = [p for p in wanted if all(p.get(c) is not None for c in columns)]
    if not good:
        raise PointsError(
            f"no point of kind {' or '.join(kinds)} with {', '.join(columns)}: {why}"
        )
    return good, [str(p.get("id")) for p in wanted if p not in good]
