"""`porogauge deploy`."""

from __future__ import annotations

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
@click.option("--force", is_flag=True, help="Replace a main.py that does not start the gauge.")
@click.option("--no-restart", is_flag=True, help="Leave the board at its REPL.")
@click.option("--dry-run", is_flag=True, help="Ask the board, compile, check; copy nothing.")
@options.wait_option
@options.json_option
def deploy(
    port: str | None,
    board: str | None,
    source: str | None,
    force: bool,
    no_restart: bool,
    dry_run: bool,
    wait: float,
) -> None:
    """Put the gauge's modules on a board that runs stock MicroPython 1.25 or later.

    A running gauge is asked to leave the port to the REPL; the modules are compiled for the
    board's architecture, copied beside the old ones, checked by hash on the board, put in place,
    and the board is restarted and must answer. An interrupted copy leaves the old ones in place.

    \b
    Examples:
      porogauge deploy --port /dev/ttyACM0 --dry-run
      porogauge deploy --port /dev/ttyUSB0 --board POROGAUGE_ESP32
    """
    import tempfile
    from pathlib import Path

    from ..deploy import Board, leave_program, make_plan
    from ..deploy import deploy as run
    from ..device import running
    from ..ports import find_port

    port = find_port(port)
    output.note(f"asking the board on {port}")
    if leave_program(port, wait):
        output.note("the gauge has left the port to the REPL")
    target = Board(port)
    info = target.info()
    info.check()
    if info.own_main is False and not force:
        raise PorogaugeError(
            f"{port}: has a main.py that is not the gauge's; save it, then use --force"
        )
    with tempfile.TemporaryDirectory(prefix="porogauge-") as build:
        plan = make_plan(info, Path(build), source=source, board=board)
        need = plan.total_bytes + len(plan.files) * 2048  # the file system's own blocks
        if need > info.free_bytes:
            raise PorogaugeError(
                f"{port}: {need // 1024} KiB are needed, {info.free_bytes // 1024} KiB are free;"
                " delete files on the board"
            )
        if not dry_run:
            run(target, plan, restart=not no_restart, progress=output.note)
            if not no_restart:
                output.note(f"running: {running(port, max(wait, RESTART_S))}")
        elif not no_restart:
            output.note("restarting the board")
            target.run("reset")
    text = "would be copied" if dry_run else "copied and checked"
    output.say(
        f"{port}: {len(plan.files)} files for {info.architecture}, {plan.total_bytes / 1024:.0f}"
        f" KiB, {text}"
    )
    output.emit(
        "checked" if dry_run else "deployed",
        port=port,
        platform=info.platform,
        architecture=info.architecture,
        micropython=".".join(map(str, info.version)),
        files=plan.files,
        bytes=plan.total_bytes,
    )
