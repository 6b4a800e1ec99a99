"""Options that several commands share, each defined once."""

from __future__ import annotations

import click

from .. import output

__all__ = [
    "baud_option",
    "book_option",
    "by_option",
    "database_argument",
    "database_option",
    "json_option",
    "port_option",
    "wait_option",
    "why_option",
]

json_option = output.json_option

port_option = click.option(
    "--port",
    metavar="PORT",
    envvar="POROGAUGE_PORT",
    help="Serial port (/dev/ttyACM0, COM3) or socket://HOST:PORT. Default: the only gauge found.",
)

baud_option = click.option(
    "--baud",
    type=click.IntRange(9600, 4_000_000),
    default=921_600,
    show_default=True,
    help="Speed of a UART; USB does not care.",
)

wait_option = click.option(
    "--wait",
    type=click.FloatRange(0.1, 3600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the gauge to answer.",
)

book_option = click.option(
    "--book",
    metavar="DIR",
    envvar="POROGAUGE_BOOK",
    type=click.Path(file_okay=False),
    help="Folder of calibrations, recipes, results and the audit log. Default: the user's own.",
)

by_option = click.option(
    "--by",
    metavar="NAME",
    envvar="POROGAUGE_BY",
    help="Who does it, for the audit log. Default: the name logged in.",
)

why_option = click.option(
    "--why",
    metavar="TEXT",
    default="not stated",
    show_default=True,
    help="Why it is done, for the audit log.",
)

database_option = click.option(
    "--db",
    "database",
    metavar="FILE.db",
    type=click.Path(dir_okay=False),
    help="Database of the roll. Default: the one in which the book's log says it is.",
)

database_argument = click.argument("database", metavar="FILE.db", type=click.Path(dir_okay=False))
