"""Every field of a recipe and of a calibration: the one table behind validation, compiler,
read-back, commented templates and documentation.

A recipe says what the film is (material, mixing law, limits, outputs); a calibration says what
the head is (lasers, electrodes, sum distance, uncertainties). Both are TOML files with the unit
in every field's name. Most fields become one word of `gauge.config`: `word = value * factor`,
rounded half to even in exact decimal arithmetic. The legal range of such a field is the range of
its word in `gauge.config.SPEC`, so board and host cannot disagree about it.

    >>> FIELD["calibration"]["capacitance.gap_um"].legal
    '100 to 1048 micrometres'
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gauge import config, record

__all__ = [
    "CONVERSIONS",
    "FIELD",
    "KINDS",
    "REQUIRED",
    "Field",
    "laser_models",
    "laser_table",
    "plain",
]

KINDS = ("recipe", "calibration")


class _Required:
    """Marks a field without a default: what decides a number is stated, never assumed."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()

# AD7746: conversion time in milliseconds -> CAPF code (sensors.md section 1).
CONVERSIONS = {
    Decimal("11.0"): 0,
    Decimal("11.9"): 1,
    Decimal("20.0"): 2,
    Decimal("38.0"): 3,
    Decimal("62.0"): 4,
    Decimal("77.0"): 5,
    Decimal("92.0"): 6,
    Decimal("109.6"): 7,
}

_RANGES = {name: (low, high) for name, low, high in config.SPEC}


def plain(value: Any) -> str:
    """Decimal text of a number without exponent and without trailing zeros."""
    text = format(Decimal(str(value)), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a file.

    `path` is table.name in the TOML file; `kind` one of number, integer, text, flags (list of
    flag names), laser (name of a laser model), conversion (AD7746 conversion time, ms) and nodes
    (33 numbers). `default` is REQUIRED, a value, or "=other.path" for 'same as that field'.
    `example` is what a template writes; None leaves the field out, as a comment.
    """

    path: str
    unit: str
    factor: Decimal
    word: str | None
    default: Any
    example: Any
    help: str
    kind: str = "number"
    bounds: tuple[str, str] | None = None  # only for a field without a word

    @property
    def table(self) -> str:
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        return self.path.partition(".")[2]

    def range(self) -> tuple[Decimal, Decimal] | None:
        """Lowest and highest legal value, both legal; None where there is none."""
        if self.kind not in ("number", "integer", "nodes"):
            return None
        if self.word is None:
            if self.bounds is None:
                return None
            return Decimal(self.bounds[0]), Decimal(self.bounds[1])
        word = "correction_00_ppm" if self.kind == "nodes" else self.word
        low, high = _RANGES[word]
        return Decimal(low) / self.factor, Decimal(high) / self.factor

    @property
    def legal(self) -> str:
        """What is allowed, in words."""
        if self.kind == "text":
            return "text of 1 to 80 characters"
        if self.kind == "flags":
            return "a list of flag names: " + ", ".join(record.FLAG_NAMES)
        if self.kind == "conversion":
            return "one of " + ", ".join(str(ms) for ms in CONVERSIONS) + " milliseconds"
        if self.kind == "laser":
            return "one of " + ", ".join(f'"{name}"' for name in laser_models())
        low, high = (plain(end) for end in self.range())
        unit = f" {self.unit}" if self.unit else ""
        if self.kind == "nodes":
            return f"an empty list or 33 numbers, each {low} to {high}{unit}"
        whole = "whole number, " if self.kind == "integer" else ""
        return f"{whole}{low} to {high}{unit}"


def laser_models() -> tuple[str, ...]:
    """Names of the laser models that the firmware knows, in the order of its table."""
    return tuple(laser_table())


def laser_table() -> dict[str, Any]:
    """Name -> `gauge.drivers.optoncdt.Model`."""
    from gauge.drivers import optoncdt

    return {model.name: model for model in optoncdt.MODELS}


def _fields(*rows: tuple) -> dict[str, Field]:
    made = {}
    for path, unit, factor, word, default, example, text, *more in rows:
        kind, bounds = (more + [None, None])[:2]
        field = Field(
            path, unit, Decimal(factor), word, default, example, text, kind or "number", bounds
        )
        made[path] = field
    return made


_R = REQUIRED
_UM = 8000  # 1/8 nm per micrometre
_PF = 1_000_000  # aF per picofarad
_PC = 10_000  # ppm per percent
_PPM = 1_000_000  # ppm per one

_LIMIT_FLAGS = [
    "thickness_lolo",
    "thickness_hihi",
    "porosity_lolo",
    "porosity_hihi",
    "permittivity_high",
]

# (path, unit, factor, word, default, example, help[, kind[, bounds without a word]])
# fmt: off
_RECIPE = _fields(
    ("recipe.name", "", 1, None, _R, "porous polyimide 25 um",
     "What operators call it.", "text"),
    ("recipe.version", "", 1, None, _R, 1,
     "Count up with every change.", "integer", (1, 999999)),
    ("material.permittivity", "", _PPM, "solid_e6", _R, "3.3",
     "Relative permittivity of the solid (no pores) at 50 %RH and 23 C."),
    ("material.permittivity_ppm_per_percent_rh", "ppm per %RH", 1, "solid_rh_ppm", _R, "2400",
     "Its relative change with humidity: it decides porosity at 150 um."),
    ("material.permittivity_ppm_per_k", "ppm per kelvin", 1, "solid_t_ppm", _R, "0",
     "Its relative change with temperature."),
    ("material.u_permittivity", "", _PPM, "u_solid_e6", _R, "0.03",
     "Standard uncertainty of the solid's permittivity."),
    ("mixing.structure_factor", "", _PPM, "structure_ppm", _R, "0.333333",
     "Depolarisation parameter L: 0 pores through the film, 1/3 isotropic, 1 flat pores."),
    ("mixing.u_structure_factor", "", _PPM, "u_structure_ppm", _R, "0.02",
     "Standard uncertainty of L: about 0.02 when fitted, 0.15 when assumed."),
    ("mixing.correction_percent", "percent porosity", _PC, "correction_nodes", (), None,
     "Optional: 33 corrections added to porosity at 0, 3.125, ... 100 % (other mixing laws).",
     "nodes"),
    ("film.target_thickness_um", "micrometres", 1, None, None, "25",
     "What the process aims at; drawn in pictures.", "number", ("0.1", "1000")),
    ("film.target_porosity_percent", "percent", 1, None, None, "50",
     "What the process aims at; drawn in pictures.", "number", ("0", "100")),
    ("film.thickness_offset_um", "micrometres", _UM, "thickness_offset_8nm", "0", "0",
     "Added to the measured thickness: laser penetration into this film."),
    ("limits.thickness_lolo_um", "micrometres", _UM, "thickness_lolo_8nm", "0", "20",
     "Below: flag thickness_lolo. Leave a limit out and it is not applied."),
    ("limits.thickness_lo_um", "micrometres", _UM, "thickness_lo_8nm", "=limits.thickness_lolo_um",
     "22.5",
     "Below: flag thickness_lo."),
    ("limits.thickness_hi_um", "micrometres", _UM, "thickness_hi_8nm", "=limits.thickness_hihi_um",
     "27.5",
     "Above: flag thickness_hi."),
    ("limits.thickness_hihi_um", "micrometres", _UM, "thickness_hihi_8nm", "1000", "30",
     "Above: flag thickness_hihi."),
    ("limits.thickness_deadband_um", "micrometres", _UM, "thickness_deadband_8nm", "0", "0.2",
     "A flag goes when the value is back inside its limit by this much."),
    ("limits.porosity_lolo_percent", "percent", _PC, "porosity_lolo_ppm", "0", "35",
     "Below: flag porosity_lolo."),
    ("limits.porosity_lo_percent", "percent", _PC, "porosity_lo_ppm",
     "=limits.porosity_lolo_percent", "40",
     "Below: flag porosity_lo."),
    ("limits.porosity_hi_percent", "percent", _PC, "porosity_hi_ppm",
     "=limits.porosity_hihi_percent", "60",
     "Above: flag porosity_hi."),
    ("limits.porosity_hihi_percent", "percent", _PC, "porosity_hihi_ppm", "100", "65",
     "Above: flag porosity_hihi."),
    ("limits.porosity_deadband_percent", "percent", _PC, "porosity_deadband_ppm", "0", "0.5",
     "As above, in points of porosity."),
    ("limits.permittivity_max", "", 10000, "permittivity_max_e4", "2.5", "2.5",
     "Above: flag permittivity_high."),
    ("limits.permittivity_deadband", "", 10000, "permittivity_deadband_e4", "0", "0.01",
     "As above, for permittivity."),
    ("limits.porosity_u95_max_percent", "percent", _PC, "u95_porosity_limit_ppm", _R, "10",
     "Porosity whose U95 is larger is not reported: 'not resolvable'."),
    ("limits.guard_factor", "standard uncertainties", 100, "guard_c2", "0", "0",
     "Limits move inward by this many u of the value: 0 none, 2 strict acceptance."),
    ("limits.on_delay_windows", "windows", 1, "on_delay", "0", 0,
     "Windows beyond a limit before its flag comes.", "integer"),
    ("limits.off_delay_windows", "windows", 1, "off_delay", "0", 9,
     "Windows inside a limit before its flag goes.", "integer"),
    ("limits.latch", "", 1, "latch_mask", (), ["thickness_hihi", "porosity_hihi"],
     "Flags that stay until somebody acknowledges them.", "flags"),
    ("outputs.reject", "", 1, "reject_mask", _R, _LIMIT_FLAGS + ["not_physical", "laser_a_fault",
     "laser_b_fault", "capacitance_fault"],
     "Flags that drop the reject relay (energised means good).", "flags"),
    ("outputs.marker", "", 1, "marker_mask", (), _LIMIT_FLAGS,
     "Flags that mark the film.", "flags"),
    ("outputs.marker_delay_mm", "millimetres", 1, "marker_delay_mm", "0", 1500,
     "Length of web between head and marker.", "integer"),
    ("outputs.marker_length_mm", "millimetres", 1, "marker_length_mm", "50", 50,
     "Shortest mark.", "integer"),
)
# fmt: on

# fmt: off
_CALIBRATION = _fields(
    ("calibration.name", "", 1, None, _R, "standard head",
     "What it is, when, by which work.", "text"),
    ("head.serial", "", 1, "head_id", _R, 1,
     "Serial number of the head.", "integer"),
    ("head.electrode_diameter_mm", "millimetres", 1, "electrode_mm", _R, 20,
     "Film that has just come counts once it covers them; checks c0_pf against gap_um, too."),
    ("lasers.model", "", 1, "laser_model", _R, "1900-2",
     "Both lasers: optoNCDT model and measuring range in millimetres.", "laser"),
    ("lasers.rate_hz", "hertz", 1, "laser_rate_hz", _R, 4000,
     "Measurements per second of each laser.", "integer"),
    ("lasers.synchronisation", "", 1, "laser_sync", 1, 1,
     "0: each runs on its own clock; 1: A is master of B; 2: the same, alternating exposures.",
     "integer"),
    ("lasers.a_latency_us", "microseconds", 1, "a_latency_us", _R, 500,
     "From the middle of an exposure to its last byte's arrival, laser A.", "integer"),
    ("lasers.b_latency_us", "microseconds", 1, "b_latency_us", _R, 500,
     "The same, laser B.", "integer"),
    ("lasers.sum_distance_um", "micrometres", _UM, "d_8nm", _R, "2000",
     "D: thickness of a film in the gap plus both laser readings."),
    ("lasers.sum_distance_um_per_k", "micrometres per kelvin", _UM, "d_temp_8nm_per_k", _R, "1.15",
     "Growth of D with frame temperature (100 mm of steel: 1.15)."),
    ("lasers.reference_um", "micrometres", _UM, "reference_8nm", "0", "0",
     "Thickness of a reference tile that both lasers see off-sheet; 0: there is none."),
    ("capacitance.conversion_ms", "milliseconds", 1, "cap_rate", _R, "11.0",
     "AD7746 conversion time: the length of a window.", "conversion"),
    ("capacitance.capdac_code", "", 1, "capdac_code", _R, 36,
     "Fixed: the same for reference and measurement.", "integer"),
    ("capacitance.capdac_pf", "picofarad", _PF, "capdac_af", _R, "5.952756",
     "What that code takes off, calibrated (parts differ by 20 %)."),
    ("capacitance.gain_ppm", "ppm", 1, "cap_gain_ppm", "0", "0",
     "Gain error of the converter: it reads 1 + gain times the truth."),
    ("capacitance.offset_pf", "picofarad", _PF, "cap_offset_af", "0", "0",
     "Offset of the converter: and adds this."),
    ("capacitance.stray_pf", "picofarad", _PF, "stray_af", _R, "0.1",
     "Parallel stray capacitance, removed everywhere."),
    ("capacitance.c0_pf", "picofarad", _PF, "c0_af", _R, "5.566",
     "Empty gap at calibration, stray removed: eps0 eps_air A / gap."),
    ("capacitance.gap_um", "micrometres", _UM, "gap_8nm", _R, "500",
     "Electrode gap that belongs to c0_pf."),
    ("capacitance.gap_um_per_k", "micrometres per kelvin", _UM, "gap_temp_8nm_per_k", _R, "1.15",
     "Growth of the gap with frame temperature."),
    ("capacitance.frame_c", "degrees Celsius", 1000, "frame_ref_mc", _R, "23",
     "Frame temperature at calibration."),
    ("deficit.scale_ppm", "ppm", 1, "kappa_ppm", "0", "0",
     "Scale error of the dielectric deficit (kappa - 1), from dense plates."),
    ("deficit.offset_um", "micrometres", _UM, "delta_offset_8nm", "0", "0",
     "Offset of the dielectric deficit, from the same fit."),
    ("uncertainty.thickness_um", "micrometres", _UM, "u_thickness_8nm", _R, "0.19",
     "Standard uncertainty of thickness beyond the scatter within a window."),
    ("uncertainty.deficit_um", "micrometres", _UM, "u_delta_8nm", _R, "0.05",
     "Standard uncertainty of the deficit: linearity, scale."),
    ("uncertainty.common_um", "micrometres", _UM, "u_common_8nm", _R, "0.05",
     "Frame drift since standardisation, common to D and gap (both grow together)."),
    ("uncertainty.capacitance_af", "attofarad", 1, "u_c_af", _R, "40",
     "Noise of one capacitance conversion."),
    ("uncertainty.gap_percent", "percent", _PC, "u_gap_ppm", _R, "0.2",
     "Relative standard uncertainty of the gap."),
    ("standardisation.windows", "windows", 1, "standard_windows", _R, 91,
     "Windows averaged for a new reference.", "integer"),
    ("standardisation.c0_drift_max_percent", "percent", _PC, "c0_drift_ppm", _R, "1",
     "A new C0 that is further from the calibration is refused: dust, wrong position."),
    ("standardisation.sum_distance_drift_max_um", "micrometres", _UM, "d_drift_8nm", _R, "10",
     "A new D that is further from the calibration is refused."),
    ("standardisation.due_s", "seconds", 1, "standard_due_s", _R, 720,
     "Standardisation is due after this time.", "integer"),
    ("standardisation.due_k", "kelvin", 1000, "standard_due_mc", _R, "0.5",
     "Standardisation is due after this change of frame temperature."),
    ("standardisation.warm_up_s", "seconds", 1, "warm_up_s", _R, 30,
     "No numbers before this time after power-on.", "integer"),
    ("standardisation.off_sheet_um", "micrometres", _UM, "off_sheet_8nm", _R, "0.5",
     "A dielectric deficit below this means: no film."),
    ("envelope.thickness_min_um", "micrometres", _UM, "thickness_min_8nm", _R, "5",
     "The calibrated range: outside it a number carries a flag."),
    ("envelope.thickness_max_um", "micrometres", _UM, "thickness_max_8nm", _R, "150",
     "The same, upper end."),
    ("envelope.porosity_min_percent", "percent", _PC, "porosity_min_ppm", _R, "10",
     "Lowest calibrated porosity."),
    ("envelope.porosity_max_percent", "percent", _PC, "porosity_max_ppm", _R, "85",
     "Highest calibrated porosity."),
    ("envelope.passline_max_um", "micrometres", _UM, "passline_max_8nm", _R, "200",
     "Height of the web off the middle of the gap."),
    ("envelope.rh_min_percent", "percent", _PC, "rh_min_ppm", _R, "20",
     "Lowest calibrated relative humidity."),
    ("envelope.rh_max_percent", "percent", _PC, "rh_max_ppm", _R, "80",
     "Highest calibrated relative humidity."),
    ("envelope.air_min_c", "degrees Celsius", 1000, "air_min_mc", _R, "13",
     "Lowest calibrated air temperature."),
    ("envelope.air_max_c", "degrees Celsius", 1000, "air_max_mc", _R, "33",
     "Highest calibrated air temperature."),
    ("encoder.counts_per_m", "counts", 1, "counts_per_m", _R, 10000,
     "Counts of the web encoder per metre of web.", "integer"),
)
# fmt: on

FIELD: dict[str, dict[str, Field]] = {"recipe": _RECIPE, "calibration": _CALIBRATION}
