"""Columns read from the pages of a database are those that SQLite gives, row by row."""

import random
import sqlite3

import numpy as np
import pytest
import roll_data

from gauge import record
from porogauge.pages import Records
from porogauge.rolls import Span
from porogauge.store import Store, StoreError

DEVICE = roll_data.DEVICE
EVERYTHING = Span(1, 0, 1 << 29)


def any_row(seed, seq):
    """A record of words of every length, both signs."""
    rng = random.Random(f"{seed} {seq}")
    words = [rng.choice((-1, 1)) * rng.getrandbits(rng.randrange(31)) for _ in record.FIELD_NAMES]
    return [seq, *words[1:]]


def slow(store, boot=1, first=0, last=None):
    return np.array(list(store.rows(DEVICE, boot, first, last)), dtype=np.int64)


def fast(store, *spans):
    with Records(store) as records:
        order = records.order(DEVICE, spans or [EVERYTHING])
        found = records.columns(order, record.FIELD_NAMES).T
    assert np.array_equal(order.seq, found[:, 0])
    return found


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("count", [1, 20, 400, 30_000])
def test_every_word_of_every_length(tmp_path, count, memory):
    with Store(":memory:" if memory else tmp_path / "roll.db") as store:
        store.append(DEVICE, 1, (any_row(count, seq) for seq in range(count)))
        assert np.array_equal(fast(store), slow(store))


def test_late_rows_other_boots_and_other_devices(tmp_path):
    """What came late lies elsewhere in the file; what is not asked for is not in the answer."""
    path = tmp_path / "roll.db"
    with Store(path) as store:
        for boot, low, high in ((1, 500, 900), (2, 0, 300), (1, 0, 100), (1, 200, 400)):
            store.append(DEVICE, boot, (any_row(boot, seq) for seq in range(low, high)))
            store.append("feed", boot, (any_row("feed", seq) for seq in range(low, high)))
    with Store(path, read_only=True) as store:
        assert np.array_equal(fast(store), slow(store))
        both = fast(store, Span(1, 50, 520), Span(2, 10, 19))
        assert np.array_equal(
            both, np.concatenate([slow(store, 1, 50, 520), slow(store, 2, 10, 19)])
        )


def test_what_is_committed_in_the_log_counts_and_nothing_else(tmp_path):
    path = tmp_path / "roll.db"
    with Store(path) as writer:
        for start in range(0, 3000, 500):
            writer.append(DEVICE, 1, (any_row(1, seq) for seq in range(start, start + 500)))
            with Store(path, read_only=True) as store:
                assert (tmp_path / "roll.db-wal").stat().st_size
                assert np.array_equal(fast(store), slow(store))
        with writer.batch():
            writer.append(DEVICE, 1, (any_row(1, seq) for seq in range(5000, 9000)))
            with Store(path, read_only=True) as store:
                assert len(fast(store)) == 3000


def test_a_snapshot_stays_while_a_logger_writes_and_copies_its_log(tmp_path):
    path = tmp_path / "roll.db"
    with Store(path) as writer:
        writer.append(DEVICE, 1, (any_row(1, seq) for seq in range(2000)))
        with Store(path, read_only=True) as store, Records(store) as records:
            before = slow(store)
            for start in range(2000, 12_000, 1000):
                writer.append(DEVICE, 1, (any_row(1, seq) for seq in range(start, start + 1000)))
                writer.query("PRAGMA wal_checkpoint(PASSIVE)")
            order = records.order(DEVICE, [EVERYTHING])
            assert np.array_equal(records.columns(order, record.FIELD_NAMES).T, before)


@pytest.mark.parametrize("value", ["1 << 40", "-(1 << 33)"])
def test_a_value_that_is_no_word_is_named(tmp_path, value):
    path = tmp_path / "roll.db"
    with Store(path) as store:
        store.append(DEVICE, 1, (any_row(1, seq) for seq in range(500)))
    db = sqlite3.connect(path)
    db.execute(f"UPDATE records SET porosity_ppm={value} WHERE seq=123")
    db.commit()
    db.close()
    with Store(path, read_only=True, check=False) as store:
        with pytest.raises(StoreError, match="boot 1 window 123: porosity_ppm is"):
            fast(store)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "roll.db"
    with Store(path) as store:
        store.append(DEVICE, 1, (any_row(1, seq) for seq in range(5000)))
        size = store.query("PRAGMA page_size")[0][0]
    content = bytearray(path.read_bytes())
    rng = random.Random(5)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        page = rng.randrange(8, len(content) // size) * size
        damaged[page : page + 64] = rng.randbytes(64)
        path.write_bytes(damaged)
        try:
            with Store(path, read_only=True, check=False) as store:
                fast(store)
        except StoreError:
            refused += 1
    assert refused  # pages of an index do not matter here; nothing but StoreError comes


def test_a_file_at_rest_that_somebody_begins_to_write(tmp_path):
    path = tmp_path / "roll.db"
    with Store(path) as store:
        store.append(DEVICE, 1, (any_row(1, seq) for seq in range(500)))
    with Store(path, read_only=True) as store:
        with pytest.raises(StoreError, match="read it again"), Records(store):
            with Store(path) as writer:
                writer.append(DEVICE, 1, (any_row(1, seq) for seq in range(500, 600)))
