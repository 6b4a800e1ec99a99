"""The windows of a web: where they are along the length, and their values.

Columns come from the pages of the database's file (`porogauge.pages`); no window becomes a Python
object.

    >>> with Store("roll.db", read_only=True) as store:
    ...     web = read_boots(store, ["thickness"])
    >>> web.sections[0].metres, web.sections[0].values["thickness"]

A *section* is a piece of web that was measured without a splice and without a restart of the
board: nothing is computed across its ends. A window without a valid number has NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gauge import record

from ..errors import PorogaugeError, UsageError
from ..rolls import Roll, Span, spans
from ..segments import read, table
from ..store import Store

__all__ = ["VALUES", "Section", "Value", "Web", "fields", "read_boots", "read_roll", "web_of"]

_SAMPLE = 500  # windows that the typical uncertainty is taken from


@dataclass(frozen=True, slots=True)
class Value:
    """What can be analysed: its name with unit, and where a record has it."""

    name: str
    text: str
    unit: str
    column: str
    bit: int
    factor: float  # words per unit
    u_column: str | None  # standard uncertainty; the solid-equivalent thickness has none


VALUES = {
    "thickness": Value(
        "thickness_um",
        "thickness",
        "um",
        "thickness_8nm",
        record.VALID_THICKNESS,
        8000,
        "u_thickness_8nm",
    ),
    "porosity": Value(
        "porosity_percent",
        "porosity",
        "%",
        "porosity_ppm",
        record.VALID_POROSITY,
        10_000,
        "u_porosity_ppm",
    ),
    "permittivity": Value(
        "permittivity",
        "relative permittivity",
        "",
        "permittivity_e4",
        record.VALID_PERMITTIVITY,
        10_000,
        "u_permittivity_e4",
    ),
    "solid": Value(
        "solid_um",
        "solid-equivalent thickness",
        "um",
        "solid_8nm",
        record.VALID_SOLID,
        8000,
        None,
    ),
}


@dataclass(frozen=True, slots=True)
class Section:
    """Windows in their order; `values`: NaN where there is none."""

    metres: np.ndarray
    values: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Web:
    """`left_out`: value -> "state: reason" -> windows without a number for that cause.

    `u95`: value -> U95 that the gauge typically gave to one window; None where it gives none.
    `missing`: windows that are not stored at all.
    """

    device: str
    boots: tuple[int, ...]
    windows: int
    missing: int
    sections: tuple[Section, ...]
    left_out: dict[str, dict[str, int]]
    u95: dict[str, float | None]


def read_roll(store: Store, roll: Roll, names: Sequence[str]) -> Web:
    """All windows of a roll. Raises PorogaugeError when there are none yet."""
    ranges = spans(store, roll)
    return web_of(roll.device, ranges, table(store, roll, fields(names)), names, splices(roll))


def read_boots(
    store: Store, names: Sequence[str], device: str | None = None, boot: int | None = None
) -> Web:
    """All windows of a device, or of one of its boots.

    Raises UsageError when there are several devices and none is named, PorogaugeError when
    nothing is stored.
    """
    ranges: dict[str, list[Span]] = {}
    there = []
    for (name,) in store.query("SELECT device FROM devices ORDER BY device"):
        for span in store.extents(name):
            there.append(f"{name} boot {span[0]}")
            if device in (None, name) and boot in (None, span[0]):
                ranges.setdefault(name, []).append(Span(*span))
    if not ranges:
        raise PorogaugeError(
            f"{store.path}: has no records of that device and boot; there:"
            f" {', '.join(there) or 'none'}"
        )
    if len(ranges) > 1:
        raise UsageError(
            f"{store.path}: has several devices: {', '.join(ranges)}; name one with --device"
        )
    ((name, its),) = ranges.items()
    return web_of(name, its, read(store, name, its, fields(names)), names)


def splices(roll: Roll) -> list[tuple[int, int]]:
    """Boot and sequence number of the first window behind each splice."""
    return [(event.boot, event.seq) for event in roll.events if event.kind == "splice"]


def fields(names: Sequence[str]) -> tuple[str, ...]:
    """Fields of a record that the web of these values is made of."""
    values = [VALUES[name] for name in names]
    columns = [value.column for value in values]
    columns += [value.u_column for value in values if value.u_column is not None]
    return ("valid", "state", "reason", *dict.fromkeys(columns))


def web_of(
    device: str,
    ranges: Sequence[Span],
    windows: Mapping[str, np.ndarray],
    names: Sequence[str],
    cuts: Sequence[tuple[int, int]] = (),
) -> Web:
    """The web of windows that were read (`porogauge.segments.read`, with `fields`).

    `ranges`: where windows are due; `cuts`: where a section begins, besides the boots.
    """
    boot, seq, metres = (windows[name] for name in ("boot", "seq", "metres"))
    values, left_out, u95 = {}, {}, {}
    for name in names:
        value = VALUES[name]
        there = windows["valid"] & value.bit != 0
        values[name] = windows[value.column] / value.factor
        left_out[name] = {}
        if not there.all():
            values[name][~there] = np.nan
            codes = windows["state"][~there] * 256 + windows["reason"][~there]
            for code, count in zip(*np.unique(codes, return_counts=True), strict=True):
                left_out[name][_cause(int(code))] = int(count)
        u95[name] = _typical_u95(windows, value, there)
    begins = [int(np.searchsorted(boot, b) + np.searchsorted(seq[boot == b], s)) for b, s in cuts]
    edges = sorted({0, len(seq), *(np.flatnonzero(np.diff(boot)) + 1).tolist(), *begins})
    sections = tuple(
        Section(metres[low:high], {name: values[name][low:high] for name in names})
        for low, high in pairwise(edges)
    )
    due = sum(span.last - span.first + 1 for span in ranges)
    boots = tuple(dict.fromkeys(span.boot for span in ranges))
    return Web(device, boots, len(seq), due - len(seq), sections, left_out, u95)


def _cause(code: int) -> str:
    pairs = (record.STATE_NAMES, code >> 8), (record.REASON_NAMES, code & 255)
    words = (names[i] if i < len(names) else f"unknown_{i}" for names, i in pairs)
    return ": ".join(words)


def _typical_u95(
    windows: Mapping[str, np.ndarray], value: Value, there: np.ndarray
) -> float | None:
    """Median of U95 of windows that are evenly spread over the web."""
    if value.u_column is None:
        return None
    chosen = np.unique(np.linspace(0, len(there) - 1, _SAMPLE).astype(int))
    found = windows[value.u_column][chosen[there[chosen]]]
    return 2 * float(np.median(found)) / value.factor if len(found) else None
