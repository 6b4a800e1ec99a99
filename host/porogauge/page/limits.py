"""Limits of the configuration in force, and what a flag means against them, in sentences.

    >>> limits(words)["thickness"]["hi"], limits(words)["guard"]
    (27.0, 2.0)
    >>> explain("thickness_hi", newest, words)["sentence"]
    'thickness 27.31 ± 0.40 µm (U95) is above HI 27.00 µm ...'

The rule is that of `gauge.judge`: a value with its guard band, value + guard u for an upper limit,
is beyond; the flag goes when it is back inside by the deadband.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gauge import config, record

from ..meanings import CONDITIONS
from ..segments import porosity_by_deficit, porosity_by_thickness

__all__ = ["CONDITIONS", "explain", "limits"]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """Where a decoded record and a configuration have it; `scale` and `factor`: per unit."""

    text: str
    unit: str
    key: str
    scale: float
    suffix: str
    factor: float
    digits: int


_QUANTITIES = {
    "thickness": _Quantity("thickness", "µm", "thickness_nm", 1e3, "8nm", 8e3, 2),
    "porosity": _Quantity("porosity", "%", "porosity_ppm", 1e4, "ppm", 1e4, 2),
    "permittivity": _Quantity("permittivity", "", "permittivity_e4", 1e4, "e4", 1e4, 3),
}
_ENDS = ("lolo", "lo", "hi", "hihi")


def limits(words: Sequence[int]) -> dict[str, Any]:
    """Limits in user units, None where there is none, with guard (u), deadbands and delays."""
    top = {name: high for name, _, high in config.SPEC}
    found: dict[str, Any] = {}
    for name, q in _QUANTITIES.items():
        ends = dict.fromkeys(_ENDS)
        for end in ("max",) if name == "permittivity" else _ENDS:
            word = f"{name}_{end}_{q.suffix}"
            value = words[getattr(config, word.upper())]
            if value != (0 if end in ("lolo", "lo") else top[word]):
                ends["hihi" if end == "max" else end] = value / q.factor
        deadband = words[getattr(config, f"{name}_deadband_{q.suffix}".upper())]
        found[name] = ends | {"deadband": deadband / q.factor}
    return found | {
        "guard": words[config.GUARD_C2] / 100,
        "on_delay": words[config.ON_DELAY],
        "off_delay": words[config.OFF_DELAY],
        "averaged": 1 << words[config.FILTER_SHIFT],
        "reject": record.names_of(words[config.REJECT_MASK]),
        "latch": record.names_of(words[config.LATCH_MASK]),
        "hidden": words[config.POROSITY_MODE] != config.POROSITY_MEASURED,
    }


def explain(flag: str, values: Mapping[str, Any], words: Sequence[int] | None) -> dict[str, Any]:
    """What a flag says in this window: sentence, what to do, other causes.

    For a limit also `value`, `u95`, `limit`, `guard_band`, `excess` (above 0: beyond), in the
    quantity's unit; null without a value or configuration.
    """
    if flag in CONDITIONS:
        sentence, todo = CONDITIONS[flag]
        return {"flag": flag, "sentence": sentence, "todo": todo, "causes": []}
    name, _, end = flag.partition("_")
    if name not in _QUANTITIES or words is None:
        text = "the host does not know this flag" if name not in _QUANTITIES else "beyond a limit"
        return {"flag": flag, "sentence": text, "todo": "", "causes": []}
    q, stated = _QUANTITIES[name], limits(words)
    end = "hihi" if end == "high" else end
    limit, value, u = stated[name][end], values.get(q.key), values.get(f"u_{q.key}")
    unit = f" {q.unit}" if q.unit else ""
    side = "above" if end in ("hi", "hihi") else "below"
    found = {
        "flag": flag,
        "value": None,
        "u95": None,
        "limit": limit,
        "guard_band": None,
        "excess": None,
        "todo": "in 'reject': the film is not good" if flag in stated["reject"] else "",
        "causes": [],
    }
    if value is None or limit is None:
        text = f"{q.text} was {side} its limit; there is no number now"
        return found | {"sentence": text}
    value, u = value / q.scale, (u or 0.0) / q.scale
    band = stated["guard"] * u
    excess = (value - limit if side == "above" else limit - value) + band

    def told(number: float) -> str:
        return f"{number:.{q.digits}f}{unit}"

    sentence = (
        f"{q.text} {value:.{q.digits}f} ± {told(2 * u)} (U95), limit {end.upper()}"
        f" {told(limit)}; with a guard band of {told(band)} ({stated['guard']:g} u) it is"
        f" {told(abs(excess))} {'beyond' if excess > 0 else 'inside'}"
    )
    if excess <= 0:
        back = told(stated[name]["deadband"])
        sentence += f"; the flag goes {back} inside, after {stated['off_delay']} windows"
    if stated["averaged"] > 1:
        sentence += f"; the gauge judges the mean of about {stated['averaged']} windows"
    numbers = {"value": value, "u95": 2 * u, "guard_band": band, "excess": excess}
    causes = _causes(name, excess, values, words)
    return found | numbers | {"sentence": sentence, "causes": causes}


def _causes(
    name: str, excess: float, values: Mapping[str, Any], words: Sequence[int]
) -> list[str]:
    """What else than the film could make an excess: how far each would have to be off."""
    flags = set(values.get("flags", ()))
    found = [
        f"{flag.replace('_', ' ')}: {CONDITIONS[flag][0]}"
        for flag in ("standardisation_due", "standardisation_refused", "outside_envelope")
        if flag in flags
    ]
    if "environment_fault" in flags:
        found.append("environment fault: humidity is not compensated")
    t, solid = values.get("thickness_nm"), values.get("solid_nm")
    if excess <= 0:
        return found
    if name == "thickness":
        u_d = values.get("u_d_nm") or 0.0
        found.append(
            f"D or the lasers' map off by {excess:.2f} µm"
            f" (D was found with u = {u_d / 1e3:.2f} µm)"
        )
    if name == "porosity" and t and solid is not None:
        t_um, s_um = t / 1e3, solid / 1e3
        per_relative = abs(porosity_by_thickness(words, t_um, s_um)) * 100  # points per 100 %
        if per_relative > 0:
            off = excess / per_relative * t_um
            u95 = 2 * (values.get("u_thickness_nm") or 0.0) / 1e3
            found.append(f"thickness off by {off:.2f} µm (its U95: {u95:.2f} µm)")
        w = abs(porosity_by_deficit(words, t_um, s_um))
        delta = abs(values.get("delta_nm") or 0.0) / 1e3
        if w * delta > 0:
            off = excess / 100 * t_um / (w * delta) * 100
            u95 = 2 * words[config.U_GAP_PPM] / 1e4
            found.append(f"electrode gap off by {off:.2f} % (its U95: {u95:.2f} %)")
        per_rh = words[config.SOLID_RH_PPM] / 1e6 * words[config.SOLID_E6] / 1e6
        if per_rh:
            solid_share = _porosity_by_solid(words, values)
            if solid_share:
                off = excess / 100 / abs(solid_share * per_rh)
                now = values.get("rh_percent")
                found.append(f"humidity off by {off:.0f} %RH (it reads {now:.0f} %RH)")
    return found


def _porosity_by_solid(words: Sequence[int], values: Mapping[str, Any]) -> float:
    """d phi / d eps_s at the film's permittivity: from 1 - phi = a (eps - 1) + b (1 - 1/eps)."""
    eps = values.get("permittivity_e4")
    if not eps:
        return 0.0
    eps /= 1e4
    solid, share = words[config.SOLID_E6] / 1e6, words[config.STRUCTURE_PPM] / 1e6
    return ((1 - share) * (eps - 1) + share * (1 - 1 / eps)) / (solid - 1) ** 2
