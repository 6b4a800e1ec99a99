"""The database: every record once, whatever comes in whatever order; and what is refused."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gauge import config, record
from porogauge import recipe
from porogauge.errors import DeviceError
from porogauge.store import Clock, ConflictError, Store, StoreError

DEVICE = "e661a4d4178c2b2f"


def row(seq, value=0):
    """A record whose every word follows from seq and value."""
    words = [(seq * 31 + index * 7 + value) % (1 << 29) - (1 << 28) for index in range(56)]
    words += [0] * (record.N_FIELDS - len(words))
    words = words[: record.N_FIELDS]
    words[record.SEQ] = seq
    return tuple(words)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "roll.db"


seqs = st.lists(st.integers(0, 60), max_size=40)


@given(st.lists(seqs, max_size=6))
def test_any_order_and_repetition_stores_each_record_once(batches):
    with Store(":memory:") as store:
        new = sum(store.append(DEVICE, 1, map(row, batch)) for batch in batches)
        expected = sorted({seq for batch in batches for seq in batch})
        assert new == len(expected)
        assert list(store.rows(DEVICE, 1)) == [row(seq) for seq in expected]
        found = [seq for low, high in store.known(DEVICE, 1) for seq in range(low, high + 1)]
        assert found == expected


class Model(RuleBasedStateMachine):
    """Records and gaps of two boots against plain sets."""

    def __init__(self):
        super().__init__()
        self.store = Store(":memory:")
        self.stored = {1: {}, 2: {}}
        self.gaps = {1: set(), 2: set()}

    @rule(boot=st.sampled_from([1, 2]), batch=seqs)
    def append(self, boot, batch):
        taken = self.stored[boot]
        rows = [row(seq, taken.get(seq, boot)) for seq in batch]
        new = self.store.append(DEVICE, boot, rows)
        assert new == len({*batch} - {*taken})
        taken |= {seq: taken.get(seq, boot) for seq in batch}

    @rule(boot=st.sampled_from([1, 2]), batch=seqs, value=st.integers(3, 5))
    def conflict(self, boot, batch, value):
        """One record of the batch differs from what is stored: nothing of it goes in."""
        clash = [seq for seq in batch if seq in self.stored[boot]]
        if clash:
            with pytest.raises(ConflictError, match=f"boot {boot} seq {clash[0]} "):
                self.store.append(DEVICE, boot, [row(seq, value) for seq in batch])

    @rule(boot=st.sampled_from([1, 2]), low=st.integers(0, 60), n=st.integers(0, 5))
    def gap(self, boot, low, n):
        self.store.gap(DEVICE, boot, low, low + n, "overwritten")
        self.gaps[boot] |= set(range(low, low + n + 1))

    @invariant()
    def agrees(self):
        for boot in (1, 2):
            stored, gaps = set(self.stored[boot]), self.gaps[boot]
            rows = [row(seq, value) for seq, value in sorted(self.stored[boot].items())]
            assert list(self.store.rows(DEVICE, boot)) == rows
            state = self.store.completeness(DEVICE, boot)
            both = stored | gaps
            if not both:
                assert state.stored == 0 and not state.missing
                continue
            assert (state.first, state.last) == (min(both), max(both))
            assert state.stored == len(stored) and state.gaps == len(gaps - stored)
            missing = {n for low, high in state.missing for n in range(low, high + 1)}
            assert missing == set(range(min(both), max(both) + 1)) - both
            assert state.complete == (not missing and not gaps - stored)

    def teardown(self):
        self.store.close()


TestModel = Model.TestCase


def test_completeness_from_a_given_window_on():
    with Store(":memory:") as store:
        store.append(DEVICE, 1, map(row, [5, 6, 9]))
        store.gap(DEVICE, 1, 0, 4, "overwritten")
        assert store.completeness(DEVICE, 1).gaps == 5
        state = store.completeness(DEVICE, 1, first=5)
        assert (state.stored, state.gaps, state.missing) == (3, 0, ((7, 8),))


def test_a_conflict_changes_nothing_and_names_the_fields(path):
    with Store(path) as store:
        store.append(DEVICE, 1, [row(1)])
        other = list(row(1))
        other[record.CAP_CODE] += 1
        with pytest.raises(ConflictError, match="cap_code") as caught:
            store.append(DEVICE, 1, [row(2), other])
        assert "nothing was overwritten" in str(caught.value)
        assert list(store.rows(DEVICE, 1)) == [row(1)]


def test_same_sequence_of_another_boot_or_device_is_another_record():
    with Store(":memory:") as store:
        assert store.append(DEVICE, 1, [row(1)]) == 1
        assert store.append(DEVICE, 2, [row(1, 5)]) == 1
        assert store.append("ff", 1, [row(1, 6)]) == 1
        assert store.count() == 3 and store.count(DEVICE) == 2 and store.count(DEVICE, 2) == 1
        assert {(b["device"], b["boot"]) for b in store.boots()} == {
            (DEVICE, 1),
            (DEVICE, 2),
            ("ff", 1),
        }


def test_rows_with_the_wrong_number_of_words_are_refused():
    with Store(":memory:") as store, pytest.raises(ValueError, match="words"):
        store.append(DEVICE, 1, [row(1)[:-1]])


def test_a_batch_is_all_or_nothing(path):
    with Store(path) as store:
        with pytest.raises(RuntimeError), store.batch():
            store.append(DEVICE, 1, [row(1)])
            store.gap(DEVICE, 1, 2, 3, "overwritten")
            raise RuntimeError
        assert store.count() == 0 and not store.gaps()
        # the device's row was rolled back as well, and is made again
        assert store.append(DEVICE, 1, [row(1)]) == 1


def test_everything_survives_closing(path):
    blob = config.pack(
        recipe.compile_words(recipe.standard_recipe(), recipe.standard_calibration())
    )
    with Store(path) as store:
        store.hello(DEVICE, 3, "POROGAUGE_RP2040", "1.0")
        store.clock(DEVICE, 3, Clock(5_000_000, 1_700_000_000.5, 1.00001e-6, 0.002))
        store.append(DEVICE, 3, [row(0)])
        assert store.gap(DEVICE, 3, 1, 4, "overwritten")
        assert not store.gap(DEVICE, 3, 1, 4, "overwritten")
        store.event("connected", {"text": "µ"}, DEVICE, 3)
        assert store.configuration(DEVICE, 3, 0, blob)
        assert not store.configuration(DEVICE, 3, 9, blob)
        words = config.unpack(blob)
        store.document("recipe", words[config.RECIPE_ID], "film", "[recipe]")
        store.document("recipe", words[config.RECIPE_ID], "other", "[other]")
    with Store(path, read_only=True) as store:
        (boot,) = store.boots()
        assert (boot["device"], boot["boot"], boot["board"]) == (DEVICE, 3, "POROGAUGE_RP2040")
        assert boot["clock"].wall(6_000_000) == pytest.approx(1_700_000_001.50001)
        (gap,) = store.gaps(DEVICE, 3)
        assert (gap["from_seq"], gap["to_seq"], gap["cause"]) == (1, 4, "overwritten")
        (event,) = store.events("connected")
        assert event["text"] == {"text": "µ"} and event["device"] == DEVICE
        (stored,) = store.configurations(DEVICE, 3)
        assert stored["blob"] == blob and stored["recipe"] == "[recipe]"
        assert next(store.decoded(DEVICE, 3))["boot"] == 3
        assert list(store.columns(["seq", "cap_code"], DEVICE, 3)) == [
            (0, row(0)[record.CAP_CODE])
        ]
        with pytest.raises(ValueError, match="nonsense"):
            list(store.columns(["nonsense"], DEVICE, 3))


# ---------------------------------------------------------------- files that are not right


def test_files_that_are_not_a_database(path):
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="damaged or not a database"):
        Store(path)
    assert path.read_bytes().startswith(b"no database")


def test_databases_of_somebody_else(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE recipes (id)")
    db.close()
    with pytest.raises(StoreError, match="not one of porogauge"):
        Store(path)


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(StoreError, match="no such file"):
        Store(tmp_path / "none.db", read_only=True)
    with pytest.raises(StoreError, match="folder"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="folder exists"):
        Store(tmp_path / "none" / "roll.db")
    with pytest.raises(StoreError, match="folder exists"):
        Store(tmp_path / "none" / "roll.db", lock=True)


def test_a_damaged_database_is_told_at_open(path):
    with Store(path) as store:
        store.append(DEVICE, 1, map(row, range(2000)))
    data = bytearray(path.read_bytes())
    for at in range(4096 * 5, 4096 * 40, 4096):
        data[at : at + 64] = bytes(64)
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged") as caught:
        Store(path)
    assert ".recover" in str(caught.value)


def test_another_record_layout(path):
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("UPDATE meta SET value='01020304' WHERE key='layout_hash'")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="layout 01020304.*log into a new file"):
        Store(path)


def test_another_format(path):
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="format 99"):
        Store(path)


def test_full_disk(path):
    with Store(path) as store:
        store.append(DEVICE, 1, map(row, range(100)))
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreError, match="free some space"):
            store.append(DEVICE, 1, map(row, range(100, 3000)))
        store._db.execute("PRAGMA max_page_count=1000000")
        assert store.count() == 100
        assert store.append(DEVICE, 1, map(row, range(100, 3000))) == 2900


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everything")
def test_read_only_file(path):
    Store(path).close()
    path.chmod(0o444)
    with pytest.raises(StoreError, match="read-only"):
        Store(path)


def test_read_only_is_explained():
    from porogauge.store_file import explain

    error = sqlite3.OperationalError("attempt to write a readonly database")
    assert "read-only; check the permissions" in str(explain(error, "roll.db"))


def test_a_copy_on_read_only_media_opens(path, tmp_path):
    with Store(path) as store:
        store.append(DEVICE, 1, [row(1)])
    folder = tmp_path / "medium"
    folder.mkdir()
    copy = shutil.copy(path, folder)
    folder.chmod(0o555)
    with Store(copy, read_only=True) as store:
        assert store.count() == 1
    assert os.listdir(folder) == ["roll.db"]
    folder.chmod(0o755)


def test_an_empty_file_becomes_a_database(path):
    path.touch()
    with pytest.raises(StoreError, match="empty"):
        Store(path, read_only=True)
    with Store(path) as store:
        assert store.count() == 0


# ---------------------------------------------------------------- several at once


def test_two_writers(path):
    with Store(path, lock=True):
        with pytest.raises(DeviceError, match="another porogauge"):
            Store(path, lock=True)
    with Store(path, lock=True) as store:
        store.append(DEVICE, 1, [row(1)])
    assert sorted(p.name for p in path.parent.iterdir()) == ["roll.db"]


def test_readers_see_what_is_committed_while_it_is_written(path):
    with Store(path, lock=True) as writer, Store(path, read_only=True) as reader:
        writer.append(DEVICE, 1, [row(1)])
        assert reader.count() == 1
        with writer.batch():
            writer.append(DEVICE, 1, [row(2)])
            assert reader.count() == 1
        assert reader.count() == 2


WRITER = textwrap.dedent(
    """
    import sys
    from gauge import record
    from porogauge.store import Store
    exec(sys.argv[2])
    seq = 0
    with Store(sys.argv[1], lock=True) as store:
        while True:
            store.append("e661a4d4178c2b2f", 1, [row(n) for n in range(seq, seq + 7)])
            seq += 7
            print(seq, flush=True)   # the acknowledgement
    """
)


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_killed_while_logging(path):
    """What was acknowledged before SIGKILL is there; the file opens; the session goes on."""
    import inspect

    acknowledged = 0
    for wait_s in (0.05, 0.12, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), inspect.getsource(row)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "7\n"
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().split("\n")
        process.wait()
        acknowledged = max(acknowledged, 7, *(int(line) for line in lines if line))
        with Store(path, lock=True) as store:  # the dead writer's lock is gone with it
            assert store.completeness(DEVICE, 1).complete
            count = store.count()
            assert count >= acknowledged and count % 7 == 0
            assert list(store.rows(DEVICE, 1)) == [row(seq) for seq in range(count)]
