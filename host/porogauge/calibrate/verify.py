"""Checking a gauge without adjusting it, and the trend of all checks. Pure.

A verification reads the empty gap and then a master: a gauge block (thickness), a dense plate
(thickness and dielectric deficit) or a master film (thickness and porosity). The gauge's value
and the master's agree when their difference is within its own U95: |En| <= 1 (ISO 13528).

    >>> found = verify(points, tables)
    >>> found["accepted"], found["checks"][0]["en"]

The empty gap alone tells of the head: C0 and D against the calibration, beyond what the frame's
temperature and the air explain. Dust or a film of it raises C0: the `contamination_um` is the
dielectric deficit that the empty gap shows, what a film of that deficit would look like before a
standardisation. As an index, 100 is where the calibration's limit refuses the reference, or where
the lasers' scatter on the tile is three times that of the first entry of the trend.

    >>> rows = trend(results, head="1")     # of the book, oldest first
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot
from typing import Any

from gauge import config

from ..errors import PorogaugeError
from ..recipe import compile_words
from .budget import budget
from .physics import PRESSURE_HPA, Head, Reference, air_permittivity, numbers, porosity
from .procedure import Point, Step

__all__ = [
    "COLUMNS",
    "MASTERS",
    "contamination_index",
    "off_sheet",
    "steps",
    "trend",
    "values",
    "verify",
]

# kind of a master: what has to be stated of it, with its uncertainty
MASTERS = {
    "block": (("thickness_um", "u_thickness_um"),),
    "plate": (("thickness_um", "u_thickness_um"), ("permittivity", "u_permittivity")),
    "sample": (("t_ref_um", "u_t_ref_um"), ("phi_ref_percent", "u_phi_ref_percent")),
}
COLUMNS = (
    ("id", "", None, None, True, "name of the point"),
    ("kind", "", None, None, True, "empty, or the master: block, plate, sample"),
    ("label", "", None, None, False, "which master"),
    ("thickness_um", "um", 1.0, 2000.0, False, "stated, of a block or plate"),
    ("u_thickness_um", "um", 0.0, 100.0, False, "its standard uncertainty"),
    ("permittivity", "", 1.01, 100.0, False, "stated, of a plate"),
    ("u_permittivity", "", 0.0, 10.0, False, "its standard uncertainty"),
    ("t_ref_um", "um", 1.0, 2000.0, False, "thickness of a sample, stated"),
    ("u_t_ref_um", "um", 0.0, 100.0, False, "its standard uncertainty"),
    ("phi_ref_percent", "%", 0.0, 99.0, False, "porosity of a sample, stated"),
    ("u_phi_ref_percent", "%", 0.0, 50.0, False, "its standard uncertainty"),
    ("windows", "windows", 1, 100_000, True, "conversions averaged"),
    ("cap_pf", "pF", -4.2, 4.2, False, "(code - 2**23) 8.192 pF / 2**24"),
    ("cap_sd_pf", "pF", 0.0, 1.0, False, "scatter of one conversion"),
    ("a_um", "um", 0.0, 100_000.0, False, "distance of laser A, by the sensor's own formula"),
    ("a_sd_um", "um", 0.0, 1000.0, False, "scatter of one window"),
    ("b_um", "um", 0.0, 100_000.0, False, "distance of laser B"),
    ("b_sd_um", "um", 0.0, 1000.0, False, "scatter of one window"),
    ("frame_c", "C", -40.0, 125.0, True, "frame temperature"),
    ("air_c", "C", -40.0, 125.0, True, "air temperature"),
    ("rh_percent", "%", 0.0, 100.0, True, "relative humidity"),
    ("pressure_hpa", "hPa", 500.0, 1100.0, False, "air pressure; 1013.25 when empty"),
)
_WARN_INDEX = 50.0
_SCATTER_RATIO = 3.0  # of the lasers on the tile, at which the index is 100


def steps(kind: str, label: str, stated: Mapping[str, float], windows: int = 64) -> list[Step]:
    """The empty gap, then the master."""
    what = {
        "block": f"Put gauge block {label} into the beams, between the electrodes nothing.",
        "plate": f"Put plate {label} into the gap.",
        "sample": f"Put master film {label} into the gap, flat and dry.",
    }[kind]
    return [
        Step("empty", "Leave the gap empty; the tile in the beams.", {"kind": "empty"}, windows),
        Step("master", what, {"kind": kind, "label": label, **stated}, windows),
    ]


def off_sheet(points: Sequence[Point], calibration: Mapping[str, Any]) -> dict[str, Any]:
    """What the empty gap says of the head: `_um`, `_percent`, each with its `u_`.

    Raises PorogaugeError without a point of kind 'empty'.
    """
    head = Head(calibration)
    empty = [p for p in points if p["kind"] == "empty" and p.get("cap_pf") is not None]
    reference = Reference(head, points)
    first = empty[0]
    air = air_permittivity(first["air_c"], first["rh_percent"], _pressure(first))
    u_c0 = reference.u_deficit_zero * reference.c0 / reference.gap
    seen = head.tile_um and first.get("a_um") is not None and first.get("b_um") is not None
    found = against(
        head,
        (reference.c0, u_c0, reference.frame_c, air),
        (reference.d, reference.u_thickness_zero, reference.d_frame_c) if seen else None,
    )
    if seen:
        found["laser_sd_um"] = first.get("sum_sd_um") or hypot(
            first.get("a_sd_um") or 0.0, first.get("b_sd_um") or 0.0
        )
    return found


def against(
    head: Head,
    c0: tuple[float, float, float, float],
    d: tuple[float, float, float] | None,
) -> dict[str, Any]:
    """Compare a reference with the calibration.

    `c0`: value and u in pF, frame temperature, permittivity of the air; `d`: value and u in um,
    frame temperature; None where there is no tile.
    """
    c0_pf, u_c0, frame_c, air = c0
    gap = head.cap["gap_um"]
    # c0_pf of the file is that of the normal climate
    expected = head.cap["c0_pf"] * gap / (gap + head.growth("gap", frame_c))
    expected *= air / air_permittivity(23, 50, PRESSURE_HPA)
    common = head.u["common_um"]
    found = {
        "c0_pf": c0_pf,
        "u_c0_pf": u_c0,
        "c0_expected_pf": expected,
        "c0_drift_percent": 100 * (c0_pf / expected - 1),
        "u_c0_drift_percent": 100 * hypot(u_c0 / expected, common / gap),
        "contamination_um": gap * (1 - expected / c0_pf),
        "u_contamination_um": hypot(gap * u_c0 / expected, common),
        "frame_c": frame_c,
    }
    if d is not None:
        d_um, u_d, d_frame_c = d
        wanted = head.lasers["sum_distance_um"] + head.growth("sum_distance", d_frame_c)
        found |= {
            "d_um": d_um,
            "u_d_um": u_d,
            "d_drift_um": d_um - wanted,
            "u_d_drift_um": hypot(u_d, common),
        }
    return found


def _pressure(point: Point) -> float:
    stated = point.get("pressure_hpa")
    return PRESSURE_HPA if stated is None else float(stated)


def values(
    point: Point, reference: Reference, words: Sequence[int] | None = None
) -> dict[str, float]:
    """What the gauge makes of a reading: thickness_um, deficit_um, porosity_percent, with `u_`.

    `words`: calibration and recipe, compiled; a 'sample' needs them, since its thickness and
    porosity are those of the recipe's film: offset, layers and mixing law count. A block or plate
    is opaque and dense, and has no porosity.
    """
    u = reference.head.u
    if point.get("a_um") is None or point.get("b_um") is None:
        raise PorogaugeError(f"point {point['id']}: a laser saw nothing, there is no thickness")
    t = reference.thickness(point)
    noise_t = hypot(reference.u_thickness(point), reference.u_thickness_zero)
    found = {"thickness_um": t, "u_thickness_um": hypot(u["thickness_um"], noise_t)}
    if point["kind"] == "block":
        return found
    if point.get("cap_pf") is None:
        raise PorogaugeError(f"point {point['id']}: the converter was at its end")
    delta = reference.deficit(point)
    found["deficit_um"] = delta
    found["u_deficit_um"] = hypot(
        u["deficit_um"],
        u["gap_percent"] / 100 * delta,
        reference.u_deficit(point),
        reference.u_deficit_zero,
    )
    if point["kind"] == "sample":
        if words is None:
            raise PorogaugeError(f"point {point['id']}: a sample needs its recipe")
        found |= _film(point, t, delta, noise_t, words)
    return found


def _film(
    point: Point, t: float, delta: float, noise_t: float, words: Sequence[int]
) -> dict[str, float]:
    """Thickness and porosity of a recipe's film, with the uncertainties that the board states."""
    import numpy as np

    if words[config.POROSITY_MODE]:
        raise PorogaugeError(
            f"point {point['id']}: this recipe's layers hide porosity: verify thickness with a"
            " block"
        )
    t += (words[config.THICKNESS_OFFSET_8NM] - words[config.LAYERS_8NM]) / 8000
    delta -= words[config.LAYERS_DELTA_8NM] / 8000
    if not 0 < delta < 0.75 * t:
        raise PorogaugeError(
            f"point {point['id']}: deficit {delta:.3f} um and thickness {t:.3f} um are not those"
            " of a porous film in the gap"
        )
    climate = point["rh_percent"], point["air_c"]
    change = words[config.SOLID_RH_PPM] * (climate[0] - 50)
    change += words[config.SOLID_T_PPM] * (climate[1] - 23)
    eps_s = 1e-6 * words[config.SOLID_E6] * (1 + 1e-6 * change)
    phi = float(porosity(t, delta, eps_s, 1e-6 * words[config.STRUCTURE_PPM]))
    count = words[config.CORRECTION_NODES]
    if count:
        first = config.CORRECTION_00_PPM
        nodes = np.linspace(0, 1, count)
        phi += 1e-6 * float(np.interp(phi, nodes, words[first : first + count]))
    of = budget(words, t, phi, *climate, scatter_um=noise_t)
    return {
        "thickness_um": t,
        "u_thickness_um": of.u_thickness_um,
        "porosity_percent": 100 * phi,
        "u_porosity_percent": 100 * of.u_porosity,
    }


def verify(points: Sequence[Point], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the masters among the points with what is stated of them; plain values.

    `accepted`: every check within its U95, and nothing of the empty gap beyond its limit.
    """
    calibration = tables["calibration"]
    gap = off_sheet(points, calibration)
    reference = Reference(Head(calibration), points)
    masters = [point for point in points if point["kind"] in MASTERS]
    words = None
    if any(point["kind"] == "sample" for point in masters):
        words = compile_words(tables["recipe"], calibration)
    if not masters:
        raise PorogaugeError(f"no master among the points: kinds are {', '.join(MASTERS)}")
    checks = []
    for point in masters:
        found = values(point, reference, words)
        for quantity, stated, u_stated in _stated(point):
            u = hypot(found[f"u_{quantity}"], u_stated)
            difference = found[quantity] - stated
            checks.append(
                {
                    "id": point["id"],
                    "label": str(point.get("label", "")),
                    "quantity": quantity,
                    "value": found[quantity],
                    "u": found[f"u_{quantity}"],
                    "stated": stated,
                    "u_stated": u_stated,
                    "difference": difference,
                    "u95_difference": 2 * u,
                    "en": difference / (2 * u),
                }
            )
    reasons = [
        f"{c['id']} ({c['label']}): {c['quantity'].rpartition('_')[0]} differs by"
        f" {c['difference']:+.4g} {_unit(c['quantity'])}, more than its U95 of"
        f" {c['u95_difference']:.3g}"
        for c in checks
        if abs(c["en"]) > 1
    ]
    beyond, warnings = _limits(gap, calibration)
    return {
        "procedure": "verify",
        "accepted": not reasons + beyond,
        "checks": checks,
        "off_sheet": gap,
        "reasons": reasons + beyond,
        "warnings": warnings,
        "points": [dict(point) for point in points],
    }


def _unit(quantity: str) -> str:
    return {"um": "µm", "percent": "%"}[quantity.rpartition("_")[2]]


def _stated(point: Point) -> list[tuple[str, float, float]]:
    """(quantity, stated value, its standard uncertainty) of a master."""
    kind = point["kind"]
    for pair in MASTERS[kind]:
        for name in pair:
            if point.get(name) is None:
                raise PorogaugeError(f"point {point['id']}: {name} is missing: a {kind} needs it")
    if kind == "sample":
        return [
            ("thickness_um", point["t_ref_um"], point["u_t_ref_um"]),
            ("porosity_percent", point["phi_ref_percent"], point["u_phi_ref_percent"]),
        ]
    t, u_t = point["thickness_um"], point["u_thickness_um"]
    found = [("thickness_um", t, u_t)]
    if kind == "plate":
        eps = point["permittivity"]
        u_delta = hypot((1 - 1 / eps) * u_t, t * point["u_permittivity"] / eps**2)
        found.append(("deficit_um", t * (1 - 1 / eps), u_delta))
    return found


def _limits(gap: Mapping[str, float], calibration: Mapping[str, Any]) -> tuple[list, list]:
    """What of the empty gap is beyond its limit, and what is beyond half of it."""
    standard = numbers(calibration["standardisation"])
    beyond, near = [], []
    for name, limit, unit, text in (
        ("c0_drift_percent", standard["c0_drift_max_percent"], "%", "C0 of the empty gap"),
        ("d_drift_um", standard["sum_distance_drift_max_um"], "µm", "D on the tile"),
    ):
        if name in gap and abs(gap[name]) > limit / 2:
            said = f"{text} is {gap[name]:+.3g} {unit} off the calibration (limit {limit:g})"
            (beyond if abs(gap[name]) > limit else near).append(f"{said}: clean the head")
    return beyond, near


# ---------------------------------------------------------------- trend


def contamination_index(
    gap: Mapping[str, float], calibration: Mapping[str, Any], first: Mapping[str, float]
) -> float:
    """0: as calibrated; 100: at the limit. `first` is the off-sheet reading to compare with."""
    limit = numbers(calibration["standardisation"])["c0_drift_max_percent"]
    parts = [100 * max(0.0, gap["c0_drift_percent"]) / limit]
    if gap.get("laser_sd_um") and first.get("laser_sd_um"):
        ratio = gap["laser_sd_um"] / first["laser_sd_um"]
        parts.append(100 * max(0.0, ratio - 1) / (_SCATTER_RATIO - 1))
    return max(parts)


# quantity of the trend -> unit, what it is
QUANTITIES = {
    "c0_drift_percent": ("%", "C0 of the empty gap against the calibration"),
    "d_drift_um": ("µm", "D on the tile against the calibration"),
    "contamination_index": ("", "contamination of the head, 100 at its limit"),
    "thickness_error_um": ("µm", "thickness of the master, gauge less stated"),
    "deficit_error_um": ("µm", "dielectric deficit of the master, gauge less stated"),
    "porosity_error_percent": ("%", "porosity of the master, gauge less stated"),
}


def trend(
    results: Sequence[Mapping[str, Any]], calibrations: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Entries of a head's verifications and standardisations, oldest first, as rows of a trend.

    A row: time, source, calibration, quantity, value, u95, limit (None: its own U95), verdict
    (ok | near | beyond). `results` have time, procedure, calibration (an id) and off_sheet, those
    of verifications checks; `calibrations` the files by id. Entries whose calibration is not
    known are left out.
    """
    rows: list[dict[str, Any]] = []
    first: dict[tuple[str, str], Mapping[str, float]] = {}
    for result in results:
        id = result["calibration"]
        if id not in calibrations:
            continue
        standard = numbers(calibrations[id]["standardisation"])
        gap = result["off_sheet"]
        base = first.setdefault((id, result["procedure"]), gap)
        found = [
            ("c0_drift_percent", gap, standard["c0_drift_max_percent"]),
            ("d_drift_um", gap, standard["sum_distance_drift_max_um"]),
        ]
        told = {"time": result["time"], "source": result["procedure"], "calibration": id}
        for quantity, source, limit in found:
            if source.get(quantity) is not None:
                value, u95 = source[quantity], 2 * source.get(f"u_{quantity}", 0.0)
                rows.append(told | _row(quantity, value, u95, limit, _WARN_INDEX / 100))
        index = contamination_index(gap, calibrations[id], base)
        rows.append(told | _row("contamination_index", index, 0.0, 100.0, _WARN_INDEX / 100))
        for check in result.get("checks", ()):
            name, _, unit = check["quantity"].rpartition("_")
            row = _row(
                f"{name}_error_{unit}",
                check["difference"],
                check["u95_difference"],
                check["u95_difference"],
                1.0,
            )
            rows.append(told | row | {"label": check["label"]})
    return rows


def _row(quantity: str, value: float, u95: float, limit: float, near: float) -> dict[str, Any]:
    share = abs(value) / limit
    verdict = "beyond" if share > 1 else "near" if share > near else "ok"
    return {
        "quantity": quantity,
        "value": value,
        "u95": u95,
        "unit": QUANTITIES[quantity][0],
        "limit": limit,
        "verdict": verdict,
    }
