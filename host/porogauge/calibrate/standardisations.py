"""Standardisations that a database has, in the form of a trend's entries.

    >>> entries, calibrations = standardisations("line1.db")     # for `verify.trend`

Every record carries the reference in force; where it changes within a boot, the gauge has
standardised. The calibration is the one that the database has of the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from typing import Any

from gauge import config

from ..recipe import decode_words
from ..store import Store, words_of
from .physics import PRESSURE_HPA, Head, air_permittivity
from .verify import against

__all__ = ["standardisations"]

_SQL = (
    "SELECT min(seq), t_s, c0_af, d_8nm, c0_frame_mc, d_frame_mc, u_d_8nm, standard_windows,"
    " air_mc, rh_ppm FROM records WHERE device=? AND boot=? AND seq BETWEEN ? AND ?"
    " AND standard_windows>0"
    " GROUP BY c0_af, d_8nm, c0_frame_mc, d_frame_mc, standard_windows ORDER BY 1"
)


def standardisations(
    database: str | Path,
    head: str | None = None,
    at: Mapping[tuple[str, int], Sequence[tuple[int, int]]] | None = None,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return (entries, calibrations by id), oldest first.

    Without wall time (no clock relation of that boot) an entry has the time at which the boot was
    first seen. `at`: of each device and boot the ranges of windows in which the reference changed,
    where that is known: only these are read. Raises PorogaugeError when the file cannot be read.
    """
    entries, calibrations = [], {}
    with Store(database, read_only=True) as store:
        for boot in store.boots():
            key = boot["device"], boot["boot"]
            stored = [(entry["from_seq"], words_of(entry)) for entry in store.configurations(*key)]
            ranges = [(0, 1 << 62)] if at is None else at.get(key, ())
            found = [
                row
                for each in ranges
                for row in store.query(_SQL, (store.device_id(key[0]), key[1], *each))
            ]
            for row in {row[2:8]: row for row in reversed(found)}.values():
                words = [words for first, words in stored if first <= row[0]]
                if not words or head not in (None, str(words[-1][config.HEAD_ID])):
                    continue
                id = f"{words[-1][config.CALIBRATION_ID]:08x}"
                if id not in calibrations:
                    calibrations[id] = decode_words(words[-1])[1]
                entries.append(_entry(row, id, calibrations[id], boot))
    return sorted(entries, key=lambda entry: entry["time"]), calibrations


def _entry(
    row: tuple[int, ...], id: str, calibration: dict[str, Any], boot: dict[str, Any]
) -> dict[str, Any]:
    _, t_s, c0_af, d_8nm, c0_mc, d_mc, u_d_8nm, windows, air_mc, rh_ppm = row
    head = Head(calibration)
    air = air_permittivity(air_mc / 1000, rh_ppm / 10_000, PRESSURE_HPA)
    u_c0 = head.u["capacitance_af"] * 1e-6 / sqrt(windows)
    d = (d_8nm / 8000, u_d_8nm / 8000, d_mc / 1000) if head.tile_um else None
    gap = against(head, (c0_af / 1e6, u_c0, c0_mc / 1000, air), d)
    if d is not None:
        gap["laser_sd_um"] = d[1] * sqrt(windows)
    clock = boot["clock"]
    when = boot["first_seen"] if clock is None else clock.wall(t_s * 1_000_000)
    return {
        "time": datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds"),
        "procedure": "standardisation",
        "calibration": id,
        "off_sheet": gap,
        "device": boot["device"],
        "boot": boot["boot"],
    }
