"""What the page draws along a web: curves and the roll map, of the pyramids or of the windows.

    >>> trend(feed, place, "metres", 0.0, 100.0, 1000)["values"]["thickness"]["mean"]

A curve over few windows has one point each, with the stored numbers; else each column has the
minimum, mean, maximum and uncertainty of the windows in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from ..rolls import Roll
from .feed import Feed
from .lines import AXES, Found, Line, Source
from .pyramid import FIELDS, SHOWN, columns, join, windows

__all__ = ["MAPPED", "Place", "place_of", "roll_map", "trend"]

_FINER = 4  # bins of a column at least, else a finer level is read
_WINDOWS = 20_000  # that are read one by one at most
_MOST_COLUMNS = 4000
_MOST_CELLS = 600_000
MAPPED = ("mean", "min", "max", "u")


@dataclass(frozen=True, slots=True)
class Place:
    """A gauge's line, or the piece of it that is a roll: from `low` to `high` on each axis."""

    device: str
    line: Line
    low: dict[str, float]
    high: dict[str, float]

    def length(self, axis: str) -> float:
        return self.high[axis] - self.low[axis]


def place_of(feed: Feed, device: str, roll: Roll | None) -> Place:
    """The whole line of a gauge, or a roll's piece. Raises UsageError without windows."""
    line = feed.devices().get(device)
    if line is None:
        raise UsageError(f"device: {device or 'none'} has no windows in this database")
    low = dict.fromkeys(AXES, 0.0)
    high = {axis: line.length(axis) for axis in AXES}
    if roll is not None:
        begin, last = roll.events[0], roll.events[-1]
        low = {axis: _at(feed, device, line, begin.boot, begin.seq, axis) for axis in AXES}
        if roll.ended:
            high = {axis: _at(feed, device, line, last.boot, last.seq, axis) for axis in AXES}
    return Place(device, line, low, high)


def _at(feed: Feed, device: str, line: Line, boot: int, seq: int, axis: str) -> float:
    """Where a window is on the line; where it is not stored, its bin."""
    store = feed.reader.store
    rows = store.query(
        f"SELECT {', '.join(FIELDS)} FROM records WHERE device=? AND boot=? AND seq=?",
        (store.device_id(device), boot, seq),
    )
    if not rows or boot not in line:
        return line.at(boot, seq, axis)
    return line.start(boot, axis) + float(
        line.place(boot, windows(rows, line.near(boot)), axis)[0]
    )


_NEEDS = {"mean": "sum", "min": "min", "max": "max", "u": "uu"}


def _arrays(values: Iterable[str], parts: Iterable[str]) -> list[str]:
    """Names of the arrays that a picture needs."""
    names = ["windows", "flags", "states"]
    for value in values:
        names += [f"{value}_{name}" for name in ("n", *(_NEEDS[what] for what in parts))]
    return names


def _bins(
    feed: Feed, place: Place, axis: str, low: float, high: float, count: int, names: list[str]
) -> tuple[Found, bool]:
    """At least `count` bins from low to high where there are as many, else the windows (True)."""
    found = place.line.between(low, high, count, axis, names)
    single = len(found.at) < count and found.windows <= max(_WINDOWS, count)
    if single:
        found = _windows(feed, place, axis, found.sources, names)
    return found.inside(low, high), single


def _windows(
    feed: Feed, place: Place, axis: str, sources: Sequence[Source], names: list[str]
) -> Found:
    """Single windows of pieces of boots, as bins of one."""
    store = feed.reader.store
    sql = (
        f"SELECT {', '.join(FIELDS)} FROM records"
        " WHERE device=? AND boot=? AND seq BETWEEN ? AND ? ORDER BY seq"
    )
    places, parts = [np.zeros(0)], [windows([])]
    for source in sources:
        key = store.device_id(place.device), source.boot, source.first, source.last
        made = windows(store.query(sql, key), place.line.near(source.boot))
        places.append(place.line.place(source.boot, made, axis) + source.start)
        parts.append(made)
    whole = join(parts)
    return Found(np.concatenate(places), {name: whole[name] for name in names}, tuple(sources))


def _checked(
    place: Place, axis: str, low: float | None, high: float | None
) -> tuple[float, float]:
    if axis not in AXES:
        raise UsageError(f"axis: {axis} is not one of {', '.join(AXES)}")
    whole = place.length(axis)
    low = 0.0 if low is None else max(0.0, low)
    high = whole if high is None else min(high, whole)
    if not high > low:
        low, high = max(0.0, min(low, whole) - 0.5), max(0.0, min(low, whole) - 0.5) + 1.0
    return low + place.low[axis], high + place.low[axis]


def _plain(values: np.ndarray) -> list[Any]:
    """For JSON: no number is null."""
    return [None if value != value else value for value in values.tolist()]


def trend(
    feed: Feed,
    place: Place,
    axis: str,
    low: float | None = None,
    high: float | None = None,
    count: int = 1000,
) -> dict[str, Any]:
    """A curve of every value over a piece of web, at most `count` points.

    `low`, `high`: in metres or seconds from the beginning of the line or roll (default: all).
    """
    if not 1 <= count <= _MOST_COLUMNS:
        raise UsageError(f"columns: {count} is outside of 1 to {_MOST_COLUMNS}")
    low, high = _checked(place, axis, low, high)
    raw, single = _bins(feed, place, axis, low, high, _FINER * count, _arrays(SHOWN, MAPPED))
    if single and len(raw.at) <= count:
        at, edges = raw.at, np.arange(len(raw.at) + 1)
        found = columns(edges[:-1], raw.bins, edges)
    else:
        count = max(1, min(count, len(raw.at)))  # none is empty for want of bins
        single, edges = False, np.linspace(low, high, count + 1)
        at = (edges[1:] + edges[:-1]) / 2
        found = columns(raw.at, raw.bins, edges)
    return {
        "axis": axis,
        "from": low - place.low[axis],
        "to": high - place.low[axis],
        "length": place.length(axis),
        "windows": int(found["windows"].sum()),
        "single": single,
        "complete": feed.complete,
        "x": (at - place.low[axis]).tolist(),
        "n": found["windows"].tolist(),
        "flags": found["flags"].tolist(),
        "states": found["states"].tolist(),
        "values": {name: {what: _plain(found[name][what]) for what in MAPPED} for name in SHOWN},
    }


def roll_map(
    feed: Feed,
    place: Place,
    axis: str,
    low: float | None,
    row: float,
    rows: int,
    count: int,
    value: str,
    what: str,
) -> bytes:
    """A map: `rows` rows of `count` cells, each row a length `row` of web, one below the other.

    Four bytes with the length of a JSON object, the object, padded to a multiple of four, then
    row by row float32 of the value (NaN: none), uint32 flags, uint8 states (0: no window).
    """
    for name, given, legal in (("axis", axis, AXES), ("value", value, SHOWN)):
        if given not in legal:
            raise UsageError(f"{name}: {given} is not one of {', '.join(legal)}")
    if what not in MAPPED:
        raise UsageError(f"what: {what} is not one of {', '.join(MAPPED)}")
    if not (1 <= rows <= 2000 and 1 <= count <= _MOST_COLUMNS and rows * count <= _MOST_CELLS):
        raise UsageError(f"rows times columns: {rows} times {count} is more than {_MOST_CELLS}")
    if not 0 < row < 1e9:
        raise UsageError("row: has to be above 0")
    start = max(0.0, low or 0.0)
    end = start + row * rows
    first, last = start + place.low[axis], min(end, place.length(axis)) + place.low[axis]
    cells = rows * count
    raw, _ = _bins(feed, place, axis, first, last, 2 * cells, _arrays([value], [what]))
    at = raw.at - place.low[axis]
    found = columns(at, raw.bins, np.linspace(start, end, cells + 1))
    source = _filled(found["windows"] > 0, at, row / count)
    numbers = found[value][what][source].astype("<f4")
    flags, states = found["flags"][source].astype("<u4"), found["states"][source].copy()
    for array, empty in ((numbers, np.nan), (flags, 0), (states, 0)):
        array[source < 0] = empty
    there = numbers[np.isfinite(numbers)]
    head = {
        "axis": axis,
        "from": start,
        "row": row,
        "rows": rows,
        "columns": count,
        "length": place.length(axis),
        "complete": feed.complete,
        "value": value,
        "what": what,
        "range": np.quantile(there, (0.005, 0.995)).tolist() if len(there) else None,
    }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    return b"".join(
        (len(text).to_bytes(4, "little"), text, *(a.tobytes() for a in (numbers, flags, states)))
    )


def _filled(there: np.ndarray, at: np.ndarray, cell: float) -> np.ndarray:
    """Which cell each cell shows: its own, or that of the bin that reaches into it; -1: none.

    Where cells are smaller than bins a bin is drawn over all of its cells, but not into a hole.
    """
    index = np.arange(len(there))
    last = np.maximum.accumulate(np.where(there, index, -1))
    steps = np.diff(at)
    steps = steps[steps > 0]
    reach = int(np.ceil(1.5 * float(np.median(steps)) / cell)) if len(steps) else 0
    return np.where(index - last <= reach, last, -1)
