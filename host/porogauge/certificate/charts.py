"""The pictures of a certificate: profile, map, histogram and flags, out of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any

from gauge import record

from .drawing import BLUE, DARK, GREY, ORANGE, PALE, RED, Drawing

__all__ = ["flags", "histogram", "profile", "roll_map"]

WIDTH = 520.0
_LEFT, _RIGHT = 44.0, 30.0  # beside a plot
_ROWS = 12  # of the map
# From low to high: dark blue over green to yellow, in even steps of lightness (viridis)
_SCALE = (
    "#440154 #482878 #3e4989 #31688e #26828e #1f9e89 #35b779 #6ece58 #b5de2b #fde725"
).split()
_SEVERE = ("lolo", "hihi", "fault")


class _Axes:
    """A plot's frame: numbers become points of the drawing."""

    def __init__(self, drawing: Drawing, top: float, height: float, x: Any, y: Any):
        self.drawing, self.top, self.height, self.x, self.y = drawing, top, height, x, y
        self.width = drawing.width - _LEFT - _RIGHT

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.across(x), self.top + self.height * (self.y[1] - y) / (self.y[1] - self.y[0])

    def across(self, x: float) -> float:
        return _LEFT + self.width * (x - self.x[0]) / (self.x[1] - self.x[0])

    def x_ticks(self, label: str) -> None:
        bottom = self.top + self.height
        self.drawing.line([(_LEFT, bottom), (_LEFT + self.width, bottom)], GREY, 0.5)
        for tick in _ticks(*self.x):
            at = self.across(tick)
            self.drawing.line([(at, bottom), (at, bottom + 3)], GREY, 0.5)
            self.drawing.text(at, bottom + 11, f"{tick:g}", "middle")
        self.drawing.text(_LEFT + self.width / 2, bottom + 22, label, "middle")

    def y_ticks(self) -> None:
        for tick in _ticks(*self.y):
            _, at = self.at(self.x[0], tick)
            self.drawing.line([(_LEFT, at), (_LEFT + self.width, at)], PALE, 0.4)
            self.drawing.text(_LEFT - 4, at + 2.5, f"{tick:g}", "end")


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within, about six."""
    rough = (high - low) / 6
    power = 10.0 ** floor(log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * (1 - 1e-9))
    first = -int(-low // step)
    return [round(n * step, 10) for n in range(first, int(high // step) + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or abs(high) * 0.01 or 1.0
    return low - margin, high + margin


def _limits(found: Mapping[str, Any]) -> list[float]:
    return [v for v in (found["limits"]["lower"], found["limits"]["upper"]) if v is not None]


def _label(found: Mapping[str, Any]) -> str:
    unit = {"um": "µm"}.get(found["unit"], found["unit"])
    return f"{found['text']}, {unit}" if unit else found["text"]


def _length(found: Mapping[str, Any]) -> tuple[float, float]:
    count = len(found["mean"])
    return found["start_m"], found["start_m"] + (found["step_m"] * count or 1.0)


def profile(found: Mapping[str, Any]) -> Drawing:
    """Value over length: mean, mean with U95 (band), lowest and highest window (pale band)."""
    drawing = Drawing(WIDTH, 150)
    there = [i for i, mean in enumerate(found["mean"]) if mean is not None]
    if not there:
        drawing.text(WIDTH / 2, 75, f"{found['text']}: no window has a number", "middle", 9)
        return drawing
    extremes = [found[name][i] for i in there for name in ("lowest", "highest")]
    axes = _Axes(drawing, 14, 106, _length(found), _range(extremes + _limits(found)))
    axes.y_ticks()
    for first, last in _runs(there):
        middles = [found["start_m"] + (i + 0.5) * found["step_m"] for i in range(first, last + 1)]
        if first == last:  # a single length between two without a number is seen as well
            half = found["step_m"] / 2
            middles = [middles[0] - half, middles[0] + half]
        part = {
            name: (found[name][first : last + 1] * 2)[: len(middles)]
            if first == last
            else found[name][first : last + 1]
            for name in ("mean", "lowest", "highest", "u95")
        }
        _band(axes, middles, part["lowest"], part["highest"], 0.18)
        if part["u95"][0] is not None:
            pairs = list(zip(part["mean"], part["u95"], strict=True))
            _band(axes, middles, [m - u for m, u in pairs], [m + u for m, u in pairs], 0.22)
        drawing.line([axes.at(x, y) for x, y in zip(middles, part["mean"], strict=True)], BLUE)
    for limit in _limits(found):
        (_, at) = axes.at(axes.x[0], limit)
        drawing.line([(_LEFT, at), (WIDTH - _RIGHT, at)], RED, 0.8, 3)
        drawing.text(WIDTH - _RIGHT + 3, at + 2.5, f"{limit:g}")
    axes.x_ticks("length, m")
    drawing.text(_LEFT, 9, _label(found))
    return drawing


def _runs(there: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of the numbers that follow each other."""
    found: list[tuple[int, int]] = []
    for index in there:
        if found and index == found[-1][1] + 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found


def _band(axes: _Axes, x: Sequence[float], low: Sequence[float], high: Any, o: float) -> None:
    upper = [axes.at(a, b) for a, b in zip(x, high, strict=True)]
    lower = [axes.at(a, b) for a, b in zip(x, low, strict=True)]
    axes.drawing.area(upper + lower[::-1], BLUE, o)


def roll_map(found: Mapping[str, Any]) -> Drawing:
    """The roll laid out in rows, like lines of a text; colour is the value, a dot a flag."""
    count = len(found["mean"])
    columns = -(-count // _ROWS)
    rows = -(-count // columns)
    cell, height = (WIDTH - _LEFT - _RIGHT) / columns, 9.0
    drawing = Drawing(WIDTH, 14 + rows * height + 30)
    numbers = [mean for mean in found["mean"] if mean is not None]
    low, high = _middle(numbers) if numbers else (0.0, 1.0)
    flagged = ~(record.FLAG_STANDARDISATION_DUE | record.FLAG_NO_FILM)
    drawing.text(_LEFT, 9, f"{_label(found)}: map, each row {columns * found['step_m']:.4g} m")
    for index, mean in enumerate(found["mean"]):
        row, column = divmod(index, columns)
        x, y = _LEFT + column * cell, 14 + row * height
        drawing.rect(x, y, cell + 0.2, height - 1, _colour(mean, low, high))
        if found["flags"][index] & flagged:
            drawing.rect(x + cell / 2 - 1.6, y + 2, 3.2, 3.2, "#ffffff")
            drawing.rect(x + cell / 2 - 1, y + 2.6, 2, 2, "#000000")
        if not column:
            start = found["start_m"] + index * found["step_m"]
            drawing.text(_LEFT - 4, y + 6.5, f"{start:.4g} m", "end", 6)
    bottom = 14 + rows * height + 8
    step = 180 / len(_SCALE)
    for number, colour in enumerate(_SCALE):
        drawing.rect(_LEFT + number * step, bottom, step + 0.2, 7, colour)
    drawing.text(_LEFT, bottom + 16, f"{low:.4g} or less", "start", 6)
    drawing.text(_LEFT + 180, bottom + 16, f"{high:.4g} or more", "end", 6)
    drawing.rect(_LEFT + 210, bottom, 10, 7, PALE)
    drawing.text(_LEFT + 224, bottom + 6, "no number")
    drawing.rect(_LEFT + 278, bottom + 2, 3, 3, "#000000")
    drawing.text(_LEFT + 286, bottom + 6, "a flag but standardisation due, no film")
    return drawing


def _colour(mean: float | None, low: float, high: float) -> str:
    if mean is None:
        return PALE
    share = (mean - low) / (high - low) if high > low else 0.5
    return _SCALE[min(len(_SCALE) - 1, max(0, int(share * len(_SCALE))))]


def _middle(numbers: Sequence[float]) -> tuple[float, float]:
    """Ends of what is drawn in colours: a wild value does not take them from the others."""
    ordered = sorted(numbers)
    cut = len(ordered) // 50
    return ordered[cut], ordered[-1 - cut]


def histogram(found: Mapping[str, Any]) -> Drawing | None:
    """How many readings have which value; None where there are no readings."""
    classes = found["histogram"]
    if classes is None:
        return None
    drawing = Drawing(WIDTH, 120)
    start, width, counts = classes["from"], classes["width"], classes["counts"]
    x = _range([start, start + width * len(counts), *_limits(found)])
    axes = _Axes(drawing, 14, 76, x, (0.0, max(counts) * 1.05))
    axes.y_ticks()
    for number, count in enumerate(counts):
        left, top = axes.at(start + number * width, count)
        right = axes.across(start + (number + 1) * width)
        drawing.rect(left, top, right - left - 0.3, axes.top + axes.height - top, BLUE)
    for limit in _limits(found):
        at = axes.across(limit)
        drawing.line([(at, axes.top), (at, axes.top + axes.height)], RED, 0.8, 3)
        drawing.text(at, axes.top - 2, f"{limit:g}", "middle")
    axes.x_ticks(f"{_label(found)} (means over {classes['reading_m']:g} m)")
    drawing.text(_LEFT - 4, 7, "readings", "end")
    return drawing


def flags(content: Mapping[str, Any]) -> Drawing | None:
    """A lane for each flag that was there, over length; None: there was none."""
    names = [found["flag"] for found in content["flags"]]
    if not names:
        return None
    along = content["profiles"][0]
    lane = 11.0
    drawing = Drawing(WIDTH, 8 + lane * len(names) + 28)
    axes = _Axes(drawing, 4, lane * len(names), _length(along), (0.0, 1.0))
    axes.width -= 60
    left = 60.0
    for number, name in enumerate(names):
        bit = 1 << record.FLAG_NAMES.index(name)
        y = 4 + number * lane
        drawing.text(_LEFT + left - 4, y + 7.5, name.replace("_", " "), "end", 6)
        severe = any(word in name for word in _SEVERE)
        for first, last in _runs([i for i, mask in enumerate(along["flags"]) if mask & bit]):
            x = axes.across(along["start_m"] + first * along["step_m"])
            end = axes.across(along["start_m"] + (last + 1) * along["step_m"])
            width = max(end - x, 0.8)
            drawing.rect(left + x, y + 1, width, lane - 2, DARK if severe else ORANGE)
    bottom = 4 + lane * len(names)
    drawing.line([(_LEFT + left, bottom), (WIDTH - _RIGHT, bottom)], GREY, 0.5)
    for tick in _ticks(*axes.x):
        at = left + axes.across(tick)
        drawing.line([(at, bottom), (at, bottom + 3)], GREY, 0.5)
        drawing.text(at, bottom + 11, f"{tick:g}", "middle")
    drawing.text((_LEFT + left + WIDTH - _RIGHT) / 2, bottom + 22, "length, m", "middle")
    return drawing
