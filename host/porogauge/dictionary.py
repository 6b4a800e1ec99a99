"""The data dictionary: what each exported column is, in which unit, how well it is known.

    >>> entry = columns()["thickness_nm"]
    >>> entry.unit, entry.uncertainty
    ('nm', 'u_thickness_nm')

An export carries it: Parquet as metadata of file and columns, every format as a JSON file beside.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gauge import record

from . import __version__
from .meanings import FLAGS, REASONS, STATES
from .units import FIELDS, RAW_PREFIX

__all__ = ["Entry", "columns", "dictionary"]

_NOT_STATED = "not stated for a window: the calibration's budget has it"
_ENDINGS = (  # of a name -> unit, and words per unit
    ("_8nm", "1/8 nm"),
    ("_nm", "nm"),
    ("_ppm", "ppm"),
    ("_e4", "1/10000"),
    ("_us", "us"),
    ("_mm", "mm"),
    ("_af", "aF"),
    ("_mc", "1/1000 degree Celsius"),
    ("_c", "degree Celsius"),
    ("_percent", "%"),
    ("t_s", "s"),
    ("_counts", "counts of the encoder"),
    ("_samples", "samples"),
    ("_windows", "windows"),
)
_UNCERTAINTY = {
    "thickness_nm": "u_thickness_nm",
    "porosity_ppm": "u_porosity_ppm",
    "permittivity_e4": "u_permittivity_e4",
    "d_nm": "u_d_nm",
}
_UNCERTAINTY |= dict.fromkeys(
    ("solid_nm", "c_af", "c0_af", "gap_nm", "delta_nm", "frame_c", "air_c", "rh_percent"),
    _NOT_STATED,
)
_LASER = {
    "n": "valid samples in the window",
    "sum": "sum of the sensor's distance words of the valid samples",
    "first": "distance word of the first valid sample",
    "last": "distance word of the last valid sample",
    "t_first_us": "time of the first valid sample after the window's start",
    "t_last_us": "time of the last valid sample after the window's start",
    "t_sum_us": "sum of the times of the valid samples after the window's start",
    "min": "smallest distance word",
    "max": "largest distance word",
    "d2": "sum of squared second differences of consecutive distance words",
    "n_d2": "how many second differences that sum has",
    "errors": "samples with an error code, broken byte sequences, jumps",
    "error_code": "last error code of the window; 0: none",
}
_WORDS = {
    "t_s": "board time of the window's end since boot, whole seconds",
    "t_us": "and microseconds, 0 to 999999",
    "position_counts": "web encoder, counts since boot",
    "cap_code": "data word of the capacitance converter",
    "frame_mc": "frame temperature",
    "air_mc": "air temperature at the head",
    "rh_ppm": "relative humidity at the head",
    "valid": "bits of the valid numbers: thickness, permittivity, porosity, solid",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A column. `uncertainty`: the column with its standard uncertainty, or what is known of it;
    None for what is counted or named. A number that is not valid is empty, never 0."""

    name: str
    unit: str
    meaning: str
    uncertainty: str | None = None


def _unit(name: str) -> str:
    return next((unit for ending, unit in _ENDINGS if name.endswith(ending)), "")


def _raw(name: str) -> str:
    """Meaning of a word of a record."""
    if name[:2] in ("a_", "b_"):
        return f"laser {name[0].upper()}: {_LASER[name[2:]]}"
    if name in _WORDS:
        return _WORDS[name]
    if name in FIELDS:
        return FIELDS[name].rsplit(", ", 1)[0]
    stem = name.rsplit("_", 1)[0]  # the same in another unit
    return next(text for k, text in FIELDS.items() if k.rsplit("_", 1)[0] == stem).rsplit(", ")[0]


def columns(with_raw: bool = True) -> dict[str, Entry]:
    """Every column of an export, in order."""
    found = [Entry("device", "", "unique id of the gauge's board, hexadecimal")]
    for name, meaning in FIELDS.items():
        found.append(Entry(name, _unit(name), meaning, _UNCERTAINTY.get(name)))
    found.append(Entry("wall_time", "UTC", "end of the window, by the boot's clock relation"))
    if with_raw:
        for name in record.FIELD_NAMES:
            text = f"{_raw(name)}; the word as the board recorded it"
            found.append(Entry(RAW_PREFIX + name, _unit(name), text))
    return {entry.name: entry for entry in found}


def dictionary(with_raw: bool = True) -> dict[str, Any]:
    """Columns and names in them, as plain values."""
    return {
        "made_by": f"porogauge {__version__}",
        "layout": record.LAYOUT_HASH.hex(),
        "note": "one row a window; u_... are standard uncertainties, U95 is twice that;"
        " a number that is not valid is empty, and 'reason' says why",
        "columns": [asdict(entry) for entry in columns(with_raw).values()],
        "flags": FLAGS,
        "states": STATES,
        "reasons": REASONS,
        "outputs": {
            "good": "the reject relay is energised: film is good",
            "marker": "the marker is driven",
            "heartbeat": "toggles while the gauge works",
        },
    }
