"""How well a gauge repeats itself: type-1 study (Cg, Cgk) and crossed gauge R&R by ANOVA. Pure.

    >>> study = type1([25.01, 24.99, 25.0, 25.02, 24.98] * 10, reference=25.0, tolerance=5.0)
    >>> round(study.cg, 1), study.verdict
    (11.7, 'capable')

Type 1: one operator measures one master many times. With standard deviation s, mean m, accepted
value x of the master and tolerance T

    Cg = 0.2 T / (6 s)        Cgk = (0.1 T - |m - x|) / (3 s)        capable from 1.33

Crossed gauge R&R: every operator measures every part several times. The analysis of variance of
the random-effects model splits the variation into repeatability (EV), operators (AV), their
interaction with parts, and parts (PV), in the way of the AIAG's manual of measurement systems
analysis; an interaction that is not significant is pooled with repeatability.

Both are about repeating, not about being right: the error of the master and of the calibration is
not in them. Values may have any unit; tolerance and reference have the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import inf, sqrt
from typing import Any

from ..errors import PorogaugeError

__all__ = ["GRR", "Type1", "grr", "type1"]

CAPABLE = 1.33  # least Cg and Cgk
SHARE = 0.2  # of the tolerance, that the spread of a type-1 study is compared with
LEAST_TYPE1, ADVISED_TYPE1 = 25, 50
GOOD_PERCENT, CONDITIONAL_PERCENT = 10.0, 30.0
LEAST_NDC = 5
POOL_ABOVE_P = 0.05  # an interaction less significant than this is repeatability


def _verdict(reasons: Sequence[str], good: str, bad: str) -> str:
    return bad if reasons else good


@dataclass(frozen=True, slots=True)
class Type1:
    """Outcome of `type1`; `_low95`: 95 % of such studies of the same gauge lie above."""

    n: int
    reference: float
    tolerance: float
    unit: str
    mean: float
    s: float
    bias: float
    u_mean: float  # standard uncertainty of mean and bias by scatter alone
    bias_significant: bool  # at 5 %
    cg: float
    cg_low95: float
    cgk: float
    verdict: str  # capable | not capable
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; what is infinite (no scatter at all) is None."""
        return {k: None if v in (inf, -inf) else v for k, v in asdict(self).items()}


def type1(
    values: Sequence[float], reference: float, tolerance: float, unit: str = "", resolution=0.0
) -> Type1:
    """Evaluate repeated readings of one master.

    `tolerance` is the full width, upper less lower limit. `resolution`: smallest step of the
    gauge, 0 when it is finer than the scatter. Raises PorogaugeError for fewer than 25 values or
    a tolerance that is not positive.
    """
    from scipy import stats

    n = len(values)
    if n < LEAST_TYPE1:
        raise PorogaugeError(
            f"a type-1 study needs at least {LEAST_TYPE1} readings ({ADVISED_TYPE1} are better),"
            f" {n} were given"
        )
    _check_tolerance(tolerance)
    mean = sum(values) / n
    s = sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    bias = mean - reference
    cg = SHARE * tolerance / (6 * s) if s else inf
    room = SHARE / 2 * tolerance - abs(bias)
    cgk = room / (3 * s) if s else (inf if room > 0 else -inf)
    reasons = []
    if cg < CAPABLE:
        reasons.append(
            f"Cg {cg:.2f} is below {CAPABLE}: the scatter s = {s:.4g} {unit} may be at most"
            f" {SHARE * tolerance / 6 / CAPABLE:.4g} {unit} for this tolerance".replace("  ", " ")
        )
    if cgk < CAPABLE:
        reasons.append(
            f"Cgk {cgk:.2f} is below {CAPABLE}: scatter and bias ({bias:+.4g} {unit}) together"
            " are too large for this tolerance".replace(" )", ")")
        )
    warnings = []
    if n < ADVISED_TYPE1:
        warnings.append(f"{n} readings: {ADVISED_TYPE1} are the usual number")
    if resolution > 0.05 * tolerance:
        warnings.append(f"the resolution {resolution:g} is more than 5 % of the tolerance")
    significant = bool(s and abs(bias) / (s / sqrt(n)) > stats.t.ppf(0.975, n - 1))
    if significant:
        warnings.append(
            f"the bias of {bias:+.4g} {unit} is more than scatter explains;"
            " the master's own uncertainty is not part of this test".replace(" ;", ";")
        )
    return Type1(
        n=n,
        reference=reference,
        tolerance=tolerance,
        unit=unit,
        mean=mean,
        s=s,
        bias=bias,
        u_mean=s / sqrt(n),
        bias_significant=significant,
        cg=cg,
        cg_low95=cg * sqrt(float(stats.chi2.ppf(0.05, n - 1)) / (n - 1)) if s else inf,
        cgk=cgk,
        verdict=_verdict(reasons, "capable", "not capable"),
        reasons=reasons,
        warnings=warnings,
    )


def _check_tolerance(tolerance: float) -> None:
    if not tolerance > 0:
        raise PorogaugeError(
            f"the tolerance is the distance between upper and lower limit, above 0; it was"
            f" {tolerance:g}"
        )


@dataclass(frozen=True, slots=True)
class Source:
    """A source of variation: standard deviation, its standard uncertainty, share in percent."""

    name: str
    sd: float
    u_sd: float
    percent_of_total: float  # of the total variation's standard deviation
    percent_of_tolerance: float | None  # 6 sd of the tolerance


@dataclass(frozen=True, slots=True)
class GRR:
    """Outcome of `grr`. `table` is the analysis of variance, before pooling."""

    parts: int
    operators: int
    trials: int
    unit: str
    tolerance: float | None
    table: list[dict[str, Any]]  # source, ss, dof, ms, f, p
    pooled: bool  # the interaction went into repeatability
    sources: dict[str, Source]  # ev, av, interaction, grr, pv, total
    percent_grr: float  # of the tolerance where there is one, else of the total variation
    u_percent_grr: float
    ndc: int  # distinct categories
    verdict: str  # good | conditional | not capable
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def grr(
    rows: Sequence[tuple[Any, Any, float]], tolerance: float | None = None, unit: str = ""
) -> GRR:
    """Evaluate (part, operator, value) of a crossed study.

    Every operator must have measured every part equally often, at least twice; at least two
    parts and two operators. Raises PorogaugeError that names what is missing.
    """
    import numpy as np

    if tolerance is not None:
        _check_tolerance(tolerance)
    parts, operators, cells = _crossed(rows)
    data = np.array([[cells[part, who] for who in operators] for part in parts], dtype=float)
    p, o, r = data.shape
    grand = data.mean()
    by_part, by_operator = data.mean(axis=(1, 2)), data.mean(axis=(0, 2))
    by_cell = data.mean(axis=2)
    ss = {
        "part": o * r * ((by_part - grand) ** 2).sum(),
        "operator": p * r * ((by_operator - grand) ** 2).sum(),
        "interaction": r
        * ((by_cell - by_part[:, None] - by_operator[None, :] + grand) ** 2).sum(),
        "repeatability": ((data - by_cell[:, :, None]) ** 2).sum(),
    }
    dof = {
        "part": p - 1,
        "operator": o - 1,
        "interaction": (p - 1) * (o - 1),
        "repeatability": p * o * (r - 1),
    }
    ms = {name: float(ss[name]) / dof[name] for name in ss}
    table = _table(ss, dof, ms)
    chance = table[2]["p"]
    pooled = chance is not None and chance > POOL_ABOVE_P
    if pooled:
        dof["repeatability"] += dof["interaction"]
        ms["repeatability"] = float(ss["repeatability"] + ss["interaction"]) / dof["repeatability"]
        against = "repeatability"
    else:
        against = "interaction"
    # variance component -> its mean squares, each with its weight (random-effects model)
    parts_of = {
        "ev": {"repeatability": 1.0},
        "av": {"operator": 1 / (p * r), against: -1 / (p * r)},
        "interaction": {} if pooled else {"interaction": 1 / r, "repeatability": -1 / r},
        "pv": {"part": 1 / (o * r), against: -1 / (o * r)},
    }
    # What comes out negative is zero within its uncertainty, and adds nothing to the sums.
    weights = {
        name: mix if sum(w * ms[k] for k, w in mix.items()) > 0 else {}
        for name, mix in parts_of.items()
    }
    weights["grr"] = _sum(weights["ev"], weights["av"], weights["interaction"])
    weights["total"] = _sum(weights["grr"], weights["pv"])
    total = sqrt(max(0.0, sum(w * ms[k] for k, w in weights["total"].items())))
    if not total:
        raise PorogaugeError("all values are the same: there is no variation to study")
    sources = {
        name: _source(name, mix, ms, dof, total, tolerance) for name, mix in weights.items()
    }
    share = sources["grr"]
    percent = share.percent_of_tolerance if tolerance else share.percent_of_total
    ndc = int(sqrt(2) * sources["pv"].sd / share.sd) if share.sd else 1 << 16
    return GRR(
        parts=p,
        operators=o,
        trials=r,
        unit=unit,
        tolerance=tolerance,
        table=table,
        pooled=pooled,
        sources=sources,
        percent_grr=percent,
        u_percent_grr=percent * share.u_sd / share.sd if share.sd else 0.0,
        ndc=ndc,
        **_judged(percent, ndc, tolerance, (p, o, r)),
    )


def _crossed(rows: Sequence[tuple[Any, Any, float]]) -> tuple[list, list, dict]:
    """Parts, operators, and the trials of each pair."""
    cells: dict[tuple[Any, Any], list[float]] = {}
    for part, who, value in rows:
        cells.setdefault((part, who), []).append(value)
    parts = list(dict.fromkeys(part for part, _ in cells))
    operators = list(dict.fromkeys(who for _, who in cells))
    if len(parts) < 2 or len(operators) < 2:
        raise PorogaugeError(
            f"a gauge R&R needs at least 2 parts and 2 operators, there are {len(parts)} and"
            f" {len(operators)}; 10 parts, 3 operators and 3 trials are usual"
        )
    trials = max(map(len, cells.values()))
    for part in parts:
        for who in operators:
            count = len(cells.get((part, who), ()))
            if count != trials:
                raise PorogaugeError(
                    f"operator {who} measured part {part} {count} times, others {trials} times:"
                    " every operator must measure every part equally often"
                )
    if trials < 2:
        raise PorogaugeError("every part was measured once: repeatability needs 2 trials or more")
    return parts, operators, cells


def _table(ss: dict, dof: dict, ms: dict) -> list[dict[str, Any]]:
    """Rows of the analysis of variance; F and p are None where nothing scatters."""
    from scipy import stats

    found = []
    for name, below in (
        ("part", "interaction"),
        ("operator", "interaction"),
        ("interaction", "repeatability"),
        ("repeatability", None),
    ):
        ratio = ms[name] / ms[below] if below and ms[below] else None
        chance = None
        if ratio is not None:
            chance = float(stats.f.sf(ratio, dof[name], dof[below]))
        found.append(
            {
                "source": name,
                "ss": float(ss[name]),
                "dof": dof[name],
                "ms": ms[name],
                "f": ratio,
                "p": chance,
            }
        )
    return found


def _sum(*mixes: dict[str, float]) -> dict[str, float]:
    names = dict.fromkeys(name for mix in mixes for name in mix)
    return {name: sum(mix.get(name, 0.0) for mix in mixes) for name in names}


_NAMES = {
    "ev": "repeatability (EV)",
    "av": "operators (AV)",
    "interaction": "operator x part",
    "grr": "gauge (GRR)",
    "pv": "parts (PV)",
    "total": "total",
}


def _source(
    name: str, mix: dict, ms: dict, dof: dict, total: float, tolerance: float | None
) -> Source:
    """Standard deviation of a sum of mean squares, and how well it is known."""
    sd = sqrt(max(0.0, sum(w * ms[k] for k, w in mix.items())))
    # var(MS) = 2 MS**2 / dof, mean squares are independent
    u_variance = sqrt(sum(2 * (w * ms[k]) ** 2 / dof[k] for k, w in mix.items()))
    return Source(
        name=_NAMES[name],
        sd=sd,
        u_sd=u_variance / (2 * sd) if sd else 0.0,
        percent_of_total=100 * sd / total,
        percent_of_tolerance=100 * 6 * sd / tolerance if tolerance else None,
    )


def _judged(
    percent: float, ndc: int, tolerance: float | None, size: tuple[int, int, int]
) -> dict[str, Any]:
    of = "the tolerance" if tolerance else "the total variation"
    reasons, warnings = [], []
    verdict = "good" if percent <= GOOD_PERCENT else "conditional"
    if percent > CONDITIONAL_PERCENT:
        verdict = "not capable"
        reasons.append(
            f"%GRR {percent:.1f} is above {CONDITIONAL_PERCENT:g}:"
            f" the gauge takes too much of {of}"
        )
    elif percent > GOOD_PERCENT:
        warnings.append(
            f"%GRR {percent:.1f} is between {GOOD_PERCENT:g} and {CONDITIONAL_PERCENT:g}:"
            " usable where the cost of a wrong decision allows it"
        )
    if ndc < LEAST_NDC:
        text = f"{ndc} distinct categories, {LEAST_NDC} are wanted: "
        text += "the parts hardly differ, or the gauge does not tell them apart"
        # with a tolerance the spread of the parts chosen decides nothing about the gauge
        (warnings if tolerance else reasons).append(text)
        if not tolerance:
            verdict = "not capable"
    if size[0] < 5 or size[1] * size[0] < 15:
        warnings.append(
            f"{size[0]} parts and {size[1]} operators: few; 10 parts and 3 operators are usual"
        )
    return {"verdict": verdict, "reasons": reasons, "warnings": warnings}
