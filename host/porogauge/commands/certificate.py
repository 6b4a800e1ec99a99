"""`porogauge certificate ROLL`, `porogauge certificate verify FILE`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from .. import output
from ..errors import PorogaugeError
from . import options
from .roll import found_roll


class _Group(click.Group):
    """What is none of its commands is the name of a roll."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *self.get_help_option_names(ctx)):
            args = ["make", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Group, subcommand_metavar="ROLL | verify FILE")
def certificate() -> None:
    """Write the certificate of a roll, or check one against the database.

    \b
    Examples:
      porogauge certificate A-17                     A-17.html and A-17.pdf
      porogauge certificate A-17 --db line1.db --to /srv/quality/A-17
      porogauge certificate verify A-17.html
      porogauge certificate make verify              of a roll of that name
    """


@certificate.command(short_help="Write the certificate of ROLL; 'make' may be left out.")
@click.argument("name", metavar="ROLL")
@options.database_option
@click.option(
    "--to",
    metavar="NAME",
    help="Writes NAME.html and NAME.pdf. Default: the roll's name, beside the database.",
)
@options.book_option
@options.by_option
@options.json_option
def make(
    name: str, database: str | None, to: str | None, book: str | None, by: str | None
) -> None:
    """Write the certificate of ROLL: one HTML file that needs nothing else, and a PDF.

    It has the verdict on each claim of the grade, profiles, map, histogram, capability, flags by
    metre, laboratory results, completeness, recipe and calibration, and a check of every word
    that was recorded. Ends with 0 whatever the verdict: 'porogauge roll verdict' tells that.

    \b
    Examples:
      porogauge certificate A-17
      porogauge certificate A-17 --json
    """
    from ..audit import person
    from ..book import Book
    from ..certificate import write

    with found_roll(name, database, Book(book), read_only=True) as (store, roll):
        base = Path(store.path).parent / _file_name(name) if to is None else Path(to)
        if base.suffix in (".html", ".pdf"):
            base = base.with_suffix("")
        content, files = write(store, roll, base, who=person(by))
    output.emit(
        "certificate",
        roll=name,
        outcome=content["outcome"],
        html=str(files[0]),
        pdf=str(files[1]),
        sha256=content["records"]["sha256"],
        claims=content["claims"],
    )
    for claim in content["claims"]:
        output.say(f"{claim['outcome']:10} {claim['sentence']}")
    output.say(f"\nroll {name}, grade {roll.grade}: {content['outcome']}")
    for path in files:
        output.say(str(path))


def _file_name(name: str) -> str:
    """A roll's name without what a file system, or a shell, does not like."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:80] or "roll"


@certificate.command(short_help="Compute a certificate again, and compare.")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@options.database_option
@options.book_option
@options.json_option
def verify(file: str, database: str | None, book: str | None) -> None:
    """Compute every number of the certificate FILE (HTML or PDF) again from the database.

    Names each value that differs: a word of a record, a laboratory result, a field of recipe or
    calibration, or what was changed in the file. Ends with 0 when it holds, else with 1.

    \b
    Examples:
      porogauge certificate verify A-17.html
      porogauge certificate verify A-17.pdf --db line1.db
    """
    from ..book import Book
    from ..certificate import CertificateError, read, roll_of
    from ..certificate import verify as check
    from ..rolls import RollError

    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise PorogaugeError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        name = roll_of(read(content))
        with found_roll(name, database, Book(book), read_only=True) as (store, _):
            differences = check(content, store)
    except (CertificateError, RollError) as error:
        raise PorogaugeError(f"{file}: {error}") from None
    output.emit("verified", file=file, roll=name, holds=not differences, differences=differences)
    for text in differences[:100]:
        output.say(f"differs: {text}")
    if differences:
        raise PorogaugeError(f"{file}: does not hold: {len(differences)} differences")
    output.say(f"{file}: holds; every number follows from the database")
