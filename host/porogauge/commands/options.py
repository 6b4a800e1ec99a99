"""Options that several commands share, each defined once."""

from __future__ import annotations

import click

from .. import output

__all__ = ["database_argument", "json_option", "port_option", "wait_option"]

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

database_argument = click.argument("database", metavar="FILE.db", type=click.Path(dir_okay=False))
