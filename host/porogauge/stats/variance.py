"""Variance components: what of the variation is along the web, across it, and neither. Pure.

Without lanes: one-way random-effects analysis of variance, subgroups of web against the readings
within them. With lanes (a traversing head): two-way random-effects analysis of variance of the
means of each segment and lane. Components are those of the method of moments; one that comes out
negative is zero within its uncertainty and is reported as 0.

    >>> found = one_way(table)
    >>> found.components["machine_direction"].value
    0.0213

Components are variances, in the square of the value's unit. Scatter of the gauge itself is part
of the residual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .estimate import Estimate, NotComputable, chi2_point, f_point, missing

__all__ = ["ONE_WAY", "TWO_WAY", "Components", "one_way", "two_way"]

ONE_WAY = (
    "one-way random-effects analysis of variance, method of moments: subgroups of web against the"
    " readings within them"
)
TWO_WAY = (
    "two-way random-effects analysis of variance, method of moments: segments of web against"
    " lanes, one mean each; the residual holds their interaction"
)
NO_LANE = "the records have no traverse position: the head stands at one place across the web"


@dataclass(frozen=True, slots=True)
class Components:
    """Variances by source; `left_out`: segments without a value in every lane."""

    method: str
    components: dict[str, Estimate]  # machine_direction, cross_direction, residual
    left_out: int = 0

    @property
    def shares_percent(self) -> dict[str, float]:
        """Of the sum of all components."""
        values = {k: c.value for k, c in self.components.items() if c.value is not None}
        total = sum(values.values())
        return {k: 100 * v / total for k, v in values.items()} if total else {}


def one_way(table: np.ndarray, worth: float | None = None) -> Components:
    """Components of a table with one subgroup a row; rows with a hole are left out.

    `worth`: independent subgroups that all of them are worth, where neighbours are alike
    (`correlation.effective`); it widens the interval of the component along the web. Intervals
    are exact for the residual, and after Williams (Biometrika 49, 1962, 278) for the other.
    """
    table = np.asarray(table, dtype=float)
    whole = table[np.isfinite(table).all(axis=1)]
    k, n = whole.shape
    if k < 2 or n < 2:
        raise NotComputable(
            f"{k} complete subgroups of {n} readings: components need two of two at least"
        )
    means = whole.mean(axis=1)
    within = float(((whole - means[:, None]) ** 2).sum())
    between = n * float(((means - means.mean()) ** 2).sum())
    inner, outer = k * (n - 1), k - 1
    ms_within, ms_between = within / inner, between / outer
    if not ms_within > 0:
        raise NotComputable("the readings of a subgroup do not differ")
    fewer = min(outer, max(1.0, (k if worth is None else worth) - 1))

    def end(p: float) -> float:
        rest = ms_between - f_point(p, fewer, inner) * ms_within
        return max(0.0, fewer * rest / (n * chi2_point(p, fewer)))

    return Components(
        ONE_WAY,
        {
            "machine_direction": Estimate(
                max(0.0, (ms_between - ms_within) / n), end(0.975), end(0.025)
            ),
            "cross_direction": missing(NO_LANE),
            "residual": Estimate(
                ms_within,
                within / chi2_point(0.975, inner),
                within / chi2_point(0.025, inner),
            ),
        },
        len(table) - k,
    )


def two_way(values: np.ndarray, segment: np.ndarray, lane: np.ndarray) -> Components:
    """Components of values with the number of their segment along and of their lane across.

    Values of one segment and lane are averaged first; NaN is left out. A segment without a value
    in every lane is left out whole, so that lanes are compared over the same web. Intervals are
    those of Satterthwaite (Biometrics Bulletin 2, 1946, 110).
    """
    values = np.asarray(values, dtype=float)
    there = np.isfinite(values)
    rows, row = np.unique(np.asarray(segment)[there], return_inverse=True)
    lanes, column = np.unique(np.asarray(lane)[there], return_inverse=True)
    cell = row * len(lanes) + column
    size = len(rows) * len(lanes)
    count = np.bincount(cell, minlength=size).reshape(len(rows), len(lanes))
    total = np.bincount(cell, values[there], minlength=size).reshape(count.shape)
    whole = (count > 0).all(axis=1)
    table = total[whole] / count[whole]
    a, b = table.shape
    if a < 2 or b < 2:
        raise NotComputable(
            f"{a} segments with a value in each of {b} lanes: components need two of each at least"
        )
    grand = table.mean()
    along, across = table.mean(axis=1), table.mean(axis=0)
    rest = table - along[:, None] - across[None, :] + grand
    dof = {"along": a - 1, "across": b - 1, "rest": (a - 1) * (b - 1)}
    ms = {
        "along": b * float(((along - grand) ** 2).sum()) / dof["along"],
        "across": a * float(((across - grand) ** 2).sum()) / dof["across"],
        "rest": float((rest**2).sum()) / dof["rest"],
    }
    return Components(
        TWO_WAY,
        {
            "machine_direction": _difference(ms, dof, "along", b),
            "cross_direction": _difference(ms, dof, "across", a),
            "residual": _interval(ms["rest"], dof["rest"]),
        },
        len(rows) - a,
    )


def _interval(value: float, dof: float) -> Estimate:
    low, high = (dof * value / chi2_point(p, dof) for p in (0.975, 0.025))
    return Estimate(value, low, high)


def _difference(ms: dict[str, float], dof: dict[str, int], name: str, n: int) -> Estimate:
    """(MS - MS of the rest) / n with the degrees of freedom of Satterthwaite."""
    value = (ms[name] - ms["rest"]) / n
    if value <= 0:
        return Estimate(0.0, reason="came out negative: zero within its uncertainty")
    parts = sum((ms[k] / n) ** 2 / dof[k] for k in (name, "rest"))
    return _interval(value, value**2 / parts)
