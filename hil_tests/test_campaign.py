"""The fault campaign: it draws what it says, finds what is wrong, and the gauge passes it.

The long campaigns are for `porogauge bench faults`; short ones run here. What the judge is worth
is shown by logs that are damaged on purpose: each kind of damage has to be found.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from gauge import record
from porogauge.cli import cli
from porogauge_bench import campaign, campaign_check, fields
from porogauge_bench.campaign import Bench, Campaign
from porogauge_bench.campaign_check import judge
from porogauge_bench.campaign_draw import FILM_S, Roll, draw
from porogauge_bench.campaign_result import Problem
from porogauge_bench.expected import EXPECT
from porogauge_bench.runner import make_target
from porogauge_bench.scenario import Scenario

START_S = 2.0  # of the film
WORLD = {"run": {"duration_s": 7.5, "seed": 5}, "film": {"start_s": START_S}}
FAULTS = [
    {"kind": "laser_off", "laser": "b", "at_s": 2.6, "for_s": 0.2},
    {"kind": "link_outage", "at_s": 3.2, "for_s": 0.3},
    {"kind": "cap_unplugged", "at_s": 4.2, "for_s": 0.3},
    {"kind": "board_reset", "at_s": 5.3},
]


# -- what is drawn ------------------------------------------------------------------------------


def test_every_kind_has_its_expectation():
    assert set(EXPECT) == set(fields.FAULTS)


def test_the_lot_is_repeatable_and_fair():
    rolls = draw(205, 7, "unix32")
    assert [vars(f) for r in rolls for f in r.faults] == [
        vars(f) for r in draw(205, 7, "unix32") for f in r.faults
    ]
    kinds = Counter(fault.kind for roll in rolls for fault in roll.faults)
    assert sum(kinds.values()) == 205 and set(kinds) == set(fields.FAULTS)
    assert max(kinds.values()) - min(kinds.values()) <= 1
    assert any(len(group) > 1 for roll in rolls for group in roll.groups)
    assert any(roll.faults[0].at_s < FILM_S for roll in rolls)
    other = draw(205, 8, "unix32")
    assert [f.kind for f in rolls[0].faults] != [f.kind for f in other[0].faults]
    on_board = draw(20, 7, "rp2040")
    assert len({roll.world.run.seed for roll in on_board}) == 1, "booted once"


# -- the gauge passes ---------------------------------------------------------------------------


def assert_passed(done: Campaign, count: int) -> None:
    assert [(o.roll, p) for o, p in done.problems] == []
    summary = done.summary()
    assert summary["faults"] == count and summary["covered_too_rarely"] == []
    print("\n" + done.table())


def test_forty_faults():
    done = Campaign(40, 1, "unix32")
    assert len(list(done.run())) == 4
    assert_passed(done, 40)
    assert {line["kind"] for line in done.kinds} == set(fields.FAULTS)
    for line in done.kinds:
        flag = EXPECT[line["kind"]].flag
        if flag and line["kind"].startswith(("laser", "cap_unplugged", "cap_saturated")):
            assert (line["flagged_s_worst"] or 0) < 0.25


def test_faults_on_the_board():
    """A copy of the booted board runs the roll; another one would start from the same state."""
    done = Campaign(10, 3, "rp2040")
    list(done.run())
    assert_passed(done, 10)


# -- the judge finds what is wrong --------------------------------------------------------------


@pytest.fixture(scope="module")
def finished():
    """A roll with four faults, one after the other, that the gauge passes."""
    scenario = Scenario.from_dict({**WORLD, "fault": FAULTS})
    roll = Roll(1, Scenario.from_dict(WORLD), scenario, [[0], [1], [2], [3]], [(0.0, START_S)])
    bench = Bench(roll.world, make_target("unix32"))
    outcome = bench.measure_one(roll)
    assert outcome.problems == []
    return roll, bench


@contextmanager
def damaged(run, *statements):
    """The run's database after these statements, for a while."""
    db = run.store._db
    db.execute("BEGIN")
    try:
        for statement in statements:
            assert db.execute(statement).rowcount > 0, statement
        yield
    finally:
        db.execute("ROLLBACK")


def window_at(run, t_s):
    """Boot and sequence number of the first record that ends after an instant."""
    return next((r["boot"], r["seq"]) for r in run.records() if run.window_end_ns(r) > t_s * 1e9)


def found(roll, bench):
    """What the judge objects to, and to which kinds of fault it belongs."""
    problems = judge(roll, bench.run, bench.witness).problems
    return {(problem.what, problem.kinds) for problem in problems}


GOOD = record.OUT_GOOD
LASER_B = record.FLAG_LASER_B_FAULT
DAMAGE = {
    # at, what is done to the record there, what is found
    "a record is missing": (3.9, "DELETE FROM records", ("lost", ("link_outage",))),
    "a flag is missing": (
        2.7,
        f"UPDATE records SET flags = flags & ~{LASER_B}",
        ("flag", ("laser_off",)),
    ),
    "a flag without a cause": (
        4.4,
        f"UPDATE records SET flags = flags | {LASER_B}",
        ("flag", ("cap_unplugged",)),
    ),
    "a flag that stays": (
        4.95,
        f"UPDATE records SET flags = flags | {record.FLAG_CAPACITANCE_FAULT}",
        ("back", ("cap_unplugged",)),
    ),
    "a wrong thickness": (
        3.0,
        "UPDATE records SET thickness_8nm = thickness_8nm + 8 * u_thickness_8nm",
        ("wrong", ("laser_off",)),
    ),
    "a wrong porosity during an outage": (
        3.3,
        "UPDATE records SET porosity_ppm = porosity_ppm - 8 * u_porosity_ppm",
        ("wrong", ()),
    ),
    "a number in spite of a fault": (
        2.7,
        "UPDATE records SET valid = 15, thickness_8nm = 16000, u_thickness_8nm = 100",
        ("wrong", ("laser_off",)),
    ),
    "a sample is missing": (
        3.1,
        "UPDATE records SET a_n = a_n - 1, a_sum = a_sum - a_first",
        ("wrong", ("laser_off",)),
    ),
    "a conversion of another window": (
        3.1,
        "UPDATE records SET cap_code = cap_code + 1",
        ("wrong", ("laser_off",)),
    ),
    "good without a number": (
        4.4,
        f"UPDATE records SET outputs = outputs | {GOOD}",
        ("output", ("cap_unplugged",)),
    ),
    "a hole of which nobody tells": (
        4.0,
        "UPDATE records SET lost = 2",
        ("lost", ("link_outage",)),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_of_the_log_is_found(finished, name):
    roll, bench = finished
    at_s, statement, expected = DAMAGE[name]
    boot, seq = window_at(bench.run, at_s)
    with damaged(bench.run, f"{statement} WHERE boot = {boot} AND seq = {seq}"):
        assert expected in found(roll, bench)
    assert found(roll, bench) == set()


def test_lost_tails_are_found(finished):
    """Of the last boot, and of the one before the restart."""
    roll, bench = finished
    for at_s, kinds in ((4.85, {("board_reset",)}), (7.2, {("board_reset",)})):
        boot, seq = window_at(bench.run, at_s)
        cut = f"DELETE FROM records WHERE boot = {boot} AND seq >= {seq}"
        with damaged(bench.run, cut):
            assert {k for what, k in found(roll, bench) if what == "lost"} == kinds


def test_outputs_that_stay_energised_are_found(finished):
    """The relay itself is looked at, not only what records say of it."""
    roll, bench = finished
    outputs = bench.run.target.outputs
    for at_s, kind in ((2.6, "laser_off"), (4.2, "cap_unplugged"), (5.3, "board_reset")):
        edge = next(e for e in outputs if e.name == "good" and e.t_ns >= at_s * 1e9)
        assert not edge.level
        index = outputs.index(edge)
        del outputs[index]
        try:
            assert ("output", (kind,)) in found(roll, bench)
        finally:
            outputs.insert(index, edge)


def test_late_records_are_found(finished):
    roll, bench = finished
    key = window_at(bench.run, 2.4)
    arrivals = bench.run.arrivals
    came = arrivals[key]
    arrivals[key] += 600_000_000
    try:
        assert found(roll, bench) == {("back", ())}
    finally:
        arrivals[key] = came


def test_a_gauge_that_does_not_look_is_found():
    """A firmware that measures on without its lasers' error codes: not one damaged row, a run."""
    program = (
        "from gauge import record, judge\n"
        "def outputs(self, rec):\n    return record.OUT_GOOD\n"
        "judge.Judge.outputs = outputs\nfrom gauge import app\napp.main()\n"
    )
    scenario = Scenario.from_dict({**WORLD, "fault": FAULTS[:1]})
    roll = Roll(1, Scenario.from_dict(WORLD), scenario, [[0]], [(0.0, START_S)])
    outcome = Bench(roll.world, make_target("unix32", program=program)).measure_one(roll)
    assert ("output", ("laser_off",)) in {(p.what, p.kinds) for p in outcome.problems}


# -- the command --------------------------------------------------------------------------------


def call(*arguments):
    result = CliRunner().invoke(cli, ["bench", "faults", *arguments])
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    return result, [json.loads(line) for line in lines]


def test_command_tells_seed_kinds_and_sums():
    arguments = ("--count", "2", "--seed", "9", "--target", "unix32")
    result, told = call(*arguments, "--json")
    assert result.exit_code == 0
    assert [line["event"] for line in told] == ["roll", "kind", "kind", "summary"]
    assert told[-1]["seed"] == 9 and told[-1]["faults"] == 2
    again, told_again = call(*arguments, "--json")
    assert told_again == told, "deterministic"
    people, _ = call(*arguments)
    assert "seed 9" in people.output and told[1]["kind"] in people.output


@pytest.mark.parametrize("what, code", [("lost", 5), ("wrong", 1)])
def test_exit_code(monkeypatch, what, code):
    real = campaign_check.judge

    def judged(*arguments):
        outcome = real(*arguments)
        outcome.problems.append(Problem(what, 3.0, (), "made up"))
        return outcome

    monkeypatch.setattr(campaign, "judge", judged)
    result, told = call("--count", "1", "--seed", "9", "--target", "unix32", "--json")
    assert result.exit_code == code
    summary = next(line for line in told if line["event"] == "summary")
    assert summary[what] == 1


def test_a_roll_that_hangs_is_a_loss(monkeypatch):
    def hang(self, roll):
        raise campaign.TargetError("the firmware made no request for 30 s")

    monkeypatch.setattr(Bench, "measure", hang)
    result, _ = call("--count", "1", "--seed", "9", "--target", "unix32")
    assert result.exit_code == 5 and "did not end" in result.output


def test_a_roll_that_is_not_there():
    result, _ = call("--count", "10", "--roll", "2", "--target", "unix32")
    assert result.exit_code == 2
