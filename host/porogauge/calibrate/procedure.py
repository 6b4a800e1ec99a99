"""What every calibration procedure is made of.

A procedure asks for `Step`s. A `Station` (an operator at a gauge, an emulated head, or a file of
points) puts into the gap what a step says and gives a `Reading`. Setting and reading together are
a point, a flat dict of numbers and texts: one row of a CSV file. The procedure's `fit` turns the
points into a `Result`, which tells what was found, how well, and whether it may be used.

    steps(tables, options)  -> list[Step]
    fit(points, tables, options) -> Result

`tables` are the files that are being calibrated: {"calibration": ..., "recipe": ...}, each a dict
of tables as `porogauge.recipe` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

__all__ = [
    "READINGS",
    "Estimate",
    "Point",
    "Reading",
    "Result",
    "Station",
    "Step",
    "reading_columns",
]

Point = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """Something to put into the gap, and to read.

    `setting` tells it to a machine: always `kind` (see `KINDS`), and the numbers that name and
    state it, units in their names; they become columns of the point. `capdac_code` None: the one
    of the calibration in force.
    """

    id: str
    text: str  # what the operator is to do, one sentence
    setting: Mapping[str, Any]
    windows: int = 64
    capdac_code: int | None = None


# kind of a step: settings it has besides `label`, and what it is
KINDS = {
    "empty": ("nothing in the gap; the reference tile, where there is one, in the beams", ()),
    "capacitor": (
        "a reference capacitor in place of the electrodes",
        ("reference_pf", "u_reference_pf"),
    ),
    "stage": ("nothing in the gap, the electrodes moved apart", ("stage_um", "u_stage_um")),
    "block": (
        "an opaque gauge block in the beams, outside of the electrodes' field",
        ("thickness_um", "u_thickness_um", "height_um", "tilt_deg"),
    ),
    "vibrate": (
        "the same, moving up and down",
        ("thickness_um", "amplitude_um", "frequency_hz"),
    ),
    "plate": (
        "a dense plate or film of known permittivity in beams and field",
        ("thickness_um", "u_thickness_um", "permittivity", "u_permittivity", "height_um"),
    ),
    "solid": (
        "a dense film of the recipe's solid, conditioned",
        ("thickness_um", "u_thickness_um"),
    ),
    "sample": (
        "a sample of the recipe's film, measured in the laboratory",
        ("t_ref_um", "u_t_ref_um", "phi_ref_percent", "u_phi_ref_percent"),
    ),
}
# What a station reads, as columns of a points file: name -> unit, lowest, highest, meaning
READINGS: dict[str, tuple[str, float, float, str]] = {
    "capdac_code": ("", 0, 127, "CAPDAC code of the reading"),
    "windows": ("windows", 1, 100_000, "windows averaged"),
    "cap_pf": ("pF", -4.2, 4.2, "(code - 2**23) 8.192 pF / 2**24"),
    "cap_sd_pf": ("pF", 0.0, 1.0, "scatter of one conversion"),
    "a_um": ("um", -100_000.0, 200_000.0, "reading of laser A"),
    "b_um": ("um", -100_000.0, 200_000.0, "reading of laser B"),
    "a_sd_um": ("um", 0.0, 10_000.0, "scatter of one window"),
    "b_sd_um": ("um", 0.0, 10_000.0, "scatter of one window"),
    "sum_sd_um": ("um", 0.0, 10_000.0, "scatter of the sum of both in one window"),
    "frame_c": ("C", -40.0, 125.0, "frame temperature"),
    "air_c": ("C", -40.0, 125.0, "air temperature"),
    "rh_percent": ("%", 0.0, 100.0, "relative humidity"),
    "pressure_hpa": ("hPa", 500.0, 1100.0, "air pressure"),
    "skew_us": ("us", -20_000.0, 20_000.0, "of laser B's samples behind A's"),
}
# settings that any step may have besides: how the head is conditioned
CONDITIONS = ("frame_set_c", "rh_set_percent", "air_set_c", "pressure_hpa")


def reading_columns(required: str, optional: str = "") -> tuple[tuple, ...]:
    """Return columns of a procedure's points, in the order of `READINGS`; names by blanks."""
    needed, all_ = required.split(), f"{required} {optional}".split()
    return tuple(
        (name, unit, low, high, name in needed, text)
        for name, (unit, low, high, text) in READINGS.items()
        if name in all_
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """Means of raw readings over `windows` windows; `_sd` is the scatter of one window's value.

    Nothing is corrected: `cap_pf` is (code - 2**23) * 8.192 / 2**24 as the converter says it,
    beyond what its CAPDAC takes off; distances follow the sensor's own formula. A sensor that saw
    nothing is None.
    """

    windows: int
    capdac_code: int
    cap_pf: float | None
    cap_sd_pf: float | None
    a_um: float | None
    a_sd_um: float | None
    b_um: float | None
    b_sd_um: float | None
    frame_c: float
    air_c: float
    rh_percent: float
    skew_us: float | None = None  # of laser B's samples behind A's, where the target moved
    sum_sd_um: float | None = None  # of a + b, which what moves between the lasers does not touch


class Station(Protocol):
    """Where steps are done."""

    def perform(self, step: Step) -> Reading:
        """Have `step` set up, wait until readings are stable, and read."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its standard uncertainty; `k` makes U95 of it (2, or Student's for few points).

    `field` is the file's field that it goes into, "calibration:capacitance.gap_um", or None.
    """

    value: float
    u: float
    unit: str
    k: float = 2.0
    field: str | None = None

    @property
    def u95(self) -> float:
        return self.k * self.u


@dataclass(slots=True)
class Result:
    """What a procedure found. `accepted` only when nothing in `reasons`."""

    procedure: str
    estimates: dict[str, Estimate]
    # "calibration"/"recipe" -> "table.field" -> new value, None: the field goes
    changes: dict[str, dict[str, Any]]
    as_found: dict[str, Any] = field(default_factory=dict)  # "calibration:table.field" -> before
    residuals: list[dict[str, Any]] = field(default_factory=list)  # one a point: id, residual, u
    residual_unit: str = ""
    chi2: float = 0.0
    dof: int = 0
    reasons: list[str] = field(default_factory=list)  # why it may not be used
    warnings: list[str] = field(default_factory=list)
    correlation: dict[str, float] = field(default_factory=dict)  # "gap_um,stray_pf" -> r
    notes: dict[str, Any] = field(default_factory=dict)  # numbers for people and plots

    @property
    def accepted(self) -> bool:
        return not self.reasons

    def keep_found(self, tables: Mapping[str, Any]) -> None:
        """Note what the files say now of everything that changes; None: nothing."""
        for kind, fields in self.changes.items():
            for path in fields:
                table, _, name = path.partition(".")
                before = tables[kind].get(table, {}).get(name)
                self.as_found[f"{kind}:{path}"] = _plain(before)

    def apply(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """Return copies of the files with this result's changes in them."""
        import copy

        changed = {kind: copy.deepcopy(dict(content)) for kind, content in tables.items()}
        for kind, fields in self.changes.items():
            for path, value in fields.items():
                table, _, name = path.partition(".")
                if value is None:
                    changed[kind].get(table, {}).pop(name, None)
                else:
                    changed[kind].setdefault(table, {})[name] = value
        return changed

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        from dataclasses import asdict

        return asdict(self) | {"accepted": self.accepted}


def _plain(value: Any) -> Any:
    """A file's exact number as the one that JSON has."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value
