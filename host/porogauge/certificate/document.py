"""A certificate as a list of headings, sentences, tables and drawings: page and PDF show the same.

Everything is made out of the certificate's data (`porogauge.certificate.content`) and of nothing
else, so that who has the data can make the document again, to the last byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..meanings import FLAGS, REASONS, STATES
from ..output import visible
from . import charts
from .drawing import Drawing

__all__ = ["OUTCOMES", "Block", "Chart", "Heading", "Table", "Text", "Verdict", "blocks"]

OUTCOMES = {"pass": "pass", "fail": "fail", "undecided": "cannot be decided"}


@dataclass(frozen=True, slots=True)
class Heading:
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome`: a key of `OUTCOMES`; `text`: what it is about."""

    outcome: str
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """`widths`: shares of the page, for paper; a verdict as a cell is told by `outcomes`."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    drawing: Drawing
    text: str


Block = Heading | Text | Verdict | Table | Chart


def blocks(content: Mapping[str, Any]) -> Iterator[Block]:
    """The document. Texts are plain: nothing in them is markup."""
    for part in (_identity, _claims, _along, _numbers, _flags, _laboratory, _complete, _basis):
        yield from part(content)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], widths: Sequence[int]) -> Table:
    return Table(
        tuple(head), tuple(tuple(visible(cell) for cell in row) for row in rows), tuple(widths)
    )


def _time(unix: float | None) -> str:
    if unix is None:
        return "not yet"
    return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _number(value: float | None, digits: int = 5) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


# ---------------------------------------------------------------- what it is, what it is worth


def _identity(c: Mapping[str, Any]) -> Iterator[Block]:
    roll, web, made = c["roll"], c["web"], c["issued"]
    yield Verdict(c["outcome"], visible(f"roll {roll['name']}, grade {roll['grade']}"))
    instrument = c["instrument"]
    firmware = ", ".join(sorted(set(map(str, instrument["firmware"].values())))) or "not known"
    yield _table(
        ("", ""),
        [
            ("roll", roll["name"]),
            ("grade", f"{roll['grade']}: {roll['grade_text']}"),
            ("started, ended", f"{_time(roll['started'])}, {_time(roll['ended'])}"),
            (
                "web",
                f"{web['length_m']:.2f} m in {web['sections']} sections; {web['windows']} windows,"
                f" {web['segments_measured']} of {web['segments']} segments measured",
            ),
            ("gauge", f"{roll['device']}, {instrument['board'] or 'board not known'}"),
            ("firmware", firmware),
            ("recipe", f"{roll['recipe']}  {c['recipe']['name'] or ''}"),
            ("calibration", f"{roll['calibration']}  {c['calibration']['name'] or ''}"),
            ("SHA-256 of the records", c["records"]["sha256"]),
            ("issued", f"{made['time']} by {made['by']}, porogauge {made['porogauge']}"),
        ],
        (24, 76),
    )


def _claims(c: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading("Claims of the grade")
    rows = []
    for claim in c["claims"]:
        unit = f" {claim['unit']}" if claim["unit"] else ""
        value = "not measured"
        if claim["value"] is not None:
            value = f"{claim['value']:.4g} ± {claim['u95']:.2g}{unit}"
        source = claim["source"]
        if claim["segment"] is not None:
            source += f", segment {claim['segment']}"
        rows.append(
            (
                claim["text"],
                claim["limit"],
                value,
                source,
                OUTCOMES[claim["outcome"]],
                claim["sentence"],
            )
        )
    yield _table(
        ("property", "limit", "value ± U95", "source", "verdict", "why"),
        rows,
        (13, 13, 15, 13, 12, 34),
    )
    yield Text(
        f"A claim is kept when the value is inside its limits by {c['guard']:g} standard"
        " uncertainties (U95 is two of them), broken when it is outside by as much, else it cannot"
        " be decided. Of what the gauge measures, the segment with the least room decides."
    )
    for note in c["notes"]:
        yield Text(visible(f"Note: {note}"))


# ---------------------------------------------------------------- along the web


def _along(c: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading("Profiles and map")
    for found in c["profiles"]:
        yield Chart(
            charts.profile(found),
            f"{found['text']} along the roll: line, mean over {found['step_m']:.3g} m; inner band,"
            " U95 of a window; outer band, lowest and highest window; dashed, limits",
        )
    for found in c["profiles"]:
        yield Chart(charts.roll_map(found), f"map of {found['text']}")


def _numbers(c: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading("Distribution, capability, periods")
    for found in c["profiles"]:
        drawing = charts.histogram(found)
        if drawing is not None:
            yield Chart(drawing, f"histogram of {found['text']}")
    for report in c["statistics"]:
        yield _table(
            (f"{report['value']}", "value", "95 % interval, or why there is none"),
            list(_estimates(report)),
            (30, 18, 52),
        )
        for note in report["notes"]:
            yield Text(visible(f"{report['value']}: {note}"))
    rows = [
        (
            report["value"],
            f"{period['period_mm']:.1f} mm",
            f"{period['low95_mm']:.1f} to {period['high95_mm']:.1f} mm",
            f"{period['amplitude']:.3g} {report['unit']}",
            f"{period['share_percent']:.2g} %",
            ", ".join(period["rollers"]) or "-",
        )
        for report in c["statistics"]
        for period in (report["spectrum"].get("periods") or [])[:8]
    ]
    if rows:
        head = ("value", "period", "95 % interval", "amplitude", "of the variance", "roller")
        yield _table(head, rows, (20, 13, 21, 14, 14, 18))


def _estimates(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    def row(name: str, estimate: Mapping[str, Any]) -> tuple[str, str, str]:
        if estimate.get("low95") is not None:
            interval = f"{estimate['low95']:.5g} to {estimate['high95']:.5g}"
        else:
            interval = estimate["reason"] or ""
        return name, _number(estimate.get("value")), interval

    yield row("mean", report["mean"])
    yield row("standard deviation", report["sd"])
    capability = report["capability"]
    if capability["reason"]:
        yield "capability", "-", capability["reason"]
    else:
        limits = report["limits"]
        ends = f"{_number(limits['lower'])} to {_number(limits['upper'])}"
        yield "limits", ends, limits["source"]
        for name in ("cp", "cpk", "pp", "ppk", "cnpk"):
            yield row(name.capitalize(), capability[name])
    outside = report["outside"]
    if outside["reason"]:
        yield "readings outside", "-", outside["reason"]
    else:
        told = f"{outside['below']} below, {outside['above']} above"
        yield "readings outside", f"{outside['percent']:.3g} %", told
    if report["autocorrelation"]["reason"] is None:
        yield row("autocorrelation length, m", report["autocorrelation"]["length_m"])
    parts = report["variance_components"]
    if parts["reason"]:
        yield "variance components", "-", parts["reason"]
    else:
        for name, part in parts["components"].items():
            yield row(f"variance: {name.replace('_', ' ')}", part)


# ---------------------------------------------------------------- what happened


def _flags(c: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading("Flags by metre")
    drawing = charts.flags(c)
    if drawing is None:
        yield Text("No window of the roll has a flag.")
    else:
        yield Chart(drawing, "flags along the roll")
        yield _table(
            ("flag", "windows", "length, m", "from m to m", "meaning"),
            [
                (
                    found["flag"].replace("_", " "),
                    found["windows"],
                    f"{found['length_m']:.3f}",
                    _stretches(found),
                    FLAGS.get(found["flag"], ""),
                )
                for found in c["flags"]
            ],
            (18, 10, 10, 32, 30),
        )
    yield _table(
        ("state", "reason", "windows", "meaning"),
        [
            (
                found["state"].replace("_", " "),
                found["reason"].replace("_", " "),
                found["windows"],
                f"{STATES.get(found['state'], '')}; {REASONS.get(found['reason'], '')}",
            )
            for found in c["states"]
        ],
        (18, 18, 12, 52),
    )


def _stretches(found: Mapping[str, Any], most: int = 12) -> str:
    listed = found["stretches"][:most]
    text = ", ".join(f"{a:.2f}-{b:.2f}" for a, b, _ in listed)
    left = len(found["stretches"]) - len(listed) + found["stretches_left_off"]
    return text + (f" and {left} more" if left else "")


def _laboratory(c: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading("Laboratory results")
    if not c["laboratory"]:
        yield Text("There are none.")
        return
    withdrawn = {row["withdraws"] for row in c["laboratory"]}
    rows = []
    for row in c["laboratory"]:
        if row["withdraws"] is not None:
            value = f"withdraws result {row['withdraws']}: {row['why']}"
        else:
            error = "no uncertainty" if row["u"] is None else f"± {2 * row['u']:.3g}"
            value = f"{row['value']:.5g} {error} {row['unit']}"
        rows.append(
            (
                f"{row['id']}{' (withdrawn)' if row['id'] in withdrawn else ''}",
                row["property"],
                value,
                "whole roll" if row["at_m"] is None else f"{row['at_m']:g} m",
                ", ".join(filter(None, (row["method"], row["instrument"], row["operator"]))),
                f"{_time(row['time'])} by {row['who']}: {row['why']}",
            )
        )
    told = "method, instrument, operator"
    head = ("number", "property", "value ± U95", "place", told, "entered")
    yield _table(head, rows, (10, 18, 19, 9, 20, 24))
    for finding in c["comparisons"]:
        yield Text(visible(finding["sentence"]))


def _complete(c: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading("Completeness")
    found = c["completeness"]
    lost = found["due"] - found["stored"]
    if not lost:
        yield Text(f"Complete: all {found['due']} windows of the roll are stored.")
    else:
        yield Text(f"{found['stored']} of {found['due']} windows are stored, {lost} are not:")
        rows = [(boot, f"{a} to {b}", b - a + 1, why) for boot, a, b, why in found["gaps"]]
        rows += [(boot, f"{a} to {b}", b - a + 1, "not known") for boot, a, b in found["missing"]]
        yield _table(("boot", "windows", "count", "cause"), rows, (10, 30, 15, 45))
    yield _table(
        ("event", "boot", "window", "time", "by", "why", "entry of the audit log"),
        [
            (e["kind"], e["boot"], e["seq"], _time(e["time"]), e["who"], e["why"], e["head"])
            for e in c["roll"]["events"]
        ],
        (8, 6, 9, 18, 13, 20, 26),
    )


# ---------------------------------------------------------------- what it rests on


def _basis(c: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading("Recipe and calibration")
    yield _table(
        ("boot", "in force from window", "recipe", "calibration"),
        [(r["boot"], r["from_seq"], r["recipe"], r["calibration"]) for r in c["configurations"]],
        (10, 30, 30, 30),
    )
    for kind in ("recipe", "calibration"):
        document = c[kind]
        if document["fields"] is None:
            yield Text(f"The file of {kind} {document['id']} is not in the database.")
            continue
        yield Text(visible(f"{kind} {document['id']}, SHA-256 of its file {document['sha256']}:"))
        pairs = list(document["fields"].items())
        half = -(-len(pairs) // 2)
        pairs += [("", "")] * (2 * half - len(pairs))
        yield _table(
            ("field", "value", "field", "value"),
            [(*a, *b) for a, b in zip(pairs[:half], pairs[half:], strict=True)],
            (30, 20, 30, 20),
        )
    yield Heading("Data and software")
    records, made = c["records"], c["issued"]
    yield _table(
        ("", ""),
        [
            ("windows", records["windows"]),
            ("SHA-256 of all their words", records["sha256"]),
            ("layout of a record", records["layout"]),
            (
                "software",
                ", ".join(f"{n} {made[n]}" for n in ("porogauge", "python", "numpy", "fpdf2")),
            ),
        ],
        (30, 70),
    )
    yield Text(
        "Whoever has the database can check every number: porogauge certificate verify FILE. The"
        " numbers are in this file, too, as JSON."
    )
