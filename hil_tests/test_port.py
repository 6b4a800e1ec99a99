"""A board on a port, as a host sees it: an emulated one always, a real one when it is named.

    POROGAUGE_TEST_PORT=/dev/ttyACM0 .venv/bin/python -m pytest hil_tests/test_port.py

The real board's recipe and calibration stay as they are: it is asked and listened to, and held
for a moment, which drops its reject relay. Its sensors may be real or emulated, or absent.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gauge import config, health, record
from gauge.link import protocol
from porogauge.demo import emulated_board
from porogauge.link import events
from porogauge.link.client import Client
from porogauge.units import decode_status

SCENARIO = Path(__file__).resolve().parent / "scenarios" / "ideal.toml"
REAL = os.environ.get("POROGAUGE_TEST_PORT")
RECORDS = 250


@pytest.fixture(scope="module", params=["emulated", "real"])
def port(request):
    if request.param == "emulated":
        with emulated_board(SCENARIO, "rp2040") as board:
            yield board.url
    elif REAL:
        yield REAL
    else:
        pytest.skip("no board: POROGAUGE_TEST_PORT names the port of one")


def test_it_says_who_and_how_it_is(port):
    with Client(port, timeout_s=60, stream=False) as client:
        hello = client.connect()
        status = decode_status(client.status())
        machine = client.health()
        faults = client.faults()
        blob = client.read_config()
    assert hello.board.startswith("POROGAUGE_") and len(bytes.fromhex(hello.device)) == 8
    assert hello.boot >= 1 and hello.ring_bytes >= 8192
    assert machine["heap_free"] > 4096 and machine["link_bad_frames"] == 0
    assert set(machine) == set(health.HEALTH_NAMES)
    assert status["configured"] == bool(blob) == ("configuration" not in faults)
    if blob:
        assert config.pack(config.unpack(blob)) == blob
    if "capacitance_fault" in status["flags"]:
        assert faults["capacitance"]
    print(f"\n{port}: {hello.board}, firmware {hello.firmware}, {status['state']}, {faults}")


def test_its_records_come_whole_and_in_order(port):
    rows, gaps = [], []
    with Client(port, timeout_s=60) as client:
        client.connect()
        for _ in range(1200):  # a tenth of a second each at most
            for event in client.pump(0.1):
                if isinstance(event, events.Records):
                    rows += event.rows
                elif isinstance(event, events.Gap) and rows:
                    gaps.append(event)
            client.commit(client.boot, client.next_seq)
            if len(rows) >= RECORDS:
                break
    assert len(rows) >= RECORDS and gaps == []
    first = rows[0][record.SEQ]
    assert [row[record.SEQ] for row in rows] == list(range(first, first + len(rows)))
    times = [1_000_000 * row[record.T_S] + row[record.T_US] for row in rows]
    assert all(old < new for old, new in zip(times, times[1:], strict=False))
    for row in rows:
        assert row[record.VALID] == 0 or row[record.STATE] == record.STATE_MEASURING
        assert row[record.OUTPUTS] & record.OUT_GOOD == 0 or row[record.VALID]


def test_it_holds_and_resumes(port):
    with Client(port, timeout_s=60, stream=False) as client:
        client.connect()
        client.request(protocol.HOLD)
        for _ in range(20):
            client.pump(0.1)
            held = decode_status(client.status())
            if held["state"] in ("hold", "fault"):
                break
        client.request(protocol.RESUME)
        refused = client.session.request(255)
        while not refused.ended:
            client.pump(0.05)
    assert held["state"] in ("hold", "fault") and "good" not in held["outputs"]
    assert refused.status == protocol.UNKNOWN
