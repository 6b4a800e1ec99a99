"""Standardisation on the 32-bit runtime: averages, refusals, when it is due, what it reports."""

from __future__ import annotations

import numpy as np
import pytest
from film_reference import FIELD, NM, UM, cap_codes, codes, laser_fields, make_record, word, words
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge import health, record, reference, standardise

PROGRAM = """
from array import array
from gauge import record, reference
from gauge.film import Film
from gauge.standardise import Standardiser

def begin(words, blob):
    global film, standardiser
    film = Film(words)
    standardiser = Standardiser(words, film)
    return int(standardiser.restore(bytes(blob))) if blob is not None else 0

def request():
    standardiser.request()

def feed(flat, automatic):
    view = memoryview(flat)
    out = array("i")
    for k in range(0, len(flat), record.N_FIELDS):
        rec = view[k : k + record.N_FIELDS]
        film.compute(rec)
        renewed = standardiser.update(rec, automatic != 0)
        out.extend(array("i", (renewed, standardiser.running, standardiser.flags)))
    return out

def report():
    return standardiser.report

def in_force():
    return standardiser.reference

def missing():
    return int(standardiser.reference[reference.WINDOWS] == 0)

def compute(flat):
    film.compute(flat)
    return flat
"""

TIMES = list(range(125, 11_000, 250))
DUE, REFUSED = record.FLAG_STANDARDISATION_DUE, record.FLAG_STANDARDISATION_REFUSED
N = 50
SETTLE = 32
TILE = 100 * UM


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(PROGRAM) as program:
        yield program


def head(**changes) -> list[int]:
    return words(**{"standard_windows": N, **changes})


def empty(values, c_af=5_566_000.0, d_8nm=None, t_s=10, **fields) -> list[int]:
    """What the head reads without film; with `d_8nm` the tile is in both beams."""
    share = [0] * 11 + [44, 262_076]
    if d_8nm is not None:
        x = int(codes(np.array([(d_8nm - TILE) / 2]))[0])
        share = laser_fields([x] * 44, TIMES)
    code = cap_codes(np.array([c_af]), values)[0]
    return make_record(code, share, share, t_s=t_s, **fields)


def feed(program, rows, automatic=True) -> np.ndarray:
    """Return renewed, running and flags of each window."""
    flat = [x for row in rows for x in row]
    return np.array(program.call("feed", flat, int(automatic))).reshape(-1, 3)


def report(program) -> dict[str, int]:
    return dict(zip(standardise.REPORT_NAMES, program.call("report"), strict=True))


def in_force(program) -> dict[str, int]:
    return dict(zip(reference.NAMES, program.call("in_force"), strict=True))


def noisy(values, n, c_af, rng, noise=40.0, **fields) -> list[list[int]]:
    return [empty(values, c, **fields) for c in c_af + rng.normal(0, noise, n)]


def test_asked_for(program):
    """Averaged, in force, reported as found and as left."""
    values = head()
    assert program.call("begin", values, None) == 0
    assert program.call("missing") == 1
    program.call("request")
    rng = np.random.default_rng(1)
    found = feed(program, noisy(values, N, 5_570_000, rng))
    assert found[:, 0].tolist() == [0] * (N - 1) + [1]
    assert found[:, 1].tolist() == [1] * (N - 1) + [0]
    assert found[-1, 2] == 0
    told, ref = report(program), in_force(program)
    assert abs(ref["c0_af"] - 5_570_000) < 5 * 40 / N**0.5
    assert told["as_found_c0_af"] == 5_566_000
    assert told["as_left_c0_af"] == told["measured_c0_af"] == ref["c0_af"]
    assert (told["count"], told["result"], told["windows"]) == (1, record.REASON_OK, N)
    assert told["measured_d_8nm"] == 0
    assert ref["d_8nm"] == told["as_left_d_8nm"] == word(values, "d_8nm")
    assert (ref["windows"], ref["t_s"]) == (N, 10)
    assert program.call("missing") == 0


@given(st.lists(st.integers(-150, 150), min_size=4, max_size=60), st.integers(-20_000, 20_000))
@settings(max_examples=40)
def test_the_mean_is_exact(program, noise, shift):
    values = head(standard_windows=len(noise), u_c_af=100_000, c0_drift_ppm=50_000)
    program.call("begin", values, None)
    program.call("request")
    rows = [empty(values, 5_566_000 + shift + x) for x in noise]
    feed(program, rows)
    c = [program.call("compute", row)[FIELD["c_af"]] for row in rows]
    assert abs(in_force(program)["c0_af"] - sum(c) / len(c)) <= 0.51


def test_the_tile_gives_a_new_d(program):
    values = head(reference_8nm=TILE)
    program.call("begin", values, None)
    program.call("request")
    feed(program, [empty(values, d_8nm=2003 * UM)] * N)
    told, ref = report(program), in_force(program)
    assert abs(ref["d_8nm"] - 2003 * UM) < 40 * NM
    assert told["measured_d_8nm"] == told["as_left_d_8nm"] == ref["d_8nm"]
    assert told["as_found_d_8nm"] == 2000 * UM
    assert 0 < ref["u_d_8nm"] < 12.5 * NM
    # both lasers must see it, in every window
    program.call("begin", values, None)
    program.call("request")
    rows = [empty(values, d_8nm=2003 * UM)] * (N - 1) + [empty(values)]
    feed(program, rows)
    assert in_force(program)["d_8nm"] == 2000 * UM
    assert report(program)["result"] == record.REASON_OK


def test_film_measures_against_the_new_reference(program):
    values = head()
    program.call("begin", values, None)
    program.call("request")
    feed(program, [empty(values, 5_600_000)] * N)
    rec = program.call("compute", empty(values, 5_600_000))
    assert abs(rec[FIELD["delta_8nm"]]) < 1 * NM
    assert rec[FIELD["c0_af"]] == in_force(program)["c0_af"]
    assert abs(rec[FIELD["gap_8nm"]] - 500 * UM * 5566 / 5600) < 1 * NM


@pytest.mark.parametrize(
    "change, rows, cause",
    [
        ({}, {"c_af": 5_640_000}, "c0_drift"),
        ({}, {"c_af": 5_500_000}, "c0_drift"),
        ({"reference_8nm": TILE}, {"d_8nm": 2011 * UM}, "d_drift"),
        ({"reference_8nm": TILE}, {"d_8nm": 1989 * UM}, "d_drift"),
    ],
)
def test_refused_for_drift(program, change, rows, cause):
    """Dust, or a wrong position: the old reference stays, until one succeeds."""
    values = head(**change)
    program.call("begin", values, None)
    before = in_force(program)
    program.call("request")
    found = feed(program, [empty(values, **rows)] * N)
    told = report(program)
    assert not found[:, 0].any()
    assert found[-1, 2] & REFUSED
    assert in_force(program) == before
    assert told["result"] == record.REASON_STANDARDISATION_REFUSED
    assert health.STANDARD_CAUSES[told["cause"]] == cause
    assert told["as_left_c0_af"] == told["as_found_c0_af"] == 5_566_000
    if "c_af" in rows:
        assert abs(told["measured_c0_af"] - rows["c_af"]) <= 1
    program.call("request")
    assert not feed(program, [empty(values)] * N)[-1, 2] & REFUSED


@pytest.mark.parametrize("jump, refused", [(150, False), (250, True), (-250, True)])
def test_refused_for_a_jump(program, jump, refused):
    """More than 5 standard deviations from the windows before."""
    values = head()
    program.call("begin", values, None)
    program.call("request")
    found = feed(
        program, [empty(values)] * 30 + [empty(values, 5_566_000.0 + jump)] + [empty(values)] * 19
    )
    assert bool(found[-1, 2] & REFUSED) == refused
    assert found[:, 0].any() != refused
    if refused:
        assert not found[30:, 1].any()
        assert health.STANDARD_CAUSES[report(program)["cause"]] == "c0_jump"


def test_refused_for_a_jump_of_the_tile(program):
    values = head(reference_8nm=TILE)
    program.call("begin", values, None)
    program.call("request")
    rows = [empty(values, d_8nm=2000 * UM)] * 20 + [empty(values, d_8nm=2000.5 * UM)]
    assert feed(program, rows)[-1, 2] & REFUSED
    assert health.STANDARD_CAUSES[report(program)["cause"]] == "d_jump"


@pytest.mark.parametrize("jump_nm, refused", [(150, False), (-150, False), (300, True)])
def test_a_quiet_window_is_no_measure_of_the_noise(program, jump_nm, refused):
    """Windows scatter by 42 nm; one that looks quiet by itself may be off by as much as others."""
    values = head(reference_8nm=TILE)
    program.call("begin", values, None)
    program.call("request")

    def window(d_8nm, rough):
        x = int(codes(np.array([(d_8nm - TILE) / 2]))[0])
        share = laser_fields([x + rough * (-1) ** k for k in range(44)], TIMES)
        return make_record(cap_codes(np.array([5_566_000.0]), values)[0], share, share, t_s=10)

    rows = [window(2000 * UM, 4)] * 20 + [window(2000 * UM + jump_nm * NM, 0)]
    assert bool(feed(program, rows)[-1, 2] & REFUSED) == refused


def test_noise_is_not_refused(program):
    values = head(standard_windows=1000)
    rng = np.random.default_rng(7)
    for _ in range(3):
        program.call("begin", values, None)
        program.call("request")
        rows = noisy(values, 1000, 5_566_000, rng)
        found = np.concatenate([feed(program, rows[k : k + 250]) for k in range(0, 1000, 250)])
        assert found[-1, 0] == 1


def test_temperature_explains_drift(program):
    """5 K on a steel frame move C0 by 1.1 %: not dust, when the calibration knows."""
    c0 = 5_566_000 * 500 / 505.75
    for growth, refused in ((9200, False), (0, True)):
        values = head(gap_temp_8nm_per_k=growth)
        program.call("begin", values, None)
        program.call("request")
        found = feed(program, [empty(values, c0, frame_mc=28_000)] * N)
        assert bool(found[-1, 2] & REFUSED) == refused


def film_row(values, t_s=10, **fields) -> list[int]:
    """25 um of film in the gap."""
    x = int(codes(np.array([(2000 - 25) * UM / 2]))[0])
    share = laser_fields([x] * 44, TIMES)
    code = cap_codes(np.array([5_566_000 * 500 / (500 - 12.05)]), values)[0]
    return make_record(code, share, share, t_s=t_s, **fields)


def test_by_itself_when_film_has_left_the_gap(program):
    values = head()
    program.call("begin", values, None)
    found = feed(program, [film_row(values)] * 5 + [empty(values)] * (SETTLE + N))
    assert np.argmax(found[:, 1]) == 5 + SETTLE - 1
    assert np.flatnonzero(found[:, 0]).tolist() == [5 + SETTLE + N - 1]
    # once for each time without film
    found = feed(program, [empty(values)] * 300)
    assert not found[:, 1].any()
    found = feed(program, [film_row(values)] * 5 + [empty(values)] * (SETTLE + N))
    assert found[-1, 0] == 1
    found = feed(program, [film_row(values)] * 5 + [empty(values)] * 300, automatic=False)
    assert not found[:, 1].any()


def test_film_that_comes_ends_it_without_a_refusal(program):
    values = head()
    program.call("begin", values, None)
    rows = [empty(values)] * (SETTLE + 10) + [film_row(values)] * 3
    found = feed(program, rows)
    assert found[SETTLE + 5, 1] == 1
    assert found[-1, 1] == 0
    assert not found[-1, 2] & REFUSED
    assert report(program)["result"] == record.REASON_FILM_PRESENT
    assert report(program)["as_left_c0_af"] == 5_566_000


def test_capacitance_fault_ends_it(program):
    values = head()
    program.call("begin", values, None)
    program.call("request")
    broken = empty(values)
    broken[FIELD["cap_code"]] = 0
    found = feed(program, [empty(values)] * 10 + [broken])
    assert found[-1, 1] == 0
    assert report(program)["result"] == record.REASON_CAPACITANCE_FAULT


def test_due_by_time_and_temperature(program):
    values = head()
    program.call("begin", values, None)
    assert feed(program, [film_row(values)])[-1, 2] & DUE  # never done
    program.call("request")
    feed(program, [empty(values, t_s=100)] * N)
    for t_s, mc, due in (
        (100, 23_000, False),
        (820, 23_000, False),
        (821, 23_000, True),
        (200, 23_500, False),
        (200, 23_501, True),
        (200, 22_499, True),
        (200, 23_000, False),
    ):
        found = feed(program, [film_row(values, t_s=t_s, frame_mc=mc)])
        assert bool(found[-1, 2] & DUE) == due, (t_s, mc)


def test_stored_reference(program):
    """Used after a restart, but due; not when damaged, or of another calibration, or far off."""
    values = head(calibration_id=77)
    program.call("begin", values, None)
    program.call("request")
    feed(program, [empty(values, 5_580_000)] * N)
    stored = in_force(program)

    def blob(**changes) -> bytes:
        return b"".join(
            (stored | changes)[name].to_bytes(4, "little", signed=True) for name in stored
        )

    assert program.call("begin", values, blob()) == 1
    assert in_force(program)["c0_af"] == stored["c0_af"]
    assert program.call("missing") == 0
    assert feed(program, [film_row(values)])[-1, 2] & DUE
    for bad in (
        b"",
        blob()[:-1],
        blob(calibration_id=78),
        blob(c0_af=5_700_000),
        blob(c0_af=0),
        blob(d_8nm=stored["d_8nm"] + 11 * UM),
        blob(windows=0),
        blob(u_d_8nm=-1),
        blob(c0_frame_mc=1 << 29),
    ):
        assert program.call("begin", values, bad) == 0
        assert in_force(program)["c0_af"] == 5_566_000


def test_nothing_is_allocated(unix32):
    values = head(reference_8nm=TILE, standard_windows=20)
    unix32.heap_locked(
        "from array import array\n"
        "from gauge import record\n"
        "from gauge.film import Film\n"
        "from gauge.standardise import Standardiser\n"
        f"words = array('i', {values})\n"
        "film = Film(words)\n"
        "standardiser = Standardiser(words, film)\n"
        f"rec = array('i', {empty(values, d_8nm=2000 * UM)})\n",
        "rec[record.SEQ] += 1\n"
        "rec[record.T_S] = rec[record.SEQ] // 90\n"
        "if rec[record.SEQ] % 200 == 7:\n"
        "    standardiser.request()\n"
        "film.compute(rec)\n"
        "standardiser.update(rec)\n",
        times=2000,
    )
