"""The layers of a film that are not its porous layer: what they take away, and what stays known.

The head sees the whole stack: total thickness T and deficit Delta. The porous layer's share is
what is left after the known ones (physics.md section 4)

    t = T - sum t_j,    Delta_p = Delta - sum t_j x_j,    x_j = 1 - 1/eps_j

(a metal foil that floats between the electrodes is a layer with x = 1), so that an error of a
layer's thickness or permittivity becomes one of porosity. Several layers of one kind come from
one process: their errors are taken as one, `count` times as large.

    >>> glue = Layer("glue", "adhesive", Decimal(10), Decimal("0.5"), Decimal("3.2"),
    ...              Decimal("0.1"))
    >>> layer_words([glue])["layers_8nm"]
    80000
    >>> identifiability([glue], Film(25, 0.5, 3.3, 1 / 3)).verdict
    'identifiable'

Lengths are in micrometres, porosity is a fraction of 1, uncertainties are standard ones unless
the name says U95; words as in `gauge.config`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from math import hypot, inf

from gauge.config import POROSITY_MEASURED as MEASURED
from gauge.config import POROSITY_NOT_IDENTIFIABLE as NOT_IDENTIFIABLE
from gauge.config import POROSITY_SHIELDED as SHIELDED

from .mixing_laws import permittivity, porosity

__all__ = [
    "INDICATIVE_U95",
    "LAYER_KINDS",
    "METALS",
    "MODES",
    "TYPICAL",
    "Film",
    "Identity",
    "Layer",
    "identifiability",
    "layer_effect",
    "layer_words",
    "porosity_mode",
    "skin_bias",
    "total_um",
]

LAYER_KINDS = {
    "skin": "dense skin of the film",
    "adhesive": "adhesive",
    "substrate": "substrate",
    "metal": "metal wider than the electrodes, or grounded: it shields what is behind it",
    "floating_metal": "metal foil that floats and is no larger than the electrodes",
}
METALS = ("metal", "floating_metal")

# porosity_mode of `gauge.config`, by what a file calls it
MODES = ("measured", "not_identifiable", "shielded")

# A porosity whose U95 is above this tells trends, not whether a limit is kept.
INDICATIVE_U95 = 0.05

_PER_UM = 8000


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a recipe, or `count` equal ones. `u_thickness_um` None: not known."""

    name: str
    kind: str
    thickness_um: Decimal
    u_thickness_um: Decimal | None = None
    permittivity: Decimal | None = None  # None: metal
    u_permittivity: Decimal = Decimal(0)
    count: int = 1

    @property
    def total_um(self) -> Decimal:
        return self.count * self.thickness_um

    @property
    def u_total_um(self) -> Decimal:
        """Standard uncertainty of all of them together; not known counts as all of it."""
        u = self.thickness_um if self.u_thickness_um is None else self.u_thickness_um
        return self.count * u

    @property
    def ratio(self) -> Decimal:
        """Deficit over thickness: 1 - 1/eps."""
        return Decimal(1) if self.permittivity is None else 1 - 1 / self.permittivity

    @property
    def u_ratio(self) -> Decimal:
        if self.permittivity is None:
            return Decimal(0)
        return self.u_permittivity / self.permittivity**2


@dataclass(frozen=True, slots=True)
class Film:
    """A point at which a stack is judged: the film's thickness, porosity and mixing law.

    Thickness and porosity are those that the gauge reports: of the porous layer, or of the whole
    film with its skins where the recipe reports the average.
    """

    thickness_um: float
    porosity: float
    solid: float
    structure: float

    @property
    def permittivity(self) -> float:
        return permittivity("bruggeman_l", self.porosity, self.solid, self.structure)

    @property
    def deficit_um(self) -> float:
        return self.thickness_um * (1 - 1 / self.permittivity)

    def invert(self, t_um: float, delta_um: float) -> float | None:
        """Porosity of another thickness and deficit; None when there is no such film."""
        if t_um <= 0 or delta_um >= t_um:
            return None
        return porosity("bruggeman_l", t_um / (t_um - delta_um), self.solid, self.structure)

    def by_delta(self) -> float:
        """|d porosity / d deficit|, per micrometre."""
        eps, rest = self.permittivity, self.structure
        weight = ((1 - rest) * eps * eps + rest * self.solid) / (self.solid - 1)
        return weight / self.thickness_um


TYPICAL = Film(25.0, 0.5, 3.3, 1 / 3)  # where a recipe states no film that it aims at


@dataclass(frozen=True, slots=True)
class Identity:
    """What may be said of the porous layer's porosity. `u95` is a fraction, None: no number.

    `verdict`: identifiable, indicative (trends, no release decisions), average_only (of film and
    skins together), not_identifiable (no number is reported). `u95` is the layers' part alone.
    """

    verdict: str
    sentence: str
    u95: float | None


def total_um(layers: Sequence[Layer]) -> Decimal:
    """Thickness of all layers that are not the film."""
    return sum((layer.total_um for layer in layers), Decimal(0))


def porosity_mode(
    layers: Sequence[Layer],
    report: str = "film",
    film: Film | None = None,
    limit: float = 0.10,
) -> int:
    """Whether porosity can be told through this stack at all: an index into `MODES`.

    With `film`, the one that the recipe aims at, also whether the layers are known well enough.
    """
    if any(layer.kind == "metal" for layer in layers):
        return SHIELDED
    if sum(layer.count for layer in layers if layer.kind in METALS) > 1:
        return NOT_IDENTIFIABLE
    if report == "average":
        hidden = any(layer.kind != "skin" for layer in layers)
        if film is not None and 2 * skin_bias(layers, film) > limit:
            hidden = True
        return NOT_IDENTIFIABLE if hidden else MEASURED
    if any(layer.u_thickness_um is None for layer in layers):
        return NOT_IDENTIFIABLE
    if film is not None and 2 * hypot(*(_u_of(film, layer) for layer in layers)) > limit:
        return NOT_IDENTIFIABLE
    return MEASURED


def skin_bias(layers: Sequence[Layer], film: Film) -> float:
    """By how much the average porosity of film and skins reads high when skins are not subtracted.

    `film` is the whole, with the average porosity. All of it (1) when skins leave no core that
    could have it.
    """
    skins = [layer for layer in layers if layer.kind == "skin"]
    core_um = film.thickness_um - float(total_um(skins))
    if core_um <= film.porosity * film.thickness_um:
        return 1.0
    inner = film.porosity * film.thickness_um / core_um
    core = Film(core_um, inner, film.solid, film.structure)
    delta = core.deficit_um + float(sum(layer.total_um * layer.ratio for layer in skins))
    read = film.invert(film.thickness_um, delta)
    return 1.0 if read is None else read - film.porosity


def layer_words(
    layers: Sequence[Layer],
    report: str = "film",
    film: Film | None = None,
    limit: float = 0.10,
    u_offset_um: Decimal = Decimal(0),
) -> dict[str, int]:
    """Return the words of `gauge.config` that stand for `layers`.

    What is reported of the film alone ("film") has every layer subtracted. The average over film
    and skins has nothing subtracted, and its bias (`skin_bias`, at `film`) as an uncertainty: it
    covers skins of up to twice the stated thickness. `film` and `limit` (U95 of porosity) decide
    whether porosity is identifiable at all. `u_offset_um`: standard uncertainty of the thickness
    offset, which counts as a layer of air, 0 thick (x = 0).
    """
    words = {"porosity_mode": porosity_mode(layers, report, film, limit)}
    taken = layers if report == "film" else ()
    s0 = sum((layer.u_total_um**2 for layer in taken), u_offset_um**2)
    s1 = sum((layer.ratio * layer.u_total_um**2 for layer in taken), Decimal(0))
    s2 = sum((layer.ratio**2 * layer.u_total_um**2 for layer in taken), Decimal(0))
    rest = sum(((layer.total_um * layer.u_ratio) ** 2 for layer in taken), Decimal(0))
    if s0:
        rest += max(s2 - s1 * s1 / s0, Decimal(0))
    if report == "average" and film is not None and words["porosity_mode"] == MEASURED:
        rest += Decimal(repr(skin_bias(layers, film) / film.by_delta())) ** 2
    delta = sum((layer.total_um * layer.ratio for layer in taken), Decimal(0))
    words["layers_8nm"] = _round(total_um(taken) * _PER_UM)
    words["layers_delta_8nm"] = _round(delta * _PER_UM)
    words["u_layers_8nm"] = _round(s0.sqrt() * _PER_UM)
    words["u_layers_ratio_ppm"] = _round(s1 / s0 * 1_000_000) if s0 else 0
    words["u_layers_delta_8nm"] = _round(rest.sqrt() * _PER_UM)
    return words


def _round(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def layer_effect(film: Film, layer: Layer, thickness_um: float = 0, ratio: float = 0) -> float:
    """Change of the porosity that is told when the layer really is thicker, or another `ratio`.

    Both are for all `count` layers together. Exact, not linearised; infinite when the remainder
    is no film.
    """
    x, t = float(layer.ratio), float(layer.total_um)
    # The stack is what it is; the recipe takes off what it believes, less than there is.
    delta = film.deficit_um + (t + thickness_um) * (x + ratio) - t * x
    read = film.invert(film.thickness_um + thickness_um, delta)
    return inf if read is None else read - film.porosity


def _u_of(film: Film, layer: Layer) -> float:
    """Standard uncertainty of porosity by one layer, the worse of both directions."""
    u_t, u_x = float(layer.u_total_um), float(layer.u_ratio)
    by_t = max(abs(layer_effect(film, layer, thickness_um=sign * u_t)) for sign in (1, -1))
    by_x = max(abs(layer_effect(film, layer, ratio=sign * u_x)) for sign in (1, -1))
    return hypot(by_t, by_x)


def identifiability(
    layers: Sequence[Layer], film: Film, report: str = "film", limit: float = 0.10
) -> Identity:
    """Say whether porosity can be told through this stack, at `film`.

    `limit` is the largest U95 (fraction) with which the recipe has porosity reported.
    """
    if porosity_mode(layers, report) != MEASURED:
        return Identity("not_identifiable", _why_not(layers, report), None)
    if not layers:
        return Identity("identifiable", "The film has no other layers.", 0.0)
    if report == "average":
        u95 = 2 * abs(skin_bias(layers, film))
        if u95 > limit:
            return Identity(
                "not_identifiable",
                f"Skins of {total_um(layers)} um in {film.thickness_um:g} um of film bias the"
                f" average porosity by more than the {100 * limit:g} points with which it may be"
                " reported: only the thickness of the whole is.",
                None,
            )
        return Identity(
            "average_only",
            "Skins are not subtracted: thickness and porosity are those of film and skins"
            f" together, and read up to {100 * u95 / 2:.1f} points high at"
            f" {film.thickness_um:g} um and {100 * film.porosity:g} %; the porosity of the core"
            " alone cannot be told.",
            u95,
        )
    parts = {layer.name: _u_of(film, layer) for layer in layers}
    u95 = 2 * hypot(*parts.values())
    place = f"at {film.thickness_um:g} um and {100 * film.porosity:g} %"
    worst = max(parts, key=lambda name: parts[name])
    if u95 > limit:
        size = "no film remains" if u95 == inf else f"{100 * u95:.1f} points"
        return Identity(
            "not_identifiable",
            f"The layers are not known well enough: their part of U95 of porosity is {size}"
            f" {place} (most of it by '{worst}'), more than the {100 * limit:g} points with which"
            " porosity may be reported. Measure that layer at the same spot before coating, or"
            " report thickness only.",
            u95,
        )
    if u95 > INDICATIVE_U95:
        return Identity(
            "indicative",
            f"The layers' part of U95 of porosity is {100 * u95:.1f} points {place} (most of it"
            f" by '{worst}'): good for trends, not for release decisions.",
            u95,
        )
    return Identity(
        "identifiable",
        f"The layers' part of U95 of porosity is {100 * u95:.1f} points {place}.",
        u95,
    )


def _why_not(layers: Sequence[Layer], report: str) -> str:
    """Why no number at all can be told, whatever the film."""
    metals = [layer for layer in layers if layer.kind in METALS]
    before = "measure porosity before metallising; here only thickness is reported."
    if sum(layer.count for layer in metals) > 1:
        return f"Metal on both faces shields the porous layer from the electrodes: {before}"
    if metals and metals[0].kind == "metal":
        also = " with its substrate" if any(x.kind == "substrate" for x in layers) else ""
        return (
            f"The metal layer '{metals[0].name}'{also} shields the porous layer: the field ends on"
            f" it and the capacitance collapses; {before}"
        )
    if report == "average":
        other = next(layer for layer in layers if layer.kind != "skin")
        return (
            f"The average over the stack has '{other.name}' ({other.kind}) in it and is no"
            " porosity: only the thickness of the whole is reported. State the layer's thickness"
            ' uncertainty and report = "film" to have it subtracted.'
        )
    unknown = next(layer for layer in layers if layer.u_thickness_um is None)
    return (
        f"How thick '{unknown.name}' is, is not known (u_thickness_um is left out): core porosity"
        " and its thickness are two unknowns of one equation."
    )
