"""A board on a port, as a host sees it: both emulated ones always, a real one when it is named.

    POROGAUGE_TEST_PORT=/dev/ttyACM0 .venv/bin/python -m pytest -v hil_tests/test_port.py

The real board has its sensors, real or emulated ones, wired to it. It is asked, listened to for
10 s, sent garbage, and held for a moment, which drops its reject relay. Its configuration is
changed and put back only with POROGAUGE_TEST_PORT_WRITE=1. (The program's own POROGAUGE_PORT is
not used: `make test` must not touch a gauge that is at work.)
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from gauge import config, health, record
from gauge.link import protocol
from porogauge.demo import emulated_board
from porogauge.link.client import Client
from porogauge.link.port import Port
from porogauge.live import LinesView
from porogauge.logger import Logger
from porogauge.store import Store
from porogauge.units import decode_status
from porogauge_bench.calibration import exact_words
from porogauge_bench.fields import CONVERSIONS_MS
from porogauge_bench.scenario import Scenario

SCENARIO = Path(__file__).resolve().parent / "scenarios" / "ideal.toml"
REAL = os.environ.get("POROGAUGE_TEST_PORT")
WRITE = os.environ.get("POROGAUGE_TEST_PORT_WRITE") == "1"
BAUD = 921_600
CONNECT_S = 60
MEASURING_S = 60
LOG_S = {"real": 10, "rp2040": 5, "unix32": 5}
SLACK_US = 2  # of a window's length against the stamps of its ends


@pytest.fixture(scope="module", params=["rp2040", "unix32", "real"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def port(kind):
    if kind == "real":
        if not REAL:
            pytest.skip("no board: POROGAUGE_TEST_PORT names the port of one")
        yield REAL
        return
    with emulated_board(SCENARIO, kind) as board:
        with asking(board.url) as client:
            client.push_config(config.pack(exact_words(Scenario.load(SCENARIO))))
            await_state(client, "measuring")
        yield board.url


def asking(port):
    """A connection for commands only."""
    client = Client(port, timeout_s=CONNECT_S, stream=False)
    client.connect()
    return client


def await_state(client, *names):
    """Return the status as soon as its state is one of `names`."""
    end = time.monotonic() + MEASURING_S
    while (status := decode_status(client.status()))["state"] not in names:
        assert time.monotonic() < end, f"{status['state']}: {status['state_reason']}"
        client.pump(0.1)
    return status


def test_it_says_who_and_how_it_is(port):
    with asking(port) as client:
        hello = client.hello  # a board of another record layout would have been refused
        status = decode_status(client.status())
        machine = client.health()
    assert hello.board and len(bytes.fromhex(hello.device)) == 8
    assert hello.boot >= 1 and hello.ring_bytes >= 8192
    assert set(machine) == set(health.HEALTH_NAMES) and machine["heap_free"] > 4096
    assert status["state"] in record.STATE_NAMES
    print(f"\n{port}: {hello.board}, firmware {hello.firmware}, {status['state']}")


def test_its_sensors_are_well(port):
    with asking(port) as client:
        faults = client.faults()
    faults.pop("configuration", None)
    assert not faults, "\n".join(f"{name}: {text}" for name, text in faults.items())


def test_its_configuration_is_read_back(port):
    with asking(port) as client:
        blob = client.read_config()
        configured = decode_status(client.status())["configured"]
        unconfigured = "configuration" in client.faults()
    assert configured == bool(blob) == (not unconfigured)
    if blob:
        assert config.pack(config.unpack(blob)) == blob


def test_its_configuration_is_changed_and_put_back(port, kind):
    if kind == "real" and not WRITE:
        pytest.skip("POROGAUGE_TEST_PORT_WRITE=1 allows to write to the board")
    with asking(port) as client:
        blob = client.read_config()
        if not blob:
            pytest.skip("the board has no configuration that could be put back")
        words = config.unpack(blob)
        words[config.MARKER_LENGTH_MM] ^= 1
        try:
            client.push_config(config.pack(words))
            assert client.read_config() == config.pack(words)
        finally:
            client.push_config(blob)
        assert client.read_config() == blob
        if kind != "real":
            await_state(client, "measuring")  # its lasers are set up anew


def test_its_records_are_logged_whole_and_in_order(port, kind, tmp_path):
    with Client(port, timeout_s=CONNECT_S) as client, Store(tmp_path / "roll.db") as store:
        client.connect()
        view = LinesView(print)
        client.health()  # makes the board look at its heap
        Logger(client, store, view).run(1.0)  # what waited in the board's ring, and start-up
        blob, before = client.read_config(), client.health()
        began = client.next_seq
        logged = Logger(client, store, view).run(LOG_S[kind])
        client.health()
        time.sleep(0.1)
        after = client.health()
        [(device, boot)] = logged.boots or [(client.hello.device, client.boot)]
        rows = [row for row in store.rows(device, boot) if row[record.SEQ] >= began]
        state = store.completeness(device, boot, began)
    assert not logged.lost and not logged.duplicates and not logged.interruptions
    assert not state.gaps and not list(state.missing)

    rate = config.unpack(blob)[config.CAP_RATE] if blob else 0
    period = round(1000 * CONVERSIONS_MS[rate])
    windows = len(rows)
    assert windows > 2
    assert [row[record.SEQ] for row in rows] == list(range(began, began + windows))
    ends = [1_000_000 * row[record.T_S] + row[record.T_US] for row in rows]
    for row, old, new in zip(rows[1:], ends, ends[1:], strict=False):
        assert new > old
        assert abs(row[record.DT_US] - period) <= period // 16
        if not row[record.LOST]:
            assert abs(new - old - row[record.DT_US]) <= SLACK_US
    made = windows - 1 + sum(row[record.LOST] for row in rows[1:])
    assert ends[-1] - ends[0] == pytest.approx(made * period, rel=1 / 16)
    for row in rows:
        assert row[record.VALID] == 0 or row[record.STATE] == record.STATE_MEASURING
        assert row[record.OUTPUTS] & record.OUT_GOOD == 0 or row[record.VALID]

    # An allocation in every window would be 16 bytes at least; garbage is collected meanwhile.
    assert after["heap_alloc"] - before["heap_alloc"] < 8 * windows
    standardised = {row[record.STATE] for row in rows} & {record.STATE_STANDARDISING}
    if not standardised:  # then the flash is written, once
        # a look at the heap, which takes most of a window, and the work on windows around it
        assert after["loop_max_us"] < 2 * period


def test_it_holds_and_resumes(port):
    with asking(port) as client:
        client.request(protocol.HOLD)
        held = await_state(client, "hold", "fault")
        client.request(protocol.RESUME)
        refused = client.session.request(255)
        while not refused.ended:
            client.pump(0.05)
    assert "good" not in held["outputs"]
    assert refused.status == protocol.UNKNOWN


def test_garbage_does_not_disturb_the_link(port):
    with asking(port) as client:
        before = client.health()
    line = Port(port, BAUD)
    line.write(random.Random(2).randbytes(3000))
    line.close()
    with asking(port) as client:
        after = client.health()
    assert after["uptime_s"] >= before["uptime_s"]
    assert after["link_bad_frames"] > before["link_bad_frames"]
