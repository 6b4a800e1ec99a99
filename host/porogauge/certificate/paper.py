"""A certificate as a PDF, its data attached; the same document as the page."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout

from ..errors import PorogaugeError
from ..output import visible
from .charts import WIDTH
from .document import OUTCOMES, Chart, Heading, Table, Text, Verdict, blocks
from .drawing import BLUE, DARK, GREY, PALE, RED, on_page
from .page import text_of

__all__ = ["data_of", "render"]

_MARGIN = 37.0
_COLOURS = {"pass": BLUE, "fail": RED, "undecided": GREY}
_ATTACHED = "certificate.json"
_STREAM = re.compile(rb"/Type /EmbeddedFile\n.*?stream\r?\n", re.DOTALL)


def render(content: Mapping[str, Any]) -> bytes:
    """The PDF of a certificate's data; the same data make the same bytes (of one fpdf2)."""
    pdf = _Paper(f"Certificate of roll {visible(content['roll']['name'])}")
    pdf.set_creation_date(datetime.fromisoformat(content["issued"]["time"]))
    data = text_of(content).encode("ascii")
    pdf.embed_file(
        bytes=data,
        basename=_ATTACHED,
        desc="the numbers of the certificate",
        compress=True,
        modification_date=datetime.fromisoformat(content["issued"]["time"]),
    )
    pdf.add_page()
    pdf.words(pdf.heading, 15, bold=True)
    for block in blocks(content):
        pdf.block(block)
    return bytes(pdf.output())


def data_of(content: bytes) -> bytes:
    """The data attached to a PDF, as text. Raises ValueError when there are none."""
    found = _STREAM.search(content)
    if found is None:
        raise ValueError("has no data of a certificate in it")
    try:
        return zlib.decompressobj().decompress(content[found.end() :])
    except zlib.error as error:
        raise ValueError(f"its data are damaged: {error}") from None


class _Paper(FPDF):
    """A4 pages; a line at the foot of each says whose and how many they are."""

    def __init__(self, heading: str):
        super().__init__(unit="pt", format="A4")
        self.heading = heading
        fonts = _fonts()
        self.add_font("text", "", fonts / "DejaVuSans.ttf")
        self.add_font("text", "B", fonts / "DejaVuSans-Bold.ttf")
        self.set_margin(_MARGIN)
        self.set_auto_page_break(True, _MARGIN + 10)
        self.set_font("text", size=8)
        self.set_title(self._known(heading))

    def footer(self) -> None:
        self.set_y(-_MARGIN + 4)
        self.set_font("text", size=6)
        self.set_text_color(GREY)
        name = self._known(self.heading)[:120]
        self.cell(0, 8, f"{name}, page {self.page_no()} of {{nb}}")
        self.set_text_color(DARK)

    def _known(self, text: str) -> str:
        """Characters without a glyph in the font are spelled out."""
        known = self.fonts["text"].cmap
        return "".join(c if ord(c) in known else f"\\u{ord(c):04x}" for c in text)

    def words(self, text: str, size: float, bold: bool = False, colour: str = DARK) -> None:
        self.set_font("text", "B" if bold else "", size)
        self.set_text_color(colour)
        self.set_x(_MARGIN)
        self.multi_cell(WIDTH, size * 1.35, self._known(text), align="L", wrapmode="WORD")
        self.ln(2)
        self.set_text_color(DARK)

    def block(self, block: Any) -> None:
        if isinstance(block, Heading):
            self._need(90)
            self.ln(8)
            self.words(block.text, 11, bold=True)
        elif isinstance(block, Text):
            self.words(block.text, 7.5)
        elif isinstance(block, Verdict):
            text = f"{OUTCOMES[block.outcome]}: {block.text}"
            self.words(text, 12, bold=True, colour=_COLOURS[block.outcome])
        elif isinstance(block, Chart):
            self._need(block.drawing.height + 14)
            on_page(block.drawing, self, _MARGIN, self.get_y())
            self.set_y(self.get_y() + block.drawing.height + 2)
            self.words(block.text, 6.5, colour=GREY)
        else:
            self._table(block)

    def _need(self, height: float) -> None:
        if self.get_y() + height > self.h - _MARGIN - 10:
            self.add_page()

    def _table(self, table: Table) -> None:
        self.set_font("text", size=6.5)
        self.set_draw_color(PALE)
        self.set_fill_color("#ffffff")
        self.set_line_width(0.5)
        named = any(table.head)
        with self.table(
            width=WIDTH,
            align="L",
            col_widths=table.widths,
            line_height=9,
            padding=(1.5, 4, 1.5, 0),
            text_align="L",
            wrapmode="WORD",
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            first_row_as_headings=named,
            headings_style=FontFace(emphasis="BOLD"),
        ) as made:
            for cells in ((table.head,) if named else ()) + table.rows:
                row = made.row()
                for cell in cells:
                    row.cell(self._known(cell))
        self.ln(6)


@cache
def _fonts() -> Path:
    """Fonts with letters of many scripts, which come with matplotlib."""
    package = find_spec("matplotlib")
    if package is None or package.origin is None:
        raise PorogaugeError("a PDF needs the fonts of matplotlib: pip install matplotlib")
    return Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"
