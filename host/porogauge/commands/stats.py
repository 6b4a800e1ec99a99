"""`porogauge stats`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import output
from ..errors import UsageError
from . import options

_VALUES = ("thickness", "porosity", "permittivity", "solid")


@click.command()
@options.database_argument
@click.option("--roll", metavar="ROLL", help="This roll. Default: all that the database has.")
@click.option("--device", metavar="ID", help="Only this device (hexadecimal id).")
@click.option("--boot", type=click.IntRange(0), help="Only this boot of the device.")
@click.option(
    "--value",
    "values",
    type=click.Choice(_VALUES),
    multiple=True,
    help="What to analyse; may be repeated. Default: thickness and porosity.",
)
@click.option(
    "--subgroup",
    type=options.Number(0.001, 10_000),
    default=1.0,
    show_default=True,
    metavar="METRES",
    help="Length of web of one subgroup.",
)
@click.option(
    "--readings",
    type=click.IntRange(2, 100),
    default=5,
    show_default=True,
    help="Readings of a subgroup; each is the mean over its share of the length.",
)
@click.option(
    "--ewma-weight",
    type=options.Number(0, 1, min_open=True),
    default=0.2,
    show_default=True,
    help="Weight of the newest point in the EWMA.",
)
@click.option(
    "--roller",
    "rollers",
    metavar="NAME=CIRCUMFERENCE_MM",
    multiple=True,
    help="A roller of the line, whose turn a period may be, besides those of the recipe; may be"
    " repeated.",
)
@click.option(
    "--lower", type=options.Number(), help="Lower limit, with one --value. Default: the recipe's."
)
@click.option(
    "--upper", type=options.Number(), help="Upper limit, with one --value. Default: the recipe's."
)
@click.option("--plot", metavar="FILE.png", help="Draw the charts; one file for each value.")
@options.json_option
def stats(
    database: str,
    roll: str | None,
    device: str | None,
    boot: int | None,
    values: tuple[str, ...],
    subgroup: float,
    readings: int,
    ewma_weight: float,
    rollers: tuple[str, ...],
    lower: float | None,
    upper: float | None,
    plot: str | None,
) -> None:
    """Control charts, capability, variance components and spectrum of the web in FILE.db.

    Subgroups are lengths of web, not times. Windows without a valid number are left out and
    counted; what cannot be computed is said with the reason. Intervals are 95 %.

    \b
    Examples:
      porogauge stats roll.db
      porogauge stats roll.db --roll A-17 --roller calender=900 --roller wind-up=471.2
      porogauge stats roll.db --value porosity --lower 45 --upper 55 --subgroup 5
      porogauge stats roll.db --json | jq .capability.ppk
    """
    from ..stats import Options, statistics
    from ..stats.analysis import Limits

    values = tuple(dict.fromkeys(values)) or ("thickness", "porosity")
    limits = {}
    if lower is not None or upper is not None:
        if len(values) != 1:
            raise UsageError("--lower and --upper are limits of one value: name it with --value")
        if lower is not None and upper is not None and not lower < upper:
            raise UsageError(f"--lower {lower:g} is not below --upper {upper:g}")
        limits[values[0]] = Limits(lower, upper, "command line")
    if roll is not None and (device is not None or boot is not None):
        raise UsageError("--roll already says which device and boots: leave --device, --boot out")
    made = statistics(
        database,
        Options(values, subgroup, readings, ewma_weight, _rollers(rollers), limits),
        roll=roll,
        device=device,
        boot=boot,
    )
    for found in made:
        output.emit("statistics", roll=roll, **found.report)
        _tell(found.report)
    if plot is not None:
        from ..stats.pictures import picture

        for name, found in zip(values, made, strict=True):
            to = Path(plot)
            if len(made) > 1:
                to = to.with_name(f"{to.stem}_{name}{to.suffix}")
            picture(found, to, title=f"Roll {roll}" if roll else Path(database).name)
            output.emit("picture", file=str(to))
            output.say(str(to))


def _rollers(stated: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in stated:
        name, equals, length = text.rpartition("=")
        try:
            millimetres = float(length)
        except ValueError:
            millimetres = 0.0
        if not equals or not name.strip() or not 1 <= millimetres <= 100_000:
            raise UsageError(
                f"--roller {text!r}: write NAME=CIRCUMFERENCE_MM, from 1 to 100000 mm, as in"
                " calender=900"
            )
        if name.strip() in found:
            raise UsageError(
                f"--roller {name.strip()!r} is there twice: give each a name of its own"
            )
        found[name.strip()] = millimetres
    return found


# ---------------------------------------------------------------- for people


def _number(estimate: dict[str, Any], unit: str = "") -> str:
    """A number with its interval and unit, or why there is none."""
    unit = f" {unit}" if unit else ""
    if estimate["value"] is None:
        return f"none: {estimate['reason']}"
    text = f"{estimate['value']:.5g}{unit}"
    if estimate["low95"] is not None:
        return f"{text}  (95 %: {estimate['low95']:.5g} to {estimate['high95']:.5g})"
    return f"{text}  ({estimate['reason']})" if estimate["reason"] else text


def _tell(report: dict[str, Any]) -> None:
    unit = report["unit"]
    output.say(
        f"{report['value']}: {report['windows_used']} of {report['windows']} windows,"
        f" {report['length_m']:.1f} m, {report['sections']} sections"
    )
    for cause, count in report["left_out"].items():
        output.say(f"  left out            {count} windows, {cause}")
    if report["not_stored"]:
        output.say(f"  not stored          {report['not_stored']} windows")
    if report["window_u95"] is not None:
        output.say(f"  U95 of a window     {report['window_u95']:.3g} {unit}".rstrip())
    made = report["readings"]
    if made["reason"]:
        output.say(f"  readings            none: {made['reason']}")
    else:
        output.say(
            f"  readings            {made['used']} means over {made['length_m']:g} m"
            f" ({made['left_out']} left out), {made['subgroups_used']} subgroups of"
            f" {made['per_subgroup']} ({made['subgroups_incomplete']} incomplete)"
        )
    output.say(f"  mean                {_number(report['mean'], unit)}")
    output.say(f"  standard deviation  {_number(report['sd'], unit)}")
    _tell_correlation(report["autocorrelation"])
    for name, chart in report["charts"].items():
        output.say(f"  {name:19} {_chart(chart, unit)}")
        for rule, found in (chart.get("signals") or {}).items():
            if found["count"] and rule not in ("nelson_1", "nelson_5", "nelson_6"):
                by_chance = found.get("by_chance")
                beside = "" if by_chance is None else f" ({by_chance:.1f} by chance)"
                output.say(f"    {rule.replace('_', ' '):23} {found['count']} signals{beside}")
    _tell_capability(report["capability"], report)
    _tell_components(report["variance_components"])
    _tell_spectrum(report["spectrum"], unit)
    for note in report["notes"]:
        output.say(f"  note: {note}")


def _tell_correlation(found: dict[str, Any]) -> None:
    if found["reason"]:
        output.say(f"  autocorrelation     none: {found['reason']}")
        return
    length = found["length_m"]
    text = f"{length['value']:.3g} m" if length["value"] is not None else length["reason"]
    output.say(
        f"  autocorrelation     length {text}; {found['lag_1']:.2f} at {found['lag_m']:g} m"
    )


def _chart(chart: dict[str, Any], unit: str) -> str:
    if chart["reason"]:
        return f"none: {chart['reason']}"
    text = f"{chart['centre']:.5g}, limits {chart['lower']:.5g} to {chart['upper']:.5g} {unit}"
    return f"{text.rstrip()}, {chart['points']} points"


def _tell_capability(found: dict[str, Any], report: dict[str, Any]) -> None:
    if found["reason"]:
        output.say(f"  capability          none: {found['reason']}")
        return
    limits = report["limits"]
    low, high = ("-" if limits[k] is None else f"{limits[k]:g}" for k in ("lower", "upper"))
    output.say(
        f"  limits              {low} to {high} {report['unit']} ({limits['source']});"
        f" {report['outside']['percent']:.3g} % of the readings are outside"
    )
    for name in ("cp", "cpk", "pp", "ppk", "cnpk"):
        output.say(f"  {name.capitalize():19} {_number(found[name])}")


def _tell_components(found: dict[str, Any]) -> None:
    if found["reason"]:
        output.say(f"  variance components none: {found['reason']}")
        return
    output.say(f"  variance components {found['method']}")
    for name, part in found["components"].items():
        share = "" if part["percent"] is None else f"{part['percent']:5.1f} %  "
        output.say(f"    {name.replace('_', ' '):17} {share}{_number(part, found['unit'])}")


def _tell_spectrum(found: dict[str, Any], unit: str) -> None:
    if found["reason"]:
        output.say(f"  spectrum            none: {found['reason']}")
        return
    output.say(
        f"  spectrum            {len(found['periods'])} periods between"
        f" {found['shortest_period_mm']:g} and {found['longest_period_mm']:.0f} mm"
    )
    for period in found["periods"][:10]:
        whose = f"  {', '.join(period['rollers'])}" if period["rollers"] else ""
        output.say(
            f"    {period['period_mm']:8.1f} mm  ({period['low95_mm']:.1f} to"
            f" {period['high95_mm']:.1f}), amplitude {period['amplitude']:.3g} {unit},"
            f" {period['share_percent']:.2g} % of the variance{whose}"
        )
