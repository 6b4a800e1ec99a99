"""Autocorrelation: certified values, holes, what correlated readings are worth."""

import numpy as np
import pytest
import stats_data

from porogauge.stats.correlation import autocorrelation, effective, length_m
from porogauge.stats.estimate import NotComputable


def chain(a, count, seed):
    """Values each of which remembers the share `a` of the one before."""
    x = np.random.default_rng(seed).standard_normal(count) * np.sqrt(1 - a * a)
    x[0] /= np.sqrt(1 - a * a)
    for index in range(1, count):
        x[index] += a * x[index - 1]
    return x


@pytest.mark.parametrize(
    ("values", "certified"),  # NIST StRD, univariate summary statistics
    [(stats_data.MAVRO, 0.937989183438248), (stats_data.LEW, -0.307304800605679)],
    ids=["Mavro", "Lew"],
)
def test_lag_1_is_the_certified_one(values, certified):
    assert autocorrelation(np.array(values, dtype=float), 5)[1] == pytest.approx(certified, 1e-10)


def test_all_lags_are_those_of_the_definition():
    x = chain(0.8, 300, 1)
    away = x - x.mean()
    slow = [(away[: 300 - k] * away[k:]).sum() / (away**2).sum() for k in range(50)]
    assert autocorrelation(x, 49) == pytest.approx(np.array(slow))


def test_holes_do_not_change_what_is_known():
    x = chain(0.9, 20_000, 2)
    whole = autocorrelation(x, 30)
    x[np.random.default_rng(3).random(len(x)) < 0.3] = np.nan
    x[5000:6000] = np.nan
    assert autocorrelation(x, 30) == pytest.approx(whole, abs=0.04)


def test_length_of_a_chain():
    r = autocorrelation(chain(np.exp(-1 / 25), 200_000, 4), 1000)
    assert length_m(r, 0.2) == pytest.approx(5.0, rel=0.1)  # 25 steps of 0.2 m


def test_length_without_a_number_says_why():
    with pytest.raises(NotComputable, match="shorter than one reading"):
        length_m(autocorrelation(chain(0.0, 2000, 5), 100), 0.2)
    with pytest.raises(NotComputable, match="longer than"):
        length_m(autocorrelation(np.linspace(0, 1, 500), 20), 0.2)
    with pytest.raises(NotComputable, match="20 at least"):
        autocorrelation(np.arange(10.0), 3)
    with pytest.raises(NotComputable, match="do not vary"):
        autocorrelation(np.full(50, 24.7), 3)


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_worth_of_correlated_readings(a):
    """For a chain the sums are known: (1 + a)/(1 - a), and the same of a squared."""
    count = 50_000
    found = effective(autocorrelation(chain(a, count, 6), count // 4), count)
    assert found.mean == pytest.approx(count * (1 - a) / (1 + a), rel=0.15)
    assert found.variance == pytest.approx(count * (1 - a * a) / (1 + a * a), rel=0.1)
    assert found.mean <= count and found.variance <= count
