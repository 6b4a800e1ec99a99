"""The command `porogauge`: a list of commands, each in a file that is imported when it is used.

Only click is imported for `--help`, so that the first output comes at once; what is heavy
(numpy, matplotlib, pyarrow, rich, serial) is imported inside the command that needs it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from . import __version__, output, settings
from .errors import Interrupted, PorogaugeError

__all__ = ["cli", "main"]

# name -> (module of .commands, its object, help in the list of commands)
COMMANDS = {
    "demo": ("demo", "demo", "See it work: an emulated gauge measures a roll with defects."),
    "log": ("log", "log", "Store every record of a gauge in a database."),
    "serve": ("serve", "serve", "Show a gauge on a web page: live, roll map, history."),
    "watch": ("watch", "watch", "Show in the terminal what a gauge is doing now."),
    "status": ("device", "status", "Show what a gauge is doing, and why."),
    "doctor": ("doctor", "doctor", "Say in plain words what is wrong with a gauge."),
    "standardise": ("device", "standardise", "Take a new off-sheet reference."),
    "acknowledge": ("device", "acknowledge", "Acknowledge latched flags."),
    "hold": ("device", "hold", "Stop reporting numbers until 'resume'."),
    "resume": ("device", "resume", "End a hold."),
    "key": ("key", "key", "Say who may change a gauge: set, check and remove its keys."),
    "recipe": ("recipe", "recipe", "Write, check, send and read back recipe and calibration."),
    "calibrate": ("calibrate", "calibrate", "Bring a head into service, and keep it right."),
    "roll": ("roll", "roll", "Start, splice and end a roll; its verdict."),
    "lab": ("lab", "lab", "Keep laboratory results with a roll and compare them."),
    "certificate": ("certificate", "certificate", "Write a roll's certificate, or check one."),
    "reprocess": ("reprocess", "reprocess", "Recompute a roll with another calibration."),
    "audit": ("audit", "audit", "Check and show the log of every change."),
    "journal": ("journal", "journal", "Show what gauges kept in their flash: restarts, crashes."),
    "export": ("export", "export", "Turn a database into CSV, Parquet or JSON Lines."),
    "stats": ("stats", "stats", "Control charts, capability, variance components, spectrum."),
    "picture": ("picture", "picture", "Draw a roll: thickness, porosity and flags over length."),
    "flash": ("flash", "flash", "Put a firmware image on a board."),
    "deploy": ("deploy", "deploy", "Put the gauge's modules on a stock MicroPython board."),
    "bench": ("bench", "bench", "Run scenarios on emulated sensors."),
}


class _Root(click.Group):
    """Imports a command when it is used and turns errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        return getattr(importlib.import_module(f"{__package__}.commands.{module}"), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            ctx.fail(f"No such command '{name}'.{hint}")
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        if not extra.pop("standalone_mode", True):
            return super().main(args, *rest, standalone_mode=False, **extra)
        output.set_json(False)
        try:
            code = super().main(args, *rest, standalone_mode=False, **extra)
        except click.ClickException as error:
            _report(error.format_message(), error.exit_code, error)
            code = error.exit_code
        except PorogaugeError as error:
            _report(str(error), error.exit_code)
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            _report("interrupted", Interrupted.exit_code)
            code = Interrupted.exit_code
        sys.exit(code if isinstance(code, int) else 0)


def _report(message: str, code: int, error: click.ClickException | None = None) -> None:
    output.emit("error", code=code, message=message)
    if error is not None:
        error.show()
    elif message:
        for line in message.splitlines():
            click.echo(f"error: {line}" if code != Interrupted.exit_code else line, err=True)


def _tree(ctx: click.Context, group: click.Group) -> dict[str, Any]:
    """Command -> its parameters, for the check of a configuration file."""
    found: dict[str, Any] = {}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            found[name] = _tree(ctx, command)
        else:
            found[name] = {p.name: None for p in command.params if p.expose_value}
    return found


@click.group(
    cls=_Root,
    context_settings={
        "auto_envvar_prefix": settings.ENVIRONMENT_PREFIX,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 99,
    },
    epilog="Settings come from the flag, else the environment (POROGAUGE_PORT), else the file"
    " ~/.config/porogauge/config.toml, else the default. Exit codes: 0 ok, 1 failure, 2 usage,"
    " 3 device absent or busy, 4 protocol or firmware mismatch, 5 data incomplete,"
    " 130 interrupted.",
)
@click.version_option(__version__, prog_name="porogauge")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Inline thickness and porosity of porous film.

    \b
    New here?
      porogauge demo                              an emulated gauge, nothing plugged in
      porogauge status --port /dev/ttyACM0        what is on the port
      porogauge log --port /dev/ttyACM0 --to roll.db
      porogauge picture roll.db
    """
    if ctx.resilient_parsing:
        return
    stored = settings.read()
    if stored:
        source = settings.config_path()
        ctx.default_map = settings.default_map(stored, _tree(ctx, cli), source)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="porogauge")
