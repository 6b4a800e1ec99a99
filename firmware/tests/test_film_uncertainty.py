"""The uncertainty of a window's numbers, and what the web's motion does to them."""

from __future__ import annotations

import math

import film_reference as ref
import numpy as np
import pytest
from film_program import FILM, compute, one
from film_reference import FIELD, NM, UM, ideal_record, noisy_records, with_lasers, words

from gauge import record

SEED = 5
SIZE = "t_um, phi", [(5, 0.15), (25, 0.5), (25, 0.8), (150, 0.15), (150, 0.5)]
FLOOR = 2 * 8.9 * NM  # u(t) by the lasers' quantisation alone


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(FILM) as program:
        yield program


@pytest.mark.parametrize("t_um", [12, 25, 50, 150])
@pytest.mark.parametrize("noise_um", [0.1, 0.5])
def test_u95_covers_the_truth(program, t_um, noise_um):
    """Realistic noise, exact calibration: U95 covers 93-97 % of windows."""
    values = words()
    program.call("configure", values)
    rng = np.random.default_rng(SEED)
    rows = noisy_records(2500, t_um * UM, 0.5, values, noise_um * UM, rng)
    found = compute(program, rows)
    assert (found[:, FIELD["valid"]] == record.VALID_ALL).all()
    eps = ref.permittivity(0.5, 3.3, 0.333333)
    for name, truth in (
        ("thickness_8nm", t_um * UM),
        ("porosity_ppm", 500_000),
        ("permittivity_e4", 10_000 * eps),
    ):
        error = found[:, FIELD[name]] - truth
        u = found[:, FIELD["u_" + name]]
        assert 0.93 <= np.mean(np.abs(error) <= 2 * u) <= 0.97, name
        assert u.mean() == pytest.approx(error.std(), rel=0.05), name


@pytest.mark.parametrize("model, d_mm", [(0, 2), (4, 10)])
def test_ideal_sensors(program, model, d_mm):
    """No noise, the chips' own quantisation: it does not average out, and u says so."""
    values = words(laser_model=model, d_8nm=d_mm * 1000 * UM)
    program.call("configure", values)
    for t_um in (5, 25, 26.7, 150):
        rng = np.random.default_rng(SEED)
        found = compute(program, noisy_records(20, t_um * UM, 0.5, values, 0, rng, 0))
        error = np.abs(found[:, FIELD["thickness_8nm"]] - t_um * UM)
        assert (error <= 2.5 * found[:, FIELD["u_thickness_8nm"]]).all()
        if model == 0:
            assert error.max() <= 40 * NM
        if (model, t_um) == (0, 25):
            assert np.abs(found[:, FIELD["porosity_ppm"]] - 500_000).max() <= 3000


@pytest.mark.parametrize("model, skew_us", [(0, 0), (0, 125), (4, 250), (4, 125), (4, 60)])
def test_flutter_does_not_become_thickness(program, model, skew_us):
    """Web motion of +-100 um at 10 Hz, whatever the lasers' skew: under 60 nm."""
    values = words(laser_model=model, d_8nm=(80_000_000 if model else 16_000_000))
    program.call("configure", values)
    rng = np.random.default_rng(SEED)
    rows = noisy_records(500, 25 * UM, 0.5, values, 0, rng, 0, 100 * UM, 10, skew_us)
    error = compute(program, rows)[:, FIELD["thickness_8nm"]] - 25 * UM
    assert np.abs(error).max() < (60 * NM if model else 15 * NM)


def test_missing_samples_are_bridged(program):
    """A moving web and 40 % of one laser's samples gone: still the window's mean."""
    values = words()
    program.call("configure", values)
    times = list(range(100, 11_000, 250))
    heights = [9 * t // 1000 for t in times]  # codes; 25 um per second
    a = ref.laser_fields([130_000 + h for h in heights], times)
    b = ref.laser_fields([130_000 - h for h in heights], times)
    whole = one(program, with_lasers(values, a, b))
    b = ref.laser_fields([130_000 - h for h in heights[17:]], times[17:])
    part = one(program, with_lasers(values, a, b))
    assert abs(part["thickness_8nm"] - whole["thickness_8nm"]) < 20 * NM
    assert part["u_thickness_8nm"] > whole["u_thickness_8nm"]


def test_motion_that_nobody_saw_counts(program):
    """Samples of one laser gone while the web flutters: what is reported covers the error."""
    values = words()
    program.call("configure", values)
    rng = np.random.default_rng(SEED)
    times = np.arange(100, 20_000, 250)
    worst = valid = 0
    for _ in range(300):
        height = 800 * np.sin(2 * np.pi * rng.uniform(3, 60) * times * 1e-6 + rng.uniform(0, 7))
        height = np.rint(height).astype(int)
        gone = rng.integers(1, len(times) // 2)
        first = rng.integers(0, len(times) - gone)
        kept = np.r_[0:first, first + gone : len(times)]
        a = ref.laser_fields(list(130_000 + height), list(times))
        b = ref.laser_fields(list(130_000 - height[kept]), list(times[kept]))
        whole = ref.laser_fields(list(130_000 - height), list(times))
        part, full = (one(program, with_lasers(values, a, x, 20_000)) for x in (b, whole))
        if part["thickness_8nm"] and full["thickness_8nm"]:
            valid += 1
            error = abs(part["thickness_8nm"] - full["thickness_8nm"])
            worst = max(worst, error / part["u_thickness_8nm"])
    assert valid > 100
    assert worst < 4


def test_strong_flutter_in_a_long_window(program):
    """+-200 um at 7 Hz in 109.6 ms, sampled at 250 Hz, B half a period behind A."""
    values = words(laser_rate_hz=250)
    program.call("configure", values)
    worst = 0
    for phase in np.linspace(0, 2 * np.pi, 24):
        fields = []
        for sign, first in ((1, 300), (-1, 2300)):
            times = np.arange(first, 109_600, 4000)
            height = 200 * UM * np.sin(2 * np.pi * 7 * times * 1e-6 + phase)
            codes = ref.codes((2000 * UM - 25 * UM) / 2 + sign * height)
            fields.append(ref.laser_fields(list(codes), list(times)))
        found = one(program, with_lasers(values, *fields, 109_600))
        worst = max(worst, abs(found["thickness_8nm"] - 25 * UM))
    assert worst < 2 * UM  # of 400: four samples' worth of motion between the two lasers


SYSTEMATIC = {
    "u_thickness_8nm": ("t", 190 * NM),
    "u_delta_8nm": ("delta", 50 * NM),
    "u_common_8nm": ("common", 60 * NM),
    "u_gap_ppm": ("gap", 4000),
    "u_solid_e6": ("solid", 80_000),
    "u_structure_ppm": ("structure", 60_000),
}


@pytest.mark.parametrize("name", SYSTEMATIC)
@pytest.mark.parametrize(*SIZE)
def test_sensitivities(program, name, t_um, phi):
    """One systematic input at a time, against numerical differentiation of the closed form."""
    kind, u = SYSTEMATIC[name]
    values = words(**{name: u, "u_c_af": 0})
    program.call("configure", values)
    fields = one(program, ideal_record(t_um * UM, phi, values))
    t, delta, eps_s, part = fields["thickness_8nm"], fields["delta_8nm"], 3.3, 0.333333

    def porosity(dt=0.0, ddelta=0.0, deps=0.0, dpart=0.0):
        e, p, d = eps_s + deps, part + dpart, delta + ddelta
        return 1 - (1 - p) / (e - 1) * d / (t + dt - d) - p * e / (e - 1) * d / (t + dt)

    h = 1e-4
    change = {
        "t": {"dt": u * h},
        "delta": {"ddelta": u * h},
        "common": {"dt": u * h, "ddelta": u * h},
        "gap": {"ddelta": delta * u * 1e-6 * h},
        "solid": {"deps": u * 1e-6 * h},
        "structure": {"dpart": u * 1e-6 * h},
    }[kind]
    expected = abs(porosity(**change) - porosity()) / h * 1e6
    noise = FLOOR * abs(porosity(dt=1) - porosity()) * 1e6
    total = math.hypot(expected, noise)
    assert fields["u_porosity_ppm"] == pytest.approx(total, rel=0.02, abs=noise + 3)


@pytest.mark.parametrize("slope", [-0.6, 0.3, 0.52, 2.5])
@pytest.mark.parametrize(*SIZE)
def test_structure_was_fitted_with_the_solid(program, slope, t_um, phi):
    """An error of the solid's permittivity moves the L fitted with it: signs count."""
    values = words(u_solid_e6=80_000, structure_per_solid_ppm=round(slope * 1e6), u_c_af=0)
    program.call("configure", values)
    fields = one(program, ideal_record(t_um * UM, phi, values))
    t, delta = fields["thickness_8nm"], fields["delta_8nm"]

    def porosity(error=0.0, dt=0.0):
        return float(ref.exact_porosity(t + dt, delta, 3.3 + error, 0.333333 + slope * error))

    expected = abs(porosity(8e-6) - porosity()) * 1e10
    noise = FLOOR * abs(porosity(dt=1) - porosity()) * 1e6
    total = math.hypot(expected, noise)
    assert fields["u_porosity_ppm"] == pytest.approx(total, rel=0.02, abs=noise + 3)


# name: thickness, its u, permittivity, its u; um
STACKS = {
    "adhesive": ((10, 0.5, 3.2, 0.1),),
    "skins": ((1, 0.2, 3.3, 0.05), (1, 0.2, 3.3, 0.05)),
    "adhesive and substrate": ((10, 0.5, 3.2, 0.1), (50, 0.4, 3.4, 0.02)),
    "foil and adhesive": ((9, 0.3, math.inf, 0), (5, 0.5, 3.0, 0.1)),
    "like the film": ((5, 1.0, 1.93, 0.0),),
    "air": ((0, 0.3, 1.0, 0.0),),
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize(*SIZE)
def test_layers_that_are_not_quite_known(program, name, t_um, phi):
    """u of every number, against differentiation by each layer's thickness and permittivity."""
    layers = STACKS[name]
    x = [1 - 1 / eps for _, _, eps, _ in layers]
    s0, s1, s2 = (
        sum(u * u * xj**k for (_, u, _, _), xj in zip(layers, x, strict=True)) for k in range(3)
    )
    rest = s2 - s1 * s1 / s0 + sum((t * u / eps**2) ** 2 for t, _, eps, u in layers)
    gap = 1000
    values = words(
        layers_8nm=round(UM * sum(layer[0] for layer in layers)),
        layers_delta_8nm=round(
            UM * sum(xj * layer[0] for xj, layer in zip(x, layers, strict=True))
        ),
        u_layers_8nm=round(UM * math.sqrt(s0)),
        u_layers_ratio_ppm=round(1e6 * s1 / s0),
        u_layers_delta_8nm=round(UM * math.sqrt(max(0, rest))),
        u_c_af=0,
        gap_8nm=gap * UM,
        c0_af=2_783_000,
        capdac_af=4_000_000,
        thickness_max_8nm=400 * UM,
    )
    program.call("configure", values)
    whole = ref.word(values, "layers_8nm") / UM
    eps_p = ref.permittivity(phi, 3.3, 0.333333)
    total = t_um * (1 - 1 / eps_p) + ref.word(values, "layers_delta_8nm") / UM
    rec = ideal_record((t_um + whole) * UM, phi, values)
    c = 2_783_000 * gap / (gap - total)
    rec[FIELD["cap_code"]] = int(ref.cap_codes(np.array([c]), values)[0])
    fields = one(program, rec)
    assert fields["valid"] == record.VALID_ALL
    t = fields["thickness_8nm"]
    delta = fields["delta_8nm"] - ref.word(values, "layers_delta_8nm")

    def numbers(dt=0.0, ddelta=0.0):
        phi = ref.exact_porosity(t + dt, delta + ddelta, 3.3, 0.333333)
        return np.array([1e4 * (t + dt) / (t + dt - delta - ddelta), 1e6 * float(phi)])

    h = 1e-3
    variance = (FLOOR * (numbers(dt=1) - numbers())) ** 2
    u_t = FLOOR**2
    for (t_j, u, eps, u_eps), xj in zip(layers, x, strict=True):
        variance += ((numbers(-u * h * UM, -xj * u * h * UM) - numbers()) / h) ** 2
        variance += ((numbers(0, t_j * u_eps / eps**2 * h * UM) - numbers()) / h) ** 2
        u_t += (u * UM) ** 2
    noise = FLOOR * np.abs(numbers(dt=1) - numbers())
    found = np.array([fields["u_permittivity_e4"], fields["u_porosity_ppm"]])
    assert np.allclose(found, np.sqrt(variance), rtol=0.02, atol=noise + (1, 3))
    assert fields["u_thickness_8nm"] == pytest.approx(math.sqrt(u_t), rel=0.01, abs=FLOOR)
