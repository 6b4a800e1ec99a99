"""`porogauge picture`."""

from __future__ import annotations

from pathlib import Path

import click

from .. import notation, output
from ..errors import PorogaugeError
from . import options


@click.command()
@options.database_argument
@click.option("--to", metavar="FILE.png", help="Where to. Default: beside FILE.db.")
@click.option("--device", metavar="ID", help="Only this device (hexadecimal id).")
@click.option("--boot", type=click.IntRange(0), help="This boot. Default: the longest one.")
@click.option("--title", help="Text above the picture.")
@click.option(
    "--truth",
    metavar="FILE.jsonl",
    type=click.Path(exists=True, dir_okay=False),
    help="A bench's truth.jsonl, drawn beside what was measured.",
)
@options.json_option
def picture(
    database: str,
    to: str | None,
    device: str | None,
    boot: int | None,
    title: str | None,
    truth: str | None,
) -> None:
    """Draw the roll in FILE.db: thickness, porosity and flags over length.

    The band around a curve is the range of its windows plus U95; limits are those of the
    recipe in force; lanes below show the state and every flag that occurred.

    \b
    Examples:
      porogauge picture roll.db                   writes roll.png
      porogauge picture out/gauge.db --truth out/truth.jsonl --to out/roll.png
    """
    from ..pictures import roll_picture

    rows = None
    if truth is not None:
        try:
            rows = [notation.json(line) for line in Path(truth).read_bytes().splitlines()]
        except (OSError, ValueError) as error:
            raise PorogaugeError(f"{truth}: is not a bench's truth.jsonl: {error}") from None
    to = to or str(Path(database).with_suffix(".png"))
    roll_picture(database, to, device=device, boot=boot, title=title, truth=rows)
    output.say(to)
    output.emit("picture", file=to)
