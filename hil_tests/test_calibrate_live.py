"""`porogauge calibrate --port` against the firmware: what a station does, and undoes."""

import json
import subprocess
import sys

import pytest

from gauge import config, record
from porogauge import demo
from porogauge.calibrate.live import LiveStation
from porogauge.calibrate.procedure import Step
from porogauge.device import push_files
from porogauge.link.client import Client
from porogauge.recipe import load_files

EMPTY = Step("empty", "Clear the gap.", {"kind": "empty"}, 32)
SCENARIO = """
run = { duration_s = 3600, seed = 5 }
film = { start_s = 100000 }
capacitance = { capdac_step_ff = 150 }
"""


@pytest.fixture(scope="module")
def gauge(tmp_path_factory):
    """Port of the firmware on an emulated head with an empty gap, files in force."""
    folder = tmp_path_factory.mktemp("gauge")
    path = folder / "empty.toml"
    path.write_text(SCENARIO)
    with demo.emulated_board(path, "unix32", pace=None) as board:
        files = demo.write_files(folder, path)
        with Client(board.url, timeout_s=20) as client:
            client.connect()
            push_files(client, load_files(files))
        yield board.url, files


def look(url):
    with Client(url, timeout_s=20, stream=False) as client:
        client.connect()
        return bytes(client.read_config()), record.STATE_NAMES[client.status()["state"]]


def test_the_same_gap_with_another_capdac_code(gauge, tmp_path):
    url, _ = gauge
    before, state = look(url)
    assert state in ("off_sheet", "standardising")
    code = config.unpack(before)[config.CAPDAC_CODE]
    with Client(url, timeout_s=20) as client, LiveStation(client, tmp_path) as station:
        first = station.perform(EMPTY)
        other = station.perform(Step("other", "", EMPTY.setting, 32, code - 3))
        last = station.perform(EMPTY)
        assert client.status()["state"] == record.STATE_HOLD
    assert (first.capdac_code, other.capdac_code, last.capdac_code) == (code, code - 3, code)
    assert other.cap_pf - first.cap_pf == pytest.approx(3 * 0.150, abs=1e-4)
    assert last.cap_pf == pytest.approx(first.cap_pf, abs=5e-5)
    assert first.a_um and first.a_sd_um < 0.3 and abs(first.frame_c - 23) < 0.2
    after, state = look(url)
    assert after == before and state in ("off_sheet", "standardising", "warm_up")
    assert not list(tmp_path.iterdir())


def test_verify_on_a_port(gauge):
    """The command, with a block that is not there: told, nothing changed."""
    url, files = gauge
    before, _ = look(url)
    recipe, calibration = files
    done = subprocess.run(
        [sys.executable, "-m", "porogauge", "calibrate", "verify", "--port", url, "--yes"]
        + ["--calibration", calibration, "--recipe", recipe, "--kind", "block"]
        + ["--thickness-um", "500", "--u-thickness-um", "0.2", "--wait", "20"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    # what is in the beams is the reference tile: a block of 500 um for all that the gauge knows
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout and "D on the tile" in done.stdout
    assert look(url)[0] == before


def test_an_emulated_head_through_its_firmware(tmp_path):
    """`--target`: the same steps, read by the board; a new head's block is within its wide U95."""
    done = subprocess.run(
        [sys.executable, "-m", "porogauge", "calibrate", "verify", "--bench", "7"]
        + ["--target", "unix32", "--book", str(tmp_path / "book"), "--json"]
        + ["--kind", "block", "--thickness-um", "300", "--u-thickness-um", "0.2"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    [told] = [event for event in found if event["event"] == "verification"]
    assert told["place"] == "bench 7 on unix32" and len(told["points"]) == 2
    assert abs(told["checks"][0]["difference"]) < 20
    # this head's D and C0 are not those of its drawing: nobody has calibrated it yet
    assert done.returncode == (0 if told["accepted"] else 1)
