"""`porogauge doctor`: what it makes of what a board says, and the command against a gauge."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gauge import health, record
from porogauge import __version__, doctor
from porogauge.cli import cli
from porogauge.units import decode_status


def well() -> doctor.Report:
    """What a healthy gauge says that has measured for an hour."""
    status = dict.fromkeys(health.STATUS_NAMES, 0) | {
        "state": record.STATE_MEASURING,
        "windows": 327_000,
        "configured": 1,
        "standard_s": 100,
    }
    words = dict.fromkeys(health.HEALTH_NAMES, 0) | {
        "uptime_s": 3600,
        "heap_low": 40_000,
        "resets_power": 3,
        "configuration_copies": 2,
        "reference_copies": 2,
        "capacitance_id": 0x5A3C,
        "climate_serial_high": 0x5047,
        "climate_serial_low": 1,
        "laser_a_serial": 15_030_002,
        "laser_b_serial": 15_030_003,
        "frame_mc": 23_100,
        "air_mc": 22_900,
        "board_mc": 31_000,
        "flash_sectors": 192,
        "flash_most_erases": 7,
        "loop_0": 300_000,
        "loop_1": 20_000,
    }
    return doctor.Report(
        SimpleNamespace(
            device="e66", board="B", firmware=__version__, boot=3, keys=6, trial=0, version=0
        ),
        decode_status(status),
        words,
        dict.fromkeys(health.SELF_TEST_NAMES, "passed"),
        {},
        "",
    )


def changed(what: str, **values) -> doctor.Report:
    report = well()
    return replace(report, **{what: {**getattr(report, what), **values}})


def test_nothing_is_found_in_a_healthy_gauge():
    report = well()
    assert doctor.examine(report) == []
    assert doctor.identities(report) == {
        "capacitance": "5a3c",
        "climate": "50470001",
        "laser_model": "1900-2",
        "laser_a": 15_030_002,
        "laser_b": 15_030_003,
    }
    assert doctor.temperatures(report) == {"frame": 23.1, "air": 22.9, "board": 31.0}
    assert doctor.restarts(report) == {"power": 3, "watchdog": 0, "reset": 0, "crash": 0}


PROBLEMS = [
    (changed("tests", memory="failed"), "memory", "refuses to measure", "replace"),
    (changed("tests", storage="failed"), "storage", "self-test", "mpremote"),
    (changed("tests", configuration="failed"), "configuration", "one of its two", "push"),
    (changed("tests", bus="failed"), "bus", "self-test", "SDA or SCL"),
    (changed("tests", climate="waiting"), "climate", "no reading yet", "supply"),
    (
        changed("status", flags=["laser_b_fault"]),
        "laser_b",
        "has given no reading yet",
        "wire pairs",
    ),
    (changed("status", flags=["watchdog_restart"]), "program", "hung", "acknowledge"),
    (changed("status", flags=["crash_restart"]), "program", "error", "journal"),
    (changed("status", flags=["standardisation_refused"]), "reference", "refused", "clean"),
    (changed("status", lost=3000), "converter", "3000 conversions of 330000", "/RDY"),
    (changed("faults", configuration="both copies are damaged"), "configuration", "both", "push"),
    (changed("faults", update="version a was taken back"), "update", "taken back", "mend"),
    (changed("health", heap_low=5000), "memory", "only 5000 bytes", "image"),
    (changed("health", flash_most_erases=90_000), "journal", "worn", "replace"),
    (changed("health", flash_dropped=4), "journal", "4 entries", "log"),
    (changed("health", flash_sectors=0, link_dropped=9), "link", "9 records were lost", "log"),
    (changed("health", board_mc=82_000), "board", "82 °C", "air"),
]


@pytest.mark.parametrize(("report", "part", "text", "advice"), PROBLEMS)
def test_problems_are_named_with_what_to_do(report, part, text, advice):
    problems = [finding for finding in doctor.examine(report) if finding.problem]
    assert [finding.part for finding in problems] == [part]
    assert text in problems[0].text and advice in problems[0].advice


NOTES = [
    (changed("faults", laser_a="no peak: no target, or it is too dark"), "laser_a", "no peak"),
    (changed("health", laser_a_broken=12), "laser_a", "12 damaged bytes"),
    (changed("health", climate_errors=40), "climate", "40 errors within 1.0 h"),
    (changed("health", resets_watchdog=2), "program", "2 times so far"),
    (replace(well(), crash="boot 2: x"), "program", "once ended with an error: boot 2: x"),
    (changed("status", flags=["standardisation_due"]), "reference", "due"),
    (changed("status", latched=["porosity_hihi"]), "flags", "porosity hihi"),
    (changed("status", state="hold"), "state", "on hold"),
    (changed("health", loop_9=1000), "loop", "0.3 %"),
    (changed("health", link_bad_frames=5), "link", "5 damaged frames"),
    (changed("health", link_dropped=9), "link", "the journal kept"),
    (changed("health", flash_sectors=0), "journal", "no journal"),
]


@pytest.mark.parametrize(("report", "part", "text"), NOTES)
def test_what_is_worth_knowing_is_no_problem(report, part, text):
    (finding,) = doctor.examine(report)
    assert not finding.problem and finding.part == part and text in finding.text


def test_other_versions_and_missing_keys_are_told():
    hello = SimpleNamespace(firmware="0.0.1", keys=0, trial=1, version=1)
    found = doctor.examine(replace(well(), hello=hello))
    assert [finding.part for finding in found] == ["update", "firmware", "keys"]
    assert not any(finding.problem for finding in found)


def test_problems_come_first():
    report = replace(changed("health", board_mc=82_000, link_bad_frames=5), crash="boot 1: x")
    assert [finding.problem for finding in doctor.examine(report)] == [True, False, False]


# -- the command


def run(*arguments):
    return CliRunner().invoke(cli, ["doctor", *arguments], standalone_mode=False)


@pytest.fixture
def client(monkeypatch):
    """Give the command a report in place of a gauge."""

    def give(report):
        monkeypatch.setattr("porogauge.device.opened", lambda *_: SimpleClient())
        monkeypatch.setattr(doctor, "ask", lambda _: report)

    return give


class SimpleClient:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_healthy_gauge_ends_with_0(client):
    client(well())
    result = run()
    assert (result.return_value or 0) == 0
    assert "The gauge is well." in result.output and "laser a 15030002" in result.output
    assert "self-test: 12 of 12 passed" in result.output


def test_problems_end_with_1_and_are_told_to_machines(client):
    client(changed("health", board_mc=82_000, link_bad_frames=5))
    result = run("--json")
    assert result.return_value == 1
    *findings, summary = map(json.loads, result.output.splitlines())
    assert [(f["event"], f["problem"], f["part"]) for f in findings] == [
        ("finding", True, "board"),
        ("finding", False, "link"),
    ]
    assert (summary["event"], summary["problems"], summary["notes"]) == ("doctor", 1, 1)
    assert summary["self_test"]["memory"] == "passed" and summary["restarts"]["power"] == 3
    result = run()
    assert result.return_value == 1
    assert "Problems\n  board: its chip is at 82 °C\n      move it" in result.output


def test_no_gauge_is_exit_code_3(monkeypatch):
    from porogauge.errors import PorogaugeError

    with pytest.raises(PorogaugeError) as caught:
        CliRunner().invoke(
            cli,
            ["doctor", "--port", "/dev/nothing-there", "--wait", "0.2"],
            standalone_mode=False,
            catch_exceptions=False,
        )
    assert caught.value.exit_code == 3
