"""All windows of a roll, read once: what statistics and verdict need, and a check of every word.

The check is the SHA-256 of all words, and two sums of each field over every `SPAN` windows: of
its values, and of its values times their place. When one value of a field changed, the sums of
then and now tell its place and what it was; see CERTIFICATE.md.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gauge import record

from ..pages import BLOCK, Records
from ..rolls import Roll, RollError, Span, spans
from ..segments import metres
from ..stats.windows import VALUES, fields
from ..store import Store
from ..verdict import FIELDS as VERDICT_FIELDS

__all__ = ["Windows", "changes", "read"]

WORDS = ("boot", *record.FIELD_NAMES)  # of each window, in the order of the check
SPAN = 8 * BLOCK
_KEPT = tuple(
    dict.fromkeys(
        ("position_mm", "flags", "state_reason", *VERDICT_FIELDS, *fields(tuple(VALUES)))
    )
)


@dataclass(frozen=True, slots=True)
class Windows:
    """`columns`: as `porogauge.segments.table` gives them; `sums`: fields x (sum, sum by place)
    of every span of windows."""

    spans: tuple[Span, ...]
    columns: dict[str, np.ndarray]
    sha256: str
    sums: np.ndarray

    def stored(self) -> list[list[int]]:
        """Ranges [boot, first, last] that are stored without a hole."""
        boot, seq = self.columns["boot"], self.columns["seq"]
        edges = np.flatnonzero((np.diff(boot) != 0) | (np.diff(seq) != 1)) + 1
        first, last = np.append(0, edges), np.append(edges, len(seq)) - 1
        return np.stack([boot[first], seq[first], seq[last]]).T.tolist()

    def check(self) -> dict[str, Any]:
        """Plain values, for the certificate."""
        return {
            "sha256": self.sha256,
            "windows": len(self.columns["seq"]),
            "words": list(WORDS),
            "span": SPAN,
            "sums": base64.b64encode(self.sums.astype("<i8").tobytes()).decode("ascii"),
        }


def read(store: Store, roll: Roll) -> Windows:
    """Read a roll. Raises RollError when it has no windows yet."""
    ranges = tuple(spans(store, roll))
    digest = hashlib.sha256()
    sums: list[np.ndarray] = []
    place = np.arange(SPAN, dtype=np.int64)
    kept = [WORDS.index(name) for name in _KEPT]
    with Records(store) as records:
        order = records.order(roll.device, ranges)
        if not len(order):
            raise RollError(f"{store.path}: has no windows of roll {roll.name} yet")
        found = np.empty((len(kept), len(order)), np.int32)
        for number, block in enumerate(records.blocks(order, WORDS)):
            count = block.shape[1]
            digest.update(np.ascontiguousarray(block, "<i4"))
            first = number * BLOCK
            found[:, first : first + count] = block[kept]
            if first % SPAN == 0:
                sums.append(np.zeros((len(WORDS), 2), np.int64))
            start = first % SPAN
            sums[-1][:, 0] += block.sum(axis=1, dtype=np.int64)
            sums[-1][:, 1] += np.einsum("ij,j->i", block, place[start : start + count])
    columns = dict(zip(_KEPT, found, strict=True)) | {"boot": order.boot, "seq": order.seq}
    columns["metres"] = metres(order.boot, columns["position_mm"])
    return Windows(ranges, columns, digest.hexdigest(), np.array(sums))


def changes(store: Store, roll: Roll, now: Windows, then: Mapping[str, Any]) -> Iterator[str]:
    """What differs between the windows and those of a certificate, value by value.

    Nothing when the windows are the same ones with the same words.
    """
    if now.sha256 == then["sha256"]:
        return
    if then["words"] != list(WORDS) or then["span"] != SPAN:
        yield "records: the certificate was made with another layout of records"
        return
    if then["windows"] != len(now.columns["seq"]):
        return  # which windows are more or fewer is told by what is stored
    before = np.frombuffer(base64.b64decode(then["sums"]), "<i8").reshape(now.sums.shape)
    found = False
    for span, field in np.argwhere((now.sums != before).any(axis=2)).tolist():
        found = True
        yield _change(store, roll, now, span, field, *(now.sums - before)[span, field].tolist())
    if not found:
        yield "records: several values were changed so that their sums are as before"


def _change(
    store: Store, roll: Roll, now: Windows, span: int, field: int, total: int, moment: int
) -> str:
    """One value that changed by `total` at place `moment / total`; or that it was several."""
    boot, seq = (now.columns[name][span * SPAN : (span + 1) * SPAN] for name in ("boot", "seq"))
    name = WORDS[field]
    if total and moment % total == 0 and 0 <= (place := moment // total) < len(seq):
        where = int(boot[place]), int(seq[place])
        value = _value(store, roll, name, *where)
        return (
            f"records: boot {where[0]}, window {where[1]}: {name} is {value},"
            f" {value - total} in the certificate"
        )
    return (
        f"records: several values of {name} differ between boot {boot[0]}, window {seq[0]} and"
        f" boot {boot[-1]}, window {seq[-1]}"
    )


def _value(store: Store, roll: Roll, name: str, boot: int, seq: int) -> int:
    if name == "boot":
        return boot
    names: Sequence[str] = (name,)
    return next(store.columns(names, roll.device, boot, seq, seq))[0]
