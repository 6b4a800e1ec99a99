"""The logger killed at random instants, and started again on the same database: nothing is lost.

    POROGAUGE_KILLS=200 .venv/bin/python -m pytest -s hil_tests/test_host_killed.py

A board is served on a port while loggers come and die by SIGKILL, each a process of its own: while
it opens the database, connects, stores, acknowledges, or fetches what the board kept in its flash
while nobody was there. `make soak` kills 200 of them, `make test` a few.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from gauge import config
from porogauge.demo import emulated_board
from porogauge.journal import entries
from porogauge.link.client import Client
from porogauge.live import LinesView
from porogauge.logger import Logger
from porogauge.store import Store
from porogauge_bench.calibration import exact_words
from porogauge_bench.scenario import Scenario

SCENARIO = Path(__file__).resolve().parent / "scenarios" / "ideal.toml"
KILLS = int(os.environ.get("POROGAUGE_KILLS", 12))
PACE = 3.0  # virtual seconds in one of the wall: as fast as the host's own times allow
LONGEST_S = 0.9  # of a logger's life
COMMAND_S = 2.5  # the same of the whole command, which has to start first
EACH_COMMAND = 8  # one of so many is the command, the others are forked and begin at once
EACH_AWAY = 48  # before one of so many there is
AWAY_S = 10.0  # wall time without any logger, in which the board's memory overflows

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")


def log(url: str, path: str) -> None:
    """Body of a logger's process."""
    with (
        Store(path, lock=True) as store,
        Client(url, timeout_s=30, known=store.settled, fetched=store.fetched) as client,
    ):
        client.connect()
        Logger(client, store, LinesView(lambda _: None)).run()


def kill_one(url: str, path: Path, draw: random.Random, number: int) -> None:
    """Start a logger, and kill it at a random instant."""
    if number % EACH_COMMAND == EACH_COMMAND - 1:
        process = subprocess.Popen(
            [sys.executable, "-m", "porogauge", "log", "--port", url, "--to", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(draw.uniform(0, COMMAND_S))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    else:
        process = multiprocessing.get_context("fork").Process(target=log, args=(url, str(path)))
        process.start()
        # half of them early, while the database is opened and the board is connected
        time.sleep(draw.uniform(0, draw.choice((0.1, LONGEST_S))))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL


def test_killed_at_random_instants(tmp_path):
    path = tmp_path / "roll.db"
    draw = random.Random(5)
    file = tmp_path / "long.toml"
    file.write_text(SCENARIO.read_text().replace("duration_s = 10", "duration_s = 10000"))
    scenario = Scenario.load(file)
    counts = []
    with emulated_board(file, "unix32", pace=PACE) as board:
        with Client(board.url, timeout_s=60, stream=False) as client:
            client.connect()
            client.push_config(config.pack(exact_words(scenario)))
        for number in range(KILLS):
            if number % EACH_AWAY == 5:
                time.sleep(AWAY_S)
            kill_one(board.url, path, draw, number)
            if path.exists() and path.stat().st_size:
                with Store(path) as store:  # opens, is whole, and shows no hole of its own
                    counts.append(store.count())
        with (
            Store(path, lock=True) as store,
            Client(board.url, timeout_s=30, known=store.settled, fetched=store.fetched) as client,
        ):
            client.connect()
            summary = Logger(client, store, LinesView(print)).run(3.0)
            newest = client.session.newest_seq
            [(device, boot)] = summary.boots
            state = store.completeness(device, boot, 0)
            batches = (store.fetched(device) or 0) - len(list(entries(store)))
            times = list(store.columns(("seq", "t_s", "t_us", "dt_us", "lost"), device, boot))
    print(
        f"{KILLS} loggers killed, {len(counts)} databases opened after them:"
        f" {state.stored} windows stored, {state.gaps} in gaps, {len(state.missing)} holes;"
        f" {batches} batches of records were fetched out of flash"
    )
    assert counts == sorted(counts) and batches > 0
    assert summary.lost == 0 and state.complete and state.last >= newest - 50
    assert [row[0] for row in times] == list(range(len(times)))
    for (_, s, us, *_), (seq, t_s, t_us, dt_us, lost) in pairwise(times):
        step = 1_000_000 * (t_s - s) + t_us - us
        assert lost or abs(step - dt_us) <= 2, f"window {seq} does not follow the one before"
