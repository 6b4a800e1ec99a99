"""`porogauge lab add | list | withdraw | compare`."""

from __future__ import annotations

from dataclasses import asdict

import click

from .. import output
from . import options
from .roll import found_roll


@click.group()
def lab() -> None:
    """Keep laboratory results with a roll and compare them with what the gauge measured.

    \b
    Examples:
      porogauge lab add A-17 mean_pore_um 0.32 --u 0.02 --method porometry
      porogauge lab add A-17 basis_weight_g_m2 17.9 --u 0.1 --at-m 3.0
      porogauge lab compare A-17
    """


@lab.command(short_help="Keep a result.")
@click.argument("name", metavar="ROLL")
@click.argument("property", metavar="PROPERTY")
@click.argument("value", metavar="VALUE", type=options.Number())
@options.database_option
@click.option(
    "--u", type=options.Number(), metavar="U", help="Its standard uncertainty, in the same unit."
)
@click.option(
    "--unit", metavar="UNIT", help="Unit of VALUE. Default: that of the property's name."
)
@click.option(
    "--at-m", type=options.Number(), metavar="M", help="Where on the roll the sample was taken."
)
@click.option("--method", metavar="TEXT", help="How it was measured: a standard, a procedure.")
@click.option("--operator", metavar="TEXT", help="Who measured it.")
@click.option("--instrument", metavar="TEXT", help="With what.")
@options.book_option
@options.by_option
@options.why_option
@options.json_option
def add(
    name: str,
    property: str,
    value: float,
    database: str | None,
    u: float | None,
    unit: str | None,
    at_m: float | None,
    method: str | None,
    operator: str | None,
    instrument: str | None,
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Keep a laboratory result with ROLL; unit and range are checked.

    PROPERTY is one of mean_pore_um, max_pore_um, air_resistance_s_per_100cc,
    heat_shrinkage_percent, heat_resistance_c, porosity_percent (gravimetric), thickness_um
    (micrometer), basis_weight_g_m2. Without --u the value cannot decide a claim. A result is never
    changed: 'lab withdraw' takes a wrong one back, with the reason.

    \b
    Examples:
      porogauge lab add A-17 air_resistance_s_per_100cc 310 --u 8 --method "ISO 5636-5"
      porogauge lab add A-17 mean_pore_um 320 --u 20 --unit nm --operator "shift 2"
    """
    from ..audit import person
    from ..book import Book
    from ..lab import add as keep

    who, kept = person(by), Book(book)
    with found_roll(name, database, kept) as (store, _):
        result = keep(
            store,
            kept,
            name,
            property,
            value,
            who=who,
            why=why,
            u=u,
            unit=unit,
            at_m=at_m,
            method=method,
            operator=operator,
            instrument=instrument,
        )
    output.emit("lab_added", roll=name, **asdict(result))
    output.say(f"roll {name}, result {result.number}: {_text(result)}")
    if result.u is None:
        output.warn("no uncertainty was stated (--u): it cannot decide a claim")


def _text(result) -> str:
    text = f"{result.property} = {result.value:g}"
    if result.u is not None:
        text += f" ± {2 * result.u:g} (U95)"
    text += f" {result.unit}"
    if result.at_m is not None:
        text += f" at {result.at_m:g} m"
    told = (result.method, result.operator, result.instrument)
    return text + "".join(f", {part}" for part in told if part)


@lab.command("list", short_help="List a roll's results.")
@click.argument("name", metavar="ROLL")
@options.database_option
@options.book_option
@options.json_option
def list_(name: str, database: str | None, book: str | None) -> None:
    """List the laboratory results of ROLL that were not withdrawn.

    \b
    Example:
      porogauge lab list A-17
    """
    from ..book import Book
    from ..lab import results

    with found_roll(name, database, Book(book), read_only=True) as (store, roll):
        for result in results(store, roll):
            output.emit("lab", roll=name, **asdict(result))
            output.say(f"{result.number:5} {_text(result)}")


@lab.command(short_help="Take a wrong result back.")
@click.argument("name", metavar="ROLL")
@click.argument("number", metavar="NUMBER", type=int)
@options.database_option
@options.book_option
@options.by_option
@options.why_option
@options.json_option
def withdraw(
    name: str, number: int, database: str | None, book: str | None, by: str | None, why: str
) -> None:
    """Withdraw result NUMBER (as 'lab list' shows it); database and log keep it.

    \b
    Example:
      porogauge lab withdraw A-17 3 --why "wrong sample"
    """
    from ..audit import person
    from ..book import Book
    from ..lab import withdraw as take_back

    who, kept = person(by), Book(book)
    with found_roll(name, database, kept) as (store, _):
        take_back(store, kept, name, number, who=who, why=why)
    output.emit("lab_withdrawn", roll=name, number=number)
    output.say(f"roll {name}: result {number} is withdrawn")


@lab.command(short_help="Compare results with the gauge's values.")
@click.argument("name", metavar="ROLL")
@options.database_option
@click.option(
    "--span",
    type=options.Number(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="METRES",
    help="Length of web around a sample whose mean is compared with it.",
)
@options.book_option
@options.json_option
def compare(name: str, database: str | None, span: float, book: str | None) -> None:
    """Compare thickness, porosity and basis weight with the gauge's values of the same place.

    The areal mass of the solid, t (1 - porosity) times its density, against the basis weight
    tells an error of thickness from one of permittivity; which one, is said in words.

    \b
    Example:
      porogauge lab compare A-17 --span 0.5
    """
    from ..book import Book
    from ..lab import compare as look

    with found_roll(name, database, Book(book), read_only=True) as (store, roll):
        findings = look(store, roll, span)
    for finding in findings:
        output.emit("compared", roll=name, **asdict(finding))
        place = "whole roll" if finding.at_m is None else f"{finding.at_m:g} m"
        output.say(f"{place:12} {finding.sentence}")
    if not findings:
        output.note("no thickness, porosity or basis weight to compare; 'lab add' keeps them")
