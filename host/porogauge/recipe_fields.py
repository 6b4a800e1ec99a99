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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gauge import config, record

from .grades import GRADES
from .mixing_laws import LAWS, NODES
from .stack import LAYER_KINDS, MODES

__all__ = [
    "CONVERSIONS",
    "FIELD",
    "INDEX",
    "KINDS",
    "LAB_PROPERTIES",
    "LAYER",
    "ROLLER",
    "NODES",
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

# Number of windows over which limits are judged -> shift of the board's mean.
_AVERAGES = {Decimal(1 << shift): shift for shift in range(9)}

# What a laboratory finds of a sample (`porogauge.lab`).
LAB_PROPERTIES = (
    "mean_pore_um",
    "max_pore_um",
    "air_resistance_s_per_100cc",
    "heat_shrinkage_percent",
    "heat_resistance_c",
    "porosity_percent",
    "thickness_um",
    "basis_weight_g_m2",
)

_COUNTS = {"correction_%02d_ppm": "correction_nodes"}  # word that says whether a table is there
INDEX = {name: index for index, (name, _, _) in enumerate(config.SPEC)}
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

    `path` is table.name in the TOML file; `kind` one of number, integer, text, date (of a day),
    choice (of `choices`: numbers with their words, or names), names (a list of some of `choices`;
    their bits in the word), laser (name of a laser model), points (pairs of permittivity and
    percent porosity) and nodes (NODES numbers; `word` has a place for the node's number).
    `default` is REQUIRED, a value, or "=other.path" for 'same as that field'. `example` is what a
    template writes; None leaves the field out, as a comment.
    """

    path: str
    unit: str
    factor: Decimal
    word: str | None
    default: Any
    example: Any
    help: str
    kind: str = "number"
    bounds: tuple[str, str] | None = None  # only for a number without a word
    choices: Mapping[Decimal, int] | Sequence[str] = ()

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
        low, high = _RANGES[self.node(0) if self.kind == "nodes" else self.word]
        return Decimal(low) / self.factor, Decimal(high) / self.factor

    def node(self, number: int) -> str:
        """Word of a node of a table."""
        return self.word % number

    @property
    def count(self) -> str | None:
        """Word that says whether the board has this table; None: a table of zeros is none."""
        return _COUNTS.get(self.word)

    @property
    def legal(self) -> str:
        """What is allowed, in words."""
        unit = f" {self.unit}" if self.unit else ""
        if self.kind == "text":
            return "text of 1 to 80 characters"
        if self.kind == "date":
            return "a day as YYYY-MM-DD"
        if self.kind == "names":
            return "a list of some of: " + ", ".join(self.choices)
        if self.kind == "points":
            return "an empty list or 3 to 31 pairs [permittivity, percent porosity]"
        if self.kind == "choice" and isinstance(self.choices, Mapping):
            return "one of " + ", ".join(str(number) for number in self.choices) + unit
        if self.kind in ("choice", "laser"):
            names = self.choices or laser_models()
            return "one of " + ", ".join(f'"{name}"' for name in names)
        low, high = (plain(end) for end in self.range())
        if self.kind == "nodes":
            return f"an empty list or {NODES} numbers, each {low} to {high}{unit}"
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
        kind, extent = (more + [None, None])[:2]
        bounds, choices = (None, extent) if kind in ("choice", "names") else (extent, ())
        made[path] = Field(
            path,
            unit,
            Decimal(factor),
            word,
            default,
            example,
            text,
            kind or "number",
            bounds,
            choices,
        )
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

# (path, unit, factor, word, default, example, help[, kind[, bounds without a word, or choices]])
# fmt: off
_RECIPE = _fields(
    ("recipe.name", "", 1, None, _R, "porous polyimide 25 um",
     "What operators call it.", "text"),
    ("recipe.version", "", 1, None, _R, 1,
     "Count up with every change.", "integer", (1, 999999)),
    ("recipe.grade", "", 1, None, "base", "base",
     "Which claims the film is to meet ('porogauge recipe grades').", "choice", tuple(GRADES)),
    ("material.permittivity", "", _PPM, "solid_e6", _R, "3.3",
     "Relative permittivity of the solid (no pores) at 50 %RH and 23 C."),
    ("material.permittivity_ppm_per_percent_rh", "ppm per %RH", 1, "solid_rh_ppm", _R, "2400",
     "Its relative change with humidity: it decides porosity at 150 um."),
    ("material.permittivity_ppm_per_k", "ppm per kelvin", 1, "solid_t_ppm", _R, "0",
     "Its relative change with temperature."),
    ("material.u_permittivity", "", _PPM, "u_solid_e6", _R, "0.03",
     "Standard uncertainty of the solid's permittivity."),
    ("material.density_g_cm3", "g/cm3", 1, None, _R, "1.42",
     "Density of the solid: areal mass, and porosity by weighing.", "number", ("0.5", "5")),
    ("material.u_density_g_cm3", "g/cm3", 1, None, "0.01", "0.01",
     "Standard uncertainty of the density.", "number", ("0", "1")),
    ("mixing.structure_factor", "", _PPM, "structure_ppm", _R, "0.333333",
     "Depolarisation parameter L: 0 pores through the film, 1/3 isotropic, 1 flat pores."),
    ("mixing.u_structure_factor", "", _PPM, "u_structure_ppm", _R, "0.02",
     "Standard uncertainty of L: about 0.02 when fitted, 0.15 when assumed."),
    ("mixing.structure_factor_per_permittivity", "", _PPM, "structure_per_solid_ppm", "0", "0",
     "Change of the fitted L with the permittivity it was fitted with: their errors cancel."),
    ("mixing.law", "", 1, None, "bruggeman_l", "bruggeman_l",
     "Law of mixing; another one than bruggeman_l becomes a table of corrections.",
     "choice", tuple(LAWS)),
    ("mixing.correction_percent", "percent porosity", _PC, "correction_%02d_ppm", (), None,
     "Optional: 33 corrections added to porosity at 0, 3.125, ... 100 %.", "nodes"),
    ("mixing.measured_points", "", 1, None, (), None,
     "Optional: samples' permittivity and porosity, through which porosity is to go.", "points"),
    ("mixing.fitted_on", "", 1, None, None, None,
     "Day of the fit of L and of the thickness offset: they are good for three months.", "date"),
    ("mixing.valid_thickness_min_um", "micrometres", 1, None, None, None,
     "L is good for films from this thickness on ...", "number", ("0", "1000")),
    ("mixing.valid_thickness_max_um", "micrometres", 1, None, None, None,
     "... up to this one.", "number", ("0", "1000")),
    ("mixing.valid_porosity_min_percent", "percent", 1, None, None, None,
     "The same for porosity ...", "number", ("0", "100")),
    ("mixing.valid_porosity_max_percent", "percent", 1, None, None, None,
     "... up to this one.", "number", ("0", "100")),
    ("mixing.valid_rh_min_percent", "percent", 1, None, None, None,
     "The same for relative humidity ...", "number", ("0", "100")),
    ("mixing.valid_rh_max_percent", "percent", 1, None, None, None,
     "... up to this one.", "number", ("0", "100")),
    ("stack.report", "", 1, None, "film", "film",
     "What is reported of a film with dense skins: the porous film, or skins and film together.",
     "choice", ("film", "average")),
    ("film.target_thickness_um", "micrometres", 1, None, None, "25",
     "What the process aims at; drawn in pictures.", "number", ("0.1", "1000")),
    ("film.target_porosity_percent", "percent", 1, None, None, "50",
     "What the process aims at; drawn in pictures.", "number", ("0", "100")),
    ("film.thickness_offset_um", "micrometres", _UM, "thickness_offset_8nm", "0", "0",
     "Added to the measured thickness: laser penetration into this film."),
    ("film.u_thickness_offset_um", "micrometres", 1, None, "0", "0",
     "Standard uncertainty of that offset, beyond the head's own.", "number", ("0", "50")),
    ("layers.porosity", "", 1, "porosity_mode", "measured", None,
     "[layers]: what the board knows of [[layer]], computed from it; state one of the two.",
     "choice", MODES),
    ("layers.thickness_um", "micrometres", _UM, "layers_8nm", "0", None,
     "Thickness of all layers together."),
    ("layers.deficit_um", "micrometres", _UM, "layers_delta_8nm", "0", None,
     "Their dielectric deficit."),
    ("layers.u_thickness_um", "micrometres", _UM, "u_layers_8nm", "0", None,
     "Standard uncertainty of that thickness, the one of thickness_offset_um with it."),
    ("layers.u_ratio", "", _PPM, "u_layers_ratio_ppm", "0", None,
     "Deficit that an error of that thickness brings, over the error."),
    ("layers.u_deficit_um", "micrometres", _UM, "u_layers_delta_8nm", "0", None,
     "Standard uncertainty of the deficit beyond that."),
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
     "Flags that stay until somebody acknowledges them.", "names", record.FLAG_NAMES),
    ("judging.average_windows", "windows", 1, "filter_shift", 1, 1,
     "Limits are judged on the running mean over about so many windows; 1: on each window.",
     "choice", _AVERAGES),
    ("outputs.reject", "", 1, "reject_mask", _R, _LIMIT_FLAGS + ["not_physical", "laser_a_fault",
     "laser_b_fault", "capacitance_fault"],
     "Flags that drop the reject relay (energised means good).", "names", record.FLAG_NAMES),
    ("outputs.marker", "", 1, "marker_mask", (), _LIMIT_FLAGS,
     "Flags that mark the film.", "names", record.FLAG_NAMES),
    ("outputs.marker_delay_mm", "millimetres", 1, "marker_delay_mm", "0", 1500,
     "Length of web between head and marker.", "integer"),
    ("outputs.marker_length_mm", "millimetres", 1, "marker_length_mm", "50", 50,
     "Shortest mark.", "integer"),
    ("sampling.every_m", "metres", 1, None, None, None,
     "A sample goes to the laboratory for every so many metres of film.", "number",
     ("0.1", "1000000")),
    ("sampling.segment_m", "metres", 1, None, "1", "1",
     "Length of film of which a claim is judged as one.", "number", ("0.01", "10000")),
    ("sampling.properties", "", 1, None, (), [],
     "What the laboratory finds of a sample.", "names", LAB_PROPERTIES),
)

# Fields of each [[layer]] table of a recipe: what lies on the film, in any order
LAYER = _fields(
    ("layer.name", "", 1, None, _R, "adhesive", "What it is.", "text"),
    ("layer.kind", "", 1, None, _R, "adhesive",
     "What it does: a metal has no permittivity.", "choice", tuple(LAYER_KINDS)),
    ("layer.thickness_um", "micrometres", 1, None, _R, "10",
     "Thickness of one such layer.", "number", ("0.01", "1000")),
    ("layer.u_thickness_um", "micrometres", 1, None, None, "0.5",
     "Standard uncertainty of its thickness; left out: not known.", "number", ("0", "100")),
    ("layer.permittivity", "", 1, None, None, "3.2",
     "Relative permittivity; not of a metal.", "number", ("1", "1000")),
    ("layer.u_permittivity", "", 1, None, "0", "0.1",
     "Standard uncertainty of the permittivity.", "number", ("0", "100")),
    ("layer.count", "", 1, None, 1, 1,
     "How many such layers: 2 for skins on both faces.", "integer", (1, 10)),
)

# Fields of each [[roller]] table of a recipe: what turns on the line; the board knows none
ROLLER = _fields(
    ("roller.name", "", 1, None, _R, "calender", "What it is called on the line.", "text"),
    ("roller.circumference_mm", "millimetres", 1, None, None, "900",
     "Length of web in a turn; or state the diameter.", "number", ("1", "100000")),
    ("roller.diameter_mm", "millimetres", 1, None, None, None,
     "Where it meets the web; or state the circumference.", "number", ("0.3", "30000")),
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
    ("lasers.map_start_um", "micrometres", _UM, "map_start_8nm", "0", "0",
     "Passline map: reading of the first node."),
    ("lasers.map_step_um", "micrometres", _UM, "map_step_8nm", "0", "0",
     "Readings between two nodes; 0: there is no map."),
    ("lasers.a_map_um", "micrometres", _UM, "a_map_%02d_8nm", (), None,
     "Added to a reading of laser A, at each node.", "nodes"),
    ("lasers.b_map_um", "micrometres", _UM, "b_map_%02d_8nm", (), None,
     "The same, laser B.", "nodes"),
    ("capacitance.conversion_ms", "milliseconds", 1, "cap_rate", _R, "11.0",
     "AD7746 conversion time: the length of a window.", "choice", CONVERSIONS),
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
