"""What a gauge's database file is: its tables and values, its lock, what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from gauge import record

from .errors import DeviceError, PorogaugeError

__all__ = [
    "APPLICATION_ID",
    "FORMAT",
    "LAYOUT_HEX",
    "RECOMPUTED",
    "SCHEMA",
    "Clock",
    "Completeness",
    "ConflictError",
    "Lock",
    "Range",
    "StoreError",
    "check_format",
    "explain",
    "holes",
]

APPLICATION_ID = 0x504F524F  # "PORO": `file` and other tools can tell what the database is
FORMAT = 3
LAYOUT_HEX = record.LAYOUT_HASH.hex()


Range = tuple[int, int]  # first and last sequence number, both included


@dataclass(frozen=True, slots=True)
class Clock:
    """Relation of a boot's clock to wall time: wall = wall_s + (board - board_us) * rate.

    `wall_s` is Unix time; `rate` about 1e-6 (seconds per board microsecond); `u_s` its standard
    uncertainty in seconds.
    """

    board_us: int
    wall_s: float
    rate: float = 1e-6
    u_s: float = 0.0

    def wall(self, board_us: int) -> float:
        """Unix time of a board time."""
        return self.wall_s + (board_us - self.board_us) * self.rate


@dataclass(frozen=True, slots=True)
class Completeness:
    """What is there of one boot of one device.

    `stored` records within `first`..`last`; `gaps` windows that are not stored and that a gap row
    explains; `missing` ranges that are neither.
    """

    device: str
    boot: int
    first: int
    last: int
    stored: int
    gaps: int
    missing: tuple[Range, ...]

    @property
    def complete(self) -> bool:
        """Every window is stored: none is missing, and no gap took one."""
        return not self.missing and not self.gaps


class StoreError(PorogaugeError):
    """The database cannot be used; the message says why and what to do."""


class ConflictError(StoreError):
    """Another record is stored under this key already; nothing was changed."""


# Fields of a record that follow from its raw ones, configuration and reference.
RECOMPUTED = tuple(
    name
    for name in record.FIELD_NAMES
    if name
    in (
        "state",
        "state_reason",
        "valid",
        "reason",
        "flags",
        "latched",
        "outputs",
    )
    or record.FIELD_NAMES.index(name) >= record.C0_AF
)
_RECOMPUTED_COLUMNS = ",\n    ".join(f"{name} INTEGER NOT NULL" for name in RECOMPUTED)
_COLUMNS = ",\n    ".join(f"{name} INTEGER NOT NULL" for name in record.FIELD_NAMES)
SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL UNIQUE,   -- unique id of the board, hexadecimal
    board TEXT, firmware TEXT,     -- as it said last
    first_seen REAL NOT NULL, last_seen REAL NOT NULL, -- Unix time
    journal_next INTEGER           -- entry of its flash journal to be fetched next; NULL: any
) STRICT;
CREATE TABLE boots (
    device INTEGER NOT NULL REFERENCES devices(id),
    boot INTEGER NOT NULL,
    firmware TEXT, first_seen REAL NOT NULL, last_seen REAL NOT NULL,
    clock_board_us INTEGER, clock_wall_s REAL, clock_rate REAL, clock_u_s REAL,
    PRIMARY KEY (device, boot)
) STRICT, WITHOUT ROWID;
-- A rowid table: the key's own index then covers every question about sequence numbers.
CREATE TABLE records (
    device INTEGER NOT NULL REFERENCES devices(id),
    boot INTEGER NOT NULL,
    {_COLUMNS},
    PRIMARY KEY (device, boot, seq)
) STRICT;
CREATE INDEX records_flagged ON records (device, boot, seq, flags) WHERE flags <> 0;
CREATE TABLE gaps (
    device INTEGER NOT NULL REFERENCES devices(id),
    boot INTEGER NOT NULL,
    from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL CHECK (to_seq >= from_seq),
    cause TEXT NOT NULL, noted REAL NOT NULL,
    PRIMARY KEY (device, boot, from_seq, to_seq)
) STRICT, WITHOUT ROWID;
-- What the board kept in its flash, each entry once; batches of records become records, those of
-- another layout stay here as they came.
CREATE TABLE journal (
    device INTEGER NOT NULL REFERENCES devices(id),
    boot INTEGER NOT NULL,         -- in which it was written
    entry INTEGER NOT NULL,        -- number on the board, over all boots
    kind INTEGER NOT NULL,         -- index into gauge.journal.KIND_NAMES
    payload BLOB NOT NULL, fetched REAL NOT NULL,
    PRIMARY KEY (device, boot, entry)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,            -- Unix time
    kind TEXT NOT NULL,
    device INTEGER REFERENCES devices(id), boot INTEGER,
    text TEXT NOT NULL             -- JSON object
) STRICT;
CREATE INDEX events_kind ON events (kind, time);
-- What was in force: the file as it was sent, by the id that the board carries.
CREATE TABLE recipes (
    id INTEGER PRIMARY KEY, name TEXT, toml TEXT, first_seen REAL NOT NULL
) STRICT;
CREATE TABLE calibrations (
    id INTEGER PRIMARY KEY, name TEXT, toml TEXT, first_seen REAL NOT NULL
) STRICT;
CREATE TABLE configurations (
    device INTEGER NOT NULL REFERENCES devices(id),
    boot INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,     -- in force from this record on
    recipe INTEGER NOT NULL, calibration INTEGER NOT NULL,
    blob BLOB NOT NULL,            -- gauge.config words as read from the board
    PRIMARY KEY (device, boot, from_seq)
) STRICT, WITHOUT ROWID;
-- A roll: what happened to it, in order; its windows lie between its first and last event.
CREATE TABLE rolls (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    device INTEGER NOT NULL REFERENCES devices(id),
    grade TEXT NOT NULL,
    recipe INTEGER NOT NULL, calibration INTEGER NOT NULL,  -- in force at its start
    started REAL NOT NULL          -- Unix time
) STRICT;
CREATE TABLE roll_events (
    id INTEGER PRIMARY KEY,
    roll INTEGER NOT NULL REFERENCES rolls(id),
    kind TEXT NOT NULL,            -- start, splice, end
    boot INTEGER NOT NULL, seq INTEGER NOT NULL,  -- first window of what begins, last at the end
    time REAL NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
    head TEXT NOT NULL             -- of the audit log, with the entry of this event
) STRICT;
-- Results of the laboratory: never changed; one that was wrong is withdrawn by a row of its own.
CREATE TABLE lab (
    id INTEGER PRIMARY KEY,
    roll INTEGER NOT NULL REFERENCES rolls(id),
    property TEXT NOT NULL, value REAL, u REAL, unit TEXT NOT NULL,
    at_m REAL,                     -- length along the roll; none: the whole roll
    method TEXT, operator TEXT, instrument TEXT,
    withdraws INTEGER REFERENCES lab(id),
    time REAL NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, head TEXT NOT NULL
) STRICT;
-- What records became with another calibration or recipe, beside the records.
CREATE TABLE reprocessings (
    id INTEGER PRIMARY KEY,
    roll INTEGER NOT NULL REFERENCES rolls(id),
    recipe INTEGER NOT NULL, calibration INTEGER NOT NULL,
    time REAL NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, head TEXT NOT NULL,
    report TEXT NOT NULL           -- JSON object: how the references were taken, differences
) STRICT;
CREATE TABLE reprocessed (
    run INTEGER NOT NULL REFERENCES reprocessings(id),
    boot INTEGER NOT NULL, seq INTEGER NOT NULL,
    {_RECOMPUTED_COLUMNS},
    PRIMARY KEY (run, boot, seq)
) STRICT, WITHOUT ROWID;
"""


def explain(error: sqlite3.Error, path: str) -> StoreError:
    """Turn an SQLite error into what is wrong and what to do."""
    text = str(error)
    if "not a database" in text or "malformed" in text or "corrupt" in text:
        return StoreError(
            f"{path}: is damaged or not a database ({text}); keep the file, start a new one, and"
            f" try 'sqlite3 {path} .recover' to get the rows out"
        )
    if "readonly" in text or "read-only" in text:
        return StoreError(f"{path}: is read-only; check the permissions of file and folder")
    if "disk is full" in text or "disk I/O" in text:
        return StoreError(
            f"{path}: could not be written ({text}); free some space: the board keeps what is not"
            " yet stored as long as its memory lasts"
        )
    if "locked" in text or "busy" in text:
        return StoreError(f"{path}: is locked by another program; close it or use another file")
    if "unable to open" in text:
        return StoreError(f"{path}: cannot be opened; check that the folder exists and is yours")
    return StoreError(f"{path}: {text}")


def check_format(db: sqlite3.Connection, path: str) -> None:
    """Raise StoreError unless a database is of this format and record layout."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        raise StoreError(
            f"{path}: has format {version}, this program writes {FORMAT};"
            " use the program's version that wrote it"
        )
    row = db.execute("SELECT value FROM meta WHERE key='layout_hash'").fetchone()
    found = row[0] if row else "none"
    if found != LAYOUT_HEX:
        raise StoreError(
            f"{path}: was written with record layout {found}, this program has"
            f" {LAYOUT_HEX}; log into a new file, read this one with the version that wrote it"
        )


class Lock:
    """One writer per database: an advisory lock on a file beside it, gone with its process."""

    def __init__(self, path: str):
        self.path = path + ".lock"
        for _ in range(10):
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise StoreError(
                    f"{self.path}: cannot be made ({error.strerror}); check that the folder exists"
                    " and is yours"
                ) from None
            if not self._take(handle):
                os.close(handle)
                raise DeviceError(
                    f"{path}: another porogauge is writing into it; stop that one or use another"
                    " file"
                )
            # The holder before us may have removed the name while we waited to open it.
            with suppress(OSError):
                if os.stat(self.path).st_ino == os.fstat(handle).st_ino:
                    self._handle = handle
                    return
            os.close(handle)
        raise DeviceError(f"{path}: another porogauge is writing into it")

    @staticmethod
    def _take(handle: int) -> bool:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        with suppress(OSError):
            os.unlink(self.path)
        with suppress(OSError):
            os.close(self._handle)


def holes(spans: Iterable[Range], start: int, end: int) -> list[Range]:
    """Ranges of start..end that no span covers."""
    holes, cursor = [], start
    for low, high in sorted(spans):
        if low > cursor:
            holes.append((cursor, min(low - 1, end)))
        cursor = max(cursor, high + 1)
    if cursor <= end:
        holes.append((cursor, end))
    return holes
