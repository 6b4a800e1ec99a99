"""`porogauge recipe init | check | push | show`, and those of `recipe_book`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import output
from ..errors import PorogaugeError
from ..grades import GRADES
from . import options, recipe_book

_FILES = click.argument("files", metavar="FILE.toml...", nargs=-1, required=True)


@click.group()
def recipe() -> None:
    """Write, check, compare, send and read back recipe and calibration.

    A recipe says what the film is: its solid's permittivity, its mixing law, its layers, its
    limits, its grade. A calibration says what the head is. The board measures with nothing but
    what was sent to it. host/RECIPES.md explains every part of a recipe.

    \b
    Examples:
      porogauge recipe init my-film            writes my-film/recipe.toml, calibration.toml
      porogauge recipe init my-film --grade dense-skin
      porogauge recipe check my-film/*.toml --table
      porogauge recipe push my-film/*.toml --port /dev/ttyACM0
      porogauge recipe show --port /dev/ttyACM0
    """


@recipe.command(short_help="Write files to start from.")
@click.argument("folder", type=click.Path(file_okay=False), default=".")
@click.option(
    "--only", type=click.Choice(["recipe", "calibration"]), help="Write just this one of the two."
)
@click.option(
    "--grade",
    type=click.Choice(list(GRADES)),
    metavar="GRADE",
    help="A recipe for film of this grade ('porogauge recipe grades' shows them).",
)
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@options.json_option
def init(folder: str, only: str | None, grade: str | None, force: bool) -> None:
    """Write a commented recipe and calibration to start from into FOLDER (default: here).

    \b
    Examples:
      porogauge recipe init my-film
      porogauge recipe init my-film --grade laminate-adhesive
    """
    from ..recipe import shipped_recipe, template

    if grade and only == "calibration":
        raise click.UsageError("--grade is of a recipe: leave --only calibration out")
    kinds = [only] if only else ["recipe", "calibration"]
    paths = [Path(folder) / f"{kind}.toml" for kind in kinds]
    for path in paths:
        if path.exists() and not force:
            raise click.UsageError(f"{path} is there already; --force overwrites it")
    for kind, path in zip(kinds, paths, strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            own = grade and kind == "recipe"
            path.write_text(shipped_recipe(grade) if own else template(kind), encoding="utf-8")
        except OSError as error:
            raise PorogaugeError(f"{path}: cannot be written: {error.strerror}") from None
        output.say(str(path))
        output.emit("written", file=str(path), kind=kind)


@recipe.command(short_help="Check files; every problem is told.")
@_FILES
@click.option("--table", is_flag=True, help="Show uncertainties over the recipe's range.")
@options.json_option
def check(files: tuple[str, ...], table: bool) -> None:
    """Check recipe and calibration files; every problem is told, with the legal range.

    The id is that of the content: the board shows the same one when the file is in force. Of a
    good recipe is told what is to be known of it: whether layers hide its porosity, where
    porosity will be indicative only, what its grade leaves to the laboratory. Without a
    calibration the standard head is assumed.

    \b
    Examples:
      porogauge recipe check recipe.toml calibration.toml
      porogauge recipe check recipe.toml calibration.toml --table
    """
    from ..recipe import RecipeError, load_files
    from ..recipe_check import refused

    found = load_files(files)
    try:
        words = _compile(found)
        problems = refused(found)
        if problems:
            raise RecipeError(problems)
    except RecipeError as error:
        output.emit("problems", problems=error.problems)
        raise
    if table and "recipe" not in found:
        raise click.UsageError("--table is of a recipe: give its file, too")
    for kind, (tables, source) in found.items():
        name, id = tables[kind]["name"], _ids(words)[kind]
        output.say(f"{source}: {kind} '{name}' is good, id {id}")
        more = _review(found, words, table) if kind == "recipe" else {}
        output.emit("good", kind=kind, file=source, name=name, id=id, **more)


def _review(
    found: dict[str, tuple[dict[str, Any], str]], words: Any, table: bool
) -> dict[str, Any]:
    """Tell what is to be known of a good recipe; return it for machines."""
    from ..recipe import normalise
    from ..recipe_check import review

    tables, source = found["recipe"]
    told = review(normalise("recipe", tables, source), words)
    identity = told.identity
    head = "" if "calibration" in found else " (the standard head is assumed)"
    output.say(f"porosity{head}: {identity.verdict.replace('_', ' ')}")
    output.say(f"    {identity.sentence}")
    for text in told.warnings:
        output.warn(text)
    if table:
        _show_table(told.rows)
    u95 = None if identity.u95 is None else round(100 * identity.u95, 3)
    return {
        "porosity": {
            "verdict": identity.verdict,
            "sentence": identity.sentence,
            "u95_points": u95,
        },
        "warnings": told.warnings,
    } | ({"rows": told.to_dict()["rows"]} if table else {})


def _show_table(rows: list[Any]) -> None:
    output.say("U95 that the gauge will state, without the film's own scatter:")
    output.say(" thickness    porosity   permittivity   U95 of each          porosity is")
    for row in rows:
        t, p = row.u95_thickness_um, row.u95_porosity_percent
        verdict = row.verdict.replace("_", " ") + (", not linear" if row.linear is False else "")
        output.say(
            f"{row.thickness_um:8.5g} um {row.porosity_percent:8.4g} %   {row.permittivity:10.3f}"
            f"   {'-' if t is None else f'{t:.2f}':>6} um"
            f"   {'-' if p is None else f'{p:.1f}':>4} points   {verdict}"
        )


def _ids(words: Any) -> dict[str, str]:
    from gauge import config

    return {
        "recipe": f"{words[config.RECIPE_ID]:08x}",
        "calibration": f"{words[config.CALIBRATION_ID]:08x}",
    }


def _compile(found: dict[str, tuple[dict[str, Any], str]]) -> Any:
    """Words of what was given, completed by the standard other half (for a check only)."""
    from ..recipe import compile_words, standard_calibration, standard_recipe

    recipe_, recipe_source = found.get("recipe") or (standard_recipe(), "standard recipe")
    head, head_source = found.get("calibration") or (
        standard_calibration(),
        "standard calibration",
    )
    return compile_words(recipe_, head, (recipe_source, head_source))


@recipe.command(short_help="Check files, send them, read them back.")
@_FILES
@options.port_option
@options.baud_option
@options.wait_option
@options.book_option
@options.by_option
@options.why_option
@options.json_option
def push(
    files: tuple[str, ...],
    port: str | None,
    baud: int,
    wait: float,
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Check files, send them to the gauge, and read them back.

    With a recipe alone the board keeps its calibration, and the other way round. Nothing
    changes on the board unless everything is good, nor while a roll runs on it. What was sent is
    kept in the book.

    \b
    Examples:
      porogauge recipe push recipe.toml calibration.toml --port /dev/ttyACM0
      porogauge recipe push other-film.toml --port socket://127.0.0.1:4000 --why "order 8"
    """
    from ..book import Book
    from ..device import opened, push_files
    from ..recipe import load_files

    found = load_files(files)
    _compile(found)  # before the board is touched
    with opened(port, baud, wait) as client:
        words = push_files(client, found, Book(book), by, why)
    ids = _ids(words)
    output.say(
        f"in force: recipe {ids['recipe']}, calibration {ids['calibration']} (read back, equal)"
    )
    output.emit("pushed", recipe_id=ids["recipe"], calibration_id=ids["calibration"])


@recipe.command(short_help="Read from the gauge what is in force.")
@click.option(
    "--only", type=click.Choice(["recipe", "calibration"]), help="Show just this one of the two."
)
@options.port_option
@options.baud_option
@options.wait_option
@options.json_option
def show(only: str | None, port: str | None, baud: int, wait: float) -> None:
    """Read recipe and calibration from the gauge, in the files' own form and units.

    \b
    Example:
      porogauge recipe show --port /dev/ttyACM0 > in-force.toml
    """
    from ..device import opened, read_words
    from ..recipe import decode_words, dumps

    with opened(port, baud, wait) as client:
        words = read_words(client)
    if words is None:
        raise PorogaugeError(
            "the gauge has no recipe and calibration; 'porogauge recipe push' sends them"
        )
    ids = _ids(words)
    tables = dict(zip(("recipe", "calibration"), decode_words(words), strict=True))
    for kind, content in tables.items():
        if only in (None, kind):
            output.say(dumps(kind, content, comments=False, head=f"{kind} {ids[kind]}"))
            output.emit("configuration", kind=kind, id=ids[kind], content=content)


for _command in (recipe_book.grades, recipe_book.diff, recipe_book.list_, recipe_book.history):
    recipe.add_command(_command)
