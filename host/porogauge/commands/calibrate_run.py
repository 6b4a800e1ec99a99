"""What the commands of `porogauge calibrate` share: where readings come from, what is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click

from .. import output
from ..errors import Interrupted, PorogaugeError, UsageError

EMULATED_SERIAL = 900_000  # plus the seed: serial numbers of emulated heads in the book


# ---------------------------------------------------------------- where readings come from


@dataclass(slots=True)
class Source:
    """Where points come from: a file, a gauge on a port, or an emulated head."""

    points: str | None = None
    port: str | None = None
    bench: str | None = None
    target: str | None = None  # of an emulated head: through firmware and link
    baud: int = 921_600
    wait: float = 5.0
    yes: bool = False
    within: float = 120.0
    ids: dict[str, str] | None = None  # in force on the gauge
    drawing: dict[str, Any] | None = None  # of an emulated head
    scenario: Any = None
    device: str = ""

    def __post_init__(self) -> None:
        if sum(1 for given in (self.points, self.port, self.bench) if given) > 1:
            raise UsageError("--points, --port and --bench exclude each other: name one")
        if self.target and not self.bench:
            raise UsageError("--target is how an emulated head is run: it needs --bench")
        if self.bench:
            self._emulate()

    @property
    def place(self) -> str:
        """Where the readings are from, in a few words."""
        if self.points:
            return f"file {self.points}"
        if self.bench:
            return f"bench {self.bench}" + (f" on {self.target}" if self.target else "")
        return f"gauge {self.device}" if self.device else f"port {self.port}"

    def _emulate(self) -> None:
        from ..bench import errors_told, load, scenario_path

        heads = load("heads")
        with errors_told():
            if self.bench.isdecimal():
                self.scenario = heads.hidden_head(int(self.bench))
            else:
                self.scenario = load("scenario").Scenario.load(scenario_path(self.bench))
        seed = self.scenario.run.seed
        self.drawing = heads.nominal_tables()
        self.drawing["calibration"]["head"]["serial"] = EMULATED_SERIAL + seed
        self.drawing["recipe"]["recipe"]["name"] = f"film of emulated head {seed}"

    def look(self, book: Any) -> None:
        """Learn what the gauge on the port has in force (nothing to do for the others).

        What a calibration that was killed has left there is put in order first.
        """
        if self.points or self.bench:
            return
        from gauge import config

        from ..calibrate.live import put_in_order
        from ..device import opened, read_words
        from ..ports import find_port

        self.port = find_port(self.port)
        with opened(self.port, self.baud, self.wait) as client:
            self.device = client.hello.device
            if book.path.is_dir() and put_in_order(client, book.unfinished):
                output.warn(
                    "the gauge had been left with another CAPDAC code by a calibration that was"
                    " cut off; its configuration is put back"
                )
            words = read_words(client)
        if words is None:
            raise PorogaugeError(
                "the gauge has no calibration and recipe: 'porogauge recipe init' writes files to"
                " start from, 'porogauge recipe push' sends them"
            )
        self.ids = {
            "calibration": f"{words[config.CALIBRATION_ID]:08x}",
            "recipe": f"{words[config.RECIPE_ID]:08x}",
        }

    @contextmanager
    def station(self, book: Any, tables: Mapping[str, Any], begun: int) -> Iterator[Any]:
        """The place where steps are done. `begun`: readings that were made before."""
        if self.bench:
            from ..bench import errors_told, load

            stations = load("stations")
            with errors_told():
                if self.target is None:
                    station = stations.ModelStation(self.scenario)
                    station.tables, station.readings = tables, begun
                    yield station
                    return
                with stations.FirmwareStation(self.scenario, self.target) as station:
                    station.tables, station.readings = tables, begun
                    yield station
            return
        from ..calibrate.live import Limits, LiveStation
        from ..link.client import Client

        rolls = book.open_rolls(self.device)
        if rolls:
            raise PorogaugeError(
                f"roll {rolls[0]['roll']} runs on this gauge: 'porogauge roll end' it first"
            )
        meter = Meter()
        with (
            Client(self.port, timeout_s=self.wait, baud=self.baud) as client,
            LiveStation(
                client,
                book.unfinished,
                ask=lambda step: self._ask(),
                progress=meter.show,
                limits=Limits(within_s=self.within),
            ) as station,
        ):
            try:
                yield station
            finally:
                meter.close()

    def _ask(self) -> None:
        """Wait until whoever sets up the steps says that it is done: a line on stdin."""
        if self.yes:
            return
        if sys.stdin.isatty():
            output.note("    press Enter when it is done (Ctrl-C ends, and keeps all points)")
        if not sys.stdin.readline():
            raise UsageError(
                "nobody says that the step is set up: answer each one with a line on stdin, or"
                " give --yes when a machine sets them up"
            )


class Meter:
    """Progress of a reading: a line that moves in a terminal, else one every five seconds."""

    def __init__(self) -> None:
        self._next = 0.0
        self._open = False

    def show(self, done: int, total: int, why: str) -> None:
        now = time.monotonic()
        if output.is_json():
            if now >= self._next:
                self._next = now + 1.0
                output.emit("progress", windows=done, of=total, waiting_for=why or None)
            return
        text = f"    {done}/{total} windows" + (f", waiting: {why}" if why else "")
        if output.terminal():
            click.echo(f"\r{text:<98.98}", nl=False, err=True)
            self._open = True
            if done == total and not why:
                self.close()
        elif now >= self._next:
            self._next = now + 5.0
            output.note(text)

    def close(self) -> None:
        """Begin a new line after the one that moves."""
        if self._open:
            click.echo("", err=True)
            self._open = False


# ---------------------------------------------------------------- points


def collect(
    source: Source,
    book: Any,
    procedure: str,
    start: Any,
    steps: Sequence[Any],
    restart: bool,
) -> tuple[list[dict[str, Any]], Any]:
    """Do the steps, or what is left of them; return points and session.

    Raises Interrupted with what is kept when the user stops it.
    """
    from ..calibrate.session import Session

    basis = {"head": start.head, "calibration": start.ids["calibration"], "place": source.place}
    session = Session.open(book.unfinished, procedure, basis, steps, restart)
    total = len(session.steps)
    if session.points:
        output.note(f"{procedure}: going on with step {len(session.points) + 1} of {total}")
    # the readings of each procedure of an emulated head have noise of their own
    begun = 1000 * (1 + len(book.results())) + len(session.points)

    def tell_step(number: int, step: Any) -> None:
        output.note(f"[{number}/{total}] {step.id}: {step.text}")
        output.emit(
            "step", number=number, of=total, id=step.id, text=step.text, setting=dict(step.setting)
        )

    def tell_point(number: int, point: Mapping[str, Any]) -> None:
        output.note(f"    {_reading_text(point)}")
        output.emit("point", number=number, of=total, point=point)

    try:
        if session.left:
            with source.station(book, start.tables, begun) as station:
                session.run(station, tell_step, tell_point)
    except KeyboardInterrupt:
        raise Interrupted(
            f"{len(session.points)} of {total} points are kept; the same command goes on"
        ) from None
    return session.points, session


def points_of_file(path: str, procedure: str, start: Any) -> list[dict[str, Any]]:
    """Points of a file, which must have been taken with the calibration that is started from.

    A file that does not say with which one is taken as it is.
    """
    from ..calibrate.points import read_csv, taken_with

    points = read_csv(path, procedure)
    id = taken_with(path)
    if id and id != start.ids["calibration"]:
        raise PorogaugeError(
            f"{path}: was taken with calibration {id}, not with {start.ids['calibration']}: name"
            " the file of that one with --calibration (the book has it under calibrations/)"
        )
    return points


def _reading_text(point: Mapping[str, Any]) -> str:
    parts = []
    if point.get("cap_pf") is not None:
        parts.append(f"C {point['cap_pf']:+.6f} pF over CAPDAC {point['capdac_code']}")
    for name in "ab":
        if point.get(f"{name}_um") is not None:
            parts.append(f"{name.upper()} {point[f'{name}_um']:.3f} µm")
    parts.append(f"frame {point['frame_c']:.2f} °C")
    return ", ".join(parts)


def read_options(given: Sequence[str], module: Any, standards: str | None) -> dict[str, Any]:
    """`NAME=VALUE` of --set, checked against what a procedure understands."""
    from difflib import get_close_matches

    legal = module.OPTIONS
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: write NAME=VALUE")
        if name not in legal:
            close = get_close_matches(name, legal, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(
                f"--set {name}: is not an option of {module.NAME}{hint}; legal:"
                f" {', '.join(legal) or 'none'}"
            )
        found[name] = _option(name, value, legal[name])
    if standards:
        found["standards"] = read_standards(standards, module)
    return found


def need_standards(module: Any, chosen: Mapping[str, Any]) -> None:
    """Refuse to guess what the pieces are that an operator will put into a real gauge."""
    if "label" in module.STANDARDS and not chosen.get("standards"):
        raise UsageError(
            f"on a gauge {module.NAME} needs your standards, with the values of their"
            f" certificates: --standards FILE.csv with columns {', '.join(module.STANDARDS)}"
        )


def _option(name: str, text: str, spec: Sequence[Any]) -> Any:
    default, unit, low, high, _ = spec
    if isinstance(default, str):
        return text
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"--set {name}: {text} is not a number") from None
    if not low <= value <= high:
        raise UsageError(f"--set {name}: {text} is out of range; legal: {low} to {high} {unit}")
    return int(value) if isinstance(default, int) and value == int(value) else value


def read_standards(path: str, module: Any) -> list[dict[str, Any]]:
    """Rows of a CSV file of standards: the columns that a procedure names."""
    if not module.STANDARDS:
        raise UsageError(f"--standards: {module.NAME} has none to choose")
    return read_table(path, module.STANDARDS)


def read_table(path: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Those columns of a CSV file, numbers as such; at least one row."""
    import csv

    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise PorogaugeError(f"{path}: cannot be read: {error}") from None
    found = []
    for line, row in enumerate(rows, 2):
        missing = [name for name in columns if not (row.get(name) or "").strip()]
        if missing:
            raise PorogaugeError(
                f"{path}: line {line}: {missing[0]} is missing; columns: {', '.join(columns)}"
            )
        found.append({name: _number(row[name], path, line, name) for name in columns})
    if not found:
        raise PorogaugeError(f"{path}: has no rows; columns: {', '.join(columns)}")
    return found


def _number(text: str, path: str, line: int, name: str) -> Any:
    if name in ("label", "kind"):
        return text.strip()
    from math import isfinite

    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise PorogaugeError(f"{path}: line {line}: {name}: {text!r} is not a number")
    return value


# ---------------------------------------------------------------- telling


@dataclass(slots=True)
class Table:
    """Rows of texts with aligned columns; the first is flush left, others flush right."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: Any) -> None:
        self.rows.append(tuple(str(cell) for cell in cells))

    def __str__(self) -> str:
        return self._drawn(str.rjust)

    def left(self) -> str:
        """All columns flush left: texts."""
        return self._drawn(str.ljust)

    def _drawn(self, just: Any) -> str:
        rows = [self.head, *self.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.head))]
        lines = []
        for row in rows:
            cells = [row[0].ljust(widths[0])]
            cells += [just(c, w) for c, w in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)


def digits(value: float, u95: float) -> str:
    """A value with as many digits as its uncertainty deserves: two of the uncertainty's."""
    from math import floor, log10

    if not u95 > 0:
        return f"{value:.6g}"
    places = max(0, min(9, 1 - floor(log10(u95))))
    return f"{value:.{places}f}"


def result_text(result: Mapping[str, Any]) -> str:
    """A result as people read it: residuals, estimates with U95, as found and as left, verdict."""
    lines = []
    unit = result["residual_unit"]
    if result["residuals"]:
        table = Table(("point", f"residual {unit}", f"U95 {unit}", "share"))
        for row in result["residuals"]:
            u95 = 2 * (row.get("u") or 0)
            share = f"{abs(row['residual']) / u95:.2f}" if u95 else "-"
            table.add(row["id"], digits(row["residual"], u95), digits(u95, u95), share)
        lines += [str(table), ""]
        lines.append(f"chi-square {result['chi2']:.1f} with {result['dof']} degrees of freedom")
        lines.append("")
    table = Table(("found", "value", "U95", "unit", "as found"))
    for name, e in result["estimates"].items():
        u95 = e["k"] * e["u"]
        before = result["as_found"].get(e["field"])
        before = "" if before is None else digits(float(before), u95)
        table.add(name, digits(e["value"], u95), digits(u95, u95), e["unit"] or "-", before)
    lines.append(str(table))
    others = _other_changes(result)
    if others.rows:
        lines += ["", str(others)]
    for pair, r in result["correlation"].items():
        if abs(r) >= 0.3:
            lines.append(f"{' and '.join(pair.split(','))} are correlated: {r:+.2f}")
    lines += [f"note: {text}" for text in result["warnings"]]
    lines += ["", "accepted" if result["accepted"] else "not accepted:"]
    lines += [f"  {text}" for text in result["reasons"]]
    return "\n".join(lines)


def _other_changes(result: Mapping[str, Any]) -> Table:
    """Fields that change and are not an estimate of their own."""
    told = {e["field"] for e in result["estimates"].values()}
    table = Table(("sets", "as found", "as left"))
    for kind, changes in result["changes"].items():
        for path, value in changes.items():
            name = f"{kind}:{path}"
            before, after = _short(result["as_found"].get(name)), _short(value)
            if name not in told and after not in (before, "none" if before == "-" else ""):
                table.add(path, before, after)
    return table


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value)} numbers" if value else "none"
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
