"""What a gauge is doing now, of its database or of its port: the essentials of the page.

    >>> with Store("line1.db", read_only=True) as store:
    ...     told = of_database(store)
    >>> told["state"], told["numbers"]["thickness"]["text"]

`panel` draws it for a terminal, `text` writes it in lines.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gauge import config, record

from .errors import UsageError
from .live import bars
from .output import visible
from .page.limits import explain, limits
from .rolls import rolls
from .store import Store, words_of
from .units import decode

if TYPE_CHECKING:
    from rich.panel import Panel

    from .link.client import Client

__all__ = ["of_database", "of_port", "panel", "text"]

_RECENT = 330  # windows that the history shows, and that the rate is counted over
_POINTS = 44  # of the history
_SILENT_S = 5.0  # without a record: nobody logs
_NUMBERS = (
    # name, key of a decoded record, per unit, unit, digits
    ("thickness", "thickness_nm", 1e3, "µm", 2),
    ("porosity", "porosity_ppm", 1e4, "%", 2),
    ("permittivity", "permittivity_e4", 1e4, "", 3),
)
_STYLES = {
    "measuring": "bold green",
    "warm_up": "bold yellow",
    "standardising": "bold cyan",
    "hold": "bold magenta",
    "fault": "bold red",
}


def of_database(store: Store, device: str | None = None) -> dict[str, Any]:
    """The newest window of a database that a logger writes. Raises UsageError without one."""
    rows = store.query(
        "SELECT d.device, r.boot, r.seq FROM records r JOIN devices d ON d.id=r.device"
        f"{' WHERE d.device=?' if device else ''} ORDER BY r.rowid DESC LIMIT 1",
        (device,) if device else (),
    )
    if not rows:
        raise UsageError(
            f"{store.path}: has no records{f' of {device}' if device else ''};"
            " 'porogauge log' stores them"
        )
    device, boot, seq = rows[0]
    recent = list(store.rows(device, boot, max(0, seq - _RECENT), seq))
    values = decode(recent[-1], boot)
    known = [row for row in store.configurations(device, boot) if row["from_seq"] <= seq]
    words = words_of(known[-1]) if known else None
    clock = next(b["clock"] for b in store.boots() if (b["device"], b["boot"]) == (device, boot))
    lost = sum(row["to_seq"] - row["from_seq"] + 1 for row in store.gaps(device, boot))
    passed = (values["t_us"] - decode(recent[0], boot)["t_us"]) / 1e6
    return _told(device, values, words) | {
        "source": store.path,
        "boot": boot,
        "seq": seq,
        "age_s": None if clock is None else time.time() - clock.wall(values["t_us"]),
        "rate_hz": (len(recent) - 1) / passed if passed > 0 else None,
        "lost": lost,
        "roll": next((r.name for r in rolls(store) if r.device == device and not r.ended), None),
        "history": _history([decode(row, boot) for row in recent[:: _RECENT // _POINTS]]),
    }


def of_port(client: Client) -> dict[str, Any]:
    """The newest window of a gauge that is asked over its link."""
    from .device import read_words
    from .units import decode_status

    hello, values = client.hello, decode_status(client.status())
    words = read_words(client) if values["configured"] else None
    return _told(hello.device, values, words) | {
        "source": "link",
        "boot": hello.boot,
        "seq": None,
        "age_s": 0.0,
        "rate_hz": None,
        "lost": values["lost"],
        "roll": None,
        "history": {},
    }


def _told(device: str, values: Mapping[str, Any], words: Sequence[int] | None) -> dict[str, Any]:
    stated = limits(words) if words is not None else None
    numbers = {}
    for name, key, per, unit, digits in _NUMBERS:
        value, u = values.get(key), values.get(f"u_{key}")
        told = None
        if value is not None:
            told = f"{value / per:.{digits}f}"
            told += "" if u is None else f" ± {2 * u / per:.{digits}f}"
        ends = stated[name] if stated else {}
        numbers[name] = {
            "value": None if value is None else value / per,
            "u95": None if value is None or u is None else 2 * u / per,
            "unit": unit,
            "text": "-" if told is None else f"{told} {unit}".rstrip(),
            "limits": {end: ends.get(end) for end in ("lolo", "lo", "hi", "hihi")},
        }
    active = [n for n in record.FLAG_NAMES if n in values["flags"] or n in values["latched"]]
    return {
        "device": device,
        "state": values["state"],
        "state_reason": values["state_reason"],
        "reason": None if values["valid"] else values["reason"],
        "numbers": numbers,
        "flags": [
            explain(name, values, words) | {"latched": name in values["latched"]}
            for name in active
        ],
        "good": "good" in values["outputs"],
        "marking": "marker" in values["outputs"],
        "position_m": values["position_mm"] / 1000,
        "frame_c": values["frame_c"],
        "air_c": values["air_c"],
        "rh_percent": values["rh_percent"],
        "recipe": None if words is None else f"{words[config.RECIPE_ID]:08x}",
        "calibration": None if words is None else f"{words[config.CALIBRATION_ID]:08x}",
    }


def _history(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    return {
        name: [None if row[key] is None else row[key] / per for row in rows]
        for name, key, per, _, _ in _NUMBERS[:2]
    }


# ---------------------------------------------------------------- for people


def _plain(name: str | None) -> str:
    return (name or "").replace("_", " ")


def _between(found: Mapping[str, Any]) -> str:
    """Limits in a few words."""
    low, high = (found["limits"][end] for end in ("lolo", "hihi"))
    if low is None and high is None:
        return ""
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def _lines(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, text and style of each line."""
    state = f"{_plain(told['state'])}   {_plain(told['state_reason'])}"
    found = [("state", state, _STYLES.get(told["state"], "bold"))]
    for name, number in told["numbers"].items():
        history = bars(told["history"].get(name, ()))
        found.append((name, f"{number['text']:<18} {_between(number):<14} {history}", "bold"))
    if told["reason"] is not None:
        found.append(("no number", _plain(told["reason"]), "yellow"))
    if not told["flags"]:
        found.append(("flags", "none", "green"))
    for flag in told["flags"]:
        waits = " (waits for an acknowledgement)" if flag["latched"] else ""
        found.append((_plain(flag["flag"]), f"{flag['sentence']}{waits}", "bold red"))
    good = "good" if told["good"] else "reject"
    marking = ", marking" if told["marking"] else ""
    found.append(("output", good + marking, "green" if told["good"] else "bold red"))
    roll = f", roll {visible(told['roll'])}" if told["roll"] is not None else ""
    found.append(("position", f"{told['position_m']:.2f} m{roll}", ""))
    found.append(("gauge", _climate(told), ""))
    found.append(("data", *_data(told)))
    return found


def _climate(told: Mapping[str, Any]) -> str:
    parts = (
        ("air", told["air_c"], "°C"),
        ("humidity", told["rh_percent"], "%"),
        ("frame", told["frame_c"], "°C"),
    )
    known = [f"{name} {value:.1f} {unit}" for name, value, unit in parts if value is not None]
    ids = f"recipe {told['recipe'] or 'none'}, calibration {told['calibration'] or 'none'}"
    return ", ".join([*known, ids])


def _data(told: Mapping[str, Any]) -> tuple[str, str]:
    """Whether somebody logs, and what was lost."""
    parts = [] if told["rate_hz"] is None else [f"{told['rate_hz']:.1f} windows/s"]
    if told["seq"] is not None:
        parts.append(f"window {told['seq']} of boot {told['boot']}")
    parts.append(f"{told['lost'] or 0} lost")
    age = told["age_s"]
    silent = age is None or age > _SILENT_S
    if silent:
        when = "at a time that is not known" if age is None else f"{age:.0f} s ago"
        parts.append(f"the newest is from {when}: nobody logs")
    return ", ".join(parts), "bold yellow" if silent else ""


def text(told: Mapping[str, Any]) -> str:
    """All of it in lines."""
    lines = [("gauge id", told["device"], ""), *_lines(told)]
    return "\n".join(f"{label:20} {words.rstrip()}" for label, words, _ in lines)


def panel(told: Mapping[str, Any]) -> Panel:
    """All of it for a terminal."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right", no_wrap=True)
    grid.add_column()
    for label, words, style in _lines(told):
        grid.add_row(label, Text(words, style=style))
    return Panel(grid, title=f"porogauge {told['device']}", title_align="left", expand=False)
