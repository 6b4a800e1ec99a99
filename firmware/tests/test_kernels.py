"""The integer kernels on the 32-bit runtime against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from checked import Checked
from hypothesis import example, given
from hypothesis import strategies as st

from gauge import kernels

MOST = (1 << 30) - 1

PROGRAM = """
from array import array
from gauge.kernels import isqrt, muldiv, per_kelvin, root_sum_square

def rss(words):
    return root_sum_square(words, 0, len(words))
"""


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(PROGRAM) as program:
        yield program


def rounded(x: Fraction) -> int:
    """Nearest integer, halves away from zero."""
    return int(abs(x) + Fraction(1, 2)) * (-1 if x < 0 else 1)


@st.composite
def products(draw):
    """Arguments of muldiv within its bounds: c * 2**k + (2**k - 1) * b < 2**30."""
    k = draw(st.integers(1, 15))
    c = draw(st.integers(1, (MOST >> k) - 1))
    b = draw(st.integers(0, (MOST - (c << k)) // ((1 << k) - 1)))
    most = MOST if b <= c else MOST * c // b
    a = draw(st.integers(-most, most))
    return a, b, c, k


@given(st.lists(products(), min_size=40, max_size=40))
def test_muldiv_is_the_rounded_quotient(program, rows):
    found = program.batch("muldiv", rows)
    assert found == [rounded(Fraction(a * b, c)) for a, b, c, _ in rows]


@given(products())
@example((MOST, 1, (MOST >> 1) - 1, 1))
@example((0, 0, 1, 15))
def test_muldiv_stays_below_2_to_the_30(row):
    a, b, c, k = row
    found = kernels.muldiv(Checked(a), Checked(b), Checked(c), Checked(k))
    assert found == rounded(Fraction(a * b, c))


@given(st.lists(st.integers(0, MOST), min_size=100, max_size=100))
@example([0, 1, 2, 3, 4, 8, 9, 32767**2 - 1, 32767**2, MOST])
def test_isqrt(program, values):
    assert program.batch("isqrt", [(x,) for x in values]) == [math.isqrt(x) for x in values]


@given(st.lists(st.integers(-MOST, MOST), min_size=1, max_size=15))
@example([0])
@example([1])
@example([4095, 8191])
@example([MOST // 4] * 15)
def test_root_sum_square(program, terms):
    exact = math.hypot(*terms)
    if exact > MOST:
        return
    found = program.call("rss", terms)
    assert abs(found - exact) <= max(0.51, 4e-4 * exact)


@given(st.lists(st.integers(-MOST // 4, MOST // 4), min_size=1, max_size=15))
def test_root_sum_square_stays_below_2_to_the_30(terms):
    words = [Checked(x) for x in terms]
    assert kernels.root_sum_square(words, 0, len(words)) >= 0


@given(st.integers(-100_000, 100_000), st.integers(-200_000, 200_000))
def test_per_kelvin(program, coefficient, mc):
    assert program.call("per_kelvin", coefficient, mc) == rounded(Fraction(coefficient * mc, 1000))


def test_nothing_is_allocated(unix32):
    unix32.heap_locked(
        "from array import array\n"
        "from gauge.kernels import isqrt, muldiv, per_kelvin, root_sum_square\n"
        "words = array('i', (3, 4, 5))",
        "muldiv(-8_000_000, 5_000_000, 5_600_000, 4)\n"
        "isqrt(1_000_000_000)\n"
        "root_sum_square(words, 0, 3)\n"
        "per_kelvin(-9200, 1500)",
        times=100,
    )
