"""What the host keeps: the audit log, the book, the database. Damage is seen, or stops nothing."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from array import array
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from porogauge import audit, lab, rolls
from porogauge.book import Book
from porogauge.calibrate.files import starting_files
from porogauge.calibrate.procedure import Step
from porogauge.calibrate.session import Session, unfinished
from porogauge.errors import PorogaugeError
from porogauge.export import export
from porogauge.recipe import content_id, normalise, standard_calibration, standard_recipe
from porogauge.store import Store

from .mutate import NUMBERS, damage, rewrite
from .parser import HostParser, Wrong

sys.path.append(str(Path(__file__).parents[2] / "host" / "tests"))

import roll_data  # noqa: E402

_STEPS = [Step("empty 1", "empty the gap", {"kind": "empty"})]
_NOW = 1_750_000_000.0  # of everything that is made here: the same bytes in every run


class _Clock(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz=None):  # type: ignore[override]
        return datetime.fromtimestamp(_NOW, tz or UTC)


class Kept(HostParser):
    """A folder with a book and a database, made once; each input damages one file of it."""

    def open(self) -> None:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # its syncs cost nothing
        self._folder = tempfile.TemporaryDirectory(prefix="porogauge-fuzz-", dir=memory)
        self.folder = Path(self._folder.name)
        with (
            mock.patch.object(audit, "datetime", _Clock),
            mock.patch("time.time", lambda: _NOW),
            mock.patch.object(os, "fsync", lambda _: None),
        ):
            self.build()

    def close(self) -> None:
        self._folder.cleanup()

    def build(self) -> None:
        """Make what inputs are made of."""
        raise NotImplementedError


class Books(Kept):
    """Files of a book: log, anchor, calibrations, recipes, results, a procedure under way."""

    name, share, block = "book", 1.5, 50

    def build(self) -> None:
        book = Book(self.folder / "book")
        calibration, recipe = standard_calibration(), standard_recipe()
        before = book.put("calibration", calibration, "shift 1", "drawing")
        book.put("recipe", recipe, "shift 1", "order 8")
        calibration["capacitance"] |= {"gap_um": 501.25, "c0_pf": 5.55}
        after = book.put("calibration", calibration, "shift 2", "gap: \xe4fter cleaning")
        told = {
            "procedure": "gap",
            "accepted": True,
            "head": "1",
            "recipe_name": recipe["recipe"]["name"],
        }
        ids = {"recipe": book.ids("recipe")[0]}
        told |= {"before": ids | {"calibration": before}, "after": ids | {"calibration": after}}
        book.add_result(told, "shift 2", "after cleaning")
        start = {"event": "start", "device": "aa", "database": "a.db"}
        book.audit.append("roll", "A-17", "shift 2", "order 8", None, start)
        session = Session(book.unfinished / "gap.json", {"head": "1"}, _STEPS)
        session.points = [{"id": "empty 1", "kind": "empty", "cap_pf": 1.25}]
        session._keep()
        self.book = book
        paths = [path for path in sorted(book.path.rglob("*")) if path.is_file()]
        self.files = {path.relative_to(book.path): path.read_bytes() for path in paths}
        self.names = sorted(self.files)
        # The log is what matters most
        self.weights = [4 if name.name.startswith("audit") else 1 for name in self.names]

    def make(self, rnd: random.Random) -> tuple[Path, bytes]:
        name = rnd.choices(self.names, self.weights)[0]
        data = self.files[name]
        others = list(self.files.values())
        if rnd.random() < 0.02:
            return name, data
        if rnd.random() < 0.5:
            return name, damage(rnd, data, others)
        return name, rewrite(rnd, data.decode(), [other.decode() for other in others])

    def check(self, case: tuple[Path, bytes]) -> bool:
        name, data = case
        path = self.book.path / name
        path.write_bytes(data)
        try:
            return self._look(name, data != self.files[name])
        finally:
            path.write_bytes(self.files[name])

    def _look(self, name: Path, changed: bool) -> bool:
        kept = name.parts[0] != "unfinished"
        try:
            report = audit.verify(self.book.path)
            if changed and kept and report.ok:
                raise Wrong(f"{name} was changed, and the log says that all is well")
        except audit.AuditError:
            pass
        refused = 0
        book = Book(self.book.path)
        for look in (
            lambda: [book.current("calibration", "1"), book.open_rolls(), book.history("recipe")],
            lambda: [self._one(book, kind, id) for kind in ("calibration", "recipe")
                     for id in book.ids(kind)],
            book.results,
            lambda: starting_files(book, "gap"),
            lambda: unfinished(book.path / "unfinished"),
            lambda: Session.open(book.path / "unfinished", "gap", {"head": "1"}, _STEPS),
        ):  # fmt: skip
            try:
                look()
            except PorogaugeError:
                refused += 1
        if changed and name.parts[0] == "results" and book_tells(book):
            raise Wrong(f"{name} was changed and is told as a result")
        return not refused

    def _one(self, book: Book, kind: str, id: str) -> None:
        tables = book.get(kind, id)
        if f"{content_id(kind, normalise(kind, tables, id)):08x}" != id:
            raise Wrong(f"{kind} {id} is another one")


def book_tells(book: Book) -> bool:
    """Whether the results of a book are told."""
    with suppress(PorogaugeError):
        return bool(book.results())
    return False


class Databases(Kept):
    """A database with flipped bits, lost or strange pages: read, or refused with StoreError."""

    name, share, block = "database", 0.5, 50

    def build(self) -> None:
        self.path = self.folder / "roll.db"
        # The log's hashes know the folder's name, which is another in every run.
        same = mock.patch.object(audit, "_hash", lambda _: 64 * "0")
        with same, Store(self.path) as store:
            roll_data.documents(store)
            roll_data.fill(store, count=40, first=2)
            store.gap(roll_data.DEVICE, 1, 0, 1, "board_restart")
            store.event("note", {"said": "made up"}, roll_data.DEVICE, 1)
            book = Book(self.folder / "book")
            told = {"who": "shift 2", "why": "order 8"}
            rolls.start(store, book, "A-17", roll_data.DEVICE, 1, 2, **told)
            rolls.end(store, book, "A-17", 1, 41, **told)
            lab.add(store, book, "A-17", "thickness_um", 25.1, u=0.1, **told)
        self.data = self.path.read_bytes()
        shutil.rmtree(self.folder / "book")

    def make(self, rnd: random.Random) -> bytes:
        out = bytearray(self.data)
        pages = len(out) // 4096
        for _ in range(rnd.choice((0, 1, 1, 1, 2, 4, 16))):
            way = rnd.random()
            at = rnd.randrange(len(out))
            if rnd.random() < 0.3:  # where pages begin
                at = at // 4096 * 4096 + rnd.randrange(40)
            at %= len(out)
            if way < 0.6:
                out[at] ^= 1 << rnd.randrange(8)
            elif way < 0.85:
                out[at : at + 4] = (rnd.choice(NUMBERS) % 2**32).to_bytes(4, "big")
            elif way < 0.95:
                a, b = 4096 * rnd.randrange(pages), 4096 * rnd.randrange(pages)
                out[a : a + 4096] = out[b : b + 4096]
            else:
                del out[rnd.randrange(len(out)) :]
                if len(out) < 4096:
                    break
        return bytes(out)

    def check(self, case: bytes) -> bool:
        for beside in self.folder.iterdir():
            if beside != self.path:
                beside.unlink()
        self.path.write_bytes(case)
        good = self._read(read_only=True)
        if self.path.read_bytes() != case:
            raise Wrong("reading has changed the file")
        try:
            with mock.patch.object(os, "fsync", lambda _: None), Store(self.path, lock=True) as s:
                s.append(roll_data.DEVICE, 1, [roll_data.row(42)])
        except PorogaugeError:
            good = False
        return good

    def _read(self, **how: bool) -> bool:
        try:
            with Store(self.path, **how) as store:
                store.events()
                store.gaps()
                for boot in store.boots():
                    key = boot["device"], boot["boot"]
                    store.completeness(*key)
                    store.configurations(*key)
                    for row in store.rows(*key):
                        array("i", row)
                    list(store.decoded(*key))
                export(store, str(self.folder / "out.jsonl"), "jsonl")
                for roll in rolls.rolls(store):
                    rolls.spans(store, roll)
                    rolls.in_force(store, roll)
                    rolls.recipe_values(store, roll.recipe)
                    lab.results(store, roll)
                    lab.compare(store, roll)
        except PorogaugeError:
            return False
        return True


HOST_KEPT = (Books, Databases)
