"""What calibrated heads are worth: everything that was found, against the truth of the bench.

    >>> head = calibrated(7)                        # ModelStation; or through the firmware
    >>> print(table_of(head.found())[0])            # doctest: +SKIP

A result covers the truth when its U95 reaches it; over many heads, 95 % should.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gauge import record
from porogauge.calibrate.procedure import Estimate, Result

from .head import area_m2
from .heads import (
    SUM_UM,
    hidden_head,
    laser_error_um,
    nominal_tables,
    seen_deficit_um,
    truth_of,
)
from .scenario import Scenario
from .stations import FirmwareStation, ModelStation, run_procedures

DEFICITS_UM = (5.0, 20.0, 60.0)


@dataclass(frozen=True)
class Found:
    """One parameter of one head: deviation from the truth in u, whether U95 covers it, U95."""

    name: str
    z: float
    covered: bool
    u95: float


@dataclass
class Head:
    """One head, calibrated."""

    seed: int
    scenario: Scenario
    station: ModelStation | FirmwareStation
    tables: dict[str, Any]
    results: dict[str, Result]

    def found(self) -> list[Found]:
        """Compare everything that the procedures estimated with the truth."""
        truth = truth_of(self.scenario, self.tables)
        truth |= {
            "capdac_step_ff": self.scenario.capacitance.capdac_step_ff,
            "area_mm2": 1e6 * area_m2(self.scenario.head),
            "spot_offset_um": self.scenario.head.spot_offset_um,
            "skew_us": -float(np.diff(self.scenario.laser.latency_us)[0]),
        }
        found = []
        for procedure, result in self.results.items():
            for name, estimate in result.estimates.items():
                true = truth.get(estimate.field or name)
                if true is not None and estimate.u > 0:
                    found.append(_compared(f"{procedure}: {name}", estimate, true))
        return found + self._maps() + self._scale()

    def _maps(self) -> list[Found]:
        """The passline maps, at every other node."""
        found = []
        for which in "ab":
            notes = self.results["lasers"].notes[f"{which}_map"]
            zero = laser_error_um(self.scenario, which, SUM_UM / 2)
            for read, value, u in list(zip(*notes.values(), strict=True))[::4]:
                true = zero - laser_error_um(self.scenario, which, read)
                estimate = Estimate(value, u, "um")
                found.append(_compared("lasers: passline maps", estimate, true))
        return found

    def _scale(self) -> list[Found]:
        """Scale and offset of the deficit together: what a known deficit is corrected to."""
        stated = self.tables["calibration"]["uncertainty"]
        found = []
        for true in DEFICITS_UM:
            u = np.hypot(stated["deficit_um"], true * stated["gap_percent"] / 100)
            seen = seen_deficit_um(self.scenario, self.tables, true)
            found.append(_compared("scale: deficit", Estimate(seen, float(u), "um"), true))
        return found


def _compared(name: str, estimate: Estimate, true: float) -> Found:
    off = estimate.value - true
    return Found(name, off / estimate.u, abs(off) <= estimate.u95, estimate.u95)


def compared(row: dict[str, int], t_um: float, phi_percent: float) -> list[Found]:
    """Thickness and porosity of a record, where they are valid, with the truth."""
    where = f"at {t_um:3.0f} um {phi_percent:.0f} %"
    found = []
    for name, true, value, factor, unit in (
        ("thickness", t_um, "thickness_8nm", 8e3, "um"),
        ("porosity", phi_percent, "porosity_ppm", 1e4, "%"),
    ):
        if row["valid"] & getattr(record, f"VALID_{name.upper()}"):
            estimate = Estimate(row[value] / factor, row[f"u_{value}"] / factor, unit)
            found.append(_compared(f"{name} {where}", estimate, true))
    return found


def calibrated(
    seed: int,
    station_of: Callable[[Scenario], ModelStation | FirmwareStation] = ModelStation,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Head:
    """Bring a hidden head into service. `options` are those of each procedure, by its name."""
    scenario = hidden_head(seed)
    station = station_of(scenario)
    tables, results = run_procedures(station, nominal_tables(), options=options)
    return Head(seed, scenario, station, tables, results)


def table_of(found: Iterable[Found]) -> tuple[str, dict[str, float]]:
    """The table of coverage by parameter, and the coverages."""
    groups = defaultdict(list)
    for one in found:
        groups[one.name].append(one)
    lines = [f"{'parameter':40} {'n':>5} {'covered':>8} {'rms z':>6} {'mean z':>7}  median U95"]
    covered = {}
    for name, group in groups.items():
        z = np.array([one.z for one in group])
        covered[name] = float(np.mean([one.covered for one in group]))
        lines.append(
            f"{name:40} {len(group):5d} {covered[name]:8.3f} {np.sqrt(np.mean(z * z)):6.2f}"
            f" {z.mean():7.2f}  {np.median([one.u95 for one in group]):.3g}"
        )
    return "\n".join(lines), covered
