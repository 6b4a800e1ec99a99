"""Control charts against published examples."""

import numpy as np
import pytest
import stats_data

from porogauge.stats import control_charts as cc
from porogauge.stats.estimate import NotComputable


@pytest.mark.parametrize(
    ("n", "d2", "d3", "c4"),  # tables of any textbook of quality control
    [
        (2, 1.128, 0.853, 0.7979),
        (3, 1.693, 0.888, 0.8862),
        (5, 2.326, 0.864, 0.9400),
        (10, 3.078, 0.797, 0.9727),
        (25, 3.931, 0.708, 0.9896),
    ],
)
def test_constants_are_those_of_the_tables(n, d2, d3, c4):
    assert cc.d2(n) == pytest.approx(d2, abs=6e-4)
    assert cc.d3(n) == pytest.approx(d3, abs=6e-4)
    assert cc.c4(n) == pytest.approx(c4, abs=6e-5)


def test_constants_are_exact_where_they_have_a_formula():
    assert cc.d2(2) == pytest.approx(2 / np.sqrt(np.pi), abs=1e-9)
    assert cc.d2(3) == pytest.approx(3 / np.sqrt(np.pi), abs=1e-9)
    assert cc.d3(2) == pytest.approx(np.sqrt(2 - 4 / np.pi), abs=1e-9)


def test_individuals_of_the_nist_handbook():
    x, mr = cc.individuals(np.array(stats_data.FLOWRATE))
    assert x.centre == pytest.approx(50.81)
    assert mr.centre == pytest.approx(1.8778, abs=5e-5)
    # the handbook divides by 1.128, which is 1.12838 rounded
    assert x.upper == pytest.approx(55.8041, abs=2e-3)
    assert x.lower == pytest.approx(45.8159, abs=2e-3)
    assert mr.upper == pytest.approx(6.1349, abs=2e-3)
    assert not x.beyond.any()


def test_ewma_of_the_nist_handbook():
    chart = cc.ewma(np.array(stats_data.EWMA), 0.3, centre=50.0, sigma=2.0539)
    assert chart.points == pytest.approx(stats_data.EWMA_PRINTED, abs=0.0051)
    assert chart.upper[-1] == pytest.approx(52.5884, abs=1e-3)
    assert chart.lower[-1] == pytest.approx(47.4115, abs=1e-3)
    assert not chart.beyond.any()
    # the first point's limits are those of one value
    assert chart.upper[0] == pytest.approx(50 + 3 * 2.0539 * 0.3)


def test_piston_rings_by_ranges():
    means, ranges = cc.xbar_r(73.9 + np.array(stats_data.PISTON_RINGS) / 1000)
    assert means.centre == pytest.approx(74.00118, abs=5e-6)
    assert ranges.centre == pytest.approx(0.02276, abs=5e-6)
    assert (means.lower, means.upper) == pytest.approx((73.98805, 74.0143), abs=1e-5)
    assert (ranges.lower, ranges.upper) == pytest.approx((0, 0.04812), abs=1e-5)
    assert not means.beyond.any() and not ranges.beyond.any()


def test_piston_rings_by_standard_deviations():
    table = np.array(stats_data.PISTON_RINGS, dtype=float)
    means, spread = cc.xbar_s(table)
    s = np.mean([np.std(row, ddof=1) for row in table])
    assert spread.centre == pytest.approx(s)
    # A3 and B4 of the textbooks' tables for five
    assert means.upper == pytest.approx(table.mean() + 1.427 * s, rel=1e-4)
    assert spread.upper == pytest.approx(2.089 * s, rel=1e-3)
    assert spread.lower == 0


def test_a_hole_is_a_hole():
    table = np.array(stats_data.PISTON_RINGS, dtype=float)
    holed = np.vstack([table[:10], np.full(5, np.nan), table[10:]])
    for make in (cc.xbar_r, cc.xbar_s):
        whole, with_hole = make(table)[0], make(holed)[0]
        assert with_hole.upper == pytest.approx(whole.upper)
        assert np.isnan(with_hole.points[10])
    moving = cc.individuals(np.array([1.0, 2.0, 4.0, np.nan, 100.0, 101.0]))[1]
    assert np.isnan(moving.points[[0, 3, 4]]).all()
    assert moving.centre == pytest.approx(4 / 3)
    smooth = cc.ewma(np.array([1.0, 2.0, np.nan, 7.0]), 0.5, centre=1.0, sigma=1.0)
    assert smooth.points[3] == pytest.approx(4.0)  # begins anew at the centre
    assert smooth.upper[3] == smooth.upper[0]
    assert np.isnan(smooth.upper[2])


@pytest.mark.parametrize(
    "table",
    [np.ones((1, 5)), np.full((8, 5), 3.25), np.full((8, 5), np.nan), np.arange(9.0)[:, None]],
    ids=["one subgroup", "no scatter", "no numbers", "single readings"],
)
def test_no_limits_without_data(table):
    for make in (cc.xbar_r, cc.xbar_s):
        with pytest.raises(NotComputable):
            make(table)
    with pytest.raises(NotComputable):
        cc.individuals(np.array([1.0, 2.0]))


@pytest.mark.parametrize("weight", [0.0, 1.5, -0.2])
def test_a_weight_has_a_range(weight):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        cc.ewma(np.arange(5.0), weight)
