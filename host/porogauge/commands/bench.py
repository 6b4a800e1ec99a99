"""`porogauge bench run | list`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from .. import output
from ..errors import IncompleteError
from . import options


@click.group()
def bench() -> None:
    """Run scenarios on emulated sensors, in virtual time.

    A scenario is a TOML file: film, head, sensors, line, faults. hil_tests/README.md has every
    field with its default; write your own.

    \b
    Examples:
      porogauge bench list
      porogauge bench run ideal --target unix32 --out out/
    """


@bench.command("list")
@options.json_option
def list_() -> None:
    """Show the scenarios that come with the bench."""
    from ..bench import load, scenarios

    scenario = load("scenario").Scenario
    for name, path in scenarios().items():
        run = scenario.load(path).run
        output.say(f"{name:28} {run.duration_s:7g} s  {run.name}")
        output.emit("scenario", name=name, file=str(path), duration_s=run.duration_s)


@bench.command(short_help="Run one and write what came out.")
@click.argument("scenario", metavar="SCENARIO.toml")
@click.option(
    "--target",
    type=click.Choice(["rp2040", "unix32"]),
    required=True,
    help="The board: our image in an emulated RP2040, or the firmware on 32-bit unix"
    " MicroPython (faster, no CPU time).",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Folder for records.jsonl, truth.jsonl, summary.json and roll.db.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Instead of the scenario's seed.")
@options.json_option
def run(scenario: str, target: str, out: str, seed: int | None) -> None:
    """Run SCENARIO.toml (a file, or a name of 'bench list') and write what came out into DIR.

    Repeats bit for bit with the same seed. Ends with 5 when a record was lost.

    \b
    Examples:
      porogauge bench run my-film.toml --target unix32 --out out/ --seed 4
      porogauge bench run realistic_25um --target rp2040 --out out/
    """
    from ..bench import errors_told, load, scenario_path

    path = scenario_path(scenario)
    runner = load("runner")
    output.note(f"{path.name} on {target}")
    with errors_told(), _progress() as progress:
        summary = runner.run_scenario(path, target, out, seed=seed, progress=progress)
    output.emit("summary", **summary)
    output.say(table(summary))
    output.say(f"written: {out}")
    lost = summary["lost"] + summary["gaps"]
    if lost:
        raise IncompleteError(f"{lost} records were lost ({summary['gaps']} of them reported)")


@contextmanager
def _progress() -> Iterator[Callable[[float, float], None]]:
    """A bar on a terminal, a line every tenth elsewhere, nothing for machines."""
    if output.is_json():
        yield lambda *_: None
    elif output.terminal():
        from ..live import bar

        with bar("virtual time", 1.0) as advance:
            yield lambda now, end: advance(min(1.0, now / end))
    else:
        told = -1

        def line(now: float, end: float) -> None:
            nonlocal told
            tenth = int(10 * now / end)
            if tenth > told:
                told = tenth
                output.note(f"{now:.1f} s of {end:g} s")

        yield line


def table(summary: dict[str, Any]) -> str:
    """The summary as lines of text, what is nested indented."""
    lines = []
    for name, value in summary.items():
        label = name.replace("_", " ")
        if isinstance(value, dict):
            text = ", ".join(f"{_text(v)} {k.replace('_', ' ')}" for k, v in value.items())
            lines.append(f"{label:28} {text or 'none'}")
        else:
            lines.append(f"{label:28} {_text(value)}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None:
        return "not measured"
    return f"{value:g}" if isinstance(value, float) else str(value)
