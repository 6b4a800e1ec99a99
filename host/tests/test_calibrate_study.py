"""Type-1 study and gauge R&R, against numbers that were published or follow by hand."""

from fractions import Fraction
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porogauge.calibrate.study import grr, type1
from porogauge.errors import PorogaugeError

# The crossed example of the AIAG's manual of measurement systems analysis (4th edition):
# appraisers A, B, C; three trials each; parts 1 to 10. Statistics packages print its analysis.
AIAG = """
A  0.29 -0.56 1.34 0.47 -0.80  0.02 0.59 -0.31 2.26 -1.36
A  0.41 -0.68 1.17 0.50 -0.92 -0.11 0.75 -0.20 1.99 -1.25
A  0.64 -0.58 1.27 0.64 -0.84 -0.21 0.66 -0.17 2.01 -1.31
B  0.08 -0.47 1.19 0.01 -0.56 -0.20 0.47 -0.63 1.80 -1.68
B  0.25 -1.22 0.94 1.03 -1.20  0.22 0.55  0.08 2.12 -1.62
B  0.07 -0.68 1.34 0.20 -1.28  0.06 0.83 -0.34 2.19 -1.50
C  0.04 -1.38 0.88 0.14 -1.46 -0.29 0.02 -0.46 1.77 -1.49
C -0.11 -1.13 1.09 0.20 -1.07 -0.67 0.01 -0.56 1.45 -1.77
C -0.15 -0.96 0.67 0.11 -1.45 -0.49 0.21 -0.49 1.87 -2.16
"""


def aiag():
    return [
        (part, line.split()[0], float(value))
        for line in AIAG.strip().splitlines()
        for part, value in enumerate(line.split()[1:], 1)
    ]


def test_the_published_example():
    found = grr(aiag())
    table = {row["source"]: row for row in found.table}
    assert {name: row["dof"] for name, row in table.items()} == {
        "part": 9,
        "operator": 2,
        "interaction": 18,
        "repeatability": 60,
    }
    for name, ss, ms in (
        ("part", 88.3619, 9.81799),
        ("operator", 3.1673, 1.58363),
        ("interaction", 0.3590, 0.01994),
        ("repeatability", 2.7589, 0.04598),
    ):
        assert table[name]["ss"] == pytest.approx(ss, abs=5e-5)
        assert table[name]["ms"] == pytest.approx(ms, abs=5e-6)
    assert table["interaction"]["f"] == pytest.approx(0.434, abs=5e-4)
    assert table["interaction"]["p"] == pytest.approx(0.974, abs=5e-4)
    assert found.pooled
    for name, sd, percent in (
        ("ev", 0.19993, 18.42),
        ("av", 0.22684, 20.90),
        ("interaction", 0.0, 0.0),
        ("grr", 0.30237, 27.86),
        ("pv", 1.04233, 96.04),
        ("total", 1.08530, 100.0),
    ):
        assert found.sources[name].sd == pytest.approx(sd, abs=5e-6)
        assert found.sources[name].percent_of_total == pytest.approx(percent, abs=5e-3)
    assert found.ndc == 4
    assert found.verdict == "not capable" and "4 distinct categories" in found.reasons[0]


def test_with_a_tolerance_it_decides():
    found = grr(aiag(), tolerance=8.0, unit="um")
    assert found.percent_grr == pytest.approx(100 * 6 * 0.302372 / 8, abs=0.01)
    assert found.verdict == "conditional" and not found.reasons
    assert any("distinct categories" in text for text in found.warnings)
    assert grr(aiag(), tolerance=20.0).verdict == "good"
    assert grr(aiag(), tolerance=5.0).verdict == "not capable"


def test_an_interaction_that_is_significant_stays():
    """By hand: 2 parts, 2 operators, 2 trials; the operators see the parts the other way round.

    Cell means 0, 10 / 10, 0; trials +-1 around them. SS parts = SS operators = 0, interaction
    2 * 4 * 25 = 200 with 1 degree of freedom, repeatability 8 with 4.
    """
    rows = [
        (part, who, mean + trial)
        for (part, who), mean in {(1, "A"): 0, (2, "A"): 10, (1, "B"): 10, (2, "B"): 0}.items()
        for trial in (-1, 1)
    ]
    found = grr(rows)
    ms = {row["source"]: Fraction(row["ms"]) for row in found.table}
    assert ms == {"part": 0, "operator": 0, "interaction": 200, "repeatability": 2}
    assert not found.pooled
    assert found.sources["ev"].sd == pytest.approx(sqrt(2))
    assert found.sources["interaction"].sd == pytest.approx(sqrt((200 - 2) / 2))
    assert found.sources["av"].sd == found.sources["pv"].sd == 0
    assert found.percent_grr == pytest.approx(100) and found.ndc == 0


@given(
    st.lists(st.floats(-5, 5), min_size=12, max_size=12).filter(lambda v: max(v) - min(v) > 0.01),
    st.floats(0.1, 100),
    st.floats(-100, 100),
)
def test_the_sums_of_squares_add_up_and_units_do_not_matter(values, factor, shift):
    rows = [(i % 3, i // 6, v) for i, v in enumerate(values)]
    found = grr(rows)
    mean = sum(values) / 12
    total = sum((v - mean) ** 2 for v in values)
    assert sum(row["ss"] for row in found.table) == pytest.approx(total, rel=1e-6, abs=1e-9)
    other = grr([(p, o, factor * v + shift) for p, o, v in rows])
    for name, source in found.sources.items():
        assert other.sources[name].sd == pytest.approx(factor * source.sd, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(1, "A", 1.0), (1, "A", 1.1)], "at least 2 parts"),
        ([(p, o, 1.0) for p in (1, 2) for o in "AB"], "2 trials or more"),
        ([(p, o, 1.0) for p in (1, 2) for o in "AB"] * 2 + [(1, "A", 2.0)], "2 times, others 3"),
        ([(p, o, 1.0) for p in (1, 2) for o in "AB"] * 2, "no variation"),
    ],
)
def test_what_is_no_crossed_study_is_refused(rows, said):
    with pytest.raises(PorogaugeError, match=said):
        grr(rows)


# ---------------------------------------------------------------- type 1


def readings(s, bias, n=50):
    """Values with exactly that standard deviation and mean 20 + bias."""
    half = s * sqrt((n - 1) / n)
    return [20 + bias + (half if i % 2 else -half) for i in range(n)]


def test_cg_and_cgk_by_hand():
    """T = 6, s = 0.1, bias 0.2: Cg = 1.2 / 0.6 = 2; Cgk = (0.6 - 0.2) / 0.3 = 4/3."""
    found = type1(readings(0.1, 0.2), 20.0, 6.0, "um")
    assert found.cg == pytest.approx(2.0) and found.cgk == pytest.approx(4 / 3)
    assert found.u_mean == pytest.approx(0.1 / sqrt(50)) and found.bias_significant
    assert found.verdict == "capable"
    assert 1.6 < found.cg_low95 < 2.0
    assert any("bias" in text for text in found.warnings)


def test_what_is_not_capable_says_why():
    wide = type1(readings(0.2, 0.0), 20.0, 6.0, "um")
    assert wide.cg == pytest.approx(1.0) and wide.verdict == "not capable"
    assert "may be at most 0.1504 um" in wide.reasons[0]
    off = type1(readings(0.1, 0.3), 20.0, 6.0, "um")
    assert off.cg == pytest.approx(2.0) and off.cgk == pytest.approx(1.0)
    assert len(off.reasons) == 1 and off.reasons[0].startswith("Cgk 1.00")
    # physics.md 6.8: T = 5 um needs s of 0.125 um at most
    assert type1(readings(0.125, 0.0), 20.0, 5.0).cg == pytest.approx(1.333, abs=1e-3)


def test_no_scatter_at_all_is_not_perfect_json():
    found = type1([20.0] * 30, 20.0, 6.0)
    assert found.verdict == "capable" and found.to_dict()["cg"] is None
    assert any("50 are the usual" in text for text in found.warnings)
    off = type1([21.0] * 30, 20.0, 6.0)
    assert off.verdict == "not capable" and off.to_dict()["cgk"] is None
    assert off.reasons and "nan" not in str(off.reasons)


def test_what_is_no_type1_study_is_refused():
    with pytest.raises(PorogaugeError, match="at least 25"):
        type1([1.0] * 24, 1.0, 1.0)
    for tolerance in (0.0, -1.0, float("nan")):
        with pytest.raises(PorogaugeError, match="tolerance"):
            type1([1.0] * 30, 1.0, tolerance)
