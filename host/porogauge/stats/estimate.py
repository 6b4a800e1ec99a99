"""A number with its interval, or the reason why there is none.

Points of distributions come from `scipy.special`: `scipy.stats` takes longer to import than a
day's web to analyse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Estimate", "NotComputable", "attempt", "chi2_point", "f_point", "missing", "t_point"]


class NotComputable(Exception):
    """A statistic that these data do not give; the text says why."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """`value` with the ends of its 95 % interval. None is never without `reason`.

    A value may stand without an interval; then `reason` says why there is none.
    """

    value: float | None
    low95: float | None = None
    high95: float | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def missing(reason: object) -> Estimate:
    """An estimate that is not there."""
    return Estimate(None, reason=str(reason))


def attempt(compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `compute` returns with `reason` None, or only the reason why it could not."""
    try:
        return compute() | {"reason": None}
    except NotComputable as error:
        return {"reason": str(error)}


def chi2_point(p: float, dof: float) -> float:
    """Below this is the share `p` of chi-square with `dof` degrees of freedom."""
    from scipy.special import gammaincinv

    return 2 * float(gammaincinv(dof / 2, p))


def f_point(p: float, upper: float, lower: float) -> float:
    """Below this is the share `p` of F with `upper` and `lower` degrees of freedom."""
    from scipy.special import fdtri

    return float(fdtri(upper, lower, p))


def t_point(p: float, dof: float) -> float:
    """Below this is the share `p` of Student's t with `dof` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(dof, p))
