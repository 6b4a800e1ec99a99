"""`porogauge serve`."""

from __future__ import annotations

import click

from .. import output
from ..errors import Interrupted
from . import options


@click.command()
@options.database_argument
@click.option(
    "--port",
    metavar="PORT",
    envvar="POROGAUGE_SERVE_PORT",
    help="Log this gauge into FILE.db as well: serial port or socket://HOST:PORT.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Serve on this address; 0.0.0.0: to phones and computers in the network, token needed.",
)
@click.option(
    "--listen",
    type=click.IntRange(0, 65535),
    metavar="NUMBER",
    help="Port of the page; 0: any. Default: 8460, or any when that is taken.",
)
@options.baud_option
@options.book_option
@options.key_option
@options.json_option
def serve(
    database: str,
    port: str | None,
    host: str,
    listen: int | None,
    baud: int,
    book: str | None,
) -> None:
    """Show a gauge on a web page: live, roll map, statistics, laboratory, history.

    Without --port the page shows what is in FILE.db, live while 'porogauge log' writes into it.
    With --port this command is the logger, too, and flags can be acknowledged on the page.

    Whoever opens the printed address may change something: it carries a token, new at each start.
    Without the token the page can only be looked at, and with --host not even that from another
    computer. The token travels unencrypted: use --host in a network that you trust.

    \b
    Examples:
      porogauge serve line1.db                            beside 'porogauge log', or afterwards
      porogauge serve line1.db --port /dev/ttyACM0        logger and page in one
      porogauge serve line1.db --host 0.0.0.0             for a phone in the same network
    """
    from ..book import Book
    from ..keys import in_hand
    from ..logger import Stop
    from ..page import Page
    from ..page.libraries import missing

    with (
        Stop().on_signals() as stop,
        Page(
            database,
            port,
            host=host,
            listen=listen,
            baud=baud,
            book=Book(book),
            hand=in_hand(),
        ) as page,
    ):
        output.emit("serving", url=page.url, address=page.address, database=database)
        output.say(page.address)
        output.note("open this address in a browser; Ctrl-C ends it")
        if missing():
            output.warn(missing())
        page.wait(stop)
    if page.failure is not None:
        raise page.failure
    raise Interrupted("")
