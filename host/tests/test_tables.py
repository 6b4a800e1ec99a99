"""Tables with units, and the data dictionary: what they say is what `units` decodes."""

import json

import numpy as np
import pytest
import roll_data
from click.testing import CliRunner

import porogauge
from gauge import record
from porogauge import lab, rolls, units
from porogauge.book import Book
from porogauge.cli import cli
from porogauge.dictionary import columns, dictionary
from porogauge.errors import UsageError
from porogauge.store import Clock, Store

TOLD = {"who": "test", "why": "test"}


def film(seq):
    found = {"flags": seq % 7, "rh_ppm": 450_000 + seq, "frame_mc": -5 - seq, "lost": seq % 3}
    if seq % 11 == 0:
        found |= {"valid": record.VALID_THICKNESS, "reason": record.REASON_NOT_RESOLVABLE}
    return found


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "roll.db"
    with Store(path) as store:
        words = roll_data.documents(store)
        roll_data.fill(store, count=300, change=film, words=words)
        roll_data.fill(store, boot=2, count=100, change=film, words=words)
        store.clock(roll_data.DEVICE, 1, Clock(0, 1.7e9))
        store.gap(roll_data.DEVICE, 1, 300, 310, "ring overrun")
        book = Book(tmp_path / "book")
        rolls.start(store, book, "A-17", roll_data.DEVICE, 1, 50, **TOLD)
        rolls.end(store, book, "A-17", 2, 49, **TOLD)
        lab.add(store, book, "A-17", "mean_pore_um", 0.3, u=0.02, **TOLD)
    return path


def test_every_value_is_the_decoded_one(database):
    with porogauge.open(database) as data, Store(database, read_only=True) as store:
        table = data.windows(boot=1)
        decoded = list(store.decoded(roll_data.DEVICE, 1))
    assert table.rows == len(decoded) == 300
    for name in set(table) & set(units.FIELDS):
        values = table[name].values
        for value, row in zip(values, decoded, strict=True):
            expected = row[name]
            if expected is None:
                assert np.isnan(value)
            elif isinstance(expected, list):
                assert value.split() == expected
            else:
                assert value == expected, name
    assert table["wall_time"].values[0] == np.datetime64(1_700_000_000_000, "ms")


def test_units_meanings_uncertainties(database):
    with porogauge.open(database) as data:
        table = data.windows(roll="A-17")
        assert table.rows == 250 + 50
        thickness = table["thickness_nm"]
        assert (thickness.unit, thickness.uncertainty) == ("nm", "u_thickness_nm")
        assert "thickness of the film" in thickness.meaning
        assert "thickness_nm [nm]: thickness" in repr(table)
        assert list(data.windows(columns=["seq", "metres"])) == ["seq", "metres"]
        assert data.rolls["name"].values.tolist() == ["A-17"]
        assert data.gaps["cause"].values.tolist() == ["ring overrun"]
        assert data.laboratory("A-17")["value"].values.tolist() == [0.3]
        pieces = data.segments("A-17", 0.5)
        assert pieces["thickness_um"].values[0] == pytest.approx(25)
        assert pieces["thickness_um"].uncertainty == "u_thickness_um"
        with pytest.raises(UsageError, match="thickness_um is not a column"):
            data.windows(columns=["thickness_um"])


def test_for_pandas(database):
    pandas = pytest.importorskip("pandas")
    with porogauge.open(database) as data:
        frame = data.windows().to_pandas()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 400
    assert frame.attrs["units"]["thickness_nm"] == "nm"


def test_the_dictionary_has_every_column_flag_state_and_reason():
    told = dictionary()
    names = {"device", "wall_time", *units.FIELDS, *(f"raw_{n}" for n in record.FIELD_NAMES)}
    assert {entry["name"] for entry in told["columns"]} == names
    assert all(entry["meaning"] for entry in told["columns"])
    for kind, known in (
        ("flags", record.FLAG_NAMES),
        ("states", record.STATE_NAMES),
        ("reasons", record.REASON_NAMES),
        ("outputs", record.OUTPUT_NAMES),
    ):
        assert set(told[kind]) == set(known) and all(told[kind].values())
    for entry in columns().values():
        assert entry.uncertainty is None or " " in entry.uncertainty or entry.uncertainty in names


@pytest.mark.parametrize("format", ["csv", "parquet", "jsonl"])
def test_an_export_has_its_dictionary_beside(database, format):
    run = CliRunner().invoke(cli, ["export", str(database), "--format", format])
    assert run.exit_code == 0 and "roll.dictionary.json" in run.stderr
    text = database.with_suffix(".dictionary.json").read_text(encoding="utf-8")
    assert json.loads(text) == dictionary()


def test_parquet_carries_it(database):
    parquet = pytest.importorskip("pyarrow.parquet")
    run = CliRunner().invoke(cli, ["export", str(database), "--format", "parquet"])
    schema = parquet.read_schema(database.with_suffix(".parquet"))
    assert run.exit_code == 0, run.output
    assert json.loads(schema.metadata[b"porogauge"]) == dictionary()
    field = schema.field("thickness_nm")
    assert field.metadata[b"unit"] == b"nm"
    assert field.metadata[b"uncertainty"] == b"u_thickness_nm"
