"""`porogauge demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import output
from ..errors import IncompleteError, Interrupted, PorogaugeError
from . import options


@click.command()
@click.option(
    "--out",
    default="porogauge-demo",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Folder for database, picture and summary; an earlier demo's files are replaced.",
)
@click.option(
    "--scenario", default="demo", show_default=True, metavar="NAME|FILE.toml", help="What runs."
)
@click.option(
    "--target",
    type=click.Choice(["rp2040", "unix32"]),
    default="rp2040",
    show_default=True,
    help="The emulated board.",
)
@click.option(
    "--pace",
    type=options.Number(0, 100),
    default=1.0,
    show_default=True,
    help="Virtual seconds per second at most; 0: as fast as the logger keeps up.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Instead of the scenario's seed.")
@options.json_option
def demo(out: str, scenario: str, target: str, pace: float, seed: int | None) -> None:
    """See it work with nothing plugged in: an emulated gauge measures a roll with defects.

    The firmware image runs in an emulated RP2040 with emulated sensors; it is configured and
    logged through the same commands as a real one. Leaves in DIR: roll.db, roll.png,
    certificate.html, certificate.pdf, records.jsonl, truth.jsonl, recipe.toml, calibration.toml,
    summary.json. Then the page of the roll is served until Ctrl-C; without a terminal, or where
    there is no browser, it ends by itself.

    \b
    Examples:
      porogauge demo
      porogauge demo --target unix32 --out /tmp/demo --pace 0
    """
    from ..bench import errors_told, scenario_path

    output.note("starting the emulated board")
    path = scenario_path(scenario)
    folder = Path(out)
    with errors_told():
        _prepare(folder)
        summary, stopped = _measure(folder, path, target, pace or None, seed)
    if stopped:
        raise Interrupted("")
    from ..demo import certified, report

    certificate = certified(folder)
    output.say(report(summary))
    output.say(f"\nleft in {folder}: roll.png (the picture), roll.db, summary.json and more")
    output.emit("summary", folder=str(folder), certificate=str(certificate), **summary)
    output.say(f"certificate: {certificate}")
    _show(folder)
    if summary["lost"]:
        raise IncompleteError(f"{summary['lost']} windows were lost")


def _show(folder: Path) -> None:
    """Serve the roll's page, as long as somebody may look at it."""
    import sys
    import webbrowser

    from ..book import Book
    from ..logger import Stop
    from ..page import Page

    watched = sys.stdin.isatty() and sys.stdout.isatty()
    if watched:
        try:
            webbrowser.get()
        except webbrowser.Error:
            watched = False
    with Stop().on_signals() as stop, Page(folder / "roll.db", book=Book(folder / "book")) as page:
        output.emit("serving", url=page.url, address=page.address)
        output.say(f"page:        {page.address}")
        if watched:
            output.note("open that address in a browser; Ctrl-C ends it")
            page.wait(stop)
        else:
            command = f"porogauge serve {folder / 'roll.db'}"
            output.note(f"nobody can look at it here: the page ends; '{command}' shows it again")


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("roll.db", "roll.db-wal", "roll.db-shm", "roll.png")
    for name in (*names, "certificate.html", "certificate.pdf"):
        (folder / name).unlink(missing_ok=True)


def _measure(
    folder: Path, path: Path, target: str, pace: float | None, seed: int | None
) -> tuple[dict[str, Any], bool]:
    """Run the board and the logger; return summary, and whether the user stopped it."""
    from ..bench import load
    from ..book import Book
    from ..demo import emulated_board, write_files
    from ..link.client import Client
    from ..live import make_view
    from ..logger import Logger, Stop
    from ..store import Store
    from .log import send_files

    end_us = load("scenario").Scenario.load(path).run.duration_s * 1e6
    files = write_files(folder, path, seed)
    database = folder / "roll.db"
    with (
        Stop().on_signals() as stop,
        emulated_board(path, target, pace=pace, seed=seed) as board,
        Store(database, lock=True) as store,
    ):
        output.note(f"the board answers on {board.url}; sending recipe and calibration")
        book = Book(folder / "book")
        documents = send_files(board.url, 921_600, 60.0, files, book, "demo", "the demo")
        with Client(
            board.url, timeout_s=60.0, known=store.settled, fetched=store.fetched
        ) as client:
            client.connect()
            view = make_view("porogauge demo")
            try:
                logged = Logger(client, store, view, documents=documents).run(
                    stop=stop,
                    until=lambda s: s.values.get("t_us", 0) >= end_us or not board.running,
                )
            finally:
                view.close()
        if not board.running:
            raise PorogaugeError(f"the emulated board ended before its roll; {database} has why")
    if logged.stopped:
        return {}, True
    return _conclude(folder, path, target, seed, logged), False


def _conclude(
    folder: Path, path: Path, target: str, seed: int | None, logged: Any
) -> dict[str, Any]:
    """Compare with the truth, draw the roll, write the summary."""
    from collections import Counter

    from ..demo import compare, truth_of, write_json
    from ..export import export
    from ..pictures import roll_picture
    from ..store import Store

    database = folder / "roll.db"
    with Store(database, read_only=True) as store:
        rows = [row for device, boot in logged.boots for row in store.decoded(device, boot)]
        export(store, str(folder / "records.jsonl"), "jsonl", with_raw=False)
    truth = truth_of(path, rows, seed=seed)
    flags = Counter(name for row in rows for name in row["flags"])
    positions = [row["position_mm"] for row in rows] or [0]
    summary = {
        "scenario": path.name,
        "target": target,
        "windows": len(rows),
        "lost": logged.lost,
        "metres": (max(positions) - min(positions)) / 1000,
        "wall_s": round(logged.seconds, 1),
        "flags": dict(flags),
        "truth": compare(rows, truth),
    }
    title = f"porogauge demo: {path.stem.replace('_', ' ')} on an emulated gauge ({target})"
    roll_picture(database, folder / "roll.png", title=title, truth=truth)
    write_json(folder, truth, summary)
    return summary
