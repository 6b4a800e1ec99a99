"""Scale and offset of the dielectric deficit, from dense plates of known size and permittivity.

    Delta_measured = kappa t (1 - 1 / eps) + offset

The gap is the scale of the deficit, and an error of it is one of kappa; so this fit supersedes
the gap's uncertainty. An offset can only come from non-linearity, because the deficit of the
empty gap is zero by standardisation: it is fitted with that much prior knowledge. Plates of one
material (the label up to its last '-') have their error of permittivity in common. The same
plate at other heights tells whether the place in the gap matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, sqrt
from typing import Any

import numpy as np

from .linear import LEAST_P, NotDetermined, Unknown, solve, two_terms
from .physics import Head, Reference, complete, setting
from .procedure import Estimate, Point, Result, Step, reading_columns

NAME = "scale"
OPTIONS = {
    "windows": (64, "windows", 4, 1000, "windows of each reading"),
    "u_offset_um": (
        0.01,
        "um",
        0.0,
        5.0,
        "offset to be expected, as u: non-linearity of the converter",
    ),
    "kappa_limit": (0.01, "", 1e-4, 0.1, "largest |kappa - 1| that is accepted"),
    "offset_limit_um": (0.1, "um", 0.001, 5.0, "largest |offset| that is accepted"),
    "passline_limit_um": (0.1, "um", 0.001, 5.0, "largest change of deficit with height"),
}
STANDARDS = ("label", "thickness_um", "u_thickness_um", "permittivity", "u_permittivity")
COLUMNS = (
    ("id", "", None, None, True, "name of the point"),
    ("kind", "", None, None, True, "empty or plate"),
    ("label", "", None, None, False, "which plate, as material-size"),
    ("thickness_um", "um", 1.0, 1000.0, False, "stated thickness"),
    ("u_thickness_um", "um", 0.0, 100.0, False, "standard uncertainty of that"),
    ("permittivity", "", 1.01, 100.0, False, "stated permittivity"),
    ("u_permittivity", "", 0.0, 10.0, False, "standard uncertainty of that"),
    ("height_um", "um", -1000.0, 1000.0, False, "height over the middle of the gap"),
    *reading_columns(
        "windows cap_pf frame_c",
        "cap_sd_pf",
    ),
)
_PLATES = tuple(
    {
        "label": f"silica-{t:g}",
        "thickness_um": t,
        "u_thickness_um": 0.05,
        "permittivity": 3.82,
        "u_permittivity": 0.005,
    }
    for t in (30.0, 75.0, 120.0)
)
_HEIGHTS_UM = (-100.0, 100.0)
_MODEL_UM = 1e-3


def steps(tables: Mapping[str, Any], options: Mapping[str, Any]) -> list[Step]:
    """Return the readings to take; `standards` replaces the usual plates."""
    plates = options.get("standards") or _PLATES
    windows = int(setting(options, OPTIONS, "windows"))
    found = [Step("empty", "Clear the gap.", {"kind": "empty"}, windows)]
    middle = sorted(plates, key=lambda p: float(p["thickness_um"]))[len(plates) // 2]
    for plate in plates:
        for height in (0.0, *(_HEIGHTS_UM if plate is middle else ())):
            where = f", {height:+g} um from the middle" if height else ", in the middle"
            found.append(
                Step(
                    f"{plate['label']}" + (f"@{height:+g}" if height else ""),
                    f"Put plate {plate['label']} into the gap{where}.",
                    {"kind": "plate", **plate, "height_um": height},
                    windows,
                )
            )
    return found + [Step("empty again", "Clear the gap.", {"kind": "empty"}, windows)]


def fit(points: Sequence[Point], tables: Mapping[str, Any], options: Mapping[str, Any]) -> Result:
    """Return kappa and offset. Raises PointsError when points lack data."""
    head = Head(tables["calibration"])
    good, skipped = complete(
        points,
        ("plate",),
        ("cap_pf", "label", "thickness_um", "u_thickness_um", "permittivity", "u_permittivity"),
        "state the plates in full; a converter at its end (saturated) gives no cap_pf",
    )
    reference = Reference(head, points)
    result = Result(NAME, {}, {"calibration": {}}, residual_unit="um")
    if skipped:
        result.warnings.append(f"not used, incomplete or saturated: {', '.join(skipped)}")
    t = np.array([float(p["thickness_um"]) for p in good])
    eps = np.array([float(p["permittivity"]) for p in good])
    observed = np.array([reference.deficit(p, raw=True) for p in good])
    noise = np.array([reference.u_deficit(p) for p in good])
    noise = np.hypot(np.hypot(noise, _MODEL_UM), head.u_growth("gap"))
    plates = {str(p["label"]): float(p["u_thickness_um"]) for p in good}
    materials = {_material(p): float(p["u_permittivity"]) for p in good}
    if len(plates) < 3:
        result.reasons.append(
            f"{len(plates)} plates; at least 3 of different thickness are needed"
        )
    unknowns = [
        Unknown("kappa", 1.0, scale=0.01),
        Unknown("offset", 0.0, max(1e-6, setting(options, OPTIONS, "u_offset_um"))),
        Unknown("zero", 0.0, max(1e-6, reference.u_deficit_zero)),
        *(Unknown(f"thickness of {label}", 0.0, u) for label, u in plates.items() if u),
        *(Unknown(f"permittivity of {m}", 0.0, u) for m, u in materials.items() if u),
    ]
    names = [x.name for x in unknowns]
    thicker, denser = np.zeros((len(good), len(names))), np.zeros((len(good), len(names)))
    for i, point in enumerate(good):
        for matrix, name in (
            (thicker, f"thickness of {point['label']}"),
            (denser, f"permittivity of {_material(point)}"),
        ):
            if name in names:
                matrix[i, names.index(name)] = 1

    def predict(p: np.ndarray) -> np.ndarray:
        return p[0] * (t + thicker @ p) * (1 - 1 / (eps + denser @ p)) + p[1] + p[2]

    try:
        found = solve(unknowns, predict, observed, noise)
    except NotDetermined as error:
        result.reasons.append(f"{error}; measure plates of other thickness")
        return result
    _estimate(result, found, head, options)
    _passline(result, good, observed, noise, options)
    result.residuals = [
        {"id": p["id"], "x": float(x), "residual": float(r), "u": float(u)}
        for p, x, r, u in zip(
            good,
            t * (1 - 1 / eps),
            observed - found["kappa"] * t * (1 - 1 / eps) - found["offset"],
            np.hypot(
                noise,
                [
                    hypot(
                        (1 - 1 / e) * float(p["u_thickness_um"]),
                        x / e**2 * float(p["u_permittivity"]),
                    )
                    for p, x, e in zip(good, t, eps, strict=True)
                ],
            ),
            strict=True,
        )
    ]
    if found.probability < LEAST_P:
        result.reasons.append(
            f"the plates do not agree with each other: chi-square {found.chi2:.0f} for {found.dof}"
            " degrees of freedom; is one of them misnamed, dirty or bent?"
        )
    result.keep_found(tables)
    return result


def _material(point: Point) -> str:
    label = str(point["label"])
    return label.rpartition("-")[0] or label


def _estimate(result: Result, found, head: Head, options) -> None:
    """Values, uncertainties, what changes in the file."""
    k, stretch = found.k, found.stretch
    kappa, offset = found["kappa"], found["offset"]
    result.chi2, result.dof = found.chi2, found.dof
    result.warnings += found.warnings
    changes = result.changes["calibration"]
    result.estimates["scale_ppm"] = Estimate(
        1e6 * (kappa - 1), 1e6 * found.u_of("kappa") * stretch, "ppm", k,
        "calibration:deficit.scale_ppm",
    )  # fmt: skip
    result.estimates["offset_um"] = Estimate(
        offset, found.u_of("offset") * stretch, "um", k, "calibration:deficit.offset_um"
    )
    result.correlation["scale_ppm,offset_um"] = found.correlation("kappa", "offset")
    changes["deficit.scale_ppm"] = round(1e6 * (kappa - 1))
    changes["deficit.offset_um"] = round(offset, 6)
    # What is left in a deficit: of kappa and offset together, as the board's two terms.
    delta = np.linspace(3.0, 100.0, 50)
    rows = np.zeros((len(delta), len(found.names)))
    rows[:, found.index("kappa")] = delta / kappa
    rows[:, found.index("offset")] = 1 / kappa
    u = found.spread(rows) * stretch
    fixed, share = two_terms(delta, u)
    changes["uncertainty.deficit_um"] = round(max(fixed, 0.001), 4)
    changes["uncertainty.gap_percent"] = round(max(100 * share, 0.001), 4)
    result.notes["u_deficit_um"] = {"deficit_um": delta.tolist(), "u_um": u.tolist()}
    if abs(kappa - 1) > setting(options, OPTIONS, "kappa_limit"):
        result.reasons.append(
            f"kappa is {kappa:.4f}: further from 1 than a good gap leaves it; do 'gap' again"
        )
    if abs(offset) > setting(options, OPTIONS, "offset_limit_um"):
        result.reasons.append(f"the offset is {offset:.3f} um: look for dust, or a wrong plate")
    if abs(kappa - 1) > 0.003:
        result.warnings.append(f"kappa is {kappa:.4f}, more than 0.003 from 1")


def _passline(result: Result, points, observed, noise, options) -> None:
    """Whether the height of a plate matters."""
    plates = {str(p["label"]) for p in points if p.get("height_um")}
    worst = (0.0, 0.0)
    for label in plates:
        same = [i for i, p in enumerate(points) if str(p["label"]) == label]
        values = observed[same]
        if len(same) > 1:
            u = float(sqrt(np.mean(noise[same] ** 2)))
            worst = max(worst, (float(np.ptp(values)), u * sqrt(2)))
    if plates:
        result.estimates["passline_change_um"] = Estimate(worst[0], worst[1], "um")
        if worst[0] > setting(options, OPTIONS, "passline_limit_um"):
            result.reasons.append(
                f"the deficit changes by {worst[0]:.3f} um with the height of the plate: the"
                " electrodes are not parallel, or the plate is tilted"
            )
