"""`porogauge log` and its relatives against a gauge on a socket, in real processes.

The gauge is `fake_gauge.py`: the board's own session with made-up records, so that every word
that must be in the database is known.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gauge import config
from porogauge import recipe
from porogauge.book import Book
from porogauge.store import Store

HERE = Path(__file__).parent
DEVICE = "e661a4d4178c2b2f"

_spec = importlib.util.spec_from_file_location("fake_gauge", HERE / "fake_gauge.py")
fake_gauge = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_gauge)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Nothing of the user's settings; the children import what this process imports."""
    for name in list(os.environ):
        if name.startswith("POROGAUGE_") and name != "POROGAUGE_BOOK":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


class Gauge:
    """A fake gauge in a process; `arguments` are those of fake_gauge.py."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "fake_gauge.py"), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline())
        self.url = f"socket://127.0.0.1:{self.port}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def gauge():
    made = []

    def make(*arguments):
        made.append(Gauge(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def run(*arguments, **options):
    """Run the command and return (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "porogauge", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "porogauge", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def wait_for_records(path, count, timeout_s=20):
    """Until another process has stored so many records."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if path.exists() and path.stat().st_size:
            try:
                with Store(path, read_only=True, check=False) as store:
                    if store.count() >= count:
                        return
            except Exception:  # noqa: BLE001  the file is being made
                pass
        time.sleep(0.05)
    raise AssertionError(f"{path} has not got {count} records in {timeout_s} s")


def check(path, boot=1):
    """All stored records are what the gauge made, word for word; returns their numbers."""
    with Store(path, read_only=True) as store:
        rows = list(store.rows(DEVICE, boot))
    for row in rows:
        assert row == tuple(fake_gauge.words(row[0], boot))
    return [row[0] for row in rows]


# ---------------------------------------------------------------- logging


def test_everything_is_stored_once_and_reported(gauge, tmp_path):
    database = tmp_path / "roll.db"
    url = gauge("--records", 600).url
    code, out, err = run("log", "--port", url, "--to", database, "--duration", 2.5)
    assert code == 0, err
    assert "600 records stored" in out and "0 windows lost" in out
    assert f"connected to {DEVICE}" in err and "measuring" in err
    assert check(database) == list(range(600))
    # again: nothing new, nothing lost
    code, out, err = run("log", "--port", url, "--to", database, "--duration", 1, "--json")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    summary = events[-1]
    assert summary["event"] == "summary" and summary["stored"] == 0 and summary["lost"] == 0
    assert {"message", "progress"} <= {event["event"] for event in events}
    with Store(database, read_only=True) as store:
        (boot,) = store.boots()
        assert boot["board"] == "FAKE" and boot["clock"] is not None
        assert abs(boot["clock"].wall_s - time.time()) < 60
        assert [event["kind"] for event in store.events()].count("log_stopped") == 2


def test_interrupted_it_ends_cleanly_and_goes_on_later(gauge, tmp_path):
    database = tmp_path / "roll.db"
    url = gauge("--records", 900).url
    process = start("log", "--port", url, "--to", database)
    wait_for_records(database, 50)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "records stored" in out and "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["roll.db"]
    seqs = check(database)
    assert seqs == list(range(len(seqs)))
    code, _, err = run("log", "--port", url, "--to", database, "--duration", 3)
    assert code == 0, err
    assert check(database) == list(range(900))


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_killed_it_goes_on_without_loss(gauge, tmp_path):
    database = tmp_path / "roll.db"
    url = gauge("--records", 1200, "--rate", 600).url
    for count in (60, 300):
        process = start("log", "--port", url, "--to", database)
        wait_for_records(database, count)
        process.kill()
        process.communicate()
    code, out, err = run("log", "--port", url, "--to", database, "--duration", 3)
    assert code == 0, err
    assert check(database) == list(range(1200))


def test_the_gauge_goes_away_and_comes_back_as_another_boot(gauge, tmp_path):
    database = tmp_path / "roll.db"
    first = gauge("--records", 200, "--rate", 1000)
    process = start("log", "--port", first.url, "--to", database, "--duration", 9)
    wait_for_records(database, 200)
    first.stop()
    second = gauge("--records", 300, "--rate", 1000, "--boot", 2, "--port", first.port)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "restarted: boot 1 → 2" in err and " 1 interruptions" in out
    assert check(database, 1) == list(range(200))
    assert check(database, 2) == list(range(300))
    assert second.process.poll() is None


def test_windows_that_the_board_never_made_are_a_gap_and_exit_5(gauge, tmp_path):
    database = tmp_path / "roll.db"
    url = gauge("--records", 300, "--skip", 100, "--rate", 1000).url
    code, out, err = run("log", "--port", url, "--to", database, "--duration", 2)
    assert code == 5 and "5 windows lost" in out and "error: 5 windows were lost" in err
    assert check(database) == [n for n in range(300) if not 100 <= n < 105]
    with Store(database, read_only=True) as store:
        (gap,) = store.gaps()
    assert (gap["from_seq"], gap["to_seq"], gap["cause"]) == (100, 104, "not_recorded")


def test_what_was_dropped_before_anybody_listened_is_a_gap_but_no_loss(gauge, tmp_path):
    database = tmp_path / "roll.db"
    url = gauge("--records", 3000, "--rate", 100_000, "--ring", 16_384).url
    time.sleep(2)
    code, out, err = run("log", "--port", url, "--to", database, "--duration", 2)
    assert code == 0, err
    seqs = check(database)
    assert 0 < len(seqs) < 3000 and seqs == list(range(seqs[0], 3000))
    with Store(database, read_only=True) as store:
        assert {gap["cause"] for gap in store.gaps()} == {"overwritten"}
        assert store.completeness(DEVICE, 1).gaps == seqs[0]


def test_recipe_goes_to_the_gauge_first_and_stays_with_the_roll(gauge, tmp_path):
    database = tmp_path / "roll.db"
    files = tmp_path / "files"
    run("recipe", "init", files)
    url = gauge("--records", 100).url
    code, _, err = run(
        *("log", "--port", url, "--to", database, "--duration", 1),
        *("--recipe", files / "recipe.toml", "--calibration", files / "calibration.toml"),
    )
    assert code == 0, err
    words = recipe.compile_words(recipe.standard_recipe(), recipe.standard_calibration())
    with Store(database, read_only=True) as store:
        (stored,) = store.configurations(DEVICE, 1)
    assert stored["blob"] == config.pack(words) and stored["from_seq"] == 0
    assert 'name = "porous polyimide 25 um"' in stored["recipe"]
    assert "gap_um = 500" in stored["calibration"]


# ---------------------------------------------------------------- what cannot work


def test_two_loggers_on_one_database(gauge, tmp_path):
    database = tmp_path / "roll.db"
    url = gauge().url
    process = start("log", "--port", url, "--to", database)
    try:
        wait_for_records(database, 10)
        code, _, err = run("log", "--port", url, "--to", database)
        assert code == 3 and "another porogauge is writing into it" in err
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_nobody_there(tmp_path):
    database = tmp_path / "roll.db"
    for port in ("socket://127.0.0.1:9", str(tmp_path / "none")):
        code, out, err = run("log", "--port", port, "--to", database, "--wait", 0.5)
        assert code == 3 and err.splitlines()[-1].startswith(f"error: {port}"), err
    code, out, err = run("status", "--port", "socket://127.0.0.1:9", "--wait", 0.5, "--json")
    (line,) = out.splitlines()
    assert code == 3 and json.loads(line)["event"] == "error" and json.loads(line)["code"] == 3


def test_a_boot_counter_that_started_again(gauge, tmp_path):
    """The same boot number with other records: told, and nothing overwritten."""
    database = tmp_path / "roll.db"
    with Store(database) as store:
        store.append(DEVICE, 1, [fake_gauge.words(seq, 7) for seq in range(50)])
    url = gauge("--records", 40).url
    time.sleep(0.3)
    code, _, err = run("log", "--port", url, "--to", database, "--duration", 2)
    assert code == 4 and "boot counter has started again" in err
    with Store(database, read_only=True) as store:
        assert list(store.rows(DEVICE, 1))[3] == tuple(fake_gauge.words(3, 7))


# ---------------------------------------------------------------- commands


def test_commands_of_a_gauge(gauge, tmp_path):
    url = gauge().url
    code, out, err = run("status", "--port", url, "--health")
    assert code == 0 and "measuring: film present" in out and "± 0.38 µm" in out, err
    assert "climate         does not answer: check its power" in out
    assert "uptime_s" in out and "none: 'porogauge recipe push' sends one" in out
    code, out, _ = run("status", "--port", url, "--json")
    status = json.loads(out)
    assert code == 0 and status["event"] == "status" and status["device"] == DEVICE
    assert status["latched"] == ["thickness_hihi", "watchdog_restart"]
    assert status["faults"] == {"climate": "does not answer: check its power, SDA and SCL"}

    assert run("acknowledge", "thickness_hihi", "--port", url)[1] == (
        "still latched: watchdog restart\n"
    )
    assert run("acknowledge", "--port", url, "--json")[1] == (
        '{"event": "acknowledged", "latched": []}\n'
    )
    code, _, err = run("acknowledge", "thicknes_hihi", "--port", url)
    assert code == 2 and "did you mean 'thickness_hihi'" in err

    code, out, _ = run("standardise", "--port", url)
    assert code == 0 and "as found 5.5660 pF, as left 5.5661 pF" in out
    assert run("hold", "--port", url)[1] == "hold: hold requested\n"
    code, _, err = run("standardise", "--port", url)
    assert code == 1 and "the gauge is on hold" in err
    assert json.loads(run("resume", "--port", url, "--json")[1])["state"] == "measuring"


def test_a_refused_standardisation(gauge):
    from gauge import record

    url = gauge("--refuse", record.REASON_STANDARDISATION_REFUSED).url
    code, _, err = run("standardise", "--port", url)
    assert code == 1 and "standardisation refused" in err and "clean the head" in err


def test_recipe_push_and_show(gauge, tmp_path):
    url = gauge().url
    run("recipe", "init", tmp_path)
    code, _, err = run("recipe", "show", "--port", url)
    assert code == 1 and "has no recipe and calibration" in err
    code, _, err = run("recipe", "push", tmp_path / "recipe.toml", "--port", url)
    assert code == 1 and "has no calibration yet: send one together with the recipe" in err
    both = (tmp_path / "recipe.toml", tmp_path / "calibration.toml")
    code, out, err = run("recipe", "push", *both, "--port", url)
    assert code == 0 and "read back, equal" in out, err
    # another recipe alone: the board keeps its calibration
    text = both[0].read_text().replace("version = 1", "version = 2")
    both[0].write_text(text.replace("permittivity = 3.3", "permittivity = 3.4"))
    code, out, _ = run("recipe", "push", both[0], "--port", url, "--json")
    pushed = json.loads(out)
    code, out, _ = run("recipe", "show", "--port", url)
    shown = tmp_path / "shown.toml"
    shown.write_text(out)
    tables = recipe.split(recipe.load(shown))
    assert (
        tables["recipe"]["material"]["permittivity"]
        == recipe.load(both[0])["material"]["permittivity"]
    )
    assert float(tables["calibration"]["capacitance"]["gap_um"]) == 500
    assert f"# recipe {pushed['recipe_id']}" in out
    # a bad file changes nothing on the board
    both[0].write_text(text.replace("permittivity = 3.3", "permittivity = 33"))
    code, _, err = run("recipe", "push", both[0], "--port", url)
    assert code == 1 and "material.permittivity: 33 is out of range; legal: 1.05 to 20" in err
    assert run("recipe", "show", "--port", url)[1] == out


def entries():
    return Book().audit.entries()


def test_what_changes_a_gauge_is_in_the_log(gauge, tmp_path):
    url = gauge().url
    run("acknowledge", "thickness_hihi", "--port", url, "--by", "shift 2", "--why", "cut out")
    (entry,) = entries()
    assert (entry["kind"], entry["subject"], entry["who"]) == (
        "acknowledgement",
        DEVICE,
        "shift 2",
    )
    assert entry["before"] == {"latched": ["thickness_hihi", "watchdog_restart"]}
    assert entry["after"] == {"latched": ["watchdog_restart"]}
    run("recipe", "init", tmp_path)
    files = tmp_path / "recipe.toml", tmp_path / "calibration.toml"
    code, out, err = run("recipe", "push", *files, "--port", url, "--json")
    assert code == 0, err
    pushed = json.loads(out.splitlines()[-1])
    recipe_, calibration, push = entries()[1:]
    assert recipe_["after"]["id"] == pushed["recipe_id"]
    assert calibration["after"]["id"] == pushed["calibration_id"]
    assert push["before"] is None and push["after"]["recipe"] == pushed["recipe_id"]
    # a limit moved: the entry says which one, from what to what
    text = files[0].read_text()
    files[0].write_text(text.replace("thickness_hihi_um = 30", "thickness_hihi_um = 31"))
    assert files[0].read_text() != text
    run("recipe", "push", files[0], "--port", url, "--why", "customer's wish")
    change = entries()[-2]
    assert change["why"] == "customer's wish"
    assert change["before"]["limits.thickness_hihi_um"] == 30
    assert change["after"]["limits.thickness_hihi_um"] == 31
    assert entries()[-1]["kind"] == "push"


def test_recipe_and_calibration_are_locked_while_a_roll_runs(gauge, tmp_path):
    one = gauge("--rate", 400, "--records", 300)
    db = tmp_path / "line.db"
    run("recipe", "init", tmp_path)
    files = tmp_path / "recipe.toml", tmp_path / "calibration.toml"
    code, _, err = run(
        *("log", "--port", one.url, "--to", db, "--duration", 2),
        *("--recipe", files[0], "--calibration", files[1], "--by", "shift 2"),
    )
    assert code == 0, err
    code, out, err = run("roll", "start", "A-1", "--db", db, "--port", one.url)
    assert code == 0 and "window 300" in out, err
    before = run("recipe", "show", "--port", one.url)[1]
    text = files[0].read_text()
    files[0].write_text(text.replace("permittivity = 3.3", "permittivity = 3.4"))
    for arguments in (
        ("recipe", "push", files[0], "--port", one.url),
        ("recipe", "push", files[1], "--port", one.url),
        ("log", "--port", one.url, "--to", db, "--recipe", files[0], "--duration", 1),
    ):
        code, _, err = run(*arguments)
        assert code == 1 and "roll A-1 runs" in err and "roll end A-1" in err
    assert run("recipe", "show", "--port", one.url)[1] == before
    assert run("roll", "end", "A-1")[0] == 0
    code, _, err = run("recipe", "push", files[0], "--port", one.url)
    assert code == 0, err
    assert run("recipe", "show", "--port", one.url)[1] != before


def test_the_way_to_the_repl(gauge):
    from porogauge.update import ask

    one = gauge()
    assert ask(one.url, 3.0) is not None
    assert one.process.stdout.readline() == "repl\n"
    one.process.wait(10)
    assert ask(one.url, 0.3) is None
