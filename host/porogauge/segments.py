"""What a roll measured, segment by segment along its length.

Length is that of the web past the head since the roll's first window, in metres. The board counts
from its restart on: what passed while it was down is not in the length.

    >>> [segment.porosity_percent for segment in segments(store, find(store, "A-17"))]
    [(49.8, 0.9), (50.1, 0.9)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from gauge import config, record

from .rolls import Roll, RollError, in_force, recipe_values, spans
from .store import Store

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Segment", "Value", "porosity_by_thickness", "segments", "table"]

_FOLD = 1 << 30  # the board's position in mm begins anew at -2**29 after 2**29


def table(store: Store, roll: Roll, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Chosen fields of all windows of a roll, with `boot`, `seq` and `metres`."""
    import numpy as np

    wanted = tuple(dict.fromkeys(["seq", "position_mm", *names]))
    parts: list[np.ndarray] = []
    metres: list[np.ndarray] = []
    boots: list[np.ndarray] = []
    passed = 0.0
    for span in spans(store, roll):
        rows = list(store.columns(wanted, roll.device, span.boot, span.first, span.last))
        if not rows:
            continue
        part = np.array(rows, dtype=np.int64)
        way = np.unwrap(part[:, 1], period=_FOLD)
        metres.append(passed + (way - way[0]) / 1000.0)
        passed = float(metres[-1][-1])
        parts.append(part)
        boots.append(np.full(len(part), span.boot))
    if not parts:
        raise RollError(f"{store.path}: has no windows of roll {roll.name} yet")
    whole = np.concatenate(parts)
    found = {name: whole[:, index] for index, name in enumerate(wanted)}
    return found | {"boot": np.concatenate(boots), "metres": np.concatenate(metres)}


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


_VALUES = (
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


def segments(
    store: Store,
    roll: Roll,
    length_m: float | None = None,
    between: tuple[float, float] | None = None,
) -> list[Segment]:
    """Segments of a roll without a gap, as long as the recipe has them unless a length is given.

    `between`: one segment, from metre to metre. A segment that was not measured at all (head off
    the sheet, no film) is there with 0 windows. Uncertainties are those that the gauge gave to
    one window: what does not average out decides them.
    """
    import numpy as np

    found = table(store, roll, _VALUES)
    words = config.unpack(in_force(store, roll)[0]["blob"])
    section = np.zeros(len(found["seq"]), dtype=int)
    for event in roll.events:
        if event.kind == "splice":
            after = (found["boot"] > event.boot) | (
                (found["boot"] == event.boot) & (found["seq"] >= event.seq)
            )
            section[after] += 1
    metres = found["metres"]
    if between is not None:
        inside = np.flatnonzero((metres >= between[0]) & (metres <= between[1]))
        return [_segment(words, found, inside, 0, *between)]
    if length_m is None:
        plan = recipe_values(store, roll.recipe)
        length_m = float(plan.get("sampling.segment_m") or 1)
    made = []
    for number in range(int(section.max()) + 1):
        own = np.flatnonzero(section == number)
        if not len(own):
            continue
        way = metres[own]
        low, high = float(way.min()), float(way.max())
        count = max(1, -int(-(high - low) // length_m))
        slot = np.minimum((way - low) // length_m, count - 1).astype(int)
        order = np.argsort(slot, kind="stable")
        edges = np.searchsorted(slot[order], np.arange(count + 1))
        for index in range(count):
            start_m = low + index * length_m
            end_m = min(start_m + length_m, high)
            inside = own[order[edges[index] : edges[index + 1]]]
            if end_m < high:
                inside = inside[metres[inside] < end_m]
            made.append(_segment(words, found, inside, number, start_m, end_m))
    return made


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


def _segment(
    words: Sequence[int],
    found: Mapping[str, np.ndarray],
    inside: np.ndarray,
    section: int,
    start_m: float,
    end_m: float,
) -> Segment:
    inside = inside[found["state"][inside] == record.STATE_MEASURING]
    windows = len(inside)
    part = {name: found[name][inside] for name in _VALUES}

    def there(bit: int) -> np.ndarray | None:
        mask = part["valid"] & bit != 0
        return mask if windows and mask.sum() * 2 >= windows else None

    def mean(bit: int, value: str, u: str, scale: float) -> Value | None:
        mask = there(bit)
        if mask is None:
            return None
        squares = float((part[u][mask].astype(float) ** 2).mean())
        return float(part[value][mask].mean()) / scale, sqrt(squares) / scale

    thickness = mean(record.VALID_THICKNESS, "thickness_8nm", "u_thickness_8nm", 8000)
    porosity = mean(record.VALID_POROSITY, "porosity_ppm", "u_porosity_ppm", 10_000)
    solid = None
    mask = there(record.VALID_SOLID)
    if mask is not None and thickness is not None:
        t_um, s_um = (
            float(part[name][mask].mean()) / 8000 for name in ("thickness_8nm", "solid_8nm")
        )
        u_phi = sqrt(float((part["u_porosity_ppm"][mask].astype(float) ** 2).mean())) / 1e6
        solid = s_um, _u_solid(words, t_um, s_um, thickness[1], u_phi)
        if porosity is not None:
            porosity = 100 * (1 - s_um / t_um), porosity[1]
    return Segment(
        section,
        start_m,
        end_m,
        windows,
        thickness,
        porosity,
        mean(record.VALID_PERMITTIVITY, "permittivity_e4", "u_permittivity_e4", 10_000),
        solid,
    )
