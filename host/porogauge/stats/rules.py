"""Patterns on a control chart that chance makes seldom: Western Electric and Nelson. Pure.

Western Electric (Statistical Quality Control Handbook, 1956), with sigma that of a point:

    1  a point beyond 3 sigma
    2  two of three points beyond 2 sigma on one side
    3  four of five points beyond 1 sigma on one side
    4  eight points in a row on one side of the centre

Nelson (Journal of Quality Technology 16, 1984, 237):

    1  a point beyond 3 sigma                    5  two of three beyond 2 sigma on one side
    2  nine points in a row on one side          6  four of five beyond 1 sigma on one side
    3  six points in a row rising, or falling    7  fifteen points in a row within 1 sigma
    4  fourteen points alternating up and down   8  eight points in a row beyond 1 sigma

A signal is at the point that completes a pattern. A hole (NaN) ends every run; in 'two of three'
it is a place that is not beyond.

    >>> signals(np.array([0.0, 2.1, -0.3, 2.2]), "western_electric_2")
    array([False, False, False,  True])
"""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, factorial, sqrt

import numpy as np

__all__ = ["NELSON", "RULES", "WESTERN_ELECTRIC", "chance", "signals"]


def _tail(limit: float) -> float:
    """Probability that a normal variable is above `limit`."""
    return erfc(limit / sqrt(2)) / 2


def _trailing(hits: np.ndarray, width: int) -> np.ndarray:
    """How many of the last `width` points are hits, at each point."""
    total = np.concatenate([[0], np.cumsum(hits, dtype=np.int64)])
    start = np.maximum(np.arange(1, len(hits) + 1) - width, 0)
    return total[1:] - total[start]


def _run(hits: np.ndarray, length: int) -> np.ndarray:
    return _trailing(hits, length) == length


def _either(z: np.ndarray, one: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return one(z) | one(-z)


def _of(need: int, width: int, limit: float) -> Callable[[np.ndarray], np.ndarray]:
    def one(z: np.ndarray) -> np.ndarray:
        hits = z > limit
        return hits & (_trailing(hits, width) >= need)

    return lambda z: _either(z, one)


def _side(length: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda z: _either(z, lambda side: _run(side > 0, length))


def _steps(z: np.ndarray) -> np.ndarray:
    """Step to each point from the one before; NaN at the first."""
    return np.concatenate([[np.nan], np.diff(z)]) if len(z) else z


def _trend(z: np.ndarray) -> np.ndarray:
    return _either(_steps(z), lambda step: _run(step > 0, 5))


def _alternating(z: np.ndarray) -> np.ndarray:
    # A product of two NaNs or zeros is not negative: holes and ties end the pattern.
    step = np.sign(_steps(z))
    turns = np.concatenate([[False], step[1:] * step[:-1] < 0]) if len(z) else np.zeros(0, bool)
    return _run(turns, 12)


# rule -> (its pattern, points it needs, probability at a point by chance)
RULES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int, float]] = {
    "western_electric_1": (_of(1, 1, 3), 1, 2 * _tail(3)),
    "western_electric_2": (_of(2, 3, 2), 3, 2 * _tail(2) * (1 - (1 - _tail(2)) ** 2)),
    "western_electric_3": (
        _of(4, 5, 1),
        5,
        2 * _tail(1) * (4 * _tail(1) ** 3 * (1 - _tail(1)) + _tail(1) ** 4),
    ),
    "western_electric_4": (_side(8), 8, 2 * 0.5**8),
    "nelson_2": (_side(9), 9, 2 * 0.5**9),
    "nelson_3": (_trend, 6, 2 / factorial(6)),
    # The number of alternating orders of n things, Andre's: 199360981 for 14 that begin upwards.
    "nelson_4": (_alternating, 14, 2 * 199_360_981 / factorial(14)),
    "nelson_7": (lambda z: _run(np.abs(z) < 1, 15), 15, (1 - 2 * _tail(1)) ** 15),
    "nelson_8": (lambda z: _run(np.abs(z) > 1, 8), 8, (2 * _tail(1)) ** 8),
}
RULES["nelson_1"] = RULES["western_electric_1"]
RULES["nelson_5"] = RULES["western_electric_2"]
RULES["nelson_6"] = RULES["western_electric_3"]
WESTERN_ELECTRIC = tuple(f"western_electric_{number}" for number in range(1, 5))
NELSON = tuple(f"nelson_{number}" for number in range(1, 9))


def signals(z: np.ndarray, rule: str) -> np.ndarray:
    """Where a pattern is completed. `z`: (point - centre) / sigma, NaN for a hole."""
    with np.errstate(invalid="ignore"):
        return RULES[rule][0](np.asarray(z, dtype=float))


def chance(rule: str) -> float:
    """Probability of a signal at a point when nothing is wrong.

    Exact for independent normal points with known centre and sigma, once the chart has as many
    points as the rule needs.
    """
    return RULES[rule][2]
