"""`porogauge calibrate PROCEDURE`: bring a head and a recipe into service, and keep them right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import output
from ..errors import PorogaugeError, UsageError
from . import calibrate_book, calibrate_study, options
from .calibrate_options import source_of, source_options

# procedure -> what it finds, what is put into the gap, an example
_PROCEDURES = {
    "converter": (
        "Offset, gain, CAPDAC and linearity of the capacitance converter.",
        "Reference capacitors take the place of the electrodes, each read with several CAPDAC"
        " codes: the overlap tells the CAPDAC's step, which differs by 20 % from part to part."
        " Do it first: everything else is measured with it.",
        "label,reference_pf,u_reference_pf",
    ),
    "gap": (
        "Electrode gap, stray capacitance and area.",
        "A stage (or shims) moves the electrodes apart; C = eps0 eps_air A / (z + gap) + stray"
        " is fitted. An error of the gap is one to one in the dielectric deficit.",
        "stage_um,u_stage_um",
    ),
    "scale": (
        "Scale and offset of the dielectric deficit.",
        "Dense plates or films of known thickness and permittivity, in the middle of the gap and"
        " off it: what is left of the gap's error, and whether height matters.",
        "label,thickness_um,u_thickness_um,permittivity,u_permittivity",
    ),
    "lasers": (
        "Sum distance D, map of both lasers over the passline, skew, tilt.",
        "Opaque gauge blocks in the beams at heights of -0.5 to +0.5 mm, one that vibrates, one"
        " that is tilted.",
        "label,thickness_um,u_thickness_um",
    ),
    "environment": (
        "Growth of D and gap with the frame's temperature; the solid's permittivity.",
        "The empty head at several frame temperatures, then a dense film of the recipe's solid at"
        " several humidities and temperatures. Takes hours on a real head: start it, and start"
        " it again when it was interrupted.",
        "label,thickness_um,u_thickness_um",
    ),
    "recipe": (
        "Thickness offset and structure factor L of a film, from laboratory samples.",
        "At least six samples of the film that span its range, with thickness and gravimetric"
        " porosity from the laboratory. Refuses to find L and the solid's permittivity together"
        " unless the samples' porosity spans more than 40 points.",
        "label,t_ref_um,u_t_ref_um,phi_ref_percent,u_phi_ref_percent",
    ),
}


@click.group()
def calibrate() -> None:
    """Bring a head and a recipe into service, and keep them right.

    Each procedure says what to put into the gap, waits for steady readings, fits, shows
    residuals and U95, and stores the files as found and as left in the book. What is not
    accepted changes nothing. Ctrl-C keeps all points; the same command goes on.

    \b
    Examples, for a new head, in this order:
      porogauge calibrate converter --standards capacitors.csv --push
      porogauge calibrate gap --set u_stage_um=0.1 --push
      porogauge calibrate scale --standards plates.csv --push
      porogauge calibrate lasers --standards blocks.csv --push
      porogauge calibrate environment --standards dense-films.csv --push
      porogauge calibrate recipe --standards samples.csv --push
    Every day:
      porogauge calibrate verify --kind block --label B25 --thickness-um 25 --u-thickness-um 0.05
    No hardware: an emulated head with hidden errors.
      porogauge calibrate converter --bench 7

    host/CALIBRATION.md tells the whole way, with output.
    """


def _procedure(name: str) -> click.Command:
    what, how, columns = _PROCEDURES[name]

    @calibrate.command(name, short_help=what)
    @source_options
    @click.option(
        "--standards",
        metavar="FILE.csv",
        help=f"Your standards, a row each: {columns} (standard uncertainties, half of U95).",
    )
    @click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of this procedure; 'calibrate template' lists them.",
    )
    @click.option("--out", metavar="FILE|DIR", help="Write the files as left here, too.")
    @click.option("--push", is_flag=True, help="Send what was accepted to the gauge on --port.")
    def command(**arguments: Any) -> None:
        _run(name, arguments)

    own = f" --standards {name}.csv" if columns.startswith("label") else ""
    command.help = (
        f"{what}\n\n{how}\n\n\b\nExamples:\n"
        f"  porogauge calibrate {name} --bench 7 --plot {name}.png\n"
        f"  porogauge calibrate {name} --port /dev/ttyACM0{own} --push\n"
        f"  porogauge calibrate {name} --points {name}.csv --out after/"
    )
    return command


for _name in _PROCEDURES:
    _procedure(_name)


def _run(name: str, arguments: dict[str, Any]) -> None:
    from ..audit import person
    from ..book import Book
    from ..calibrate.files import starting_files, store, write_files
    from ..calibrate.points import write_csv
    from ..calibrate.procedures import PROCEDURES
    from . import calibrate_run as run

    out, push = arguments["out"], arguments["push"]
    if push and (arguments["points"] or arguments["bench"]):
        raise UsageError(
            "--push sends to the gauge that was read; after --points push the file:"
            " 'porogauge recipe push'"
        )
    module = PROCEDURES[name]
    chosen = run.read_options(arguments["settings"], module, arguments["standards"])
    book, who = Book(arguments["book"]), person(arguments["by"])
    if not arguments["points"] and not arguments["bench"]:
        run.need_standards(module, chosen)
    source = source_of(arguments, book)
    start = starting_files(
        book, name, arguments["calibration"], arguments["recipe"], source.ids, source.drawing
    )
    for text in start.warnings:
        output.warn(text)
    output.note(f"{name}: head {start.head}, from {start.origin}")
    session = None
    if source.points:
        points = run.points_of_file(source.points, name, start)
    else:
        steps = module.steps(start.tables, chosen)
        points, session = run.collect(source, book, name, start, steps, arguments["restart"])
    result = module.fit(points, start.tables, chosen)
    kept = store(book, start, result, points, who, arguments["why"], source.place)
    if session is not None:
        session.forget()
    told = book.result(kept.number)
    output.say(run.result_text(told))
    if arguments["plot"]:
        from ..calibrate.pictures import residuals_picture

        residuals_picture(told, arguments["plot"], f"{name}, head {start.head}")
        output.emit("picture", file=arguments["plot"])
    output.emit("result", number=kept.number, **told)
    if out:
        files = write_files(out, start, kept)
        if Path(out).suffix != ".toml":
            files.append(Path(out) / f"{name}.csv")
            write_csv(files[-1], points, start.ids["calibration"])
        for file in files:
            output.emit("written", file=str(file))
    if not result.accepted:
        raise PorogaugeError(
            f"{name}: not accepted, nothing was changed (result {kept.number} has the points)"
        )
    for kind, id in kept.ids.items():
        output.say(f"stored: {kind} {start.ids[kind]} -> {id}, result {kept.number}")
        output.emit("stored", kind=kind, before=start.ids[kind], id=id, result=kept.number)
    if push and kept.tables:
        _push(source, kept, book, who, f"{name}: {arguments['why']}")


def _push(source: Any, kept: Any, book: Any, who: str, why: str) -> None:
    from ..device import opened, push_files

    found = {kind: (tables, f"{kind} as left") for kind, tables in kept.tables.items()}
    with opened(source.port, source.baud, source.wait) as client:
        push_files(client, found, book, who, why)
    output.say(f"sent to the gauge and read back: {', '.join(kept.tables)}")
    output.emit("pushed", **{f"{kind}_id": id for kind, id in kept.ids.items()})


@calibrate.command(short_help="Show columns and settings; write the header of a points file.")
@click.argument("procedure", type=click.Choice([*_PROCEDURES, "verify"]))
@click.option("--out", metavar="FILE.csv", help="Write the header here; default: show it all.")
@options.json_option
def template(procedure: str, out: str | None) -> None:
    """Show columns, units and settings of a procedure, or write the header of its points file.

    A points file has one row for each reading; a column that does not apply stays empty.

    \b
    Examples:
      porogauge calibrate template gap
      porogauge calibrate template recipe --out samples.csv
    """
    from ..calibrate.points import columns_of
    from ..calibrate.procedures import PROCEDURES
    from .calibrate_run import Table

    columns = columns_of(procedure)
    module = PROCEDURES.get(procedure)
    settings = module.OPTIONS if module else {}
    standards = list(module.STANDARDS) if module else []
    output.emit(
        "template",
        procedure=procedure,
        columns=[
            dict(zip(("name", "unit", "low", "high", "required", "help"), c, strict=True))
            for c in columns
        ],
        standards=standards,
        settings={name: spec[0] for name, spec in settings.items()},
    )
    if out:
        try:
            Path(out).write_text(",".join(c[0] for c in columns) + "\n", encoding="utf-8")
        except OSError as error:
            raise PorogaugeError(f"{out}: cannot be written: {error.strerror}") from None
        output.say(out)
        return
    shown = Table(("column", "unit", "range", "", "meaning"))
    for name, unit, low, high, required, text in columns:
        span = "" if low is None else f"{low:g} to {high:g}"
        shown.add(name, unit, span, "required" if required else "", text)
    output.say(shown.left())
    if settings:
        table = Table(("--set", "default", "range", "unit", "meaning"))
        for name, (default, unit, low, high, text) in settings.items():
            span = "" if isinstance(default, str) else f"{low:g} to {high:g}"
            table.add(name, default, span, unit, text)
        output.say(f"\n{table.left()}")
    if standards:
        output.say(f"\n--standards FILE.csv: {','.join(standards)}")


for _command in calibrate_book.COMMANDS:
    calibrate.add_command(_command)
calibrate.add_command(calibrate_study.study)
