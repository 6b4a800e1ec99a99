"""Every field of a scenario: the one table behind defaults, validation and the README.

A scenario is a TOML file. `SECTIONS` are its tables, `DEFECT` and `FAULT` the fields of its
arrays of tables `[[defect]]` and `[[fault]]`, `LAYER` of `[[layer]]`.
`python -m porogauge_bench.readme` writes them into hil_tests/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

AUTO = "auto"
"""A default that follows from other fields; the field's text says how."""


@dataclass(frozen=True)
class Field:
    """One field. `kind` is number, integer, text, choice, curve or pair.

    A curve is a number, or a list of [seconds, value] points between which the value runs in a
    straight line and beyond which it stays. A pair is a list of two numbers, for laser A and B.
    """

    name: str
    default: Any
    unit: str
    low: float | None
    high: float | None
    text: str
    kind: str = "number"
    choices: tuple[str, ...] = ()

    @property
    def legal(self) -> str:
        """What is allowed, in words."""
        if self.kind == "text":
            return "text"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        unit = f" {self.unit}" if self.unit else ""
        span = f"{self.low:g} to {self.high:g}{unit}"
        if self.kind == "curve":
            return f"{span}, or a list of [seconds, value]"
        if self.kind == "pair":
            return f"two numbers, each {span}"
        if self.kind == "integer":
            return f"whole number, {span}"
        return span


def _choice(name: str, default: str, choices: tuple[str, ...], text: str) -> Field:
    return Field(name, default, "", None, None, text, "choice", choices)


MIXING = (
    "bruggeman_l",
    "wiener_parallel",
    "wiener_series",
    "air_in_solid",
    "solid_in_air",
    "looyenga",
    "lichtenecker",
)
LASER_MODELS = (
    "1420-10",
    "1420-25",
    "1420-50",
    "1420-100",
    "1900-2",
    "1900-10",
    "1900-25",
    "1900-50",
)
CONVERSIONS_MS = (11.0, 11.9, 20.0, 38.0, 62.0, 77.0, 92.0, 109.6)
"""AD7746 conversion times by CAPF code."""

SECTIONS: dict[str, tuple[Field, ...]] = {
    "run": (
        Field("name", "", "", None, None, "What the scenario shows; printed.", "text"),
        Field("duration_s", 10.0, "s", 0.1, 200_000, "Virtual time from power-up to the end."),
        Field("seed", 1, "", 0, 2**31 - 1, "Seed of all random numbers.", "integer"),
    ),
    "film": (
        Field("start_s", 2.0, "s", 0, 1e6, "When the film's leading edge reaches the head."),
        Field("length_m", 0.0, "m", 0, 1e6, "Length of the film; 0: endless."),
        Field("thickness_um", 25.0, "um", 1, 300, "Thickness."),
        Field("porosity_percent", 50.0, "%", 0, 95, "Porosity."),
        Field("thickness_um_per_m", 0.0, "um/m", -100, 100, "Its slope along the film."),
        Field("porosity_percent_per_m", 0.0, "%/m", -100, 100, "The same of porosity."),
        Field("thickness_wave_um", 0.0, "um", 0, 100, "Waviness in machine direction, amplitude."),
        Field("thickness_wave_mm", 400.0, "mm", 5, 1e6, "Its wavelength."),
        Field("porosity_wave_percent", 0.0, "%", 0, 50, "The same of porosity."),
        Field("porosity_wave_mm", 300.0, "mm", 5, 1e6, "Its wavelength."),
        Field("thickness_random_um", 0.0, "um rms", 0, 20, "Random profile of thickness."),
        Field("porosity_random_percent", 0.0, "% rms", 0, 10, "Random profile of porosity."),
        Field("random_mm", 200.0, "mm", 20, 1e5, "Typical length of both random profiles."),
        _choice("mixing", "bruggeman_l", MIXING, "Mixing law of the film."),
        Field("structure", 1 / 3, "", 0, 1, "Depolarisation parameter L of bruggeman_l."),
        Field("solid_permittivity", 3.3, "", 1.1, 20, "Of the solid, at 50 %RH and 23 C."),
        Field("solid_ppm_per_rh", 2400.0, "ppm/%RH", -5e4, 5e4, "Its change with humidity."),
        Field("solid_ppm_per_k", 0.0, "ppm/K", -5e4, 5e4, "Its change with air temperature."),
        Field("flutter_um", 5.0, "um", 0, 1000, "Flutter of the passline, amplitude."),
        Field("flutter_hz", 7.3, "Hz", 0, 1000, "Its frequency."),
        Field("flutter_deg", 0.0, "deg", -360, 360, "Its phase at power-up."),
        Field("passline_um", 0.0, "um", -5000, 5000, "Height of the film over mid-gap.", "curve"),
        Field("tilt_deg", 0.0, "deg", -10, 10, "Tilt of the film in the gap.", "curve"),
        Field("intrusion_um", 0.0, "um", -20, 20, "Penetration of light, both lasers together."),
    ),
    "line": (
        Field("speed_m_s", 0.3, "m/s", -10, 10, "Speed of the web.", "curve"),
        Field("speed_wave_m_s", 0.0, "m/s", 0, 5, "Ripple of the speed, amplitude."),
        Field("speed_wave_hz", 1.0, "Hz", 0.001, 100, "Its frequency."),
        Field("counts_per_m", 1000, "1/m", 1, 1e6, "Edges of encoder wire A a metre.", "integer"),
    ),
    "head": (
        Field("electrode_mm", 20.0, "mm", 5, 50, "Diameter of the guarded electrode."),
        Field("area_percent", 0.0, "%", -10, 10, "Error of the effective electrode area."),
        Field("gap_um", 400.0, "um", 100, 1040, "Gap between the electrodes."),
        Field("stray_pf", 0.1, "pF", -1, 2, "Stray capacitance parallel to the electrodes."),
        Field(
            "sum_distance_um",
            AUTO,
            "um",
            500,
            120_000,
            "D, thickness plus both laser readings; auto: measuring range + 50 um.",
        ),
        Field(
            "reference_um",
            500.0,
            "um",
            0,
            2000,
            "Opaque tile in the beams, not in the field, while there is no film; 0: none.",
        ),
        Field("frame_c", 23.0, "C", -30, 100, "Temperature of the frame.", "curve"),
        Field("frame_reference_c", 23.0, "C", -30, 100, "At which D and the gap are as given."),
        Field("sum_um_per_k", 0.12, "um/K", -10, 10, "Growth of D (Invar .12, steel 1.15)."),
        Field("gap_um_per_k", 0.12, "um/K", -10, 10, "Growth of the gap."),
        Field("spot_offset_um", 0.0, "um", -1000, 1000, "Spot B from spot A along the web."),
        Field("vibration_um", 0.2, "um", 0, 50, "Lasers against film and tile, amplitude."),
        Field("vibration_hz", 31.0, "Hz", 0, 1000, "Its frequency."),
        Field(
            "footprint_mm",
            0.0,
            "mm",
            0,
            50,
            "Diameter over which the field averages the film; 0: as at the laser spot.",
        ),
    ),
    "laser": (
        _choice("model", "1900-2", LASER_MODELS, "optoNCDT model and range, both lasers."),
        Field("rate_hz", 4000, "Hz", 250, 10_000, "Rate that the board configures.", "integer"),
        Field("noise_um", 0.1, "um rms", 0, 100, "White noise of each distance."),
        Field("gain_ppm", [0.0, 0.0], "ppm", -20_000, 20_000, "Errors of their gains.", "pair"),
        Field("linearity_um", 0.0, "um", 0, 100, "Sinusoidal linearity error, amplitude."),
        Field(
            "linearity_deg",
            [40.0, 120.0],
            "deg",
            -360,
            360,
            "Its phases; it has three periods in the measuring range.",
            "pair",
        ),
        _choice(
            "sync",
            AUTO,
            (AUTO, "master_slave", "free"),
            "How the two are tied; auto: master_slave if the model can.",
        ),
        Field("skew_us", 0.0, "us", -4000, 4000, "Free-running: B's samples after A's."),
        Field("clock_ppm", [20.0, -15.0], "ppm", -1000, 1000, "Errors of their clocks.", "pair"),
        Field(
            "latency_cycles",
            AUTO,
            "cycles",
            0,
            20,
            "From taking a distance to sending it; auto: 2 for 1900, 3 for 1420.",
            "integer",
        ),
        Field(
            "latency_us",
            [0.0, 0.0],
            "us",
            -200,
            200,
            "Added to that, of each laser.",
            "pair",
        ),
        _choice(
            "power_up",
            "factory",
            ("factory", "silent", "other", "other_baud"),
            "Settings at power-up: streaming; silent; another rate, average and extra values; "
            "the same at 115200 baud.",
        ),
    ),
    "capacitance": (
        _choice(
            "conversion_ms",
            "11.0",
            tuple(str(ms) for ms in CONVERSIONS_MS),
            "Conversion time that the board configures, length of a window (as text).",
        ),
        Field("noise", 1.0, "", 0, 100, "Noise as a multiple of the data sheet's (40 aF)."),
        Field("capdac_step_ff", 171.3, "fF", 130, 200, "One step of the untrimmed CAPDAC."),
        Field(
            "capdac_code",
            AUTO,
            "",
            0,
            127,
            "CAPDAC code that the board uses; auto: balances the empty gap.",
            "integer",
        ),
        Field("gain_ppm", 0.0, "ppm", -1e5, 1e5, "Gain error, known to the calibration."),
        Field("offset_ff", 0.0, "fF", -1000, 1000, "Offset, known to the calibration."),
        Field("linearity_ppm", 0.0, "ppm FS", 0, 1000, "Sinusoidal linearity error, amplitude."),
        Field("clock_ppm", 120.0, "ppm", -50_000, 50_000, "Error of the converter's clock."),
        Field("temperature_noise_k", 0.01, "K rms", 0, 1, "Noise of its temperature sensor."),
        Field("temperature_error_k", 0.0, "K", -2, 2, "Constant error of the same."),
    ),
    "climate": (
        Field("rh_percent", 50.0, "%", 0, 98, "Relative humidity at the head.", "curve"),
        Field("air_c", 23.0, "C", -20, 80, "Air temperature at the head.", "curve"),
        Field("pressure_hpa", 1013.25, "hPa", 300, 1200, "Air pressure.", "curve"),
        Field("rh_noise_percent", 0.03, "% rms", 0, 5, "Noise of the SHT4x."),
        Field("air_noise_c", 0.02, "K rms", 0, 5, "Noise of the SHT4x."),
    ),
    "link": (
        Field("byte_error_rate", 0.0, "", 0, 0.1, "Share of damaged bytes, both directions."),
    ),
}
OVERLAYS = ("recipe", "calibration")
"""Tables whose fields are those of `porogauge recipe template`; they replace the exact values."""

LAYERS = {
    "dense": "Solid without pores: adds thickness and its part t (1 - 1 / permittivity).",
    "metal_floating": "Ideal foil, as large as the electrodes: its thickness leaves the gap.",
    "metal_grounded": "Wide or grounded metal: no field passes, the stray capacitance remains.",
}
LAYER = (
    Field("name", "layer", "", None, None, "What it is.", "text"),
    _choice("kind", "dense", tuple(LAYERS), "See the list of kinds."),
    Field("thickness_um", None, "um", 0, 1000, "Required. Thickness."),
    Field("permittivity", 3.2, "", 1.05, 100, "Of a dense layer."),
)

DEFECTS = {
    # kind: (length_mm, thickness_um, porosity_percent, shape)
    "thick_spot": (20.0, 5.0, 0.0, "cosine"),
    "thin_spot": (20.0, -5.0, 0.0, "cosine"),
    "pore_cluster": (20.0, 0.0, 15.0, "cosine"),
    "splice": (30.0, 0.0, 0.0, "box"),
    "step": (0.0, 5.0, 0.0, "box"),
    "web_break": (300.0, 0.0, 0.0, "box"),
}
DEFECT = (
    _choice(
        "kind",
        "",
        tuple(DEFECTS),
        "Required. splice: two layers of film; step: from here on; web_break: no film.",
    ),
    Field("at_m", None, "m", 0, 1e6, "Place on the film, from its leading edge; or at_s."),
    Field("at_s", None, "s", 0, 1e6, "When the middle (or edge) of it is at the laser spot."),
    Field("length_mm", AUTO, "mm", 0, 1e6, "Length in machine direction; 0 (step): for good."),
    Field("thickness_um", AUTO, "um", -300, 300, "Added to thickness."),
    Field("porosity_percent", AUTO, "%", -95, 95, "Added to porosity."),
    _choice("shape", AUTO, ("cosine", "box"), "Soft or sharp edges."),
    Field("every_m", 0.0, "m", 0, 1e6, "Repeated at this distance; 0: once."),
)

FAULTS: dict[str, tuple[str, ...]] = {
    # kind: the parameters it takes
    "i2c_nack": ("device",),
    "i2c_held": ("line", "clocks"),
    "sht_crc": (),
    "sht_unplugged": (),
    "uart_garbage": ("laser", "rate"),
    "uart_framing": ("laser", "rate"),
    "laser_unplugged": ("laser",),
    "laser_error": ("laser", "code"),
    "laser_off": ("laser",),
    "cap_unplugged": (),
    "cap_excerr": (),
    "cap_lost": (),
    "cap_saturated": (),
    "cap_disturbed": (),
    "ready_open": (),
    "encoder_stopped": (),
    "link_outage": (),
    "link_errors": ("rate",),
    "usb_unplugged": (),
    "host_stall": (),
    "host_killed": (),
    "board_reset": (),
    "board_hang": (),
    "board_crash": (),
    "power_cut": ("operation", "fraction"),
    "flash_slow": (),
    "journal_full": (),
}
FAULT_TEXT = {
    "i2c_nack": "The device does not acknowledge.",
    "i2c_held": "The line is shorted to ground, or SDA until `clocks` pulses of SCL.",
    "sht_crc": "Checksums of the SHT4x are wrong.",
    "sht_unplugged": "SHT4x off the bus; comes back as after power-up.",
    "uart_garbage": "This share of the laser's bytes is replaced by random ones.",
    "uart_framing": "This share of the laser's bytes has a broken stop bit.",
    "laser_unplugged": "Cable off; comes back as after power-up.",
    "laser_error": "Every distance is the error code.",
    "laser_off": "Laser light off (its own code).",
    "cap_unplugged": "Electrode's cable off.",
    "cap_excerr": "Excitation cannot drive its load: EXCERR.",
    "cap_lost": "AD7746 loses its conversions: no /RDY.",
    "cap_saturated": "Electrodes shorted: full-scale result.",
    "cap_disturbed": "A bit of the AD7746's CAPDAC changes at at_s (for_s has no meaning).",
    "ready_open": "Wire of /RDY cut; the AD7746 goes on converting.",
    "encoder_stopped": "Encoder's pulses are lost.",
    "link_outage": "Nothing passes between board and host.",
    "link_errors": "This share of the link's bytes is damaged.",
    "usb_unplugged": "The link's cable is pulled: the board's USB and the host's port are gone.",
    "host_stall": "Host is connected and does not read.",
    "host_killed": "The host's process dies, and another one starts on the same database.",
    "board_reset": "The board is reset at at_s (for_s has no meaning).",
    "board_hang": "The board's program stops for good, outputs as they are (no for_s).",
    "board_crash": "The board's program ends with an error in its next round (no for_s).",
    "flash_slow": "Operations of the flash take as long as its data sheet allows.",
    "journal_full": "The host is away, and the board's flash is too small to hold all until then.",
    "power_cut": "Board and sensors are without power; sensors come back as after power-up.",
}
FAULT = (
    _choice("kind", "", tuple(FAULTS), "Required; see the list of kinds."),
    Field("at_s", None, "s", 0, 1e6, "Required. When it begins."),
    Field("for_s", 1.0, "s", 0, 1e6, "How long it lasts."),
    _choice("device", "ad7746", ("ad7746", "sht4x", "both"), "I2C device."),
    _choice("line", "sda", ("sda", "scl"), "I2C line."),
    Field("clocks", 0, "", 0, 9, "SDA is let go after so many clocks; 0: at the end.", "integer"),
    _choice("laser", "a", ("a", "b", "both"), "Laser."),
    Field("code", 262076, "", 262072, 262143, "Error code (262076: no peak).", "integer"),
    Field("rate", 0.001, "", 0, 1, "Share of bytes."),
    Field(
        "operation",
        0,
        "",
        0,
        1000,
        "Power fails within so many flash operations from at_s (1: the next; in a second"
        " at the latest); 0: at at_s. rp2040 only.",
        "integer",
    ),
    Field("fraction", 0.5, "", 0, 1, "How far that operation has come."),
)


def _row(field: Field) -> str:
    default = field.default
    if default is None or default == "":
        shown = ""
    elif isinstance(default, float):
        shown = f"{default:.6g}"
    else:
        shown = str(default)
    return f"| `{field.name}` | {shown} | {field.legal} | {field.text} |"


def markdown() -> str:
    """Return the tables of the README."""
    head = ["| Field | Default | Legal | Meaning |", "|---|---|---|---|"]
    lines: list[str] = []
    for section, fields in SECTIONS.items():
        lines += [f"### `[{section}]`", "", *head, *map(_row, fields), ""]
    lines += ["### `[[layer]]`", "", "Lies on the film wherever there is film.", ""]
    lines += [*head, *map(_row, LAYER), "", "| Kind | What it does |", "|---|---|"]
    lines += [f"| `{kind}` | {text} |" for kind, text in LAYERS.items()]
    lines += ["", "### `[[defect]]`", "", *head, *map(_row, DEFECT), ""]
    lines += [
        "| Kind | length_mm | thickness_um | porosity_percent | shape |",
        "|---|---|---|---|---|",
    ]
    for kind, values in DEFECTS.items():
        lines.append("| `{}` | {:g} | {:g} | {:g} | {} |".format(kind, *values))
    lines += ["", "### `[[fault]]`", "", *head, *map(_row, FAULT), ""]
    lines += ["| Kind | Parameters | What happens |", "|---|---|---|"]
    for kind, parameters in FAULTS.items():
        names = ", ".join(f"`{name}`" for name in parameters)
        lines.append(f"| `{kind}` | {names} | {FAULT_TEXT[kind]} |")
    lines += [
        "",
        "### `[recipe]`, `[calibration]`",
        "",
        "Fields of a recipe and of a calibration as TOML tables (`[recipe.limits]`, ...): they",
        "replace the exact values that the bench derives from the head above.",
        "",
    ]
    return "\n".join(lines)
