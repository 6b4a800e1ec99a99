"""Pictures of a procedure's residuals, of studies and of the trend, as PNG files.

    residuals_picture(result_dict, "gap.png")
    type1_picture(values, study_dict, "type1.png")
    grr_picture(rows, study_dict, "grr.png")
    trend_picture(rows, "trend.png")

All take plain values as they are stored, so that a picture can be drawn again later. Colours as
in `porogauge.pictures`: told apart by colour-blind readers and on a grey print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import PorogaugeError
from ..pictures import BLUE, DARK, GREEN, GREY, ORANGE, RED

__all__ = ["grr_picture", "residuals_picture", "trend_picture", "type1_picture"]

_OPERATORS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9")
_MARKERS = "osD^vP"


@contextmanager
def _figure(path: str | Path, title: str, verdict: str, **shape: Any) -> Iterator[tuple[Any, Any]]:
    """(figure, axes) that are saved at the end of the block."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(layout="constrained", **shape)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", color=DARK)
    figure.text(0.99, 0.985, verdict, ha="right", va="top", fontsize=9, color=DARK)
    try:
        yield figure, axes
        for one in figure.axes:
            one.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise PorogaugeError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        plt.close(figure)


def _line(axes: Any, at: float, text: str, style: str = "--") -> None:
    """A horizontal limit with its name at the right."""
    axes.axhline(at, color=GREY, lw=0.9, ls=style, zorder=0.5)
    axes.annotate(
        text,
        (1.004, at),
        xycoords=("axes fraction", "data"),
        fontsize=7,
        va="center",
        color=GREY,
        annotation_clip=False,
    )


def residuals_picture(result: Mapping[str, Any], to: str | Path, title: str = "") -> Path:
    """Residual of every point with its U95, of a procedure's result (`Result.to_dict`).

    Raises PorogaugeError when it has none.
    """
    residuals = [r for r in result["residuals"] if r.get("residual") is not None]
    if not residuals:
        raise PorogaugeError(f"{result['procedure']}: there are no residuals to draw")
    verdict = "accepted" if result["accepted"] else "not accepted"
    with _figure(
        to,
        title or f"Calibration: {result['procedure']}",
        f"{verdict} · chi² {result['chi2']:.1f} with {result['dof']} degrees of freedom",
        figsize=(min(16.0, max(7.0, 0.34 * len(residuals) + 2)), 4.6),
    ) as (_, axes):
        places = range(len(residuals))
        axes.axhline(0, color=DARK, lw=0.8)
        axes.errorbar(
            places,
            [r["residual"] for r in residuals],
            yerr=[2 * (r.get("u") or 0) for r in residuals],
            fmt="o",
            ms=4,
            color=BLUE,
            ecolor="#9cc6e0",
            elinewidth=2,
            label="residual ± U95",
        )
        axes.set_xticks(places, [str(r["id"]) for r in residuals], rotation=90, fontsize=7)
        axes.set_ylabel(f"measured - fitted, {result['residual_unit']}")
        axes.legend(loc="lower left", fontsize=8, frameon=False)
    return Path(to)


def type1_picture(values: Sequence[float], study: Mapping[str, Any], to: str | Path) -> Path:
    """Readings in their order with the master's value and a tenth of the tolerance around it."""
    reference, tolerance, unit = study["reference"], study["tolerance"], study["unit"]
    cg, cgk = (
        "infinite" if study[name] is None else f"{study[name]:.2f}" for name in ("cg", "cgk")
    )
    with _figure(
        to,
        f"Type-1 study: {study['verdict']}",
        f"Cg {cg} · Cgk {cgk} · bias {study['bias']:+.4g} {unit} · s {study['s']:.3g} {unit}",
        ncols=2,
        sharey=True,
        width_ratios=(4, 1),
        figsize=(10, 4.2),
    ) as (_, (run, histogram)):
        run.plot(range(1, len(values) + 1), values, color=BLUE, marker="o", ms=3, lw=0.8)
        _line(run, reference, "", "-")
        for sign in (-1, 1):
            _line(run, reference + sign * 0.1 * tolerance, "")
        run.set_xlabel("reading")
        run.set_ylabel(f"value, {unit}" if unit else "value")
        histogram.hist(values, bins="auto", orientation="horizontal", color="#9cc6e0")
        for at, text in (
            (reference, "master"),
            (reference + 0.1 * tolerance, "+0.1 T"),
            (reference - 0.1 * tolerance, "-0.1 T"),
        ):
            _line(histogram, at, text, "-" if text == "master" else "--")
        histogram.set_xlabel("count")
    return Path(to)


def grr_picture(
    rows: Sequence[tuple[Any, Any, float]], study: Mapping[str, Any], to: str | Path
) -> Path:
    """Shares of the variation, and every reading by part and operator."""
    unit = study["unit"]
    of = "tolerance" if study["tolerance"] else "total variation"
    with _figure(
        to,
        f"Gauge R&R: {study['verdict']}",
        f"%GRR {study['percent_grr']:.1f} ± {2 * study['u_percent_grr']:.1f} of the {of}"
        f" · {study['ndc']} distinct categories",
        ncols=2,
        width_ratios=(1, 2.4),
        figsize=(11, 4.6),
    ) as (_, (shares, parts)):
        _shares(shares, study)
        names = list(dict.fromkeys(part for part, _, _ in rows))
        operators = list(dict.fromkeys(who for _, who, _ in rows))
        for index, who in enumerate(operators):
            colour = _OPERATORS[index % len(_OPERATORS)]
            marker = _MARKERS[index % len(_MARKERS)]
            shift = 0.16 * (index - (len(operators) - 1) / 2)
            mine = [(names.index(part) + shift, v) for part, whom, v in rows if whom == who]
            parts.plot(*zip(*mine, strict=True), marker, ms=3.5, color=colour, alpha=0.55)
            means = []
            for place, part in enumerate(names):
                of_part = [v for p, whom, v in rows if whom == who and p == part]
                means.append((place + shift, sum(of_part) / len(of_part)))
            parts.plot(*zip(*means, strict=True), color=colour, lw=1.1, label=f"operator {who}")
        parts.set_xticks(range(len(names)), [str(name) for name in names], fontsize=8)
        parts.set_xlabel("part")
        parts.set_ylabel(f"value, {unit}" if unit else "value")
        parts.legend(loc="best", fontsize=8, frameon=False)
    return Path(to)


def _shares(axes: Any, study: Mapping[str, Any]) -> None:
    """Bars of the sources of variation, in percent."""
    kind = "percent_of_tolerance" if study["tolerance"] else "percent_of_total"
    sources = [study["sources"][name] for name in ("grr", "ev", "av", "interaction", "pv")]
    values = [source[kind] for source in sources]
    errors = [
        2 * v * s["u_sd"] / s["sd"] if s["sd"] else 0.0
        for v, s in zip(values, sources, strict=True)
    ]
    places = range(len(sources))
    axes.barh(places, values, color=[RED, BLUE, ORANGE, "#CC79A7", "#c9c9c9"], height=0.62)
    low = [min(e, v) for e, v in zip(errors, values, strict=True)]
    axes.errorbar(values, places, xerr=[low, errors], fmt="none", ecolor=DARK, lw=0.8, capsize=3)
    axes.set_yticks(places, [source["name"] for source in sources], fontsize=8)
    axes.invert_yaxis()
    for at in (10, 30):
        axes.axvline(at, color=GREY, lw=0.9, ls="--", zorder=0.5)
    axes.set_xlabel("6 sd, % of tolerance" if study["tolerance"] else "sd, % of total variation")


def trend_picture(rows: Sequence[Mapping[str, Any]], to: str | Path, title: str = "") -> Path:
    """One lane for each quantity, with its limits; what is beyond is red."""
    from .verify import QUANTITIES

    if not rows:
        raise PorogaugeError("there is nothing to draw: no verification and no standardisation")
    names = [name for name in QUANTITIES if any(row["quantity"] == name for row in rows)]
    beyond = sum(row["verdict"] == "beyond" for row in rows)
    with _figure(
        to,
        title or "Trend of verifications and standardisations",
        f"{beyond} beyond their limit" if beyond else "all within limits",
        nrows=len(names),
        sharex=True,
        squeeze=False,
        figsize=(11, 0.9 + 1.9 * len(names)),
    ) as (figure, axes):
        for lane, name in zip(axes[:, 0], names, strict=True):
            mine = [row for row in rows if row["quantity"] == name]
            times = [datetime.fromisoformat(row["time"]) for row in mine]
            for verdict, colour in (("ok", BLUE), ("near", ORANGE), ("beyond", RED)):
                some = [i for i, row in enumerate(mine) if row["verdict"] == verdict]
                lane.errorbar(
                    [times[i] for i in some],
                    [mine[i]["value"] for i in some],
                    yerr=[mine[i]["u95"] for i in some],
                    fmt="o",
                    ms=4,
                    color=colour,
                    elinewidth=1,
                    label=verdict,
                )
            limit = mine[-1]["limit"]
            _line(lane, limit, "limit")
            if name != "contamination_index":
                _line(lane, -limit, "limit")
            lane.axhline(0, color=DARK, lw=0.6)
            unit = mine[0]["unit"]
            lane.set_title(QUANTITIES[name][1], loc="left", fontsize=9, color=DARK)
            lane.set_ylabel(unit or "index")
        figure.autofmt_xdate()
        axes[0, 0].legend(loc="upper right", fontsize=8, frameon=False, ncols=3)
    return Path(to)
