"""The database of a gauge: every record stored exactly once, every gap as a row.

One SQLite file (write-ahead log, full synchronisation: what is committed survives a power cut,
so only then may the board forget it). A record's key is (device, boot, seq); its words are stored
as they came, one integer column per field of `gauge.record.FIELD_NAMES`, so that a roll can be
recomputed. User units are made by `porogauge.units`, never stored.

    >>> store = Store(":memory:")
    >>> store.append("e661a4d4178c2b2f", 1, [[0] * record.N_FIELDS])
    1
    >>> store.append("e661a4d4178c2b2f", 1, [[0] * record.N_FIELDS])    # again: nothing new
    0
    >>> store.known("e661a4d4178c2b2f", 1)
    [(0, 0)]

A *different* record under a key that is taken is an error (`ConflictError`): nothing is
overwritten, and the whole batch is rolled back. Sequence ranges are pairs (first, last), both
included. One thread per Store; any number of readers beside one writer.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gauge import config, record

from . import notation
from .store_file import (
    APPLICATION_ID,
    FORMAT,
    LAYOUT_HEX,
    SCHEMA,
    Clock,
    Completeness,
    ConflictError,
    Lock,
    StoreError,
    check_format,
    explain,
)
from .store_sequences import Sequences
from .units import decode

__all__ = ["Clock", "Completeness", "ConflictError", "Store", "StoreError", "words_of"]

_QUICK_CHECK_BYTES = 64 << 20  # larger files are checked at open only after an unclean end


_INSERT = (
    f"INSERT OR IGNORE INTO records (device, boot, {', '.join(record.FIELD_NAMES)})"
    f" VALUES (?, ?{', ?' * record.N_FIELDS})"
)
_ROW = f"SELECT {', '.join(record.FIELD_NAMES)} FROM records WHERE device=? AND boot=?"


def words_of(configuration: Mapping[str, Any]) -> array:
    """Words of a row of `Store.configurations`. Raises StoreError when they are damaged."""
    try:
        return config.unpack(configuration["blob"])
    except ValueError as error:
        raise StoreError(
            f"the configuration of calibration {configuration['calibration_id']:08x} in the"
            f" database cannot be used: {error}"
        ) from None


class Store(Sequences):
    """A database file. Use as a context manager, or call `close`.

    `path` may be ":memory:". With `read_only` nothing is written and the file must exist; any
    number of readers may look at a database while it is written. With `lock` (used by the logger)
    a second writer is refused with DeviceError.
    """

    def __init__(
        self, path: str | Path, *, read_only: bool = False, lock: bool = False, check: bool = True
    ):
        self.path = str(path)
        self.read_only = read_only
        self.at_rest = False  # nobody writes: it is read without a lock
        self._lock: Lock | None = None
        self._devices: dict[str, int] = {}
        self._depth = 0
        self._place: tuple[int, int] | None = None  # file that is written: device, inode
        memory = self.path == ":memory:"
        existing = not memory and os.path.exists(self.path)
        if read_only and not existing:
            raise StoreError(f"{self.path}: there is no such file; 'porogauge log' writes one")
        if existing and os.path.isdir(self.path):
            raise StoreError(f"{self.path}: is a folder, not a database file")
        if lock and not memory:
            self._lock = Lock(self.path)
        # A file at rest is read without touching its folder, so that a copy on read-only media
        # opens; with a write-ahead log beside it SQLite must take part in that.
        wal = self.path + "-wal"
        unclean = existing and os.path.exists(wal) and os.path.getsize(wal) > 0
        try:
            if read_only:
                self.at_rest = not unclean and not os.access(wal, os.F_OK)
                frozen = "&immutable=1" if self.at_rest else ""
                uri = f"{Path(self.path).absolute().as_uri()}?mode=ro{frozen}"
                self._db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)
            else:
                self._db = sqlite3.connect(self.path, isolation_level=None, timeout=10)
            self._open(existing, check, unclean)
            if not memory and not read_only:
                self._place = self._find()
        except sqlite3.Error as error:
            self.close()
            raise explain(error, self.path) from None
        except UnicodeDecodeError:  # SQLite quotes what is damaged
            self.close()
            raise explain(sqlite3.DatabaseError("malformed: no text"), self.path) from None
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------ opening

    def _open(self, existing: bool, check: bool, unclean: bool) -> None:
        db = self._db
        if not existing or not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            if self.read_only:
                raise StoreError(f"{self.path}: has no records: it is empty")
            self._create()
        elif db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError(
                f"{self.path}: is a database, but not one of porogauge; use another file"
            )
        check_format(db, self.path)
        small = existing and os.path.getsize(self.path) <= _QUICK_CHECK_BYTES
        if check and existing and (small or unclean):
            result = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if result != "ok":
                raise explain(sqlite3.DatabaseError(f"malformed: {result}"), self.path)
        if not self.read_only:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA foreign_keys=ON")
            # Shows a read-only file now, not at the first record.
            db.execute("UPDATE meta SET value=? WHERE key='opened'", (str(time.time()),))

    def _create(self) -> None:
        self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version={FORMAT}")
        with self.batch():
            for statement in SCHEMA.split(";\n"):
                if statement.strip():
                    self._db.execute(statement)
            self._db.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                (
                    ("layout_hash", LAYOUT_HEX),
                    ("layout", record.LAYOUT),
                    ("fields", json.dumps(record.FIELD_NAMES)),
                    ("created", str(time.time())),
                    ("opened", str(time.time())),
                ),
            )

    def close(self) -> None:
        """Close the file; what is not committed is rolled back. May be called twice."""
        db, self._db = getattr(self, "_db", None), None
        try:
            if db is not None:
                db.close()
        finally:
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ writing

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One transaction: committed at the end of the outermost block, or not at all."""
        self._depth += 1
        try:
            if self._depth == 1:
                self._db.execute("BEGIN IMMEDIATE")
            yield
            if self._depth == 1:
                self._check_place()
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise explain(error, self.path) from None
        except BaseException:
            self._undo()
            raise
        finally:
            self._depth -= 1

    def _find(self) -> tuple[int, int] | None:
        """What is under the file's name; None: nothing."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _check_place(self) -> None:
        """Raise StoreError when the file has lost its name: what is committed would be gone."""
        if self._place is not None and self._find() != self._place:
            raise StoreError(
                f"{self.path}: was moved or deleted while it is written; put it back, beside its"
                f" {os.path.basename(self.path)}-wal, and start again: the board keeps what is not"
                " yet stored"
            )

    def _undo(self) -> None:
        if self._depth == 1:
            self._devices.clear()  # ids of devices that the rolled back transaction made
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def change(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute one statement that writes; return the id of the row it made."""
        with self.batch():
            return self._db.execute(sql, parameters).lastrowid

    def insert(self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows into a table, values in the order of `names`."""
        places = ", ".join("?" * len(names))
        with self.batch():
            self._db.executemany(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", rows
            )

    def device_id(self, device: str, create: bool = False) -> int | None:
        """Key of a device in the tables; None when it is not there and `create` is not set."""
        known = self._devices.get(device)
        if known is None:
            row = self._db.execute("SELECT id FROM devices WHERE device=?", (device,)).fetchone()
            if row is None and not create:
                return None
            if row is None:
                now = time.time()
                cursor = self._db.execute(
                    "INSERT INTO devices (device, first_seen, last_seen) VALUES (?, ?, ?)",
                    (device, now, now),
                )
                row = (cursor.lastrowid,)
            known = self._devices[device] = row[0]
        return known

    def hello(self, device: str, boot: int, board: str = "", firmware: str = "") -> None:
        """Note that a device is there, with this boot, board and firmware."""
        now = time.time()
        with self.batch():
            key = self.device_id(device, True)
            self._db.execute(
                "UPDATE devices SET board=?, firmware=?, last_seen=? WHERE id=?",
                (board, firmware, now, key),
            )
            self._db.execute(
                "INSERT INTO boots (device, boot, firmware, first_seen, last_seen)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET firmware=excluded.firmware,"
                " last_seen=excluded.last_seen",
                (key, boot, firmware, now, now),
            )

    def clock(self, device: str, boot: int, clock: Clock) -> None:
        """Store the clock relation of a boot; a later one replaces it."""
        now = time.time()
        values = (clock.board_us, clock.wall_s, clock.rate, clock.u_s)
        with self.batch():
            self._db.execute(
                "INSERT INTO boots (device, boot, first_seen, last_seen, clock_board_us,"
                " clock_wall_s, clock_rate, clock_u_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET last_seen=excluded.last_seen,"
                " clock_board_us=excluded.clock_board_us, clock_wall_s=excluded.clock_wall_s,"
                " clock_rate=excluded.clock_rate, clock_u_s=excluded.clock_u_s",
                (self.device_id(device, True), boot, now, now, *values),
            )

    def append(self, device: str, boot: int, rows: Iterable[Sequence[int]]) -> int:
        """Store records; return how many were new.

        `rows` are sequences of words in the order of `FIELD_NAMES`. Order and repetition do not
        matter. Raises ConflictError when a different record has one of the keys, ValueError when
        a row has another number of words; then none of `rows` is stored.
        """
        rows = [tuple(row) for row in rows]
        for row in rows:
            if len(row) != record.N_FIELDS:
                raise ValueError(f"a record has {record.N_FIELDS} words, not {len(row)}")
        with self.batch():
            key = self.device_id(device, True)
            before = self._db.total_changes
            self._db.executemany(_INSERT, ((key, boot, *row) for row in rows))
            new = self._db.total_changes - before
            if new != len(rows):
                self._compare(device, key, boot, rows)
            if new:
                seqs = [row[record.SEQ] for row in rows]
                self._fill(key, boot, min(seqs), max(seqs))
        return new

    def _compare(self, device: str, key: int, boot: int, rows: list[tuple[int, ...]]) -> None:
        for row in rows:
            seq = row[record.SEQ]
            stored = self._db.execute(_ROW + " AND seq=?", (key, boot, seq)).fetchone()
            if stored != row:
                names = [
                    n for n, a, b in zip(record.FIELD_NAMES, stored, row, strict=True) if a != b
                ]
                raise ConflictError(
                    f"{self.path}: device {device} boot {boot} seq {seq} is stored already with"
                    f" other values ({', '.join(names[:5])}{', ...' if names[5:] else ''});"
                    " nothing was overwritten. The board's boot counter has started again (its"
                    " file system was erased): log into a new file"
                )

    def event(
        self,
        kind: str,
        text: Mapping[str, Any],
        device: str | None = None,
        boot: int | None = None,
    ) -> None:
        """Append something that happened: a command, a connection, an interruption."""
        with self.batch():
            key = None if device is None else self.device_id(device, True)
            self._db.execute(
                "INSERT INTO events (time, kind, device, boot, text) VALUES (?, ?, ?, ?, ?)",
                (time.time(), kind, key, boot, json.dumps(dict(text))),
            )

    def document(self, kind: str, id: int, name: str | None, toml: str | None) -> None:
        """Keep the file of a recipe or calibration under its id; a known text is kept."""
        table = {"recipe": "recipes", "calibration": "calibrations"}[kind]
        with self.batch():
            self._db.execute(
                f"INSERT INTO {table} VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " name=coalesce(name, excluded.name), toml=coalesce(toml, excluded.toml)",
                (id, name, toml, time.time()),
            )

    def configuration(self, device: str, boot: int, from_seq: int, blob: bytes) -> bool:
        """Note the configuration blob in force from a record on; True when it is news.

        Raises ValueError (of `gauge.config.unpack`) when the blob is damaged.
        """
        words = config.unpack(blob)
        ids = words[config.RECIPE_ID], words[config.CALIBRATION_ID]
        with self.batch():
            key = self.device_id(device, True)
            last = self._db.execute(
                "SELECT blob FROM configurations WHERE device=? AND boot=? AND from_seq<=?"
                " ORDER BY from_seq DESC LIMIT 1",
                (key, boot, from_seq),
            ).fetchone()
            if last is not None and last[0] == bytes(blob):
                return False
            self.document("recipe", ids[0], None, None)
            self.document("calibration", ids[1], None, None)
            self._db.execute(
                "INSERT OR REPLACE INTO configurations VALUES (?, ?, ?, ?, ?, ?)",
                (key, boot, from_seq, *ids, bytes(blob)),
            )
            return True

    # ------------------------------------------------------------ asking

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """Rows of a SELECT."""
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise explain(error, self.path) from None

    def boots(self) -> list[dict[str, Any]]:
        """Every (device, boot) that has something stored, by device and boot, with its clock."""
        names = ("device", "boot", "board", "firmware", "first_seen", "last_seen")
        rows = self.query(
            "SELECT d.device, k.boot, d.board, coalesce(b.firmware, d.firmware),"
            " coalesce(b.first_seen, d.first_seen), coalesce(b.last_seen, d.last_seen),"
            " b.clock_board_us, b.clock_wall_s, b.clock_rate, b.clock_u_s"
            " FROM (SELECT device, boot FROM boots UNION"
            " SELECT DISTINCT device, boot FROM records) k JOIN devices d ON d.id=k.device"
            " LEFT JOIN boots b ON b.device=k.device AND b.boot=k.boot"
            " ORDER BY d.first_seen, d.device, k.boot"
        )
        found = []
        for row in rows:
            clock = Clock(*row[6:10]) if row[6] is not None else None
            found.append(dict(zip(names, row[:6], strict=True)) | {"clock": clock})
        return found

    def fetched(self, device: str) -> int | None:
        """Next entry of a device's flash journal to be fetched; None: there was none yet."""
        rows = self.query("SELECT journal_next FROM devices WHERE device=?", (device,))
        return rows[0][0] if rows else None

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Events, oldest first."""
        rows = self.query(
            "SELECT e.time, e.kind, d.device, e.boot, e.text FROM events e"
            " LEFT JOIN devices d ON d.id=e.device WHERE ? IS NULL OR e.kind=? ORDER BY e.id",
            (kind, kind),
        )
        names = ("time", "kind", "device", "boot", "text")
        try:
            return [
                dict(zip(names, row, strict=True)) | {"text": notation.json(row[4])}
                for row in rows
            ]
        except ValueError as error:
            raise StoreError(f"{self.path}: is damaged: an event is no JSON: {error}") from None

    def configurations(self, device: str, boot: int) -> list[dict[str, Any]]:
        """Configurations of a boot in order of `from_seq`, with the files where known."""
        where, values = self._where(device, boot)
        names = ("from_seq", "recipe_id", "calibration_id", "blob", "recipe", "calibration")
        rows = self.query(
            "SELECT from_seq, recipe, calibration, blob,"
            " (SELECT toml FROM recipes WHERE id=recipe),"
            " (SELECT toml FROM calibrations WHERE id=calibration)"
            f" FROM configurations{where} ORDER BY from_seq",
            values,
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def image(self) -> bytes:
        """All bytes of the database's file; of one in memory, those that it would have."""
        return self._db.serialize()

    def count(self, device: str | None = None, boot: int | None = None) -> int:
        """Number of records."""
        where, values = self._where(device, boot)
        return self.query(f"SELECT count(*) FROM records{where}", values)[0][0]

    def rows(
        self, device: str, boot: int, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, ...]]:
        """Words of the records of a boot, by ascending sequence number."""
        values = [self.device_id(device), boot, first, (1 << 62) if last is None else last]
        try:
            yield from self._db.execute(_ROW + " AND seq BETWEEN ? AND ? ORDER BY seq", values)
        except sqlite3.Error as error:
            raise explain(error, self.path) from None

    def columns(
        self,
        names: Sequence[str],
        device: str,
        boot: int,
        first: int = 0,
        last: int | None = None,
    ) -> Iterator[tuple[int, ...]]:
        """Chosen fields of the records of a boot, by ascending sequence number."""
        for name in names:
            if name not in record.FIELD_NAMES:
                raise ValueError(f"{name} is not a field of a record")
        sql = (
            f"SELECT {', '.join(names)} FROM records WHERE device=? AND boot=?"
            " AND seq BETWEEN ? AND ? ORDER BY seq"
        )
        values = [self.device_id(device), boot, first, (1 << 62) if last is None else last]
        try:
            yield from self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise explain(error, self.path) from None

    def decoded(self, device: str, boot: int) -> Iterator[dict[str, Any]]:
        """Records of a boot in user units (`porogauge.units.decode`)."""
        for row in self.rows(device, boot):
            yield decode(row, boot)
