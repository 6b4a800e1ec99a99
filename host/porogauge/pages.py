"""Whole columns of a database's records, read from the pages of its file into arrays.

SQLite hands over one value at a time, and a day of windows has half a thousand million. Here numpy
takes the records out of the leaf pages, some ten thousand at a time, by SQLite's file format
(https://sqlite.org/fileformat2.html, sections 1.5, 1.6, 2.1 and 4). A running logger's
write-ahead log counts as far as it is committed.

    >>> with Records(store) as records:
    ...     order = records.order(device, [Span(boot=3, first=1200, last=98310)])
    ...     for block in records.blocks(order, ("position_mm", "thickness_8nm")):
    ...         position, thickness = block     # int32, by boot and sequence number

No word of a record reaches 2**30. A value that is none of these (a text, a fraction, nothing)
was not written by porogauge: `StoreError` names its window and field.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gauge import record

from .store import Store
from .store_file import StoreError

if TYPE_CHECKING:
    from .rolls import Span

__all__ = ["BLOCK", "Order", "Records"]

BLOCK = 1 << 13  # windows of a block: what is looked at stays in the processor's cache
_NAMES = ("device", "boot", *record.FIELD_NAMES)  # columns of the table, in order
_KEY = tuple(_NAMES.index(name) for name in ("device", "boot", "seq"))
_HEAD = 1 + len(_NAMES)  # bytes before the values: their number, and the type of each
_ZERO, _ONE = 8, 9  # types that are the value; 1 to 4 are integers of so many bytes; none else
_INTERIOR, _LEAF = 5, 13  # kinds of pages of a table
_CHANGES = slice(24, 28)  # of a file: counts who wrote into it
_SCAN = 512  # leaf pages that are looked at together
_WAL_HEADER, _FRAME_HEADER = 32, 24


@dataclass(frozen=True, slots=True)
class Order:
    """Windows in the order of boot and sequence number; `place`: where each is in the file."""

    boot: np.ndarray
    seq: np.ndarray
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.seq)

    def __getitem__(self, which: slice | np.ndarray) -> Order:
        return Order(self.boot[which], self.seq[which], self.place[which])


class _NotAWord(Exception):
    """A value in a record that no board has sent."""


class Records:
    """The records of a database as of one moment, while a logger may go on writing."""

    def __init__(self, store: Store):
        self._store = store

    def __enter__(self) -> Records:
        self._store.query("BEGIN")
        try:
            # The first question takes the snapshot: its pages stay as they are until the end.
            self._root = self._store.query(
                "SELECT rootpage FROM sqlite_master WHERE name='records'"
            )[0][0]
            self._size = self._store.query("PRAGMA page_size")[0][0]
            self._log, logged = _read_log(self._store.path, self._size)
            if self._store.path == ":memory:":
                self._file = np.frombuffer(self._store.image(), np.uint8)
            else:
                self._file = _mapped(Path(self._store.path))
            self._changes = bytes(self._file[_CHANGES])
            self._logged = {page: len(self._file) + at for page, at in logged.items()}
        except BaseException:
            self._store.query("ROLLBACK")
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._store.query("ROLLBACK")
        if self._store.at_rest and bytes(self._file[_CHANGES]) != self._changes:
            raise StoreError(f"{self._store.path}: was written while it was read: read it again")

    # ------------------------------------------------------------ pages

    def _places(self, pages: np.ndarray) -> np.ndarray:
        """Where pages begin: in the file, or behind it for those in the log."""
        places = (pages.astype(np.int64) - 1) * self._size
        if self._logged:
            for at in np.flatnonzero(np.isin(pages, list(self._logged))):
                places[at] = self._logged[int(pages[at])]
        return places

    def _leaves(self) -> np.ndarray:
        """Where the table's leaf pages begin, by ascending row id."""
        level = np.array([self._root])
        while True:
            places = self._places(level)
            kinds = self._bytes(places, 1)[:, 0]
            if (kinds == _LEAF).all():
                return places
            if (kinds != _INTERIOR).any():
                raise StoreError(f"{self._store.path}: is damaged: table records has a wrong page")
            below = []
            for page in self._bytes(places, self._size):
                cells = int(page[3]) << 8 | int(page[4])
                pointers = _big_endian(page[12 : 12 + 2 * cells].reshape(-1, 2))
                below.append(_big_endian(_view(page, np.uint8, 4)[np.append(pointers, 8)]))
            level = np.concatenate(below)

    def _bytes(self, places: np.ndarray, width: int) -> np.ndarray:
        """So many bytes from each place on, one row each."""
        return self._split(places, lambda buffer, at: _view(buffer, np.uint8, width)[at])

    def _split(
        self, places: np.ndarray, read: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """What `read` gives, one row a place, of the file and of the log behind it."""
        behind = places >= len(self._file)
        if not behind.any():
            return read(self._file, places)
        after = read(self._log, places[behind] - len(self._file))
        found = np.empty((len(places), *after.shape[1:]), after.dtype)
        found[~behind] = read(self._file, places[~behind])
        found[behind] = after
        return found

    # ------------------------------------------------------------ records

    def order(self, device: str, spans: Sequence[Span]) -> Order:
        """Find the windows of a device within the spans."""
        key = self._store.device_id(device)
        leaves = self._leaves()

        def find(start: int) -> tuple[np.ndarray, ...]:
            places = self._cells(leaves[start : start + _SCAN])
            its, boot, seq = self._decode(places, _KEY)
            mine = np.zeros(len(places), bool)
            for span in spans:
                mine |= (boot == span.boot) & (seq >= span.first) & (seq <= span.last)
            mine &= its == key
            return boot[mine], seq[mine], places[mine]

        found = list(self._ahead(find, range(0, len(leaves), _SCAN)))
        boot, seq, place = (np.concatenate(parts) for parts in zip(*found, strict=True))
        later = (boot[1:] > boot[:-1]) | ((boot[1:] == boot[:-1]) & (seq[1:] > seq[:-1]))
        if not later.all():
            way = np.lexsort((seq, boot))
            boot, seq, place = boot[way], seq[way], place[way]
        return Order(boot, seq, place)

    def blocks(self, order: Order, names: Sequence[str]) -> Iterator[np.ndarray]:
        """Columns of the windows, one row each, `BLOCK` windows at a time, in their order."""
        wanted = tuple(_NAMES.index(name) for name in names)
        return self._ahead(
            lambda at: self._decode(order.place[at : at + BLOCK], wanted),
            range(0, len(order), BLOCK),
        )

    def columns(self, order: Order, names: Sequence[str]) -> np.ndarray:
        """Columns of all windows, one row each."""
        found = np.empty((len(names), len(order)), np.int32)
        at = 0
        for block in self.blocks(order, names):
            found[:, at : at + block.shape[1]] = block
            at += block.shape[1]
        return found

    def _cells(self, leaves: np.ndarray) -> np.ndarray:
        """Where the records in leaf pages begin, behind their length and row id."""
        counts = _big_endian(self._bytes(leaves + 3, 2))
        first = np.cumsum(counts) - counts
        slot = np.arange(counts.sum()) - np.repeat(first, counts)
        page = np.repeat(leaves, counts)
        cells = page + _big_endian(self._bytes(page + 8 + 2 * slot, 2))
        # Two integers of seven bits a byte, whose last byte is below 128.
        more = np.ascontiguousarray(self._bytes(cells, 12).T >= 128)
        length = more[0].astype(np.uint8)
        goes_on = np.ones(len(cells), bool)
        for byte in range(1, 10):
            goes_on &= np.where(more[0], more[byte + 1], more[byte])
            if not goes_on.any():
                break
            length += goes_on
        return cells + length + 2

    def _decode(self, places: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
        """Columns (by their index) of the records at these places."""
        row = {index: number for number, index in enumerate(wanted)}

        def read(buffer: np.ndarray, at: np.ndarray) -> np.ndarray:
            head = np.ascontiguousarray(_view(buffer, np.uint8, max(wanted) + 2)[at].T)
            types = head[1:]
            sizes = types * (types < _ZERO)
            strange = (types < 1) | (types > _ONE) | ((types > 4) & (types < _ZERO))
            if (head[0] != _HEAD).any() or strange.any():
                raise _NotAWord
            fours = _view(buffer, ">i4")
            values = np.empty((len(wanted), len(at)), np.int32)
            start = at + (_HEAD - 4)
            behind = np.zeros(len(at), np.uint8)  # where a value ends; all of them fit into 255
            for index, size in enumerate(sizes):
                behind += size
                if index in row:
                    value = values[row[index]]
                    if size.any():
                        # The four bytes that end with the value, less those before it.
                        four = fours[start + behind].astype(np.int32)
                        before = 32 - 8 * size.astype(np.int32)
                        np.left_shift(four, before, out=four)
                        np.right_shift(four, before, out=value)
                    if not size.all():
                        constant = size == 0
                        value[constant] = types[index][constant] - _ZERO
            return values.T

        return self._split(places, read).T

    def _ahead(self, work: Callable[[int], Any], items: Iterable[int]) -> Iterator[Any]:
        """Results in the order of the items, computed by threads a few items ahead."""
        workers = min(4, os.cpu_count() or 1)
        running: deque = deque()
        try:
            with ThreadPoolExecutor(workers) as pool:
                for item in items:
                    running.append(pool.submit(work, item))
                    if len(running) > 2 * workers:
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
        except _NotAWord:
            self._refuse()
        except IndexError:
            raise StoreError(f"{self._store.path}: is damaged: a record is cut off") from None

    def _refuse(self) -> None:
        """Say which value is no word of a record."""
        checks = " OR ".join(f"typeof({name})<>'integer' OR abs({name})>=1<<31" for name in _NAMES)
        for row in self._store.query(f"SELECT * FROM records WHERE {checks} LIMIT 1"):
            words = dict(zip(_NAMES, row, strict=True))
            name, value = next(
                (n, v) for n, v in words.items() if type(v) is not int or abs(v) >= 1 << 31
            )
            raise StoreError(
                f"{self._store.path}: boot {words['boot']} window {words['seq']}: {name} is"
                f" {value!r}, which is no word of a record: the database was changed by hand"
            )
        raise StoreError(f"{self._store.path}: is damaged: a record cannot be read")


def _read_log(path: str, size: int) -> tuple[np.ndarray, dict[int, int]]:
    """The write-ahead log, and where in it the newest committed copy of each page is.

    Which frames are committed stands in the log's index. While a reader looks, a log that was not
    wholly copied into the file stays as it is, and so does what it was copied over; one that was
    may be begun anew at any moment, but is not needed.
    """
    log, index = (Path(f"{path}-{end}") for end in ("wal", "shm"))
    nothing = np.zeros(0, np.uint8), {}
    if not log.exists() or not log.stat().st_size:
        return nothing
    head = np.frombuffer(index.read_bytes()[:136], np.uint32)
    while (head[:12] != head[12:24]).any():  # a writer is changing it
        head = np.frombuffer(index.read_bytes()[:136], np.uint32)
    frames, copied = int(head[4]), int(head[24])
    if frames == copied:
        return nothing
    content = _mapped(log)
    starts = _WAL_HEADER + np.arange(frames) * (_FRAME_HEADER + size)
    pages = _big_endian(_view(content, np.uint8, 4)[starts])
    # Of several copies the last one counts.
    return content, dict(zip(pages.tolist(), (starts + _FRAME_HEADER).tolist(), strict=True))


def _mapped(path: Path) -> np.ndarray:
    """A file's bytes; pages come into memory when they are looked at."""
    with open(path, "rb") as stream:
        return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _view(buffer: np.ndarray, kind: Any, width: int = 0) -> np.ndarray:
    """What begins at each byte of a buffer: a number, or a row of `width` of them."""
    size = np.dtype(kind).itemsize * max(1, width)
    shape = (len(buffer) - size + 1,) + ((width,) if width else ())
    return np.ndarray(shape, kind, buffer.data, 0, (1,) * len(shape))


def _big_endian(found: np.ndarray) -> np.ndarray:
    """Unsigned numbers out of rows of bytes."""
    number = np.zeros(len(found), np.int64)
    for byte in found.T:
        number = number << 8 | byte
    return number
