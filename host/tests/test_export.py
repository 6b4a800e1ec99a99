"""Exports say what is in the database, in every format."""

import csv
import json
import os
from datetime import UTC, datetime

import pytest

from gauge import record
from porogauge import units
from porogauge.errors import PorogaugeError
from porogauge.export import FORMATS, columns, export, rows
from porogauge.pictures import roll_picture
from porogauge.store import Clock, Store

DEVICE = "e661a4d4178c2b2f"


def fill(path, count=40):
    with Store(path) as store:
        store.clock(DEVICE, 2, Clock(0, 1_700_000_000.25, 1e-6, 0.001))
        for boot in (1, 2):
            made = []
            for seq in range(count):
                words = [(seq * 7 + index) % 1000 for index in range(record.N_FIELDS)]
                words[record.SEQ] = seq
                words[record.T_S], words[record.T_US] = 0, 11_000 * seq
                words[record.STATE] = words[record.STATE_REASON] = words[record.REASON] = 3
                words[record.FLAGS] = seq % 4
                words[record.LATCHED] = words[record.OUTPUTS] = seq % 2
                words[record.VALID] = record.VALID_ALL if seq % 5 else record.VALID_THICKNESS
                words[record.POSITION_MM] = seq * 20
                words[record.THICKNESS_8NM] = 200_000 + seq
                words[record.CAP_CODE] = (1 << 24) - 1
                made.append(words)
            store.append(DEVICE, boot, made)
    return path


@pytest.fixture
def database(tmp_path):
    return fill(tmp_path / "roll.db")


def expected(database):
    with Store(database, read_only=True) as store:
        return list(rows(store))


def typed(name, text):
    """A cell of a CSV back to what it was."""
    if text == "":
        return [] if name in ("flags", "latched", "outputs") else None
    if text in ("true", "false"):
        return text == "true"
    if name in ("flags", "latched", "outputs"):
        return text.split(" ")
    if name in ("device", "state", "state_reason", "reason", "wall_time"):
        return text
    return float(text) if "." in text or "e" in text else int(text)


def load(path, format):
    if format == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if format == "csv":
        with open(path, newline="") as stream:
            return [{k: typed(k, v) for k, v in row.items()} for row in csv.DictReader(stream)]
    parquet = pytest.importorskip("pyarrow.parquet")
    found = parquet.read_table(path).to_pylist()
    for row in found:
        if row["wall_time"] is not None:
            row["wall_time"] = row["wall_time"].isoformat(timespec="milliseconds")
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_round_trip(database, tmp_path, format):
    to = tmp_path / f"out.{format}"
    with Store(database, read_only=True) as store:
        assert export(store, str(to), format) == 80
    found = load(to, format)
    assert found == expected(database)
    assert list(found[0]) == columns()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([to.name, "roll.db"])


def test_rows_hold_the_words_and_the_wall_time(database):
    found = expected(database)
    assert [row["boot"] for row in found] == [1] * 40 + [2] * 40
    assert found[0]["wall_time"] is None
    wall = datetime.fromisoformat(found[41]["wall_time"])
    assert wall == datetime.fromtimestamp(1_700_000_000.261, UTC)
    with Store(database, read_only=True) as store:
        stored = next(store.rows(DEVICE, 1))
    assert [found[0][units.RAW_PREFIX + name] for name in record.FIELD_NAMES] == list(stored)


@pytest.mark.parametrize("format", FORMATS)
def test_choice_of_boot_and_no_raw_words(database, tmp_path, format):
    to = tmp_path / f"out.{format}"
    with Store(database, read_only=True) as store:
        assert export(store, str(to), format, boot=2, with_raw=False) == 40
        assert export(store, str(to), format, device="00", with_raw=False) == 0
        assert load(to, format) == []
        export(store, str(to), format, boot=2, with_raw=False)
    found = load(to, format)
    assert list(found[0]) == columns(with_raw=False)
    assert {row["boot"] for row in found} == {2}


def test_progress_is_told(tmp_path):
    database = fill(tmp_path / "roll.db", 600)
    told = []
    with Store(database, read_only=True) as store:
        export(store, str(tmp_path / "o.csv"), "csv", progress=told.append)
    assert told == [512, 1024]


def test_a_database_is_never_overwritten(database, tmp_path):
    with Store(database, read_only=True) as store:
        with pytest.raises(PorogaugeError, match="is a database and stays"):
            export(store, str(database), "csv")
        with pytest.raises(PorogaugeError, match="cannot be written"):
            export(store, str(tmp_path / "none" / "out.csv"), "csv")
    assert len(expected(database)) == 80


def test_what_fails_leaves_no_half_file(database, tmp_path, monkeypatch):
    to = tmp_path / "out.csv"
    to.write_text("before")
    monkeypatch.setattr("porogauge.export.decode", lambda *_: 1 / 0)
    with Store(database, read_only=True) as store, pytest.raises(ZeroDivisionError):
        export(store, str(to), "csv")
    assert to.read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "roll.db"]


# ---------------------------------------------------------------- the picture


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_picture(database, tmp_path):
    truth = [{"boot": 1, "seq": n, "thickness_nm": 25_000, "porosity_ppm": None} for n in range(9)]
    to = roll_picture(database, tmp_path / "roll.png", truth=truth, title="A title", dpi=50)
    width, height = png_size(to)
    assert width == 625 and height > 300


def test_picture_of_one_window_and_of_a_still_web(tmp_path):
    for count in (1, 2):
        database = fill(tmp_path / f"{count}.db", count)
        png_size(roll_picture(database, tmp_path / "roll.png", boot=1, dpi=40))


def test_picture_of_nothing(database, tmp_path):
    with pytest.raises(PorogaugeError, match="no records"):
        roll_picture(database, tmp_path / "roll.png", device="00")
