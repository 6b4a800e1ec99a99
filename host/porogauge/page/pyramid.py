"""Windows of a gauge in bins of a pyramid: minimum, mean, maximum, uncertainty and flags.

A bin of the lowest level has up to 16 windows whose sequence numbers share all but the last four
bits, so that a window that comes late (from the gauge's journal) finds its bin. Eight bins of a
level make one of the next. A window is itself a bin of one, and combining is the one piece of
arithmetic: windows become bins, bins become higher bins, and either become the columns of a
picture, with no extreme and no flag lost on the way.

    >>> track = Track()
    >>> track.add(windows(rows))              # rows: FIELDS of records, a row each
    >>> at, found = track.between(0.0, 120.0, 500)
    >>> columns(at, found, edges)["thickness"]["max"]

Values are summed as words of the record, exactly; `columns` turns them into user units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gauge import record

from ..stats.windows import VALUES

__all__ = ["FIELDS", "SHOWN", "Bins", "Track", "columns", "join", "part", "windows"]

SHOWN = {name: VALUES[name] for name in ("thickness", "porosity", "permittivity")}
FIELDS = (
    "seq",
    "t_s",
    "t_us",
    "position_mm",
    "state",
    "valid",
    "flags",
    "outputs",
    "lost",
    "c0_af",
    "d_8nm",
    "standard_windows",
    *(name for value in SHOWN.values() for name in (value.column, value.u_column)),
)
_AT = {name: index for index, name in enumerate(FIELDS)}
_FOLD = 1 << 30  # the board's position in mm begins anew at -2**29 after 2**29
_SHIFT = 4  # windows of a bin of level 0: 16
_STEP = 3  # bins of a bin of the next level: 8
_LEVELS = 5

_TYPES = {
    "seq": "i8",  # first window
    "seconds": "f8",  # board time of the first window's end, since boot
    "end_s": "f8",  # the same of the last one
    "low_mm": "i8",
    "high_mm": "i8",
    "windows": "u4",
    "good": "u4",  # windows with the output 'good'
    "lost": "u4",
    "flags": "u4",  # of any window
    "states": "u1",  # bits of the states
    "c0_af": "i4",  # reference in force at the end; 0: the calibration's
    "d_8nm": "i4",
} | {
    f"{name}_{what}": kind
    for name in SHOWN
    for what, kind in (("n", "u4"), ("sum", "i8"), ("min", "i4"), ("max", "i4"), ("uu", "f8"))
}
_HOW = {"n": np.add, "sum": np.add, "min": np.minimum, "max": np.maximum, "uu": np.add} | {
    "end_s": np.maximum,
    "low_mm": np.minimum,
    "high_mm": np.maximum,
    "windows": np.add,
    "good": np.add,
    "lost": np.add,
    "flags": np.bitwise_or,
    "states": np.bitwise_or,
}
_FIRST = ("seq", "seconds")
_LAST = ("c0_af", "d_8nm")
_NONE = np.iinfo("i4")
Bins = dict[str, np.ndarray]  # arrays of one length, by the names of _TYPES or some of them


def part(bins: Bins, which: Any) -> Bins:
    """Chosen bins: by a slice, a mask or indices."""
    return {name: array[which] for name, array in bins.items()}


def join(several: Sequence[Bins]) -> Bins:
    """Bins one behind the other."""
    return {name: np.concatenate([bins[name] for bins in several]) for name in several[0]}


def windows(rows: Sequence[Sequence[int]] | np.ndarray, near_mm: int | None = None) -> Bins:
    """Bins of one window each, of rows of `FIELDS` in ascending order of `seq`.

    `near_mm`: a position of the same boot, not folded, that these are near to.
    """
    table = np.asarray(rows, dtype=np.int64).reshape(-1, len(FIELDS))
    field = {name: table[:, index] for name, index in _AT.items()}
    position = np.unwrap(field["position_mm"], period=_FOLD)
    if near_mm is not None and len(position):
        position += _FOLD * round((near_mm - int(position[0])) / _FOLD)
    renewed = field["standard_windows"] > 0
    found = {
        "seq": field["seq"],
        "seconds": field["t_s"] + field["t_us"] / 1e6,
        "end_s": field["t_s"] + field["t_us"] / 1e6,
        "low_mm": position,
        "high_mm": position,
        "windows": np.ones(len(table)),
        "good": field["outputs"] & record.OUT_GOOD,
        "lost": field["lost"],
        "flags": field["flags"],
        "states": 1 << field["state"],
        "c0_af": np.where(renewed, field["c0_af"], 0),
        "d_8nm": np.where(renewed, field["d_8nm"], 0),
    }
    for name, value in SHOWN.items():
        there = field["valid"] & value.bit != 0
        words = field[value.column]
        found |= {
            f"{name}_n": there,
            f"{name}_sum": np.where(there, words, 0),
            f"{name}_min": np.where(there, words, _NONE.max),
            f"{name}_max": np.where(there, words, _NONE.min),
            f"{name}_uu": np.where(there, field[value.u_column].astype(float) ** 2, 0),
        }
    return {name: found[name].astype(kind) for name, kind in _TYPES.items()}


def _combine(bins: Bins, starts: np.ndarray) -> Bins:
    """One bin of each run of bins; `starts`: the ascending indices at which the runs begin."""
    found = {}
    for name, array in bins.items():
        if name in _FIRST or not len(starts):
            found[name] = array[starts]
        elif name in _LAST:
            found[name] = array[np.append(starts[1:], len(array)) - 1]
        else:
            how = _HOW[name] if name in _HOW else _HOW[name.rpartition("_")[2]]
            found[name] = how.reduceat(array, starts, dtype=array.dtype)
    return found


def _runs(keys: np.ndarray) -> np.ndarray:
    """Where equal keys begin."""
    changes = np.ones(len(keys), bool)
    changes[1:] = keys[1:] != keys[:-1]
    return np.flatnonzero(changes)


class _Level:
    """Bins in the order of their windows; grows without copying all of it each time."""

    def __init__(self, shift: int) -> None:
        self.shift = shift
        self._bins: Bins = {name: np.zeros(64, kind) for name, kind in _TYPES.items()}
        self.count = 0

    def __getitem__(self, name: str) -> np.ndarray:
        return self._bins[name][: self.count]

    def bins(self, start: int = 0, end: int | None = None, names: Iterable[str] = _TYPES) -> Bins:
        """Some of the bins; they may not be changed, and change with the level."""
        end = self.count if end is None else min(end, self.count)
        return {name: self._bins[name][start:end] for name in names}

    @property
    def keys(self) -> np.ndarray:
        """What the windows of a bin share; ascending."""
        return self["seq"] >> self.shift

    def replace(self, start: int, bins: Bins) -> None:
        """Put `bins` in place of all from index `start` on."""
        self.count = start + len(bins["seq"])
        for name, array in self._bins.items():
            if self.count > len(array):
                grown = np.zeros(max(self.count, len(array) * 3 // 2), array.dtype)
                grown[:start] = array[:start]
                self._bins[name] = array = grown
            array[start : self.count] = bins[name]

    def take(self, bins: Bins) -> int:
        """Add bins whose windows are not here yet; return the index of the first that changed."""
        start = int(np.searchsorted(self.keys, int(bins["seq"][0]) >> self.shift))
        whole = join([self.bins(start), bins])
        whole = part(whole, np.argsort(whole["seq"], kind="stable"))
        self.replace(start, _combine(whole, _runs(whole["seq"] >> self.shift)))
        return start


class Track:
    """The pyramid of one boot of one gauge; windows may come in any order, each once."""

    def __init__(self) -> None:
        self._levels = [_Level(_SHIFT + _STEP * number) for number in range(_LEVELS)]

    def __getitem__(self, name: str) -> np.ndarray:
        """An array of the lowest level."""
        return self._levels[0][name]

    @property
    def windows(self) -> int:
        return int(self._levels[-1]["windows"].sum())

    @property
    def near_mm(self) -> int | None:
        """Where the web was in the newest window."""
        return int(self["high_mm"][-1]) if len(self["seq"]) else None

    def add(self, bins: Bins) -> None:
        """Take windows (bins of one) in."""
        if not len(bins["seq"]):
            return
        start = self._levels[0].take(bins)
        for below, level in zip(self._levels[:-1], self._levels[1:], strict=True):
            # The level's bin that holds the first changed one is made anew, and all behind it.
            keys = below["seq"] >> level.shift
            first = int(np.searchsorted(keys, keys[start]))
            start = int(np.searchsorted(level.keys, keys[start]))
            level.replace(start, _combine(below.bins(first), _runs(keys[first:])))

    def place(self, bins: Bins | _Level, axis: str) -> np.ndarray:
        """Where bins are: metres or seconds since the boot's first window; never backwards."""
        if axis == "seconds":
            return bins["seconds"] - self["seconds"][0]
        at = (bins["low_mm"] + bins["high_mm"] - 2 * self["low_mm"][0]) / 2000
        return np.maximum.accumulate(at)

    def length(self, axis: str) -> float:
        """Metres or seconds from the first to the last window."""
        if axis == "seconds":
            return float(self["end_s"][-1] - self["seconds"][0])
        return float(self._levels[-1]["high_mm"].max() - self["low_mm"][0]) / 1000

    def between(
        self, low: float, high: float, count: int, axis: str, names: Iterable[str] = _TYPES
    ) -> tuple[np.ndarray, Bins]:
        """(places, bins) of the coarsest level that has `count` bins from low to high.

        One bin more on either side; of the lowest level where none has as many. `names` of the
        arrays that are wanted.
        """
        for level in reversed(self._levels):
            at = self.place(level, axis)
            first, last = (int(index) for index in np.searchsorted(at, (low, high)))
            if last - first >= count or level is self._levels[0]:
                first, last = max(0, first - 1), min(last + 1, level.count)
                wanted = level.bins(first, last, names)
                return at[first:last], {name: array.copy() for name, array in wanted.items()}
        raise AssertionError("a track has levels")


def columns(at: np.ndarray, bins: Bins, edges: np.ndarray) -> dict[str, Any]:
    """Bins at ascending places as columns between edges, in user units.

    Each value that the bins have: `n` windows with a number, `min`, `mean`, `max`, `u` (root mean
    square of the windows' standard uncertainties); NaN where there is none. Besides them all
    else that the bins have, 0 where there is no window.
    """
    count = len(edges) - 1
    column = np.searchsorted(edges, at, "right") - 1
    column[at == edges[-1]] = count - 1
    inside = (column >= 0) & (column < count)
    column = column[inside]
    made = _combine(part(bins, inside), _runs(column))
    where = column[_runs(column)]

    def spread(values: np.ndarray, empty: float) -> np.ndarray:
        whole = np.full(count, empty, values.dtype)
        whole[where] = values
        return whole

    found: dict[str, Any] = {}
    for name, value in SHOWN.items():
        if f"{name}_n" not in made:
            continue
        n = made.pop(f"{name}_n").astype(float)
        n[n == 0] = np.nan
        there, numbers = n > 0, {"n": spread(np.nan_to_num(n), 0)}
        for what in ("min", "max"):
            if f"{name}_{what}" in made:
                words = made.pop(f"{name}_{what}")
                numbers[what] = spread(np.where(there, words / value.factor, np.nan), np.nan)
        if f"{name}_sum" in made:
            numbers["mean"] = spread(made.pop(f"{name}_sum") / n / value.factor, np.nan)
        if f"{name}_uu" in made:
            numbers["u"] = spread(np.sqrt(made.pop(f"{name}_uu") / n) / value.factor, np.nan)
        found[name] = numbers
    return found | {name: spread(values, 0) for name, values in made.items()}
