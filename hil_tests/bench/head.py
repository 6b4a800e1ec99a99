"""The measuring head: geometry, frame temperature, air, and what its sensors would read if they
were perfect.

Height z is measured from the middle of the gap. Laser A looks down from above, B up from below;
each distance is counted from the start of the laser's measuring range. With a film of thickness
t at height h they read a = D/2 - (h + t/2), b = D/2 + (h - t/2), so that t = D - (a + b); at
mid-gap both are in the middle of their ranges.

Capacitance of the guarded electrode: C = eps0 eps_air A / (gap - sum t (1 - 1/eps)) + stray
(physics.md section 0), eps relative to the air in the gap.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

EPS0 = 8.8541878128e-12  # farad per metre, CODATA 2018


def disc_m2(diameter_mm: float) -> float:
    """Area of a disc."""
    return math.pi / 4 * (diameter_mm * 1e-3) ** 2


def area_m2(head: SimpleNamespace) -> float:
    """Effective area of the electrodes of a scenario's head."""
    return disc_m2(head.electrode_mm) * (1 + head.area_percent / 100)


def saturation_hpa(air_c):
    """Vapour pressure over water (Magnus form), -20..80 C."""
    return 6.112 * np.exp(17.62 * air_c / (243.12 + air_c))


def air_permittivity(air_c, rh_percent, pressure_hpa):
    """Relative permittivity of moist air, from its radio refractivity (Smith and Weintraub).

    20 %RH more at 23 C give 48 ppm, 20 hPa give 10 ppm.
    """
    kelvin = air_c + 273.15
    vapour = saturation_hpa(air_c) * rh_percent / 100
    refractivity = 77.6 * pressure_hpa / kelvin + 3.73e5 * vapour / kelvin**2
    return 1 + 2e-6 * refractivity


def gauss_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes on 0..1 and weights (sum 1) of Gauss-Legendre quadrature."""
    x, w = np.polynomial.legendre.leggauss(count)
    return (x + 1) / 2, w / 2


def chord_nodes(count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Places along a disc of diameter 1 (-0.5..0.5) and the share of its area at each."""
    x, w = np.polynomial.legendre.leggauss(count)
    weights = w * np.sqrt(1 - x * x)
    return x / 2, weights / weights.sum()
