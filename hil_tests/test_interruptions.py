"""Restarts, power cuts, cables and hosts: all of them in one run, judged as in the campaign.

What a single one does by itself is in test_faults.py; drawn ones are in test_campaign.py.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from gauge import record
from porogauge_bench.campaign import Bench
from porogauge_bench.campaign_check import judge
from porogauge_bench.campaign_draw import Roll
from porogauge_bench.expected import WATCHDOG_S
from porogauge_bench.runner import make_target
from porogauge_bench.scenario import Scenario

START_S = 2.5
SECOND = 1_000_000_000
FAULTS = [
    {"kind": "usb_unplugged", "at_s": 3.5, "for_s": 0.7},
    {"kind": "board_hang", "at_s": 8.0},
    {"kind": "power_cut", "at_s": 14.5, "for_s": 0.4, "operation": 3, "fraction": 0.4},
    {"kind": "board_crash", "at_s": 20.5},
    {"kind": "host_killed", "at_s": 24.5, "for_s": 4.0},
]
WORLD = {"run": {"seed": 8}, "film": {"start_s": START_S}}


def roll_of(faults, duration_s):
    scenario = {**WORLD, "run": {"seed": 8, "duration_s": duration_s}, "fault": faults}
    alone = [[index] for index in range(len(faults))]
    world = Scenario.from_dict(WORLD)
    return Roll(1, world, Scenario.from_dict(scenario), alone, [(0.0, START_S)])


@pytest.fixture(scope="module")
def finished():
    """A roll with all of them, which the gauge passes."""
    roll = roll_of(FAULTS, 33.0)
    bench = Bench(roll.world, make_target("unix32"))
    outcome = bench.measure_one(roll)
    assert outcome.problems == []
    return roll, bench


def found(roll, bench):
    """What the judge objects to, and to which kinds of fault it belongs."""
    problems = judge(roll, bench.run, bench.witness).problems
    return {(problem.what, problem.kinds) for problem in problems}


@contextmanager
def damaged(run, statement):
    """The run's database after a statement, for a while."""
    db = run.store._db
    db.execute("BEGIN")
    try:
        assert db.execute(statement).rowcount > 0
        yield
    finally:
        db.execute("ROLLBACK")


@contextmanager
def without_edge(run, after_s):
    """The run as if `good` had not gone off after an instant."""
    outputs = run.target.outputs
    edge = next(e for e in outputs if e.name == "good" and e.t_ns >= after_s * SECOND)
    assert not edge.level
    index = outputs.index(edge)
    del outputs[index]
    try:
        yield edge.t_ns / SECOND
    finally:
        outputs.insert(index, edge)


def test_each_restart_is_a_boot(finished):
    roll, bench = finished
    assert sorted(bench.run.boots) == [1, 2, 3, 4]
    (off,) = bench.run.interruptions.off_ns
    assert 14.5 * SECOND <= off[0] < off[1]


def test_a_restart_without_its_flag_is_found(finished):
    roll, bench = finished
    for boot, bit, kind in (
        (2, record.FLAG_WATCHDOG_RESTART, "board_hang"),
        (4, record.FLAG_CRASH_RESTART, "board_crash"),
    ):
        statement = f"UPDATE records SET flags = flags & ~{bit} WHERE boot = {boot}"
        with damaged(bench.run, statement):
            assert ("flag", (kind,)) in found(roll, bench)
    assert found(roll, bench) == set()


def test_windows_that_a_restart_took_are_found(finished):
    roll, bench = finished
    for boot, kind in ((1, "board_hang"), (2, "power_cut"), (3, "board_crash")):
        rows = [row["seq"] for row in bench.run.records() if row["boot"] == boot]
        statement = f"DELETE FROM records WHERE boot = {boot} AND seq > {rows[-1] - 40}"
        with damaged(bench.run, statement):
            assert "lost" in {what for what, kinds in found(roll, bench) if kind in kinds}


def test_a_restart_of_which_nobody_tells_why_is_found(finished):
    roll, bench = finished
    with damaged(bench.run, "DELETE FROM journal WHERE boot = 3"):
        assert ("lost", ("power_cut",)) in found(roll, bench)


def test_outputs_that_outlive_the_program_are_found(finished):
    """A hung program holds its outputs for one watchdog period, no longer."""
    roll, bench = finished
    for at_s, kind in ((8.0, "board_hang"), (14.5, "power_cut"), (20.5, "board_crash")):
        with without_edge(bench.run, at_s) as gone_s:
            assert gone_s <= at_s + (WATCHDOG_S if kind == "board_hang" else 1.0) + 0.01
            assert ("output", (kind,)) in found(roll, bench)


def test_on_the_emulated_board():
    """The same board in an emulator; power fails within a write of its flash: the
    summary of a second, which is written in every one."""
    cut = {"kind": "power_cut", "at_s": 6.5, "for_s": 0.9, "operation": 1, "fraction": 0.6}
    roll = roll_of([{**FAULTS[0], "for_s": 2.0}, cut], 13.0)
    bench = Bench(roll.world, make_target("rp2040"))
    outcome = bench.measure_one(roll)
    assert outcome.problems == []
    (off,) = bench.run.interruptions.off_ns
    assert 6.5 * SECOND < off[0] < 7.4 * SECOND
    torn = [op for op in bench.run.target.flash.operations if abs(op.t_ns - off[0]) < 1000]
    assert torn, "it was within an operation"
