"""Options that several commands share, each defined once."""

from __future__ import annotations

import math
from typing import Any

import click

from .. import output

__all__ = [
    "Number",
    "baud_option",
    "book_option",
    "by_option",
    "database_argument",
    "database_option",
    "json_option",
    "key_option",
    "port_option",
    "wait_option",
    "why_option",
]


class Number(click.FloatRange):
    """A finite number, in a range where one is given: 'nan' is within every bound of click's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            bounded = self.min is not None or self.max is not None
            legal = f" in the range {self._describe_range()}" if bounded else ""
            self.fail(f"{value} is not a finite number{legal}.", param, ctx)
        return number


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
    type=Number(0.1, 3600),
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


def _take_key(_ctx: click.Context, _parameter: click.Parameter, path: str | None) -> None:
    from .. import keys

    keys.take(keys.Hand(path=path))


key_option = click.option(
    "--key-file",
    metavar="FILE",
    envvar="POROGAUGE_KEY_FILE",
    type=click.Path(dir_okay=False),
    expose_value=False,
    callback=_take_key,
    help="File with the operator's or metrologist's key, where the gauge or the book has keys."
    " Default: POROGAUGE_KEY, else it is asked for.",
)


def by_option(command: Any) -> Any:
    """--by and --key-file: who does it, for the audit log."""
    name = click.option(
        "--by",
        metavar="NAME",
        envvar="POROGAUGE_BY",
        help="Who does it, for the audit log. Default: the name logged in.",
    )
    return name(key_option(command))


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
