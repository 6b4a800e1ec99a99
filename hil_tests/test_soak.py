"""The soak in small: it runs, is interrupted and goes on, tells what it covered, finds growth."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from porogauge.cli import cli
from porogauge_bench import shift, soak
from porogauge_bench.shift import Look, ShiftDone, heap_flat, rss_flat
from porogauge_bench.soak import STATE, Plan, Soak, SoakError

SMALL = Plan(faults=12, board_faults=0, hours=0.03, board_minutes=0, seed=3)


@pytest.fixture(scope="module", autouse=True)
def same_program():
    """Nobody edits the program meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soak, "program", lambda: "of today")
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small soak that was never interrupted: its folder and its report."""
    folder = tmp_path_factory.mktemp("whole")
    work = Soak(SMALL, folder)
    steps = list(work.run())
    return folder, steps, work.report()


def test_small_soak_passes(whole):
    _, steps, report = whole
    assert report["problems"] == [] and report["passed"]
    found = report["unix32"]
    assert found["campaign_faults"] == 12 and found["faults"] > 12
    assert found["shifts"] == 1 and found["shifts_s"] >= 108
    assert found["lost"] == found["wrong"] == 0
    assert [step.name for step in steps[:2]] == ["faults on unix32"] * 2
    assert steps[-1].name == "shift 1 on unix32" and steps[-1].done >= steps[-1].whole


def test_interrupted_soak_goes_on_and_gives_the_same(whole, tmp_path):
    folder, _, report = whole
    step = next(Soak(SMALL, tmp_path).run())
    again = Soak(SMALL, tmp_path)
    assert again.resumed == 1 and len(list(again.run())) >= 2
    assert memoryless(again.report()) == memoryless(report)
    assert step.done == 1
    third = Soak(SMALL, tmp_path)
    assert list(third.run()) == [], "nothing is left"
    assert memoryless(third.report()) == memoryless(report)


def memoryless(report):
    """A report without what this machine's memory is like."""
    return {
        key: {k: v for k, v in value.items() if not k.startswith("rss")}
        if isinstance(value, dict)
        else value
        for key, value in report.items()
    }


def test_killed_while_it_wrote(whole, tmp_path):
    folder, _, report = whole
    lines = (folder / STATE).read_text().splitlines(keepends=True)
    (tmp_path / STATE).write_text("".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
    again = Soak(SMALL, tmp_path)
    assert again.resumed == 1
    list(again.run())
    assert memoryless(again.report()) == memoryless(report)


def test_state_of_another_plan_is_refused(whole, tmp_path):
    folder, _, _ = whole
    with pytest.raises(SoakError, match="another plan"):
        Soak(Plan(faults=13), folder)
    (tmp_path / STATE).write_text("nonsense\n")
    with pytest.raises(SoakError, match="--fresh"):
        Soak(SMALL, tmp_path)
    assert Soak(SMALL, tmp_path, fresh=True).resumed == 0


def test_program_is_part_of_the_state(whole, monkeypatch):
    folder, _, _ = whole
    monkeypatch.setattr(soak, "program", lambda: "of tomorrow")
    with pytest.raises(SoakError, match="another state of the program"):
        Soak(SMALL, folder)


# -- memory -------------------------------------------------------------------------------------


def look(at_s=1000.0, boot=1, uptime_s=1000, heap_low=90_000, rss=100_000_000, process=1):
    return Look(at_s, boot, uptime_s, heap_low, 180_000, rss, process)


def test_growth_of_the_heap_is_found():
    assert heap_flat([look()]) is None
    assert heap_flat([look(), look(heap_low=89_000)]) == pytest.approx(1000 / 180_000)
    assert heap_flat([look(), look(boot=2, heap_low=80_000)]) is None, "another boot"
    assert heap_flat([look(uptime_s=10, heap_low=99_000), look(), look()]) == 0


def test_growth_of_the_process_is_found():
    settling = [look(rss=50_000_000)] * shift.SETTLED_LOOKS
    assert rss_flat(settling) is None
    assert rss_flat(settling + [look()] * 20) == 0
    assert rss_flat(settling + [look()] * 10 + [look(rss=103_000_000)] * 5) == pytest.approx(0.03)
    assert rss_flat([look(process=k) for k in range(60)]) is None, "60 processes"


def test_growth_is_a_problem(tmp_path, whole):
    folder, _, _ = whole
    grown = [look() for _ in range(40)] + [look(rss=103_000_000, heap_low=80_000)] * 20
    done = ShiftDone(1, "unix32", looks=grown)
    head = (folder / STATE).read_text().splitlines()[0]
    (tmp_path / STATE).write_text(f"{head}\n{json.dumps({'shift': done.told()})}\n")
    problems = Soak(SMALL, tmp_path).problems
    assert len(problems) == 2 and "heap" in problems[0] and "host" in problems[1]


# -- the command --------------------------------------------------------------------------------

ARGUMENTS = ["bench", "soak", "--faults", "2", "--board-faults", "0", "--board-minutes", "0"]


def test_command_tells_and_reports(tmp_path):
    arguments = [*ARGUMENTS, "--hours", "0", "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert [line["event"] for line in told] == ["progress", "summary"]
    assert told[-1]["unix32"]["faults"] == 2 and told[-1]["passed"]
    assert json.loads((tmp_path / "report.json").read_text())["unix32"]["faults"] == 2


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_command_can_be_interrupted(tmp_path):
    """Ctrl-C ends it with 130; what was done is there."""
    command = [sys.executable, "-m", "porogauge", *ARGUMENTS, "--hours", "10"]
    command += ["--out", str(tmp_path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert b"progress" in process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130, process.stderr.read()
    assert len((tmp_path / STATE).read_text().splitlines()) == 2
