"""A scenario: what passes the head, what the sensors are like, what goes wrong and when.

    >>> scenario = Scenario.from_dict({"film": {"thickness_um": 12.0}})
    >>> scenario.film.thickness_um, scenario.film.porosity_percent
    (12.0, 50.0)

Fields, units, defaults and legal ranges: `fields`, printed in hil_tests/README.md. A field that
was left out has its default; one that does not exist, or is out of range, is an error that names
the file, the field and what is legal.
"""

from __future__ import annotations

import copy
import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from porogauge import notation

from . import fields
from .fields import AUTO, Field

LONGEST_LATENCY_US = 19_900  # of a laser, that a calibration can state, less three characters


class ScenarioError(ValueError):
    """A scenario is wrong; the text says what, and what is legal."""


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _in_range(field: Field, value: Any) -> bool:
    return _is_number(value) and field.low <= value <= field.high


def _legal(field: Field, value: Any) -> bool:
    if field.default == AUTO and value == AUTO:
        return True
    if field.kind == "text":
        return isinstance(value, str)
    if field.kind == "choice":
        return str(value) in field.choices
    if field.kind == "integer":
        return isinstance(value, int) and _in_range(field, value)
    if field.kind == "pair":
        return (
            isinstance(value, list)
            and len(value) == 2
            and all(_in_range(field, part) for part in value)
        )
    if field.kind == "curve" and isinstance(value, list):
        points = [p for p in value if isinstance(p, list) and len(p) == 2 and _is_number(p[0])]
        return (
            len(points) == len(value) > 0
            and all(_in_range(field, p[1]) for p in points)
            and all(a[0] < b[0] for a, b in zip(points, points[1:], strict=False))
        )
    return _in_range(field, value)


def _table(where: str, legal: tuple[Field, ...], given: Any) -> SimpleNamespace:
    """Check one table and fill in its defaults."""
    if not isinstance(given, dict):
        raise ScenarioError(f"{where}: is not a table")
    known = {field.name: field for field in legal}
    values = {name: copy.copy(field.default) for name, field in known.items()}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ScenarioError(
                f"{where}.{name}: no such field; {hint}Legal are: {', '.join(known)}"
            )
        field = known[name]
        if not _legal(field, value):
            also = ' or "auto"' if field.default == AUTO else ""
            raise ScenarioError(f"{where}.{name}: {value!r} is not legal: {field.legal}{also}")
        if field.kind == "choice":
            value = str(value)
        elif _is_number(value) and field.kind in ("number", "curve"):
            value = float(value)
        values[name] = value
    return SimpleNamespace(**values)


@dataclass
class Scenario:
    """A checked scenario. Each section is an object with its fields as attributes."""

    run: SimpleNamespace
    film: SimpleNamespace
    line: SimpleNamespace
    head: SimpleNamespace
    laser: SimpleNamespace
    capacitance: SimpleNamespace
    climate: SimpleNamespace
    link: SimpleNamespace
    layers: list[SimpleNamespace]
    defects: list[SimpleNamespace]
    faults: list[SimpleNamespace]
    recipe: dict[str, Any]
    calibration: dict[str, Any]
    source: str = "scenario"

    @classmethod
    def load(cls, path: str | Path, **changes: Any) -> Scenario:
        """Read a TOML file. `changes` are as in `from_dict`.

        Raises ScenarioError (also for TOML that cannot be read) and OSError.
        """
        path = Path(path)
        try:
            data = notation.toml(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ScenarioError(f"{path.name}: {error}") from error
        return cls.from_dict(data, source=path.name, **changes)

    @classmethod
    def from_dict(
        cls, data: dict[str, Any] | None = None, source: str = "scenario", **changes: Any
    ) -> Scenario:
        """Check a scenario given as nested dicts and lists.

        `changes` replace single fields: `run={"seed": 2}` changes only the seed.
        """
        data = dict(data or {})
        for section, table in changes.items():
            old = data.get(section, {})
            data[section] = {**old, **table} if isinstance(table, dict) else table
        legal = [*fields.SECTIONS, *fields.OVERLAYS, "layer", "defect", "fault"]
        for section in data:
            if section not in legal:
                raise ScenarioError(
                    f"{source}: [{section}]: no such section. Legal are: {', '.join(legal)}"
                )
        made = {
            name: _table(f"{source}: {name}", table, data.get(name, {}))
            for name, table in fields.SECTIONS.items()
        }
        for name in fields.OVERLAYS:
            if not isinstance(data.get(name, {}), dict):
                raise ScenarioError(f"{source}: {name}: is not a table")
        scenario = cls(
            **made,
            layers=[_layer(source, i, d) for i, d in enumerate(_array(source, data, "layer"))],
            defects=[_defect(source, i, d) for i, d in enumerate(_array(source, data, "defect"))],
            faults=[_fault(source, i, f) for i, f in enumerate(_array(source, data, "fault"))],
            recipe=copy.deepcopy(data.get("recipe", {})),
            calibration=copy.deepcopy(data.get("calibration", {})),
            source=source,
        )
        scenario._settle()
        return scenario

    def _settle(self) -> None:
        """Replace every AUTO by what follows from other fields; check what belongs together."""
        laser, head, cap = self.laser, self.head, self.capacitance
        series, _, span = laser.model.partition("-")
        if head.sum_distance_um == AUTO:
            head.sum_distance_um = 1000.0 * int(span) + 50.0
        if laser.latency_cycles == AUTO:
            laser.latency_cycles = 3 if series == "1420" else 2
        if laser.sync == AUTO:
            laser.sync = "free" if series == "1420" else "master_slave"
        if laser.sync == "master_slave" and series == "1420":
            raise ScenarioError(
                f"{self.source}: laser.sync: a {laser.model} has no synchronisation; use free"
            )
        if series == "1420" and laser.rate_hz not in (250, 500, 1000, 2000, 4000):
            raise ScenarioError(
                f"{self.source}: laser.rate_hz: {laser.rate_hz} is not legal for a "
                f"{laser.model}: 250, 500, 1000, 2000 or 4000 Hz"
            )
        latency_us = laser.latency_cycles * 1e6 / laser.rate_hz
        if latency_us > LONGEST_LATENCY_US:
            raise ScenarioError(
                f"{self.source}: laser.latency_cycles: {laser.latency_cycles} cycles at "
                f"{laser.rate_hz} Hz are {latency_us / 1000:g} ms: legal is up to "
                f"{LONGEST_LATENCY_US * laser.rate_hz // 1_000_000} cycles at this rate"
            )
        cap.conversion_ms = float(cap.conversion_ms)
        if cap.capdac_code == AUTO:
            from .head import EPS0, area_m2

            c0_ff = 1e15 * EPS0 * area_m2(head) / (head.gap_um * 1e-6)
            code = round((c0_ff + 1000 * head.stray_pf) / cap.capdac_step_ff)
            cap.capdac_code = min(127, max(0, code))
        stack_um = self.film.thickness_um + sum(layer.thickness_um for layer in self.layers)
        room = head.gap_um / 2 - stack_um / 2
        if self.film.flutter_um >= room:
            raise ScenarioError(
                f"{self.source}: film.flutter_um: {self.film.flutter_um:g} um makes the film "
                f"touch the electrodes: legal is below {room:g} um in this gap"
            )


def _array(source: str, data: dict[str, Any], name: str) -> list:
    given = data.get(name, [])
    if not isinstance(given, list):
        raise ScenarioError(f"{source}: {name}: write it as [[{name}]]")
    return given


def _layer(source: str, index: int, given: Any) -> SimpleNamespace:
    where = f"{source}: layer {index + 1}"
    layer = _table(where, fields.LAYER, given)
    if layer.thickness_um is None:
        raise ScenarioError(f"{where}.thickness_um: is missing: the layer's thickness")
    if layer.kind != "dense" and "permittivity" in given:
        raise ScenarioError(f"{where}.permittivity: a {layer.kind} layer has none; leave it out")
    return layer


def _defect(source: str, index: int, given: Any) -> SimpleNamespace:
    where = f"{source}: defect {index + 1}"
    defect = _table(where, fields.DEFECT, given)
    if not defect.kind:
        raise ScenarioError(f"{where}.kind: is missing: one of {', '.join(fields.DEFECTS)}")
    if (defect.at_m is None) == (defect.at_s is None):
        raise ScenarioError(f"{where}: exactly one of at_m and at_s must be given")
    names = ("length_mm", "thickness_um", "porosity_percent", "shape")
    for name, default in zip(names, fields.DEFECTS[defect.kind], strict=True):
        if getattr(defect, name) == AUTO:
            setattr(defect, name, default)
    if defect.length_mm == 0 and defect.kind != "step":
        raise ScenarioError(f"{where}.length_mm: 0 is not legal for a {defect.kind}")
    if defect.every_m and 1000 * defect.every_m <= defect.length_mm:
        raise ScenarioError(f"{where}.every_m: must be longer than length_mm")
    return defect


def _fault(source: str, index: int, given: Any) -> SimpleNamespace:
    where = f"{source}: fault {index + 1}"
    fault = _table(where, fields.FAULT, given)
    if not fault.kind:
        raise ScenarioError(f"{where}.kind: is missing: one of {', '.join(fields.FAULTS)}")
    if fault.at_s is None:
        raise ScenarioError(f"{where}.at_s: is missing: when the fault begins, in seconds")
    legal = ("kind", "at_s", "for_s", *fields.FAULTS[fault.kind])
    for name in given:
        if name not in legal:
            raise ScenarioError(
                f"{where}.{name}: a {fault.kind} has no such field. Legal are: {', '.join(legal)}"
            )
    return fault
