"""`porogauge export`."""

from __future__ import annotations

from pathlib import Path

import click

from .. import output
from ..errors import IncompleteError
from . import options


@click.command()
@options.database_argument
@click.option(
    "--format",
    "format",
    type=click.Choice(["csv", "parquet", "jsonl"]),
    default="csv",
    show_default=True,
    help="Kind of file.",
)
@click.option("--to", metavar="FILE", help="Where to; '-' is stdout. Default: beside FILE.db.")
@click.option("--device", metavar="ID", help="Only this device (hexadecimal id).")
@click.option("--boot", type=click.IntRange(0), help="Only this boot of the device.")
@click.option("--raw/--no-raw", default=True, show_default=True, help="Include every raw word.")
@click.option("--strict", is_flag=True, help="Exit with 5 when records are missing.")
@options.json_option
def export(
    database: str,
    format: str,
    to: str | None,
    device: str | None,
    boot: int | None,
    raw: bool,
    strict: bool,
) -> None:
    """Turn FILE.db into CSV, Parquet or JSON Lines.

    One row per window in user units (thickness_nm, porosity_ppm, flags by name, ...), empty
    where the gauge reported no number, with every raw word beside it. What each column and each
    name in it means, its unit and its uncertainty: in the data dictionary FILE.dictionary.json
    beside it, and in the metadata of a Parquet file. In a notebook: porogauge.open("roll.db").

    \b
    Examples:
      porogauge export roll.db                              writes roll.csv
      porogauge export roll.db --format parquet --to /data/roll.parquet
      porogauge export roll.db --format jsonl --no-raw --to - | jq .thickness_nm
    """
    from ..export import export as write
    from ..export import write_dictionary
    from ..store import Store

    if to is None:
        to = str(Path(database).with_suffix(f".{format}"))
    if to == "-" and format == "parquet" and click.get_binary_stream("stdout").isatty():
        raise click.UsageError("Parquet is binary: name a file with --to")
    with Store(database, read_only=True) as store:
        if device is not None and device not in {found["device"] for found in store.boots()}:
            known = ", ".join(sorted({found["device"] for found in store.boots()})) or "none"
            raise click.BadParameter(f"{device} is not in {database}; there: {known}")
        total = store.count(device, boot)
        with progress_bar("exporting", total) as advance:
            count = write(
                store, to, format, device=device, boot=boot, with_raw=raw, progress=advance
            )
        missing = gaps = 0
        for found in store.boots():
            if device in (None, found["device"]) and boot in (None, found["boot"]):
                state = store.completeness(found["device"], found["boot"])
                gaps += state.gaps
                missing += sum(high - low + 1 for low, high in state.missing)
    if to != "-":
        beside = write_dictionary(to, raw)
        output.say(f"{to}: {count} records")
        output.note(f"{beside}: what each column is")
        output.emit(
            "exported",
            file=to,
            format=format,
            records=count,
            gaps=gaps,
            missing=missing,
        )
    if gaps or missing:
        text = f"{gaps} windows are gaps that the board reported, {missing} are missing"
        if strict:
            raise IncompleteError(text)
        output.warn(text)


def progress_bar(text: str, total: int):
    """A bar on a terminal, advanced by what it is called with; nothing otherwise."""
    from contextlib import nullcontext

    if not output.terminal() or output.is_json() or total < 5000:
        return nullcontext(lambda _: None)
    from ..live import bar

    return bar(text, total)
