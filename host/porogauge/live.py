"""What a running command shows: a panel on a terminal, plain lines elsewhere, JSON for machines.

    view = make_view()
    view.update(Snapshot(...))     # as often as you like: a view draws when it is time
    view.message("gauge restarted")
    view.close()

Everything goes to stderr except JSON Lines: results of a command stay alone on stdout.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import output

__all__ = [
    "JSONView",
    "LinesView",
    "PanelView",
    "Snapshot",
    "bar",
    "bars",
    "make_view",
    "state_line",
]

LINES_EVERY_S = 5.0
JSON_EVERY_S = 1.0
_BARS = "▁▂▃▄▅▆▇█"
_STATE_STYLES = {
    "measuring": "bold green",
    "off_sheet": "bold white",
    "warm_up": "bold yellow",
    "standardising": "bold cyan",
    "hold": "bold magenta",
    "fault": "bold red",
}


@dataclass(slots=True)
class Snapshot:
    """What is known now. `values` are of `porogauge.units.decode` (of the newest record)."""

    values: dict[str, Any] = field(default_factory=dict)
    device: str = ""
    link: str = "connecting"  # or "up", or what is wrong
    stored: int = 0  # records new in the database in this session
    gaps: int = 0  # windows lost in this session
    behind: int = 0  # records that the board holds and the host has not yet stored
    rate_hz: float = 0.0  # records stored per second
    elapsed_s: float = 0.0


def _text(value: Any, u: Any, factor: float, digits: int, unit: str) -> str:
    if value is None:
        return "-"
    error = "" if u is None else f" ± {2 * u / factor:.{digits}f}"
    return f"{value / factor:.{digits}f}{error}{unit}"


def _plain(name: str | None) -> str:
    return (name or "").replace("_", " ")


def _numbers(v: dict[str, Any]) -> tuple[str, str, str]:
    """Thickness, porosity and permittivity, the first two with U95."""
    return (
        _text(v.get("thickness_nm"), v.get("u_thickness_nm"), 1000, 2, " µm"),
        _text(v.get("porosity_ppm"), v.get("u_porosity_ppm"), 10_000, 2, " %"),
        _text(v.get("permittivity_e4"), None, 10_000, 3, ""),
    )


def state_line(s: Snapshot) -> str:
    """Everything that matters in one line of text."""
    v = s.values
    if not v:
        return f"{s.link}, {s.stored} stored"
    thickness, porosity, permittivity = _numbers(v)
    parts = [_plain(v["state"])]
    if v["state"] != "measuring":
        parts.append(f"({_plain(v['state_reason'])})")
    parts.append(f"t {thickness}  phi {porosity}  eps {permittivity}")
    if not v["valid"] and v["state"] == "measuring":
        parts.append(f"[{_plain(v['reason'])}]")
    flags = ", ".join(_plain(name) for name in v["flags"])
    parts.append(f"flags: {flags or 'none'}")
    parts.append(f"{s.rate_hz:.1f}/s, {s.stored} stored, {s.gaps} lost")
    if s.behind > 200:
        parts.append(f"{s.behind} behind")
    if s.link != "up":
        parts.append(f"link: {s.link}")
    return "  ".join(parts)


class LinesView:
    """A line now and then, and at once when the state or the flags change."""

    def __init__(self, write: Callable[[str], None] = output.note, every_s: float = LINES_EVERY_S):
        self._write = write
        self._every_s = every_s
        self._next = 0.0
        self._last: Any = None

    def update(self, s: Snapshot) -> None:
        now = time.monotonic()
        what = (s.values.get("state"), tuple(s.values.get("flags", ())), s.link)
        # Flags at a limit may come and go with every window: two lines a second are enough.
        soon = what != self._last and now >= self._next - self._every_s + 0.5
        if now >= self._next or soon:
            self._next = now + self._every_s
            self._last = what
            self._write(state_line(s))

    def message(self, text: str) -> None:
        self._write(text)

    def close(self) -> None:
        pass


class JSONView:
    """One object a second on stdout."""

    def __init__(self, every_s: float = JSON_EVERY_S):
        self._every_s = every_s
        self._next = 0.0

    def update(self, s: Snapshot) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every_s
            output.emit(
                "progress",
                link=s.link,
                stored=s.stored,
                gaps=s.gaps,
                behind=s.behind,
                rate_hz=round(s.rate_hz, 2),
                elapsed_s=round(s.elapsed_s, 3),
                latest=s.values or None,
            )

    def message(self, text: str) -> None:
        output.emit("message", text=text)

    def close(self) -> None:
        pass


class PanelView:
    """A panel that stays in place, redrawn eight times a second, with short histories."""

    def __init__(self, title: str = "porogauge", width: int = 44):
        from rich.console import Console
        from rich.live import Live

        self._title = title
        self._histories = {
            "thickness_nm": deque(maxlen=width),
            "porosity_ppm": deque(maxlen=width),
        }
        self._seq = -1
        self._messages: deque[str] = deque(maxlen=3)
        self._next = 0.0
        self._console = Console(stderr=True)
        # Drawn by us alone: a refresh thread would make a signal's traceback hard to read.
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._live.start()

    def update(self, s: Snapshot) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 0.125
        if s.values and s.values["seq"] != self._seq:
            self._seq = s.values["seq"]
            for name, history in self._histories.items():
                history.append(s.values.get(name))
        self._live.update(self._draw(s), refresh=True)

    def message(self, text: str) -> None:
        self._messages.append(text)

    def close(self) -> None:
        self._live.stop()

    def _draw(self, s: Snapshot) -> Any:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", justify="right", no_wrap=True)
        grid.add_column()
        v = s.values
        if v:
            state = Text(_plain(v["state"]), style=_STATE_STYLES.get(v["state"], "bold"))
            state.append(f"   {_plain(v['state_reason'])}", style="dim")
            grid.add_row("state", state)
            thickness, porosity, permittivity = _numbers(v)
            for name, text, history in (
                ("thickness", thickness, "thickness_nm"),
                ("porosity", porosity, "porosity_ppm"),
            ):
                line = Text(f"{text:<18}", style="bold")
                line.append("  " + bars(self._histories[history]), style="cyan")
                grid.add_row(name, line)
            grid.add_row("permittivity", Text(permittivity, style="bold"))
            why = "" if v["valid"] else _plain(v["reason"])
            grid.add_row("no number", Text(why, style="yellow"))
            flags = Text(", ".join(_plain(name) for name in v["flags"]) or "none")
            flags.stylize("bold red" if v["flags"] else "green")
            grid.add_row("flags", flags)
            good = "good" in v["outputs"]
            output_text = Text("good" if good else "reject", style="green" if good else "bold red")
            if "marker" in v["outputs"]:
                output_text.append("   marking", style="yellow")
            grid.add_row("outputs", output_text)
            grid.add_row("position", f"{v['position_mm'] / 1000:.2f} m")
        link = Text(s.link, style="green" if s.link == "up" else "yellow")
        link.append(
            f"   {s.rate_hz:.1f} records/s   {s.stored} stored   {s.gaps} lost"
            + (f"   {s.behind} behind" if s.behind > 200 else ""),
            style="default",
        )
        grid.add_row("link", link)
        for text in self._messages:
            grid.add_row("", Text(text, style="dim"))
        title = f"{self._title} {s.device}".strip()
        return Panel(grid, title=title, title_align="left", expand=False, width=92)


def bars(values: Iterable[float | None]) -> str:
    """A row of little bars: scaled to what is shown, a space where there is no number."""
    values = list(values)
    numbers = [value for value in values if value is not None]
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    span = (high - low) or 1
    return "".join(
        " " if value is None else _BARS[int((value - low) / span * (len(_BARS) - 1))]
        for value in values
    )


def make_view(title: str = "porogauge") -> Any:
    """The view for whoever watches this process."""
    if output.is_json():
        return JSONView()
    if output.terminal() and sys.stderr.encoding.lower().startswith("utf"):
        return PanelView(title)
    return LinesView()


@contextmanager
def bar(title: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr; the value is called with what is done so far."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
