"""Every fault of the bench, through the whole instrument: flagged, contained, and overcome.

For each kind there is a scenario in scenarios/faults, run on the 32-bit unix port; a sequence of
them runs on the emulated RP2040. A fault has to raise the right flag, with its reason and a safe
reject output, within a few windows; to leave the other sensors and the link alone; and to leave
no trace when it is gone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gauge import record
from gauge.link import protocol
from porogauge_bench import fields
from porogauge_bench.calibration import exact_words
from porogauge_bench.expected import EXPECT, LINK, MOMENTARY, RESTARTS, lasers_of
from porogauge_bench.runner import Run, make_target
from porogauge_bench.scenario import Scenario
from porogauge_bench.witness import Witness

FAULTS = Path(__file__).resolve().parent / "scenarios" / "faults"
MS, SECOND = 1_000_000, 1_000_000_000
WINDOW_NS = 11 * MS
HOST_NS = 250 * MS  # from the end of a window to the host, batch and all


# those with a length that cost no record, one scenario each; a full journal does cost some, which
# is what `test_an_outage_longer_than_the_memory` is about
LASTING = [kind for kind in EXPECT if kind not in (*MOMENTARY, *RESTARTS, "journal_full")]


class Finished:
    """A finished run with its records, told apart by boot."""

    def __init__(self, scenario, target="unix32", go=True):
        self.scenario = scenario
        self.run = Run(scenario, target)
        self.witness = Witness(self.run)
        if go:
            self.summary = self.run.go()
            self.take()

    def take(self):
        self.records = self.run.records()
        self.ends = [self.run.window_end_ns(row) for row in self.records]
        self.raw = {boot: self.run.rows(boot) for boot in self.run.boots}

    def between(self, begin_s, end_s):
        """Records whose windows ended between two instants."""
        found = zip(self.ends, self.records, strict=True)
        return [row for end, row in found if begin_s * SECOND < end <= end_s * SECOND]

    def words(self, rows):
        """The words of records of the newest boot that are given in user units."""
        raw = self.raw[max(self.run.boots)]
        return [raw[row["seq"]] for row in rows]

    def good_at(self, t_s):
        """Level of the reject output."""
        level = False
        for edge in self.run.target.outputs:
            if edge.name == "good" and edge.t_ns <= t_s * SECOND:
                level = edge.level
        return level


def flag_of(fault):
    return EXPECT[fault.kind].flag.replace("laser", f"laser_{lasers_of(fault)}")


def overlapping(done, fault):
    """Faults at the same time, this one included."""
    found = []
    for other in done.scenario.faults:
        if other.kind in LASTING:
            until = other.at_s + other.for_s + EXPECT[other.kind].back_s
            if other.at_s < fault.at_s + fault.for_s and fault.at_s < until:
                found.append(other)
    return found


def check(done, fault, master_slave=True):
    """All that is asked of one fault in a finished run."""
    expect = EXPECT[fault.kind]
    begin, end = fault.at_s, fault.at_s + fault.for_s
    hit = lasers_of(fault)
    flag, around = flag_of(fault), {flag_of(other) for other in overlapping(done, fault)}
    before = done.between(begin - 0.3, begin - 0.012)  # the last conversion is read a bit later
    during = done.between(begin + expect.within_s, end - 0.012)
    inside = done.between(begin, end)
    after = done.between(end + expect.back_s, end + expect.back_s + 0.3)
    assert len(before) > 20 and len(during) > 20 and len(after) > 20

    # measuring before and after, with the reject output energised
    for row in (*before, *after):
        assert row["state"] == "measuring" and row["valid"], row
        assert flag not in row["flags"] and "good" in row["outputs"], row
    assert done.good_at(begin) and done.good_at(end + expect.back_s)

    # the right flag, as long as the fault lasts
    flagged = [row for row in during if flag in row["flags"]]
    if flag:
        assert flagged and flagged[0]["t_us"] - during[0]["t_us"] < 33_000
        assert not expect.steady or len(flagged) == len(during)
    for row in during:
        if not expect.numbers and flag in row["flags"]:
            # safe: no number, the reason, the reject output
            assert not row["valid"] and row["thickness_nm"] is None
            assert row["reason"] == flag and row["state"] == "fault", row
            assert row["state_reason"] == flag and "good" not in row["outputs"]
        elif not (around - {flag}) & {*row["flags"]}:
            assert row["valid"] and "good" in row["outputs"], row
    if not expect.numbers and expect.steady:
        assert not done.good_at(begin + expect.within_s + 0.003)
        assert not done.good_at(end)

    # nobody else is stopped: records go on at their rate, so do the other laser and the link
    assert len(inside) >= 0.97 * fault.for_s / 0.011 - 8
    others = "".join(name for name in "ab" if f"laser_{name}_fault" not in around)
    if hit == "a" and fault.kind == "laser_unplugged" and master_slave:
        # the slave's clock is gone with its master: on its own it runs after half a second
        alone = done.between(begin + 0.6, end)
        assert all(row["b_samples"] >= 43 for row in alone)
        assert not any("laser_b_fault" in row["flags"] for row in alone)
    elif others and fault.kind not in LINK:
        # while the converter is silent windows end by the clock: its first one may overlap
        rows = done.words(inside[1:])
        assert done.witness.lasers(max(done.run.boots), rows, others) == []
        assert not any(
            f"laser_{other}_fault" in row["flags"] for row in inside for other in others
        )
    for other in {"capacitance_fault", "environment_fault"} - around:
        assert not any(other in row["flags"] for row in inside), other
    if not any(other.kind in LINK for other in overlapping(done, fault)):
        late = [
            done.run.arrivals[row["boot"], row["seq"]] - done.run.window_end_ns(row)
            for row in inside
        ]
        assert max(late) < HOST_NS


def scenario_of(kind):
    return Scenario.load(FAULTS / f"{kind}.toml")


def test_every_kind_has_its_scenario():
    there = {path.stem for path in FAULTS.glob("*.toml")}
    assert there - {"all"} == set(fields.FAULTS)


@pytest.mark.parametrize("micrometres", [25, 75])
def test_settings_that_change_by_themselves(micrometres):
    """Numbers would look sound, those of a thick film: settings are read with every result."""
    scenario = scenario_of("cap_disturbed")
    scenario.film.thickness_um = float(micrometres)
    done = Finished(scenario)
    assert (done.summary["lost"], done.summary["gaps"]) == (0, 0)
    hit = done.between(4.012, 5.3)
    assert "capacitance_fault" in hit[0]["flags"]
    for row in hit:
        if row["porosity_ppm"] is not None:
            truth = done.run.truth_of(row)
            assert abs(row["thickness_nm"] - truth["thickness_nm"]) < 150
            assert abs(row["porosity_ppm"] - truth["porosity_ppm"]) < 5000
    assert all(row["valid"] and row["flags"] == [] for row in done.between(4.9, 10))
    assert done.witness.lasers(max(done.run.boots), done.words(hit)) == []


@pytest.mark.parametrize("kind", LASTING)
def test_fault(kind):
    """One fault at a time, in the scenario that comes with the bench."""
    done = Finished(scenario_of(kind))
    assert (done.summary["lost"], done.summary["duplicated"]) == (0, 0)
    assert (done.summary["gaps"], done.summary["boots"]) == (0, 1)
    (fault,) = done.scenario.faults
    check(done, fault)
    if kind.startswith("uart"):
        damaged_numbers_are_withheld(done, fault)
    if kind in LINK:
        assert done.witness.problems() == []
    if kind == "encoder_stopped":
        standing = {row["position_mm"] for row in done.between(4.1, 5.4)}
        assert len(standing) == 1
        moving = done.between(5.6, 9)
        assert moving[-1]["position_mm"] - moving[0]["position_mm"] > 900
    if kind in ("laser_error", "laser_off"):
        code = {"laser_error": fault.code, "laser_off": 262_082}[kind]
        field = {"a": record.A_ERROR_CODE, "b": record.B_ERROR_CODE}[fault.laser]
        rows = done.words(done.between(4.05, 5.45))
        assert {row[field] for row in rows} == {code}, "the code is told"


def damaged_numbers_are_withheld(done, fault):
    """No number of a window with damaged bytes is far from the truth; most have none."""
    rows = done.between(fault.at_s, fault.at_s + fault.for_s)
    withheld = [row for row in rows if not row["valid"]]
    assert len(withheld) > 0.5 * len(rows)
    for row in rows:
        if row["valid"]:
            truth = done.run.truth_of(row)
            error = abs(row["thickness_nm"] - truth["thickness_nm"])
            assert error < 100 + 3 * row["u_thickness_nm"], row


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "laser_unplugged", "laser": "b"},
        {"kind": "laser_unplugged", "laser": "a", "free": True},
        {"kind": "laser_error", "laser": "a", "code": 262_076},
        {"kind": "laser_off", "laser": "b"},
        {"kind": "uart_garbage", "laser": "b", "rate": 0.02},
        {"kind": "uart_framing", "laser": "a", "rate": 0.02},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault['laser']}" + "-free" * ("free" in fault),
)
def test_the_other_laser(fault):
    """The same of the other laser; unplugged A with lasers on clocks of their own."""
    fault = dict(fault)
    free = fault.pop("free", False)
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 7.5},
            "film": {"start_s": 1.5},
            "laser": {"sync": "free" if free else "auto"},
            "fault": [{**fault, "at_s": 2.2, "for_s": 1.2}],
        }
    )
    done = Finished(scenario)
    assert (done.summary["lost"], done.summary["gaps"]) == (0, 0)
    check(done, done.scenario.faults[0], master_slave=not free)


def test_both_lasers_unplugged():
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 7.5},
            "film": {"start_s": 1.5},
            "fault": [{"kind": "laser_unplugged", "laser": "both", "at_s": 2.2, "for_s": 1.2}],
        }
    )
    done = Finished(scenario)
    during = done.between(2.24, 3.4)
    assert len(during) > 100
    for row in during:
        assert {"laser_a_fault", "laser_b_fault"} <= set(row["flags"])
        assert not row["valid"] and "good" not in row["outputs"]
        assert row["c_af"] > 0, "the capacitance goes on"
    assert all(row["valid"] and row["flags"] == [] for row in done.between(6.4, 7.4))


def test_a_long_short_of_the_bus():
    """Converter and climate sensor are on one bus: both are told, both come back."""
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 9},
            "film": {"start_s": 1.5},
            "fault": [{"kind": "i2c_held", "line": "scl", "at_s": 2.2, "for_s": 4}],
        }
    )
    done = Finished(scenario)
    late = done.between(5.6, 6.2)
    assert len(late) > 50
    for row in late:
        assert {"capacitance_fault", "environment_fault"} <= set(row["flags"])
        assert row["a_samples"] >= 43 and row["b_samples"] >= 43
    assert len(done.between(2.2, 6.2)) > 350, "records go on at their rate"
    assert all(row["valid"] and row["flags"] == [] for row in done.between(7.5, 9))


def test_a_chip_that_holds_the_bus_is_clocked_free():
    """A converter that lost a clock holds SDA until it has seen the rest: the board gives it."""
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 5},
            "film": {"start_s": 1.5},
            "fault": [{"kind": "i2c_held", "clocks": 7, "at_s": 2.5, "for_s": 1000}],
        }
    )
    done = Finished(scenario)
    hit = done.between(2.5, 2.6)
    assert any(row["lost"] or "capacitance_fault" in row["flags"] for row in hit)
    assert all(row["valid"] and row["flags"] == [] for row in done.between(2.7, 5))


def same_reference(row, old):
    """The stored reference is in force; the sum distance follows the frame's temperature."""
    assert row["c0_af"] == old["c0_af"]
    assert abs(row["d_nm"] - old["d_nm"]) < 10


@pytest.mark.parametrize("kind", ["board_reset", "watchdog", "power"])
def test_the_board_starts_again(kind):
    """After any restart it measures with what it has stored, and says what it does not know."""
    scenario = Scenario.from_dict({"run": {"duration_s": 6.5}, "film": {"start_s": 1.5}})
    if kind == "board_reset":
        scenario = scenario_of(kind)
        scenario.run.duration_s = 7
    at_s = 4.0
    done = Finished(scenario, go=False)
    run = done.run
    try:
        run.boot()
        run.configure(exact_words(scenario))
        if kind != "board_reset":
            run.run_until(round(at_s * SECOND))
            run.target.reset({"watchdog": "watchdog", "power": "power"}[kind])
        run.run_until(round(scenario.run.duration_s * SECOND))
        done.take()
        first, second = sorted(run.boots)
        last = done.records[-1]
        if kind == "watchdog":
            assert "watchdog_restart" in last["flags"] and "watchdog_restart" in last["latched"]
            bit = record.FLAG_WATCHDOG_RESTART
            run.request(protocol.ACKNOWLEDGE, bit.to_bytes(4, "little"))
            run.run_until(run.target.now_ns + 300 * MS)
            last = run.records()[-1]
        assert "watchdog_restart" not in last["flags"] + last["latched"]
    finally:
        run.target.stop()
    old = [row for row in done.records if row["boot"] == first]
    new = [row for row in done.records if row["boot"] == second]
    assert new[0]["seq"] == 0 and [row["seq"] for row in new] == list(range(len(new)))
    assert [row["seq"] for row in old] == list(range(len(old)))
    assert not done.good_at(at_s + 0.02) and done.good_at(at_s + 0.6)
    for row in done.between(at_s + 0.6, scenario.run.duration_s - 0.1):
        assert row["state"] == "measuring" and row["valid"]
        assert "standardisation_due" in row["flags"], "the stored reference is of another boot"
        same_reference(row, old[-1])
        truth = run.truth_of(row)
        assert abs(row["thickness_nm"] - truth["thickness_nm"]) < 150
    # what was in RAM is lost, and reported as a gap instead of passed over
    found = run.store.completeness(run.session.device, first, 0)
    assert not found.missing and found.gaps <= 30


def test_an_outage_longer_than_the_memory():
    """What neither memory nor flash can hold is reported: a gap in the database, a flag in the
    record. Here the flash is small."""
    done = Finished(scenario_of("journal_full"))
    (fault,) = done.scenario.faults
    end_s = fault.at_s + fault.for_s
    assert done.summary["lost"] == 0 and done.summary["duplicated"] == 0
    assert done.summary["gaps"] > 500
    causes = {gap["cause"] for gap in done.run.store.gaps(done.run.device, max(done.run.boots))}
    assert causes == {"overwritten"}
    stored = [row["seq"] for row in done.records]
    assert len(stored) + done.summary["gaps"] == stored[-1] + 1
    hole = next(k for k, seq in enumerate(stored) if seq != k)
    first = done.records[hole]
    memory_s = (done.run.arrivals[first["boot"], first["seq"]] - done.ends[hole]) / SECOND
    flash_s = done.ends[hole - 1] / SECOND - fault.at_s
    print(f"\nmemory held {memory_s:.1f} s, flash {flash_s:.1f} s")
    assert memory_s > 19, "the least that it has to hold"
    assert any("record_gap" in row["flags"] for row in done.records[hole:])
    assert all(row["valid"] and "good" in row["outputs"] for row in done.between(4, end_s + 8))
    assert not any("record_gap" in row["flags"] for row in done.between(end_s + 4, end_s + 8))
    raw = done.raw[max(done.run.boots)]
    recent = [row for row in raw if row[record.SEQ] > stored[-1] - 600]
    assert done.witness.problems(max(done.run.boots), recent) == []


def test_an_outage_that_flash_holds():
    """Longer than the memory, and nothing is lost: the host fetches it afterwards."""
    fault = {"kind": "host_killed", "at_s": 3, "for_s": 33}
    done = Finished(
        Scenario.from_dict({"run": {"duration_s": 40}, "film": {"start_s": 1.5}, "fault": [fault]})
    )
    assert [done.summary[name] for name in ("lost", "gaps", "duplicated")] == [0, 0, 0]
    stored = [row["seq"] for row in done.records]
    assert stored == list(range(len(stored))) and len(stored) > 3500
    assert done.witness.problems() == []


def test_a_converter_that_loses_its_supply_is_set_up_again():
    """Its registers are as after power-up and it stands still: found, and set up again; also
    after so long that half of the circle of ticks has passed."""
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 560},
            "film": {"start_s": 8},
            "laser": {"rate_hz": 250},
            "capacitance": {"conversion_ms": "109.6"},
            "calibration": {"standardisation": {"windows": 8}},
        }
    )
    done = Finished(scenario, go=False)
    run = done.run
    times = (20, 550)
    for at_s in times:
        run.target.clock.call_at(at_s * SECOND, run.instruments.ad7746.power_up)
    try:
        run.boot()
        run.configure(exact_words(scenario))
        run.run_until(560 * SECOND)
        done.take()
    finally:
        run.target.stop()
    for at_s in times:
        hit = done.between(at_s, at_s + 3)
        assert any("capacitance_fault" in row["flags"] for row in hit)
        assert all(row["valid"] for row in done.between(at_s + 3, at_s + 10))
        assert all(row["a_samples"] >= 26 for row in hit)


def test_a_wire_joined_between_two_conversions():
    """/RDY falls when its wire is joined again, and no conversion ends then: with its result a
    window would be one of another time, and numbers of two places of the web would be paired."""
    faults = [
        {"kind": "ready_open", "at_s": 2.4 + 0.15 * k, "for_s": 0.02 + 0.0013 * k}
        for k in range(16)
    ]
    scenario = Scenario.from_dict(
        {"run": {"duration_s": 5.5}, "film": {"start_s": 1.5}, "fault": faults}
    )
    done = Finished(scenario)
    assert (done.summary["lost"], done.summary["gaps"]) == (0, 0)
    boot = max(done.run.boots)
    rows = done.between(2.35, 5.5)
    assert sum(row["lost"] > 0 for row in rows) >= 12
    assert all(row["valid"] for row in rows)
    assert done.witness.problems(boot, done.words(rows)) == []


# -- the emulated board -------------------------------------------------------------------------

SEQUENCE = [
    {"kind": "i2c_held", "at_s": 2.2, "for_s": 0.7},
    {"kind": "sht_crc", "at_s": 3.5, "for_s": 4.0},
    {"kind": "laser_error", "laser": "a", "code": 262_077, "at_s": 4.0, "for_s": 0.5},
    {"kind": "link_outage", "at_s": 5.0, "for_s": 1.0},
    {"kind": "uart_framing", "laser": "b", "rate": 0.02, "at_s": 6.5, "for_s": 0.6},
    {"kind": "host_stall", "at_s": 7.9, "for_s": 0.8},
    {"kind": "laser_unplugged", "laser": "a", "at_s": 9.2, "for_s": 1.1},
    {"kind": "cap_lost", "at_s": 13.7, "for_s": 0.6},
    {"kind": "board_reset", "at_s": 16},
]


@pytest.fixture(scope="module")
def on_the_board():
    """One run of the RP2040 through several faults, shared by the tests below."""
    scenario = Scenario.from_dict(
        {"run": {"duration_s": 18}, "film": {"start_s": 1.6}, "fault": SEQUENCE}
    )
    return Finished(scenario, make_target("rp2040"))


def test_sequence_is_complete_on_the_board(on_the_board):
    summary = on_the_board.summary
    assert (summary["lost"], summary["duplicated"], summary["boots"]) == (0, 0, 2)
    first = min(on_the_board.run.boots)
    raw = on_the_board.raw[first]
    assert [row[record.SEQ] for row in raw] == list(range(len(raw)))
    print("\nbusy share under faults:", summary["busy_share"])


@pytest.mark.parametrize("index", range(len(SEQUENCE) - 1), ids=lambda i: SEQUENCE[i]["kind"])
def test_fault_on_the_board(on_the_board, index):
    done = on_the_board
    boots = dict(done.run.boots)
    try:
        # what was before the reset
        done.run.boots = {min(boots): boots[min(boots)]}
        check(done, done.scenario.faults[index])
    finally:
        done.run.boots = boots


def test_reset_on_the_board(on_the_board):
    done = on_the_board
    first, second = sorted(done.run.boots)
    old = [row for row in done.records if row["boot"] == first]
    new = [row for row in done.records if row["boot"] == second]
    assert [row["seq"] for row in new] == list(range(len(new)))
    assert not done.good_at(16.02) and done.good_at(17.5)
    for row in done.between(17.5, 18):
        assert row["valid"] and row["state"] == "measuring"
        same_reference(row, old[-1])
