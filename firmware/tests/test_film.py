"""A window's numbers on the 32-bit runtime: exact arithmetic, guards, corrections."""

from __future__ import annotations

import math
from fractions import Fraction

import film_reference as ref
import numpy as np
import pytest
import vectors
from bench_numbers import cycles
from checked import checked
from film_program import FILM, flags, one, reason
from film_reference import FIELD, NM, UM, WORD, ideal_record, with_lasers, words
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge import config, film, record
from gauge.drivers.optoncdt import MODELS


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(FILM) as program:
        yield program


# -- against exact arithmetic --------------------------------------------------------------------


def test_numbers_against_exact_arithmetic(unix32):
    """Deficit within 0.1 nm (0.2 nm with growth, scale and offset taken off), porosity within
    5 ppm, permittivity to 1e-4, over the envelope, with passline maps and layers."""
    with unix32.load(vectors.PROGRAM) as program:
        largest, n_valid = vectors.worst(program, 100)
    assert n_valid > 4000
    assert largest["c"] <= 1.3  # aF; 0.13 nm of gap
    assert largest["delta"] <= 0.1
    assert largest["corrected delta"] <= 0.2
    assert largest["thickness"] <= 4  # nm; two lasers of 25 mm range and 390 nm a code
    assert largest["permittivity"] <= 0.51e-4
    assert largest["porosity"] <= 5
    assert largest["solid"] <= 1


def test_both_boards_give_the_same_numbers(unix32, rp2040):
    """The whole set of 23 500 is compared by firmware/tests/vectors.py."""
    n_groups = 20
    with unix32.load(vectors.PROGRAM) as program:
        expected = program.call("digests", vectors.SEED, n_groups)
    with rp2040.load(vectors.PROGRAM, timeout_s=60) as program:
        assert program.call("digests", vectors.SEED, n_groups) == expected


LASER_MODELS = len(MODELS)
LIMIT_NAMES = ("thickness_l", "thickness_h", "porosity_l", "porosity_h")
TABLES = ("a_map_", "b_map_", "correction_")
DECIDING = [spec for spec in config.SPEC if not spec[0].startswith(LIMIT_NAMES + TABLES)]
NODES = {name: spec for name, *spec in config.SPEC if name.startswith(TABLES)}
del NODES["correction_nodes"]


@st.composite
def configurations(draw):
    """Any legal configuration of head and recipe, often at the ends of its ranges."""
    values = words()
    some = draw(st.lists(st.sampled_from(DECIDING), max_size=40, unique=True))
    for name, low, high in some:
        if name == "laser_model":
            high = LASER_MODELS - 1
        value = draw(st.one_of(st.integers(low, high), st.sampled_from((low, high))))
        values[WORD[name]] = value
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    share = draw(st.sampled_from((0, 0.01, 1)))  # of the tables' ranges
    for name, (low, high) in NODES.items():
        values[WORD[name]] = round(share * int(rng.integers(low, high + 1)))
    return values


@st.composite
def lasers(draw, model, dt):
    """One laser's share of a window; any set of samples that a laser can send."""
    most = MODELS[model].max_code
    n = min(dt, draw(st.integers(0, 60)))
    if n > 5:  # many samples by a generator of their own: hypothesis draws its seed
        rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
        middle, width = rng.integers(0, most), (0, 2, 50, 5000, most)[rng.integers(0, 5)]
        low, high = max(0, middle - width), min(most, middle + width)
        samples = rng.integers(low, high + 1, n).tolist()
        times = sorted(rng.choice(dt, n, replace=False).tolist())
        if rng.integers(0, 2):
            times = [t * dt // n for t in range(n)]
    else:
        times = sorted(draw(st.sets(st.integers(0, dt - 1), min_size=n, max_size=n)))
        samples = draw(st.lists(st.integers(0, most), min_size=n, max_size=n))
    share = ref.laser_fields(samples, times)
    share[11], share[12] = draw(st.sampled_from(((0, 0), (1, 2), (9, 262_076))))
    return share


@given(configurations(), st.data())
@settings(max_examples=150)
def test_any_window_of_any_head(program, values, data):
    """Nothing overflows, nothing unphysical comes out, and the desk computes the same."""
    model = ref.word(values, "laser_model")
    dt = data.draw(st.sampled_from((11_000, 11_003, 10_980, 110_000, 1, 262_145)))
    rec = ref.make_record(
        data.draw(st.integers(0, 0xFFFFFF)),
        data.draw(lasers(model, dt)),
        data.draw(lasers(model, dt)),
        frame_mc=data.draw(st.integers(-40_000, 125_000)),
        air_mc=data.draw(st.integers(-40_000, 125_000)),
        rh_ppm=data.draw(st.integers(0, 1_000_000)),
        dt_us=dt,
    )
    program.call("configure", values)
    found = program.call("compute", rec)
    with checked():
        gauge = film.Film(values)
        desk = list(rec)
        gauge.compute(desk)
    assert desk == found
    fields = dict(zip(record.FIELD_NAMES, found, strict=True))
    valid, gap = fields["valid"], fields["gap_8nm"]
    assert (reason(fields) == "ok") == (valid == record.VALID_ALL)
    if ref.word(values, "porosity_mode"):
        assert not valid & ~record.VALID_THICKNESS
    else:
        assert reason(fields) != "not_identifiable"
    if valid & record.VALID_THICKNESS:
        assert 0 < fields["thickness_8nm"] < gap
        assert fields["u_thickness_8nm"] > 0
    else:
        assert fields["thickness_8nm"] == fields["u_thickness_8nm"] == 0
    if valid & record.VALID_PERMITTIVITY:
        assert 10_000 <= fields["permittivity_e4"] <= 240_000
    else:
        assert fields["permittivity_e4"] == fields["u_permittivity_e4"] == 0
    if valid & record.VALID_POROSITY:
        assert 0 <= fields["porosity_ppm"] <= 1_000_000
        assert 2 * fields["u_porosity_ppm"] <= ref.word(values, "u95_porosity_limit_ppm")
    else:
        assert fields["porosity_ppm"] == 0
    if valid & record.VALID_SOLID:
        assert 0 <= fields["solid_8nm"] <= fields["thickness_8nm"]
    else:
        assert fields["solid_8nm"] == 0


def test_any_film_of_the_envelope_without_overflow(unix32):
    """The vectors of criterion 2 on the desk, watched: no intermediate reaches 2**30."""
    with unix32.load(vectors.PROGRAM) as program:
        for values, records in vectors.groups(program, 20):
            with checked():
                gauge = film.Film(values)
                for rec in records:
                    desk = list(rec)
                    gauge.compute(desk)
                    assert desk == rec


# -- guards --------------------------------------------------------------------------------------


def test_no_film(program):
    values = words()
    program.call("configure", values)
    rec = ideal_record(25 * UM, 0.5, values)
    rec[FIELD["cap_code"]] = int(ref.cap_codes(np.array([5_566_000.0]), values)[0])
    fields = one(program, rec)
    assert (reason(fields), fields["valid"], flags(fields)) == ("no_film", 0, ["no_film"])
    rec[FIELD["cap_code"]] -= 100_000  # below the empty gap: dust has gone, or the frame moved
    assert reason(one(program, rec)) == "no_film"


@pytest.mark.parametrize("code", [0, 0xFFFFFF, 1000])
def test_capacitance_fault_leaves_the_thickness(program, code):
    values = words(capdac_af=4_000_000)
    program.call("configure", values)
    rec = ideal_record(25 * UM, 0.5, values)
    rec[FIELD["cap_code"]] = code
    fields = one(program, rec)
    assert reason(fields) == "capacitance_fault"
    assert fields["valid"] == record.VALID_THICKNESS
    assert flags(fields) == ["capacitance_fault"]
    assert abs(fields["thickness_8nm"] - 25 * UM) < 40 * NM
    rec[FIELD["a_n"]] = 0  # nothing in the beams: no film, perhaps, and no fault of a laser
    assert flags(one(program, rec)) == ["capacitance_fault"]


@pytest.mark.parametrize("laser, other", [("a", "b"), ("b", "a")])
def test_laser_fault(program, laser, other):
    values = words()
    program.call("configure", values)
    rec = ideal_record(25 * UM, 0.5, values)
    at = FIELD[f"{laser}_n"]
    rec[at : at + 13] = [0] * 11 + [44, 262_076]
    fields = one(program, rec)
    assert (reason(fields), fields["valid"]) == (f"laser_{laser}_fault", 0)
    assert flags(fields) == [f"laser_{laser}_fault"]
    assert fields["delta_8nm"] > 0
    at = FIELD[f"{other}_n"]
    rec[at : at + 13] = [0] * 11 + [1, 1]
    assert flags(one(program, rec)) == ["laser_a_fault", "laser_b_fault"]


def test_less_than_half_of_the_samples_is_a_fault(program):
    values = words()
    program.call("configure", values)
    times = list(range(100, 11_000, 250))
    for n, expected in ((21, "laser_b_fault"), (23, "ok")):
        full = ref.laser_fields([130_590] * 44, times)
        part = ref.laser_fields([130_590] * n, times[:n])
        assert reason(one(program, with_lasers(values, full, part))) == expected


def test_edge_of_film(program):
    """Both sensors lose their target within one window."""
    values = words()
    program.call("configure", values)
    times = list(range(100, 11_000, 250))
    share = ref.laser_fields([130_590] * 30, times[:30])
    share[11:] = [14, 262_076]
    fields = one(program, with_lasers(values, share, share))
    assert (reason(fields), fields["valid"], flags(fields)) == ("edge_of_film", 0, [])


@pytest.mark.parametrize(
    "t_um, eps, expected",
    [
        (25, 3.4, record.VALID_THICKNESS),  # denser than the solid
        (25, 30.0, record.VALID_THICKNESS),
        (11.0, None, record.VALID_THICKNESS),  # deficit 12 um
        (-3, 2.0, 0),
        (501, 2.0, 0),  # thicker than the gap
    ],
)
def test_not_physical(program, t_um, eps, expected):
    values = words()
    program.call("configure", values)
    rec = ideal_record(25 * UM, 0.5, values)
    if eps is not None:
        delta = abs(t_um) * UM * (1 - 1 / eps)
        gap = 500 * UM
        c = 5_566_000 * gap / (gap - min(delta, 100 * UM))
        rec[FIELD["cap_code"]] = int(ref.cap_codes(np.array([c]), values)[0])
    x = int(ref.codes(np.array([(2000 * UM - t_um * UM) / 2]))[0])
    times = list(range(125, 11_000, 250))
    for at in (FIELD["a_n"], FIELD["b_n"]):
        rec[at : at + 13] = ref.laser_fields([x] * 44, times)
    fields = one(program, rec)
    assert (reason(fields), fields["valid"]) == ("not_physical", expected)
    assert "not_physical" in flags(fields)


def test_not_resolvable_keeps_what_is_meaningful(program):
    values = words(u_thickness_8nm=500 * NM, u95_porosity_limit_ppm=100_000)
    program.call("configure", values)
    fields = one(program, ideal_record(5 * UM, 0.5, values))
    assert reason(fields) == "not_resolvable"
    assert fields["valid"] == record.VALID_ALL & ~record.VALID_POROSITY
    assert flags(fields) == ["not_resolvable"]
    assert fields["u_porosity_ppm"] > 50_000
    assert abs(fields["solid_8nm"] - 2.5 * UM) < 50 * NM
    assert reason(one(program, ideal_record(25 * UM, 0.5, values))) == "ok"


@pytest.mark.parametrize(
    "change, fields",
    [
        ({"thickness_max_8nm": 24 * UM}, {}),
        ({"thickness_min_8nm": 26 * UM}, {}),
        ({"porosity_max_ppm": 400_000}, {}),
        ({"porosity_min_ppm": 600_000}, {}),
        ({}, {"rh_ppm": 900_000}),
        ({}, {"rh_ppm": 100_000}),
        ({}, {"air_mc": 40_000}),
        ({}, {"air_mc": 5_000}),
        ({}, {"shift": 800 * UM}),
    ],
)
def test_outside_the_envelope(program, change, fields):
    values = words(**change)
    program.call("configure", values)
    shift = fields.pop("shift", 0)
    rec = ideal_record(25 * UM, 0.5, values, **fields)
    if shift:
        times = list(range(125, 11_000, 250))
        for at, sign in ((FIELD["a_n"], 1), (FIELD["b_n"], -1)):
            reach = (2000 * UM - 25 * UM) / 2 + sign * shift / 2
            x = int(ref.codes(np.array([reach]))[0])
            rec[at : at + 13] = ref.laser_fields([x] * 44, times)
    found = one(program, rec)
    assert found["valid"] == record.VALID_ALL
    assert flags(found) == ["outside_envelope"]


# -- corrections ---------------------------------------------------------------------------------


def test_frame_temperature_moves_gap_and_d(program):
    """A frame that grows by 1.15 um/K moves D and the gap; the film stays what it is."""
    grown = 3 * 9200
    values = words(d_temp_8nm_per_k=9200, gap_temp_8nm_per_k=9200)
    program.call("configure", values)
    hot = words(d_8nm=2000 * UM + grown, gap_8nm=500 * UM + grown)
    hot[config.C0_AF] = round(5_566_000 * 500 * UM / (500 * UM + grown))
    rec = ideal_record(25 * UM, 0.5, hot, frame_mc=26_000)
    fields = one(program, rec)
    assert fields["gap_8nm"] == 500 * UM + grown
    assert fields["d_8nm"] == 2000 * UM + grown
    assert abs(fields["thickness_8nm"] - 25 * UM) < 40 * NM
    assert abs(fields["delta_8nm"] - 25 * UM * (1 - 1 / 1.92998)) < 5 * NM
    program.call("configure", words())  # uncorrected: 3.4 um too thin
    assert one(program, rec)["thickness_8nm"] < 22 * UM


def test_gap_follows_the_standardised_c0(program):
    """The gap has grown since calibration: C0 tells by how much."""
    now = words(gap_8nm=510 * UM)
    now[config.C0_AF] = round(5_566_000 * 500 / 510)
    program.call("configure", words())
    program.call("refer", "C0_AF", now[config.C0_AF])
    fields = one(program, ideal_record(25 * UM, 0.5, now))
    assert abs(fields["gap_8nm"] - 510 * UM) <= 1 * NM
    assert abs(fields["delta_8nm"] - 25 * UM * (1 - 1 / 1.92998)) < 5 * NM


def test_converter_errors_stray_scale_and_offset_are_removed(program):
    values = words(
        cap_gain_ppm=12_000, cap_offset_af=30_000, stray_af=100_000, thickness_offset_8nm=700 * NM
    )
    program.call("configure", values)
    fields = one(program, ideal_record(25 * UM, 0.5, values))
    assert reason(fields) == "ok"
    c = 5_566_000 * 500 / (500 - 25 * (1 - 1 / ref.permittivity(0.5, 3.3, 0.333333)))
    assert abs(fields["c_af"] - c) <= 2
    assert abs(fields["thickness_8nm"] - 25 * UM) < 40 * NM
    plain = fields["delta_8nm"]
    values = words(
        cap_gain_ppm=12_000,
        cap_offset_af=30_000,
        stray_af=100_000,
        thickness_offset_8nm=700 * NM,
        kappa_ppm=10_000,
        delta_offset_8nm=800,
    )
    program.call("configure", values)
    fields = one(program, ideal_record(25 * UM, 0.5, values))
    assert abs(fields["delta_8nm"] - Fraction((plain - 800) * 100, 101)) <= 2


@pytest.mark.parametrize("rh, air", [(200_000, 23_000), (800_000, 30_000), (500_000, 15_000)])
def test_solid_follows_the_climate(program, rh, air):
    values = words(solid_rh_ppm=2400, solid_t_ppm=-300)
    program.call("configure", values)
    law = words(solid_e6=round(float(ref.exact_solid(values, air, rh)) * 1e6))
    fields = one(program, ideal_record(25 * UM, 0.5, law, rh_ppm=rh, air_mc=air))
    assert abs(fields["porosity_ppm"] - 500_000) < 1000


@pytest.mark.parametrize("phi", [0.12, 0.5, 0.77])
def test_correction_table(program, phi):
    """33 nodes, linear between them; u follows the slope."""
    nodes = [round(20_000 * math.sin(3.1 * node / 32)) for node in range(33)]
    plain = words(u_structure_ppm=50_000)
    program.call("configure", plain)
    before = one(program, ideal_record(25 * UM, phi, plain))
    changes = {f"correction_{node:02}_ppm": value for node, value in enumerate(nodes)}
    values = words(u_structure_ppm=50_000, correction_nodes=33, **changes)
    program.call("configure", values)
    after = one(program, ideal_record(25 * UM, phi, values))
    expected = before["porosity_ppm"] + np.interp(
        before["porosity_ppm"], np.linspace(0, 1_000_000, 33), nodes
    )
    assert after["porosity_ppm"] == pytest.approx(expected, abs=1.1)
    at = before["porosity_ppm"] // 31_250
    slope = 1 + (nodes[at + 1] - nodes[at]) / 31_250
    assert after["u_porosity_ppm"] == pytest.approx(before["u_porosity_ppm"] * slope, rel=2e-3)
    assert after["permittivity_e4"] == before["permittivity_e4"]


def test_correction_beyond_all_structures_is_not_physical(program):
    changes = {f"correction_{node:02}_ppm": 200_000 for node in range(33)}
    values = words(correction_nodes=33, **changes)
    program.call("configure", values)
    assert reason(one(program, ideal_record(25 * UM, 0.5, values))) == "not_physical"


@pytest.mark.parametrize("at", [-3, 0, 0.25, 17.75, 32, 34])
def test_passline_map(program, at):
    """Each laser's own, linear between the nodes, the last node's beyond the ends."""
    a = [round(3 * UM * math.sin(0.3 * node)) for node in range(33)]
    b = [round(2 * UM * math.cos(0.5 * node)) for node in range(33)]
    reach, step = (2000 - 25) * UM / 2, 29 * UM
    changes = {f"a_map_{node:02}_8nm": value for node, value in enumerate(a)}
    changes |= {f"b_map_{node:02}_8nm": value for node, value in enumerate(b)}
    plain = words()
    program.call("configure", plain)
    rec = ideal_record(25 * UM, 0.5, plain)
    before = one(program, rec)
    start = round(reach - at * step)
    program.call("configure", words(map_start_8nm=start, map_step_8nm=step, **changes))
    after = one(program, rec)
    added = sum(np.interp(at, range(33), nodes) for nodes in (a, b))
    assert before["thickness_8nm"] - after["thickness_8nm"] == pytest.approx(added, abs=20 * NM)
    program.call("configure", words(map_start_8nm=start, **changes))  # no step: no map
    assert one(program, rec) == before


def test_cost_on_the_board(rp2040):
    """A window's numbers and their judgement take a tenth of the window's 11 ms, or less."""
    cost = cycles(rp2040)
    assert cost["film.compute"] + cost["judge.update"] < 1.2e-3 * 125e6


def test_nothing_is_allocated(unix32):
    values = words(
        solid_rh_ppm=2400,
        d_temp_8nm_per_k=9200,
        correction_nodes=33,
        map_start_8nm=900 * UM,
        map_step_8nm=31 * UM,
        a_map_03_8nm=1000,
        b_map_02_8nm=1000,
        u_layers_8nm=1000,
        u_layers_ratio_ppm=700_000,
        structure_per_solid_ppm=500_000,
        u_solid_e6=30_000,
    )
    unix32.heap_locked(
        "from array import array\n"
        "from gauge import record\n"
        "from gauge.film import Film\n"
        f"film = Film(array('i', {values}))\n"
        f"rec = array('i', {ideal_record(25 * UM, 0.5, values)})\n",
        "film.compute(rec)\n"
        "rec[record.RH_PPM] += 10\n"
        "rec[record.FRAME_MC] += 1\n"
        "rec[record.SEQ] = rec[record.VALID]\n",
        times=300,
    )
