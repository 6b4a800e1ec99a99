"""What a roll measured, segment by segment along its length.

Length is that of the web past the head since the roll's first window, in metres. The board counts
from its restart on: what passed while it was down is not in the length.

    >>> [segment.porosity_percent for segment in segments(store, find(store, "A-17"))]
    [(49.8, 0.9), (50.1, 0.9)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

from gauge import config, record

from .pages import Records
from .rolls import Roll, RollError, Span, in_force, recipe_values, spans
from .store import Store, words_of

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "FIELDS",
    "Segment",
    "Value",
    "metres",
    "porosity_by_thickness",
    "read",
    "sections",
    "segments",
    "table",
]

_FOLD = 1 << 30  # the board's position in mm begins anew at -2**29 after 2**29


def table(store: Store, roll: Roll, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Chosen fields of all windows of a roll, with `boot`, `seq` and `metres`."""
    found = read(store, roll.device, spans(store, roll), names)
    if not len(found["seq"]):
        raise RollError(f"{store.path}: has no windows of roll {roll.name} yet")
    return found


def read(
    store: Store, device: str, ranges: Sequence[Span], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Chosen fields of a device's windows, with `boot`, `seq` and `metres` since the first one."""
    wanted = tuple(dict.fromkeys(["seq", "position_mm", *names]))
    with Records(store) as records:
        order = records.order(device, ranges)
        found = dict(zip(wanted, records.columns(order, wanted), strict=True))
    return found | {"boot": order.boot, "metres": metres(order.boot, found["position_mm"])}


def metres(boot: np.ndarray, position_mm: np.ndarray) -> np.ndarray:
    """Length of web since the first window; it goes on from one boot to the next."""
    import numpy as np

    found = np.empty(len(boot))
    passed = 0.0
    edges = np.flatnonzero(np.diff(boot)) + 1
    for low, high in zip([0, *edges], [*edges, len(boot)], strict=True):
        way = position_mm[low:high].astype(np.int64)
        if len(way) and np.ptp(way) >= _FOLD >> 1:
            way = np.unwrap(way, period=_FOLD)
        found[low:high] = passed + (way - way[:1]) / 1000.0
        passed = float(found[high - 1]) if high else passed
    return found


Value = tuple[float, float]  # and its standard uncertainty


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of web. A value is None where the gauge gave none in half of its windows.

    `windows` in the state measuring; `section` counts the splices before it. Porosity is that of
    the whole segment, 1 - sum of solid / sum of thickness: what weighing it would give.
    """

    section: int
    start_m: float
    end_m: float
    windows: int
    thickness_um: Value | None
    porosity_percent: Value | None
    permittivity: Value | None
    solid_um: Value | None


FIELDS = (  # that segments are made of
    "valid",
    "state",
    "thickness_8nm",
    "porosity_ppm",
    "permittivity_e4",
    "solid_8nm",
    "u_thickness_8nm",
    "u_porosity_ppm",
    "u_permittivity_e4",
)


def sections(roll: Roll, windows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Number of splices before each window."""
    import numpy as np

    section = np.zeros(len(windows["seq"]), dtype=np.int32)
    for event in roll.events:
        if event.kind == "splice":
            section += (windows["boot"] > event.boot) | (
                (windows["boot"] == event.boot) & (windows["seq"] >= event.seq)
            )
    return section


def segments(
    store: Store,
    roll: Roll,
    length_m: float | None = None,
    between: tuple[float, float] | None = None,
    windows: Mapping[str, np.ndarray] | None = None,
) -> list[Segment]:
    """Segments of a roll without a gap, as long as the recipe has them unless a length is given.

    `between`: one segment, from metre to metre. A segment that was not measured at all (head off
    the sheet, no film) is there with 0 windows. Uncertainties are those that the gauge gave to
    one window: what does not average out decides them. `windows`: the roll's `table` of `FIELDS`
    where it was read already.
    """
    import numpy as np

    found = table(store, roll, FIELDS) if windows is None else windows
    words = words_of(in_force(store, roll)[0])
    along = found["metres"]
    if between is not None:
        inside = np.flatnonzero((along >= between[0]) & (along <= between[1]))
        return _segments(words, found, inside, np.zeros(len(inside), int), [(0, *between)])
    if length_m is None:
        plan = recipe_values(store, roll.recipe)
        length_m = float(plan.get("sampling.segment_m") or 1)
    section = sections(roll, found)
    place = np.empty(len(along), dtype=np.int32)
    pieces: list[tuple[int, float, float]] = []
    edges = [0, *(np.flatnonzero(np.diff(section)) + 1).tolist(), len(section)]
    for begin, after in pairwise(edges):
        way = along[begin:after]
        low, high = float(way.min()), float(way.max())
        count = max(1, -int(-(high - low) // length_m))
        slot = np.minimum((way - low) // length_m, count - 1)
        np.add(slot, len(pieces), out=place[begin:after], casting="unsafe")
        for index in range(count):
            start_m = low + index * length_m
            pieces.append((int(section[begin]), start_m, min(start_m + length_m, high)))
    return _segments(words, found, None, place, pieces)


def _weights(words: Sequence[int], t_um: float, s_um: float) -> tuple[float, float]:
    """w and h of `gauge.mixture`: -t dphi/dDelta, and t dphi/dt."""
    solid = words[config.SOLID_E6] / 1e6
    share = words[config.STRUCTURE_PPM] / 1e6
    a, b = (1 - share) / (solid - 1), share * solid / (solid - 1)
    rest = min(1.0, s_um / t_um)  # 1 - phi
    # eps from 1 - phi = a (eps - 1) + b (1 - 1 / eps)
    p = b - a - rest
    eps = (-p + sqrt(p * p + 4 * a * b)) / (2 * a) if a > 1e-9 else b / (b - rest)
    w = a * eps * eps + b
    return w, w * (1 - 1 / eps)


def porosity_by_thickness(words: Sequence[int], t_um: float, s_um: float) -> float:
    """t dphi/dt: how much porosity moves with a relative error of the thickness."""
    return _weights(words, t_um, s_um)[1]


def porosity_by_deficit(words: Sequence[int], t_um: float, s_um: float) -> float:
    """-t dphi/dDelta: how much porosity moves with the deficit, both relative to the thickness."""
    return _weights(words, t_um, s_um)[0]


def _u_solid(words: Sequence[int], t_um: float, s_um: float, u_t: float, u_phi: float) -> float:
    """Standard uncertainty of s = t (1 - phi) in um, from those of t and phi.

    Both follow from the same t and Delta. What is in u(phi) of thickness, h u_t / t, and of the
    frame, (w - h) u_c / t (`gauge.mixture`), is in s with other weights: h - (1 - phi) and
    (w - h) + (1 - phi); physics.md section 3.
    """
    w, h = _weights(words, t_um, s_um)
    rest = min(1.0, s_um / t_um)
    common = words[config.U_COMMON_8NM] / 8000
    alone = sqrt(max(0.0, u_t * u_t - common * common))
    others = (t_um * u_phi) ** 2 - (h * alone) ** 2 - ((w - h) * common) ** 2
    return sqrt(max(0.0, others) + ((h - rest) * alone) ** 2 + ((w - h + rest) * common) ** 2)


# valid bit -> what is added up of the windows that have it: field, and whether it is squared
_SUMS = {
    record.VALID_THICKNESS: (("thickness_8nm", 1), ("u_thickness_8nm", 2)),
    record.VALID_POROSITY: (("porosity_ppm", 1), ("u_porosity_ppm", 2)),
    record.VALID_PERMITTIVITY: (("permittivity_e4", 1), ("u_permittivity_e4", 2)),
    record.VALID_SOLID: (("solid_8nm", 1), ("u_porosity_ppm", 2), ("thickness_8nm", 1)),
}
_BLOCK = 1 << 16  # windows: what is computed of them stays in the processor's cache


def _sums(
    found: Mapping[str, np.ndarray], inside: np.ndarray | None, place: np.ndarray, count: int
) -> dict[tuple[int, str], np.ndarray]:
    """(valid bit, field) -> sum over each piece; (bit, "n"): windows; bit 0: all measuring."""
    import numpy as np

    keys = [(bit, name) for bit, fields in _SUMS.items() for name, _ in (*fields, ("n", 0))]
    total = {key: np.zeros(count) for key in [(0, "n"), *keys]}

    def add(key: tuple[int, str], at: np.ndarray, values: np.ndarray | None = None) -> None:
        if len(at):
            first = int(at.min())
            sums = np.bincount(at - first, values)
            total[key][first : first + len(sums)] += sums

    for start in range(0, len(place), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows = block if inside is None else inside[block]
        part = {name: found[name][rows] for name in FIELDS}
        measuring = part["state"] == record.STATE_MEASURING
        add((0, "n"), place[block][measuring])
        for bit, fields in _SUMS.items():
            mask = measuring & (part["valid"] & bit != 0)
            at = place[block][mask]
            add((bit, "n"), at)
            for name, power in fields:
                add((bit, name), at, part[name][mask].astype(float) ** power)
    return total


def _segments(
    words: Sequence[int],
    found: Mapping[str, np.ndarray],
    inside: np.ndarray | None,
    place: np.ndarray,
    pieces: Sequence[tuple[int, float, float]],
) -> list[Segment]:
    """`place`: of each window (inside), the number of its piece (section, start, end)."""
    total = _sums(found, inside, place, len(pieces))
    windows = total[0, "n"]

    def means(bit: int) -> list[list[float]]:
        """Of pieces with a value in half of their windows, else NaN."""
        count = total[bit, "n"].copy()
        count[(windows == 0) | (2 * count < windows)] = float("nan")
        return [(total[bit, name] / count).tolist() for name, _ in _SUMS[bit]]

    def values(bit: int, scale: float) -> list[Value | None]:
        return [
            None if mean != mean else (mean / scale, sqrt(square) / scale)
            for mean, square in zip(*means(bit), strict=True)
        ]

    thickness = values(record.VALID_THICKNESS, 8000)
    porosity = values(record.VALID_POROSITY, 10_000)
    permittivity = values(record.VALID_PERMITTIVITY, 10_000)
    solid: list[Value | None] = [None] * len(pieces)
    for index, (s_8nm, u_phi, t_8nm) in enumerate(zip(*means(record.VALID_SOLID), strict=True)):
        t = thickness[index]
        if s_8nm != s_8nm or t is None:
            continue
        t_um, s_um = t_8nm / 8000, s_8nm / 8000
        solid[index] = s_um, _u_solid(words, t_um, s_um, t[1], sqrt(u_phi) / 1e6)
        if porosity[index] is not None:
            porosity[index] = 100 * (1 - s_um / t_um), porosity[index][1]
    return [
        Segment(*piece, *rest)
        for piece, *rest in zip(
            pieces, map(int, windows), thickness, porosity, permittivity, solid, strict=True
        )
    ]
