"""What a certificate says, as plain data: all of it follows from the database.

    >>> content = certify(store, find(store, "A-17"))
    >>> content["outcome"], content["claims"][0]["sentence"]

What it says of itself (who made it, when, with which program) is under "issued" and alone does not
follow from the database.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gauge import record

from .. import __version__, grades, lab
from ..recipe_fields import INDEX
from ..rolls import Roll, document, in_force
from ..segments import sections
from ..stats.analysis import Options, analyse, limits_of, rollers_of_line
from ..stats.windows import splices, web_of
from ..store import Store, words_of
from ..store_file import holes
from ..verdict import judge
from . import profile, windows

__all__ = ["FORM", "certify", "issued"]

FORM = 1  # of the data and of its appearance: another one cannot be compared
_LISTED = 50  # stretches of a flag


def issued(who: str) -> dict[str, Any]:
    """What a certificate says of itself."""
    import fpdf

    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": who,
        "porogauge": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
        "fpdf2": fpdf.__version__,
    }


def certify(store: Store, roll: Roll) -> tuple[dict[str, Any], windows.Windows]:
    """Everything that a certificate of the roll says, and the windows it is made from.

    Raises RollError when the roll has no windows yet.
    """
    read = windows.read(store, roll)
    grade = grades.grade(roll.grade)
    names = ["thickness", "porosity"]
    if grade.claim("permittivity") is not None:
        names.append("permittivity")
    web = web_of(roll.device, read.spans, read.columns, names, splices(roll))
    options = Options(values=tuple(names), rollers=rollers_of_line(store, web, roll))
    limits = {name: limits_of(store, web, roll, name) for name in names}
    with ThreadPoolExecutor(1) as beside:
        analysing = beside.submit(analyse, web, options, limits)
        judged = judge(store, roll, windows=read.columns)
        analysed = analysing.result()
    content = {
        "form": FORM,
        "roll": _roll(roll, grade),
        "outcome": judged.outcome,
        "guard": judged.guard,
        "claims": [_claim(verdict, grade) for verdict in judged.claims],
        "notes": list(judged.notes),
        "web": _web(read, roll, judged),
        "profiles": [profile.profile(found, read.columns, roll) for found in analysed],
        "flags": _flags(read),
        "states": _states(read),
        "statistics": [_report(found.report) for found in analysed],
        "laboratory": _laboratory(store, roll),
        "comparisons": [
            {"agrees": finding.agrees, "sentence": finding.sentence}
            for finding in lab.compare(store, roll, windows=read.columns)
        ],
        "recipe": _document(store, "recipe", roll.recipe),
        "calibration": _document(store, "calibration", roll.calibration),
        "configurations": [_configuration(row) for row in in_force(store, roll)],
        "completeness": _completeness(store, roll, read),
        "instrument": _instrument(store, roll, read),
        "records": read.check() | {"layout": record.LAYOUT_HASH.hex()},
    }
    return content, read


def _roll(roll: Roll, grade: grades.Grade) -> dict[str, Any]:
    return {
        "name": roll.name,
        "device": roll.device,
        "grade": roll.grade,
        "grade_text": grade.text,
        "recipe": f"{roll.recipe:08x}",
        "calibration": f"{roll.calibration:08x}",
        "started": roll.started,
        "ended": roll.events[-1].time if roll.ended else None,
        "events": [
            {
                name: getattr(event, name)
                for name in ("kind", "boot", "seq", "time", "who", "why", "head")
            }
            for event in roll.events
        ],
    }


def _claim(verdict: grades.Verdict, grade: grades.Grade) -> dict[str, Any]:
    about = grades.PROPERTIES[verdict.property]
    laboratory = grade.in_laboratory(verdict.property)
    return {
        "property": verdict.property,
        "text": about.text,
        "unit": about.unit,
        "limit": grade.claim(verdict.property).text,
        "low": verdict.low,
        "high": verdict.high,
        "source": "laboratory" if laboratory else "gauge",
        "value": verdict.value,
        "u95": None if verdict.u is None else 2 * verdict.u,
        "segment": None if laboratory or verdict.segment is None else verdict.segment + 1,
        "outcome": verdict.outcome,
        "sentence": verdict.sentence,
    }


def _web(read: windows.Windows, roll: Roll, judged: Any) -> dict[str, Any]:
    along = read.columns["metres"]
    return {
        "windows": len(along),
        "length_m": float(along.max() - along.min()),
        "sections": int(sections(roll, read.columns).max()) + 1,
        "boots": sorted({span.boot for span in read.spans}),
        "segments": judged.segments,
        "segments_measured": judged.measured,
    }


def _report(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report of the statistics without the places of each signal."""
    charts = {
        name: {key: value for key, value in chart.items() if key != "signals"}
        | {
            "signals": {
                rule: {key: value for key, value in found.items() if "stretches" not in key}
                for rule, found in (chart.get("signals") or {}).items()
            }
        }
        for name, chart in report["charts"].items()
    }
    return dict(report) | {"charts": charts}


# ---------------------------------------------------------------- what happened


def _flags(read: windows.Windows) -> list[dict[str, Any]]:
    """Of each flag that was there: windows, length of web, and where."""
    flags, along = read.columns["flags"], read.columns["metres"]
    ever = int(np.bitwise_or.reduce(flags))
    found = []
    for bit, name in enumerate(record.FLAG_NAMES):
        if not ever >> bit & 1:
            continue
        active = (flags >> bit & 1).astype(np.int8)
        edges = np.flatnonzero(np.diff(active, prepend=0, append=0))
        first, last = edges[::2], edges[1::2] - 1
        stretches = np.stack([along[first], along[last], last - first + 1]).T
        found.append(
            {
                "flag": name,
                "windows": int(active.sum()),
                "length_m": float((along[last] - along[first]).sum()),
                "stretches": [[a, b, int(n)] for a, b, n in stretches[:_LISTED].tolist()],
                "stretches_left_off": max(0, len(stretches) - _LISTED),
            }
        )
    return found


def _states(read: windows.Windows) -> list[dict[str, Any]]:
    """How many windows each state had, and why."""
    code = read.columns["state"] * 256 + read.columns["state_reason"]
    counts = np.bincount(code)
    return [
        {
            "state": _named(record.STATE_NAMES, code >> 8),
            "reason": _named(record.REASON_NAMES, code & 255),
            "windows": int(counts[code]),
        }
        for code in np.flatnonzero(counts).tolist()
    ]


def _named(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"unknown_{index}"


def _completeness(store: Store, roll: Roll, read: windows.Windows) -> dict[str, Any]:
    """What is stored, what a gap row explains, and what is simply not there."""
    stored = read.stored()
    told = []
    missing = []
    for span in read.spans:
        rows = [
            [max(row["from_seq"], span.first), min(row["to_seq"], span.last), row["cause"]]
            for row in store.gaps(roll.device, span.boot)
            if row["to_seq"] >= span.first and row["from_seq"] <= span.last
        ]
        told += [[span.boot, *row] for row in rows]
        ranges = [(a, b) for boot, a, b in stored if boot == span.boot]
        ranges += [(a, b) for a, b, _ in rows]
        missing += [[span.boot, a, b] for a, b in holes(ranges, span.first, span.last)]
    return {
        "due": sum(span.last - span.first + 1 for span in read.spans),
        "stored": len(read.columns["seq"]),
        "ranges": stored,
        "gaps": told,
        "missing": missing,
    }


def _instrument(store: Store, roll: Roll, read: windows.Windows) -> dict[str, Any]:
    boots = {span.boot for span in read.spans}
    rows = store.query(
        "SELECT d.board, b.boot, b.firmware FROM boots b JOIN devices d ON d.id=b.device"
        " WHERE d.device=? ORDER BY b.boot",
        (roll.device,),
    )
    return {
        "device": roll.device,
        "board": rows[0][0] if rows else None,
        "firmware": {str(boot): firmware for _, boot, firmware in rows if boot in boots},
    }


# ---------------------------------------------------------------- what it was judged by


def _laboratory(store: Store, roll: Roll) -> list[dict[str, Any]]:
    """Every result, those that were withdrawn as well."""
    names = (
        "id property value u unit at_m method operator instrument withdraws time who why head"
    ).split()
    rows = store.query(
        f"SELECT {', '.join(names)} FROM lab WHERE roll=? ORDER BY id",
        (roll.id,),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _document(store: Store, kind: str, id: int) -> dict[str, Any]:
    """A recipe or calibration field by field; `fields` None: the database has not its file."""
    rows = store.query(f"SELECT name, toml FROM {kind}s WHERE id=?", (id,))
    name, toml = rows[0] if rows else (None, None)
    tables = document(store, kind, id)
    return {
        "id": f"{id:08x}",
        "name": name,
        "sha256": None if toml is None else hashlib.sha256(toml.encode()).hexdigest(),
        "fields": None if tables is None else dict(_flat(tables)),
    }


def _flat(value: Any, path: str = "") -> Any:
    """ "table.field" and its value as text."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for number, inner in enumerate(value, 1):
            yield from _flat(inner, f"{path}[{number}]")
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    else:
        yield path, str(value)


def _configuration(row: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in force, word by word as the board has it."""
    words = words_of(row)
    return {
        "boot": row["boot"],
        "from_seq": row["from_seq"],
        "recipe": f"{row['recipe_id']:08x}",
        "calibration": f"{row['calibration_id']:08x}",
        "words": {name: words[index] for name, index in INDEX.items()},
    }
