"""Mixing laws of air and a solid: permittivity of a porosity and back, corrections for the board.

The board inverts one law, the L-family ("bruggeman_l", Bruggeman's law with one depolarisation
parameter L), in closed form. Every other law reaches it as 33 corrections to that porosity, at
0, 3.125, ... 100 %, between which it interpolates (`gauge.mixture`).

    >>> round(permittivity("bruggeman_l", 0.5, 3.3, 1 / 3), 3)
    1.93
    >>> round(porosity("looyenga", 1.927, 3.3), 3)
    0.5

Permittivities are relative, 1.02 to 24 for a solid; porosity and L are fractions of 1. Formulas:
Bruggeman and Polder-van Santen, Looyenga (Landau, Lifshitz), Maxwell Garnett with either phase as
the host (the bounds of Hashin and Shtrikman), Lichtenecker, Wiener's bounds. Porosities that no
physical mixture has (outside of 0..1) are returned as they are; the caller judges them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt

__all__ = [
    "LAWS",
    "NODES",
    "corrected",
    "correction_of_points",
    "correction_percent",
    "permittivity",
    "porosity",
    "structure_for",
    "wiener",
]

LAWS = {
    "bruggeman_l": "Bruggeman with one depolarisation parameter L per recipe",
    "looyenga": "Looyenga, Landau and Lifshitz: isotropic, no structure stated",
    "air_in_solid": "Maxwell Garnett, closed pores in a solid host",
    "solid_in_air": "Maxwell Garnett, grains of solid in air",
    "lichtenecker": "Lichtenecker: logarithms mix; below every isotropic structure from 30 % on",
}
NODES = 33  # of every table of corrections


def wiener(eps: float, eps_s: float) -> tuple[float, float]:
    """Porosities of flat pores and of pores straight through that have this permittivity.

    Every structure lies between the two.
    """
    par = (eps_s - eps) / (eps_s - 1)
    return par / eps, par


def permittivity(law: str, phi: float, eps_s: float, structure: float = 1 / 3) -> float:
    """Permittivity of a mixture with porosity `phi`; `structure` is L, for "bruggeman_l" alone."""
    solid = 1 - phi
    if law == "bruggeman_l":
        b = (eps_s - 1) * phi + structure - (1 - structure) * eps_s
        root = sqrt(b * b + 4 * (1 - structure) * structure * eps_s)
        # Two forms of one root: each where it does not subtract near equals.
        if b > 0:
            return 2 * structure * eps_s / (b + root)
        return (root - b) / (2 * (1 - structure))
    if law == "looyenga":
        return (phi + solid * eps_s ** (1 / 3)) ** 3
    if law == "air_in_solid":
        beta = (1 - eps_s) / (1 + 2 * eps_s)
        return eps_s * (1 + 2 * phi * beta) / (1 - phi * beta)
    if law == "solid_in_air":
        gamma = (eps_s - 1) / (eps_s + 2)
        return (1 + 2 * solid * gamma) / (1 - solid * gamma)
    if law == "lichtenecker":
        return eps_s**solid
    raise ValueError(f"{law!r} is not a mixing law; legal: {', '.join(LAWS)}")


def porosity(law: str, eps: float, eps_s: float, structure: float = 1 / 3) -> float:
    """Porosity of a mixture with permittivity `eps`: the inverse of `permittivity`."""
    lost = eps_s - eps
    if law == "bruggeman_l":
        return lost * ((1 - structure) * eps + structure) / (eps * (eps_s - 1))
    if law == "looyenga":
        return (eps_s ** (1 / 3) - eps ** (1 / 3)) / (eps_s ** (1 / 3) - 1)
    if law == "air_in_solid":
        return lost * (1 + 2 * eps_s) / ((eps + 2 * eps_s) * (eps_s - 1))
    if law == "solid_in_air":
        return 1 - (eps - 1) * (eps_s + 2) / ((eps + 2) * (eps_s - 1))
    if law == "lichtenecker":
        return 1 - log(eps) / log(eps_s)
    raise ValueError(f"{law!r} is not a mixing law; legal: {', '.join(LAWS)}")


def structure_for(eps: float, phi: float, eps_s: float) -> float:
    """L of the structure that has this permittivity at this porosity.

    Below 0 or above 1 when no structure has: the pair lies outside of Wiener's bounds.
    """
    ser, par = wiener(eps, eps_s)
    return (par - phi) / (par - ser)


def corrected(phi: float, nodes: Sequence[float]) -> float:
    """The correction of a table at a porosity, as the board interpolates it (its own unit)."""
    place = min(max(phi, 0.0), 1.0) * (NODES - 1)
    index = min(int(place), NODES - 2)
    return nodes[index] + (nodes[index + 1] - nodes[index]) * (place - index)


def correction_percent(law: str, eps_s: float, structure: float = 1 / 3) -> list[float]:
    """33 corrections, points of porosity, that turn the L-family's porosity into that of `law`.

    For the solid's nominal permittivity; `structure` is the L that the board inverts with.
    """
    found = []
    for node in range(NODES):
        phi = node / (NODES - 1)
        eps = permittivity("bruggeman_l", phi, eps_s, structure)
        found.append(round(100 * (porosity(law, eps, eps_s, structure) - phi), 4) + 0.0)
    return found


def correction_of_points(
    points: Sequence[tuple[float, float]], eps_s: float, structure: float = 1 / 3
) -> list[float]:
    """33 corrections, points of porosity, from measured pairs (permittivity, porosity).

    Linear between the points, over the L-family's porosity; beyond the outermost points it falls
    to none at 0 and 100 %, where every law agrees. Raises ValueError for fewer than three points,
    points that do not fall with permittivity, or points outside of Wiener's bounds.
    """
    if len(points) < 3:
        raise ValueError(f"{len(points)} measured points are too few: at least 3 are needed")
    known = [(0.0, 0.0), (1.0, 0.0)]
    for eps, phi in points:
        if not 1 < eps < eps_s:
            raise ValueError(
                f"permittivity {eps:g} is not between air's 1 and the solid's {eps_s:g}"
            )
        low, high = wiener(eps, eps_s)
        if not low - 1e-6 <= phi <= high + 1e-6:
            raise ValueError(
                f"porosity {100 * phi:g} % at permittivity {eps:g} is beyond what any structure"
                f" has: {100 * low:.1f} to {100 * high:.1f} %"
            )
        base = porosity("bruggeman_l", eps, eps_s, structure)
        known.append((base, phi - base))
    known.sort()
    for (x0, y0), (x1, y1) in zip(known, known[1:], strict=False):
        if x1 <= x0 or x1 + y1 <= x0 + y0:
            raise ValueError(
                f"porosity does not fall with permittivity between {100 * (x0 + y0):.1f} and"
                f" {100 * (x1 + y1):.1f} %: two of the points contradict each other"
            )
    found = []
    for node in range(NODES):
        phi = node / (NODES - 1)
        right = next(i for i, (x, _) in enumerate(known) if x >= phi and i > 0)
        (x0, y0), (x1, y1) = known[right - 1], known[right]
        found.append(round(100 * (y0 + (y1 - y0) * (phi - x0) / (x1 - x0)), 4) + 0.0)
    return found
