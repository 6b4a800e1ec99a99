"""How far along the web a value remembers itself. Pure.

The autocorrelation is the one of the NIST/SEMATECH e-Handbook (1.3.3.1): sums of products over
the sum of squares. Holes (NaN) are left out of both.

    >>> r = autocorrelation(values, 100)
    >>> length_m(r, step_m=0.2)
    3.1
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e

import numpy as np

from .estimate import NotComputable

__all__ = ["Effective", "autocorrelation", "effective", "length_m"]

LEAST = 20  # values, for an autocorrelation that says something


def autocorrelation(values: np.ndarray, lags: int) -> np.ndarray:
    """r(0)..r(lags) of equally spaced values.

    Raises NotComputable for fewer than LEAST values, or values that do not vary.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    values = np.asarray(values, dtype=float)
    there = np.isfinite(values)
    count = int(there.sum())
    if count < LEAST:
        raise NotComputable(f"{count} readings: an autocorrelation needs {LEAST} at least")
    lags = min(lags, len(values) - 1)
    size = next_fast_len(len(values) + lags + 1, real=True)
    away = np.where(there, values - values[there].mean(), 0.0)
    products = irfft(np.abs(rfft(away, size)) ** 2, size)[: lags + 1]
    if not products[0] > 1e-24 * count * max(1.0, float(np.max(np.abs(values[there]))) ** 2):
        raise NotComputable("the readings do not vary")
    if there.all():
        return products / products[0]
    pairs = irfft(np.abs(rfft(there.astype(float), size)) ** 2, size)[: lags + 1]
    # Brings a sum over fewer pairs, because of holes, to that of a whole series.
    share = np.maximum(pairs, 1) / count / (1 - np.arange(lags + 1) / len(values))
    return products / products[0] / np.maximum(share, 1 / count)


def length_m(r: np.ndarray, step_m: float) -> float:
    """Length at which the autocorrelation has fallen to 1/e, between lags by a straight line.

    Raises NotComputable when it falls within the first step, or not at all.
    """
    below = np.flatnonzero(r < 1 / e)
    if not len(below):
        raise NotComputable(
            f"longer than {(len(r) - 1) * step_m:g} m, the longest distance that was looked at"
        )
    lag = int(below[0])
    if lag == 1:
        raise NotComputable(f"shorter than one reading ({step_m:g} m)")
    return step_m * (lag - 1 + (r[lag - 1] - 1 / e) / (r[lag - 1] - r[lag]))


@dataclass(frozen=True, slots=True)
class Effective:
    """How many independent values give as good a mean, and as good a variance."""

    mean: float
    variance: float


def effective(r: np.ndarray, count: int) -> Effective:
    """Numbers of independent values that `count` correlated ones are worth.

    n / (1 + 2 sum r) for a mean and n / (1 + 2 sum r**2) for a variance of normal values; sums
    end before the first pair of lags with a negative sum (Geyer, Statistical Science 7, 1992,
    473), beyond which there is noise alone. Never more than `count`.
    """
    pairs = r[1 : len(r) - (len(r) - 1) % 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    end = 1 + 2 * (int(negative[0]) if len(negative) else len(pairs))
    kept = r[1:end]
    return Effective(
        count / max(1.0, 1 + 2 * float(kept.sum())),
        count / (1 + 2 * float((kept**2).sum())),
    )
