"""Capability and variance components: published examples, coverage of intervals."""

import warnings
from math import sqrt

import numpy as np
import pytest
import stats_data
from scipy import stats

from porogauge.stats import capability as cap
from porogauge.stats import estimate, variance
from porogauge.stats.estimate import NotComputable


def test_points_of_distributions_are_scipys():
    for p in (0.025, 0.5, 0.975):
        for dof in (1.7, 9, 4000):
            assert estimate.chi2_point(p, dof) == pytest.approx(stats.chi2.ppf(p, dof))
            assert estimate.t_point(p, dof) == pytest.approx(stats.t.ppf(p, dof), abs=1e-9)
            assert estimate.f_point(p, dof, 12) == pytest.approx(stats.f.ppf(p, dof, 12))


def test_the_nist_handbook_6_1_6():
    """Limits 8 and 20, mean 16, standard deviation 2: Cp 1.0 and Cpk 0.6667."""
    found = cap.indices(cap.Process(16, 2, 2, dof=49, n=50), 8, 20)
    assert found["cp"].value == pytest.approx(1.0)
    assert found["cpk"].value == pytest.approx(0.6667, abs=5e-5)
    # the interval of Cp is that of the standard deviation
    low, high = (sqrt(stats.chi2.ppf(p, 49) / 49) for p in (0.025, 0.975))
    assert (found["cp"].low95, found["cp"].high95) == pytest.approx((low, high))


def test_amplifiers():
    """The 90 % interval of Cpk that SAS/QC prints, 0.328 to 0.496."""
    values = np.array(stats_data.AMPLIFIERS)
    process = cap.Process(values.mean(), None, values.std(ddof=1), dof=1, n=len(values))
    found = cap.indices(process, 4, 6)
    half = (
        (found["ppk"].high95 - found["ppk"].value) * stats.norm.ppf(0.95) / stats.norm.ppf(0.975)
    )
    assert found["ppk"].value - half == pytest.approx(0.328, abs=6e-4)
    assert found["ppk"].value + half == pytest.approx(0.496, abs=6e-4)
    assert found["cp"].value is None and found["cp"].reason == "needs subgroups"


@pytest.mark.parametrize(("lower", "upper"), [(8, None), (None, 20)])
def test_one_limit(lower, upper):
    found = cap.indices(cap.Process(16, 2, 2.5, dof=49, n=50), lower, upper)
    assert found["cp"].value is None and found["cp"].reason == cap.ONE_LIMIT
    room = 16 - 8 if upper is None else 20 - 16
    assert found["cpk"].value == pytest.approx(room / 6)
    assert found["ppk"].value == pytest.approx(room / 7.5)


def test_a_mean_outside_is_negative():
    assert cap.indices(cap.Process(21, 2, 2, dof=49, n=50), 8, 20)["cpk"].value < 0


def test_limits_that_are_none():
    process = cap.Process(16, 2, 2, dof=49, n=50)
    with pytest.raises(NotComputable, match="no limits"):
        cap.indices(process)
    with pytest.raises(NotComputable, match="not below"):
        cap.indices(process, 20, 8)


def test_few_independent_readings_give_no_interval():
    found = cap.indices(cap.Process(16, 2, 2, dof=400, n=4.2, n_spread=6.0), 8, 20)
    for name in ("cpk", "pp", "ppk"):
        assert found[name].value is not None and found[name].low95 is None
        assert "independent ones only" in found[name].reason


def test_intervals_cover():
    """Of 2000 processes, the intervals of 95 % hold the true index in 93 to 97 %."""
    rng = np.random.default_rng(11)
    truth = {"cp": 10 / 6, "cpk": 4.5 / 3, "pp": 10 / 6, "ppk": 4.5 / 3}
    hits = dict.fromkeys(truth, 0)
    for _ in range(2000):
        found = cap.indices(cap.process(rng.standard_normal((20, 5)) + 0.5), -5, 5)
        for name, value in truth.items():
            hits[name] += found[name].low95 <= value <= found[name].high95
    assert all(0.93 <= count / 2000 <= 0.97 for count in hits.values()), hits


def test_within_and_overall():
    """A process that jumps between subgroups: Cp does not see it, Pp does."""
    rng = np.random.default_rng(12)
    table = rng.standard_normal((400, 5)) + 3 * rng.standard_normal((400, 1))
    table[17, 2] = np.nan  # an incomplete subgroup is left out
    found = cap.process(table)
    assert found.within == pytest.approx(1, rel=0.05)
    assert found.overall == pytest.approx(sqrt(10), rel=0.1)
    assert found.dof == 399 * 4 and found.n == 399 * 5


def test_percentile_index_of_a_normal_process():
    values = np.random.default_rng(13).standard_normal(200_000)
    found = cap.percentile_index(values, -6, 6)
    assert found.value == pytest.approx(6 / stats.norm.ppf(0.995), rel=0.02)
    assert cap.percentile_index(values[:50], -6, 6).value is None


def test_anderson_darling_is_scipys():
    for seed, shape in ((1, 30), (2, 400)):
        values = np.random.default_rng(seed).gamma(3.0, size=shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            published = stats.anderson(values, "norm").statistic
        assert cap.anderson_darling(values) == pytest.approx(published, rel=1e-9)


def test_normality_rejects_as_often_as_it_says():
    rng = np.random.default_rng(14)
    p = np.array([cap.normality(rng.standard_normal(60)).p for _ in range(4000)])
    for level in (0.01, 0.05, 0.25, 0.5):
        assert np.mean(p < level) == pytest.approx(level, abs=4 * sqrt(level / 4000) + 0.004)
    assert not cap.normality(rng.exponential(size=300)).normal


def test_normality_takes_readings_that_are_apart():
    values = np.repeat(np.random.default_rng(15).standard_normal(500), 20)
    assert not cap.normality(values).normal or cap.normality(values).tested == 5000
    assert cap.normality(values, 20).tested == 500
    with pytest.raises(NotComputable, match="8 at least"):
        cap.normality(values, 5000)


# ---------------------------------------------------------------- variance components


def test_looms():
    """Montgomery's looms: mean squares 29.73 and 1.90, components 6.96 and 1.90."""
    found = variance.one_way(np.array(stats_data.LOOMS)).components
    assert found["machine_direction"].value == pytest.approx(6.96, abs=0.005)
    assert found["residual"].value == pytest.approx(1.90, abs=0.005)
    assert found["residual"].low95 == pytest.approx(22.75 / 23.34, abs=0.001)
    assert found["residual"].high95 == pytest.approx(22.75 / 4.40, abs=0.005)
    assert found["cross_direction"].value is None
    assert "no traverse position" in found["cross_direction"].reason


def test_intervals_of_components_cover():
    rng = np.random.default_rng(16)
    hits = [0, 0]
    for _ in range(2000):
        table = rng.standard_normal((30, 5)) + 2 * rng.standard_normal((30, 1))
        found = variance.one_way(table).components
        for index, (name, truth) in enumerate((("machine_direction", 4), ("residual", 1))):
            hits[index] += found[name].low95 <= truth <= found[name].high95
    assert all(0.935 <= count / 2000 <= 0.985 for count in hits), hits


def test_nothing_along_the_web_is_zero_not_negative():
    table = np.array([[1.0, 2, 3], [3, 1, 2], [2, 3, 1]])  # equal means
    found = variance.one_way(table).components["machine_direction"]
    assert found.value == 0 and found.low95 == 0 and found.high95 >= 0


def traverse(segments, lanes, md, cd, rest, seed):
    rng = np.random.default_rng(seed)
    table = md * rng.standard_normal((segments, 1)) + rest * rng.standard_normal((segments, lanes))
    profile = rng.standard_normal(lanes)
    table += cd * (profile - profile.mean()) / profile.std(ddof=1)
    segment, lane = np.meshgrid(np.arange(segments), np.arange(lanes), indexing="ij")
    return table.ravel(), segment.ravel(), lane.ravel()


def test_lanes_give_the_cross_direction():
    found = variance.two_way(*traverse(2000, 12, 0.3, 0.5, 0.2, 17)).components
    assert found["machine_direction"].value == pytest.approx(0.09, rel=0.12)
    assert found["cross_direction"].value == pytest.approx(0.25, rel=0.01)
    assert found["residual"].value == pytest.approx(0.04, rel=0.03)
    for estimate_ in found.values():
        assert estimate_.low95 < estimate_.value < estimate_.high95


def test_two_way_table_by_hand():
    """2 x 2: mean squares 16, 4 and 1 by hand; components 7.5, 1.5 and 1."""
    values = np.array([[0.0, 3.0], [5.0, 6.0]])
    found = variance.two_way(values.ravel(), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert [e.value for e in found.components.values()] == pytest.approx([7.5, 1.5, 1.0])
    assert sum(found.shares_percent.values()) == pytest.approx(100)


def test_a_segment_without_every_lane_is_left_out():
    values, segment, lane = traverse(50, 4, 0.3, 0.5, 0.2, 18)
    values[5 * 4 + 2] = np.nan
    found = variance.two_way(values, segment, lane)
    assert found.left_out == 1
    keep = segment != 5
    same = variance.two_way(values[keep], segment[keep], lane[keep])
    assert found.components == same.components


def test_components_need_two_of_each():
    with pytest.raises(NotComputable):
        variance.one_way(np.ones((1, 5)))
    with pytest.raises(NotComputable):
        variance.two_way(np.arange(5.0), np.arange(5), np.zeros(5))
