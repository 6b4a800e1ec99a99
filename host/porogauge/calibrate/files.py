"""Which calibration and recipe a procedure starts from, and where its outcome goes: the book.

    start = starting_files(book, "gap", calibration="head.toml")
    result = module.fit(points, start.tables, options)
    kept = store(book, start, result, points, who, why)       # nothing changes when not accepted
    undo(book, kept.number, who, why)                         # the files before are current again

The book always has both, the file before and the one after, so that every change can be told
and taken back; nothing in it is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..book import Book, key_of
from ..errors import PorogaugeError, UsageError
from ..recipe import content_id, load, normalise, standard_recipe
from .procedure import Point, Result

__all__ = [
    "Kept",
    "Start",
    "file_id",
    "plain_values",
    "starting_files",
    "store",
    "undo",
    "write_files",
]

KINDS = ("calibration", "recipe")
STANDARD = "standard recipe"  # where a procedure does not look at the recipe
RECIPE_NEEDED = ("environment", "recipe", "verify", "study")


def file_id(kind: str, tables: Mapping[str, Any], source: str = "") -> str:
    """Id of a calibration or recipe, as the board and the book name it.

    Raises RecipeError naming `source` when it is not good.
    """
    return f"{content_id(kind, normalise(kind, tables, source or kind)):08x}"


def plain_values(value: Any) -> Any:
    """The same with plain numbers, lists and dicts only: what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(k): plain_values(v) for k, v in value.items()}
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if hasattr(value, "tolist"):  # of numpy, an array or a number
        return plain_values(value.tolist())
    return [plain_values(item) for item in value]


@dataclass(slots=True)
class Start:
    """Files that a procedure starts from: their content, where they are from, their ids."""

    tables: dict[str, dict[str, Any]]
    sources: dict[str, str]
    ids: dict[str, str]
    warnings: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        """Serial number of the head."""
        return key_of("calibration", self.tables["calibration"])

    @property
    def origin(self) -> str:
        """Where the files are from, in words."""
        used = [source for source in self.sources.values() if source != STANDARD]
        return " and ".join(dict.fromkeys(used))


def starting_files(
    book: Book,
    procedure: str,
    calibration: str | None = None,
    recipe: str | None = None,
    ids: Mapping[str, str] | None = None,
    drawing: Mapping[str, Any] | None = None,
) -> Start:
    """Find calibration and recipe: a file that was named, else what the book has as current.

    `ids`: what a gauge has in force, by kind; the files must be these. `drawing`: files of a head
    that was never calibrated, where the book has none of it (an emulated head). Raises UsageError
    when it is not clear which file is meant.
    """
    start = Start({}, {}, {})
    for kind, path in (("calibration", calibration), ("recipe", recipe)):
        if path:
            start.tables[kind], start.sources[kind] = _load(kind, path), str(path)
        elif ids:
            _take_in_force(
                book, start, kind, ids[kind], kind == "calibration" or _needs(procedure)
            )
        else:
            _take_current(book, start, kind, procedure, drawing)
        start.ids[kind] = file_id(kind, start.tables[kind], start.sources[kind])
        if path and ids and kind == "calibration" and start.ids[kind] != ids[kind]:
            raise PorogaugeError(
                f"{path}: is calibration {start.ids[kind]}, but the gauge measures with"
                f" {ids[kind]}: 'porogauge recipe push {path}' first"
            )
        current = book.current(kind, key_of(kind, start.tables[kind]))
        if path and current not in (None, start.ids[kind]):
            start.warnings.append(
                f"{path}: is {kind} {start.ids[kind]}; the book's current one of"
                f" {key_of(kind, start.tables[kind])} is {current}"
            )
    _warn_of_order(book, start, procedure)
    return start


def _warn_of_order(book: Book, start: Start, procedure: str) -> None:
    """Each procedure takes what those before it find as it stands in the files."""
    from .procedures import PROCEDURES

    names = list(PROCEDURES)
    if procedure not in names:
        return
    done = {
        result["procedure"]
        for result in book.results()
        if result.get("accepted") and result.get("head") == start.head
    }
    missing = [name for name in names[: names.index(procedure)] if name not in done]
    if missing:
        start.warnings.append(
            f"the book has no accepted {', '.join(missing)} of head {start.head}: what they find"
            f" is taken from the file as it stands, its error is not in the U95 of {procedure}"
        )


def _needs(procedure: str) -> bool:
    return procedure in RECIPE_NEEDED


def _load(kind: str, path: str) -> dict[str, Any]:
    tables = load(path)
    if kind not in tables:
        raise PorogaugeError(f"{path}: is not a {kind}: it has no table [{kind}]")
    normalise(kind, tables, path)
    return tables


def _take_in_force(book: Book, start: Start, kind: str, id: str, needed: bool) -> None:
    if id in book.ids(kind):
        start.tables[kind], start.sources[kind] = book.get(kind, id), f"the book's {kind} {id}"
    elif needed:
        raise PorogaugeError(
            f"the gauge measures with {kind} {id}, which the book has not: give its file with"
            f" --{kind} FILE.toml"
        )
    else:
        start.tables[kind], start.sources[kind] = standard_recipe(), STANDARD


def _take_current(
    book: Book, start: Start, kind: str, procedure: str, drawing: Mapping[str, Any] | None
) -> None:
    if drawing is not None:
        key = key_of(kind, drawing[kind])
        keys = [key]
    else:
        keys = list(dict.fromkeys(entry["subject"] for entry in book.history(kind)))
    found = [id for id in (book.current(kind, key) for key in keys) if id]
    if len(found) == 1:
        start.tables[kind] = book.get(kind, found[0])
        start.sources[kind] = f"the book's {kind} {found[0]}"
    elif drawing is not None:
        start.tables[kind], start.sources[kind] = drawing[kind], "the drawing of the head"
    elif kind == "recipe" and not _needs(procedure):
        start.tables[kind], start.sources[kind] = standard_recipe(), STANDARD
    else:
        what = {"calibration": "heads", "recipe": "recipes"}[kind]
        there = f"the book has several {what}: {', '.join(keys)}" if found else "the book has none"
        raise UsageError(f"which {kind}? {there}; name its file with --{kind} FILE.toml")


@dataclass(slots=True)
class Kept:
    """What `store` did: number of the result, and files as left by kind (none when refused)."""

    number: int
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)


def store(
    book: Book,
    start: Start,
    result: Result,
    points: Sequence[Point],
    who: str,
    why: str,
    place: str,
) -> Kept:
    """Keep a result; make its files current when it is accepted.

    `place` says where the points are from. Files as left that would not be good make it a result
    that is not accepted, with what is wrong among its reasons.
    """
    after: dict[str, dict[str, Any]] = {}
    ids: dict[str, str] = {}
    if result.accepted:
        changed = result.apply(start.tables)
        for kind in KINDS:
            if not result.changes.get(kind):
                continue
            if kind == "recipe":
                changed[kind]["recipe"]["version"] = int(changed[kind]["recipe"]["version"]) + 1
            else:
                _rename(changed[kind]["calibration"], result.procedure)
            try:
                ids[kind] = file_id(kind, changed[kind], f"{kind} as left")
            except PorogaugeError as error:
                result.reasons += str(error).splitlines()
            after[kind] = changed[kind]
    if not result.accepted:
        after, ids = {}, {}
    told = plain_values(result.to_dict()) | {
        "place": place,
        "head": start.head,
        "recipe_name": key_of("recipe", start.tables["recipe"]),
        "before": start.ids,
        "after": start.ids | ids,
        "points": plain_values(points),
    }
    for kind in after:
        key = key_of(kind, start.tables[kind])
        if start.ids[kind] not in book.ids(kind) or book.current(kind, key) != start.ids[kind]:
            book.put(kind, start.tables[kind], who, f"as found before {result.procedure}")
        book.put(kind, after[kind], who, f"{result.procedure}: {why}", before=start.ids[kind])
    return Kept(book.add_result(told, who, why), after, ids)


def _rename(table: dict[str, Any], procedure: str) -> None:
    """Name a calibration after what it was first, and the last procedure."""
    first = str(table["name"]).partition(", after ")[0]
    table["name"] = f"{first[:60]}, after {procedure}"


def undo(book: Book, number: int | None, who: str, why: str) -> dict[str, tuple[str, str]]:
    """Make the files before a result current again; return kind -> (id taken back, id now).

    `number` None: the last result that changed a file and is still in force. Raises
    PorogaugeError when a later result stands on it, or when it changed nothing.
    """
    found = _last_change(book) if number is None else book.result(number) | {"number": number}
    if found is None:
        raise PorogaugeError(
            f"{book.path}: no result has changed a file: there is nothing to undo"
        )
    number = found["number"]
    before, after = found.get("before", {}), found.get("after", {})
    changed = [kind for kind in KINDS if before.get(kind) != after.get(kind)]
    if not changed:
        raise PorogaugeError(f"result {number} ({found['procedure']}) changed nothing")
    keys = {"calibration": found["head"], "recipe": found["recipe_name"]}
    for kind in changed:
        current = book.current(kind, keys[kind])
        if current != after[kind]:
            raise PorogaugeError(
                f"result {number} left {kind} {after[kind]}, but {current} is current: what came"
                " later must be undone first"
            )
    for kind in changed:
        tables = book.get(kind, before[kind])
        book.put(kind, tables, who, f"undo of result {number}: {why}", before=after[kind])
    book.add_result(
        {
            "procedure": "undo",
            "accepted": True,
            "undone": number,
            "head": found["head"],
            "recipe_name": found["recipe_name"],
            "after": {kind: before[kind] for kind in changed},
        },
        who,
        why,
    )
    return {kind: (after[kind], before[kind]) for kind in changed}


def _last_change(book: Book) -> dict[str, Any] | None:
    results = book.results()
    undone = {result["undone"] for result in results if result["procedure"] == "undo"}
    for result in reversed(results):
        if result["number"] in undone or "before" not in result:
            continue
        if result["before"] != result["after"]:
            return result
    return None


def write_files(to: str, start: Start, kept: Kept) -> list[Path]:
    """Write the files as left to a folder, or the only one that changed to a file (`.toml`).

    Into a folder go both files, changed or not. Raises UsageError for a file where two changed.
    """
    from ..recipe import dumps

    path = Path(to)
    texts: dict[Path, str] = {}
    if path.suffix == ".toml":
        if len(kept.tables) > 1:
            raise UsageError(f"{to}: calibration and recipe have changed: --out must be a folder")
        for kind, tables in kept.tables.items():
            texts[path] = dumps(kind, tables, head=f"{kind} {kept.ids[kind]}")
    else:
        for kind in KINDS:
            tables, id = kept.tables.get(kind), kept.ids.get(kind)
            if tables is None:
                if start.sources[kind] == STANDARD:
                    continue
                tables, id = start.tables[kind], start.ids[kind]
            texts[path / f"{kind}.toml"] = dumps(kind, tables, head=f"{kind} {id}")
    for file, text in texts.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise PorogaugeError(f"{file}: cannot be written: {error.strerror}") from None
    return list(texts)
