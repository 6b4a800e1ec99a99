"""Thickness offset and structure factor L of a recipe, from samples measured in the laboratory.

    t_ref   = t + offset
    phi_ref = phi(t + offset, Delta; eps_s, L)      the L-family, or another law by a table

Errors in both variables: of the laboratory (each sample its own), of the lasers (within the
offset), of deficit, gap and permittivity (common to all samples, from the files). The
permittivity is not fitted with L unless the samples span it: L is found for the permittivity in
force, and how it would move with another one is stated (`structure_factor_per_permittivity`), so
that the two are not counted as independent. Where a porosity was found by weighing, with the
gauge's own thickness (`mass_g_m2` instead of `phi_ref_percent`), that thickness is in both.
Acceptance: physics.md section 6, step 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import hypot, sqrt
from typing import Any

import numpy as np

from ..derived import LAYERS, read_layers
from ..mixing_laws import LAWS, correction_of_points, correction_percent
from ..recipe_values import checked
from .budget import Causes, Film, coverage, linear_from_um, sensitivities
from .linear import NotDetermined, Solution
from .physics import Head, PointsError, mixture_permittivity, numbers, setting
from .procedure import Estimate, Point, Result, Step, reading_columns
from .samples import (
    Priors,
    Samples,
    column,
    difference,
    porosities,
    read_samples,
    solve_samples,
)

NAME = "recipe"
OPTIONS = {
    "windows": (64, "windows", 4, 1000, "windows of each reading"),
    "law": ("", "", None, None, f"{', '.join(LAWS)} or measured; without: the recipe's"),
    "u_offset_um": (1.0, "um", 0.0, 20.0, "largest thickness offset to be expected, as u"),
    "fit_permittivity": (0, "", 0, 1, "1: fit the solid's permittivity together with L"),
    "homogeneity_percent": (0.0, "%", 0.0, 20.0, "porosity of the sample beside the spot, as u"),
}
STANDARDS = ("label", "t_ref_um", "u_t_ref_um", "phi_ref_percent", "u_phi_ref_percent")
COLUMNS = (
    ("id", "", None, None, True, "name of the point"),
    ("kind", "", None, None, True, "empty or sample"),
    ("label", "", None, None, False, "which sample"),
    ("t_ref_um", "um", 0.5, 1000.0, False, "its thickness in the laboratory"),
    ("u_t_ref_um", "um", 0.0, 100.0, False, "standard uncertainty of that"),
    ("phi_ref_percent", "%", 0.0, 100.0, False, "its porosity in the laboratory"),
    ("u_phi_ref_percent", "%", 0.0, 50.0, False, "standard uncertainty of that"),
    ("mass_g_m2", "g/m2", 0.1, 1000.0, False, "its mass per area, instead of a porosity"),
    ("u_mass_g_m2", "g/m2", 0.0, 100.0, False, "standard uncertainty of that"),
    *reading_columns(
        "windows cap_pf frame_c air_c rh_percent",
        "cap_sd_pf a_um b_um a_sd_um b_sd_um sum_sd_um",
    ),
)
_SPAN_FOR_BOTH = 0.4  # of porosity, below which L and eps_s cannot be told apart
_LEAST_SAMPLES = 6
_OWN_LAW, _MEASURED = "bruggeman_l", "measured"
_NOMINAL = 0.95
_LEAST_SHARE = 0.3  # of what the fit says of L: less is never stated
# porosity in percent, and place between the thinnest sample and the thickest
_PLAN = ((20.0, 0.5), (30.0, 0.0), (40.0, 1.0), (50.0, 0.5), (55.0, 1.0), (60.0, 0.0),
         (70.0, 0.5), (78.0, 1.0))  # fmt: skip


def steps(tables: Mapping[str, Any], options: Mapping[str, Any]) -> list[Step]:
    """Return the readings to take; `standards` are the samples and what the laboratory found.

    Without, a plan: eight samples over 20 to 78 %, 0.8 to 1.25 times as thick as the recipe's
    target; without a target, over most of the head's calibrated range.
    """
    windows = int(setting(options, OPTIONS, "windows"))
    target = tables["recipe"].get("film", {}).get("target_thickness_um")
    envelope = numbers(tables["calibration"]["envelope"])
    thin, thick = 3 * envelope["thickness_min_um"], 0.6 * envelope["thickness_max_um"]
    if target:
        thin, thick = 0.8 * float(target), 1.25 * float(target)
    samples = options.get("standards") or [
        {
            "label": f"sample-{i + 1}",
            "t_ref_um": round(thin * (thick / thin) ** share, 2),
            "u_t_ref_um": 0.2,
            "phi_ref_percent": phi,
            "u_phi_ref_percent": 1.0,
        }
        for i, (phi, share) in enumerate(_PLAN)
    ]
    found = [Step("empty", "Clear the gap.", {"kind": "empty"}, windows)]
    for sample in samples:
        found.append(
            Step(
                str(sample["label"]),
                f"Put {sample['label']} into the gap, flat, where the laboratory measured it.",
                {"kind": "sample", **sample},
                windows,
            )
        )
    return found + [Step("empty again", "Clear the gap.", {"kind": "empty"}, windows)]


def fit(points: Sequence[Point], tables: Mapping[str, Any], options: Mapping[str, Any]) -> Result:
    """Return offset and L. Raises PointsError when points lack data."""
    head = Head(tables["calibration"])
    recipe = {name: numbers(table) if isinstance(table, Mapping) else table
              for name, table in tables["recipe"].items()}  # fmt: skip
    material, mixing = recipe["material"], recipe["mixing"]
    layers, problems = read_layers(tables["recipe"].get(LAYERS, []), "recipe", checked)
    if problems:
        raise PointsError("\n".join(problems))
    if recipe.get("stack", {}).get("report") == "average":
        layers = ()
    s = read_samples(points, head, material, layers)
    result = Result(NAME, {}, {"recipe": {}}, residual_unit="%")
    law = str(options.get("law") or mixing.get("law") or _OWN_LAW)
    if law not in (*LAWS, _MEASURED):
        legal = ", ".join((*LAWS, _MEASURED))
        raise PointsError(f"law: {law!r} is not a mixing law; legal: {legal}")
    if any(layer.kind == "metal" for layer in layers):
        result.reasons.append(
            "a metal layer shields the film: find L with samples of the film without its metal"
        )
    own = law in (_OWN_LAW, _MEASURED)
    table = np.array([])
    if not own:
        nodes = correction_percent(law, material["permittivity"], 1 / 3)
        table = np.array([float(x) for x in nodes]) / 100
    prior = Priors(
        eps=material["permittivity"],
        u_eps=material["u_permittivity"],
        fit_eps=bool(setting(options, OPTIONS, "fit_permittivity")),
        structure=mixing["structure_factor"] if own else 1 / 3,
        fit_structure=own,
        u_offset=setting(options, OPTIONS, "u_offset_um"),
        u_lasers=hypot(head.u["thickness_um"], s.u_zero[0]),
        u_delta=hypot(head.u["deficit_um"], s.u_zero[1], s.u_layers),
        head_lasers=head.u["thickness_um"],
        head_delta=head.u["deficit_um"],
        u_gap=0.01 * head.u["gap_percent"],
        density=material.get("density_g_cm3", 1.42),
        u_density=material.get("u_density_g_cm3", 0.01),
        homogeneity=0.01 * setting(options, OPTIONS, "homogeneity_percent"),
        table=table,
    )
    if len(s.t) < _LEAST_SAMPLES:
        result.reasons.append(f"{len(s.t)} samples; at least {_LEAST_SAMPLES} are needed")
    try:
        found = solve_samples(s, prior)
    except NotDetermined as error:
        result.reasons.append(f"{error}; measure samples of other porosity")
        return result
    phi = porosities(s, found, prior)
    span = float(np.ptp(phi))
    if prior.fit_eps and span <= _SPAN_FOR_BOTH:
        result.reasons.append(
            f"the samples span {100 * span:.0f} % of porosity: L and the solid's permittivity can"
            f" be told apart only beyond {100 * _SPAN_FOR_BOTH:.0f} %; find the permittivity with"
            " a dense film (environment), or add samples"
        )
    _estimate(result, found, s, prior, law)
    _judge(result, found, s, prior)
    _validity(result, s, phi, found)
    result.keep_found(tables)
    return result


def _estimate(result, found: Solution, s: Samples, prior: Priors, law: str) -> None:
    """Values, uncertainties, what changes in the recipe."""
    k, stretch = found.k, found.stretch
    changes = result.changes["recipe"]
    result.chi2, result.dof = found.chi2, found.dof
    result.warnings += found.warnings

    def add(name: str, value: float, u: float, unit: str, path: str, places: int) -> None:
        result.estimates[name] = Estimate(value, u, unit, k, f"recipe:{path}")
        changes[path] = round(value, places)

    # What the lasers have in common for all samples goes into the offset: it is not known better
    # as a property of the film, but right for this head. The board adds the head's own u again.
    own = found.u_of("offset") * stretch
    beyond = sqrt(max(0.0, own**2 - prior.head_lasers**2))
    u_offset = hypot(own, prior.u_lasers)
    add("offset_um", found["offset"], u_offset, "um", "film.thickness_offset_um", 4)
    changes["film.u_thickness_offset_um"] = round(beyond, 4)
    slope = 0.0
    if prior.fit_structure and not prior.fit_eps:
        step = max(prior.u_eps, 0.01)
        high, low = (solve_samples(s, prior, prior.eps + way * step)["L"] for way in (1, -1))
        slope = (high - low) / (2 * step)
    if prior.fit_structure:
        u_l = _u_structure(found, s, prior, _causes(s, prior, beyond, slope, 0.0)) * stretch
        value = min(1.0, max(0.0, found["L"]))
        whole = hypot(found.u_of("L") * stretch, slope * prior.u_eps)
        add("structure_factor", value, whole, "", "mixing.structure_factor", 6)
    else:
        changes["mixing.structure_factor"] = round(1 / 3, 6)
        u_l = max(0.01, _as_structure(found.residuals[-len(s.t) :], found, s, prior))
        result.estimates["structure_factor"] = Estimate(
            1 / 3, u_l, "", k, "recipe:mixing.structure_factor"
        )
    # the board's table of corrections follows from law and points
    changes["mixing.correction_percent"] = changes["mixing.measured_points"] = None
    changes["mixing.law"] = law if law in LAWS else _OWN_LAW
    if law == _MEASURED:
        u_l = _measured(result, found, s, prior, changes)
    _linearity(result, found, s, prior, _causes(s, prior, beyond, slope, u_l))
    changes["mixing.u_structure_factor"] = round(max(u_l, 1e-4), 6)
    changes["mixing.structure_factor_per_permittivity"] = round(slope, 6)
    result.notes["structure_factor_per_permittivity"] = slope
    result.notes["u_structure_factor_at_permittivity"] = u_l
    result.correlation["structure_factor,offset_um"] = found.correlation("L", "offset")
    if prior.fit_eps:
        add("permittivity", found["eps"], found.u_of("eps") * stretch, "",
            "material.permittivity", 5)  # fmt: skip
        changes["material.u_permittivity"] = round(found.u_of("eps") * stretch, 5)
        result.correlation["structure_factor,permittivity"] = found.correlation("L", "eps")


def _linearity(result: Result, found: Solution, s: Samples, prior: Priors, of: Causes) -> None:
    """Say from which thickness on U95 of porosity is that of a linear law."""
    phi = np.clip(porosities(s, found, prior), 0.02, 0.98)
    ends = (float(phi.min()), float(phi.max()))
    thinnest = max(linear_from_um(of, found["eps"], found["L"], end) for end in ends)
    result.notes["linear_from_um"] = thinnest
    if thinnest > 0.8 * float(np.min(s.t + found["offset"])):
        result.warnings.append(
            f"below {thinnest:.1f} um porosity is not linear in thickness: its true interval is"
            " not symmetric, lower than U95 says; take trends and the solid thickness there"
        )


def _measured(result, found: Solution, s: Samples, prior: Priors, changes) -> float:
    """Let porosity go through the samples; return the u of L that their own u amounts to."""
    closed = porosities(s, found, prior)
    lab = closed + difference(s, found.values, prior)
    eps = mixture_permittivity(closed, found["eps"], found["L"])
    pairs = sorted(zip(eps.tolist(), lab.tolist(), strict=True))
    try:
        correction_of_points(pairs, found["eps"], found["L"])
    except ValueError as error:
        result.reasons.append(f"measured points: {error}")
    changes["mixing.measured_points"] = [[round(e, 5), round(100 * x, 3)] for e, x in pairs]
    return _as_structure(found.u[-len(s.t) :], found, s, prior)


def _as_structure(errors: np.ndarray, found: Solution, s: Samples, prior: Priors) -> float:
    """Errors of the samples' porosity, rms, as if they were one of L."""
    phi = np.clip(porosities(s, found, prior), 0.02, 0.98)
    film = Film(s.t + found["offset"], phi, found["eps"], found["L"])
    weight = sensitivities(film)["structure"]
    return float(sqrt(np.mean(errors**2) / np.mean(weight**2)))


def _causes(s: Samples, prior: Priors, u_offset: float, slope: float, u_l: float) -> Causes:
    """What a window's porosity will be made of."""
    return Causes(
        thickness_um=hypot(prior.head_lasers, float(np.sqrt(np.mean(s.window_t**2)))),
        deficit_um=prior.head_delta,
        converter_um=float(np.mean(s.window_delta)),
        gap=prior.u_gap,
        layers_um=u_offset,
        solid=0.0 if prior.fit_eps else prior.u_eps,
        structure=u_l,
        structure_per_solid=slope,
    )


def _u_structure(found, s: Samples, prior: Priors, of: Causes) -> float:
    """u of L with which the board's U95 of porosity covers 95 % within the validity window.

    L was fitted with the errors that t and Delta have here and will have, so that they cancel in
    porosity in part; the board takes its causes for independent. This u makes good for it.
    """
    t = s.t + found["offset"]
    grid_t = np.geomspace(t.min(), t.max(), 5)[:, None] * np.ones(5)
    phi = porosities(s, found, prior)
    grid_phi = np.linspace(phi.min(), phi.max(), 5)[None, :] * np.ones((5, 1))
    film = Film(grid_t.ravel(), np.clip(grid_phi.ravel(), 0.02, 0.98), found["eps"], found["L"])
    by = sensitivities(film)
    rows = np.zeros((len(by["thickness"]), len(found.names)))
    rows[:, found.index("L")] = by["structure"]
    rows[:, found.index("offset")] = by["thickness"]
    rows[:, found.index("eps")] = by["solid"]
    # the fit's unknowns are errors of the readings: Delta is less by them
    rows[:, found.index("deficit")] = -by["deficit"]
    rows[:, found.index("gap")] = -by["deficit"] * film.deficit_um
    alone = of.porosity_terms(film)  # those that have nothing to do with the fit
    alone["window"] = by["thickness"] * float(np.sqrt(np.mean(s.window_t**2)))
    # what the fit learnt of the deficit's errors is not taken off by the board
    learnt = prior.u_delta**2 - found.u_of("deficit") ** 2
    true = found.spread(rows) ** 2 + by["deficit"] ** 2 * max(0.0, learnt)
    true = np.sqrt(true + sum(alone[name] ** 2 for name in ("solid", "converter", "window")))
    low, high = 0.0, 2 * found.u_of("L")
    for _ in range(40):
        middle = (low + high) / 2
        if coverage(replace(of, structure=middle).u_porosity(film), true) < _NOMINAL:
            low = middle
        else:
            high = middle
    return max(high, _LEAST_SHARE * found.u_of("L"))


def _judge(result: Result, found: Solution, s: Samples, prior: Priors) -> None:
    """Acceptance: chi-square, leave-one-out, L between 0 and 1."""
    n = len(s.t)
    u = found.u[-n:]
    result.residuals = [
        {"id": p["id"], "x": 100 * float(x), "residual": 100 * float(r), "u": 100 * float(v)}
        for p, x, r, v in zip(
            s.points, porosities(s, found, prior), found.residuals[-n:], u, strict=True
        )
    ]
    lab = ~np.isnan(s.t_ref)
    if not lab.any():
        result.warnings.append("no sample has t_ref_um: the thickness offset is not known")
    result.notes["thickness_residual_um"] = [float(r) for r in found.residuals[: int(lab.sum())]]
    if found.dof > 0 and found.chi2 / found.dof >= 2:
        result.reasons.append(
            f"chi-square is {found.chi2:.1f} for {found.dof} degrees of freedom (2 each at most):"
            " the samples do not follow the law as well as the laboratory states"
        )
    if not 0 <= found["L"] <= 1:
        result.reasons.append(
            f"L is {found['L']:.3f}, not within 0 to 1: the permittivity of the solid, or the"
            " laboratory's porosity, is wrong"
        )
    if n < 3:
        return
    apart, u_apart = [], []
    for i in range(n):
        left_out = np.arange(n) == i
        try:
            rest = solve_samples(s.only(~left_out), prior)
        except NotDetermined:
            return
        one = s.only(left_out)
        apart.append(float(difference(one, rest.values, prior)[0]))
        slopes = []
        for j, step in enumerate((0.01, 0.01, 0.01, 1e-3, 1e-4, 1e-3)):
            moved = rest.values.copy()
            moved[j] += step
            slopes.append((float(difference(one, moved, prior)[0]) - apart[-1]) / step)
        u_apart.append(hypot(float(rest.spread(np.array(slopes))[0]), u[i]))
    rms = sqrt(float(np.mean(np.square(apart))))
    limit = 1.5 * sqrt(float(np.mean(np.square(u_apart))))
    result.notes["leave_one_out_percent"] = [100 * x for x in apart]
    result.notes["leave_one_out_rms_percent"] = 100 * rms
    if rms >= limit:
        result.reasons.append(
            f"left out in turn, samples are predicted to {100 * rms:.2f} % of porosity only, more"
            f" than {100 * limit:.2f} %"
        )


def _validity(result: Result, s: Samples, phi: np.ndarray, found: Solution) -> None:
    """The window in which the fit holds."""
    changes = result.changes["recipe"]
    t = s.t + found["offset"]
    rh = column(s.points, "rh_percent")
    window = {
        "valid_thickness_min_um": 0.8 * float(t.min()),
        "valid_thickness_max_um": 1.25 * float(t.max()),
        "valid_porosity_min_percent": max(0.0, 100 * float(phi.min()) - 3),
        "valid_porosity_max_percent": min(100.0, 100 * float(phi.max()) + 3),
        "valid_rh_min_percent": max(0.0, float(rh.min()) - 15),
        "valid_rh_max_percent": min(100.0, float(rh.max()) + 15),
    }
    for name, value in window.items():
        changes[f"mixing.{name}"] = round(value, 2)
    changes["mixing.fitted_on"] = datetime.now(UTC).date().isoformat()
    result.notes["validity"] = window
