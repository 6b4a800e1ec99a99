"""Control charts: means with ranges or standard deviations, individuals, EWMA. Pure.

Formulas are those of the NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2; the constants
d2, d3 (range of n normal values) and c4 (their standard deviation) are computed, not tabulated.

    >>> means, ranges = xbar_r(np.array([[9.9, 10.1], [10.0, 10.2], [9.8, 10.1]]))
    >>> round(means.centre, 4), round(ranges.centre, 4)
    (10.0167, 0.2333)

A hole in the data (NaN) is a hole in the chart; a moving range is not taken across it. Limits are
3 sigma unless stated, and estimated from the data on the chart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp, isnan, lgamma, sqrt

import numpy as np

from .estimate import NotComputable

__all__ = ["Chart", "c4", "d2", "d3", "ewma", "individuals", "xbar_r", "xbar_s"]

WIDTH = 3.0


@dataclass(frozen=True, slots=True)
class Chart:
    """Points with centre line and limits; `sigma` is that of one point.

    `lower` and `upper` are arrays where they depend on the point (EWMA). `patterns`: whether the
    rules for runs apply (not to ranges, nor to averages of what was before).
    """

    name: str
    points: np.ndarray
    centre: float
    lower: float | np.ndarray
    upper: float | np.ndarray
    sigma: float
    patterns: bool = False

    @property
    def z(self) -> np.ndarray:
        return (self.points - self.centre) / self.sigma

    @property
    def beyond(self) -> np.ndarray:
        """Points outside the limits."""
        with np.errstate(invalid="ignore"):
            return (self.points < self.lower) | (self.points > self.upper)


@cache
def _range_moments(n: int) -> tuple[float, float]:
    """Mean and standard deviation of the range of n standard normal values.

    From P(range < w) = n * integral of pdf(x) (cdf(x + w) - cdf(x))**(n - 1).
    """
    from scipy.special import ndtr

    # A sum over x is as good as exact (the integrand ends flat), so are Gauss's points in w.
    step = 0.05
    x = np.arange(-8.5, 8.5, step)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    w, weights = 8.5 * (nodes + 1), 8.5 * weights
    pdf = np.exp(-(x**2) / 2) / sqrt(2 * np.pi)
    within = n * step * (pdf * (ndtr(x + w[:, None]) - ndtr(x)) ** (n - 1)).sum(axis=1)
    first, second = float(weights @ (1 - within)), float(weights @ (2 * w * (1 - within)))
    return first, sqrt(second - first**2)


def d2(n: int) -> float:
    """Mean range of n values, in standard deviations. n from 2 on."""
    return _range_moments(n)[0]


def d3(n: int) -> float:
    """Standard deviation of the range of n values, in standard deviations. n from 2 on."""
    return _range_moments(n)[1]


def c4(n: int) -> float:
    """Mean of the sample standard deviation of n values, in standard deviations."""
    return sqrt(2 / (n - 1)) * exp(lgamma(n / 2) - lgamma((n - 1) / 2))


def _groups(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Table, its complete rows, size of a subgroup."""
    table = np.asarray(table, dtype=float)
    n = table.shape[1]
    full = table[np.isfinite(table).all(axis=1)]
    if n < 2:
        raise NotComputable("a subgroup needs two readings at least")
    if len(full) < 2:
        raise NotComputable(
            f"{len(full)} complete subgroups: a chart needs two at least"
            " (each reading with half of its windows valid)"
        )
    return table, full, n


def _varies(sigma: float) -> None:
    if not sigma > 0:
        raise NotComputable("the readings of a subgroup do not differ: there are no limits")


def xbar_r(table: np.ndarray) -> tuple[Chart, Chart]:
    """Charts of means and of ranges; one subgroup a row. Advised up to ten readings."""
    table, full, n = _groups(table)
    spread = float(np.ptp(full, axis=1).mean())
    _varies(spread)
    sigma = spread / d2(n)
    return _means("xbar_r", table, full, sigma), Chart(
        "r",
        np.ptp(table, axis=1),
        spread,
        max(0.0, spread - WIDTH * d3(n) * sigma),
        spread + WIDTH * d3(n) * sigma,
        d3(n) * sigma,
    )


def xbar_s(table: np.ndarray) -> tuple[Chart, Chart]:
    """Charts of means and of standard deviations; one subgroup a row."""
    table, full, n = _groups(table)
    spread = float(full.std(axis=1, ddof=1).mean())
    _varies(spread)
    sigma = spread / c4(n)
    of_point = sigma * sqrt(1 - c4(n) ** 2)
    return _means("xbar_s", table, full, sigma), Chart(
        "s",
        table.std(axis=1, ddof=1),
        spread,
        max(0.0, spread - WIDTH * of_point),
        spread + WIDTH * of_point,
        of_point,
    )


def _means(name: str, table: np.ndarray, full: np.ndarray, sigma: float) -> Chart:
    of_point = sigma / sqrt(table.shape[1])
    centre = float(full.mean())
    half = WIDTH * of_point
    return Chart(name, table.mean(axis=1), centre, centre - half, centre + half, of_point, True)


def individuals(points: np.ndarray) -> tuple[Chart, Chart]:
    """Charts of single points and of the moving range of two."""
    points = np.asarray(points, dtype=float)
    moving = np.concatenate([[np.nan], np.abs(np.diff(points))]) if len(points) else points
    there = moving[np.isfinite(moving)]
    if len(there) < 2:
        raise NotComputable("a chart of individuals needs three points in a row at least")
    spread = float(there.mean())
    _varies(spread)
    sigma = spread / d2(2)
    centre = float(np.nanmean(points))
    half = WIDTH * sigma
    top = spread + WIDTH * d3(2) * sigma
    return (
        Chart("individuals", points, centre, centre - half, centre + half, sigma, True),
        Chart("moving_range", moving, spread, 0.0, top, d3(2) * sigma),
    )


def ewma(
    points: np.ndarray,
    weight: float,
    centre: float | None = None,
    sigma: float | None = None,
    width: float = WIDTH,
) -> Chart:
    """Chart of the exponentially weighted moving average z = weight * x + (1 - weight) * z.

    It begins at `centre` (default: the mean) and again after every hole. `sigma` of a point:
    from the moving range unless given. Limits are those of each point, narrower at the start.
    """
    if not 0 < weight <= 1:
        raise ValueError(f"the weight of an EWMA is above 0 and at most 1, not {weight}")
    points = np.asarray(points, dtype=float)
    if sigma is None:
        sigma = individuals(points)[0].sigma
    if centre is None:
        centre = float(np.nanmean(points))
    smooth = np.full(len(points), np.nan)
    age = np.zeros(len(points))
    before, steps = centre, 0
    for index, point in enumerate(points.tolist()):
        if isnan(point):
            before, steps = centre, 0
            continue
        before, steps = weight * point + (1 - weight) * before, steps + 1
        smooth[index], age[index] = before, steps
    rest = weight / (2 - weight)
    half = width * sigma * np.sqrt(rest * (1 - (1 - weight) ** (2 * age)))
    half[age == 0] = np.nan
    return Chart("ewma", smooth, centre, centre - half, centre + half, sigma * sqrt(rest))
