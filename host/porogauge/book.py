"""The book: calibrations, recipes, results and the audit log of an instrument, on this computer.

    BOOK/audit.jsonl, audit.head      every change, hash-chained (`porogauge.audit`)
    BOOK/calibrations/ID.toml         every calibration that was ever put into it
    BOOK/recipes/ID.toml              every recipe
    BOOK/results/N.json               every result of a procedure, a study, a verification
    BOOK/unfinished/                  procedures that are not finished
    BOOK/keys.json                    hashes of the gauges' keys (`porogauge.keys`)

Files but the last two are written once and never changed. What is *current* (the
calibration of a head, the recipe of a name) is what the log says last. A folder from --book,
POROGAUGE_BOOK, the configuration file (`book = "..."`), or the user's data folder; made by the
first write.

    >>> book = Book("/srv/film/book")
    >>> id = book.put("calibration", tables, "shift 2", "gap after cleaning")
    >>> book.current("calibration", "17") == id
    True
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import settings
from .audit import FILE, Audit
from .errors import PorogaugeError, UsageError

__all__ = ["Book", "BookError", "key_of"]

KINDS = ("calibration", "recipe")


class BookError(PorogaugeError):
    """The book has not what was asked for, or cannot be written."""


def key_of(kind: str, tables: Mapping[str, Any]) -> str:
    """What a file is the current one of: the head's serial number, or the recipe's name."""
    if kind == "calibration":
        return str(tables["head"]["serial"])
    return str(tables["recipe"]["name"])


def _default() -> Path:
    named = os.environ.get("POROGAUGE_BOOK", "").strip()
    if not named:
        named = settings.read().get("book", "")
        if not isinstance(named, str):
            raise UsageError(f"{settings.config_path()}: book must be a text, the book's folder")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("porogauge", appauthor=False)) / "book"


class Book:
    """The book in a folder; `path` None: the one of this user (see the module's text)."""

    def __init__(self, path: str | Path | None = None):
        self.path = Path(path) if path is not None else _default()
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path}: is a file; a book is a folder")
        self.audit = Audit(self.path / FILE)

    # ------------------------------------------------------------ calibrations and recipes

    def put(
        self,
        kind: str,
        tables: Mapping[str, Any],
        who: str,
        why: str,
        before: str | None = None,
    ) -> str:
        """Keep a calibration or recipe, make it the current one and return its id (8 hex digits).

        `before`: id that it replaces (default: the current one). The entry in the log says which
        fields changed. Raises `porogauge.recipe.RecipeError` when it is not good.
        """
        from .recipe import content_id, dumps, normalise

        self.audit.allow(kind)
        values = normalise(kind, tables, f"{kind} for the book")
        id = f"{content_id(kind, values):08x}"
        name = f"{kind}s/{id}.toml"
        self._keep(name, dumps(kind, tables, comments=False, head=f"{kind} {id}"))
        kept = self.get(kind, id)
        key = key_of(kind, kept)
        if before is None:
            before = self.current(kind, key)
        changes = self._changes(kind, before, kept)
        self.audit.append(
            kind,
            key,
            who,
            why,
            None if before is None else {"id": before} | {k: v[0] for k, v in changes.items()},
            {"id": id, "file": name, "sha256": self._digest(name)}
            | {k: v[1] for k, v in changes.items()},
        )
        return id

    def get(self, kind: str, id: str) -> dict[str, Any]:
        """Tables of a calibration or recipe, numbers exact (Decimal).

        Raises BookError when it is not there, or is not what its name says.
        """
        from .recipe import content_id, load, normalise

        if kind not in KINDS:
            raise ValueError(f"{kind} is not one of {', '.join(KINDS)}")
        path = self.path / f"{kind}s" / f"{id}.toml"
        if not path.exists():
            known = ", ".join(self.ids(kind)) or "none"
            raise BookError(f"{self.path}: has no {kind} {id}; there: {known}")
        tables = load(path)
        if f"{content_id(kind, normalise(kind, tables, str(path))):08x}" != id:
            raise BookError(f"{path}: is not {kind} {id}: the file was changed")
        return tables

    def ids(self, kind: str) -> list[str]:
        """Ids of all calibrations or recipes in the book, ascending."""
        return sorted(path.stem for path in (self.path / f"{kind}s").glob("*.toml"))

    def current(self, kind: str, key: str) -> str | None:
        """Id of the current calibration of a head (serial), or recipe of a name; None: none."""
        found = self.history(kind, key)
        return found[-1]["after"]["id"] if found else None

    def history(self, kind: str, key: str | None = None) -> list[dict[str, Any]]:
        """Entries of the log that made a calibration or recipe current, oldest first."""
        return [
            entry
            for entry in self.audit.entries()
            if entry["kind"] == kind
            and (key is None or entry["subject"] == str(key))
            and isinstance(entry["after"], dict)
            and "id" in entry["after"]
        ]

    def _changes(
        self, kind: str, before: str | None, tables: Mapping[str, Any]
    ) -> dict[str, tuple[Any, Any]]:
        """Field -> value before and after, where they differ."""
        if before is None or before not in self.ids(kind):
            return {}
        try:
            old, new = _flat(self.get(kind, before)), _flat(tables)
        except PorogaugeError:  # a damaged file is no reason not to replace it
            return {}
        return {
            path: (old.get(path), new.get(path))
            for path in sorted(old.keys() | new.keys())
            if old.get(path) != new.get(path)
        }

    # ------------------------------------------------------------ results

    def add_result(self, result: Mapping[str, Any], who: str, why: str) -> int:
        """Keep the result of a procedure (plain values) and return its number, from 1."""
        self.audit.allow("result")
        text = json.dumps(dict(result), ensure_ascii=False, indent=1) + "\n"
        self._make(self.path / "results")
        number = max(self._numbers(), default=0) + 1
        while not self._take(f"results/{number:06d}.json", text):
            number += 1  # another process was quicker
        name = f"results/{number:06d}.json"
        self.audit.append(
            "result",
            str(result.get("procedure", "result")),
            who,
            why,
            None,
            {
                "number": number,
                "accepted": result.get("accepted"),
                "file": name,
                "sha256": self._digest(name),
            },
        )
        return number

    def result(self, number: int) -> dict[str, Any]:
        """A result by its number. Raises BookError when it is not there, or was changed."""
        for entry in self._told_results():
            if entry["after"]["number"] == number:
                return self._result(entry)
        raise BookError(
            f"{self.path}: has no result {number}; 'porogauge calibrate list' shows them"
        )

    def results(self) -> list[dict[str, Any]]:
        """All results with their `number`, `time`, `who` and `why`, oldest first."""
        return [
            self._result(entry)
            | {"number": entry["after"]["number"]}
            | {name: entry[name] for name in ("time", "who", "why")}
            for entry in self._told_results()
        ]

    def _told_results(self) -> list[dict[str, Any]]:
        """Entries of the log that tell of results."""
        return [entry for entry in self.audit.entries() if entry["kind"] == "result"]

    def _result(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The result that an entry of the log tells of."""
        path = self.path / entry["after"]["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BookError(f"{path}: cannot be read: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != entry["after"]["sha256"]:
            raise BookError(
                f"{path}: is not the result that the log tells of: the file was changed"
            )
        return json.loads(content)

    def _numbers(self) -> list[int]:
        folder = self.path / "results"
        return [int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit()]

    # ------------------------------------------------------------ procedures and rolls

    @property
    def unfinished(self) -> Path:
        """Folder of what is not finished."""
        folder = self.path / "unfinished"
        self._make(folder)
        return folder

    def open_rolls(self, device: str | None = None) -> list[dict[str, Any]]:
        """Rolls that were started and not ended: name, device, database, recipe, calibration."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in self.audit.entries():
            after = entry["after"]
            if entry["kind"] != "roll" or not isinstance(after, dict):
                continue
            key = (entry["subject"], after.get("database", ""))
            if after.get("event") == "start":
                told = {name: value for name, value in after.items() if name != "event"}
                found[key] = {"roll": entry["subject"], "started": entry["time"]} | told
            elif after.get("event") == "end":
                found.pop(key, None)
        return [roll for roll in found.values() if device is None or roll["device"] == device]

    # ------------------------------------------------------------ files

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BookError(
                f"{folder}: cannot be made ({error.strerror}); name another book with --book or"
                " POROGAUGE_BOOK"
            ) from None

    def _keep(self, name: str, text: str) -> None:
        """Write a file of the book, whole or not at all; one that is there stays."""
        path = self.path / name
        self._make(path.parent)
        if path.exists():
            return
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with draft.open("w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(draft, path)
        except OSError as error:
            raise BookError(f"{path}: cannot be written: {error.strerror}") from None

    def _take(self, name: str, text: str) -> bool:
        """Write a new file of the book; False when there is one."""
        try:
            with (self.path / name).open("x", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        except FileExistsError:
            return False
        except OSError as error:
            raise BookError(f"{self.path / name}: cannot be written: {error.strerror}") from None
        return True

    def _digest(self, name: str) -> str:
        return hashlib.sha256((self.path / name).read_bytes()).hexdigest()


def _flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """ "table.field" -> value; what is not a table stays as it is."""
    found: dict[str, Any] = {}
    for table, content in tables.items():
        if isinstance(content, Mapping):
            found |= {f"{table}.{name}": value for name, value in content.items()}
        else:
            found[table] = content
    return found
