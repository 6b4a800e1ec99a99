"""A gauge on a port as a station: steady readings, another CAPDAC code, everything put back."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gauge import config, record
from porogauge import output, recipe
from porogauge.calibrate.live import Limits, LiveStation, unsteady
from porogauge.calibrate.procedure import Step
from porogauge.errors import PorogaugeError, RequestFailed
from porogauge.link.client import Client

HERE = Path(__file__).parent
DEVICE = "e661a4d4178c2b2f"

_spec = importlib.util.spec_from_file_location("fake_gauge", HERE / "fake_gauge.py")
fake_gauge = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_gauge)

EMPTY = Step("empty", "Clear the gap.", {"kind": "empty"})
OTHER = Step("far", "Open it.", {"kind": "stage", "stage_um": 500.0, "u_stage_um": 0.1}, 16, 9)


def blob():
    files = recipe.standard_recipe(), recipe.standard_calibration()
    return config.pack(recipe.compile_words(*files))


WORDS = config.unpack(blob())


@pytest.fixture
def gauge(monkeypatch):
    """URL of a fake gauge whose empty gap is steady, with standard files in force."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    process = subprocess.Popen(
        [sys.executable, str(HERE / "fake_gauge.py"), "--steady"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = f"socket://127.0.0.1:{process.stdout.readline().strip()}"
    with Client(url, stream=False) as client:
        client.connect()
        client.push_config(blob())
    yield url
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def in_force(url):
    """Configuration and state of the gauge."""
    with Client(url, stream=False) as client:
        client.connect()
        return bytes(client.read_config()), record.STATE_NAMES[client.status()["state"]]


# ---------------------------------------------------------------- steadiness


def rows(n=64, boot=1):
    return [fake_gauge.steady(fake_gauge.words(seq, boot)) for seq in range(n)]


def told(changed, step=EMPTY):
    return unsteady(changed, WORDS, step, Limits())


def test_what_is_steady_is_taken():
    assert told(rows()) == ""


@pytest.mark.parametrize(
    ("field", "index", "change", "said"),
    [
        ("CAP_CODE", 0, lambda i: 50 * i, "the capacitance drifts by"),
        ("CAP_CODE", 0, lambda i: 9000 * (i % 2), "the capacitance scatters by"),
        ("FRAME_MC", 0, lambda i: 4 * i, "the frame's temperature moves by +0.1"),
        ("CAP_CODE", 0, lambda i: 1 << 23, "the converter is at its end"),
    ],
)
def test_what_moves_is_told(field, index, change, said):
    found = rows()
    for i, row in enumerate(found):
        place = getattr(record, field) + index
        row[place] = min(row[place] + change(i), 0xFFFFFF)
    assert said in told(found)


def test_lasers_count_where_the_step_is_for_them():
    block = Step("b", "", {"kind": "block", "thickness_um": 300.0, "u_thickness_um": 0.1})
    found = rows()
    for i, row in enumerate(found):
        row[record.B_SUM] += 44 * 20 * i
        row[record.CAP_CODE] += 1000 * i  # a block is not for the capacitance
    assert "laser B drifts by" in told(found, block)
    assert "the capacitance drifts" in told(found)  # the standard head has no tile
    for row in found[::4]:
        row[record.A_N] = 0
    assert "laser A sees its target in 48 of 64 windows" in told(found, block)
    vibrating = Step("v", "", dict(block.setting, kind="vibrate"))
    assert told([r for i, r in enumerate(found) if i % 4], vibrating) == ""


def test_conditions_are_waited_for():
    warm = Step("w", "", {"kind": "empty", "frame_set_c": 33.0})
    assert told(rows(), warm) == "the frame is at 23.0 °C, 33 °C is wanted"
    dry = Step("d", "", {"kind": "empty", "frame_set_c": 24.0, "rh_set_percent": 20.0})
    assert told(rows(), dry) == "the humidity is at 50.0 %RH, 20 %RH is wanted"


# ---------------------------------------------------------------- on a port


def test_a_reading_is_of_what_came_after_the_step_was_set_up(gauge, tmp_path):
    asked, seen = [], []
    with Client(gauge) as client:
        with LiveStation(client, tmp_path, asked.append, lambda *a: seen.append(a)) as station:
            assert in_hold(client)
            found = station.perform(EMPTY)
            newest = client.next_seq
            again = station.perform(EMPTY)
            assert client.next_seq >= newest + EMPTY.windows
    assert asked == [EMPTY, EMPTY] and seen[-1] == (64, 64, "")
    assert found.windows == again.windows == 64 and found.capdac_code == 36
    assert found.cap_pf == pytest.approx(0, abs=2e-6) and 400 < found.a_um < 2000
    assert in_force(gauge) == (blob(), "measuring")
    assert not list(tmp_path.iterdir())


def in_hold(client):
    return client.status()["state"] == record.STATE_HOLD


@pytest.mark.parametrize("error", [None, PorogaugeError("stop"), KeyboardInterrupt()])
def test_another_capdac_code_is_taken_back_whatever_happens(gauge, tmp_path, error):
    with pytest.raises(BaseException) if error else nothing(), Client(gauge) as client:
        with LiveStation(client, tmp_path) as station:
            assert station.perform(OTHER).capdac_code == 9
            words = config.unpack(client.read_config())
            differ = [
                name
                for (name, _, _), old, new in zip(config.SPEC, WORDS, words, strict=True)
                if old != new
            ]
            assert differ == ["calibration_id", "capdac_code"]
            assert [p.name for p in tmp_path.iterdir()] == [f"{DEVICE}.restore.json"]
            if error:
                raise error
            assert station.perform(EMPTY).capdac_code == 36
            assert bytes(client.read_config()) == blob()
    assert in_force(gauge) == (blob(), "measuring")
    assert not list(tmp_path.iterdir())


class nothing:
    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


def test_a_station_that_was_killed_is_put_in_order_by_the_next(gauge, tmp_path):
    with Client(gauge) as client:
        station = LiveStation(client, tmp_path)
        station.__enter__()
        station.perform(OTHER)
    assert in_force(gauge)[0] != blob()
    with Client(gauge) as client, LiveStation(client, tmp_path) as station:
        assert bytes(client.read_config()) == blob()
        assert station.words == WORDS
    assert in_force(gauge) == (blob(), "measuring")
    (tmp_path / f"{DEVICE}.restore.json").write_text("{")
    with Client(gauge) as client, pytest.raises(PorogaugeError, match="then delete the file"):
        LiveStation(client, tmp_path).__enter__()


def test_a_hold_that_was_there_before_stays(gauge, tmp_path):
    from gauge.link import protocol

    with Client(gauge, stream=False) as client:
        client.connect()
        client.request(protocol.HOLD)
    with Client(gauge) as client, LiveStation(client, tmp_path):
        pass
    assert in_force(gauge)[1] == "hold"


def test_what_does_not_get_steady_is_refused_in_time(gauge, tmp_path):
    limits = Limits(cap_sd_pf=1e-9, within_s=1.0)
    with Client(gauge) as client, LiveStation(client, tmp_path, limits=limits) as station:
        with pytest.raises(PorogaugeError, match="step empty: .* the capacitance scatters"):
            station.perform(EMPTY)


def test_conditions_must_hold_for_a_while(gauge, tmp_path):
    """The frame's sensor is read once a minute: one steady second tells nothing of a soak."""
    step = Step("warm", "", {"kind": "empty", "frame_set_c": 23.5, "rh_set_percent": 50.0})
    limits, told = Limits(soak_s=1.5), []
    with Client(gauge) as client:
        station = LiveStation(client, tmp_path, progress=lambda *a: told.append(a), limits=limits)
        with station:
            begun = time.monotonic()
            station.perform(step)
            assert time.monotonic() - begun > 1.5
    assert any(why == "conditions have held for 1 of 2 s" for _, _, why in told)


def test_a_gauge_that_makes_no_windows(monkeypatch, gauge, tmp_path):
    monkeypatch.setattr("porogauge.calibrate.live._SILENT_S", 0.3)
    with Client(gauge) as client, LiveStation(client, tmp_path) as station:
        monkeypatch.setattr(station, "_next_window", lambda: (1 << 29, client.boot))
        with pytest.raises(RequestFailed, match="no windows arrive"):
            station.perform(EMPTY)


# ---------------------------------------------------------------- the command


def command(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "porogauge", "calibrate", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


MASTER = ("--kind", "plate", "--label", "Q", "--thickness-um", 75, "--u-thickness-um", 0.1)
MASTER += ("--permittivity", 3.8, "--u-permittivity", 0.01)


@pytest.fixture
def files(tmp_path):
    for kind in ("calibration", "recipe"):
        (tmp_path / f"{kind}.toml").write_text(recipe.template(kind))
    return "--calibration", tmp_path / "calibration.toml", "--recipe", tmp_path / "recipe.toml"


def test_interrupted_the_points_are_kept_and_the_next_start_goes_on(gauge, files, book):
    arguments = ("verify", *MASTER, *files, "--port", gauge, "--json")
    process = command(*arguments)
    process.stdin.write("\n")  # the empty gap is set up
    process.stdin.flush()
    lines = [json.loads(process.stdout.readline())]
    while lines[-1]["event"] != "step" or lines[-1]["id"] != "master":
        lines.append(json.loads(process.stdout.readline()))
    assert [line["event"] for line in lines if line["event"] != "progress"] == [
        "step",
        "point",
        "step",
    ]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "1 of 2 points are kept; the same command goes on" in err
    assert in_force(gauge) == (blob(), "measuring")
    assert (Path(book) / "unfinished" / "verify.json").exists()

    process = command(*arguments)
    out, err = process.communicate("\n", timeout=30)
    events = [json.loads(line) for line in out.splitlines()]
    steps = [event["id"] for event in events if event["event"] == "step"]
    assert steps == ["master"]
    # nothing was put into the gap: this is no plate of 75 um
    assert process.returncode == 1 and "verification failed" in err
    assert not (Path(book) / "unfinished" / "verify.json").exists()
    assert in_force(gauge) == (blob(), "measuring")


def test_killed_within_another_capdac_code_the_next_start_puts_it_back(gauge, files, book):
    """Not even a look at the gauge's files is possible before: they are not those of the book."""
    from porogauge.book import Book

    with Client(gauge) as client:
        station = LiveStation(client, Book(book).unfinished)
        station.__enter__()
        station.perform(OTHER)
    assert in_force(gauge)[0] != blob()
    process = command("verify", *MASTER, *files, "--port", gauge)
    _, err = process.communicate("", timeout=30)
    assert "cut off; its configuration is put back" in err and "--yes" in err
    assert in_force(gauge) == (blob(), "measuring")


def test_nobody_answers(gauge, files):
    process = command("verify", *MASTER, *files, "--port", gauge)
    _, err = process.communicate("", timeout=30)
    assert process.returncode == 2 and "--yes" in err
    assert in_force(gauge) == (blob(), "measuring")


def test_files_must_be_those_in_force(gauge, files, tmp_path):
    path = tmp_path / "calibration.toml"
    path.write_text(path.read_text().replace("stray_pf = 0.1", "stray_pf = 0.2"))
    process = command("gap", *files, "--port", gauge, "--yes")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and "the gauge measures with" in err
    process = command("gap", "--port", gauge, "--yes")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and "which the book has not" in err


def test_a_locked_roll_is_not_disturbed(gauge, files, book):
    from porogauge.book import Book

    Book(book).audit.append(
        "roll",
        "R1",
        "shift 2",
        "test",
        None,
        {"event": "start", "device": DEVICE, "database": "x"},
    )
    process = command("verify", *MASTER, *files, "--port", gauge, "--yes")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and "roll R1 runs on this gauge" in err


def test_progress_on_anything_over_two_seconds(gauge, files):
    """A reading that is waited for says why, at least every five seconds."""
    process = command("gap", *files, "--port", gauge, "--yes", "--within", 5)
    begun = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 60
    # the fake gauge's capacitance never changes: a gap cannot be found, nothing is adjusted
    assert process.returncode == 1, err
    assert "/64 windows" in err and "[1/" in err
    assert in_force(gauge) == (blob(), "measuring")


def test_a_procedure_on_a_port_ends_with_its_file_in_force(gauge, book, monkeypatch, tmp_path):
    """Readings of an emulated head come over the port: found, stored, sent, read back."""
    from click.testing import CliRunner

    from porogauge import bench, cli
    from porogauge.book import Book
    from porogauge.device import push_files

    heads, stations = bench.load("heads"), bench.load("stations")
    drawing = heads.nominal_tables()
    with Client(gauge, stream=False) as client:
        client.connect()
        push_files(client, {kind: (tables, kind) for kind, tables in drawing.items()})
    emulated = stations.ModelStation(heads.hidden_head(7))
    monkeypatch.setattr(LiveStation, "perform", lambda _, step: emulated.perform(step))
    arguments = ["calibrate", "converter", "--port", gauge, "--yes", "--push", "--json"]
    result = CliRunner().invoke(cli.cli, arguments)
    assert result.exit_code == 2 and "the values of their certificates" in result.stderr
    standards = tmp_path / "capacitors.csv"
    standards.write_text(
        "label,reference_pf,u_reference_pf\n" + "".join(f"C{c},{c},0.0005\n" for c in range(1, 12))
    )
    result = CliRunner().invoke(cli.cli, [*arguments, "--standards", str(standards)])
    output.set_json(False)
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events[-3:]] == ["result", "stored", "pushed"]
    id = events[-1]["calibration_id"]
    words = config.unpack(in_force(gauge)[0])
    assert f"{words[config.CALIBRATION_ID]:08x}" == id
    assert Book(book).current("calibration", "1") == id
    assert words[config.CAPDAC_AF] == pytest.approx(42 * 134_440, rel=0.002)
    log = [entry["kind"] for entry in Book(book).audit.entries()]
    assert log == ["recipe", "calibration", "push", "calibration", "result", "push"] or log == [
        *("calibration", "recipe", "push", "calibration", "result", "push")
    ]
