"""Recipe and calibration as TOML text: the commented templates, and what a board has in force.

>>> print(template("recipe").splitlines()[0])
# Recipe of a porous film for porogauge: what the film is, its limits, its outputs.
"""

from __future__ import annotations

import copy
import datetime
import json
import textwrap
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gauge import record

from .recipe_fields import FIELD, LAYER, ROLLER, Field, plain

__all__ = ["dumps", "shipped_recipe", "standard_calibration", "standard_recipe", "template"]


_ARRAYS = {"layer": LAYER, "roller": ROLLER}  # of tables


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, float):
        return plain(repr(value)) if abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime.date):
        value = value.isoformat()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "[" + ", ".join(_toml(item) for item in value) + "]"


def dumps(kind: str, data: Mapping[str, Any], comments: bool = True, head: str = "") -> str:
    """Return a file's TOML text, in the table's order, each field with its meaning and range."""
    lines = ["# " + line if line else "#" for line in head.splitlines()]
    table = None
    for field in FIELD[kind].values():
        content = data.get(field.table)
        if not isinstance(content, Mapping):
            continue
        if field.table != table:
            table = field.table
            lines += ["", f"[{table}]"]
        lines += _field(field, content, comments)
    for name, fields in _ARRAYS.items():
        for content in data.get(name, ()):
            lines += ["", f"[[{name}]]"]
            for field in fields.values():
                lines += _field(field, content, comments)
    return "\n".join(lines).lstrip("\n") + "\n"


def _field(field: Field, content: Mapping[str, Any], comments: bool) -> list[str]:
    """Lines of one field: its meaning and range, its value where it is stated."""
    lines = []
    if comments:
        brief = field.kind == "text" or field.choices == record.FLAG_NAMES
        legal = "" if brief else f" ({field.legal})"
        lines += textwrap.wrap(field.help + legal, 98, initial_indent="# ", subsequent_indent="# ")
    if field.name in content:
        lines.append(f"{field.name} = {_toml(content[field.name])}")
    elif comments:
        lines.append(f"# {field.name} =")
    return lines


def _standard(kind: str) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for field in FIELD[kind].values():
        if field.table == "layers":  # computed
            continue
        content = tables.setdefault(field.table, {})
        if field.example is not None:
            example = field.example
            is_number = field.kind == "number" or isinstance(field.choices, Mapping)
            if is_number and isinstance(example, str):
                example = Decimal(example)
            content[field.name] = copy.copy(example)
    return tables


def standard_recipe() -> dict[str, Any]:
    """A fresh, complete recipe: isotropic porous polyimide, 25 um, 50 %."""
    return _standard("recipe")


def standard_calibration() -> dict[str, Any]:
    """A fresh, complete calibration of the standard head.

    Two optoNCDT 1900-2 at 4 kHz, electrodes of 20 mm, gap 0.5 mm, AD7746 at 90.9 Hz.
    """
    return _standard("calibration")


_HEADS = {
    "recipe": """Recipe of a porous film for porogauge: what the film is, its limits, its outputs.
Check it:  porogauge recipe check FILE
Send it:   porogauge recipe push FILE --port PORT      (the board's calibration stays)
Numbers in brackets are the legal range. A field with '# name =' is optional and left out.""",
    "calibration": """Calibration of a porogauge head: what the head is and how well it is known.
The values are those of the standard head by design: replace them by measured ones.
Check it:  porogauge recipe check FILE
Send it:   porogauge recipe push FILE --port PORT      (the board's recipe stays)
Numbers in brackets are the legal range. A field with '# name =' is optional and left out.""",
}


def template(kind: str) -> str:
    """Return the commented example file of a kind ("recipe" or "calibration")."""
    text = dumps(kind, _standard(kind), head=_HEADS[kind])
    if kind == "recipe":
        for name, about in _EXAMPLES.items():
            text += "\n" + "\n".join(f"# {line}" for line in _example(name, about)) + "\n"
    return text


def shipped_recipe(grade: str) -> str:
    """Return the commented recipe that ships for a grade of film."""
    from importlib.resources import files

    return (files(__package__) / "data" / "recipes" / f"{grade}.toml").read_text(encoding="utf-8")


_EXAMPLES = {
    "layer": "What lies on the film is subtracted, one table for each kind of layer:",
    "roller": "Rollers of the line, whose turns the statistics look for, one table for each:",
}


def _example(name: str, about: str) -> list[str]:
    lines = [about, f"[[{name}]]"]
    for field in _ARRAYS[name].values():
        if field.example is None:
            continue
        legal = "" if field.kind == "text" else f" ({field.legal})"
        number = field.kind == "number"
        example = Decimal(field.example) if number else field.example
        lines += textwrap.wrap(
            f"{field.name} = {_toml(example)}   # {field.help}{legal}",
            96,
            subsequent_indent="    # ",
        )
    return lines
