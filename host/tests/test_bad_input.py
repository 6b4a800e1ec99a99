"""Wrong arguments to every command: refused by their name, with what is legal; nothing changes."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from roll_data import database as make_database

from porogauge import cli, output
from porogauge.recipe import template

DOCUMENTED = {0, 1, 2, 3, 4, 5, 130}
NOBODY = "socket://127.0.0.1:9"  # nobody listens there
LONGEST_S = 20


def leaves(group, ctx, path=()):
    """Every command that does something, with its path."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from leaves(command, ctx, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(cli.cli, click.Context(cli.cli)))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a database, files, and nothing else; settings of nobody."""
    for name in list(os.environ):
        if name.startswith("POROGAUGE_") and name != "POROGAUGE_BOOK":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("POROGAUGE_PORT", NOBODY)
    monkeypatch.setenv("POROGAUGE_BY", "nobody")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("text.txt").write_text("no database, no recipe\n")
    Path("folder").mkdir()
    Path("recipe.toml").write_text(template("recipe"))
    yield folder
    output.set_json(False)


@pytest.fixture
def database(here):
    make_database("roll.db", count=20)
    return "roll.db"


@contextlib.contextmanager
def bounded():
    """A command that takes a wrong value for good may run for ever."""

    def ring(*_):
        raise TimeoutError(f"not refused within {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def everything(folder):
    """All files of a folder, and what is in them."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def refused(folder, *arguments):
    """Run a command that must refuse; return exit code and what it said."""
    before = everything(folder)
    with bounded():
        result = CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])
    text = result.output + (result.stderr if result.stderr_bytes else "")
    call = " ".join(map(str, arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        f"{call}: {type(result.exception).__name__}: {result.exception}"
    )
    assert result.exit_code in DOCUMENTED, f"{call}: exit code {result.exit_code}"
    assert everything(folder) == before, f"{call}: has changed files"
    assert text.strip() or result.exit_code == 0, f"{call}: says nothing"
    return result.exit_code, text


def filler(param):
    """A value that an argument may have, so that another one can be tried."""
    kind = param.type
    if isinstance(kind, click.Choice):
        return kind.choices[0]
    if isinstance(kind, click.Path):
        return "folder" if kind.dir_okay and not kind.file_okay else "recipe.toml"
    if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        return str(getattr(kind, "min", None) or 1)
    return "x"


def wrong_values(kind):
    """Values that a parameter of a type must refuse, and a word that the refusal must have."""
    if isinstance(kind, click.types.IntParamType):
        yield from (("abc", "integer"), ("1.5", "integer"), ("", "integer"))
    if isinstance(kind, click.types.FloatParamType):
        yield from (("abc", "float"), ("", "float"))
        yield from (("nan", "nan"), ("inf", "inf"), ("1e999", ""))
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        if low is not None:
            yield str(low - 1), f"{low:g}" if isinstance(low, float) else str(low)
        if high is not None:
            yield str(high + 1), str(high)
        yield "9" * 400 if high is not None else "-" + "9" * 400, ""
    if isinstance(kind, click.Choice):
        yield "no such thing", str(kind.choices[0])
    if isinstance(kind, click.Path) and kind.exists:
        yield "is/not/there", "is/not/there"


TYPED = [
    (path, param, value, word)
    for path, command in COMMANDS.items()
    for param in command.params
    if not getattr(param, "is_flag", False)
    for value, word in wrong_values(param.type)
]


def call(path, command, param, value):
    """Arguments of a command with one value, all others as they may be."""
    arguments = []
    for other in command.params:
        if isinstance(other, click.Argument):
            if other is param:
                arguments.append(value)
            elif other.required:
                arguments.append(filler(other))
        elif other is param:
            arguments += [f"{param.opts[-1]}={value}"]
        elif other.required and not other.is_flag:
            arguments += [f"{other.opts[-1]}={filler(other)}"]
    for other in command.params:  # nobody answers: that is known soon
        if other.name == "wait" and other is not param:
            arguments.append(f"--wait={max(0.1, other.type.min or 0)}")
    options = [text for text in arguments if text.startswith("--")]
    return [*path, *options, "--", *(text for text in arguments if text not in options)]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_types_and_ranges(path, here):
    """A value of another type, beyond its range, or not among those that are legal: 2."""
    command = COMMANDS[path]
    for _, param, value, word in (case for case in TYPED if case[0] == path):
        code, text = refused(here, *call(path, command, param, value))
        told = text.replace("\n", " ")
        assert code == 2, f"{path} {param.name}={value[:20]}: {code}, {told}"
        named = [param.opts[-1], param.human_readable_name, *(param.metavar or "").split()]
        named.append("|".join(getattr(param.type, "choices", ["no choice"])))
        assert any(name in told for name in named), f"{param.name}: {told}"
        assert word in told, f"{param.name}={value[:20]}: no '{word}' in: {told}"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_what_is_not_there_and_what_is_too_much(path, here):
    """Unknown options, missing and too many arguments: 2, and the command's usage."""
    code, text = refused(here, *path, "--no-such-option")
    assert code == 2 and "--no-such-option" in text
    many = [*path, "--", *["x"] * 30]
    command = COMMANDS[path]
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    if not any(p.nargs == -1 for p in arguments):
        code, text = refused(here, *many)
        assert code == 2, text
    if any(p.required for p in arguments):
        code, text = refused(here, *path)
        assert code == 2 and "Missing" in text


# Files and folders that are none of what a command reads.
ABSENT = ("absent.db", "text.txt", "folder")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_files_that_are_no_such_files(path, here):
    """A file that is absent, another kind of file, a folder: refused, and its name told."""
    command = COMMANDS[path]
    for param in command.params:
        if not isinstance(param.type, click.Path) or param.name in WRITTEN:
            continue
        for name in ABSENT:
            code, text = refused(here, *call(path, command, param, name))
            assert code in (1, 2, 3), f"{path} {param.name}={name}: {code}, {text}"


# Parameters that name what is written: an absent file is what they are for.
WRITTEN = {"to", "out", "folder", "book", "keep", "output"}


# Commands that do their work without any of them.
LONG = {("demo",)} | {path for path in COMMANDS if path[0] in ("bench", "serve")}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_database_no_roll_no_gauge(path, here, database):
    """All arguments of the right type, and nothing behind them."""
    if path in LONG:
        pytest.skip("does its work without any of them")
    command = COMMANDS[path]
    code, text = refused(here, *call(path, command, None, None))
    assert code in (0, 1, 2, 3), text
