"""Recipes and calibrations: TOML files, checked, compiled to the board's words, and read back.

    >>> words = compile_words(standard_recipe(), standard_calibration())
    >>> from gauge import config
    >>> words[config.SOLID_E6], words[config.GAP_8NM]
    (3300000, 4000000)
    >>> decode_words(words)[1]["capacitance"]["gap_um"]
    500.0

Both files are dicts of tables as `tomllib` gives them: `{"material": {"permittivity": 3.3, ...}}`;
`standard_recipe()` and `standard_calibration()` return fresh, complete ones to start from. The
fields, their units and factors are in `porogauge.recipe_fields`, the legal ranges in
`gauge.config.SPEC`.

Numbers are converted in exact decimal arithmetic and rounded half to even, so that a value read
back from a board differs from the file by at most half a word, and compiling what was read back
gives the same words. An error names file, field, what is wrong and what is legal; all errors of
a file are reported at once.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from gauge import config, record

from . import contradictions, notation
from .derived import LAYERS, derive, derived_paths, layer_tables, read_layers
from .errors import PorogaugeError
from .recipe_fields import FIELD, INDEX, KINDS, NODES, REQUIRED, Field, laser_models, plain
from .recipe_toml import dumps, shipped_recipe, standard_calibration, standard_recipe, template
from .recipe_values import checked, nearest, normal
from .rollers import ROLLERS, Roller, read_rollers, roller_tables
from .stack import Layer

__all__ = [
    "RecipeError",
    "compile_words",
    "content_id",
    "decode_words",
    "dumps",
    "load",
    "load_files",
    "normalise",
    "replace_part",
    "shipped_recipe",
    "split",
    "standard_calibration",
    "standard_recipe",
    "template",
]

_ARRAYS = {LAYERS: layer_tables, ROLLERS: roller_tables}  # of tables: how they are in a file
Values = dict[str, Any]  # path -> normalised value (Decimal, int, str, tuple or None)


class RecipeError(PorogaugeError):
    """A recipe or calibration is not usable; `problems` has one line for each thing wrong."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))


# ---------------------------------------------------------------- reading and checking


def load(path: str | Path) -> dict[str, Any]:
    """Read a TOML file with exact numbers (Decimal). Raises RecipeError naming file and line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(
            [f"{path}: there is no such file; 'porogauge recipe init' writes one to start from"]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([f"{path}: cannot be read: {error}"]) from None
    try:
        return notation.toml(text, exact=True)
    except ValueError as error:
        raise RecipeError([f"{path}: {error}"]) from None


def normalise(kind: str, data: Mapping[str, Any], source: str) -> Values:
    """Check a whole file and return path -> exact value, defaults filled in.

    `kind` is "recipe" or "calibration"; `source` is named in errors. Raises RecipeError with
    every unknown, missing or illegal field.
    """
    fields = FIELD[kind]
    tables = list(dict.fromkeys(field.table for field in fields.values()))
    problems: list[str] = []
    values: Values = {}
    layers: tuple[Layer, ...] = ()
    rollers: tuple[Roller, ...] = ()
    for table, content in data.items():
        if table == LAYERS and kind == "recipe":
            layers, found = read_layers(content, source, checked)
            problems += found
            continue
        if table == ROLLERS and kind == "recipe":
            rollers, found = read_rollers(content, source, checked)
            problems += found
            continue
        if table not in tables:
            legal = tables + [LAYERS, ROLLERS] if kind == "recipe" else tables
            problems.append(
                f"{source}: [{table}] is not a table of a {kind}{nearest(table, legal)};"
                f" legal: {', '.join(legal)}"
            )
            continue
        if not isinstance(content, Mapping):
            problems.append(f"{source}: {table} must be a table: write [{table}]")
            continue
        for name, value in content.items():
            path = f"{table}.{name}"
            field = fields.get(path)
            if field is None:
                names = [f.name for f in fields.values() if f.table == table]
                problems.append(
                    f"{source}: {path} is not a field of a {kind}{nearest(name, names)};"
                    f" legal in [{table}]: {', '.join(names)}"
                )
                continue
            try:
                values[path] = checked(field, value)
            except ValueError as error:
                problems.append(f"{source}: {path}: {error}; legal: {field.legal}")
                values[path] = None
    for path, field in fields.items():
        if path not in values and field.default is REQUIRED:
            problems.append(f"{source}: {path} is missing; legal: {field.legal}")
    if problems:
        raise RecipeError(problems)
    stated = {path for path, value in values.items() if value != ()}
    for path, field in fields.items():  # in two steps, a default may refer to a later field
        if path not in values and not str(field.default).startswith("="):
            values[path] = normal(field, field.default)
    for path, field in fields.items():
        if path not in values:
            values[path] = values[field.default[1:]]
    if kind == "recipe":
        values[LAYERS], values[ROLLERS] = layers, rollers
        problems = derive(values, stated)
        if problems:
            raise RecipeError([f"{source}: {text}" for text in problems])
    return values


# ---------------------------------------------------------------- compiling


def content_id(kind: str, values: Values) -> int:
    """First 30 bits of the SHA-256 of a file's content: its identity on the board.

    Comments, order, spelling of numbers and fields that state their default do not count, so
    that a field added by a later version leaves the ids of older files as they are.
    """
    fields = FIELD[kind]
    stated = {}
    derived = derived_paths(values) if kind == "recipe" else set()
    for path, value in values.items():
        if path in derived:
            continue
        if path in _ARRAYS:
            if value:
                stated[path] = _spelled(_ARRAYS[path](value))
            continue
        default = fields[path].default
        if default is not REQUIRED and not str(default).startswith("="):
            if value == normal(fields[path], default):
                continue
        stated[path] = _spelled(value)
    text = json.dumps([kind, stated], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    # 0 means 'none' on the board
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 2 or 1


def _spelled(value: Any) -> Any:
    """A value with its numbers as text, each in one spelling."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, (tuple, list)):
        return [_spelled(one) for one in value]
    if isinstance(value, dict):
        return {name: _spelled(one) for name, one in value.items()}
    return value


def _round(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _put(words: array, field: Field, value: Any) -> None:
    """Store one normalised value in its word (or words)."""
    if field.word is None:
        return
    if field.kind == "nodes":
        for node in range(NODES):
            words[INDEX[field.node(node)]] = _round(value[node] * field.factor) if value else 0
        if field.count:
            words[INDEX[field.count]] = len(value)
    elif field.kind == "names":
        words[INDEX[field.word]] = sum(1 << field.choices.index(name) for name in value)
    elif field.kind == "laser":
        words[INDEX[field.word]] = laser_models().index(value)
    elif field.kind == "choice":
        words[INDEX[field.word]] = _codes(field)[value]
    else:
        words[INDEX[field.word]] = _round(value * field.factor)


def _codes(field: Field) -> Mapping[Any, int]:
    """What each choice of a field is as its word."""
    if isinstance(field.choices, Mapping):
        return field.choices
    return {name: code for code, name in enumerate(field.choices)}


def _part(kind: str, data: Mapping[str, Any], source: str) -> tuple[Values, list[str]]:
    """Values of one file and what is wrong with it."""
    try:
        values = normalise(kind, data, source)
    except RecipeError as error:
        return {}, error.problems
    check = contradictions.of_recipe if kind == "recipe" else contradictions.of_calibration
    return values, [f"{source}: {text}" for text in check(values)]


def _fill(words: array, kind: str, values: Values) -> None:
    words[INDEX[f"{kind}_id"]] = content_id(kind, values)
    for path, field in FIELD[kind].items():
        _put(words, field, values[path])


def compile_words(
    recipe: Mapping[str, Any],
    calibration: Mapping[str, Any],
    source: str | tuple[str, str] = ("recipe", "calibration"),
) -> array:
    """Check a recipe and a calibration and return the board's words (`gauge.config.SPEC`).

    Numbers may be int, float or Decimal. `source` is what errors call the two: one text for
    both, or a pair. Raises RecipeError with every problem found in either; the result always
    passes `gauge.config.unpack(gauge.config.pack(words))`.
    """
    sources = (source, source) if isinstance(source, str) else source
    parts = [
        _part(kind, data, name)
        for kind, data, name in zip(KINDS, (recipe, calibration), sources, strict=True)
    ]
    problems = [text for _, found in parts for text in found]
    if problems:
        raise RecipeError(problems)
    words = config.new()
    for kind, (values, _) in zip(KINDS, parts, strict=True):
        _fill(words, kind, values)
    return _good(words, sources[0])


def _good(words: array, source: str) -> array:
    """The words, when both parts go together and the board will take them."""
    problems = contradictions.of_words(words)
    if problems:
        raise RecipeError([f"{source}: {text}" for text in problems])
    config.unpack(config.pack(words))  # the board's own check, so that nothing refused leaves
    return words


def replace_part(words: array, kind: str, data: Mapping[str, Any], source: str) -> array:
    """Return a copy of a board's words with its recipe, or its calibration, replaced."""
    values, problems = _part(kind, data, source)
    if problems:
        raise RecipeError(problems)
    words = array("i", words)
    _fill(words, kind, values)
    return _good(words, source)


def split(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tell recipe and calibration apart by their tables: kind -> its tables.

    A file may hold either or both (their tables have different names). An unknown table goes to
    the kind that is there, whose check refuses it.
    """
    tables = {kind: {field.table for field in FIELD[kind].values()} for kind in KINDS}
    tables["recipe"] |= _ARRAYS.keys()
    found = {
        kind: {name: content for name, content in data.items() if name in tables[kind]}
        for kind in KINDS
    }
    found = {kind: content for kind, content in found.items() if content}
    for name, content in data.items():
        if not any(name in known for known in tables.values()):
            found.setdefault(next(iter(found), "recipe"), {})[name] = content
    return found


def load_files(paths: Iterable[str | Path]) -> dict[str, tuple[dict[str, Any], str]]:
    """Read recipe and calibration files in any order: kind -> (tables, file it came from)."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for path in paths:
        parts = split(load(path))
        if not parts:
            raise RecipeError([f"{path}: is neither a recipe nor a calibration: it is empty"])
        for kind, tables in parts.items():
            if kind in found:
                raise RecipeError([f"{path}: is a second {kind}, after {found[kind][1]}"])
            found[kind] = (tables, str(path))
    return found


# ---------------------------------------------------------------- reading back


def _get(words: array, field: Field) -> Any:
    if field.kind == "nodes":
        nodes = [words[INDEX[field.node(node)]] for node in range(NODES)]
        there = words[INDEX[field.count]] if field.count else any(nodes)
        return [float(Decimal(node) / field.factor) for node in nodes] if there else []
    word = words[INDEX[field.word]]
    if field.kind == "names":
        return record.names_of(word, field.choices)
    if field.kind == "laser":
        models = laser_models()
        return models[word] if word < len(models) else f"unknown model {word}"
    if field.kind == "choice":
        choice = next(choice for choice, code in _codes(field).items() if code == word)
        return float(choice) if isinstance(choice, Decimal) else choice
    if field.kind == "integer":
        return int(Decimal(word) / field.factor)
    return float(Decimal(word) / field.factor)


def decode_words(words: array) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (recipe, calibration) of a board's words, in the units of the files.

    What the board does not hold (names, version, targets) is not there: see `porogauge.store`
    for what was known of an id.
    """
    decoded: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for kind, tables in zip(KINDS, decoded, strict=True):
        for field in FIELD[kind].values():
            if field.word is not None:
                tables.setdefault(field.table, {})[field.name] = _get(words, field)
    return decoded
