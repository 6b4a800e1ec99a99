"""`porogauge doctor` against a whole gauge: well, with a sensor off the bus, and after a crash."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from porogauge.cli import cli
from porogauge_bench.calibration import exact_words
from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario
from porogauge_bench.serve import Server

SECOND = 1_000_000_000


def run_until(seconds: float, *faults) -> Run:
    """A board that has measured film for some time; what was latched is acknowledged."""
    scenario = Scenario.from_dict(
        {"run": {"duration_s": 30}, "film": {"start_s": 2.5}, "fault": list(faults)}
    )
    run = Run(scenario, "unix32")
    run.boot()
    run.configure(exact_words(scenario))
    run.run_until(round(seconds * SECOND))
    return run


def visit(run: Run) -> tuple[int, list[dict], dict]:
    """Exit code, findings and summary of the doctor."""
    with Server(run.target) as server:
        result = CliRunner().invoke(
            cli, ["doctor", "--json", "--port", server.url], standalone_mode=False
        )
    assert result.exception is None, result.exception
    *findings, summary = map(json.loads, result.output.splitlines())
    return result.return_value or 0, findings, summary


@pytest.fixture
def gauge():
    runs = []

    def make(*arguments) -> Run:
        runs.append(run_until(*arguments))
        return runs[-1]

    yield make
    for run in runs:
        run.target.stop()


def test_a_gauge_that_is_well(gauge):
    code, findings, summary = visit(gauge(6))
    assert code == 0 and summary["problems"] == 0
    assert [finding["part"] for finding in findings] == ["keys"]
    assert set(summary["self_test"].values()) == {"passed"}
    assert summary["restarts"] == {"power": 1, "watchdog": 0, "reset": 0, "crash": 0}
    assert all(summary["sensors"].values())
    assert summary["temperatures_c"]["board"] == 23.0


def test_a_sensor_off_the_bus(gauge):
    code, findings, summary = visit(gauge(9, {"kind": "sht_unplugged", "at_s": 4, "for_s": 1000}))
    problems = [finding for finding in findings if finding["problem"]]
    assert code == 1 and summary["problems"] == 1
    assert problems[0]["part"] == "climate" and "does not answer" in problems[0]["text"]


def test_after_a_crash(gauge):
    run = gauge(4)
    run.target.crash()
    run.run_until(run.target.now_ns + 3 * SECOND)
    code, findings, summary = visit(run)
    assert code == 1 and summary["restarts"]["crash"] == 1
    problem = findings[0]
    assert problem["part"] == "program" and "RuntimeError: crash by the bench" in problem["text"]
    assert "acknowledge 'crash_restart'" in problem["advice"]
