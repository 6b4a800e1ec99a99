"""What the uncertainties of calibration and recipe make of thickness and porosity: the budget.

The board's law of propagation (`gauge.film`, `gauge.mixture`) in floating point, term by term,
for a film that one names; and the same by drawing random errors through the formulas themselves,
which tells where the law, being linear, does not hold (a thin film).

    >>> from porogauge.recipe import compile_words, standard_calibration, standard_recipe
    >>> words = compile_words(standard_recipe(), standard_calibration())
    >>> found = budget(words, 25.0, 0.5)
    >>> round(found.u_thickness_um, 3), round(100 * found.u_porosity, 2)
    (0.197, 1.0)
    >>> monte_carlo(words, 25.0, 0.5, 20_000).agrees(found)
    True

Lengths are in micrometres, porosity is a fraction of 1, uncertainties are standard ones (1 u).
Formulas: physics.md sections 0, 3 and 4; JCGM 100 and JCGM 101.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, hypot, sqrt
from typing import Any

import numpy as np

from gauge import config

from .physics import mixture_permittivity, porosity

__all__ = [
    "Budget",
    "Causes",
    "Film",
    "Trial",
    "budget",
    "causes",
    "coverage",
    "linear_from_um",
    "monte_carlo",
    "sensitivities",
]

_UM = 8000  # 1/8 nm in a micrometre


@dataclass(frozen=True, slots=True)
class Film:
    """A film, and what the recipe knows of its solid in that climate; arrays are fine."""

    thickness_um: Any
    porosity: Any
    eps_s: float
    structure: float

    @property
    def permittivity(self) -> Any:
        return mixture_permittivity(self.porosity, self.eps_s, self.structure)

    @property
    def deficit_um(self) -> Any:
        return self.thickness_um * (1 - 1 / self.permittivity)


@dataclass(frozen=True, slots=True)
class Causes:
    """Standard uncertainties of what a thickness and a porosity are made of."""

    thickness_um: float = 0.0  # lasers after calibration, their scatter, D
    deficit_um: float = 0.0  # linearity, scale; of layers what does not follow their thickness
    converter_um: Any = 0.0  # noise of C and of C0, as deficit
    gap: float = 0.0  # relative
    common_um: float = 0.0  # moves t and Delta alike
    layers_um: float = 0.0  # thickness of layers, and how much of it is in Delta, too
    layers_ratio: float = 0.0
    layers_deficit_um: float = 0.0  # of layers: the gap is in it as it is in the film's
    solid: float = 0.0  # permittivity of the solid
    structure: float = 0.0  # L, for that permittivity
    structure_per_solid: float = 0.0  # dL/d eps_s with which L was fitted

    def porosity_terms(self, film: Film) -> dict[str, Any]:
        """What each cause makes of porosity, with its sign."""
        by = sensitivities(film)
        per_solid = by["solid"] + by["structure"] * self.structure_per_solid
        return {
            "thickness": by["thickness"] * self.thickness_um,
            "deficit": by["deficit"] * self.deficit_um,
            "converter": by["deficit"] * self.converter_um,
            "gap": by["deficit"] * (film.deficit_um + self.layers_deficit_um) * self.gap,
            "common": (by["thickness"] + by["deficit"]) * self.common_um,
            "layers": (by["thickness"] + self.layers_ratio * by["deficit"]) * self.layers_um,
            "solid": per_solid * self.solid,
            "structure": by["structure"] * self.structure,
        }

    def thickness_terms(self) -> dict[str, float]:
        """What each cause makes of thickness, in um."""
        return {
            "thickness": self.thickness_um,
            "common": self.common_um,
            "layers": self.layers_um,
        }

    def u_porosity(self, film: Film) -> Any:
        return np.sqrt(sum(np.square(term) for term in self.porosity_terms(film).values()))


def sensitivities(film: Film) -> dict[str, Any]:
    """Derivatives of porosity: after t and Delta (per um), eps_s and L (per one)."""
    t, delta, eps = film.thickness_um, film.deficit_um, film.permittivity
    lost = film.eps_s - 1
    a, b = (1 - film.structure) / lost, film.structure * film.eps_s / lost
    w = a * eps**2 + b
    par = (film.eps_s - eps) / lost
    return {
        "thickness": w * delta / t**2,
        "deficit": -w / t,
        "solid": (a * (eps - 1) + b * (1 - 1 / eps) / film.eps_s) / lost,
        "structure": -par * delta / t,
    }


def causes(
    words: Sequence[int],
    deficit_um: float,
    scatter_um: float = 0.0,
    u_d_um: float = 0.0,
    windows: int | None = None,
) -> Causes:
    """Return what a board's words (`gauge.config`) say of a film with this deficit.

    `scatter_um` is that of both lasers within a window, `u_d_um` what was left in D; `windows`:
    averaged for C0, None: as many as the calibration asks for, 0: not counted.
    """
    c0, gap = words[config.C0_AF], words[config.GAP_8NM] / _UM
    noise = words[config.U_C_AF]
    c = c0 / (1 - deficit_um / gap)
    count = words[config.STANDARD_WINDOWS] if windows is None else windows
    zero = noise * gap / (c0 * sqrt(count)) if count else 0.0
    return Causes(
        thickness_um=hypot(words[config.U_THICKNESS_8NM] / _UM, scatter_um, u_d_um),
        deficit_um=hypot(words[config.U_DELTA_8NM], words[config.U_LAYERS_DELTA_8NM]) / _UM,
        converter_um=hypot(noise * (gap - deficit_um) / c, zero),
        gap=1e-6 * words[config.U_GAP_PPM],
        common_um=words[config.U_COMMON_8NM] / _UM,
        layers_um=words[config.U_LAYERS_8NM] / _UM,
        layers_ratio=1e-6 * words[config.U_LAYERS_RATIO_PPM],
        layers_deficit_um=words[config.LAYERS_DELTA_8NM] / _UM,
        solid=1e-6 * words[config.U_SOLID_E6],
        structure=1e-6 * words[config.U_STRUCTURE_PPM],
        structure_per_solid=1e-6 * words[config.STRUCTURE_PER_SOLID_PPM],
    )


@dataclass(frozen=True, slots=True)
class Budget:
    """Standard uncertainties of one film's numbers, and what each cause contributes (signed)."""

    film: Film
    u_thickness_um: float
    u_deficit_um: float
    u_permittivity: float
    u_porosity: float
    thickness_terms: dict[str, float]
    porosity_terms: dict[str, float]

    @property
    def dominant(self) -> str:
        """The cause that decides about porosity."""
        return max(self.porosity_terms, key=lambda name: abs(self.porosity_terms[name]))


def _film(
    words: Sequence[int], t_um: float, phi: float, rh_percent: float, air_c: float
) -> tuple[Film, np.ndarray]:
    """The film, and the law's corrections to its porosity by the L-family."""
    change = words[config.SOLID_RH_PPM] * (rh_percent - 50)
    change += words[config.SOLID_T_PPM] * (air_c - 23)
    eps_s = 1e-6 * words[config.SOLID_E6] * (1 + 1e-6 * change)
    first = config.CORRECTION_00_PPM
    count = words[config.CORRECTION_NODES]
    table = 1e-6 * np.array(words[first : first + count], float)
    closed = phi
    if count:  # porosity by the L-family that the corrections turn into this one
        nodes = np.linspace(0, 1, count)
        closed = float(np.interp(phi, nodes + table, nodes))
    return Film(t_um, closed, eps_s, 1e-6 * words[config.STRUCTURE_PPM]), table


def _slope(table: np.ndarray, phi: float) -> float:
    """How much a corrected porosity changes with that by the L-family."""
    if not len(table):
        return 1.0
    step = 1 / (len(table) - 1)
    i = min(len(table) - 2, max(0, int(phi / step)))
    return float(1 + (table[i + 1] - table[i]) / step)


def budget(
    words: Sequence[int],
    t_um: float,
    phi: float,
    rh_percent: float = 50.0,
    air_c: float = 23.0,
    scatter_um: float = 0.02,
) -> Budget:
    """Return the budget of a film with these words of `gauge.config`.

    `t_um` and `phi` are those of the porous layer; `scatter_um` as in `causes`: 0.02 um is that
    of two lasers with 0.1 um of noise and 44 samples in a window.
    """
    film, table = _film(words, t_um, phi, rh_percent, air_c)
    delta, eps = float(film.deficit_um), float(film.permittivity)
    of = causes(words, delta + words[config.LAYERS_DELTA_8NM] / _UM, scatter_um)
    slope = _slope(table, float(film.porosity))
    terms = {name: slope * float(x) for name, x in of.porosity_terms(film).items()}
    own = hypot(of.deficit_um, of.converter_um, (delta + of.layers_deficit_um) * of.gap)
    by_layers = eps * (eps - 1) - of.layers_ratio * eps**2
    return Budget(
        film=Film(t_um, phi, film.eps_s, film.structure),
        u_thickness_um=hypot(*of.thickness_terms().values()),
        u_deficit_um=hypot(own, of.common_um, of.layers_ratio * of.layers_um),
        u_permittivity=hypot(
            eps * (eps - 1) * of.thickness_um,
            eps**2 * own,
            eps * of.common_um,
            by_layers * of.layers_um,
        )
        / t_um,
        u_porosity=hypot(*terms.values()),
        thickness_terms=of.thickness_terms(),
        porosity_terms=terms,
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """Porosity by random errors: standard deviation and 95 % interval about the true value."""

    u_porosity: float
    low: float  # 2.5 % lie further below the true value, 2.5 % further above
    high: float
    bias: float  # mean minus the true value
    lost: float  # share of draws that no film has

    def agrees(self, found: Budget, within: float = 0.05) -> bool:
        """Whether the linear law holds: both ends of the interval within so much of 2 u."""
        reach = 1.96 * found.u_porosity
        ends = max(abs(self.high - reach), abs(self.low + reach)) / reach
        return self.lost == 0 and ends <= within

    @property
    def u95(self) -> float:
        """Half of the width of the interval."""
        return (self.high - self.low) / 2


def monte_carlo(
    words: Sequence[int],
    t_um: float,
    phi: float,
    draws: int = 100_000,
    seed: int = 1,
    rh_percent: float = 50.0,
    air_c: float = 23.0,
    scatter_um: float = 0.02,
) -> Trial:
    """Draw the errors of all causes and compute porosity from them; parameters as in `budget`."""
    film, table = _film(words, t_um, phi, rh_percent, air_c)
    delta = float(film.deficit_um)
    of = causes(words, delta + words[config.LAYERS_DELTA_8NM] / _UM, scatter_um)
    draw = np.random.default_rng(seed).standard_normal((8, draws))
    common, layers = of.common_um * draw[0], of.layers_um * draw[1]
    t = t_um + of.thickness_um * draw[2] + common + layers
    read = delta + (delta + of.layers_deficit_um) * of.gap * draw[3]
    read = read + of.deficit_um * draw[4] + of.converter_um * draw[5]
    read = read + common + of.layers_ratio * layers
    solid = of.solid * draw[6]
    eps_s = film.eps_s + solid
    structure = film.structure + of.structure * draw[7] + of.structure_per_solid * solid
    good = (t > 0) & (read < t) & (eps_s > 1)
    found = porosity(t[good], read[good], eps_s[good], structure[good])
    if len(table):
        found = found + np.interp(found, np.linspace(0, 1, len(table)), table)
    low, high = np.quantile(found, (0.025, 0.975))
    return Trial(
        u_porosity=float(np.std(found)),
        low=float(low - phi),
        high=float(high - phi),
        bias=float(np.mean(found) - phi),
        lost=float(1 - good.mean()),
    )


def linear_from_um(of: Causes, eps_s: float, structure: float, phi: float) -> float:
    """Thickness from which on the linear law holds for this porosity: 5 % of U95, 1 to 300 um."""
    film = Film(np.geomspace(1.0, 300.0, 200), phi, eps_s, structure)
    t, delta = film.thickness_um, film.deficit_um
    here, bend = porosity(t, delta, eps_s, structure), 0.0
    u_t = hypot(of.thickness_um, of.layers_um)
    u_delta = np.hypot(hypot(of.deficit_um, of.converter_um), of.gap * delta)
    for move_t, move_delta in ((2 * u_t, 0.0), (0.0, 2 * u_delta)):
        ends = [
            porosity(
                np.maximum(t + way * move_t, 1e-3), delta + way * move_delta, eps_s, structure
            )
            for way in (-1, 1)
        ]
        bend = bend + np.abs(ends[0] + ends[1] - 2 * here) / 2
    bent = np.nonzero(bend > 0.05 * 2 * of.u_porosity(film))[0]
    return float(t[min(len(t) - 1, bent[-1] + 1)]) if len(bent) else float(t[0])


def coverage(stated: Any, true: Any) -> float:
    """Mean share of errors with standard deviation `true` that lie within 2 `stated`."""
    ratio = np.asarray(stated) / np.maximum(true, 1e-12)
    return float(np.mean([erf(sqrt(2) * x) for x in np.ravel(ratio)]))
