"""Spectrum over length: against scipy's Welch, known periods, false ones."""

import numpy as np
import pytest
from scipy import signal

from porogauge.stats.estimate import NotComputable
from porogauge.stats.spectrum import peaks, rollers_of, spectrum


def test_density_is_that_of_scipy():
    x = np.random.default_rng(1).standard_normal(40_000)
    found = spectrum(x, 0.006)
    size = round(found.stretch_m / 0.006)
    f, density = signal.welch(x, 1 / 0.006, "hann", size, detrend="linear")
    assert found.frequency_per_m == pytest.approx(f)
    assert found.density == pytest.approx(density)
    assert found.density.sum() * found.resolution_per_m == pytest.approx(x.var(), rel=0.05)


def test_the_beam_of_the_nist_handbook():
    """1.4.2.5: the sine fitted to the deflection of a beam, with its residuals' scatter."""
    place = 0.302596 * np.arange(4000) + 1.46536
    noise = np.random.default_rng(2).normal(0, 155.8, 4000)
    (peak,) = peaks(spectrum(-178.786 - 361.766 * np.sin(2 * np.pi * place) + noise, 1.0))
    assert 1000 / peak.period_mm == pytest.approx(0.302596, rel=2e-3)
    assert peak.amplitude == pytest.approx(361.766, rel=0.05)


@pytest.mark.parametrize("period", [0.9, 0.4712, 0.031, 2.5])
def test_a_roller_is_found(period):
    step, rng = 0.006, np.random.default_rng(3)
    x = np.arange(120_000) * step
    slow = np.cumsum(rng.standard_normal(len(x))) * 0.002
    values = 25 + slow + 0.12 * rng.standard_normal(len(x)) + 0.05 * np.sin(2 * np.pi * x / period)
    found = spectrum(values, step)
    (peak,) = peaks(found)
    assert peak.period_mm == pytest.approx(1000 * period, rel=2e-3)
    assert peak.low95_mm < 1000 * period < peak.high95_mm
    assert peak.amplitude == pytest.approx(0.05, rel=0.1)
    rollers = {"a": 1000 * period, "b": 1700.0 * period}
    assert rollers_of(peak, rollers, found.resolution_per_m) == ["a"]


def test_the_shape_of_a_roller_gives_parts_of_its_turn():
    step, rng = 0.006, np.random.default_rng(4)
    x = np.arange(60_000) * step
    bump = np.exp(-(((x % 0.9) - 0.45) ** 2) / (2 * 0.08**2))
    found = spectrum(25 + bump + 0.1 * rng.standard_normal(len(x)), step)
    named = [
        rollers_of(peak, {"calender": 900.0}, found.resolution_per_m) for peak in peaks(found)
    ]
    assert named[:3] == [["calender"], ["calender, 1/2 of a turn"], ["calender, 1/3 of a turn"]]


def test_noise_has_no_periods():
    false = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(20_000)
        if seed % 2:  # and a web that remembers
            x = signal.lfilter([0.1], [1, -0.99], x) + 0.3 * x
        false += bool(peaks(spectrum(x, 0.006)))
    assert false <= 1  # 0.1 % each


def test_holes_are_bridged_or_left_out():
    step, rng = 0.006, np.random.default_rng(6)
    x = np.arange(100_000) * step
    values = 25 + 0.1 * np.sin(2 * np.pi * x / 0.9) + 0.1 * rng.standard_normal(len(x))
    values[rng.random(len(x)) < 0.03] = np.nan
    values[40_000:55_000] = np.nan
    found = spectrum(values, step)
    (peak,) = peaks(found)
    assert found.left_out > 0
    assert peak.period_mm == pytest.approx(900, rel=2e-3)
    with pytest.raises(NotComputable, match="nine tenths"):
        spectrum(np.where(np.arange(5000) % 3 == 0, np.nan, 1.0), step)


def test_a_short_or_flat_web():
    with pytest.raises(NotComputable, match="at least"):
        spectrum(np.arange(100.0), 0.006)
    with pytest.raises(NotComputable, match="do not vary"):
        spectrum(np.full(5000, 25.1), 0.006)
