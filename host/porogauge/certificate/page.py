"""A certificate as one HTML file: no script, nothing from elsewhere, every text escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape, unescape
from typing import Any

from ..output import visible
from .document import OUTCOMES, Block, Chart, Heading, Table, Text, Verdict, blocks
from .drawing import svg

__all__ = ["data_of", "render", "text_of"]

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; margin: .6rem 0;
  font-size: 13px; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .5rem .25rem 0; text-align: left;
  vertical-align: top; }
.verdict { border-left: .5rem solid; padding: .6rem 1rem; font-size: 1.2rem; margin: 1rem 0; }
.pass { border-color: #0072b2; background: #e8f3fa; }
.fail { border-color: #d55e00; background: #fdeee4; }
.undecided { border-color: #8c8c8c; background: #f0f0f0; }
figure { margin: .8rem 0; } figcaption { font-size: 12px; color: #555; }
svg { width: 100%; font-family: inherit; fill: #333; }
pre { white-space: pre-wrap; font-size: 10px; }
@media print { body { margin: 0; max-width: none; } details { display: none; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # a browser runs and fetches nothing
_DATA = re.compile(r'<pre id="porogauge-data">(.*?)</pre>', re.DOTALL)


def render(content: Mapping[str, Any]) -> str:
    """The page of a certificate's data; the same data make the same page."""
    title = escape(visible(f"Certificate of roll {content['roll']['name']}"))
    body = "\n".join(_html(block) for block in blocks(content))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1><bdi>{title}</bdi></h1>\n{body}\n"
        "<details><summary>All numbers as JSON</summary>\n"
        f'<pre id="porogauge-data">{escape(text_of(content), quote=False)}</pre>\n'
        "</details>\n</body>\n</html>\n"
    )


def text_of(content: Mapping[str, Any]) -> str:
    """The data as JSON in ASCII, one line for each part."""
    parts = (
        f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'), allow_nan=False)}"
        for name, value in content.items()
    )
    return "{" + ",\n".join(parts) + "}"


def data_of(text: str) -> Any:
    """The data of a page. Raises ValueError when there are none, or they are no JSON."""
    found = _DATA.search(text)
    if found is None:
        raise ValueError("has no data of a certificate in it")
    return json.loads(unescape(found[1]))


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h2>{escape(block.text)}</h2>"
    if isinstance(block, Text):
        return f"<p><bdi>{escape(block.text)}</bdi></p>"
    if isinstance(block, Verdict):
        word = OUTCOMES[block.outcome]
        return (
            f'<p class="verdict {block.outcome}"><strong>{word}</strong>:'
            f" <bdi>{escape(block.text)}</bdi></p>"
        )
    if isinstance(block, Chart):
        caption = f"<figcaption>{escape(block.text)}</figcaption>"
        return f"<figure>\n{svg(block.drawing, block.text)}\n{caption}</figure>"
    return _table(block)


def _table(table: Table) -> str:
    head = ""
    if any(table.head):
        cells = "".join(f"<th>{escape(text)}</th>" for text in table.head)
        head = f"<thead><tr>{cells}</tr></thead>\n"
    rows = (
        "<tr>" + "".join(f"<td><bdi>{escape(cell)}</bdi></td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    whole = sum(table.widths)
    widths = "".join(f'<col style="width:{100 * w / whole:.3g}%">' for w in table.widths)
    return (
        f"<table>\n<colgroup>{widths}</colgroup>\n{head}<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table>"
    )
