"""`porogauge audit verify | show`: the log of every change."""

from __future__ import annotations

from typing import Any

import click

from .. import output
from ..errors import PorogaugeError
from . import options


@click.group()
def audit() -> None:
    """Check and show the log of every change: who, when, why, before and after.

    \b
    Examples:
      porogauge audit verify
      porogauge audit show --kind calibration
    """


@audit.command(short_help="Check the log from its first byte to its last.")
@click.argument("path", metavar="[BOOK|FILE]", required=False, type=click.Path())
@click.option(
    "--head",
    metavar="N:HASH",
    help="An entry that was noted earlier: the log must still have it.",
)
@click.option(
    "--db",
    "databases",
    metavar="FILE.db",
    multiple=True,
    type=click.Path(dir_okay=False),
    help="Check as well that the log has every entry that the rolls in this database name.",
)
@options.book_option
@options.json_option
def verify(
    path: str | None, head: str | None, databases: tuple[str, ...], book: str | None
) -> None:
    """Check a book's log, or the log's FILE alone: every entry, their chain, its end.

    Nothing else is needed: no gauge, no database. In a book the stored calibrations, recipes and
    results are checked, too. Ends with 1 and the number of the first bad entry when anything was
    touched. What is printed as head may be noted elsewhere, and the databases of rolls do so: with
    --head or --db the log is checked to still have it, whatever was done to log and anchor.

    \b
    Examples:
      porogauge audit verify
      porogauge audit verify --db line1.db --db line2.db
      porogauge audit verify /media/copy/audit.jsonl --head 12:9f2c...
    """
    from ..audit import verify as check
    from ..book import Book

    source = path or str(Book(book).path)
    heads = [] if head is None else [head]
    for database in databases:
        heads += _heads(database)
    report = check(source, *heads)
    output.emit(
        "verified",
        source=source,
        ok=report.ok,
        entries=report.entries,
        first_bad=report.first_bad,
        why=report.why,
        head=report.head,
        warnings=list(report.warnings),
    )
    for text in report.warnings:
        output.warn(text)
    if not report.ok:
        raise PorogaugeError(
            f"{source}: entry {report.first_bad} is bad: {report.why}"
            f" ({report.entries} good entries before it)"
        )
    output.say(f"{source}: {report.entries} entries, all good; head {report.head}")


def _heads(database: str) -> list[str]:
    """Heads of the log that a database has noted."""
    from ..store import Store

    with Store(database, read_only=True) as store:
        return [
            head
            for (head,) in store.query(
                "SELECT head FROM roll_events UNION SELECT head FROM lab"
                " UNION SELECT head FROM reprocessings"
            )
        ]


@audit.command(short_help="Show the log's entries.")
@click.option("--kind", metavar="KIND", help="Only this kind: calibration, recipe, roll, lab, ...")
@click.option("--subject", metavar="TEXT", help="Only this head, recipe, roll, ...")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the last N of them.")
@options.book_option
@options.json_option
def show(kind: str | None, subject: str | None, last: int | None, book: str | None) -> None:
    """Show the log: one entry a paragraph, or a line of JSON.

    \b
    Examples:
      porogauge audit show --last 5
      porogauge audit show --kind roll --json
    """
    from ..book import Book

    found = [
        entry
        for entry in Book(book).audit.entries()
        if kind in (None, entry["kind"]) and subject in (None, entry["subject"])
    ]
    for entry in found[-last:] if last else found:
        output.emit("entry", **entry)
        output.say(_paragraph(entry))
    if not found:
        output.note("no such entry")


def _paragraph(entry: dict[str, Any]) -> str:
    key = entry.get("key")
    lines = [
        f"{entry['n']:5}  {entry['time'][:19]}Z  {entry['kind']}: {entry['subject']}",
        f"       by {entry['who']}{f' ({key} key)' if key else ''}: {entry['why']}",
    ]
    before, after = (
        content if isinstance(content, dict) else {} if content is None else {"": content}
        for content in (entry["before"], entry["after"])
    )
    for name in dict.fromkeys([*before, *after]):
        if name not in before:
            lines.append(f"       {name}: {after[name]}")
        else:
            lines.append(f"       {name}: {before[name]} → {after.get(name, '-')}")
    return "\n".join(lines)
