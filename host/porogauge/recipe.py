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
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gauge import config, record

from .errors import PorogaugeError
from .recipe_fields import (
    CONVERSIONS,
    FIELD,
    KINDS,
    REQUIRED,
    Field,
    laser_models,
    laser_table,
    plain,
)
from .recipe_toml import dumps, standard_calibration, standard_recipe, template

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
    "split",
    "standard_calibration",
    "standard_recipe",
    "template",
]

Values = dict[str, Any]  # path -> normalised value (Decimal, int, str, tuple or None)

EPS0_F_PER_M = Decimal("8.8541878128e-12")
PI = Decimal("3.14159265358979323846")
CDC_SPAN_PF = Decimal("4.096")  # AD7746: largest distance of the capacitance from the CAPDAC


class RecipeError(PorogaugeError):
    """A recipe or calibration is not usable; `problems` has one line for each thing wrong."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))


# ---------------------------------------------------------------- reading and checking


def load(path: str | Path) -> dict[str, Any]:
    """Read a TOML file with exact numbers (Decimal). Raises RecipeError naming file and line."""
    import tomllib

    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(
            [f"{path}: there is no such file; 'porogauge recipe init' writes one to start from"]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([f"{path}: cannot be read: {error}"]) from None
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([f"{path}: is not TOML: {error}"]) from None
    except (InvalidOperation, ValueError) as error:
        raise RecipeError([f"{path}: has a number that cannot be read: {error}"]) from None


def _number(field: Field, value: Any, integer: bool) -> Decimal:
    """An exact, finite number within the legal range, or ValueError saying what is wrong."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError(f"{value!r} is not a number")
    # repr of a float is the shortest text that gives it back: 0.1 means 0.1, not its binary value
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{value} is not a finite number")
    if integer and number != number.to_integral_value():
        raise ValueError(f"{plain(number)} is not a whole number")
    low, high = field.range()
    if not low <= number <= high:
        raise ValueError(f"{number if abs(number) > 10**12 else plain(number)} is out of range")
    return number


def _value(field: Field, value: Any) -> Any:
    """Check and normalise one stated value. Raises ValueError saying what is wrong."""
    if field.kind in ("number", "integer"):
        return _number(field, value, field.kind == "integer")
    if field.kind == "text":
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a text")
        if not 1 <= len(value.strip()) <= 80 or not value.isprintable():
            raise ValueError("is empty, too long or has unprintable characters")
        return value.strip()
    if field.kind == "flags":
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{value!r} is not a list")
        for name in value:
            if name not in record.FLAG_NAMES:
                raise ValueError(f"{name!r} is not a flag{_nearest(str(name), record.FLAG_NAMES)}")
        return tuple(name for name in record.FLAG_NAMES if name in value)
    if field.kind == "laser":
        if value not in laser_models():
            raise ValueError(f"{value!r} is not a known model{_nearest(value, laser_models())}")
        return value
    if field.kind == "conversion":
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            raise ValueError(f"{value!r} is not a number")
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if number not in CONVERSIONS:
            raise ValueError(f"{value} is not a conversion time of the AD7746")
        return number
    if not isinstance(value, (list, tuple)) or len(value) not in (0, 33):
        raise ValueError("is not a list of 33 numbers")
    return tuple(_number(field, node, False) for node in value)


def _nearest(name: Any, names: Any) -> str:
    close = get_close_matches(str(name), list(names), 1, 0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def normalise(kind: str, data: Mapping[str, Any], source: str) -> Values:
    """Check a whole file and return path -> exact value, defaults filled in.

    `kind` is "recipe" or "calibration"; `source` is named in errors. Raises RecipeError with
    every unknown, missing or illegal field.
    """
    fields = FIELD[kind]
    tables = list(dict.fromkeys(field.table for field in fields.values()))
    problems: list[str] = []
    values: Values = {}
    for table, content in data.items():
        if table not in tables:
            problems.append(
                f"{source}: [{table}] is not a table of a {kind}{_nearest(table, tables)};"
                f" legal: {', '.join(tables)}"
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
                    f"{source}: {path} is not a field of a {kind}{_nearest(name, names)};"
                    f" legal in [{table}]: {', '.join(names)}"
                )
                continue
            try:
                values[path] = _value(field, value)
            except ValueError as error:
                problems.append(f"{source}: {path}: {error}; legal: {field.legal}")
                values[path] = None
    for path, field in fields.items():
        if path not in values and field.default is REQUIRED:
            problems.append(f"{source}: {path} is missing; legal: {field.legal}")
    if problems:
        raise RecipeError(problems)
    for path, field in fields.items():  # in two steps, a default may refer to a later field
        if path not in values and not str(field.default).startswith("="):
            values[path] = None if field.default is None else _value(field, _exact(field.default))
    for path, field in fields.items():
        if path not in values:
            values[path] = values[field.default[1:]]
    return values


def _exact(default: Any) -> Any:
    return Decimal(default) if isinstance(default, str) else default


# ---------------------------------------------------------------- contradictions


def _recipe_contradictions(v: Values) -> list[str]:
    found = []
    for quantity, unit in (("thickness", "um"), ("porosity", "percent")):
        names = [f"limits.{quantity}_{end}_{unit}" for end in ("lolo", "lo", "hi", "hihi")]
        for low, high in zip(names, names[1:], strict=False):
            if v[low] > v[high]:
                found.append(f"{low} ({plain(v[low])}) is above {high} ({plain(v[high])})")
        deadband = f"limits.{quantity}_deadband_{unit}"
        if v[names[1]] <= v[names[2]] and v[deadband] * 2 > v[names[2]] - v[names[1]]:
            found.append(
                f"{deadband} ({plain(v[deadband])}) is more than half of the distance between"
                f" {names[1]} and {names[2]}: a flag could never go; legal: 0 to"
                f" {plain((v[names[2]] - v[names[1]]) / 2)}"
            )
        target = v[f"film.target_{quantity}_{unit}"]
        if target is not None and not v[names[1]] <= target <= v[names[2]]:
            found.append(
                f"film.target_{quantity}_{unit} ({plain(target)}) is not between {names[1]}"
                f" ({plain(v[names[1]])}) and {names[2]} ({plain(v[names[2]])})"
            )
    return found


def _calibration_contradictions(v: Values) -> list[str]:
    found = []
    for quantity, unit in (
        ("thickness", "um"),
        ("porosity", "percent"),
        ("rh", "percent"),
        ("air", "c"),
    ):
        low, high = (f"envelope.{quantity}_{end}_{unit}" for end in ("min", "max"))
        if v[low] >= v[high]:
            found.append(f"{low} ({plain(v[low])}) is not below {high} ({plain(v[high])})")
    c0, stray, dac = (v[f"capacitance.{name}_pf"] for name in ("c0", "stray", "capdac"))
    if abs(c0 + stray - dac) > CDC_SPAN_PF:
        found.append(
            f"capacitance.capdac_pf ({plain(dac)}) is more than {CDC_SPAN_PF} pF from c0_pf +"
            f" stray_pf ({plain(c0 + stray)}): the converter would be at its end; choose another"
            f" capdac_code"
        )
    if v["capacitance.capdac_code"] == 0 and dac != 0:
        found.append("capacitance.capdac_pf must be 0 when capdac_code is 0")
    model = laser_table()[v["lasers.model"]]
    try:
        model.check_rate(int(v["lasers.rate_hz"]))
    except ValueError as error:
        found.append(f"lasers.rate_hz: {error}")
    # Each reading lies within its range, and a film is at most 1 mm.
    longest = 2 * model.range_mm * 1000 + 1000
    if v["lasers.sum_distance_um"] > longest:
        found.append(
            f"lasers.sum_distance_um ({plain(v['lasers.sum_distance_um'])}) is more than two"
            f" lasers with {model.range_mm} mm range can see; legal: up to {longest}"
        )
    if v["lasers.reference_um"] >= v["lasers.sum_distance_um"]:
        found.append("lasers.reference_um is not below sum_distance_um: no tile fits between")
    diameter = v["head.electrode_diameter_mm"]
    if diameter is not None:
        area_m2 = PI * (diameter / 2000) ** 2
        ideal_pf = EPS0_F_PER_M * area_m2 / (v["capacitance.gap_um"] / 1_000_000) * 10**12
        # A guarded electrode is within some percent of the ideal one; the slit adds a few more.
        if not ideal_pf * Decimal("0.8") <= c0 <= ideal_pf * Decimal("1.25"):
            found.append(
                f"capacitance.c0_pf ({plain(c0)}) does not belong to a gap of"
                f" {plain(v['capacitance.gap_um'])} um with electrodes of {plain(diameter)} mm,"
                f" which make {ideal_pf:.3f} pF"
            )
    return found


# ---------------------------------------------------------------- compiling


def content_id(kind: str, values: Values) -> int:
    """First 30 bits of the SHA-256 of a file's content: its identity on the board.

    Comments, order, spelling of numbers and fields that state their default do not count, so
    that a field added by a later version leaves the ids of older files as they are.
    """
    fields = FIELD[kind]
    stated = {}
    for path, value in values.items():
        default = fields[path].default
        if default is not REQUIRED and not str(default).startswith("="):
            neutral = None if default is None else _value(fields[path], _exact(default))
            if value == neutral:
                continue
        if isinstance(value, tuple):
            value = [plain(v) if isinstance(v, Decimal) else v for v in value]
        elif isinstance(value, Decimal):
            value = plain(value)
        stated[path] = value
    text = json.dumps([kind, stated], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    # 0 means 'none' on the board
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 2 or 1


def _round(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _put(words: array, field: Field, value: Any) -> None:
    """Store one normalised value in its word (or words)."""
    if field.word is None:
        return
    index = _INDEX[field.word]
    if field.kind == "flags":
        words[index] = sum(1 << record.FLAG_NAMES.index(name) for name in value)
    elif field.kind == "laser":
        words[index] = laser_models().index(value)
    elif field.kind == "conversion":
        words[index] = CONVERSIONS[value]
    elif field.kind == "nodes":
        words[index] = len(value)
        for node, correction in enumerate(value):
            words[_INDEX[f"correction_{node:02d}_ppm"]] = _round(correction * field.factor)
    else:
        words[index] = _round(value * field.factor)


_INDEX = {name: index for index, (name, _, _) in enumerate(config.SPEC)}


def _part(kind: str, data: Mapping[str, Any], source: str) -> tuple[Values, list[str]]:
    """Values of one file and what is wrong with it."""
    try:
        values = normalise(kind, data, source)
    except RecipeError as error:
        return {}, error.problems
    check = _recipe_contradictions if kind == "recipe" else _calibration_contradictions
    return values, [f"{source}: {text}" for text in check(values)]


def _fill(words: array, kind: str, values: Values) -> None:
    for field in FIELD[kind].values():  # what another configuration had must not shine through
        if field.kind == "nodes":
            for node in range(33):
                words[_INDEX[f"correction_{node:02d}_ppm"]] = 0
    words[_INDEX[f"{kind}_id"]] = content_id(kind, values)
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
    config.unpack(config.pack(words))  # the board's own check, so that nothing refused leaves
    return words


def replace_part(words: array, kind: str, data: Mapping[str, Any], source: str) -> array:
    """Return a copy of a board's words with its recipe, or its calibration, replaced."""
    values, problems = _part(kind, data, source)
    if problems:
        raise RecipeError(problems)
    words = array("i", words)
    _fill(words, kind, values)
    config.unpack(config.pack(words))
    return words


def split(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tell recipe and calibration apart by their tables: kind -> its tables.

    A file may hold either or both (their tables have different names). An unknown table goes to
    the kind that is there, whose check refuses it.
    """
    tables = {kind: {field.table for field in FIELD[kind].values()} for kind in KINDS}
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
    word = words[_INDEX[field.word]]
    if field.kind == "flags":
        return record.names_of(word)
    if field.kind == "laser":
        models = laser_models()
        return models[word] if word < len(models) else f"unknown model {word}"
    if field.kind == "conversion":
        return next(float(ms) for ms, code in CONVERSIONS.items() if code == word)
    if field.kind == "nodes":
        nodes = (words[_INDEX[f"correction_{node:02d}_ppm"]] for node in range(word))
        return [float(Decimal(node) / field.factor) for node in nodes]
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
