"""Drawings of lines, areas and texts, as SVG or on a page of a PDF. Sizes are in points.

>>> drawing = Drawing(520, 160)
>>> drawing.line([(0, 0), (520, 160)], BLUE)
>>> svg(drawing)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

__all__ = ["BLUE", "DARK", "GREY", "ORANGE", "PALE", "RED", "Drawing", "on_page", "svg"]

# Told apart by colour-blind readers (Okabe and Ito), and on a grey print
BLUE, ORANGE, RED, GREEN = "#0072b2", "#e69f00", "#d55e00", "#009e73"
GREY, PALE, DARK = "#8c8c8c", "#e4e4e4", "#333333"

Point = tuple[float, float]


@dataclass(slots=True)
class Drawing:
    """Shapes in the order in which they are painted; the origin is at the top left."""

    width: float
    height: float
    shapes: list[tuple[Any, ...]] = field(default_factory=list)

    def line(self, points: Sequence[Point], colour: str, width: float = 0.8, dash: float = 0):
        self.shapes.append(("line", list(points), colour, width, dash))

    def area(self, points: Sequence[Point], colour: str, opacity: float = 1.0) -> None:
        self.shapes.append(("area", list(points), colour, opacity))

    def rect(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.shapes.append(("rect", x, y, width, height, colour))

    def text(self, x: float, y: float, text: str, anchor: str = "start", size: float = 7) -> None:
        """`y` is the base line; `anchor`: start, middle or end of the text is at `x`."""
        self.shapes.append(("text", x, y, text, anchor, size))


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def svg(drawing: Drawing, title: str) -> str:
    """The drawing as an element of a page."""
    made = [
        f'<svg viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}" role="img"'
        f' aria-label="{escape(title)}">'
    ]
    for kind, *of in drawing.shapes:
        if kind == "line":
            points, colour, width, dash = of
            dashes = f' stroke-dasharray="{_n(dash)}"' if dash else ""
            made.append(
                f'<polyline points="{_points(points)}" fill="none" stroke="{colour}"'
                f' stroke-width="{_n(width)}"{dashes}/>'
            )
        elif kind == "area":
            points, colour, opacity = of
            made.append(
                f'<polygon points="{_points(points)}" fill="{colour}"'
                f' fill-opacity="{_n(opacity)}"/>'
            )
        elif kind == "rect":
            x, y, width, height, colour = of
            made.append(
                f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
                f' fill="{colour}"/>'
            )
        else:
            x, y, text, anchor, size = of
            made.append(
                f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" font-size="{_n(size)}">'
                f"{escape(text)}</text>"
            )
    return "\n".join(made) + "\n</svg>"


def on_page(drawing: Drawing, pdf: Any, left: float, top: float) -> None:
    """Paint the drawing on the current page of an `fpdf.FPDF` whose unit is the point."""
    for kind, *of in drawing.shapes:
        if kind == "line":
            points, colour, width, dash = of
            pdf.set_draw_color(colour)
            pdf.set_line_width(width)
            pdf.set_dash_pattern(dash, dash)
            pdf.polyline([(left + x, top + y) for x, y in points])
            pdf.set_dash_pattern()
        elif kind == "area":
            points, colour, opacity = of
            pdf.set_fill_color(colour)
            with pdf.local_context(fill_opacity=opacity):
                pdf.polygon([(left + x, top + y) for x, y in points], style="F")
        elif kind == "rect":
            x, y, width, height, colour = of
            pdf.set_fill_color(colour)
            pdf.rect(left + x, top + y, width, height, style="F")
        else:
            x, y, text, anchor, size = of
            pdf.set_font(size=size)
            shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * pdf.get_string_width(text)
            pdf.text(left + x - shift, top + y, text)
