"""The engine: common and single errors, ties, what cannot be told, what is not linear."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from uncertainties import ufloat

from porogauge.calibrate import budget, linear, physics, procedures
from porogauge.calibrate.linear import NotDetermined, Unknown, solve, two_terms

X = np.array([0.0, 10.0, 25.0, 60.0, 100.0])
U = np.array([0.02, 0.05, 0.02, 0.08, 0.03])
Y = 0.3 + 1.01 * X


def line(unknowns=(), add=lambda p: 0.0, y=Y, u=U):
    known = [Unknown("shift", 0.0), Unknown("slope", 1.0), *unknowns]
    return solve(known, lambda p: p[0] + p[1] * X + add(p), y, u)


def test_line_is_found():
    found = line()
    assert found["shift"] == pytest.approx(0.3, abs=1e-9)
    assert found["slope"] == pytest.approx(1.01, abs=1e-9)
    assert found.dof == 3 and found.chi2 < 1e-12 and found.curvature < 1e-9


def test_common_error_is_propagated_as_the_package_does():
    """The same line with a block that all readings but one rest on, by the package's own ways."""
    rests_on = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    found = line([Unknown("block", 0.0, 0.06)], lambda p: p[2] * rests_on)
    block = ufloat(0.0, 0.06)
    read = [ufloat(y, u) + r * block for y, u, r in zip(Y, U, rests_on, strict=True)]
    # the estimator as a matrix: best for the full covariance of the readings
    covariance = np.diag(U**2) + 0.06**2 * np.outer(rests_on, rests_on)
    weights = np.linalg.inv(covariance)
    rows = np.stack([np.ones_like(X), X], axis=1)
    gain = np.linalg.inv(rows.T @ weights @ rows) @ rows.T @ weights
    shift, slope = (sum(g * y for g, y in zip(row, read, strict=True)) for row in gain)
    assert found["shift"] == pytest.approx(shift.n, abs=1e-9)
    assert found.u_of("shift") == pytest.approx(shift.s, rel=1e-6)
    assert found.u_of("slope") == pytest.approx(slope.s, rel=1e-6)
    product = (shift * slope).s  # correlation of the two is in it
    row = np.array([[found["slope"], found["shift"], 0.0]])
    assert float(found.spread(row)[0]) == pytest.approx(product, rel=1e-6)


def test_common_error_does_not_average_out():
    found = line([Unknown("all", 0.0, 0.5)], lambda p: p[2])
    assert found.u_of("shift") > 0.5
    assert found.u_of("slope") == pytest.approx(line().u_of("slope"), rel=1e-6)


def test_knowledge_is_used():
    free = solve([Unknown("x", 0.0)], lambda p: p[0] * np.ones(1), np.array([1.0]), 0.3)
    known = solve([Unknown("x", 0.0, 0.4)], lambda p: p[0] * np.ones(1), np.array([1.0]), 0.3)
    assert free.u_of("x") == pytest.approx(0.3) and free["x"] == pytest.approx(1.0)
    assert known["x"] == pytest.approx(0.64) and known.u_of("x") == pytest.approx(0.24)


def test_what_cannot_be_told_is_refused_by_name():
    with pytest.raises(NotDetermined, match="twin"):
        line([Unknown("twin", 0.0)], lambda p: p[2])
    with pytest.raises(NotDetermined, match="5 points cannot tell 6 unknowns: shift, slope"):
        line([Unknown(f"n{i}", 0.0) for i in range(4)])


def test_scatter_beyond_what_was_stated_widens_the_interval():
    spoilt = Y + np.array([0.2, -0.2, 0.2, -0.2, 0.2])
    found = line(y=spoilt)
    assert found.probability < 0.05 and found.stretch > 3
    assert found.k == pytest.approx(3.182, abs=1e-3)  # Student's t for 3 degrees of freedom
    assert line().stretch == 1.0 and line().k == 2.0


def test_nonlinear_model_is_said_to_be():
    def square(u):
        return solve([Unknown("x", 2.0)], lambda p: p**2, np.array([4.0]), u)

    assert square(0.1).curvature < 0.05 and not square(0.1).warnings
    assert square(3.0).curvature > 0.3 and "not linear" in square(3.0).warnings[0]


def test_two_terms_of_a_board():
    x = np.linspace(1, 100, 30)
    fixed, share = two_terms(x, np.sqrt(0.03**2 + (0.001 * x) ** 2))
    assert fixed == pytest.approx(0.03, rel=1e-6) and share == pytest.approx(0.001, rel=1e-6)
    fixed, share = two_terms(x, 0.05 - 0.0003 * x)
    assert fixed > 0 and share == 0


@pytest.mark.parametrize("module", [budget, linear, physics, procedures])
def test_examples_in_the_modules_are_true(module):
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted > 0 and not found.failed
