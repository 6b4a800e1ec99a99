"""`porogauge recipe grades | diff | list | history`: which recipes there are, how they differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import output
from ..errors import PorogaugeError
from . import options

if TYPE_CHECKING:
    from ..book import Book


@click.command(short_help="Show what each grade of film promises.")
@options.json_option
def grades() -> None:
    """Show every grade: its claims, where each is measured, the layers that its film has.

    \b
    Example:
      porogauge recipe init my-film --grade through-pore
    """
    from ..grades import GRADES, PROPERTIES

    for grade in GRADES.values():
        output.say(f"{grade.name}: {grade.text}")
        claims = []
        for claim in grade.claims:
            place = "laboratory" if grade.in_laboratory(claim.property) else "inline"
            output.say(f"    {PROPERTIES[claim.property].text:22} {claim.text:18} {place}")
            limits = {"property": claim.property, "low": claim.low, "high": claim.high}
            claims.append(limits | {"measured": place})
        if grade.layers:
            output.say(f"    layers: {', '.join(grade.layers)}")
        output.emit(
            "grade", name=grade.name, text=grade.text, claims=claims, layers=list(grade.layers)
        )


@click.command(short_help="Show how two recipes differ.")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@options.book_option
@options.json_option
def diff(before: str, after: str, book: str | None) -> None:
    """Show every field in which recipe B differs from recipe A, defaults filled in.

    A and B are files, ids of recipes in the book, or names of recipes (the current one).

    \b
    Examples:
      porogauge recipe diff old.toml new.toml
      porogauge recipe diff 04fd0f46 new.toml
    """
    from ..book import Book
    from ..recipe import normalise

    place = Book(book)
    both = [normalise("recipe", *_tables(name, place)) for name in (before, after)]
    changes = _differences(*both)
    for path, (old, new) in changes.items():
        output.say(f"{path}: {_text(old)} -> {_text(new)}")
        output.emit("difference", field=path, before=_plain(old), after=_plain(new))
    if not changes:
        output.say("no difference")
    output.emit("compared", differences=len(changes))


def _tables(name: str, book: Book) -> tuple[dict[str, Any], str]:
    """A recipe by its file, its id or its name, and what to call it."""
    from ..recipe import load_files

    if Path(name).exists():
        found = load_files([name])
        if "recipe" not in found:
            raise PorogaugeError(f"{name}: has no recipe, only a calibration")
        return found["recipe"]
    id = name if name in book.ids("recipe") else book.current("recipe", name)
    if id is None:
        names = {entry["subject"] for entry in book.history("recipe")}
        known = ", ".join(sorted(names | set(book.ids("recipe")))) or "none"
        raise click.UsageError(
            f"there is no file, no recipe in the book and no id '{name}'; in the book: {known}"
        )
    return book.get("recipe", id), f"recipe {id}"


def _differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Field -> both values, where they differ; layers by their names."""
    from ..derived import LAYERS, layer_tables

    found = {
        path: (old[path], new[path]) for path in old if path != LAYERS and old[path] != new[path]
    }
    layers = [
        {f"layer '{t['name']}'.{k}": v for t in layer_tables(side[LAYERS]) for k, v in t.items()}
        for side in (old, new)
    ]
    for path in dict.fromkeys([*layers[0], *layers[1]]):
        pair = (layers[0].get(path), layers[1].get(path))
        if pair[0] != pair[1]:
            found[path] = pair
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    from decimal import Decimal

    if isinstance(value, Decimal):
        return float(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    from decimal import Decimal

    from ..recipe_fields import plain

    if value is None or value == ():
        return "left out"
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return plain(value) if isinstance(value, Decimal) else str(value)


@click.command(name="list", short_help="List the recipes in the book.")
@options.book_option
@options.json_option
def list_(book: str | None) -> None:
    """List every recipe in the book: name, version, grade, current id, since when.

    \b
    Example:
      porogauge recipe list
    """
    from ..book import Book

    place = Book(book)
    newest = {entry["subject"]: entry for entry in place.history("recipe")}
    for name, entry in sorted(newest.items()):
        id = entry["after"]["id"]
        head = place.get("recipe", id)["recipe"]
        version, grade = int(head["version"]), head.get("grade", "base")
        output.say(f"{id}  {name}, version {version}, grade {grade}, since {entry['time']}")
        output.emit("recipe", name=name, id=id, version=version, grade=grade, since=entry["time"])
    if not newest:
        output.note("no recipes in the book yet; 'porogauge recipe push' puts one into it")


@click.command(short_help="Show every version of a recipe that was in force.")
@click.argument("name")
@options.book_option
@options.json_option
def history(name: str, book: str | None) -> None:
    """Show every version of the recipe NAME in the book: when, who, why, and what changed.

    \b
    Example:
      porogauge recipe history "porous polyimide 25 um"
    """
    from ..book import Book
    from ..recipe import normalise

    place = Book(book)
    entries = place.history("recipe", name)
    if not entries:
        known = ", ".join(sorted({e["subject"] for e in place.history("recipe")})) or "none"
        raise click.UsageError(f"the book has no recipe named '{name}'; there: {known}")
    before: dict[str, Any] | None = None
    for entry in entries:
        id = entry["after"]["id"]
        values = normalise("recipe", place.get("recipe", id), f"recipe {id}")
        changes = _differences(before, values) if before is not None else {}
        output.say(f"{entry['time']}  {id}  by {entry['who']}: {entry['why']}")
        for path, (old, new) in changes.items():
            output.say(f"    {path}: {_text(old)} -> {_text(new)}")
        output.emit(
            "version",
            name=name,
            id=id,
            time=entry["time"],
            who=entry["who"],
            why=entry["why"],
            changes={path: [_plain(old), _plain(new)] for path, (old, new) in changes.items()},
        )
        before = values
