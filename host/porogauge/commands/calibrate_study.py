"""`porogauge calibrate study type1 | grr`: how well the gauge repeats itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from .. import output
from ..errors import PorogaugeError, UsageError
from . import options
from .calibrate_book import master_options, stated_of
from .calibrate_options import source_of, source_options

_QUANTITIES = {"thickness": ("thickness_um", "µm"), "porosity": ("porosity_percent", "%")}


@click.group(short_help="Repeatability: type-1 study and gauge R&R.")
def study() -> None:
    """How well the gauge repeats itself: type-1 study and gauge R&R, with plot and verdict.

    Both are about scatter, not about the calibration's own uncertainty: a gauge that repeats
    well may still be wrong.

    \b
    Examples:
      porogauge calibrate study type1 --points readings.csv --reference 25.0 --tolerance 5
      porogauge calibrate study grr --points grr.csv --tolerance 5 --plot grr.png
    """


_TOLERANCE = "Upper less lower limit of the quantity, in its unit."
_quantity_option = click.option(
    "--quantity",
    type=click.Choice(list(_QUANTITIES)),
    default="thickness",
    show_default=True,
    help="What is studied.",
)


@study.command(short_help="Cg, Cgk: one master, many readings.")
@click.option(
    "--reference", type=options.Number(), help="Accepted value of the master, with --points."
)
@click.option("--tolerance", type=options.Number(), required=True, help=_TOLERANCE)
@_quantity_option
@click.option(
    "--readings",
    type=click.IntRange(25, 500),
    default=50,
    show_default=True,
    help="How often the master is put in and read.",
)
@master_options
@source_options
def type1(**arguments: Any) -> None:
    """Type-1 study: Cg and Cgk from many readings of one master, capable from 1.33.

    With --points the file has a column 'value'. Else the master is read on a gauge or an
    emulated head: put it in anew for each reading.

    \b
    Examples:
      porogauge calibrate study type1 --points readings.csv --reference 25.0 --tolerance 5
      porogauge calibrate study type1 --bench 7 --kind block --label B25 --thickness-um 25
          --u-thickness-um 0.05 --tolerance 5 --plot type1.png
    """
    from ..calibrate.study import type1 as evaluate

    quantity, unit = _QUANTITIES[arguments["quantity"]]
    reference, tolerance = arguments["reference"], arguments["tolerance"]
    told: dict[str, Any] = {"quantity": arguments["quantity"]}
    session = None
    if arguments["points"]:
        if reference is None:
            raise UsageError("--points needs --reference, the accepted value of the master")
        values = [row["value"] for row in _rows(arguments["points"], ("value",))]
    else:
        _, _, stated = master = stated_of(arguments)
        name = quantity if quantity in stated else _laboratory(quantity)
        if name not in stated:
            raise UsageError(f"--quantity {arguments['quantity']}: such a master has none")
        reference = stated[name] if reference is None else reference
        parts = {master[1]: stated}
        values, extra, session = _read(arguments, "type1", master[0], parts, (1,), quantity)
        values = [value for _, _, value in values]
        told |= extra
    found = evaluate(values, reference, tolerance, unit)
    told |= found.to_dict() | {"values": values, "accepted": not found.reasons}
    _finish("type1", told, arguments, session)


def _laboratory(quantity: str) -> str:
    return {"thickness_um": "t_ref_um", "porosity_percent": "phi_ref_percent"}[quantity]


@study.command(short_help="EV, AV, %GRR, ndc: parts, operators, trials.")
@click.option(
    "--tolerance",
    type=options.Number(),
    help=f"{_TOLERANCE} Without: share of the total variation.",
)
@_quantity_option
@click.option(
    "--standards",
    metavar="FILE.csv",
    help="The parts to be read, a row each: label and what is stated of them (--kind).",
)
@click.option(
    "--operators",
    default="1,2,3",
    show_default=True,
    metavar="NAME,...",
    help="Who reads them, each one all parts.",
)
@click.option(
    "--trials",
    type=click.IntRange(2, 20),
    default=3,
    show_default=True,
    help="How often each reads each part.",
)
@click.option(
    "--kind",
    type=click.Choice(["block", "plate", "sample"]),
    default="sample",
    show_default=True,
    help="What the parts are.",
)
@source_options
def grr(**arguments: Any) -> None:
    """Crossed gauge R&R by analysis of variance: EV, AV, interaction, PV, %GRR, ndc.

    At most 10 % is good, up to 30 % conditional. With --points the file has the columns part,
    operator and value. Else the parts of --standards are read on a gauge or an emulated head.

    \b
    Examples:
      porogauge calibrate study grr --points grr.csv --tolerance 5 --plot grr.png
      porogauge calibrate study grr --standards parts.csv --bench 7 --tolerance 5
    """
    from ..calibrate.study import grr as evaluate

    quantity, unit = _QUANTITIES[arguments["quantity"]]
    told: dict[str, Any] = {"quantity": arguments["quantity"]}
    session = None
    if arguments["points"]:
        found_rows = _rows(arguments["points"], ("part", "operator", "value"))
        rows = [(row["part"], row["operator"], row["value"]) for row in found_rows]
    else:
        if not arguments["standards"]:
            raise UsageError("which parts? name their file with --standards FILE.csv, or --points")
        parts = _parts(arguments["standards"], arguments["kind"])
        operators = [name.strip() for name in arguments["operators"].split(",") if name.strip()]
        order = [who for who in operators for _ in range(arguments["trials"])]
        rows, extra, session = _read(
            arguments, "grr", arguments["kind"], parts, tuple(order), quantity
        )
        told |= extra
    found = evaluate(rows, arguments["tolerance"], unit)
    told |= found.to_dict() | {
        "rows": [list(row) for row in rows],
        "accepted": found.verdict != "not capable",
    }
    _finish("grr", told, arguments, session)


# ---------------------------------------------------------------- readings


def _rows(path: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of a CSV file with those columns; 'value' is a number."""
    import csv
    from math import isfinite

    try:
        with open(path, encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            names = [name.strip() for name in reader.fieldnames or ()]
            rows = [dict(zip(names, row.values(), strict=False)) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise PorogaugeError(f"{path}: cannot be read: {error}") from None
    missing = [name for name in columns if name not in names]
    if missing:
        raise PorogaugeError(f"{path}: has no column {missing[0]}; needed: {', '.join(columns)}")
    for line, row in enumerate(rows, 2):
        try:
            row["value"] = float(row["value"])
        except (TypeError, ValueError):
            row["value"] = float("nan")
        if not isfinite(row["value"]):
            raise PorogaugeError(f"{path}: line {line}: value is not a number")
    return rows


def _parts(path: str, kind: str) -> dict[str, dict[str, Any]]:
    """Label -> what is stated of each part."""
    from ..calibrate.verify import MASTERS
    from .calibrate_run import read_table

    columns = ("label", *(name for pair in MASTERS[kind] for name in pair))
    rows = read_table(path, columns)
    return {row["label"]: {k: v for k, v in row.items() if k != "label"} for row in rows}


def _read(
    arguments: dict[str, Any],
    name: str,
    kind: str,
    parts: Mapping[str, Mapping[str, Any]],
    operators: tuple[Any, ...],
    quantity: str,
) -> tuple[list[tuple[Any, Any, float]], dict[str, Any], Any]:
    """(part, operator, value) of all readings, what to keep of them, the session."""
    from ..book import Book
    from ..calibrate.files import starting_files
    from ..calibrate.physics import Head, Reference
    from ..calibrate.procedure import Step
    from ..calibrate.verify import values
    from ..recipe import compile_words
    from . import calibrate_run as run

    book = Book(arguments["book"])
    source = source_of(arguments, book)
    start = starting_files(
        book,
        "study" if kind == "sample" else "",
        arguments["calibration"],
        arguments["recipe"],
        source.ids,
        source.drawing,
    )
    turns = operators if name == "grr" else (1,) * arguments["readings"]
    steps = [Step("empty", "Leave the gap empty; the tile in the beams.", {"kind": "empty"})]
    for turn, who in enumerate(turns, 1):
        for label, stated in parts.items():
            text = f"Put {label} in anew" + (f" (operator {who})." if name == "grr" else ".")
            setting = {"kind": kind, "label": label, **stated}
            steps.append(Step(f"{label} #{turn}", text, setting))
    points, session = run.collect(source, book, name, start, steps, arguments["restart"])
    reference = Reference(Head(start.tables["calibration"]), points)
    words = None
    if kind == "sample":
        words = compile_words(start.tables["recipe"], start.tables["calibration"])
    rows = []
    for point in points[1:]:
        found = values(point, reference, words)
        if quantity not in found:
            raise UsageError(f"a {kind} has no {quantity.rpartition('_')[0]}")
        turn = int(point["id"].rpartition("#")[2])
        rows.append((point["label"], turns[turn - 1], float(found[quantity])))
    told = {
        "head": start.head,
        "calibration": start.ids["calibration"],
        "recipe": start.ids["recipe"],
        "place": source.place,
    }
    return rows, told, session


def _finish(name: str, told: dict[str, Any], arguments: dict[str, Any], session: Any) -> None:
    """Keep, show and draw a study; raise when the gauge is not capable."""
    from ..audit import person
    from ..book import Book
    from ..calibrate.files import plain_values
    from .calibrate_book import _draw

    kept = plain_values({"procedure": name} | told)
    book = Book(arguments["book"])
    number = book.add_result(kept, person(arguments["by"]), arguments["why"])
    if session is not None:
        session.forget()
    output.say(study_text(kept))
    output.emit("study", number=number, **kept)
    if arguments["plot"]:
        _draw(kept, arguments["plot"])
        output.emit("picture", file=arguments["plot"])
    if not kept["accepted"]:
        raise PorogaugeError(f"{name}: not capable; see the reasons above")


def study_text(found: Mapping[str, Any]) -> str:
    """A study as people read it."""
    unit = found["unit"]
    lines = []
    if found["procedure"] == "type1":
        number = {k: "infinite" if found[k] is None else f"{found[k]:.2f}" for k in _CAPABILITY}
        lines += [
            f"{found['n']} readings of a master of {found['reference']:g} {unit},"
            f" tolerance {found['tolerance']:g} {unit}",
            f"mean  {found['mean']:.6g} ± {2 * found['u_mean']:.2g} {unit} (U95 of scatter alone)",
            f"bias  {found['bias']:+.4g} {unit}"
            + (" (significant)" if found["bias_significant"] else " (not significant)"),
            f"s     {found['s']:.4g} {unit}",
            f"Cg    {number['cg']} (above {number['cg_low95']} at 95 %)",
            f"Cgk   {number['cgk']}",
        ]
    else:
        lines += _grr_lines(found)
    lines += [f"note: {text}" for text in found["warnings"]]
    lines += ["", found["verdict"] + (":" if found["reasons"] else "")]
    lines += [f"  {text}" for text in found["reasons"]]
    return "\n".join(lines)


_CAPABILITY = ("cg", "cg_low95", "cgk")


def _grr_lines(found: Mapping[str, Any]) -> list[str]:
    from .calibrate_run import Table, digits

    unit = found["unit"]
    anova = Table(("source", "SS", "dof", "MS", "F", "p"))
    for row in found["table"]:
        f = "" if row["f"] is None else f"{row['f']:.4g}"
        p = "" if row["p"] is None else f"{row['p']:.3f}"
        anova.add(row["source"], f"{row['ss']:.5g}", row["dof"], f"{row['ms']:.5g}", f, p)
    sources = Table(("variation", f"sd {unit}", "U95", "% of total", "% of tolerance"))
    for s in found["sources"].values():
        u95 = 2 * s["u_sd"]
        share = s["percent_of_tolerance"]
        sources.add(
            s["name"],
            digits(s["sd"], u95),
            digits(u95, u95),
            f"{s['percent_of_total']:.1f}",
            "-" if share is None else f"{share:.1f}",
        )
    of = "tolerance" if found["tolerance"] else "total variation"
    pooled = "the interaction is not significant and counts as repeatability"
    return [
        f"{found['parts']} parts, {found['operators']} operators, {found['trials']} trials",
        "",
        str(anova),
        *([pooled] if found["pooled"] else []),
        "",
        str(sources),
        "",
        f"%GRR  {found['percent_grr']:.1f} ± {2 * found['u_percent_grr']:.1f} of the {of}",
        f"ndc   {found['ndc']}",
    ]
