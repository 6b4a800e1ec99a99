"""Whether a certificate still holds: everything is computed again and compared.

    >>> verify(Path("A-17.html").read_bytes(), store)
    ['laboratory[1].value: 0.32 in the certificate, 0.33 in the database']

An empty list: the certificate holds. Compared are every number and text in its data (what was
computed to nine digits: another processor may round the last ones differently), every word of
every record by the sum over them, and what the file shows with what its data make.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from math import isclose
from typing import Any

from ..errors import PorogaugeError
from ..rolls import find
from ..store import Store
from ..store_file import holes
from . import page
from .content import FORM, certify, issued
from .windows import changes

__all__ = ["CertificateError", "read", "roll_of", "verify"]

_SAME = 1e-9
# What was measured and entered comes before what follows from it.
_FIRST = (
    "roll",
    "laboratory",
    "recipe",
    "calibration",
    "configurations",
    "completeness",
    "instrument",
)


class CertificateError(PorogaugeError):
    """A file that is no certificate, or one of another form."""


def read(content: bytes) -> dict[str, Any]:
    """The data of a certificate, page or PDF. Raises CertificateError."""
    try:
        if content.startswith(b"%PDF"):
            from . import paper

            data = json.loads(paper.data_of(content))
        else:
            data = page.data_of(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CertificateError(f"is no certificate that can be read: {error}") from None
    if not isinstance(data, dict) or data.get("form") != FORM:
        raise CertificateError(
            f"is no certificate of form {FORM}; use the version of porogauge that wrote it"
        )
    return data


def roll_of(data: Mapping[str, Any]) -> str:
    """Name of the roll that a certificate says it is of. Raises CertificateError."""
    roll = data.get("roll")
    name = roll.get("name") if isinstance(roll, Mapping) else None
    if not isinstance(name, str):
        raise CertificateError("does not say of which roll it is: its data were changed")
    return name


def verify(content: bytes, store: Store) -> list[str]:
    """What does not hold of a certificate, a sentence each. Raises CertificateError."""
    then = read(content)
    try:
        roll = find(store, roll_of(then))
        computed, windows = certify(store, roll)
    except CertificateError:
        raise
    except PorogaugeError as error:
        return [f"cannot be computed again: {error}"]
    now = json.loads(page.text_of(computed))
    found = [*_windows(then, now)]
    try:
        found += changes(store, roll, windows, then["records"])
        if found:  # told better than by sums
            then, now = ({k: v for k, v in d.items() if k != "records"} for d in (then, now))
    except (KeyError, TypeError, ValueError, OverflowError):
        found.append("records: the certificate's sums over the words were changed")
    names = sorted(now.keys() | (then.keys() - {"issued"}), key=_rank)
    for name in names:
        same = _stored if name in _FIRST else _computed
        found += _differences(then.get(name), now.get(name), str(name), same)
    found += _issue(then.get("issued"))
    return found or _appearance(content, then)


def _rank(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _windows(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Which windows are more or fewer."""
    try:
        before = [tuple(map(int, found)) for found in then["completeness"]["ranges"]]
        after = [tuple(found) for found in now["completeness"]["ranges"]]
        for boot in sorted({boot for boot, _, _ in before + after}):
            old, new = ([(a, b) for n, a, b in ranges if n == boot] for ranges in (before, after))
            for ranges, others, text in (
                (old, new, "is not in the database any more"),
                (new, old, "was not there when the certificate was made"),
            ):
                for low, high in ranges:
                    for a, b in holes(
                        [r for r in others if r[1] >= low and r[0] <= high], low, high
                    ):
                        which = f"window {a}" if a == b else f"windows {a} to {b}"
                        yield f"records: boot {boot}, {which} {text}"
    except (KeyError, TypeError, ValueError):
        return  # the comparison of the data tells it


def _differences(
    then: Any, now: Any, path: str, same: Callable[[Any, Any], bool]
) -> Iterator[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in sorted(then.keys() | now.keys(), key=str):
            yield from _differences(then.get(name), now.get(name), f"{path}.{name}", same)
    elif (
        isinstance(then, Sequence)
        and isinstance(now, Sequence)
        and not (isinstance(then, str) or isinstance(now, str))
    ):
        if len(then) != len(now):
            yield f"{path}: {len(then)} in the certificate, {len(now)} in the database"
        for index, pair in enumerate(zip(then, now, strict=False), 1):
            yield from _differences(*pair, f"{path}[{index}]", same)
    elif not same(then, now):
        yield f"{path}: {_short(then)} in the certificate, {_short(now)} in the database"


def _stored(then: Any, now: Any) -> bool:
    return type(then) is type(now) and then == now


def _computed(then: Any, now: Any) -> bool:
    if type(then) is float and type(now) is float:
        return isclose(then, now, rel_tol=_SAME, abs_tol=1e-12)
    return _stored(then, now)


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _issue(told: Any) -> Iterator[str]:
    """What a certificate says of itself cannot be computed; its form is checked."""
    if not isinstance(told, Mapping) or told.keys() != issued("").keys():
        yield "issued: is not what porogauge writes"
        return
    for name, value in told.items():
        if not isinstance(value, str) or len(value) > 200:
            yield f"issued.{name}: {_short(value)} is not what porogauge writes"
    try:
        if datetime.fromisoformat(told["time"]).tzinfo is None:
            yield "issued.time: has no time zone"
    except (TypeError, ValueError):
        yield f"issued.time: {_short(told['time'])} is no time"


def _appearance(content: bytes, data: Mapping[str, Any]) -> list[str]:
    """Whether the file shows what its data make; called when the data are good."""
    if content.startswith(b"%PDF"):
        from . import paper

        if paper.render(data) == content:
            return []
        made, here = data["issued"]["fpdf2"], issued("")["fpdf2"]
        other = "" if made == here else f"; it was made with fpdf2 {made}, here is {here}"
        return [f"its data hold, but its pages are not those that they make{other}"]
    ours, theirs = page.render(data).splitlines(), content.decode("utf-8").splitlines()
    for number, (mine, its) in enumerate(zip(ours, theirs, strict=False), 1):
        if mine != its:
            return [f"line {number} of the page was changed: {_short(its)}, not {_short(mine)}"]
    if page.render(data).encode() != content:
        return ["something was added to the page, or cut off"]
    return []
