"""What a recipe's file states in one way and the board needs in another.

[[layer]]        the layers on the film -> [layers], the sums that the board subtracts
mixing.law       a law that the board does not invert, or mixing.measured_points
                 -> mixing.correction_percent

    >>> layers, problems = read_layers([{"name": "glue", "kind": "adhesive"}], "r.toml", check)
    >>> problems[0]
    'r.toml: layer 1.thickness_um is missing; legal: 0.01 to 1000 micrometres'

Who states both the source and what derives from it contradicts himself, and is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields as dataclass_fields
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from .mixing_laws import correction_of_points, correction_percent
from .recipe_fields import FIELD, LAYER, REQUIRED, Field, plain
from .stack import METALS, MODES, Film, Layer, layer_words

__all__ = [
    "LAYERS",
    "derive",
    "derived_paths",
    "film_of",
    "layer_tables",
    "read_layers",
    "read_tables",
]

LAYERS = "layer"  # key of the array of tables, in a file and among its values
_SUMS = {field.word: path for path, field in FIELD["recipe"].items() if field.table == "layers"}
_CORRECTION = "mixing.correction_percent"
_POINTS = "mixing.measured_points"
_OWN_LAW = "bruggeman_l"

Values = dict[str, Any]


Check = Callable[[Field, Any], Any]


def read_layers(content: Any, source: str, check: Check) -> tuple[tuple[Layer, ...], list[str]]:
    """Check the [[layer]] tables of a file: the layers, and what is wrong with them.

    `check` normalises one stated value or raises ValueError (as `porogauge.recipe` does it).
    """
    tables, problems = read_tables(LAYERS, LAYER, content, source, check)
    for where, values in tables:
        metal = values["kind"] in METALS
        if metal and values.get("permittivity") is not None:
            problems.append(f"{where}.permittivity: a metal has none; legal: leave it out")
        if not metal and values.get("permittivity") is None:
            field = LAYER["layer.permittivity"]
            problems.append(f"{where}.permittivity is missing; legal: {field.legal}")
        values["count"] = int(values["count"])
    return () if problems else tuple(Layer(**values) for _, values in tables), problems


def read_tables(
    noun: str, fields: Mapping[str, Field], content: Any, source: str, check: Check
) -> tuple[list[tuple[str, Values]], list[str]]:
    """Check the [[noun]] tables of a file field by field: the good ones, and what is wrong.

    Each comes with the text by which errors name it; names are to be different.
    """
    if not isinstance(content, (list, tuple)):
        return [], [f"{source}: {noun} must be an array of tables: write [[{noun}]]"]
    tables, problems = [], []
    for number, table in enumerate(content, 1):
        where = f"{source}: {noun} {number}"
        if not isinstance(table, Mapping):
            problems.append(f"{where} must be a table: write [[{noun}]]")
            continue
        values, found = _read(noun, fields, table, where, check)
        problems += found
        if not found:
            tables.append((where, values))
    names = [values["name"] for _, values in tables]
    for name in {name for name in names if names.count(name) > 1}:
        problems.append(
            f"{source}: {noun}.name: '{name}' is there twice; legal: a name of its own"
        )
    return tables, problems


def _read(
    noun: str, fields: Mapping[str, Field], table: Mapping[str, Any], where: str, check: Check
) -> tuple[Values, list[str]]:
    values: Values = {}
    problems = []
    legal = [field.name for field in fields.values()]
    for name, value in table.items():
        if name not in legal:
            close = get_close_matches(str(name), legal, 1, 0.5)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            problems.append(
                f"{where}.{name} is not a field of a {noun}{hint}; legal: {', '.join(legal)}"
            )
            continue
        field = fields[f"{noun}.{name}"]
        try:
            values[name] = check(field, value)
        except ValueError as error:
            problems.append(f"{where}.{name}: {error}; legal: {field.legal}")
            values[name] = None
    for field in fields.values():
        if field.name in table:
            continue
        if field.default is REQUIRED:
            problems.append(f"{where}.{field.name} is missing; legal: {field.legal}")
        elif field.default is not None:
            values[field.name] = check(field, Decimal(field.default))
    return values, problems


def layer_tables(layers: tuple[Layer, ...]) -> list[dict[str, Any]]:
    """Return layers as the tables of a file, without what is left out."""
    found = []
    for layer in layers:
        table = {f.name: getattr(layer, f.name) for f in dataclass_fields(Layer)}
        found.append({name: value for name, value in table.items() if value is not None})
    return found


def film_of(values: Values) -> Film | None:
    """The film that a recipe aims at; None without both targets."""
    t, phi = values["film.target_thickness_um"], values["film.target_porosity_percent"]
    if t is None or phi is None:
        return None
    return Film(
        float(t),
        float(phi) / 100,
        float(values["material.permittivity"]),
        float(values["mixing.structure_factor"]),
    )


def _summed(values: Values) -> bool:
    """Whether [layers] is computed: there is something that it has to hold."""
    return bool(values[LAYERS] or values["film.u_thickness_offset_um"])


def derived_paths(values: Values) -> set[str]:
    """Fields whose values were computed from others of the file."""
    paths = set(_SUMS.values()) if _summed(values) else set()
    if values["mixing.law"] != _OWN_LAW or values[_POINTS]:
        paths.add(_CORRECTION)
    return paths


def derive(values: Values, stated: set[str]) -> list[str]:
    """Fill in what derives from other fields; return what contradicts it among `stated`.

    `values`: everything of a recipe, defaults filled in, LAYERS with its layers.
    """
    problems = []
    for path in sorted(derived_paths(values) & stated):
        if path == _CORRECTION and values[_POINTS]:
            cause = f"{_POINTS} makes the corrections"
        elif path == _CORRECTION:
            cause = f"mixing.law {values['mixing.law']!r} makes the corrections itself"
        elif values[LAYERS]:
            cause = "[[layer]] is stated, from which [layers] is computed"
        else:
            cause = "[layers] has film.u_thickness_offset_um in it"
        problems.append(f"{path}: {cause}; legal: one of the two, leave the other out")
    if values["mixing.law"] != _OWN_LAW and values[_POINTS]:
        problems.append(
            f"{_POINTS}: mixing.law {values['mixing.law']!r} is another law than the points';"
            f' legal: one of the two, law = "{_OWN_LAW}" or no points'
        )
    if problems:
        return problems
    if _summed(values):
        words = layer_words(
            values[LAYERS],
            values["stack.report"],
            film_of(values),
            float(values["limits.porosity_u95_max_percent"]) / 100,
            values["film.u_thickness_offset_um"],
        )
        for word, path in _SUMS.items():
            if word == "porosity_mode":
                values[path] = MODES[words[word]]
                continue
            field = FIELD["recipe"][path]
            values[path] = Decimal(words[word]) / field.factor
            low, high = field.range()
            if not low <= values[path] <= high:
                problems.append(
                    f"{path}: the layers together make {plain(values[path])}; legal: {field.legal}"
                )
    solid, structure = (
        float(values[path]) for path in ("material.permittivity", "mixing.structure_factor")
    )
    nodes: list[float] = []
    if values["mixing.law"] != _OWN_LAW:
        nodes = correction_percent(values["mixing.law"], solid, structure)
    elif values[_POINTS]:
        points = [(float(eps), float(percent) / 100) for eps, percent in values[_POINTS]]
        try:
            nodes = correction_of_points(points, solid, structure)
        except ValueError as error:
            problems.append(f"{_POINTS}: {error}; legal: {FIELD['recipe'][_POINTS].legal}")
    if nodes:
        values[_CORRECTION] = tuple(Decimal(repr(node)) for node in nodes)
    return problems
