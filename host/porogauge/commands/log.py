"""`porogauge log`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .. import output
from ..errors import IncompleteError, Interrupted
from . import options

if TYPE_CHECKING:
    from ..book import Book


@click.command()
@options.port_option
@click.option(
    "--to",
    required=True,
    metavar="FILE.db",
    type=click.Path(dir_okay=False),
    help="Database; created when it is not there, continued when it is.",
)
@click.option(
    "--recipe",
    metavar="FILE.toml",
    type=click.Path(dir_okay=False),
    help="Send this recipe first; without it the gauge goes on with the one it has.",
)
@click.option(
    "--calibration",
    metavar="FILE.toml",
    type=click.Path(dir_okay=False),
    help="Send this calibration first.",
)
@click.option(
    "--duration",
    type=options.Number(0.1),
    metavar="SECONDS",
    help="Stop after this time. Default: go on until Ctrl-C.",
)
@options.baud_option
@options.wait_option
@options.book_option
@options.by_option
@options.why_option
@options.json_option
def log(
    port: str | None,
    to: str,
    recipe: str | None,
    calibration: str | None,
    duration: float | None,
    baud: int,
    wait: float,
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Store every record of a gauge in a database, once, and show what it measures.

    May be stopped and started at any time: the gauge keeps what was not stored, 20 s of it in its
    memory, the rest in its flash as long as there is room, and the next 'log' fetches it. What it
    could not keep is a gap in the database, with its cause; 'porogauge journal' shows restarts.
    Ends with 5 when windows were lost, with 130 after Ctrl-C.

    \b
    Examples:
      porogauge log --port /dev/ttyACM0 --to line1.db
      porogauge log --port COM3 --to roll.db --recipe 25um.toml --duration 600
      porogauge log --port socket://127.0.0.1:4000 --to roll.db --json
    """
    from ..book import Book
    from ..ports import find_port

    port = find_port(port)
    output.note(f"logging {port} into {to}; Ctrl-C ends it")
    files = [path for path in (recipe, calibration) if path]

    def send() -> dict[str, Any]:
        return send_files(port, baud, wait, files, Book(book), by, why) if files else {}

    run_log(port, to, send, duration, baud, wait)


def run_log(
    port: str,
    to: str,
    send: Callable[[], dict[str, Any]],
    duration: float | None,
    baud: int,
    wait: float,
) -> None:
    """Log until the end and report; raises Interrupted or IncompleteError for the exit code.

    `send` is called once the database is ours; it gives the `documents` of
    `porogauge.logger.Logger`.
    """
    from ..link.client import Client
    from ..live import make_view
    from ..logger import Logger, Stop
    from ..store import Store

    with Store(to, lock=True) as store, Stop().on_signals() as stop:
        documents = send()
        with Client(
            port, timeout_s=wait, baud=baud, known=store.settled, fetched=store.fetched
        ) as client:
            client.connect()
            view = make_view()
            try:
                summary = Logger(client, store, view, documents=documents).run(duration, stop)
            finally:
                view.close()
    report = summary.as_dict()
    output.emit("summary", database=to, **report)
    output.say(
        f"{to}: {summary.stored} records stored in {summary.seconds:.0f} s,"
        f" {summary.interruptions} interruptions, {summary.lost} windows lost"
    )
    if summary.stopped:
        raise Interrupted("")
    if summary.lost:
        raise IncompleteError(
            f"{summary.lost} windows were lost; 'porogauge export' marks them, table gaps says why"
        )


def send_files(
    port: str,
    baud: int,
    wait: float,
    files: list[str],
    book: Book,
    by: str | None,
    why: str,
) -> dict[str, Any]:
    """Push recipe and calibration and return what the database keeps of them."""
    from gauge import config

    from ..device import opened, push_files
    from ..recipe import dumps, load_files

    found = load_files(files)
    with opened(port, baud, wait) as client:
        words = push_files(client, found, book, by, why)
    ids = {"recipe": words[config.RECIPE_ID], "calibration": words[config.CALIBRATION_ID]}
    return {
        kind: (ids[kind], tables[kind]["name"], dumps(kind, tables, comments=False))
        for kind, (tables, _) in found.items()
    }
