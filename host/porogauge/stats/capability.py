"""Process capability: Cp, Cpk, Pp, Ppk with intervals, and what they assume. Pure.

    Cp  = (upper - lower) / (6 sigma)            Cpk = distance to the nearer limit / (3 sigma)

with the standard deviation within subgroups (pooled); Pp and Ppk have the one of all readings.
Intervals: of Cp and Pp exact (chi-square); of Cpk and Ppk after Bissell (Applied Statistics 39,
1990, 331). Both hold for normal, independent readings; where readings are correlated, the number
of independent ones that they are worth takes their place. The percentile index Cnpk of the
NIST/SEMATECH e-Handbook (6.1.6) needs no distribution.

    >>> found = indices(Process(mean=16, within=2, overall=2, dof=49, n=50), 8, 20)
    >>> round(found["cp"].value, 3), round(found["cpk"].value, 3)
    (1.0, 0.667)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

import numpy as np

from .estimate import Estimate, NotComputable, chi2_point, missing

__all__ = [
    "Normality",
    "anderson_darling",
    "Process",
    "indices",
    "normality",
    "percentile_index",
    "process",
]

_Z = 1.959963984540054  # 97.5 % point of the normal distribution
ONE_LIMIT = "needs a lower and an upper limit"
LEAST_WORTH = 10.0  # independent readings: fewer give no interval
_MOST = 5000


@dataclass(frozen=True, slots=True)
class Process:
    """What indices are made of. `n`, `dof`: numbers of independent readings they are worth.

    `within` may be None (no subgroups); `dof` belongs to it, `n` to mean and `overall`, and
    `n_spread` to `overall` where it differs.
    """

    mean: float
    within: float | None
    overall: float
    dof: float
    n: float
    n_spread: float | None = None


def process(
    table: np.ndarray, worth_mean: float | None = None, worth_spread: float | None = None
) -> Process:
    """Mean and standard deviations of a table with one subgroup a row.

    Rows with a hole are left out.
    """
    table = np.asarray(table, dtype=float)
    whole = table[np.isfinite(table).all(axis=1)]
    k, size = whole.shape
    if k * size < 2:
        raise NotComputable(f"{k * size} readings: a capability needs two at least")
    dof = k * (size - 1)
    within = sqrt(float(whole.var(axis=1, ddof=1).mean())) if size > 1 else None
    overall = float(whole.std(ddof=1))
    if not overall > 0 or within == 0:
        raise NotComputable("the readings do not vary")
    count = float(k * size)
    return Process(
        float(whole.mean()), within, overall, dof, worth_mean or count, worth_spread or count
    )


def indices(
    found: Process, lower: float | None = None, upper: float | None = None
) -> dict[str, Estimate]:
    """cp, cpk, pp, ppk for the limits; one of them may be None."""
    if lower is None and upper is None:
        raise NotComputable("there are no limits")
    if lower is not None and upper is not None and not lower < upper:
        raise NotComputable(f"the lower limit {lower:g} is not below the upper one {upper:g}")
    spread = found.n if found.n_spread is None else found.n_spread
    made: dict[str, Estimate] = {}
    for letter, sigma, dof in (("c", found.within, found.dof), ("p", found.overall, spread - 1)):
        if sigma is None:
            both = missing("needs subgroups")
            made[f"{letter}p"] = made[f"{letter}pk"] = both
            continue
        made[f"{letter}p"] = _potential(sigma, dof, lower, upper)
        made[f"{letter}pk"] = _centred(found, sigma, dof, lower, upper)
    return made


def _few(worth: float) -> str:
    return f"no interval: the readings are worth {worth:.1f} independent ones only"


def _potential(sigma: float, dof: float, lower: float | None, upper: float | None) -> Estimate:
    if lower is None or upper is None:
        return missing(ONE_LIMIT)
    value = (upper - lower) / (6 * sigma)
    if dof + 1 < LEAST_WORTH:
        return Estimate(value, reason=_few(dof + 1))
    low, high = (value * sqrt(chi2_point(p, dof) / dof) for p in (0.025, 0.975))
    return Estimate(value, low, high)


def _centred(
    found: Process, sigma: float, dof: float, lower: float | None, upper: float | None
) -> Estimate:
    rooms = [found.mean - lower] if lower is not None else []
    rooms += [upper - found.mean] if upper is not None else []
    value = min(rooms) / (3 * sigma)
    if min(found.n, dof + 1) < LEAST_WORTH:
        return Estimate(value, reason=_few(min(found.n, dof + 1)))
    # The mean is known as well as all readings give it, whichever sigma is meant.
    u_mean = (found.overall / sigma) ** 2 / (9 * found.n)
    half = _Z * sqrt(u_mean + value**2 / (2 * dof))
    return Estimate(value, value - half, value + half)


def percentile_index(
    values: np.ndarray, lower: float | None = None, upper: float | None = None
) -> Estimate:
    """Cnpk: distance of the median to a limit over that to the 0.5 or 99.5 % point."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < 200:
        return missing(f"{len(values)} readings: the 0.5 % points need 200 at least")
    low, middle, high = np.percentile(values, [0.5, 50, 99.5])
    found = [(middle - lower) / (middle - low)] if lower is not None and middle > low else []
    found += [(upper - middle) / (high - middle)] if upper is not None and high > middle else []
    if not found:
        return missing("there are no limits, or the readings do not vary")
    return Estimate(float(min(found)), reason="no interval: it is given for comparison")


@dataclass(frozen=True, slots=True)
class Normality:
    """Outcome of the Anderson-Darling test; `tested` readings that are nearly independent."""

    normal: bool
    a2: float
    p: float
    skewness: float
    excess_kurtosis: float
    tested: int
    sentence: str


def normality(values: np.ndarray, apart: int = 1) -> Normality:
    """Test whether readings are normal, at 5 %.

    Only every `apart`-th is tested (the autocorrelation length), and 5000 at most: neighbours
    that are alike would make any distribution seem certain, and of very many readings no
    distribution is normal.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    some = values[:: max(1, apart, -(-len(values) // _MOST))]
    if len(some) < 8:
        raise NotComputable(
            f"{len(some)} nearly independent readings: a test of normality needs 8 at least"
        )
    if not np.ptp(some) > 0:
        raise NotComputable("the readings do not vary")
    a2 = anderson_darling(some)
    p = _probability(a2 * (1 + 0.75 / len(some) + 2.25 / len(some) ** 2))
    z = (values - values.mean()) / values.std()
    skew, kurtosis = float((z**3).mean()), float((z**4).mean() - 3)
    normal = p >= 0.05
    sentence = f"Anderson-Darling on {len(some)} readings: A2 = {a2:.3f}, p = {p:.2g}; "
    sentence += (
        "nothing speaks against a normal distribution"
        if normal
        else f"not normal (skewness {skew:+.2f}, excess kurtosis {kurtosis:+.2f}): the indices'"
        " intervals do not hold, compare Cnpk"
    )
    return Normality(normal, a2, p, skew, kurtosis, len(some), sentence)


def anderson_darling(values: np.ndarray) -> float:
    """A2 against the normal distribution with the values' own mean and standard deviation."""
    from scipy.special import log_ndtr

    z = np.sort((values - values.mean()) / values.std(ddof=1))
    n = len(z)
    weights = 2 * np.arange(1, n + 1) - 1
    return float(-n - (weights * (log_ndtr(z) + log_ndtr(-z[::-1]))).mean())


def _probability(a: float) -> float:
    """p of A2 with its correction for n, after D'Agostino and Stephens, Goodness-of-Fit
    Techniques (1986), table 4.9."""
    if a >= 0.6:
        # The parabola turns round at 153, where p has long been 0.
        return exp(1.2937 - 5.709 * a + 0.0186 * a * a) if a < 13 else 0.0
    if a >= 0.34:
        return exp(0.9177 - 4.279 * a - 1.38 * a * a)
    if a >= 0.2:
        return 1 - exp(-8.318 + 42.796 * a - 59.938 * a * a)
    return 1 - exp(-13.436 + 101.14 * a - 223.73 * a * a)
