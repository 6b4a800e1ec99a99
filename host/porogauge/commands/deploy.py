"""`porogauge deploy`."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from .. import output
from ..errors import PorogaugeError
from . import options

RESTART_S = 20.0  # until a board has started and USB is there again


@click.command()
@options.port_option
@click.option("--board", metavar="NAME", help="Folder of boards/. Default: by the board's port.")
@click.option(
    "--source",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    help="Checkout of porogauge. Default: the one this program runs from.",
)
@click.option("--rollback", is_flag=True, help="Back to the version before; copies nothing.")
@click.option(
    "--accept",
    metavar="TEST",
    multiple=True,
    help="A self-test that may fail on trial (may be repeated).",
)
@click.option("--force", is_flag=True, help="Replace a main.py that does not start the gauge.")
@click.option("--no-restart", is_flag=True, help="Leave the board at its REPL.")
@click.option("--dry-run", is_flag=True, help="Ask the board, compile, check; copy nothing.")
@options.book_option
@options.by_option
@options.why_option
@options.wait_option
@options.json_option
def deploy(
    port: str | None,
    board: str | None,
    source: str | None,
    rollback: bool,
    accept: tuple[str, ...],
    force: bool,
    no_restart: bool,
    dry_run: bool,
    book: str | None,
    by: str | None,
    why: str,
    wait: float,
) -> None:
    """Put a new version of the gauge on a board that runs MicroPython 1.25 or later.

    A running gauge is asked over its link to leave the port to the REPL (where it has keys, with
    the metrologist's). The modules are compiled for the board, copied beside the version in force,
    checked there by hash, and started once on trial: when the self-test has passed they stay, else
    the version before runs again. A self-test that fails already does not count. What is cut off
    at any moment leaves the version in force.

    Modules that are not in the image take memory: records are kept for a shorter time.

    \b
    Examples:
      porogauge deploy --port /dev/ttyACM0 --dry-run
      porogauge deploy --port /dev/ttyUSB0 --board POROGAUGE_ESP32 --why "new judge"
      porogauge deploy --port /dev/ttyACM0 --rollback
    """
    import tempfile
    from pathlib import Path

    from .. import update
    from ..audit import person
    from ..book import Book
    from ..deploy import Board, make_plan
    from ..ports import find_port

    port, who, log = find_port(port), person(by), Book(book).audit
    log.allow("update")
    update.accepted(None, accept)  # before the board is touched
    output.note(f"asking the board on {port}")
    running = update.ask(port, wait)
    if running:
        output.note(f"firmware {running.firmware} has left the port to the REPL")
    target = Board(port)
    with (
        update.Restart(target, wanted=not no_restart) as restart,
        tempfile.TemporaryDirectory(prefix="porogauge-") as build,
    ):
        info = target.info()
        info.check()
        accepted = update.accepted(running, accept)
        if rollback:
            version = update.roll_back(target, info, accepted)
            fields = {"version": version}
            text = f"back to version {version}"
        else:
            if info.own_main is False and not info.frozen and not force:
                restart.wanted = False
                raise PorogaugeError(
                    f"{port}: has a main.py that is not the gauge's; save it, then use --force"
                )
            plan = make_plan(info, Path(build), source=source, board=board)
            _check_room(port, info, plan)
            found = update.changes(target, info, running, plan)
            version = "own"
            if not dry_run:
                version = update.install(target, info, plan, accepted, output.note)
            fields = _fields(info, plan, found)
            text = "\n".join(
                [
                    f"{len(plan.files)} files for {info.architecture},"
                    f" {plan.total_bytes / 1024:.0f} KiB",
                    *found.lines(),
                ]
            )
        if not no_restart:
            output.note("restarting the board")
    if dry_run and not rollback:
        output.say(f"{port}: would be copied: {text}")
        output.emit("checked", port=port, **fields)
        return
    if no_restart:
        output.say(f"{port}: copied and checked, on trial at the next start: {text}")
    else:
        hello = update.follow(port, version, update.TRIAL_S + max(wait, RESTART_S), output.note)
        _log(log, who, why, hello, running, version, fields)
        output.say(
            f"{port}: {hello.board}, firmware {hello.firmware}, version {version}, boot"
            f" {hello.boot}, has passed its self-test: {text}"
        )
    output.emit("rolled_back" if rollback else "deployed", port=port, slot=version, **fields)


def _check_room(port: str, info: Any, plan: Any) -> None:
    pointer = info.pointer
    used, _ = info.slot("a" if pointer is None else pointer.free)
    room = info.free_bytes + used
    if plan.needs_bytes > room:
        raise PorogaugeError(
            f"{port}: {plan.needs_bytes // 1024} KiB are needed beside the version in force,"
            f" {room // 1024} KiB are free; delete files on the board, or flash an image"
        )


def _fields(info: Any, plan: Any, found: Any) -> dict[str, Any]:
    return {
        "platform": info.platform,
        "architecture": info.architecture,
        "micropython": ".".join(map(str, info.version)),
        "files": plan.files,
        "bytes": plan.total_bytes,
        "changes": dataclasses.asdict(found),
    }


def _log(
    log: Any, who: str, why: str, hello: Any, running: Any, version: str, fields: dict[str, Any]
) -> None:
    before = None
    if running:
        before = {"firmware": running.firmware, "layout": running.layout}
    after = {"firmware": hello.firmware, "layout": hello.layout.hex(), "slot": version}
    if "changes" in fields:
        after |= {name: fields["changes"][name] for name in ("added", "changed", "removed")}
    log.append("update", hello.device, who, why, before, after)
