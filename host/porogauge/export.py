"""A database as CSV, Parquet or JSON Lines, in user units with the raw words beside them.

Columns: `device`, those of `porogauge.units.FIELDS`, `wall_time` (UTC, ISO 8601, where the
boot's clock relation is known), then every word of the record as `raw_<field>`. A number that is
not valid is empty (CSV) or null. Lists of names are joined by a space in CSV. What each column is
stands in the data dictionary (`porogauge.dictionary`): a Parquet file carries it as metadata,
`write_dictionary` puts it beside a file.

The file appears under its name only when it is complete.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from gauge import record

from . import dictionary
from .errors import PorogaugeError
from .store import Clock, Store
from .units import FIELDS, RAW_PREFIX, decode, raw

__all__ = ["FORMATS", "columns", "export", "rows", "target", "write_dictionary"]

FORMATS = ("csv", "parquet", "jsonl")
_LISTS = ("flags", "latched", "outputs")
_TEXTS = ("state", "state_reason", "reason")
_FLOATS = (
    "thickness_nm",
    "solid_nm",
    "u_thickness_nm",
    "gap_nm",
    "d_nm",
    "c0_frame_c",
    "d_frame_c",
    "u_d_nm",
    "delta_nm",
    "frame_c",
    "air_c",
    "rh_percent",
)
_BATCH = 20_000  # rows of a Parquet row group: tens of megabytes in memory at most


def columns(with_raw: bool = True) -> list[str]:
    """Names of the columns, in order."""
    names = ["device", *FIELDS, "wall_time"]
    return names + [RAW_PREFIX + name for name in record.FIELD_NAMES] if with_raw else names


def _wall(clock: Clock | None, board_us: int) -> str | None:
    if clock is None:
        return None
    return datetime.fromtimestamp(clock.wall(board_us), UTC).isoformat(timespec="milliseconds")


def rows(
    store: Store, device: str | None = None, boot: int | None = None, with_raw: bool = True
) -> Iterator[dict[str, Any]]:
    """Every record as a dict of `columns`, boot after boot, by ascending sequence number."""
    for found in store.boots():
        if device not in (None, found["device"]) or boot not in (None, found["boot"]):
            continue
        for words in store.rows(found["device"], found["boot"]):
            row = {"device": found["device"]} | decode(words, found["boot"])
            row["wall_time"] = _wall(found["clock"], row["t_us"])
            yield row | raw(words) if with_raw else row


@contextmanager
def target(to: str, binary: bool) -> Iterator[IO]:
    """A file that gets its name when everything was written; '-' is stdout."""
    if to == "-":
        stream = sys.stdout.buffer if binary else sys.stdout
        yield stream
        stream.flush()
        return
    path = Path(to)
    _refuse_database(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with (
            open(part, "wb") if binary else open(part, "w", encoding="utf-8", newline="") as stream
        ):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as error:
        raise PorogaugeError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _refuse_database(path: Path) -> None:
    try:
        with open(path, "rb") as stream:
            if stream.read(15) == b"SQLite format 3":
                raise PorogaugeError(f"{path}: is a database and stays; choose another --to")
    except OSError:
        return


def export(
    store: Store,
    to: str,
    format: str,
    *,
    device: str | None = None,
    boot: int | None = None,
    with_raw: bool = True,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write the records to a file ('-': stdout) and return how many.

    `progress` is called with the number of rows so far, every few hundred rows.
    """
    writer = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[format]
    with target(to, binary=format == "parquet") as stream:
        return writer(stream, rows(store, device, boot, with_raw), columns(with_raw), progress)


def write_dictionary(to: str, with_raw: bool = True) -> Path:
    """Write the data dictionary beside an exported file, as JSON, and return its path."""
    path = Path(to).with_suffix(".dictionary.json")
    with target(str(path), binary=False) as stream:
        json.dump(dictionary.dictionary(with_raw), stream, indent=1)
        stream.write("\n")
    return path


def _counted(source: Iterator[dict], progress: Callable[[int], None]) -> Iterator[dict]:
    for number, row in enumerate(source, 1):
        if number % 512 == 0:
            progress(number)
        yield row


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    return " ".join(value) if isinstance(value, list) else value


def _csv(stream: IO, source: Iterator[dict], names: list[str], progress: Callable) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    count = 0
    for row in _counted(source, progress):
        writer.writerow([_cell(row[name]) for name in names])
        count += 1
    return count


def _jsonl(stream: IO, source: Iterator[dict], names: list[str], progress: Callable) -> int:
    count = 0
    for row in _counted(source, progress):
        stream.write(json.dumps(row, separators=(",", ":")) + "\n")
        count += 1
    return count


def _metadata(entry: dictionary.Entry) -> dict[str, str]:
    known = {"unit": entry.unit, "meaning": entry.meaning, "uncertainty": entry.uncertainty}
    return {name: text for name, text in known.items() if text}


def _parquet(stream: IO, source: Iterator[dict], names: list[str], progress: Callable) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise PorogaugeError(
            "Parquet needs pyarrow: pip install pyarrow, or choose --format csv"
        ) from None

    def kind(name: str) -> Any:
        if name in _LISTS:
            return pa.list_(pa.string())
        if name in _TEXTS or name == "device":
            return pa.dictionary(pa.int32(), pa.string())
        if name == "wall_time":
            return pa.timestamp("ms", "UTC")
        if name == "valid":
            return pa.bool_()
        if name in _FLOATS:
            return pa.float64()
        return pa.int32() if name.startswith(RAW_PREFIX) else pa.int64()

    entries = dictionary.columns()
    schema = pa.schema(
        [pa.field(name, kind(name), metadata=_metadata(entries[name])) for name in names]
    ).with_metadata(
        {
            "layout_hash": record.LAYOUT_HASH.hex(),
            "porogauge": json.dumps(dictionary.dictionary(RAW_PREFIX + "seq" in names)),
        }
    )

    def instant(text: str | None) -> datetime | None:
        return None if text is None else datetime.fromisoformat(text)

    count = 0
    sink = io.BufferedWriter(stream) if isinstance(stream, io.RawIOBase) else stream
    with pq.ParquetWriter(sink, schema) as writer:
        group: list[dict] = []
        for row in _counted(source, progress):
            group.append(row | {"wall_time": instant(row["wall_time"])})
            count += 1
            if len(group) == _BATCH:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    return count
