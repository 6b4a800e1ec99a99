"""D, passline maps, tile, skew and tilt of the two lasers, from gauge blocks.

    a + b = D - T / cos(tilt) + spot offset tan(tilt) - map_a(a) - map_b(b)

A block of thickness T at many heights takes both lasers through their ranges against each other;
blocks of several thicknesses do it on other ways. Nothing but the sum is used, so that the height
need not be known. Both maps together follow from that, each as a gain and a smooth curve; what
cannot be told, a constant, belongs to D: the maps are zero where the lasers read D / 2. How large
and how smooth the curves are the points say themselves (largest marginal likelihood). The
reference tile, if the head has one, is measured like any other block, because D is renewed on it.

The thickness of blocks at tilts of a degree to either side tells the offset of the two spots, a
block that moves up and down tells by how much the lasers' instants differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, radians, sqrt
from typing import Any

import numpy as np

from .linear import LEAST_P, NotDetermined, Solution, Unknown, solve
from .physics import Head, PointsError, complete, frame_temperatures, setting
from .procedure import Estimate, Point, Result, Step, reading_columns

NAME = "lasers"
OPTIONS = {
    "windows": (32, "windows", 4, 1000, "windows of each reading"),
    "u_thickness_limit_um": (0.3, "um", 0.01, 20.0, "largest u of thickness that is accepted"),
    "spot_limit_um": (20.0, "um", 1.0, 1000.0, "largest offset of the spots without a warning"),
    "u_growth_um_per_k": (0.3, "um/K", 0.0, 10.0, "how well sum_distance_um_per_k is known now"),
}
STANDARDS = ("label", "thickness_um", "u_thickness_um")
COLUMNS = (
    ("id", "", None, None, True, "name of the point"),
    ("kind", "", None, None, True, "empty (the tile), block or vibrate"),
    ("label", "", None, None, False, "which block"),
    ("thickness_um", "um", 1.0, 10_000.0, False, "stated thickness"),
    ("u_thickness_um", "um", 0.0, 100.0, False, "standard uncertainty of that"),
    ("height_um", "um", -5000.0, 5000.0, False, "about how high; not used by the fit"),
    ("tilt_deg", "degrees", -10.0, 10.0, False, "tilt of the block"),
    *reading_columns(
        "windows a_um b_um frame_c",
        "a_sd_um b_sd_um sum_sd_um skew_us",
    ),
)
_BLOCKS = tuple(
    {"label": f"block {t:g}", "thickness_um": t, "u_thickness_um": 0.05}
    for t in (100.0, 200.0, 350.0, 500.0)
)
_HEIGHTS_UM = (-500, -400, -300, -200, -100, 0, 100, 200, 300, 400, 500)
_NODES = 33
_GAIN = 0.005  # of a sensor, as u
_MODEL_UM = 0.003  # straight lines between the nodes, quantisation
_AMPLITUDES_UM = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_SMOOTH = (0.04, 0.055, 0.075, 0.1)  # length of the curves, in ranges of the sensor
_LEAST_HEIGHTS = 5


def steps(tables: Mapping[str, Any], options: Mapping[str, Any]) -> list[Step]:
    """Return the readings to take; `standards` replaces the usual blocks."""
    windows = int(setting(options, OPTIONS, "windows"))
    blocks = options.get("standards") or _BLOCKS
    found = [Step("tile", "Clear the gap.", {"kind": "empty"}, 2 * windows)]
    for i, block in enumerate(blocks):
        for height in _HEIGHTS_UM:
            # blocks take turns at whole and half steps, so that the lasers see more places
            place = float(height if i % 2 == 0 else height * 0.9)
            found.append(_block(block, place, 0.0, windows))
    middle = blocks[len(blocks) // 2]
    found += [_block(middle, 0.0, tilt, windows) for tilt in (-1.0, 1.0)]
    moving = {
        "kind": "vibrate",
        "label": middle["label"],
        "thickness_um": middle["thickness_um"],
        "amplitude_um": 100.0,
        "frequency_hz": 10.0,
    }
    found.append(
        Step(
            "vibrate",
            f"Let block {middle['label']} move up and down by 100 um, 10 times a second.",
            moving,
            4 * windows,
        )
    )
    return found + [Step("tile again", "Clear the gap.", {"kind": "empty"}, 2 * windows)]


def _block(block: Mapping[str, Any], height: float, tilt: float, windows: int) -> Step:
    how = f", tilted by {tilt:+g} degrees" if tilt else ""
    return Step(
        f"{block['label']}@{height:+g}" + (f"/{tilt:+g}deg" if tilt else ""),
        f"Put {block['label']} into the beams, {height:+g} um from the middle{how}.",
        {"kind": "block", **block, "height_um": height, "tilt_deg": tilt},
        windows,
    )


class _Model:
    """The fit as matrices: a + b = known + rows @ unknowns."""

    def __init__(self, head: Head, good: Sequence[Point], growth_u: float):
        from gauge.drivers.optoncdt import MODELS

        self.range_um = next(1000.0 * m.range_mm for m in MODELS if m.name == head.lasers["model"])
        self.a = np.array([float(p["a_um"]) for p in good])
        self.b = np.array([float(p["b_um"]) for p in good])
        both = np.concatenate([self.a, self.b])
        self.start = float(np.floor(both.min()))
        self.step = max(1.0, float(np.ceil((both.max() - self.start) / (_NODES - 1) * 100) / 100))
        self.middle = head.lasers["sum_distance_um"] / 2
        blocks = {
            str(p["label"]): float(p["u_thickness_um"]) for p in good if p["kind"] == "block"
        }
        tilt = np.array([radians(float(p.get("tilt_deg") or 0.0)) for p in good])
        stated = np.array([float(p.get("thickness_um") or 0.0) for p in good])
        warm = frame_temperatures(good) - head.cap["frame_c"]
        self.known = -stated / np.cos(tilt)
        self.unknowns = [
            Unknown("d", 2 * self.middle, inf, 10.0),
            Unknown("growth", head.lasers["sum_distance_um_per_k"], growth_u or 1e-9),
            Unknown("gain a", 0.0, _GAIN),
            Unknown("gain b", 0.0, _GAIN),
        ]
        columns = [
            np.ones(len(good)),
            warm,
            self.middle - self.a,
            self.middle - self.b,
        ]
        if any(p["kind"] == "empty" for p in good):
            self.unknowns.append(Unknown("tile", head.tile_um, inf, 10.0))
            columns.append(np.array([-1.0 if p["kind"] == "empty" else 0.0 for p in good]))
        if np.any(tilt):
            self.unknowns.append(Unknown("spot", 0.0, inf, 10.0))
            columns.append(np.tan(tilt))
        for label, u in blocks.items():
            if u:
                self.unknowns.append(Unknown(f"error of {label}", 0.0, u))
                columns.append(np.array([-float(str(p.get("label")) == label) for p in good]))
        self.plain = np.stack(columns, axis=1)
        noise = np.array([head.u_distances(p) for p in good])
        self.noise = np.hypot(noise, _MODEL_UM)
        self.observed = self.a + self.b

    def weights(self, read: np.ndarray) -> np.ndarray:
        """What each node counts for a reading: zero where the lasers read the middle."""
        nodes = self.start + self.step * np.arange(_NODES)
        unit = np.eye(_NODES)
        at = np.stack([np.interp(read, nodes, row) for row in unit], axis=1)
        zero = np.array([np.interp(self.middle, nodes, row) for row in unit])
        return at - zero

    def curves(self, smooth: float) -> np.ndarray:
        """Shapes of amplitude 1 that make up a curve, one a column (Karhunen and Loeve)."""
        nodes = self.step * np.arange(_NODES)
        apart = (nodes[:, None] - nodes[None, :]) / (smooth * self.range_um)
        sizes, shapes = np.linalg.eigh(np.exp(-0.5 * apart**2))
        keep = sizes > 1e-5
        return shapes[:, keep] * np.sqrt(sizes[keep])

    def rows(self, shapes: np.ndarray) -> np.ndarray:
        """All columns, the curves of A and B behind the others."""
        return np.hstack(
            [self.plain, -self.weights(self.a) @ shapes, -self.weights(self.b) @ shapes]
        )

    def choose(self) -> tuple[float, float]:
        """Amplitude and length of the curves that make the readings most likely."""
        start = np.array([x.start for x in self.unknowns])
        prior = np.array([x.u if x.u < inf else 1e4 for x in self.unknowns])
        rest = self.observed - self.known - self.plain @ start
        fixed = (self.plain * prior**2) @ self.plain.T + np.diag(self.noise**2)
        best = (-inf, 0.0, 0.0)
        for smooth in _SMOOTH:
            shapes = self.curves(smooth)
            both = np.hstack([self.weights(self.a) @ shapes, self.weights(self.b) @ shapes])
            bent = both @ both.T
            for amplitude in _AMPLITUDES_UM:
                matrix = fixed + amplitude**2 * bent
                sign, size = np.linalg.slogdet(matrix)
                likely = -0.5 * (size + rest @ np.linalg.solve(matrix, rest))
                if sign > 0 and likely > best[0]:
                    best = (likely, amplitude, smooth)
        return best[1], best[2]


def fit(points: Sequence[Point], tables: Mapping[str, Any], options: Mapping[str, Any]) -> Result:
    """Return D, maps, tile, skew, spot offset. Raises PointsError when points lack data."""
    head = Head(tables["calibration"])
    blocks, skipped = complete(
        points, ("block",), ("a_um", "b_um", "thickness_um", "u_thickness_um", "label"),
        "is the block in both beams, and opaque?",
    )  # fmt: skip
    tiles = [
        p for p in points
        if p.get("kind") == "empty" and p.get("a_um") is not None and p.get("b_um") is not None
    ]  # fmt: skip
    result = Result(NAME, {}, {"calibration": {}}, residual_unit="um")
    if skipped:
        result.warnings.append(f"a laser saw nothing, not used: {', '.join(skipped)}")
    if head.tile_um and not tiles:
        raise PointsError(
            "lasers.reference_um states a tile, but no point of kind 'empty' has a_um and b_um:"
            " read the tile, or state 0 where there is none"
        )
    good = blocks + tiles
    flat = [p for p in blocks if not p.get("tilt_deg")]
    for label in sorted({str(p["label"]) for p in flat}):
        count = sum(str(p["label"]) == label for p in flat)
        if count < _LEAST_HEIGHTS:
            result.warnings.append(
                f"{label} was read at {count} heights: {_LEAST_HEIGHTS} or more"
            )
    if len({str(p["label"]) for p in blocks}) < 3:
        result.reasons.append("blocks of at least 3 thicknesses are needed")
    model = _Model(head, good, setting(options, OPTIONS, "u_growth_um_per_k"))
    amplitude, smooth = model.choose()
    shapes = amplitude * model.curves(smooth)
    count = shapes.shape[1]
    unknowns = model.unknowns + [
        Unknown(f"curve {which}{i}", 0.0, 1.0) for which in "ab" for i in range(count)
    ]
    rows = model.rows(shapes)
    try:
        found = solve(unknowns, lambda p: model.known + rows @ p, model.observed, model.noise)
    except NotDetermined as error:
        result.reasons.append(f"{error}; read more blocks at more heights")
        return result
    _estimate(result, found, head, model, shapes)
    _thickness(result, found, head, model, shapes, options)
    _spots(result, found, points, head, options)
    own = [found.index(x.name) for x in unknowns if x.name.startswith("error of")]
    seen = found.residuals + rows[:, own] @ found.values[own]
    result.residuals = [
        {"id": p["id"], "x": float(p.get("height_um") or 0.0), "residual": float(r), "u": float(u)}
        for p, r, u in zip(
            good, seen, np.hypot(model.noise, [float(p.get("u_thickness_um") or 0) for p in good]),
            strict=True,
        )
    ]  # fmt: skip
    if found.probability < LEAST_P:
        result.reasons.append(
            f"the blocks do not agree with each other: chi-square {found.chi2:.0f} for"
            f" {found.dof} degrees of freedom; is one misnamed, wrung badly, or dirty?"
        )
    result.keep_found(tables)
    return result


def _map_rows(found: Solution, model: _Model, shapes: np.ndarray, which: str, read: np.ndarray):
    """Derivatives of a laser's map at readings after all unknowns."""
    rows = np.zeros((len(read), len(found.names)))
    first = found.index(f"curve {which}0")
    rows[:, first : first + shapes.shape[1]] = model.weights(read) @ shapes
    rows[:, found.index(f"gain {which}")] = read - model.middle
    return rows


def _estimate(result: Result, found: Solution, head: Head, model: _Model, shapes) -> None:
    """D, tile, gains, maps."""
    k, stretch = found.k, found.stretch
    result.chi2, result.dof = found.chi2, found.dof
    result.warnings += found.warnings
    changes = result.changes["calibration"]

    def add(name: str, of: str, field: str) -> None:
        path = f"calibration:lasers.{field}"
        result.estimates[name] = Estimate(found[of], found.u_of(of) * stretch, "um", k, path)
        changes[f"lasers.{field}"] = round(found[of], 4)

    add("sum_distance_um", "d", "sum_distance_um")
    if "tile" in found.names and not head.tile_um:
        result.warnings.append(
            f"both lasers see something {found['tile']:.2f} um thick in the empty gap: if that is"
            " a reference tile, state lasers.reference_um and calibrate again"
        )
    elif "tile" in found.names:
        add("reference_um", "tile", "reference_um")
        result.correlation["sum_distance_um,reference_um"] = found.correlation("d", "tile")
    nodes = model.start + model.step * np.arange(_NODES)
    for which in "ab":
        rows = _map_rows(found, model, shapes, which, nodes)
        table = rows @ found.values
        result.notes[f"{which}_map"] = {
            "reading_um": nodes.tolist(),
            "correction_um": table.tolist(),
            "u_um": (found.spread(rows) * stretch).tolist(),
        }
        path = f"lasers.{which}_map_um"
        changes[path] = [round(float(x), 4) for x in table]
        # the best straight line through the map, which is the gain; with its sign
        slope = (nodes - nodes.mean()) / np.sum((nodes - nodes.mean()) ** 2)
        row = slope @ rows
        u = float(found.spread(row)[0]) * stretch
        gain = -1e6 * float(row @ found.values)
        result.estimates[f"{which}_gain_ppm"] = Estimate(gain, 1e6 * u, "ppm", k)
    changes["lasers.map_start_um"] = round(model.start, 4)
    changes["lasers.map_step_um"] = round(model.step, 4)


def _thickness(result, found: Solution, head: Head, model: _Model, shapes, options) -> None:
    """What is left of all that in a thickness: mean square over the calibrated range."""
    t_min, t_max = (head.envelope[f"thickness_{end}_um"] for end in ("min", "max"))
    reach = head.envelope["passline_max_um"]
    t = np.linspace(t_min, t_max, 7)[:, None]
    height = np.linspace(-reach, reach, 9)[None, :]
    half = found["d"] / 2 - t / 2
    a, b = (half - height).ravel(), (half + height).ravel()
    rows = -_map_rows(found, model, shapes, "a", a) - _map_rows(found, model, shapes, "b", b)
    rows[:, found.index("d")] += 1
    u = found.spread(rows) * found.stretch
    rms = float(sqrt(np.mean(u**2)))
    path = "uncertainty.thickness_um"
    result.changes["calibration"][path] = round(max(rms, 0.001), 4)
    result.estimates["thickness_error_um"] = Estimate(0.0, rms, "um", found.k)
    result.notes["u_thickness_um"] = [float(u.min()), rms, float(u.max())]
    nodes = model.start, model.start + model.step * (_NODES - 1)
    if min(a.min(), b.min()) < nodes[0] or max(a.max(), b.max()) > nodes[1]:
        result.warnings.append(
            "the blocks did not take the lasers through all of the calibrated passline"
            f" (+-{reach:g} um): move them further, or lower envelope.passline_max_um"
        )
    limit = setting(options, OPTIONS, "u_thickness_limit_um")
    if rms > limit:
        result.reasons.append(f"u of thickness is {rms:.3f} um, more than {limit:g} um")


def _spots(result: Result, found: Solution, points, head: Head, options) -> None:
    """Offset of the spots and difference of the instants."""
    if "spot" in found.names:
        value, u = found["spot"], found.u_of("spot") * found.stretch
        result.estimates["spot_offset_um"] = Estimate(value, u, "um", found.k)
        limit = setting(options, OPTIONS, "spot_limit_um")
        if abs(value) > limit:
            result.warnings.append(
                f"the spots are {value:.0f} um apart: a web tilted by 1 degree reads"
                f" {abs(value) * 0.01746:.2f} um wrong; adjust the lasers to below {limit:g} um"
            )
    else:
        result.warnings.append("no tilted block: offset of the spots is not known")
    skews = [float(p["skew_us"]) for p in points if p.get("skew_us") is not None]
    if not skews:
        result.warnings.append("no moving block: the difference of the instants is not known")
        return
    skew = float(np.mean(skews))
    result.estimates["skew_us"] = Estimate(
        skew, max(2.0, float(np.std(skews))) / sqrt(len(skews)), "us"
    )
    path = "lasers.b_latency_us"
    left = round(head.lasers["b_latency_us"] - skew)
    if 0 <= left <= 20_000:
        result.changes["calibration"][path] = left
    else:
        result.reasons.append(f"laser B is {skew:.0f} us off: no latency makes that good")
