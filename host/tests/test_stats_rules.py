"""Western Electric and Nelson rules: a slow way of the same, and chances by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from porogauge.stats.rules import NELSON, RULES, WESTERN_ELECTRIC, chance, signals


def slow(z, rule):
    """The rules as they are written, point by point."""

    def last(index, count):
        return z[index - count + 1 : index + 1] if index >= count - 1 else None

    def whole(index, count, ask):
        some = last(index, count)
        return some is not None and all(ask(v) for v in some)

    def of(index, need, count, limit):
        some = z[max(0, index - count + 1) : index + 1]
        return any(
            s * z[index] > limit and sum(s * v > limit for v in some) >= need for s in (1, -1)
        )

    def one(i):
        match rule:
            case "western_electric_1" | "nelson_1":
                return abs(z[i]) > 3
            case "western_electric_2" | "nelson_5":
                return of(i, 2, 3, 2)
            case "western_electric_3" | "nelson_6":
                return of(i, 4, 5, 1)
            case "western_electric_4":
                return any(whole(i, 8, lambda v, s=s: s * v > 0) for s in (1, -1))
            case "nelson_2":
                return any(whole(i, 9, lambda v, s=s: s * v > 0) for s in (1, -1))
            case "nelson_3":
                some = last(i, 6)
                steps = (
                    [] if some is None else [b - a for a, b in zip(some, some[1:], strict=False)]
                )
                return bool(steps) and any(all(s * d > 0 for d in steps) for s in (1, -1))
            case "nelson_4":
                some = last(i, 14)
                steps = (
                    [] if some is None else [b - a for a, b in zip(some, some[1:], strict=False)]
                )
                return bool(steps) and all(
                    a * b < 0 for a, b in zip(steps, steps[1:], strict=False)
                )
            case "nelson_7":
                return whole(i, 15, lambda v: abs(v) < 1)
            case "nelson_8":
                return whole(i, 8, lambda v: abs(v) > 1)

    return [bool(one(i)) for i in range(len(z))]


POINTS = st.one_of(
    st.sampled_from([float("nan"), 0.0, 1.0, 2.0, 3.0, -1.0, -2.5, 3.5, 0.5, -0.5, 1.5]),
    st.floats(-4, 4),
)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60, deadline=None)
@given(z=st.lists(POINTS, max_size=60))
def test_rules_are_what_they_say(rule, z):
    assert signals(np.array(z), rule).tolist() == slow(z, rule)


@pytest.mark.parametrize(
    ("rule", "z"),
    [
        ("western_electric_4", [0.1] * 8),
        ("nelson_2", [-0.1] * 9),
        ("nelson_3", [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ("nelson_4", [0.0, 1.0] * 7),
        ("nelson_7", [0.5, -0.5, 0.9] * 5),
        ("nelson_8", [1.5, -1.5] * 4),
    ],
)
def test_a_pattern_is_seen_at_its_last_point(rule, z):
    assert signals(np.array(z), rule).tolist() == [False] * (len(z) - 1) + [True]


@pytest.mark.parametrize("rule", WESTERN_ELECTRIC + NELSON)
def test_chance_is_what_normal_points_give(rule):
    z = np.random.default_rng(20).standard_normal(2_000_000)
    found = signals(z, rule)
    # signals come in runs: their scatter is that of 400 stretches of 5000 points
    parts = found.reshape(400, -1).mean(axis=1)
    error = parts.std() / np.sqrt(len(parts))
    assert abs(found.mean() - chance(rule)) < 4 * error


@pytest.mark.parametrize(
    ("rules", "published"),  # Champ and Woodall, Technometrics 29 (1987) 393, table 1
    [
        (("western_electric_1",), 370.40),
        (("western_electric_1", "western_electric_2"), 225.44),
        (("western_electric_1", "western_electric_3"), 166.05),
        (("western_electric_1", "western_electric_4"), 152.73),
        (WESTERN_ELECTRIC, 91.75),
    ],
    ids=["1", "1+2", "1+3", "1+4", "all"],
)
def test_average_run_length_without_a_fault(rules, published):
    charts, length = 3000, 4000
    rng = np.random.default_rng(4)
    first = np.full(charts, float(length))
    for index in range(charts):
        z = rng.standard_normal(length if len(rules) < 3 else 1500)
        some = np.zeros(len(z), dtype=bool)
        for rule in rules:
            some |= signals(z, rule)
        if some.any():
            first[index] = 1 + int(np.argmax(some))
    assert abs(first.mean() - published) < 4 * first.std() / np.sqrt(charts)
