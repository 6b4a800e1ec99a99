"""One value along the roll, as it is drawn: a few hundred lengths of web, and a histogram."""

from __future__ import annotations

from dataclasses import asdict
from math import floor, log10
from typing import Any

import numpy as np

from ..rolls import Roll
from ..stats.analysis import Analysis
from ..stats.windows import VALUES

__all__ = ["profile"]

_BINS = 600
_LEAST = 4  # windows of a bin, on the average
_CLASSES = 40  # of the histogram
_DIGITS = 7  # of a number that is only drawn


def profile(found: Analysis, columns: dict[str, np.ndarray], roll: Roll) -> dict[str, Any]:
    """Lengths of web with mean, lowest, highest and U95 of their windows, and their flags.

    null where no window has a number. The histogram is that of the readings that the statistics
    are made of.
    """
    value = next(value for value in VALUES.values() if value.name == found.report["value"])
    along = columns["metres"]
    start, length = float(along.min()), float(np.ptp(along))
    bins = max(1, min(_BINS, len(along) // _LEAST)) if length else 1
    place = (
        np.minimum(((along - start) * (bins / length)).astype(int), bins - 1)
        if length
        else (np.zeros(len(along), int))
    )
    there = columns["valid"] & value.bit != 0
    at, words = place[there], columns[value.column][there]
    count = np.bincount(at, minlength=bins)
    mean = _ratio(np.bincount(at, words, bins), count, value.factor)
    lowest, highest = _extremes(at, words, bins)
    u95 = [None] * bins
    if value.u_column is not None:
        total = np.bincount(at, columns[value.u_column][there], bins)
        u95 = _ratio(2 * total, count, value.factor)
    flags = np.zeros(bins, np.int64)
    flagged = columns["flags"] != 0
    np.bitwise_or.at(flags, place[flagged], columns["flags"][flagged])
    return {
        "value": value.name,
        "text": value.text,
        "unit": value.unit,
        "limits": asdict(found.limits),
        "start_m": start,
        "step_m": length / bins,
        "windows": np.bincount(place, minlength=bins).tolist(),
        "mean": mean,
        "lowest": _ratio(lowest, count, value.factor),
        "highest": _ratio(highest, count, value.factor),
        "u95": u95,
        "flags": flags.tolist(),
        "histogram": _histogram(found),
    }


def _extremes(at: np.ndarray, words: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    lowest, highest = np.full(bins, 1 << 31), np.full(bins, -1 << 31)
    if len(at):
        if (np.diff(at) < 0).any():  # the web went backwards for a while
            order = np.argsort(at, kind="stable")
            at, words = at[order], words[order]
        first = np.append(0, np.flatnonzero(np.diff(at)) + 1)
        lowest[at[first]] = np.minimum.reduceat(words, first)
        highest[at[first]] = np.maximum.reduceat(words, first)
    return lowest, highest


def _ratio(total: np.ndarray, count: np.ndarray, factor: float) -> list[float | None]:
    """`total` in user units: a sum over `count`, or an extreme of so many windows."""
    whole = total.dtype != float
    return [
        None if not n else _short((t if whole else t / n) / factor)
        for t, n in zip(total.tolist(), count.tolist(), strict=True)
    ]


def _short(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _histogram(found: Analysis) -> dict[str, Any] | None:
    """Classes of a round width and how many readings each has."""
    if found.readings is None or not len(found.readings.valid):
        return None
    values = found.readings.valid
    low, high = float(values.min()), float(values.max())
    width = _round((high - low) / _CLASSES or abs(high) / 1000 or 1.0)
    first = floor(low / width)
    counts = np.bincount((np.floor(values / width) - first).astype(int))
    return {
        "reading_m": found.readings.step_m,
        "from": first * width,
        "width": width,
        "counts": counts.tolist(),
    }


def _round(width: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** floor(log10(width))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9))
