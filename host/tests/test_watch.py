"""`porogauge watch`: the newest window, beside a logger or on a port; it ends by itself."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import roll_data
from click.testing import CliRunner

from gauge import record
from porogauge.cli import cli
from porogauge.store import Clock, Store
from porogauge.watching import of_database

HERE = Path(__file__).parent


def film(seq):
    if seq == 999:
        flags = record.FLAG_THICKNESS_HI | record.FLAG_STANDARDISATION_DUE
        return {"thickness_8nm": 224_000, "flags": flags, "latched": record.FLAG_THICKNESS_HI}
    return {}


@pytest.fixture
def database(tmp_path):
    return roll_data.database(tmp_path / "roll.db", change=film)


def run(*arguments):
    return CliRunner().invoke(cli, ["watch", *map(str, arguments)])


def test_the_newest_window_with_limits_and_reasons(database):
    result = run(database, "--json")
    (told,) = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 0
    assert (told["state"], told["boot"], told["seq"]) == ("measuring", 1, 999)
    thickness = told["numbers"]["thickness"]
    assert (thickness["value"], thickness["u95"]) == (28.0, pytest.approx(0.4))
    assert thickness["limits"]["hihi"] == 30.0
    flags = {flag["flag"]: flag for flag in told["flags"]}
    assert flags.keys() == {"thickness_hi", "standardisation_due"}
    assert flags["thickness_hi"]["excess"] == pytest.approx(0.5)
    assert flags["thickness_hi"]["latched"]
    assert told["rate_hz"] == pytest.approx(1 / 0.011, rel=1e-3)


def test_lines_for_people_without_a_terminal(database):
    result = run(database)
    assert result.exit_code == 0
    for part in ("28.00 ± 0.40 µm", "20 to 30", "limit HI", "waits for an acknowledgement"):
        assert part in result.stdout
    assert "nobody logs" in result.stdout  # its clock is not known


def test_beside_a_logger(database):
    with Store(database) as logger, Store(database, read_only=True) as store:
        before = of_database(store)
        roll_data.fill(logger, first=1000, count=20)
        logger.clock(roll_data.DEVICE, 1, Clock(0, time.time() - 11.2))
        after = of_database(store)
    assert (before["seq"], after["seq"]) == (999, 1019)
    assert after["age_s"] < 5 and not after["flags"]


def test_what_cannot_be_watched(tmp_path, database):
    with Store(tmp_path / "empty.db"):
        pass
    assert run(tmp_path / "empty.db").exit_code == 2
    assert run(database, "--device", "feed").exit_code == 2
    assert run(database, "--port", "socket://127.0.0.1:1").exit_code == 2
    assert run("--device", "feed").exit_code == 2
    assert run("--port", "socket://127.0.0.1:1", "--wait", "0.2").exit_code == 3


def test_a_terminal_is_drawn_for_a_while(database):
    pty = pytest.importorskip("pty")
    import os

    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "porogauge", "watch", str(database), "--duration", "0.5"]
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.PIPE) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
        assert process.wait(60) == 0, process.stderr.read()
    os.close(leader)
    assert "28.00 ± 0.40 µm" in shown.decode()


def test_on_a_port():
    gauge = subprocess.Popen(
        [sys.executable, str(HERE / "fake_gauge.py"), "--steady"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(gauge.stdout.readline())
        result = run("--port", f"socket://127.0.0.1:{port}", "--json")
    finally:
        gauge.stdin.close()
        gauge.wait(10)
    assert result.exit_code == 0, result.output
    (told,) = map(json.loads, result.stdout.splitlines())
    assert told["device"] == roll_data.DEVICE and told["source"] == "link"
    assert told["state"] in record.STATE_NAMES
