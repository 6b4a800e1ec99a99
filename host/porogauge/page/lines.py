"""A gauge's whole web, boot after boot, along its length or in time."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .pyramid import Bins, Track, join, part

__all__ = ["AXES", "Found", "Line", "Source", "Stretch"]

AXES = ("metres", "seconds")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A boot's part of a line: where it begins on either axis, and its windows."""

    boot: int
    metres: float
    seconds: float
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where bins are from: a boot, its start on the axis, its first and last window in them."""

    boot: int
    start: float
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Found:
    """Bins of a line with their places on it, ascending."""

    at: np.ndarray
    bins: Bins
    sources: tuple[Source, ...]

    @property
    def windows(self) -> int:
        """Windows that the database may have of them, at most."""
        return sum(source.last - source.first + 1 for source in self.sources)

    def inside(self, low: float, high: float) -> Found:
        """Those from low to high."""
        mask = (self.at >= low) & (self.at <= high)
        return Found(self.at[mask], part(self.bins, mask), self.sources)


class Line:
    """Tracks of a gauge. Length and time go on from one boot to the next: what passed while the
    board was down is in neither."""

    def __init__(self) -> None:
        self._tracks: dict[int, Track] = {}
        self._lock = threading.Lock()

    def add(self, boot: int, bins: Bins) -> None:
        """Take windows of a boot in (`pyramid.windows`)."""
        with self._lock:
            self._tracks.setdefault(boot, Track()).add(bins)

    def near(self, boot: int) -> int | None:
        """Position of the newest window of a boot, mm."""
        track = self._tracks.get(boot)
        return track.near_mm if track else None

    def _starts(self, axis: str) -> dict[int, float]:
        starts, passed = {}, 0.0
        for boot in sorted(self._tracks):
            starts[boot] = passed
            passed += self._tracks[boot].length(axis)
        return starts

    def length(self, axis: str) -> float:
        """Metres or seconds of all boots."""
        with self._lock:
            return sum(track.length(axis) for track in self._tracks.values())

    @property
    def windows(self) -> int:
        """Windows of all boots."""
        with self._lock:
            return sum(track.windows for track in self._tracks.values())

    def stretches(self) -> list[Stretch]:
        """Boots in order."""
        with self._lock:
            starts = {axis: self._starts(axis) for axis in AXES}
            return [
                Stretch(
                    boot,
                    starts["metres"][boot],
                    starts["seconds"][boot],
                    int(track["seq"][0]),
                    int(track["seq"][-1]),
                )
                for boot, track in sorted(self._tracks.items())
            ]

    def __contains__(self, boot: int) -> bool:
        return boot in self._tracks

    def start(self, boot: int, axis: str) -> float:
        """Where a boot begins."""
        with self._lock:
            return self._starts(axis)[boot]

    def at(self, boot: int, seq: int, axis: str) -> float:
        """Where a window is on an axis, to the bin."""
        with self._lock:
            track = self._tracks.get(boot)
            if track is None:
                return sum(t.length(axis) for b, t in self._tracks.items() if b < boot)
            index = max(0, int(np.searchsorted(track["seq"], seq, "right")) - 1)
            return self._starts(axis)[boot] + float(track.place(track, axis)[index])

    def between(
        self, low: float, high: float, count: int, axis: str, names: Iterable[str]
    ) -> Found:
        """The coarsest level's bins that are `count` at least; arrays `names` of them."""
        with self._lock:
            places, parts, sources = [], [], []
            for boot, start in self._starts(axis).items():
                track = self._tracks[boot]
                if start > high or start + track.length(axis) < low:
                    continue
                wanted = {"seq", *names}
                at, bins = track.between(low - start, high - start, count, axis, wanted)
                if len(at):
                    places.append(at + start)
                    parts.append(bins)
                    seqs = bins.pop("seq") if "seq" not in names else bins["seq"]
                    sources.append(Source(boot, start, int(seqs[0]), int(seqs[-1]) | 15))
        if not parts:
            return Found(np.zeros(0), {name: np.zeros(0, int) for name in names}, ())
        return Found(np.concatenate(places), join(parts), tuple(sources))

    def place(self, boot: int, bins: Bins, axis: str) -> np.ndarray:
        """Where bins of a boot are, from the boot's first window on."""
        with self._lock:
            return self._tracks[boot].place(bins, axis)

    def references(self) -> list[tuple[int, int, int, int]]:
        """(boot, first window of the bin, c0_af, d_8nm) where the reference in force changed."""
        found = []
        with self._lock:
            for boot, track in sorted(self._tracks.items()):
                c0, d = track["c0_af"], track["d_8nm"]
                changed = np.ones(len(c0), bool)
                changed[1:] = (c0[1:] != c0[:-1]) | (d[1:] != d[:-1])
                for index in np.flatnonzero(changed):
                    found.append((boot, int(track["seq"][index]), int(c0[index]), int(d[index])))
        return found
