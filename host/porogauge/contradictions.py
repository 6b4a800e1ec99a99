"""What does not go together in a recipe or a calibration, in sentences for who runs the process.

Each function takes the checked values of a file (`porogauge.recipe.normalise`: path -> exact
value) and returns one sentence for each contradiction, which begins with the field's name and
tells what would be legal. What decides here is in the files alone; what depends on how well a
head measures is told by `porogauge.recipe_check`.
"""

from __future__ import annotations

from array import array
from decimal import Decimal
from math import ceil
from typing import Any

from gauge import config

from .derived import LAYERS, film_of
from .mixing_laws import corrected, permittivity, porosity, structure_for
from .recipe_fields import laser_table, plain
from .stack import TYPICAL, identifiability

__all__ = ["of_calibration", "of_recipe", "of_words", "permittivity_at", "porosity_at"]

Values = dict[str, Any]  # path -> normalised value (Decimal, int, str, tuple or None)

EPS0_F_PER_M = Decimal("8.8541878128e-12")
PI = Decimal("3.14159265358979323846")
PERMITTIVITY_OFF = 100  # a limit at the top of its range is not applied
CDC_SPAN_PF = Decimal("4.096")  # AD7746: largest distance of the capacitance from the CAPDAC


def of_recipe(v: Values) -> list[str]:
    """What does not go together in a recipe."""
    found = _limits(v) + _validity(v) + _stack(v)
    if not found:  # what is impossible in itself needs no look at the film
        found = _permittivity(v)
    return found


def _limits(v: Values) -> list[str]:
    found = []
    for quantity, unit in (("thickness", "um"), ("porosity", "percent")):
        names = [f"limits.{quantity}_{end}_{unit}" for end in ("lolo", "lo", "hi", "hihi")]
        for low, high in zip(names, names[1:], strict=False):
            if v[low] > v[high]:
                found.append(
                    f"{low} ({plain(v[low])}) is above {high} ({plain(v[high])}); legal: 0 to"
                    f" {plain(v[high])}"
                )
        deadband = f"limits.{quantity}_deadband_{unit}"
        if v[names[1]] <= v[names[2]] and v[deadband] * 2 > v[names[2]] - v[names[1]]:
            found.append(
                f"{deadband} ({plain(v[deadband])}) is more than half of the distance between"
                f" {names[1]} and {names[2]}: a flag could never go; legal: 0 to"
                f" {plain((v[names[2]] - v[names[1]]) / 2)}"
            )
        target = v[f"film.target_{quantity}_{unit}"]
        if target is not None and not v[names[1]] <= target <= v[names[2]]:
            found.append(
                f"film.target_{quantity}_{unit} ({plain(target)}) is not between {names[1]}"
                f" ({plain(v[names[1]])}) and {names[2]} ({plain(v[names[2]])}); legal:"
                f" {plain(v[names[1]])} to {plain(v[names[2]])}"
            )
    return found


def _validity(v: Values) -> list[str]:
    """The range for which L was fitted, and the film that is aimed at."""
    found = []
    for quantity in ("thickness_{}um", "porosity_{}percent", "rh_{}percent"):
        low, high = (f"mixing.valid_{quantity.format(end)}" for end in ("min_", "max_"))
        if v[low] is not None and v[high] is not None and v[low] >= v[high]:
            found.append(_not_below(v, low, high))
        aim = f"film.target_{quantity.format('')}"
        target = v.get(aim)
        for end, sign in ((low, 1), (high, -1)):
            if target is not None and v[end] is not None and sign * (target - v[end]) < 0:
                found.append(
                    f"{aim} ({plain(target)}) is beyond {end} ({plain(v[end])}): L was not fitted"
                    " for such film; legal: the range that the fit had, or a fit with samples of"
                    " this film"
                )
    return found


def _not_below(v: Values, low: str, high: str) -> str:
    return f"{low} ({plain(v[low])}) is not below {high} ({plain(v[high])}); legal: less than that"


def _stack(v: Values) -> list[str]:
    """Layers of which too little is known, and limits on what they hide."""
    found = []
    layers, report, film = v[LAYERS], v["stack.report"], film_of(v)
    if report == "film":
        for number, layer in enumerate(layers, 1):
            if layer.u_thickness_um is None:
                found.append(
                    f"layer {number}.u_thickness_um: how thick '{layer.name}' is, is not known (it"
                    " is left out), so that neither thickness nor porosity of the film behind it"
                    " can be told; legal: state it (0 to 100 micrometres), or stack.report ="
                    ' "average"'
                )
    elif layers and film is None:
        found.append(
            'stack.report: "average" needs film.target_thickness_um and'
            " film.target_porosity_percent: they decide by how much skins bias the average; legal:"
            " state both"
        )
    if found or v["layers.porosity"] == "measured":
        return found
    if layers:
        limit = float(v["limits.porosity_u95_max_percent"]) / 100
        why = identifiability(layers, film or TYPICAL, report, limit).sentence
    else:
        why = f"layers.porosity is '{v['layers.porosity']}': no porosity is reported."
    ends = (("lolo", 0), ("lo", 0), ("hi", 100), ("hihi", 100))
    paths = {f"limits.porosity_{name}_percent": off for name, off in ends}
    acting = [f"{path} ({plain(v[path])})" for path, off in paths.items() if v[path] != off]
    if acting:
        found.append(f"{', '.join(acting)}: would never act. {why} Legal: leave them out")
    return found


def _permittivity(v: Values) -> list[str]:
    """A highest permittivity that the film cannot have at the porosity it is allowed."""
    highest = v["limits.permittivity_max"]
    if highest >= PERMITTIVITY_OFF or v["layers.porosity"] != "measured":
        return []
    for path in ("film.target_porosity_percent", "limits.porosity_lo_percent"):
        percent = v[path]
        if percent is None or (percent == 0 and path.startswith("limits")):
            continue
        eps = permittivity_at(v, float(percent) / 100)
        if eps > float(highest):
            return [
                f"limits.permittivity_max ({plain(highest)}) cannot be met at {path}"
                f" ({plain(percent)}): film of {plain(percent)} % porosity has a permittivity of"
                f" {eps:.2f} with this solid ({plain(v['material.permittivity'])}) and L ="
                f" {plain(v['mixing.structure_factor'])}. {_remedies(v, percent, highest)}; legal:"
                f" {ceil(100 * eps) / 100:g} or more"
            ]
    return []


def _remedies(v: Values, percent: Decimal, highest: Decimal) -> str:
    """What would have to be otherwise for a permittivity of `highest`."""
    phi, top = float(percent) / 100, float(highest)
    solid, structure = float(v["material.permittivity"]), float(v["mixing.structure_factor"])
    ways = []
    least = porosity_at(v, top)
    if least <= 1:
        ways.append(f"a porosity of {100 * least:.1f} % or more")
    flat = structure_for(top, phi, solid)
    if structure < flat <= 1:
        ways.append(f"flat pores (L of {flat:.2f} or more)")
    low, high = 1.0, solid
    for _ in range(40):
        middle = (low + high) / 2
        met = permittivity("bruggeman_l", phi, middle, structure) <= top
        low, high = (middle, high) if met else (low, middle)
    ways.append(f"a solid of {low:.2f} or less")
    return f"It takes {', or '.join(ways)}"


def permittivity_at(v: Values, phi: float) -> float:
    """Permittivity that a recipe's film has at a porosity, its corrections included."""
    low, high = 1.0, float(v["material.permittivity"])
    for _ in range(50):  # porosity falls with permittivity
        middle = (low + high) / 2
        low, high = (middle, high) if porosity_at(v, middle) > phi else (low, middle)
    return low


def porosity_at(v: Values, eps: float) -> float:
    """Porosity that a recipe tells of a permittivity, its corrections included."""
    solid, structure = float(v["material.permittivity"]), float(v["mixing.structure_factor"])
    phi = porosity("bruggeman_l", eps, solid, structure)
    nodes = v["mixing.correction_percent"]
    return phi + corrected(phi, [float(node) for node in nodes]) / 100 if nodes else phi


def of_words(words: array) -> list[str]:
    """What does not go together between a recipe and the head that is to measure with it."""
    layers = Decimal(words[config.LAYERS_8NM]) / 8000
    film = Decimal(words[config.THICKNESS_LO_8NM]) / 8000
    gap = Decimal(words[config.GAP_8NM]) / 8000
    if layers + film < gap:
        return []
    return [
        f"limits.thickness_lo_um ({plain(film)}), with {plain(layers)} um of other layers on the"
        f" film: does not fit into the gap, capacitance.gap_um ({plain(gap)}); legal:"
        f" {'0 to below ' + plain(gap - layers) if layers < gap else 'a head with a wider gap'}"
    ]


def of_calibration(v: Values) -> list[str]:
    """What does not go together in a calibration."""
    found = []
    for quantity, unit in (
        ("thickness", "um"),
        ("porosity", "percent"),
        ("rh", "percent"),
        ("air", "c"),
    ):
        low, high = (f"envelope.{quantity}_{end}_{unit}" for end in ("min", "max"))
        if v[low] >= v[high]:
            found.append(_not_below(v, low, high))
    c0, stray, dac = (v[f"capacitance.{name}_pf"] for name in ("c0", "stray", "capdac"))
    if abs(c0 + stray - dac) > CDC_SPAN_PF:
        found.append(
            f"capacitance.capdac_pf ({plain(dac)}) is more than {CDC_SPAN_PF} pF from c0_pf +"
            f" stray_pf ({plain(c0 + stray)}): the converter would be at its end; choose another"
            " capdac_code; legal:"
            f" {plain(c0 + stray - CDC_SPAN_PF)} to {plain(c0 + stray + CDC_SPAN_PF)}"
        )
    if v["capacitance.capdac_code"] == 0 and dac != 0:
        found.append("capacitance.capdac_pf must be 0 when capdac_code is 0; legal: 0")
    model = laser_table()[v["lasers.model"]]
    try:
        model.check_rate(int(v["lasers.rate_hz"]))
    except ValueError as error:
        found.append(f"lasers.rate_hz: {error}")
    # Each reading lies within its range, and a film is at most 1 mm.
    longest = 2 * model.range_mm * 1000 + 1000
    if v["lasers.sum_distance_um"] > longest:
        found.append(
            f"lasers.sum_distance_um ({plain(v['lasers.sum_distance_um'])}) is more than two"
            f" lasers with {model.range_mm} mm range can see; legal: up to {longest}"
        )
    if v["lasers.reference_um"] >= v["lasers.sum_distance_um"]:
        found.append(
            "lasers.reference_um is not below sum_distance_um: no tile fits between; legal: less"
            f" than {plain(v['lasers.sum_distance_um'])}"
        )
    maps = [name for name in ("a_map_um", "b_map_um") if v[f"lasers.{name}"]]
    if maps and not v["lasers.map_step_um"]:
        found.append(
            f"lasers.{maps[0]} is given, but lasers.map_step_um is 0: state how far the readings"
            " of two nodes are apart"
        )
    if v["lasers.map_start_um"] >= model.range_mm * 1000:
        found.append(
            f"lasers.map_start_um ({plain(v['lasers.map_start_um'])}) is beyond the lasers' range;"
            f" legal: below {model.range_mm * 1000}"
        )
    diameter = v["head.electrode_diameter_mm"]
    if diameter is not None:
        area_m2 = PI * (diameter / 2000) ** 2
        ideal_pf = EPS0_F_PER_M * area_m2 / (v["capacitance.gap_um"] / 1_000_000) * 10**12
        # A guarded electrode is within some percent of the ideal one; the slit adds a few more.
        if not ideal_pf * Decimal("0.8") <= c0 <= ideal_pf * Decimal("1.25"):
            found.append(
                f"capacitance.c0_pf ({plain(c0)}) does not belong to a gap of"
                f" {plain(v['capacitance.gap_um'])} um with electrodes of {plain(diameter)} mm,"
                f" which make {ideal_pf:.3f} pF; legal: {ideal_pf * Decimal('0.8'):.3f} to"
                f" {ideal_pf * Decimal('1.25'):.3f}"
            )
    return found
