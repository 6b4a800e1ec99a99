"""Means over equal lengths of web: readings, and subgroups of readings.

A *reading* is the mean of the valid windows within a length of web; a *subgroup* is a fixed
number of readings that follow each other. A length in which fewer than half of the windows gave a
number has no reading, and its subgroup is left out: a chart's limits hold for one size of
subgroup. What is left out, and the ends of sections, stay as holes (NaN), so that no pattern is
seen across them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .estimate import NotComputable
from .windows import Section

__all__ = ["Grid", "Readings", "advance_m", "subgroups"]

_BLOCK = 1 << 16  # windows
_HIGHEST = 50_000_000  # places of a grid: more is a wrong length, not a web


@dataclass(frozen=True, slots=True)
class Readings:
    """Means on a grid of `step_m` along the length; NaN where there is none.

    `metres`: the middle of each. Sections follow each other with one hole between two.
    `left_out` had windows, but too few of them with a number.
    """

    step_m: float
    metres: np.ndarray
    means: np.ndarray
    left_out: int

    @property
    def valid(self) -> np.ndarray:
        return self.means[np.isfinite(self.means)]


def advance_m(sections: Sequence[Section]) -> float:
    """Length of web that passes between two windows, where it moves: nine of ten are shorter.

    Raises NotComputable when the web did not move.
    """
    steps = [np.abs(np.diff(section.metres[:200_000])) for section in sections]
    moved = np.concatenate([step[step > 0] for step in steps]) if steps else np.zeros(0)
    if not len(moved):
        raise NotComputable("the web did not move: there is no length to compute along")
    return float(np.percentile(moved, 90))


class Grid:
    """Equal lengths of web and which windows are in each; for all values of the windows.

    With `whole`, each section ends with as many lengths as fill a multiple of it, and a hole as
    long lies between two sections. Windows are taken a block at a time, which stays in the
    processor's cache. Raises NotComputable for a length that is too small for the web.
    """

    def __init__(self, sections: Sequence[Section], step_m: float, whole: int = 1) -> None:
        self.step_m = step_m
        self._parts: list[tuple[Section, np.ndarray, np.ndarray]] = []
        places = []
        for section in sections:
            start = float(section.metres.min())
            size = int((float(section.metres.max()) - start) / step_m) + 1
            size += -size % whole
            if size > _HIGHEST:
                raise NotComputable(
                    f"{size} lengths of {step_m:g} m are too many: choose a greater length"
                )
            index = np.empty(len(section.metres), dtype=np.int32)
            windows = np.zeros(size, dtype=np.int64)
            for block in _blocks(len(index)):
                # Positions are whole millimetres: what is at a border belongs to the next length.
                its = ((section.metres[block] - start) / step_m + 1e-6).astype(np.int32)
                np.minimum(its, size - 1, out=its)
                index[block] = its
                _add(windows, its)
            self._parts.append((section, index, windows))
            places.append(start + (np.arange(size + whole) + 0.5) * step_m)
        if not places:
            raise NotComputable("there are no windows")
        self._hole = np.full(whole, np.nan)
        self._metres = np.concatenate(places)[:-whole]

    def means(self, name: str, least: float = 0.5) -> Readings:
        """Means of a value over each length, of those with `least` of their windows valid."""
        found, left_out = [], 0
        for section, index, windows in self._parts:
            lacking, total = np.zeros_like(windows), np.zeros(len(windows))
            for block in _blocks(len(index)):
                its, values = index[block], section.values[name][block]
                bad = np.isnan(values)
                if bad.any():
                    _add(lacking, its[bad])
                    its, values = its[~bad], values[~bad]
                _add(total, its, values)
            count = windows - lacking
            enough = (count > 0) & (count >= least * windows)
            left_out += int(((windows > 0) & ~enough).sum())
            means = np.full(len(windows), np.nan)
            np.divide(total, count, out=means, where=enough)
            found += [means, self._hole]
        return Readings(self.step_m, self._metres, np.concatenate(found[:-1]), left_out)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(low, low + _BLOCK) for low in range(0, count, _BLOCK))


def _add(to: np.ndarray, index: np.ndarray, values: np.ndarray | None = None) -> None:
    """Add up values (or ones) by their place."""
    if len(index):
        first = int(index.min())
        sums = np.bincount(index - first, values)
        to[first : first + len(sums)] += sums


def subgroups(found: Readings, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Table of subgroups (one a row, NaN throughout where it is incomplete), and their middles."""
    table = found.means.reshape(-1, size).copy()
    table[~np.isfinite(table).all(axis=1)] = np.nan
    return table, found.metres.reshape(-1, size).mean(axis=1)
