"""Samples of a recipe's film: what the head and the laboratory say of them, and the fit of both.

    s = read_samples(points, head, material, layers)
    found = solve_samples(s, priors)        # L, offset, and what the files leave open

Unknowns, in this order: L, thickness offset (um), permittivity of the solid, error of the deficit
(um) and of the gap (relative), density (g/cm3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, inf, sqrt

import numpy as np

from ..stack import Layer
from .linear import Solution, Unknown, solve
from .physics import Head, PointsError, Reference, porosity, solid_permittivity
from .procedure import Point


@dataclass(slots=True)
class Samples:
    """What is known of the samples, as arrays."""

    points: list[Point]
    t: np.ndarray  # by the lasers, without offset
    delta: np.ndarray
    u_t: np.ndarray  # noise of both
    u_delta: np.ndarray
    t_ref: np.ndarray  # nan: none
    u_t_ref: np.ndarray
    phi_ref: np.ndarray  # nan: by mass
    u_phi_ref: np.ndarray
    mass: np.ndarray
    u_mass: np.ndarray
    shift: np.ndarray  # eps_s of a climate over that at 50 %RH, 23 C
    window_t: np.ndarray  # noise of one window, of both
    window_delta: np.ndarray
    frame: tuple[float, float]  # u of t and Delta by the frame sensor's noise, common
    u_zero: tuple[float, float]  # u of t and Delta by the reading without film, for all
    u_layers: float  # u of Delta by the layers, for all; that of t is within the offset

    def only(self, keep: np.ndarray) -> Samples:
        """The samples of a mask."""
        points = [p for p, kept in zip(self.points, keep, strict=True) if kept]
        arrays = [getattr(self, name)[keep] for name in self.__slots__[1:-3]]
        return Samples(points, *arrays, self.frame, self.u_zero, self.u_layers)


@dataclass(frozen=True, slots=True)
class Priors:
    """What the files say of the rest."""

    eps: float
    u_eps: float
    fit_eps: bool
    structure: float
    fit_structure: bool
    u_offset: float
    u_lasers: float
    u_delta: float
    head_lasers: float  # the same two without the reading of the empty gap
    head_delta: float
    u_gap: float
    density: float  # g/cm3
    u_density: float
    homogeneity: float
    table: np.ndarray  # correction to porosity at 0 .. 1, empty: none


def column(points: Sequence[Point], name: str) -> np.ndarray:
    return np.array([np.nan if p.get(name) is None else float(p[name]) for p in points])


def read_samples(
    points: Sequence[Point], head: Head, material: Mapping[str, float], layers: Sequence[Layer]
) -> Samples:
    """Readings and laboratory values of all samples, known layers taken off.

    Raises PointsError when there is none, or one lacks what the laboratory found.
    """
    good = [
        p for p in points
        if p.get("kind") == "sample"
        and None not in (p.get("cap_pf"), p.get("a_um"), p.get("b_um"))
    ]  # fmt: skip
    if not good:
        raise PointsError("no point of kind 'sample' that both lasers and the converter saw")
    reference = Reference(head, points)
    for point in good:
        by_mass = point.get("mass_g_m2") is not None
        named = "mass_g_m2" if by_mass else "phi_ref_percent"
        for name in (named, f"u_{named}"):
            if point.get(name) is None:
                raise PointsError(f"point {point['id']}: {name} is missing: state it, above 0")
    layers_um = sum(float(layer.total_um) for layer in layers)
    layers_deficit_um = sum(float(layer.total_um * layer.ratio) for layer in layers)
    return Samples(
        good,
        np.array([reference.thickness(p) - layers_um for p in good]),
        np.array([reference.deficit(p) - layers_deficit_um for p in good]),
        np.array([reference.u_thickness(p) for p in good]),
        np.array([reference.u_deficit(p) for p in good]),
        column(good, "t_ref_um"),
        column(good, "u_t_ref_um"),
        column(good, "phi_ref_percent") / 100,
        column(good, "u_phi_ref_percent") / 100,
        column(good, "mass_g_m2"),
        column(good, "u_mass_g_m2"),
        np.array([solid_permittivity(material, p["air_c"], p["rh_percent"], 1.0) for p in good]),
        np.array([reference.u_thickness(p) * sqrt(p["windows"]) for p in good]),
        np.array([reference.u_deficit(p) * sqrt(p["windows"]) for p in good]),
        (head.u_growth("sum_distance"), head.u_growth("gap")),
        (reference.u_thickness_zero, reference.u_deficit_zero),
        hypot(*(_u_deficit(layer) for layer in layers)),
    )


def _u_deficit(layer: Layer) -> float:
    """u of a layer's deficit."""
    by_thickness = float(layer.u_total_um * layer.ratio)
    return hypot(by_thickness, float(layer.total_um * layer.u_ratio))


def difference(
    s: Samples, p: np.ndarray, prior: Priors, moved: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """Laboratory's porosity (or mass, as porosity) minus the gauge's, with these unknowns.

    `moved`: as if t and Delta had been read larger by so much.
    """
    t, delta = s.t + (p[1] + moved[0]), (s.delta + (moved[1] - p[3])) * (1 - p[4])
    # mass in g/m2 over density in g/cm3 is micrometres of solid
    lab = np.where(np.isnan(s.mass), s.phi_ref, 1 - s.mass / (p[5] * t))
    return lab - corrected(porosity(t, delta, p[2] * s.shift, p[0]), prior)


def corrected(phi: np.ndarray, prior: Priors) -> np.ndarray:
    """Porosity by the L-family with the law's corrections."""
    if not len(prior.table):
        return phi
    return phi + np.interp(phi, np.linspace(0, 1, len(prior.table)), prior.table)


def solve_samples(
    s: Samples, prior: Priors, eps: float | None = None, offset: float | None = None
) -> Solution:
    """Fit to these samples; `eps`, `offset`: with these values, taken for certain."""
    lab = ~np.isnan(s.t_ref)
    weighed = ~np.isnan(s.mass)
    tiny = 1e-9
    fixed = prior.eps if eps is None else eps
    free_offset = hypot(prior.u_offset, prior.u_lasers) or tiny
    unknowns = [
        Unknown("L", prior.structure, inf if prior.fit_structure else tiny, 0.1),
        Unknown("offset", offset or 0.0, free_offset if offset is None else tiny),
        Unknown("eps", fixed, inf if prior.fit_eps else tiny, 0.05),
        Unknown("deficit", 0.0, prior.u_delta or tiny),
        Unknown("gap", 0.0, prior.u_gap or tiny),
        Unknown("density", prior.density, (prior.u_density or tiny) if weighed.any() else tiny),
    ]

    def predict(p: np.ndarray) -> np.ndarray:
        return np.concatenate([s.t[lab] + p[1], -difference(s, p, prior)])

    at = np.array([x.start for x in unknowns])
    for _ in range(2):
        # noise of t and Delta acts through the difference, so that a thickness in both counts once
        up, down = difference(s, at, prior, (1e-3, 0)), difference(s, at, prior, (-1e-3, 0))
        by_t = (up - down) / 2e-3
        up, down = difference(s, at, prior, (0, 1e-3)), difference(s, at, prior, (0, -1e-3))
        by_d = (up - down) / 2e-3
        by_mass = s.u_mass / (prior.density * s.t)
        u_lab = np.where(weighed, by_mass, s.u_phi_ref)
        by_frame = by_t * s.frame[0] + by_d * s.frame[1]
        u = np.sqrt(
            u_lab**2 + (by_t * s.u_t) ** 2 + (by_d * s.u_delta) ** 2 + by_frame**2
            + prior.homogeneity**2
        )  # fmt: skip
        u_t = np.hypot(s.u_t, s.frame[0])
        u_all = np.concatenate([np.hypot(s.u_t_ref[lab], u_t[lab]), u])
        observed = np.concatenate([s.t_ref[lab], np.zeros(len(s.t))])
        found = solve(unknowns, predict, observed, np.maximum(u_all, 1e-6))
        at = found.values
    return found


def porosities(s: Samples, found: Solution, prior: Priors) -> np.ndarray:
    phi = porosity(s.t + found["offset"], s.delta, found["eps"] * s.shift, found["L"])
    return corrected(phi, prior)
