"""Whole runs, from the film in the gap to the row in the database, held against the truth.

What a run must be worth is written down in numbers here: how close to the truth, how quick, how
complete. Every run is a scenario in virtual time and repeats bit for bit; what the sensors really
sent is noted by `porogauge_bench.witness`. Faults: test_faults.py.
"""

from __future__ import annotations

from pathlib import Path
from struct import unpack

import pytest

from gauge import health, record
from gauge.link import protocol
from porogauge import units
from porogauge_bench.calibration import exact_words
from porogauge_bench.runner import Run, make_target
from porogauge_bench.scenario import Scenario
from porogauge_bench.target import TargetError
from porogauge_bench.witness import Witness

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
MS, SECOND = 1_000_000, 1_000_000_000
WINDOW_NS = 11 * MS
TARGETS = ("unix32", "rp2040")
MAIN = "\nfrom gauge import app\napp.main()\n"


def load(name, **changes):
    """A scenario's file, single fields changed."""
    return Scenario.load(SCENARIOS / f"{name}.toml", **changes)


def watched(scenario, target="unix32", patch=""):
    """A run that has not begun, and the witness at its cables.

    `patch` is code that the board executes before the gauge starts.
    """
    if patch:
        options = {
            "unix32": {"program": patch + MAIN},
            "rp2040": {"files": {"boot.py": patch.encode()}},
        }
        target = make_target(target, **options[target])
    run = Run(scenario, target)
    return run, Witness(run)


def done(scenario, target="unix32"):
    """A finished run of which nothing is missing."""
    run, witness = watched(scenario, target)
    summary = run.go()
    assert (summary["lost"], summary["gaps"], summary["duplicated"]) == (0, 0, 0)
    assert witness.problems() == []
    return run


def started(scenario, until_s, target="unix32"):
    """A run up to an instant, with a board in service. Stop its target in the end."""
    run, _ = watched(scenario, target)
    run.boot()
    run.configure(exact_words(scenario))
    run.run_until(round(until_s * SECOND))
    return run


def newest(run):
    """The newest record in user units, after letting it arrive."""
    run.run_until(run.target.now_ns + 150 * MS)
    return run.records()[-1]


def phases(rows):
    """(state, why) in order, each once as long as it lasts."""
    found = []
    for row in rows:
        if not found or found[-1] != (row["state"], row["state_reason"]):
            found.append((row["state"], row["state_reason"]))
    return found


def share(pairs, key):
    """Share of windows in which two standard uncertainties cover the truth."""
    hits = sum(abs(row[key] - truth[key]) <= 2 * row[f"u_{key}"] for row, truth in pairs)
    return hits / len(pairs)


def edges(run, name):
    """(instant, level) of an output's changes."""
    return [(edge.t_ns, edge.level) for edge in run.target.outputs if edge.name == name]


# -- right: numbers against the truth -----------------------------------------------------------


def test_ideal_sensors_give_the_truth():
    """Quantisation alone: every window within 40 nm and 0.3 points of porosity."""
    run = done(load("ideal"))
    pairs = run.compared()
    measuring = [row for row in run.records() if row["state"] == "measuring"]
    assert len(pairs) > 700
    assert len(measuring) - len(pairs) <= 10  # only the film's edge has no number
    for row, truth in pairs:
        assert abs(row["thickness_nm"] - truth["thickness_nm"]) <= 40
        assert abs(row["porosity_ppm"] - truth["porosity_ppm"]) <= 3000
        assert abs(row["permittivity_e4"] - 1e4 * truth["permittivity"]) <= 60
        solid = truth["thickness_nm"] * (1 - truth["porosity_ppm"] / 1e6)
        assert abs(row["solid_nm"] - solid) <= 20
    print("\nideal:", run.summary["thickness_error_nm"], run.summary["porosity_error_ppm"])


def test_position_follows_the_web():
    """The web's place at the end of each window, also while its speed changes and it stands."""
    run = done(load("rough_day", run={"duration_s": 14}))
    line = run.instruments.world.line
    rows = run.records()
    start = None
    for row in rows[60:]:
        true_mm = float(line.position_mm(run.window_end_ns(row) * 1e-9))
        if start is None:
            start = row["position_mm"] - true_mm
        assert abs(row["position_mm"] - true_mm - start) <= 3
    assert rows[-1]["position_mm"] > 2500


@pytest.mark.parametrize("micrometres", [12, 25, 50, 150])
def test_uncertainty_covers_the_truth(micrometres):
    """Realistic noise, exact calibration: two u cover 93 to 97 % of the windows."""
    run = done(load(f"realistic_{micrometres}um"))
    pairs = run.compared()
    assert len(pairs) > 1400
    covered = {key: round(share(pairs, key), 4) for key in ("thickness_nm", "porosity_ppm")}
    print(f"\n{micrometres} um:", covered, run.summary["thickness_error_nm"])
    for key, part in covered.items():
        assert 0.93 <= part <= 0.97, (key, part)


FLUTTER = {
    "half a period": {"rate_hz": 2000, "skew_us": 250, "clock_ppm": [10, 10]},
    "the other way": {"rate_hz": 2000, "skew_us": -250, "clock_ppm": [-10, -10]},
    "drifting through all phases": {"rate_hz": 2000, "skew_us": 0, "clock_ppm": [90, -90]},
    "worst phase at 4 kHz": {"rate_hz": 4000, "skew_us": 125, "clock_ppm": [10, 10]},
    "one sample at 4 kHz": {"rate_hz": 4000, "skew_us": 250, "clock_ppm": [10, 10]},
}


@pytest.mark.parametrize("clocks", FLUTTER, ids=[name.replace(" ", "-") for name in FLUTTER])
def test_flutter_does_not_become_thickness(clocks):
    """100 um at 10 Hz, seen by two free-running 1420 at different instants: below 60 nm."""
    run = done(load("flutter_1420", laser=FLUTTER[clocks], run={"duration_s": 6}))
    pairs = run.compared()
    assert len(pairs) > 320
    worst = max(abs(row["thickness_nm"] - truth["thickness_nm"]) for row, truth in pairs)
    print(f"\nflutter, {clocks}: {worst:.1f} nm")
    assert worst < 60


@pytest.mark.parametrize("ppm", [-30_000, 30_000])
def test_a_converter_clock_off_by_percents_does_no_harm(ppm):
    """A window is as long as the conversion was, not as the data sheet says."""
    run = done(load("ideal", capacitance={"clock_ppm": ppm}, run={"duration_s": 5}))
    assert run.summary["compared"] > 200
    assert run.summary["thickness_error_nm"]["worst"] < 40
    assert run.summary["porosity_error_ppm"]["worst"] < 3000


def test_a_rough_day():
    """Humidity, drift, tilt, linearity, a stop: the stated uncertainty still covers the truth."""
    run = done(load("rough_day"))
    pairs = run.compared()
    assert len(pairs) > 2000
    assert share(pairs, "thickness_nm") > 0.95
    assert share(pairs, "porosity_ppm") > 0.95


def test_slow_conversions_with_fast_lasers():
    """110 ms windows: holes in the conversions are longer than the lasers' rings."""
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 8},
            "film": {"start_s": 4},
            "laser": {"rate_hz": 7000},
            "capacitance": {"conversion_ms": "109.6"},
            "calibration": {"standardisation": {"windows": 8}},
        }
    )
    run = done(scenario)
    assert run.summary["compared"] > 30
    assert run.summary["thickness_error_nm"]["worst"] < 60


def test_a_configuration_that_cannot_work_is_refused():
    """Legal word by word, but the lasers' rings do not hold a window: told, not measured with."""
    scenario = Scenario.from_dict(
        {"laser": {"rate_hz": 10_000}, "capacitance": {"conversion_ms": "109.6"}}
    )
    run, _ = watched(scenario)
    with pytest.raises(TargetError, match="laser_rate_hz is 10000: at most 7[0-9]{3} "):
        run.go()


# -- complete: two lasers at 4 kHz and capacitance at 90.9 Hz for 30 s --------------------------


class HalfAMinute:
    """The one long run on the emulated RP2040, shared by the tests below."""

    def __init__(self):
        self.run, self.witness = watched(load("thirty_seconds"), "rp2040")
        self.summary = self.run.go()
        self.rows = self.witness.at_work(max(self.run.boots))


@pytest.fixture(scope="module")
def half_a_minute():
    return HalfAMinute()


def test_no_value_is_lost_in_30_seconds(half_a_minute):
    """Each of 2 x 120 000 distances is in its window, each conversion has its record."""
    rows, summary = half_a_minute.rows, half_a_minute.summary
    assert half_a_minute.witness.problems() == []
    lasting_us = units.total_us(rows[-1]) - units.total_us(rows[0])
    assert lasting_us >= 30_000_000
    assert abs(len(rows) - 1 - lasting_us / 10_998.7) <= 7  # but for one planned hole
    for name in ("A_N", "B_N"):
        samples = sum(row[getattr(record, name)] for row in rows)
        assert samples >= 4 * 30_000 - 4 * 66
    assert (summary["lost"], summary["gaps"], summary["duplicated"]) == (0, 0, 0)
    # none was lost behind the frame temperature's hole at the start
    measuring = [row for row in rows if row[record.STATE] == record.STATE_MEASURING]
    assert len(measuring) > 2600
    assert sum(row[record.LOST] for row in measuring) == 0
    assert not any(row[record.FLAGS] & record.FLAG_OVERRUN for row in rows)


def test_the_board_has_time_to_spare(half_a_minute):
    summary = half_a_minute.summary
    print("\nbusy share:", summary["busy_share"], "longest round:", summary["loop_max_us"], "us")
    assert summary["busy_share"] < 0.85
    assert summary["loop_max_us"] < 100_000
    assert edges(half_a_minute.run, "heartbeat")[-1][0] > 30 * SECOND


def test_nothing_is_allocated_in_30_seconds(half_a_minute):
    assert half_a_minute.summary["heap_bytes_per_1000_windows"] == 0


def test_questions_at_any_instant_cost_no_conversion():
    """HEALTH, which makes the board look at its whole heap, asked in every phase of a window."""
    run = Run(Scenario.from_dict({"run": {"duration_s": 9}}), "rp2040")
    run.boot()
    run.configure(exact_words(run.scenario))
    longest = []
    for question in range(64):
        run.run_until(3 * SECOND + question * 95_700_000)
        longest.append(run.look_at_health()["loop_max_us"])
    run.drain()
    run.target.stop()
    rows = [row for row in run.records() if row["t_us"] > 3_000_000]
    assert max(longest) > 9_000  # it did look
    assert len(rows) > 500
    assert sum(row["lost"] for row in rows) == 0


def test_the_emulated_board_measures_right(half_a_minute):
    """Realistic noise on the RP2040: what it computes covers the truth as often as it says."""
    pairs = half_a_minute.run.compared()
    assert len(pairs) > 2600
    for key in ("thickness_nm", "porosity_ppm"):
        assert 0.92 <= share(pairs, key) <= 0.98


def test_planned_holes_are_all_that_is_lost_in_a_minute():
    """The frame temperature, once a minute, costs a few conversions and is told; it makes a new
    standardisation due, and that begins by itself when the film is gone."""
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 67},
            "head": {"frame_c": [[0, 23.0], [10, 23.0], [50, 23.8]]},
            "film": {"flutter_um": 60},
            "defect": [{"kind": "web_break", "at_s": 63, "length_mm": 600}],
        }
    )
    run = done(scenario)
    rows = run.records()
    holes = [row for row in rows[10:] if row["lost"]]
    assert len(holes) == 1
    assert 60 < holes[0]["t_us"] / 1e6 < 61
    assert holes[0]["lost"] <= 5
    assert holes[0]["valid"]
    assert not any("overrun" in row["flags"] for row in rows[10:])
    assert abs(holes[0]["frame_c"] - 23.8) < 0.1
    due = [row for row in rows[200:] if "standardisation_due" in row["flags"]]
    assert due[0]["seq"] == holes[0]["seq"]
    at_end = [row for row in rows if row["t_us"] > 63_500_000]
    assert ("standardising", "standardising") in phases(at_end)
    assert rows[-1]["state"] == "measuring" and rows[-1]["flags"] == []


# -- the link: each record once, byte-identical -------------------------------------------------

# Before the gauge starts: keeps a checksum of each record that the board makes, and writes them
# into a file when it is told to hold. The heap is locked where records are made.
MADE = """
from array import array
import micropython
from gauge import app, record

made = array("I", bytes(4 * {records}))
append = app.BoardSession.append
slow = app.App._do_slow_duties
held = [0]

@micropython.viper
def check(rec: ptr32, out: ptr32):
    x = 0x1234567
    for i in range({fields}):
        x = (x ^ rec[i]) * 16777619
    out[rec[0]] = x

def note(self, rec, urgent=False):
    if rec[record.STATE] == record.STATE_HOLD:
        held[0] += 1
    elif rec[0] < {records}:
        check(rec, made)
    append(self, rec, urgent)

def write(self, now):
    slow(self, now)
    if held[0] > 0:
        held[0] = -1000000
        with open("made.bin", "wb") as file:
            file.write(made)

app.BoardSession.append = note
app.App._do_slow_duties = write
"""


def checked(row):
    """The same checksum of a stored record."""
    x = 0x1234567
    for word in row:
        x = ((x ^ (word & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
    return x


LINKS = {
    "unix32": {},
    # a shorter one: the emulator takes its time
    "rp2040": {
        "run": {"duration_s": 8},
        "fault": [{"kind": "link_outage", "at_s": 3, "for_s": 3}],
    },
}


@pytest.mark.parametrize("target", TARGETS)
def test_every_record_is_stored_once_and_unchanged(target):
    """Outage and damaged bytes: what the board made is what the database has."""
    scenario = load("link_outage", **LINKS[target])
    run, witness = watched(scenario, target, MADE.format(records=4000, fields=record.N_FIELDS))
    try:
        run.boot()
        run.configure(exact_words(scenario))
        configured_ns = run.target.now_ns
        run.run_until(round(scenario.run.duration_s * SECOND))
        run.request(protocol.HOLD, limit_ns=20 * SECOND)
        run.run_until(run.target.now_ns + SECOND)
        run.drain()
        blob = run.target.files["made.bin"]
    finally:
        run.target.stop()
    made = unpack(f"<{len(blob) // 4}I", blob)
    rows = run.rows()
    stored = [checked(row) for row in rows]
    assert [row[record.SEQ] for row in rows] == list(range(len(rows)))
    held = next(i for i, row in enumerate(rows) if row[record.STATE] == record.STATE_HOLD)
    # configured only when both copies are in the flash; then the sensors start anew: 0.4 s
    begun_us = (configured_ns - run.boots[max(run.boots)]) // 1000
    after = [row for row in rows[:held] if units.total_us(row) > begun_us]
    assert len(after) >= 90.9 * (scenario.run.duration_s - configured_ns / SECOND - 0.4)
    assert list(made[:held]) == stored[:held]
    assert made[held] == 0
    rows = [row for row in witness.at_work(max(run.boots)) if row[record.SEQ] < held]
    assert witness.problems(rows=rows) == []
    faults = run.instruments.link
    assert faults.damaged > 50 * scenario.run.duration_s / 8
    assert faults.swallowed > 1000
    assert run.store.completeness(run.session.device, max(run.boots), 0).gaps == 0


# -- quick: a step reaches the output and the host ----------------------------------------------

STEPS = {
    "unix32": {"run": {"duration_s": 15.5}, "film": {"start_s": 1.5}},
    "rp2040": {"run": {"duration_s": 5.2}, "film": {"start_s": 1.5}},
}
# every 503 ms: another phase of the window each time
STEP = {"kind": "step", "at_s": 2.2, "length_mm": 60, "thickness_um": 8, "every_m": 0.151}


@pytest.mark.parametrize("target", TARGETS)
def test_a_step_reaches_output_and_host(target):
    """From the laser spot to the reject output: at most two windows; to the host: 30 ms."""
    scenario = Scenario.from_dict({**STEPS[target], "defect": [STEP]})
    run, witness = watched(scenario, target)
    run.go()
    assert witness.problems() == []
    begin = scenario.defects[0].at_s
    steps = [round((begin + 0.151 / 0.3 * k) * SECOND) for k in range(40)]
    steps = [t for t in steps if t < (scenario.run.duration_s - 0.3) * SECOND]
    assert len(steps) >= 5
    good = edges(run, "good")
    bad = record.FLAG_THICKNESS_HI
    seen = [(t, words["flags"]) for t, words in run.latest]
    to_output, to_host = [], []
    for t in steps:
        assert [level for at, level in good if at < t][-1], "good film before the step"
        to_output.append(next(at for at, level in good if at >= t and not level) - t)
        to_host.append(next(at for at, flags in seen if at >= t and flags & bad) - t)
    print(f"\n{target}: output {max(to_output) / MS:.1f} ms, host {max(to_host) / MS:.1f} ms")
    assert max(to_output) <= 2 * WINDOW_NS
    assert max(to_host) <= 30 * MS
    # and the way back: good again when the film is
    assert good[-1][1] or good[-1][0] >= steps[-1]


def test_the_marker_meets_the_defect():
    """The marker is on while the bad piece passes it, 500 mm behind the head."""
    spot = {"kind": "thick_spot", "at_s": 3, "length_mm": 40, "thickness_um": 8, "shape": "box"}
    run = done(Scenario.from_dict({"run": {"duration_s": 6}, "defect": [spot]}))
    marks = edges(run, "marker")
    assert [level for _, level in marks] == [True, False]
    on_s, off_s = (t / SECOND for t, _ in marks)
    middle_s = 3 + 0.5 / 0.3
    assert on_s <= middle_s - 0.02 / 0.3 + 0.013
    assert off_s >= middle_s + 0.02 / 0.3 - 0.004
    assert off_s - on_s < 0.065 / 0.3


# -- states: what the gauge does, and why -------------------------------------------------------


def test_states_follow_the_film():
    """Off-sheet, standardising by itself, edge, measuring; outputs safe whenever in doubt."""
    scenario = load("web_break", run={"duration_s": 7})
    run = done(scenario)
    rows = run.records()
    assert rows[0]["state_reason"] == "calibration_missing"
    assert phases(row for row in rows if row["t_us"] > 200_000) == [
        ("off_sheet", "no_film"),
        ("standardising", "standardising"),
        ("off_sheet", "no_film"),
        ("measuring", "film_present"),
        ("off_sheet", "no_film"),
        ("standardising", "standardising"),
        ("off_sheet", "no_film"),
        ("measuring", "film_present"),
    ]
    standardising = [row["seq"] for row in rows if row["state"] == "standardising"]
    assert len(standardising) == 2 * 45
    for row in rows:
        off = row["state"] in ("off_sheet", "standardising")
        assert ("no_film" in row["flags"]) == off
        assert row["valid"] or "good" not in row["outputs"]
        if row["state"] != "measuring":
            assert not row["valid"] and row["reason"] != "ok"
            assert row["thickness_nm"] is None and row["porosity_ppm"] is None
    # film comes, goes and comes again: measured again within 100 ms of each edge
    for begin, end in ((2.1, 4.0), (6.1, 7.0)):
        inside = [row for row in rows if begin < row["t_us"] / 1e6 < end]
        assert all(row["valid"] and "good" in row["outputs"] for row in inside)


def test_without_a_configuration_nothing_is_measured():
    """Records go on with the raw readings, no number, a reason, and the output safe."""
    run, _ = watched(Scenario.from_dict({"film": {"start_s": 0}}))
    try:
        run.boot()
        run.run_until(2 * SECOND)
        rows = run.records()
        raw = run.rows()
        status = units.decode_status(run.words(protocol.STATUS, health.STATUS_NAMES))
    finally:
        run.target.stop()
    assert len(rows) > 160
    assert phases(rows) == [("fault", "calibration_missing")]
    for row in rows:
        assert not row["valid"] and row["reason"] == "calibration_missing"
        assert "calibration_missing" in row["flags"]
    assert all(row[record.A_N] >= 43 and row[record.B_N] >= 43 for row in raw[60:])
    assert edges(run, "good") == []
    assert not status["configured"]


def test_warm_up():
    """No number before the warm-up time is over; the standardisation comes after it."""
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 5.5},
            "film": {"start_s": 4},
            "calibration": {"standardisation": {"warm_up_s": 2}},
        }
    )
    run = done(scenario)
    rows = run.records()
    assert phases(row for row in rows if row["t_us"] > 200_000) == [
        ("warm_up", "warming_up"),
        ("off_sheet", "no_film"),
        ("standardising", "standardising"),
        ("off_sheet", "no_film"),
        ("measuring", "film_present"),
    ]
    warming = [row for row in rows if row["state"] == "warm_up"]
    assert abs(warming[-1]["t_us"] - 2_000_000) < 25_000
    assert {row["reason"] for row in warming} == {"warming_up"}
    assert not any(row["valid"] or "good" in row["outputs"] for row in warming)


def test_hold_by_command():
    run = started(Scenario.from_dict({"film": {"start_s": 1.5}}), 2)
    try:
        assert newest(run)["valid"] and run.target.output("good")
        run.request(protocol.HOLD)
        held = newest(run)
        assert (held["state"], held["state_reason"]) == ("hold", "hold_requested")
        assert not held["valid"] and held["reason"] == "hold_requested"
        assert held["thickness_nm"] is None
        assert not run.target.output("good")
        run.request(protocol.RESUME)
        again = newest(run)
        assert again["valid"] and run.target.output("good")
    finally:
        run.target.stop()


@pytest.mark.parametrize("how", ["command", "input"])
def test_standardisation_on_demand(how):
    """Asked for off-sheet: a new reference, found and left told; not while film is in the gap."""
    run = started(Scenario.from_dict({"run": {"duration_s": 9}, "film": {"start_s": 4}}), 2.5)

    def ask():
        if how == "command":
            run.request(protocol.STANDARDISE)
            return
        run.target.press("standardise")
        run.run_until(run.target.now_ns + 60 * MS)
        run.target.press("standardise", False)

    def status():
        return units.decode_status(run.words(protocol.STATUS, health.STATUS_NAMES))

    try:
        before = status()
        assert before["state"] == "off_sheet" and before["standard_age_s"] >= 1
        if how == "input":  # too short to be a press
            run.target.press("standardise")
            run.run_until(run.target.now_ns + 4 * MS)
            run.target.press("standardise", False)
            assert newest(run)["state"] == "off_sheet"
        ask()
        assert newest(run)["state"] == "standardising"
        run.run_until(run.target.now_ns + 700 * MS)
        after = status()
        assert after["state"] == "off_sheet" and after["standard_age_s"] <= 1
        assert after["standard_result"] == "ok"
        assert after["as_found_c0_af"] == before["as_left_c0_af"]
        assert after["as_found_d_nm"] == before["as_left_d_nm"]
        assert after["as_left_c0_af"] != before["as_left_c0_af"]
        assert abs(after["as_left_c0_af"] - before["as_left_c0_af"]) < 60
        assert abs(after["as_left_d_nm"] - before["as_left_d_nm"]) < 60
        run.run_until(4_500 * MS)
        if how == "command":
            with pytest.raises(TargetError, match="film is in the gap"):
                ask()
        else:
            ask()
        assert newest(run)["state"] == "measuring"
        assert status()["as_left_c0_af"] == after["as_left_c0_af"]
    finally:
        run.target.stop()


WRONG_HEADS = {
    "capacitance": {"capacitance": {"c0_pf": 7.1}},
    "distance": {"lasers": {"sum_distance_um": 2065.0}},
}


@pytest.mark.parametrize("wrong", WRONG_HEADS)
def test_standardisation_is_refused_on_drift(wrong):
    """A head that is not what its calibration says: the old reference stays, and it is told."""
    scenario = Scenario.from_dict(
        {"run": {"duration_s": 3}, "film": {"start_s": 3}, "calibration": WRONG_HEADS[wrong]}
    )
    run = started(scenario, 2)
    try:
        row = newest(run)
        status = units.decode_status(run.words(protocol.STATUS, health.STATUS_NAMES))
        with_old = run.records()[20]
    finally:
        run.target.stop()
    assert row["state"] == "off_sheet"
    assert {"standardisation_refused", "standardisation_due"} <= set(row["flags"])
    assert status["standard_result"] == "standardisation_refused"
    assert status["as_left_c0_af"] == status["as_found_c0_af"] == with_old["c0_af"]
    assert row["d_nm"] == with_old["d_nm"]
    assert ("standardising", "standardising") in phases(run.records())


def test_standardisation_is_due_by_time():
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 6.5},
            "film": {"start_s": 1.5},
            "calibration": {"standardisation": {"due_s": 2}},
            "defect": [{"kind": "web_break", "at_s": 4.5, "length_mm": 450}],
        }
    )
    run = done(scenario)
    rows = run.records()
    due = [row["t_us"] / 1e6 for row in rows if "standardisation_due" in row["flags"]]
    assert due[0] < 0.5  # none since power-up
    in_film = [t for t in due if t > 1.5]
    assert 2.9 < in_film[0] < 4.1  # seconds count in whole ones
    assert in_film[-1] < 5.5, "renewed by itself when the film had gone"
    assert "standardisation_due" not in rows[-1]["flags"]


@pytest.mark.parametrize("how", ["command", "input"])
def test_latched_flags_wait_for_the_acknowledgement(how):
    spot = {"kind": "thick_spot", "shape": "box", "length_mm": 60, "thickness_um": 8}
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 5},
            "film": {"start_s": 1.2},
            "recipe": {"limits": {"latch": ["thickness_hihi"]}},
            "defect": [{**spot, "at_s": 2.3}, {**spot, "at_s": 3.6}],
        }
    )
    run = started(scenario, 1.8)
    try:
        assert run.target.output("good") and newest(run)["latched"] == []
        for until_s in (2.6, 4.2):
            run.run_until(round(until_s * SECOND))
            row = newest(run)
            assert row["latched"] == ["thickness_hihi"]
            assert row["valid"] and row["flags"] == []
            assert not run.target.output("good"), "rejects until it is acknowledged"
            if how == "command":
                reply = run.request(protocol.ACKNOWLEDGE, (1 << 22).to_bytes(4, "little")).reply
                assert int.from_bytes(reply[:4], "little") == record.FLAG_THICKNESS_HIHI
                assert newest(run)["latched"] == ["thickness_hihi"], "of another flag"
                everything = record.FLAG_THICKNESS_HIHI.to_bytes(4, "little")
                assert run.request(protocol.ACKNOWLEDGE, everything).reply == bytes(4)
            else:
                run.target.press("acknowledge")
                run.run_until(run.target.now_ns + 60 * MS)
                run.target.press("acknowledge", False)
            assert newest(run)["latched"] == []
            assert run.target.output("good")
    finally:
        run.target.stop()


# -- the machine --------------------------------------------------------------------------------

# Locks the heap for good between two windows; an allocation ends the lock and is written down.
LOCK = """
import micropython, sys
from gauge import app

go_on = app.App.round
state = [0]

def told(text, error=None):
    with open("lock.txt", "w") as file:
        file.write(text)
        if error:
            sys.print_exception(error, file)

def locked(self):
    try:
        go_on(self)
    except MemoryError as error:
        if state[0] == 1:
            micropython.heap_unlock()
        state[0] = 2
        told("allocated at window %d\\n" % self.rec[0], error)
        raise
    seq = self.rec[0]
    if state[0] == 0 and seq >= {first} and seq < {last}:
        state[0] = 1
        micropython.heap_lock()
    elif state[0] == 1 and seq >= {last}:
        state[0] = 2
        micropython.heap_unlock()
        told("nothing allocated")

app.App.round = locked
"""


@pytest.mark.parametrize("target", TARGETS)
def test_the_heap_is_locked_while_it_measures(target):
    """300 windows of measuring, judging, rejecting and streaming with the heap locked."""
    spots = {"kind": "thick_spot", "at_s": 2.2, "thickness_um": 9, "every_m": 0.2}
    scenario = Scenario.from_dict(
        {"run": {"duration_s": 7}, "film": {"start_s": 1.2}, "defect": [spots]}
    )
    patch = LOCK.replace("{first}", "110").replace("{last}", "410")
    run, _ = watched(scenario, target, patch)
    try:
        run.boot()
        run.configure(exact_words(scenario))
        # windows begin only when both copies of the configuration are in the flash
        run.run_until(6_900 * MS)
        rows = run.records()
        said = run.target.files.get("lock.txt", b"the lock never ended")
    finally:
        run.target.stop()
    assert said.decode() == "nothing allocated"
    inside = [row for row in rows if 110 <= row["seq"] < 410]
    assert len(inside) == 300
    assert {row["state"] for row in inside} == {"measuring"}
    assert any("thickness_hihi" in row["flags"] for row in inside)


@pytest.mark.parametrize("before_s", [2.5, 540])
def test_ticks_wrap(before_s):
    """The circle of ticks ends while the gauge measures, or it starts in its second half."""
    scenario = Scenario.from_dict({"run": {"duration_s": 5}, "film": {"start_s": 1.5}})
    ticks = (1 << 30) - round(before_s * 1_000_000)
    run = Run(scenario, make_target("unix32", ticks_at_start=ticks))
    witness = Witness(run)
    summary = run.go()
    assert (summary["lost"], summary["gaps"]) == (0, 0)
    assert witness.problems() == []
    rows = run.records()
    assert rows[0]["t_us"] > ticks
    assert all(row["valid"] for row in rows if row["t_us"] > ticks + 1_700_000)
    assert summary["compared"] > 250


def test_a_loop_that_stood_still_finds_its_place_again():
    """After 0.9 s without a look at the lasers their rings have run over."""
    patch = """
import time
from gauge import app
work = app.App._do_slow_duties
state = [0]
def stands_still(self, now):
    work(self, now)
    if not state[0] and self.rec[1] >= 3:
        state[0] = 1
        time.sleep_ms(900)
app.App._do_slow_duties = stands_still
"""
    run, witness = watched(Scenario.from_dict({"run": {"duration_s": 5.5}}), patch=patch)
    run.go()
    rows = run.records()
    after = [row for row in rows if row["t_us"] > 3_500_000]
    assert after[0]["lost"] > 70 and "overrun" in after[0]["flags"]
    assert not after[0]["valid"] and "good" not in after[0]["outputs"]
    assert all(row["valid"] for row in after[3:])
    raw = run.rows()[after[3]["seq"] :]
    assert witness.lasers(max(run.boots), raw) == []


def test_a_run_repeats_bit_for_bit():
    def rows():
        run, _ = watched(load("demo", run={"duration_s": 4}))
        run.go()
        return run.rows()

    first = rows()
    assert len(first) > 340
    assert first == rows()
