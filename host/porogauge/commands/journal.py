"""`porogauge journal`."""

from __future__ import annotations

import click

from gauge import journal as kinds

from .. import output
from . import options


@click.command()
@options.database_argument
@click.option(
    "--kind",
    "wanted",
    multiple=True,
    type=click.Choice(kinds.KIND_NAMES[1:]),
    metavar="KIND",
    help=f"Only entries of this kind, may be given more than once: "
    f"{', '.join(kinds.KIND_NAMES[1:])}. Default: all but summary and health.",
)
@click.option("--device", metavar="ID", help="Only this device (hexadecimal id).")
@click.option("--boot", type=click.IntRange(0), help="Only this boot of the device.")
@options.json_option
def journal(database: str, wanted: tuple[str, ...], device: str | None, boot: int | None) -> None:
    """Show what gauges kept in their flash, as 'porogauge log' has fetched it.

    Restarts with their cause, changes of state and flags, crash reports, wrong keys, updates: one
    line each, with the time where it is known; --json has every word of an entry.

    \b
    Examples:
      porogauge journal line1.db
      porogauge journal line1.db --kind crash --kind boot
      porogauge journal line1.db --kind summary --boot 12 --json
    """
    from ..journal import describe, entries, kind_name, sentence
    from ..store import Store

    shown = wanted or [name for name in kinds.KIND_NAMES if name not in ("summary", "health")]
    with Store(database, read_only=True) as store:
        clocks = {(found["device"], found["boot"]): found["clock"] for found in store.boots()}
        for name, entry in entries(store, device):
            kind = kind_name(entry.kind)
            if boot not in (None, entry.boot) or (kind in kinds.KIND_NAMES and kind not in shown):
                continue
            words = describe(entry.kind, entry.payload)
            when = _time(clocks.get((name, entry.boot)), words.get("t_s"))
            text = sentence(entry.kind, entry.payload)
            output.say(f"{entry.number:>7}  boot {entry.boot:<4}  {when or '-':<19}  {text}")
            fields = {"entry": entry.number, "boot": entry.boot, "kind": kind, "time": when}
            output.emit("entry", device=name, **fields, words=words)


def _time(clock, board_s: int | None) -> str | None:
    """UTC of a board time in whole seconds, where the boot's clock is known."""
    from datetime import UTC, datetime

    if clock is None or board_s is None:
        return None
    found = datetime.fromtimestamp(clock.wall(board_s * 1_000_000), UTC)
    return found.isoformat(sep=" ", timespec="seconds")[:19]
