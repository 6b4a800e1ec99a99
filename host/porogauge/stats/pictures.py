"""The picture of an analysis: control charts, spectrum, autocorrelation, capability.

    from porogauge.stats.pictures import picture
    picture(statistics("roll.db")[0], "roll.png", title="Roll A-17")

Colours are told apart by colour-blind readers and differ in lightness on a grey print; a point
outside its limits is also a larger mark. What could not be computed says so in its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PorogaugeError
from ..pictures import BLUE, DARK, GREEN, GREY, ORANGE, RED
from .analysis import Analysis
from .control_charts import Chart
from .rules import WESTERN_ELECTRIC, signals

__all__ = ["picture"]

_LABELS = {"um": "µm"}
_MOST = 4000  # points of a chart: more are drawn as the range of neighbours


def picture(found: Analysis, to: str | Path, title: str = "", dpi: int = 130) -> Path:
    """Draw an analysis and return the path of the PNG.

    Raises PorogaugeError when the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    unit = _LABELS.get(found.value.unit, found.value.unit)
    quantity = f"{found.value.text}, {unit}" if unit else found.value.text
    figure, axes = plt.subplot_mosaic(
        [["means"] * 3, ["spread"] * 3, ["ewma"] * 3, ["spectrum", "correlation", "histogram"]],
        figsize=(12.5, 12.5),
        height_ratios=[3, 1.7, 2.2, 3],
        layout="constrained",
    )
    report = found.report
    _chart(axes["means"], found, "xbar_s", f"mean of {quantity}")
    _chart(axes["spread"], found, "s", f"s, {unit}" if unit else "s")
    _chart(axes["ewma"], found, "ewma", "EWMA of means")
    axes["ewma"].set_xlabel("length, m")
    _spectrum(axes["spectrum"], found, unit)
    _correlation(axes["correlation"], found)
    _histogram(axes["histogram"], found, quantity)
    axes["spread"].sharex(axes["means"])
    axes["ewma"].sharex(axes["means"])
    for lane in axes.values():
        lane.spines[["top", "right"]].set_visible(False)
    parts = [f"{report['windows_used']} of {report['windows']} windows"]
    parts.append(f"{report['length_m']:.1f} m")
    made = report["readings"]
    if not made["reason"]:
        parts.append(
            f"subgroups of {made['subgroup_m']:g} m, {made['per_subgroup']} means over"
            f" {made['length_m']:g} m each"
        )
    heading = f"{title}: {found.value.text}" if title else found.value.text.capitalize()
    figure.suptitle(heading, x=0.01, ha="left", fontweight="bold", color=DARK)
    axes["means"].set_title(" · ".join(parts), loc="left", fontsize=9, color=DARK)
    try:
        figure.savefig(to, dpi=dpi)
    except OSError as error:
        raise PorogaugeError(f"{to}: cannot be written: {error.strerror or error}") from None
    finally:
        plt.close(figure)
    return Path(to)


def _nothing(axes: Any, reason: str) -> None:
    """Say in its place why a chart is not there."""
    axes.text(
        0.5,
        0.5,
        reason,
        ha="center",
        va="center",
        wrap=True,
        fontsize=9,
        color=GREY,
        transform=axes.transAxes,
    )
    axes.set_xticks([])
    axes.set_yticks([])


def _line(axes: Any, at: float, text: str, style: str = "--", colour: str = GREY) -> None:
    axes.axhline(at, color=colour, lw=0.9, ls=style, zorder=0.5)
    axes.annotate(
        text,
        (1.004, at),
        xycoords=("axes fraction", "data"),
        fontsize=7,
        va="center",
        color=GREY,
        annotation_clip=False,
    )


def _chart(axes: Any, found: Analysis, name: str, label: str) -> None:
    axes.set_ylabel(label)
    chart = found.charts.get(name)
    if chart is None or found.middles is None:
        _nothing(axes, found.report["charts"][name]["reason"])
        return
    x = found.middles
    if len(x) <= _MOST:
        axes.plot(x, chart.points, color=BLUE, lw=0.8, marker=".", ms=3, label="subgroup")
    else:
        group = -(-len(x) // _MOST)
        size = len(x) // group * group
        with np.errstate(invalid="ignore"):
            rows = np.ma.masked_invalid(chart.points[:size].reshape(-1, group))
            middle = x[:size].reshape(-1, group).mean(axis=1)
            low, high = rows.min(axis=1).filled(np.nan), rows.max(axis=1).filled(np.nan)
        axes.fill_between(
            middle, low, high, color=BLUE, lw=0.4, alpha=0.55, label=f"range of {group} subgroups"
        )
    _marks(axes, x, chart)
    _line(axes, chart.centre, "mean", "-")
    for limit, text in ((chart.lower, "LCL"), (chart.upper, "UCL")):
        if isinstance(limit, np.ndarray):
            axes.plot(x, limit, color=GREY, lw=0.9, ls="--", zorder=0.5)
            _line(axes, float(limit[np.isfinite(limit)][-1]), text, " ")
        else:
            _line(axes, limit, text)
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=3)
    low, high = np.nanmin(chart.points), np.nanmax(chart.points)
    low = min(low, float(np.nanmin(chart.lower)))
    high = max(high, float(np.nanmax(chart.upper)))
    room = (high - low) * 0.08 or 1e-6
    axes.set_ylim(low - room, high + 2.2 * room)


def _marks(axes: Any, x: np.ndarray, chart: Chart) -> None:
    """Signals: outside the limits, and runs inside them."""
    outside = chart.beyond
    many = len(x) > _MOST
    if chart.patterns:
        inside = np.zeros(len(x), dtype=bool)
        for rule in WESTERN_ELECTRIC[1:]:
            inside |= signals(chart.z, rule)
        inside &= ~outside
        if inside.any():
            axes.plot(
                x[inside],
                chart.points[inside],
                ls="",
                marker="s",
                ms=1.5 if many else 4,
                mfc="none",
                mec=ORANGE,
                label=f"Western Electric 2 to 4 ({int(inside.sum())})",
            )
    if outside.any():
        axes.plot(
            x[outside],
            chart.points[outside],
            ls="",
            marker="o",
            ms=1.5 if many else 4.5,
            color=RED,
            label=f"outside the limits ({int(outside.sum())})",
        )


def _spectrum(axes: Any, found: Analysis, unit: str) -> None:
    axes.set_title("Spectrum over length", loc="left", fontsize=9, color=DARK)
    made = found.spectrum
    if made is None:
        _nothing(axes, found.report["spectrum"]["reason"])
        return
    # Logarithmic: many frequencies at the right end share a column of pixels.
    period = 1000 / made.frequency_per_m[1:]
    axes.loglog(period, made.density[1:], color=BLUE, lw=0.7)
    axes.invert_xaxis()
    for peak, told in zip(found.peaks[:6], found.report["spectrum"]["periods"], strict=False):
        index = int(np.argmin(np.abs(made.frequency_per_m - 1000 / peak.period_mm)))
        top = made.density[index]
        axes.plot([peak.period_mm], [top], marker="v", ms=6, color=RED, ls="")
        whose = f"\n{told['rollers'][0]}" if told["rollers"] else ""
        axes.annotate(
            f"{peak.period_mm:.4g} mm{whose}",
            (peak.period_mm, top),
            textcoords="offset points",
            xytext=(0, 7),
            ha="center",
            fontsize=7,
            color=DARK,
        )
    axes.margins(y=0.14)
    axes.set_xlabel("period, mm")
    axes.set_ylabel(f"power density, ({unit})² m" if unit else "power density, m")


def _correlation(axes: Any, found: Analysis) -> None:
    axes.set_title("Autocorrelation", loc="left", fontsize=9, color=DARK)
    r = found.correlation
    if r is None or found.readings is None:
        _nothing(axes, found.report["autocorrelation"]["reason"])
        return
    length = found.report["autocorrelation"]["length_m"]["value"]
    step = found.readings.step_m
    shown = len(r) if length is None else min(len(r), max(20, int(8 * length / step)))
    axes.plot(np.arange(shown) * step, r[:shown], color=BLUE, lw=1.1)
    axes.axhline(0, color=DARK, lw=0.6)
    _line(axes, float(np.exp(-1)), "1/e")
    if length is not None:
        axes.axvline(length, color=ORANGE, lw=1.1, ls="--", label=f"{length:.3g} m")
        axes.legend(loc="upper right", fontsize=8, frameon=False)
    axes.set_xlabel("distance, m")


def _histogram(axes: Any, found: Analysis, quantity: str) -> None:
    told = found.report["capability"]
    if found.readings is None:
        axes.set_title("Readings", loc="left", fontsize=9, color=DARK)
        _nothing(axes, found.report["readings"]["reason"])
        return
    values = found.readings.valid
    axes.hist(values, bins=min(60, max(8, int(len(values) ** 0.5))), color=BLUE, alpha=0.55)
    text = "no capability: " + told["reason"] if told["reason"] else _indices(told)
    axes.set_title(text, loc="left", fontsize=9, color=DARK)
    axes.set_xlabel(quantity)
    axes.set_ylabel("readings")
    middle, wide = float(values.mean()), 4 * float(values.std()) or 1e-6
    axes.axvline(middle, color=GREEN, lw=1.2, label=f"mean {middle:.5g}")
    away = []
    for limit, name in ((found.limits.lower, "lower"), (found.limits.upper, "upper")):
        if limit is None:
            continue
        if abs(limit - middle) < 4 * wide:
            axes.axvline(limit, color=RED, lw=1.2, ls="--", label=f"{name} limit {limit:g}")
        else:
            away.append(f"{limit:g}")
    if away:
        axes.plot([], [], ls="", label=f"limits far away: {', '.join(away)}")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.legend(loc="upper left", fontsize=7, framealpha=0.9, edgecolor="none")


def _indices(told: dict[str, Any]) -> str:
    parts = []
    for name in ("cp", "cpk", "pp", "ppk"):
        if told[name]["value"] is not None:
            parts.append(f"{name.capitalize()} {told[name]['value']:.2f}")
    return " · ".join(parts)
