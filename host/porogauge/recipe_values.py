"""One value of a recipe or calibration, checked and made exact.

>>> checked(FIELD["recipe"]["material.permittivity"], 3.3)
Decimal('3.3')

Numbers become Decimal, lists tuples, days text; an error says what is wrong, not what is legal
(`Field.legal` does).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from .recipe_fields import NODES, Field, laser_models, plain

__all__ = ["checked", "exact", "nearest", "normal"]


def exact(number: Any) -> Decimal:
    """Return the number that is written: 0.1 means 0.1, not its binary value."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def nearest(name: Any, names: Iterable[str]) -> str:
    """Return a hint at the legal name that `name` resembles, or nothing."""
    close = get_close_matches(str(name), list(names), 1, 0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def checked(field: Field, given: Any) -> Any:
    """Return the normalised value of a field. Raises ValueError saying what is wrong."""
    return _KINDS[field.kind](field, given)


def normal(field: Field, default: Any) -> Any:
    """Return a field's default as a normalised value."""
    if default is None:
        return None
    is_number = field.kind in ("number", "integer") or isinstance(field.choices, Mapping)
    return checked(field, exact(default) if is_number else default)


def _plain_number(given: Any) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, (int, float, Decimal)):
        raise ValueError(f"{given!r} is not a number")
    return exact(given)


def _number(field: Field, given: Any) -> Decimal:
    number = _plain_number(given)
    if not number.is_finite():
        raise ValueError(f"{given} is not a finite number")
    if field.kind == "integer" and number != number.to_integral_value():
        raise ValueError(f"{plain(number)} is not a whole number")
    low, high = field.range()
    if not low <= number <= high:
        raise ValueError(f"{number if abs(number) > 10**12 else plain(number)} is out of range")
    return number


def _text(field: Field, given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"{given!r} is not a text")
    if not 1 <= len(given.strip()) <= 80 or not given.isprintable():
        raise ValueError("is empty, too long or has unprintable characters")
    return given.strip()


def _day(field: Field, given: Any) -> str:
    if isinstance(given, datetime.date) and not isinstance(given, datetime.datetime):
        return given.isoformat()
    try:
        return datetime.date.fromisoformat(given).isoformat()
    except (TypeError, ValueError):
        raise ValueError(f"{given!r} is not a day") from None


def _names(field: Field, given: Any) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"{given!r} is not a list")
    what = "a flag" if field.word else "one of them"
    for name in given:
        if name not in field.choices:
            raise ValueError(f"{name!r} is not {what}{nearest(name, field.choices)}")
    return tuple(name for name in field.choices if name in given)


def _choice(field: Field, given: Any) -> Any:
    if isinstance(field.choices, Mapping):
        number = _plain_number(given)
        if number not in field.choices:
            raise ValueError(f"{given} is not one of them")
        return number
    names = field.choices or laser_models()
    if given not in names:
        what = "a known model" if field.kind == "laser" else "one of them"
        raise ValueError(f"{given!r} is not {what}{nearest(given, names)}")
    return given


def _nodes(field: Field, given: Any) -> tuple[Decimal, ...]:
    if not isinstance(given, (list, tuple)) or len(given) not in (0, NODES):
        raise ValueError(f"is not a list of {NODES} numbers")
    return tuple(_number(field, node) for node in given)


def _points(field: Field, given: Any) -> tuple[tuple[Decimal, Decimal], ...]:
    if not isinstance(given, (list, tuple)) or not (len(given) == 0 or 3 <= len(given) <= 31):
        raise ValueError("is not a list of 3 to 31 pairs")
    found = []
    for pair in given:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValueError(f"{pair!r} is not a pair of numbers")
        eps, percent = (_plain_number(number) for number in pair)
        finite = eps.is_finite() and percent.is_finite()
        if not (finite and 1 < eps < 100 and 0 < percent < 100):
            raise ValueError(f"[{eps}, {percent}] is no permittivity and porosity of a film")
        found.append((eps, percent))
    return tuple(found)


_KINDS = {
    "number": _number,
    "integer": _number,
    "text": _text,
    "date": _day,
    "names": _names,
    "choice": _choice,
    "laser": _choice,
    "nodes": _nodes,
    "points": _points,
}
