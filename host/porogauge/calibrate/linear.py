"""Least squares with everything that is not known as an unknown: the engine of all procedures.

A standard's error, a value found by a procedure before, a drift: each is an unknown with the
standard uncertainty that is stated of it. What several points have in common is one unknown that
several points depend on, so that its uncertainty does not average out. Observations are
independent of each other once the unknowns are given. Weighted least squares, linearised at the
solution (JCGM 101 and 102; the covariance is that of the GUM's law of propagation).

    >>> line = [Unknown("slope", 1.0), Unknown("shift", 0.0), Unknown("block", 0.0, 0.05)]
    >>> x = np.array([0.0, 1.0, 2.0])
    >>> found = solve(line, lambda p: p[0] * x + p[1] + p[2], np.array([0.1, 1.1, 2.1]), 0.01)
    >>> round(found["slope"], 6), round(found["shift"], 6), found.dof
    (1.0, 0.1, 1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from ..errors import PorogaugeError

__all__ = ["NotDetermined", "Solution", "Unknown", "solve", "two_terms"]

LEAST_P = 1e-4  # chi-square this improbable: the points do not follow the model
MOST_CURVED = 0.05  # beyond, uncertainties are not those of a linear model
_ROUNDS = 30
_SINGULAR = 1e-10


class NotDetermined(PorogaugeError):
    """The points cannot tell one of the unknowns."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A number to be found: where to start, and how well that is known (inf: not at all).

    `scale` is a change of it that matters, for derivatives; by default its uncertainty.
    """

    name: str
    start: float
    u: float = inf
    scale: float | None = None

    @property
    def step(self) -> float:
        if self.scale is not None:
            return self.scale
        return self.u if self.u < inf else max(1e-3, abs(self.start) * 1e-3)


@dataclass(frozen=True, slots=True)
class Solution:
    """Values and covariance of the unknowns, residuals (observed minus fitted) of the points."""

    names: tuple[str, ...]
    values: np.ndarray
    covariance: np.ndarray
    residuals: np.ndarray
    u: np.ndarray  # of the observations
    chi2: float
    dof: int
    leverage: np.ndarray  # how much each point decides its own fit: 0 not at all, 1 alone
    curvature: float  # of a change of 2 u, the share that is not linear

    def index(self, name: str) -> int:
        return self.names.index(name)

    def __getitem__(self, name: str) -> float:
        return float(self.values[self.index(name)])

    def u_of(self, name: str) -> float:
        """Standard uncertainty of an unknown."""
        i = self.index(name)
        return sqrt(max(0.0, self.covariance[i, i]))

    def correlation(self, first: str, second: str) -> float:
        i, j = self.index(first), self.index(second)
        product = self.u_of(first) * self.u_of(second)
        return float(self.covariance[i, j] / product) if product else 0.0

    def spread(self, derivative: np.ndarray) -> np.ndarray:
        """Standard uncertainty of quantities, from their derivatives after the unknowns."""
        rows = np.atleast_2d(derivative)
        return np.sqrt(np.maximum(0.0, np.einsum("ij,jk,ik->i", rows, self.covariance, rows)))

    @property
    def probability(self) -> float:
        """Chance that chi-square is as large as this, or larger."""
        from scipy.special import chdtrc

        return float(chdtrc(self.dof, self.chi2)) if self.dof > 0 else 1.0

    @property
    def stretch(self) -> float:
        """By what uncertainties are multiplied: residuals that are too large count (Birge)."""
        if self.dof > 0 and self.probability < 0.05:
            return sqrt(self.chi2 / self.dof)
        return 1.0

    @property
    def warnings(self) -> list[str]:
        """What is to be said of the uncertainties."""
        if self.curvature <= MOST_CURVED:
            return []
        return [
            f"the model is not linear over 2 u ({100 * self.curvature:.0f} %): the true interval"
            " is not symmetric, and U95 only roughly right; measure more points, or better ones"
        ]

    @property
    def k(self) -> float:
        """Factor from u to U95: 2, or Student's where the residuals decided about u."""
        if self.stretch == 1.0:
            return 2.0
        from scipy.special import stdtrit

        return float(max(2.0, stdtrit(self.dof, 0.975)))


def _jacobian(predict: Callable, at: np.ndarray, steps: np.ndarray) -> np.ndarray:
    columns = []
    for i, step in enumerate(steps):
        high, low = at.copy(), at.copy()
        high[i] += step
        low[i] -= step
        columns.append((predict(high) - predict(low)) / (2 * step))
    return np.stack(columns, axis=1)


def solve(
    unknowns: Sequence[Unknown],
    predict: Callable[[np.ndarray], np.ndarray],
    observed: np.ndarray,
    u: np.ndarray | float,
) -> Solution:
    """Return the most probable values of the unknowns.

    `predict` gives what would be observed with them; `u` is the standard uncertainty of each
    observation. Raises NotDetermined when there is no single solution.
    """
    observed = np.asarray(observed, float)
    u = np.broadcast_to(np.asarray(u, float), observed.shape)
    start = np.array([x.start for x in unknowns])
    prior = np.array([x.u for x in unknowns])
    scale = np.array([x.step for x in unknowns])
    known = np.isfinite(prior)
    weights = np.where(known, 1 / np.where(known, prior, 1.0), 0.0)
    free = int((~known).sum())
    if len(observed) < free:
        names = ", ".join(x.name for x in unknowns if x.u == inf)
        raise NotDetermined(f"{len(observed)} points cannot tell {free} unknowns: {names}")

    def distance(at: np.ndarray) -> np.ndarray:
        return np.concatenate([(observed - predict(at)) / u, (start - at) * weights])

    at = start.copy()
    rest = distance(at)
    for _ in range(_ROUNDS):
        matrix = _jacobian(predict, at, 1e-3 * scale) * scale / u[:, None]
        full = np.vstack([matrix, np.diag(weights * scale)])
        left, sizes, right = np.linalg.svd(full, full_matrices=False)
        if sizes[-1] < _SINGULAR * sizes[0]:
            names = [
                x.name for x, share in zip(unknowns, right[-1], strict=True) if abs(share) > 0.1
            ]
            raise NotDetermined(f"the points do not tell {' from '.join(names)}: too much alike")
        move = scale * (right.T @ ((left.T @ rest) / sizes))
        factor = 1.0
        while True:  # a step that makes it worse is halved
            tried = distance(at + factor * move)
            if tried @ tried <= rest @ rest * (1 + 1e-12) or factor < 1e-3:
                break
            factor /= 2
        at, before, rest = at + factor * move, rest, tried
        if abs(before @ before - rest @ rest) < 1e-9 * (1 + rest @ rest):
            break
    root = (right.T / sizes) * scale[:, None]
    n = len(observed)
    return Solution(
        names=tuple(x.name for x in unknowns),
        values=at,
        covariance=root @ root.T,
        residuals=rest[:n] * u,
        u=u,
        chi2=float(rest @ rest),
        dof=n - free,
        leverage=np.sum(left[:n] ** 2, axis=1),
        curvature=_curvature(predict, at, root, root @ (left[:n].T / u)),
    )


def _curvature(predict: Callable, at: np.ndarray, root: np.ndarray, back: np.ndarray) -> float:
    """Largest shift of an unknown that is not linear in a move of 2 u, as share of 2 u.

    `root @ root.T` is the covariance; moves are along its columns. `back`: from a change of the
    observations to one of the unknowns.
    """
    here, worst = predict(at), 0.0
    u = np.sqrt(np.sum(root**2, axis=1))
    for move in 2 * root.T:
        bend = (predict(at + move) + predict(at - move) - 2 * here) / 2
        worst = max(worst, float(np.max(np.abs(back @ bend) / (2 * u))))
    return worst


def two_terms(at: np.ndarray, u: np.ndarray) -> tuple[float, float]:
    """Return (constant, share) for which sqrt(constant**2 + (share x)**2) comes nearest to u(x).

    This is how a board states the uncertainty of a length: a fixed part and a relative one.
    """
    from scipy.optimize import nnls

    variance = np.maximum(u, 1e-12) ** 2
    rows = np.stack([np.ones_like(at), at**2], axis=1) / variance[:, None]
    found, _ = nnls(rows, np.ones_like(at))
    return float(sqrt(found[0])), float(sqrt(found[1]))
