"""The converter as the application sees it: which falls of /RDY make a window, which do not."""

from __future__ import annotations

from array import array
from types import SimpleNamespace

import pytest

import porogauge  # noqa: F401 - gives CPython the names that MicroPython has built in
from gauge import drivers
from gauge.sensors import Capacitance

PERIOD_US = 11_000


class Bench:
    """A converter in use: `falls` are the instants at which /RDY fell, in ticks."""

    def __init__(self):
        self.words = array("i", bytes(4 * 17))
        self.result = 1000
        self.during_read = None
        hardware = SimpleNamespace(
            ready=SimpleNamespace(words=self.words, level=lambda: True), now=lambda: 0
        )
        chip = SimpleNamespace(
            period_us=PERIOD_US,
            temperatures=0,
            read=self._read,
            start=lambda capf, capdac: None,
        )
        self.capacitance = Capacitance(hardware, chip)
        self.capacitance.start(0, 50)
        for k in range(3):
            self.fall(k * PERIOD_US)
            self.capacitance.take(k * PERIOD_US)
        assert not self.capacitance.fault

    def _read(self):
        if self.during_read is not None:
            self.fall(self.during_read)
            self.during_read = None
        return self.result

    def fall(self, ticks):
        """Let /RDY fall."""
        self.words[1 + (self.words[0] & 15)] = ticks
        self.words[0] += 1

    def taken(self, ticks):
        """Whether a fall at an instant makes a window, which then ends there."""
        self.fall(ticks)
        took = self.capacitance.take(ticks)
        assert not took or self.capacitance.t_ready == ticks
        return took


def test_each_conversion_makes_a_window():
    bench = Bench()
    assert [bench.taken(k * PERIOD_US) for k in range(3, 8)] == [True] * 5


@pytest.mark.parametrize("result", [1000, drivers.TOO_HIGH])
@pytest.mark.parametrize("aside_us", [900, 5000, 10_000])
def test_a_fall_between_two_ends_makes_none(aside_us, result):
    """A wire that is joined again; also while the electrodes are at fault."""
    bench = Bench()
    joined = 7 * PERIOD_US + aside_us
    bench.result = result
    assert not bench.taken(joined)
    assert not bench.taken(8 * PERIOD_US), "too soon after the one that was none"
    assert bench.taken(9 * PERIOD_US)
    assert (bench.capacitance.fault != 0) == (result < 0)


def test_a_result_of_which_nobody_knows_makes_none():
    """One more conversion ends while the board is about to fetch the one before."""
    bench = Bench()
    bench.during_read = 4 * PERIOD_US
    assert not bench.taken(3 * PERIOD_US)
    assert bench.taken(5 * PERIOD_US)
