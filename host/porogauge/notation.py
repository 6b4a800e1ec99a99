"""TOML and JSON out of files that anybody may have written: values, or ValueError.

The readers of the standard library also raise RecursionError for what is nested without end, and
give whole numbers of any length, which stop a program where they are written again.

>>> toml("a = 0.1", exact=True)
{'a': Decimal('0.1')}
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

__all__ = ["json", "toml"]

_LARGEST = 1 << 63  # whole numbers of TOML have 64 bits
_MOST_DIGITS = 300  # of an exact number, before or behind its point


def toml(text: str, exact: bool = False) -> dict[str, Any]:
    """Tables of a TOML text; with `exact`, numbers with a point as Decimal.

    Raises ValueError that says what is wrong, and in which line where that is known.
    """
    import tomllib

    try:
        tables = tomllib.loads(text, parse_float=_exact if exact else float)
    except RecursionError:
        raise ValueError("is not TOML: brackets within brackets without end") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None
    except ValueError as error:
        raise ValueError(f"has a number that cannot be read: {error}") from None
    for number in _whole_numbers(tables):
        if not -_LARGEST <= number < _LARGEST:
            raise ValueError("has a whole number of more than 64 bits")
    return tables


def json(text: str | bytes) -> Any:
    """Value of a JSON text. Raises ValueError that says what is wrong."""
    import json

    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("brackets within brackets without end") from None


def _exact(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise ValueError(f"{text[:40]} is beyond all exponents") from None
    if number.is_finite() and number and not -_MOST_DIGITS < number.adjusted() < _MOST_DIGITS:
        raise ValueError(f"{text[:40]} is beyond what a field holds")
    return number


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        if isinstance(value, int):
            yield value
        return
    for item in value:
        yield from _whole_numbers(item)
