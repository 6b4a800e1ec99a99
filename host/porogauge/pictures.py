"""The picture of a roll: thickness, porosity and flags over length, from a database.

    from porogauge.pictures import roll_picture
    roll_picture("roll.db", "roll.png")

Every column of pixels shows all of its windows: the line is their mean, the pale band reaches
from the lowest to the highest value widened by U95, so that a defect of one window stays visible
on a roll of kilometres. Where there is no line the gauge reported no number; the lane of the
state says why. Limits are those of the recipe that was in force. Colours are told apart by
colour-blind readers (Okabe and Ito) and differ in lightness on a grey print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gauge import config, record

from .errors import PorogaugeError
from .store import Store, words_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

__all__ = ["roll_picture"]

BLUE, ORANGE, RED, GREEN = "#0072B2", "#E69F00", "#D55E00", "#009E73"
GREY, DARK = "#8c8c8c", "#333333"
_STATE_COLOURS = {
    "measuring": GREEN,
    "off_sheet": "#c9c9c9",
    "warm_up": ORANGE,
    "standardising": "#56B4E9",
    "hold": "#CC79A7",
    "fault": RED,
}
_COLUMNS = 1600  # bins along the roll: about one per pixel
_FIELDS = (
    "seq",
    "t_s",
    "t_us",
    "position_mm",
    "state",
    "valid",
    "flags",
    "thickness_8nm",
    "u_thickness_8nm",
    "porosity_ppm",
    "u_porosity_ppm",
)


def _choose(store: Store, device: str | None, boot: int | None) -> dict[str, Any]:
    """The one boot that is meant: the longest of those that match."""
    found = [
        entry | {"count": store.count(entry["device"], entry["boot"])}
        for entry in store.boots()
        if device in (None, entry["device"]) and boot in (None, entry["boot"])
    ]
    found = [entry for entry in found if entry["count"]]
    if not found:
        raise PorogaugeError(f"{store.path}: has no records of that device and boot")
    return max(found, key=lambda entry: entry["count"])


def _limits(store: Store, device: str, boot: int) -> Mapping[str, float]:
    """Limits in force at the end of the boot: {} when the configuration is not known."""
    stored = store.configurations(device, boot)
    if not stored:
        return {}
    words = words_of(stored[-1])
    found = {}
    for quantity, unit, factor in (("thickness", "8nm", 8000), ("porosity", "ppm", 10_000)):
        for end in ("lolo", "lo", "hi", "hihi"):
            name = f"{quantity}_{end}"
            found[name] = words[getattr(config, f"{name}_{unit}".upper())] / factor
    return found


def roll_picture(
    database: str | Path,
    to: str | Path,
    *,
    device: str | None = None,
    boot: int | None = None,
    title: str | None = None,
    truth: Sequence[Mapping[str, Any]] | None = None,
    dpi: int = 130,
) -> Path:
    """Draw a roll and return the path of the PNG.

    `truth` are rows of a bench's truth.jsonl, drawn as a broad grey line below the gauge's.
    Raises PorogaugeError when there is nothing to draw.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    with Store(database, read_only=True) as store:
        chosen = _choose(store, device, boot)
        key = chosen["device"], chosen["boot"]
        data = np.array(list(store.columns(_FIELDS, *key)), dtype=np.int64)
        limits = _limits(store, *key)
        state = store.completeness(*key)
    table = {name: data[:, index] for index, name in enumerate(_FIELDS)}
    x, label = _axis(np, table)

    active = [bit for bit in range(len(record.FLAG_NAMES)) if (table["flags"] >> bit & 1).any()]
    lanes = 1 + len(active) + bool((np.diff(table["seq"]) > 1).any())
    heights = [3.2, 3.2, 0.34 + 0.24 * lanes]
    figure, axes = plt.subplots(
        3,
        1,
        sharex=True,
        figsize=(12.5, 2.0 + sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    bins = np.linspace(x[0], x[-1], _COLUMNS + 1) if x[-1] > x[0] else np.array([x[0], x[0] + 1])
    extra = _truth(np, truth, table["seq"], chosen["boot"])
    _curve(np, axes[0], bins, x, table, "thickness", 8000, BLUE, limits, extra)
    axes[0].set_ylabel("thickness, µm")
    _curve(np, axes[1], bins, x, table, "porosity", 10_000, RED, limits, extra)
    axes[1].set_ylabel("porosity, %")
    _lanes(np, axes[2], x, table, active)
    axes[2].set_xlabel(label)
    axes[2].set_xlim(x[0], x[-1] if x[-1] > x[0] else x[0] + 1)
    figure.suptitle(title or _title(chosen), x=0.01, ha="left", fontweight="bold", color=DARK)
    axes[0].set_title(_subtitle(chosen, state, table), loc="left", fontsize=9, color=DARK)
    try:
        figure.savefig(to, dpi=dpi)
    except OSError as error:
        raise PorogaugeError(f"{to}: cannot be written: {error.strerror or error}") from None
    finally:
        plt.close(figure)
    return Path(to)


def _axis(np: Any, table: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str]:
    """Length of web in metres where the web moved, else time: a still web has no length."""
    position = table["position_mm"] / 1000
    if position.max() - position.min() >= 0.1 and (np.diff(position) >= -0.5).all():
        return np.maximum.accumulate(position), "length, m"
    return table["t_s"] + table["t_us"] / 1e6, "time since boot, s"


def _truth(np: Any, truth: Any, seq: np.ndarray, boot: int) -> Mapping[str, np.ndarray] | None:
    """Truth at each record, NaN where there is none."""
    if not truth:
        return None
    by_seq = {row["seq"]: row for row in truth if row.get("boot", boot) == boot}
    nothing: dict[str, Any] = {}

    def column(name: str) -> np.ndarray:
        values = (by_seq.get(int(number), nothing).get(name) for number in seq)
        return np.array([np.nan if value is None else value for value in values], dtype=float)

    return {"thickness": column("thickness_nm") / 1000, "porosity": column("porosity_ppm") / 1e4}


def _binned(np: Any, bins: np.ndarray, x: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """Mean, lowest and highest of each bin; NaN where a bin has no value.

    `columns` are value, lower edge and upper edge of its uncertainty.
    """
    index = np.clip(np.searchsorted(bins, x, side="right") - 1, 0, len(bins) - 2)
    size = len(bins) - 1
    value, low, high = columns
    there = np.isfinite(value)
    count = np.bincount(index[there], minlength=size)
    total = np.bincount(index[there], value[there], minlength=size)
    lowest = np.full(size, np.inf)
    highest = np.full(size, -np.inf)
    np.minimum.at(lowest, index[there], low[there])
    np.maximum.at(highest, index[there], high[there])
    empty = count == 0
    mean = np.where(empty, np.nan, total / np.maximum(count, 1))
    # A bin between two windows is not a hole in the film: only bins that saw a window count.
    seen = np.bincount(index, minlength=size) > 0
    middle = (bins[:-1] + bins[1:]) / 2
    keep = seen
    return [
        middle[keep],
        mean[keep],
        np.where(empty, np.nan, lowest)[keep],
        np.where(empty, np.nan, highest)[keep],
    ]


def _curve(
    np: Any,
    axes: Axes,
    bins: np.ndarray,
    x: np.ndarray,
    table: Mapping[str, np.ndarray],
    quantity: str,
    factor: int,
    colour: str,
    limits: Mapping[str, float],
    truth: Mapping[str, np.ndarray] | None,
) -> None:
    unit = "8nm" if quantity == "thickness" else "ppm"
    bit = record.VALID_THICKNESS if quantity == "thickness" else record.VALID_POROSITY
    there = table["valid"] & bit != 0
    value = np.where(there, table[f"{quantity}_{unit}"] / factor, np.nan)
    u95 = 2 * table[f"u_{quantity}_{unit}"] / factor
    middle, mean, low, high = _binned(np, bins, x, value, value - u95, value + u95)
    axes.fill_between(middle, low, high, color=colour, alpha=0.22, lw=0, label="range ± U95")
    # Dots as well: a single window between two without a number makes no line.
    axes.plot(middle, mean, color=colour, lw=1.1, marker=".", ms=1.6, label="gauge")
    if truth is not None:
        # Below and broad: where gauge and truth agree both can be seen.
        axes.plot(x, truth[quantity], color="#b8b8b8", lw=4.0, label="truth", zorder=1)
    shown = [value[np.isfinite(value)]]
    for end, style in (("lolo", "-"), ("lo", "--"), ("hi", "--"), ("hihi", "-")):
        limit = limits.get(f"{quantity}_{end}")
        # 0 and the end of the scale mean 'no limit'
        if limit is None or limit in (0, 100 if quantity == "porosity" else 1000):
            continue
        axes.axhline(limit, color=GREY, lw=0.9, ls=style, zorder=0.5)
        axes.annotate(
            end.upper(),
            (1.004, limit),
            xycoords=("axes fraction", "data"),
            fontsize=7,
            va="center",
            color=GREY,
            annotation_clip=False,
        )
        shown.append(np.array([limit]))
    values = np.concatenate(shown)
    if len(values):
        # A wild single value must not flatten the roll: the band may leave the picture.
        lowest, highest = (
            np.percentile(values, [0.05, 99.95])
            if len(values) > 50
            else (
                values.min(),
                values.max(),
            )
        )
        for extra in shown[1:]:
            lowest, highest = min(lowest, extra[0]), max(highest, extra[0])
        margin = max((highest - lowest) * 0.12, 0.05)
        axes.set_ylim(lowest - margin, highest + margin)
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=3)


def _runs(np: Any, active: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) indices of the runs of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    return list(zip(edges[::2], edges[1::2] - 1, strict=True))


def _lanes(
    np: Any, axes: Axes, x: np.ndarray, table: Mapping[str, np.ndarray], active: list[int]
) -> None:
    """A lane for the state and one per flag that occurred."""
    # Half a thousandth of the roll at least, or a flag of one window cannot be seen.
    least = (x[-1] - x[0]) / 600 or 0.1
    step = np.append(np.diff(x), np.median(np.diff(x)) if len(x) > 1 else least)

    def bars(runs: list[tuple[int, int]]) -> list[tuple[float, float]]:
        return [(x[a], max(x[b] + step[b] - x[a], least)) for a, b in runs]

    names = ["state"]
    for index, name in enumerate(record.STATE_NAMES):
        runs = _runs(np, table["state"] == index)
        if runs:
            axes.broken_barh(
                bars(runs),
                (-0.36, 0.72),
                color=_STATE_COLOURS[name],
                lw=0,
                label=name.replace("_", " "),
            )
    for lane, bit in enumerate(active, 1):
        name = record.FLAG_NAMES[bit]
        severe = name.endswith(("lolo", "hihi", "fault")) or name in ("not_physical", "overrun")
        runs = _runs(np, table["flags"] >> bit & 1)
        colour = DARK if severe else ORANGE
        axes.broken_barh(bars(runs), (lane - 0.36, 0.72), color=colour, lw=0)
        names.append(name.replace("_", " "))
    holes = np.flatnonzero(np.diff(table["seq"]) > 1)
    if len(holes):
        spans = [(x[i], max(x[i + 1] - x[i], least)) for i in holes]
        lane = (len(names) - 0.36, 0.72)
        axes.broken_barh(spans, lane, facecolor="white", edgecolor=RED, hatch="////", lw=0.8)
        names.append("lost windows")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower left",
        ncols=len(record.STATE_NAMES),
        fontsize=8,
        frameon=False,
    )


def _title(chosen: Mapping[str, Any]) -> str:
    return f"Roll on gauge {chosen['device']}, boot {chosen['boot']}"


def _subtitle(chosen: Mapping[str, Any], state: Any, table: Mapping[str, np.ndarray]) -> str:
    parts = [f"{len(table['seq'])} windows"]
    length = (table["position_mm"].max() - table["position_mm"].min()) / 1000
    parts.append(f"{length:.1f} m")
    if chosen["clock"] is not None:
        first = chosen["clock"].wall(int(table["t_s"][0]) * 1_000_000)
        parts.append(datetime.fromtimestamp(first).strftime("%Y-%m-%d %H:%M"))
    lost = state.gaps + sum(high - low + 1 for low, high in state.missing)
    parts.append("complete" if not lost else f"{lost} windows lost")
    return " · ".join(parts)
