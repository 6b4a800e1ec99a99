"""`porogauge watch`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from .. import output
from . import options


@click.command()
@click.argument("database", metavar="[FILE.db]", required=False, type=click.Path(dir_okay=False))
@options.port_option
@click.option("--device", metavar="ID", help="Which gauge, where the database has several.")
@click.option("--once", is_flag=True, help="Show it once and end.")
@click.option(
    "--duration",
    type=options.Number(0.1),
    metavar="SECONDS",
    help="End after this time. Default: Ctrl-C in a terminal, at once without one.",
)
@options.baud_option
@options.wait_option
@options.json_option
def watch(
    database: str | None,
    port: str | None,
    device: str | None,
    once: bool,
    duration: float | None,
    baud: int,
    wait: float,
) -> None:
    """Show in the terminal what a gauge is doing: numbers, limits, flags and why, its data.

    Reads FILE.db beside a logger, as often as one likes; without one it asks the gauge on a port
    that nobody else uses.

    \b
    Examples:
      porogauge watch line1.db
      porogauge watch --port /dev/ttyACM0 --once
      porogauge watch line1.db --json --duration 60
    """
    from ..logger import Stop

    if (
        database is not None
        and click.get_current_context().get_parameter_source("port")
        is click.core.ParameterSource.COMMANDLINE
    ):
        raise click.UsageError("name a database or a port, not both")
    if database is None and device is not None:
        raise click.UsageError("--device chooses from a database: name FILE.db")
    source = _database(database, device) if database is not None else _port(port, baud, wait)
    moving = sys.stdout.isatty() and not output.is_json()
    if duration is None and not moving:
        once = True
    ends = time.monotonic() + duration if duration is not None else float("inf")
    with source as look, Stop().on_signals() as stop, _shown(moving and not once) as show:
        show(look())
        while not once and not stop.requested and time.monotonic() < ends:
            time.sleep(min(0.25 if moving else 1.0, max(0.0, ends - time.monotonic())))
            show(look())


@contextmanager
def _database(path: str, device: str | None) -> Iterator[Callable[[], dict[str, Any]]]:
    from ..page.reader import Reader
    from ..watching import of_database

    reader = Reader(path)  # opens the file anew when a logger begins to write
    yield lambda: of_database(reader.store, device)


@contextmanager
def _port(port: str | None, baud: int, wait: float) -> Iterator[Callable[[], dict[str, Any]]]:
    from ..device import opened
    from ..watching import of_port

    with opened(port, baud, wait) as client:
        yield lambda: of_port(client)


@contextmanager
def _shown(moving: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """How it is shown: a panel that stays in place, lines, or JSON."""
    from ..watching import panel, text

    if not moving:

        def lines(told: dict[str, Any]) -> None:
            output.emit("watch", **told)
            output.say(text(told))

        yield lines
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield lambda told: live.update(panel(told), refresh=True)
