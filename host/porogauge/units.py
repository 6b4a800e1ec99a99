"""From a record's words to user units: the one place on the host where that happens.

`decode` turns one record (a sequence of words in the order of `gauge.record.FIELD_NAMES`, or a
mapping of field name to word) into a dict of plain Python values. A number that the gauge did not
declare valid is None, never 0; flags, states and reasons are names.

    >>> from gauge import health, record
    >>> words = record.new()
    >>> words[record.THICKNESS_8NM] = 200_000
    >>> words[record.VALID] = record.VALID_THICKNESS
    >>> row = decode(words)
    >>> row["thickness_nm"], row["porosity_ppm"], row["valid"]
    (25000.0, None, False)

Units are in the names. `t_us` is the board's time since boot at the window's *end*, in whole
microseconds (the record itself splits it into `t_s` and `t_us`). `u_...` are standard
uncertainties; U95 is twice that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gauge import health, record

__all__ = ["FIELDS", "RAW_PREFIX", "decode", "decode_all", "decode_status", "raw", "total_us"]

RAW_PREFIX = "raw_"

# Keys of `decode`, in order, with what they mean: the documentation of every exported table.
FIELDS = {
    "boot": "boot counter of the board",
    "seq": "number of the window since boot, from 0",
    "t_us": "board time of the window's end since boot, microseconds",
    "position_mm": "web position, millimetres since boot",
    "state": "state of the gauge, by name",
    "state_reason": "why it is in that state, by name",
    "flags": "active flags, by name",
    "latched": "flags that wait for an acknowledgement, by name",
    "outputs": "outputs driven after this window, by name",
    "valid": "true when thickness, permittivity, porosity and solid are all valid",
    "reason": "why a number is missing, by name ('ok' when none is)",
    "thickness_nm": "thickness of the film without known layers on it, nanometres",
    "permittivity_e4": "relative permittivity times 10000",
    "porosity_ppm": "porosity, parts per million",
    "solid_nm": "solid-equivalent thickness t(1 - porosity), nanometres",
    "u_thickness_nm": "standard uncertainty of the thickness, nanometres",
    "u_porosity_ppm": "standard uncertainty of the porosity, parts per million",
    "u_permittivity_e4": "standard uncertainty of the permittivity times 10000",
    "dt_us": "length of the window, microseconds",
    "lost": "conversions lost between the window before and this one",
    "c_af": "capacitance with film, stray removed, attofarad",
    "c0_af": "off-sheet capacitance in force, attofarad",
    "gap_nm": "electrode gap in force, nanometres",
    "d_nm": "sum distance of the two lasers in force, nanometres",
    "c0_frame_c": "frame temperature at which c0 was found, degrees Celsius",
    "d_frame_c": "frame temperature at which d was found, degrees Celsius",
    "u_d_nm": "standard uncertainty of d from the scatter while it was found, nanometres",
    "standard_windows": "windows of that standardisation; 0: the calibration's values",
    "delta_nm": "dielectric deficit of all that is in the gap, nanometres",
    "frame_c": "frame temperature, degrees Celsius",
    "air_c": "air temperature at the head, degrees Celsius",
    "rh_percent": "relative humidity at the head, percent",
    "a_samples": "valid samples of laser A in the window",
    "b_samples": "valid samples of laser B in the window",
}

_INDEX = {name: index for index, name in enumerate(record.FIELD_NAMES)}
_THICKNESS = record.VALID_THICKNESS
_PERMITTIVITY = record.VALID_PERMITTIVITY
_POROSITY = record.VALID_POROSITY
_SOLID = record.VALID_SOLID


def _name(names: Sequence[str], index: int) -> str:
    """Name of an index; an index that this host does not know stays visible as a number."""
    return names[index] if 0 <= index < len(names) else f"unknown_{index}"


def _words(row: Sequence[int] | Mapping[str, int]) -> Sequence[int]:
    if isinstance(row, Mapping):
        return [row[name] for name in record.FIELD_NAMES]
    if len(row) != record.N_FIELDS:
        raise ValueError(f"a record has {record.N_FIELDS} words, not {len(row)}")
    return row


def total_us(row: Sequence[int] | Mapping[str, int]) -> int:
    """Board time of the window's end, microseconds since boot."""
    if isinstance(row, Mapping):
        return row["t_s"] * 1_000_000 + row["t_us"]
    return row[record.T_S] * 1_000_000 + row[record.T_US]


def decode(row: Sequence[int] | Mapping[str, int], boot: int = 0) -> dict[str, Any]:
    """Return one record in user units, with the keys of `FIELDS` in that order.

    `row` is a record's words in the order of `FIELD_NAMES`, or a mapping that has them by name.
    Raises ValueError when the number of words is not that of this layout.
    """
    w = _words(row)
    valid = w[record.VALID]
    thickness = valid & _THICKNESS
    permittivity = valid & _PERMITTIVITY
    porosity = valid & _POROSITY
    return {
        "boot": boot,
        "seq": w[record.SEQ],
        "t_us": w[record.T_S] * 1_000_000 + w[record.T_US],
        "position_mm": w[record.POSITION_MM],
        "state": _name(record.STATE_NAMES, w[record.STATE]),
        "state_reason": _name(record.REASON_NAMES, w[record.STATE_REASON]),
        "flags": record.names_of(w[record.FLAGS]),
        "latched": record.names_of(w[record.LATCHED]),
        "outputs": record.names_of(w[record.OUTPUTS], record.OUTPUT_NAMES),
        "valid": valid & record.VALID_ALL == record.VALID_ALL,
        "reason": _name(record.REASON_NAMES, w[record.REASON]),
        "thickness_nm": w[record.THICKNESS_8NM] / 8 if thickness else None,
        "permittivity_e4": w[record.PERMITTIVITY_E4] if permittivity else None,
        "porosity_ppm": w[record.POROSITY_PPM] if porosity else None,
        "solid_nm": w[record.SOLID_8NM] / 8 if valid & _SOLID else None,
        "u_thickness_nm": w[record.U_THICKNESS_8NM] / 8 if thickness else None,
        "u_porosity_ppm": w[record.U_POROSITY_PPM] if porosity else None,
        "u_permittivity_e4": w[record.U_PERMITTIVITY_E4] if permittivity else None,
        "dt_us": w[record.DT_US],
        "lost": w[record.LOST],
        "c_af": w[record.C_AF],
        "c0_af": w[record.C0_AF],
        "gap_nm": w[record.GAP_8NM] / 8,
        "d_nm": w[record.D_8NM] / 8,
        "c0_frame_c": w[record.C0_FRAME_MC] / 1000,
        "d_frame_c": w[record.D_FRAME_MC] / 1000,
        "u_d_nm": w[record.U_D_8NM] / 8,
        "standard_windows": w[record.STANDARD_WINDOWS],
        "delta_nm": w[record.DELTA_8NM] / 8,
        "frame_c": w[record.FRAME_MC] / 1000,
        "air_c": w[record.AIR_MC] / 1000,
        "rh_percent": w[record.RH_PPM] / 10_000,
        "a_samples": w[record.A_N],
        "b_samples": w[record.B_N],
    }


def raw(row: Sequence[int] | Mapping[str, int]) -> dict[str, int]:
    """Return every word of the record under its field name with `RAW_PREFIX` before it.

    With these a stored roll can be recomputed; the prefix keeps them apart from the decoded
    values of the same name (`raw_flags` is the mask, `flags` the list of names).
    """
    return {
        RAW_PREFIX + name: word for name, word in zip(record.FIELD_NAMES, _words(row), strict=True)
    }


def decode_all(row: Sequence[int] | Mapping[str, int], boot: int = 0) -> dict[str, Any]:
    """Return `decode` and `raw` of a record in one dict: a row of an export."""
    return decode(row, boot) | raw(row)


def decode_status(words: Mapping[str, int]) -> dict[str, Any]:
    """Return the words of STATUS (`gauge.health.STATUS_NAMES`) in user units.

    Names that this board does not send are None; numbers that are not valid as well.
    """

    def get(name: str) -> Any:
        return words.get(name)

    def named(name: str, names: Sequence[str]) -> str | None:
        return None if get(name) is None else _name(names, get(name))

    def bits(name: str, names: Sequence[str] = record.FLAG_NAMES) -> list[str]:
        return record.names_of(get(name) or 0, names)

    def scaled(name: str, factor: int, bit: int = 0) -> float | None:
        there = get(name) is not None and (not bit or (get("valid") or 0) & bit)
        return get(name) / factor if there else None

    def hexadecimal(name: str) -> str | None:
        known = get("configured") and get(name) is not None
        return f"{get(name):08x}" if known else None

    return {
        "state": named("state", record.STATE_NAMES),
        "state_reason": named("state_reason", record.REASON_NAMES),
        "flags": bits("flags"),
        "latched": bits("latched"),
        "outputs": bits("outputs", record.OUTPUT_NAMES),
        "valid": (get("valid") or 0) & record.VALID_ALL == record.VALID_ALL,
        "reason": named("reason", record.REASON_NAMES),
        "thickness_nm": scaled("thickness_8nm", 8, _THICKNESS),
        "u_thickness_nm": scaled("u_thickness_8nm", 8, _THICKNESS),
        "permittivity_e4": get("permittivity_e4") if scaled("valid", 1, _PERMITTIVITY) else None,
        "porosity_ppm": get("porosity_ppm") if scaled("valid", 1, _POROSITY) else None,
        "u_porosity_ppm": get("u_porosity_ppm") if scaled("valid", 1, _POROSITY) else None,
        "solid_nm": scaled("solid_8nm", 8, _SOLID),
        "position_mm": get("position_mm"),
        "frame_c": scaled("frame_mc", 1000),
        "air_c": scaled("air_mc", 1000),
        "rh_percent": scaled("rh_ppm", 10_000),
        "windows": get("windows"),
        "lost": get("lost"),
        "configured": bool(get("configured")),
        "recipe_id": hexadecimal("recipe_id"),
        "calibration_id": hexadecimal("calibration_id"),
        "head_id": get("head_id") if get("configured") else None,
        "standard_age_s": None if get("standard_s") in (None, -1) else get("standard_s"),
        "standard_result": named("standard_result", record.REASON_NAMES),
        "standard_cause": named("standard_cause", health.STANDARD_CAUSES),
        "as_found_c0_af": get("as_found_c0_af"),
        "as_left_c0_af": get("as_left_c0_af"),
        "as_found_d_nm": scaled("as_found_d_8nm", 8),
        "as_left_d_nm": scaled("as_left_d_8nm", 8),
    }
