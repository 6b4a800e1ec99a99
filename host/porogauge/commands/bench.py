"""`porogauge bench run | list | faults | soak`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from .. import output
from ..errors import IncompleteError, PorogaugeError, UsageError
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
      porogauge bench faults --count 40 --seed 1 --target unix32
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


_SHOWN = 20  # problems that are told to people; --json has all


@bench.command(short_help="Draw faults, run rolls with them, judge what was stored.")
@click.option(
    "--count",
    type=click.IntRange(1, 100_000),
    default=40,
    show_default=True,
    help="How many faults to draw.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=1,
    show_default=True,
    help="Of the draw: the same seed repeats the campaign.",
)
@click.option(
    "--target",
    type=click.Choice(["rp2040", "unix32"]),
    required=True,
    help="As of 'bench run'; rp2040 takes about ten times as long.",
)
@click.option("--roll", "only", type=click.IntRange(1), help="Only this roll of the campaign.")
@options.json_option
def faults(count: int, seed: int, target: str, only: int | None) -> None:
    """Draw COUNT faults, run rolls with them, and hold what was stored against the truth.

    Each window must be there once or in a gap that is told of, each flag must come and go with
    its fault, the output 'good' must be off while nothing can be measured, and no number may be
    far from the truth. The same count, seed and target repeat exactly. Ends with 5 when a window
    was lost, with 1 when anything else was not as it must be.

    \b
    Examples:
      porogauge bench faults --count 300 --seed 7 --target unix32
      porogauge bench faults --count 300 --seed 7 --target unix32 --roll 12
    """
    from ..bench import errors_told, load

    output.note(f"{count} faults on {target}, seed {seed}")
    with errors_told(), _progress() as progress:
        campaign = load("campaign").Campaign(count, seed, target, only)
        if not campaign.rolls:
            raise UsageError(f"--roll {only}: the campaign has no such roll")
        for done, outcome in enumerate(campaign.run(), 1):
            output.emit("roll", **outcome.told())
            progress(done, len(campaign.rolls), "rolls")
    for line in campaign.kinds:
        output.emit("kind", **line)
    summary = campaign.summary()
    output.emit("summary", **summary)
    output.say(campaign.table())
    output.say(table(summary))
    problems = campaign.problems
    for outcome, problem in problems[:_SHOWN]:
        output.say(f"roll {outcome.roll}, {problem.at_s:.3f} s: {problem.what}: {problem.text}")
    if len(problems) > _SHOWN:
        output.say(f"and {len(problems) - _SHOWN} more: --json tells all")
    if summary["lost"]:
        raise IncompleteError(f"{summary['lost']} times windows were lost; seed {seed}")
    if problems or summary["covered_too_rarely"]:
        raise PorogaugeError(f"{len(problems)} times it was not as it must be; seed {seed}")


@bench.command(short_help="Long campaigns and hours of line time; can be interrupted.")
@click.option(
    "--out",
    default="build/soak",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Folder of its state and its report.",
)
@click.option(
    "--faults",
    type=click.IntRange(0, 100_000),
    default=1000,
    show_default=True,
    help="Faults on unix32.",
)
@click.option(
    "--board-faults",
    type=click.IntRange(0, 10_000),
    default=150,
    show_default=True,
    help="Faults on the emulated RP2040.",
)
@click.option(
    "--hours",
    type=options.Number(0, 1000),
    default=8.0,
    show_default=True,
    help="Virtual line time on unix32.",
)
@click.option(
    "--board-minutes",
    type=options.Number(0, 600),
    default=10.0,
    show_default=True,
    help="The same on the emulated RP2040.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**20),
    default=1,
    show_default=True,
    help="Seed of all that is drawn.",
)
@click.option("--fresh", is_flag=True, help="Begin anew: forget what was done in DIR.")
@options.json_option
def soak(out: str, fresh: bool, **plan: float) -> None:
    """Draw FAULTS on unix32 and BOARD-FAULTS on the emulated RP2040, let HOURS of virtual time
    pass on unix32 and BOARD-MINUTES on the RP2040, with faults all the while.

    May be stopped at any time (Ctrl-C, kill): the same command goes on where it was, at the cost
    of the roll or the shift of an hour that was under way. Everything is judged as by 'bench
    faults'; besides, the board's heap and the host's memory may not change by more than 1 %. Ends
    with 5 when a window was lost, with 1 when anything else was not as it must be.

    \b
    Examples:
      porogauge bench soak
      porogauge bench soak --out /tmp/soak --faults 40 --board-faults 10 --hours 0.1
    """
    from ..bench import errors_told, load

    module = load("soak")
    with errors_told():
        work = module.Soak(module.Plan(**plan), Path(out), fresh)
        if work.resumed:
            output.note(f"going on: {work.resumed} pieces are done")
        for piece in work.run():
            output.emit("progress", **piece._asdict())
            done, whole = f"{piece.done:.0f}", f"{piece.whole:.0f}"
            output.note(f"{piece.name}: {done} of {whole} {piece.unit}")
        report = work.report()
    output.emit("summary", **report)
    for target in ("unix32", "rp2040"):
        kinds = report[target].pop("kinds")
        if kinds:
            output.say(f"\n{target}\n{work.campaign(target).table()}")
            output.say(table(report[target]))
    problems = report["problems"]
    for text in problems[:_SHOWN]:
        output.say(text)
    if len(problems) > _SHOWN:
        output.say(f"and {len(problems) - _SHOWN} more: {out}/report.json tells all")
    lost = report["unix32"]["lost"] + report["rp2040"]["lost"]
    if lost:
        raise IncompleteError(f"{lost} times windows were lost; seed {plan['seed']}")
    if not report["passed"]:
        raise PorogaugeError(f"{len(problems)} times it was not as it must be")


@contextmanager
def _progress() -> Iterator[Callable[..., None]]:
    """A bar on a terminal, a line every tenth elsewhere, nothing for machines.

    It is called with how much is done, of how much, and what that is.
    """
    if output.is_json():
        yield lambda *_: None
    elif output.terminal():
        from ..live import bar

        with bar("done", 1.0) as advance:
            yield lambda now, end, unit="s": advance(min(1.0, now / end))
    else:
        told = -1

        def line(now: float, end: float, unit: str = "s") -> None:
            nonlocal told
            tenth = int(10 * now / end)
            if tenth > told:
                told = tenth
                output.note(
                    f"{now:.1f} s of {end:g} s" if unit == "s" else f"{now} of {end} {unit}"
                )

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
    if isinstance(value, (list, tuple)):
        return " of ".join(map(_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
