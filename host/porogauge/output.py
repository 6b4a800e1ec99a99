"""What a command says, and to whom: people, or machines (`--json`).

Results go to stdout: text, or with `--json` one JSON object a line, each with an `event`.
Progress and warnings go to stderr, so that a pipe carries results only. Nothing here needs a
terminal.
"""

from __future__ import annotations

import sys
from typing import Any

import click

__all__ = [
    "emit",
    "is_json",
    "json_option",
    "note",
    "say",
    "set_json",
    "terminal",
    "visible",
    "warn",
]

_machine = False


def set_json(on: bool) -> None:
    """Choose the audience of this process."""
    global _machine
    _machine = on


def is_json() -> bool:
    """True when a machine reads stdout."""
    return _machine


def terminal() -> bool:
    """True when somebody watches stderr in a terminal: progress may move."""
    return sys.stderr.isatty()


def say(text: str) -> None:
    """A result for people; nothing when a machine reads."""
    if not _machine:
        click.echo(text)


def emit(event: str, **fields: Any) -> None:
    """A result for machines: one line of JSON; nothing when people read."""
    if _machine:
        import json

        click.echo(json.dumps({"event": event, **fields}, ensure_ascii=False))


def note(text: str) -> None:
    """Progress, on stderr, for people."""
    if not _machine:
        click.echo(text, err=True)


def warn(text: str) -> None:
    """Something that the user should know, on stderr, whoever reads stdout."""
    click.echo(f"warning: {text}", err=True)


def _set(_: click.Context, __: click.Parameter, on: bool) -> None:
    set_json(on)


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,  # so that an error in another argument is told in JSON as well
    callback=_set,
    help="JSON Lines on stdout, for machines.",
)


_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # categories of characters without a glyph
_LONGEST = 600


def visible(text: object) -> str:
    """A text as it may be shown, wherever it comes from.

    What cannot be seen, moves a terminal's cursor or turns the writing is spelled out; what is
    very long is cut.
    """
    import unicodedata

    text = str(text)
    shown = "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in _UNSEEN else c for c in text[:_LONGEST]
    )
    return shown if len(text) <= _LONGEST else f"{shown}... ({len(text)} characters)"
