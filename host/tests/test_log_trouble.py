"""`porogauge log` when something is wrong: a clear message, the right exit code, nothing damaged.

In real processes, against `fake_gauge.py`. What was stored before stays, what could not be stored
is not acknowledged, and comes when the trouble is over.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest
from test_log import (  # noqa: F401  fixtures, too
    DEVICE,
    check,
    environment,
    fake_gauge,
    gauge,
    run,
    start,
    wait_for_records,
)

from gauge import record
from porogauge import logger
from porogauge.link import events
from porogauge.link.clock import Relation
from porogauge.store import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals, terminals, limits of a process")

SMALL_BYTES = 200_000  # of any file, for a process that is to run out of room


def wait_until(condition, timeout_s=20):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.02)


# ---------------------------------------------------------------- the port


def test_unplugged_and_back(gauge, tmp_path):  # noqa: F811
    database, tty = tmp_path / "roll.db", tmp_path / "ttyGauge"
    board = gauge("--records", 1500, "--rate", 300, "--tty", tty)
    process = start("log", "--port", tty, "--to", database, "--duration", 6)
    for count in (100, 500):
        wait_for_records(database, count)
        os.write(board.process.stdin.fileno(), b"x")
        wait_until(lambda: not tty.exists())
        time.sleep(0.5)
        os.write(board.process.stdin.fileno(), b"x")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert " 2 interruptions, 0 windows lost" in out and "Traceback" not in err
    assert check(database) == list(range(1500))
    with Store(database, read_only=True) as store:
        assert len(store.events("link_down")) == 2 and store.gaps() == []


def test_two_loggers_on_one_board(gauge, tmp_path):  # noqa: F811
    """On a port each has its own; the second one leaves the first in peace."""
    tty = tmp_path / "ttyGauge"
    gauge("--records", 600, "--rate", 300, "--tty", tty)
    process = start("log", "--port", tty, "--to", tmp_path / "one.db", "--duration", 4)
    wait_for_records(tmp_path / "one.db", 50)
    for command in (("log", "--to", tmp_path / "two.db"), ("status",)):
        code, _, err = run(*command, "--port", tty, "--wait", 0.5)
        assert code == 3 and "is in use by another program; close it" in err, err
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and "0 interruptions, 0 windows lost" in out, err
    assert check(tmp_path / "one.db") == list(range(600))
    with Store(tmp_path / "two.db", read_only=True) as store:
        assert store.count() == 0


def test_a_board_of_another_firmware(gauge, tmp_path):  # noqa: F811
    database = tmp_path / "roll.db"
    url = gauge("--records", 100, "--layout", "01020304").url
    code, _, err = run("log", "--port", url, "--to", database)
    assert code == 4 and "record layout 01020304" in err and "flash or deploy the firmware" in err
    assert run("status", "--port", url)[0] == 4
    with Store(database, read_only=True) as store:
        assert store.count() == 0


def test_a_board_of_another_firmware_comes_to_the_port(gauge, tmp_path):  # noqa: F811
    """What the first one sent stays; the second one's records are not taken for its."""
    database = tmp_path / "roll.db"
    first = gauge("--records", 200, "--rate", 1000)
    process = start("log", "--port", first.url, "--to", database)
    wait_for_records(database, 200)
    first.stop()
    gauge("--records", 300, "--rate", 1000, "--layout", "01020304", "--port", first.port)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 4 and "record layout 01020304" in err, err
    assert check(database) == list(range(200))


# ---------------------------------------------------------------- the database


def limited():
    """In the child: no file may grow beyond a limit, as if the disk were full."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, SMALL_BYTES))


def test_full_disk(gauge, tmp_path):  # noqa: F811
    database = tmp_path / "roll.db"
    url = gauge("--records", 1500, "--rate", 1000).url
    code, out, err = run("log", "--port", url, "--to", database, preexec_fn=limited)
    assert code == 1 and "free some space: the board keeps what is not yet stored" in err, err
    assert "Traceback" not in err and "roll.db" in err
    stored = check(database)
    assert stored == list(range(len(stored))) and len(stored) < 1500
    code, _, err = run("log", "--port", url, "--to", database, "--duration", 3)
    assert code == 0, err
    assert check(database) == list(range(1500))


def test_damaged_database(gauge, tmp_path):  # noqa: F811
    database = tmp_path / "roll.db"
    with Store(database) as store:
        store.append(DEVICE, 1, [tuple(fake_gauge.words(seq, 1)) for seq in range(2000)])
    data = bytearray(database.read_bytes())
    for at in range(4096 * 5, len(data) - 4096, 4096):
        data[at : at + 64] = bytes(64)
    database.write_bytes(data)
    url = gauge("--records", 100).url
    code, _, err = run("log", "--port", url, "--to", database)
    assert code == 1 and "is damaged or not a database" in err and ".recover" in err, err
    assert database.read_bytes() == data
    code, _, err = run("log", "--port", url, "--to", tmp_path / "new.db", "--duration", 1.5)
    assert code == 0 and check(tmp_path / "new.db") == list(range(100)), err


@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_the_file_goes_away_while_it_is_written(gauge, tmp_path, how):  # noqa: F811
    """SQLite would go on writing into a file without a name; the logger must not."""
    database, away = tmp_path / "roll.db", tmp_path / "away.db"
    url = gauge("--records", 1200, "--rate", 300).url
    process = start("log", "--port", url, "--to", database)
    wait_for_records(database, 50)
    database.unlink() if how == "deleted" else database.rename(away)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1 and "was moved or deleted while it is written" in err, err
    if how == "renamed":
        away.rename(database)
        code, _, err = run("log", "--port", url, "--to", database, "--duration", 4)
        assert code == 0 and check(database) == list(range(1200)), err


def obedient():
    """In the child: permissions hold for root as for anybody (Linux; CAP_DAC_OVERRIDE goes)."""
    import ctypes

    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="permissions of Linux")
def test_read_only_folder_and_file(gauge, tmp_path):  # noqa: F811
    folder = tmp_path / "folder"
    folder.mkdir()
    database = folder / "roll.db"
    with Store(database) as store:
        store.append(DEVICE, 1, [tuple(fake_gauge.words(seq, 1)) for seq in range(10)])
    database.chmod(0o444)
    folder.chmod(0o555)
    before = database.read_bytes()
    url = gauge("--records", 100).url
    try:
        for name in ("roll.db", "new.db"):
            code, _, err = run("log", "--port", url, "--to", folder / name, preexec_fn=obedient)
            assert code == 1 and "check that the folder exists and is yours" in err, err
            assert name in err and "Traceback" not in err
        code, out, err = run("export", database, "--to", "-", preexec_fn=obedient)
        assert code == 0 and out.count("\n") == 11, err
        assert database.read_bytes() == before and os.listdir(folder) == ["roll.db"]
        folder.chmod(0o755)  # the file alone
        code, _, err = run("log", "--port", url, "--to", database, preexec_fn=obedient)
        assert code == 1 and "is read-only; check the permissions of file and folder" in err, err
        assert database.read_bytes() == before
    finally:
        folder.chmod(0o755)


# ---------------------------------------------------------------- clocks


def test_a_wall_clock_that_jumps(monkeypatch):
    """Set by an hour while logging: records are those of the board's clock, the change is told."""
    wall = SimpleNamespace(offset=1_700_000_000.0)
    monkeypatch.setattr(
        logger,
        "time",
        SimpleNamespace(monotonic=time.monotonic, time=lambda: time.monotonic() + wall.offset),
    )
    messages = []
    view = SimpleNamespace(update=lambda _: None, message=messages.append)
    relation = Relation(10.0, time.monotonic(), 1.0, 0.001, 1e-5)

    class Client:
        session = SimpleNamespace(clock=SimpleNamespace(relation=relation))
        fetching, boot = False, 1

        def pump(self, _):
            return []

        def commit(self, boot, next_seq):
            pass

        def read_config(self):
            return b""

    def rows(first):
        return [tuple(fake_gauge.words(seq, 1)) for seq in range(first, first + 5)]

    hello = SimpleNamespace(device=DEVICE, boot=1, board="B", firmware="F", next_seq=0)
    with Store(":memory:") as store:
        one = logger.Logger(Client(), store, view, commit_every_s=0)
        one._take(events.Connected(hello, False))
        one._take(events.Records(DEVICE, 1, rows(0)))
        one.step(time.monotonic())
        before = store.boots()[0]["clock"].wall(10_000_000)
        wall.offset -= 3600
        one._take(events.Records(DEVICE, 1, rows(5)))
        one.step(time.monotonic() + logger.CLOCK_EVERY_S)
        after = store.boots()[0]["clock"].wall(10_000_000)
        assert abs(before - after - 3600) < 0.5
        assert [row[record.SEQ] for row in store.rows(DEVICE, 1)] == list(range(10))
        (told,) = store.events("clock_set")
        assert abs(told["text"]["by_s"] + 3600) < 0.5
        assert sum("clock was set by -3600" in text for text in messages) == 1
