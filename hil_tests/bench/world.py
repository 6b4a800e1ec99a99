"""The world in which the instrument stands: film, head and air, exactly, at any instant.

    >>> still = {"head": {"vibration_um": 0.0}, "film": {"flutter_um": 0.0}}
    >>> world = World(Scenario.from_dict(still))
    >>> a, b = (world.distances_mm(np.array([3_000_000_000]), head)[0] for head in "ab")
    >>> round(1000 * (2.05 - a - b), 6)      # D minus both readings is the thickness
    25.0

`World` knows no sensor: noise, quantisation, clocks and faults are the chips' business. Times are
nanoseconds since power-up (integers or integer arrays); results depend on them alone.
"""

from __future__ import annotations

import bisect
import math
from typing import Any

import numpy as np

from .film import TWO_PI, Curve, Film, Line, permittivity
from .fixture import Fixture, Setup
from .head import EPS0, air_permittivity, area_m2, chord_nodes, gauss_nodes
from .scenario import Scenario

_PANEL_S = 0.012  # longest piece of time that one set of nodes integrates over
_NODES, _WEIGHTS = gauss_nodes(8)


class World:
    """Film and head of a scenario. `fixture`: what somebody has put into the gap instead."""

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        film, head, climate = scenario.film, scenario.head, scenario.climate
        self.fixture = Fixture()
        self.line = Line(scenario.line)
        self.film = Film(film, scenario.defects, self.line, scenario.run)
        self.frame = Curve(head.frame_c)
        self.rh = Curve(climate.rh_percent)
        self.air = Curve(climate.air_c)
        self.pressure = Curve(climate.pressure_hpa)
        self.tilt = Curve(film.tilt_deg)
        self.passline = Curve(film.passline_um)
        self.area_m2 = area_m2(head)
        self.stray_f = head.stray_pf * 1e-12
        # what lies on the film: thickness, its part of the deficit, whether a field passes
        self.layers_um = sum(layer.thickness_um for layer in scenario.layers)
        self._layers_deficit_um = sum(
            layer.thickness_um * (1 - 1 / layer.permittivity)
            if layer.kind == "dense"
            else layer.thickness_um
            for layer in scenario.layers
        )
        self._shielded = any(layer.kind == "metal_grounded" for layer in scenario.layers)
        self._flutter = (film.flutter_um, TWO_PI * film.flutter_hz, math.radians(film.flutter_deg))
        self._vibration = (head.vibration_um, TWO_PI * head.vibration_hz)
        self._chord = chord_nodes()
        self._air_fixed = None
        if self.air.constant is not None and self.rh.constant is not None:
            if self.pressure.constant is not None:
                self._air_fixed = self._air(0.0, None)

    # -- slow quantities

    def position_mm(self, t_ns) -> Any:
        """Web that has passed since power-up."""
        return self.line.position_mm(np.asarray(t_ns) * 1e-9)

    def air_c(self, t_ns: int) -> float:
        """Air temperature at the head."""
        return float(self._slow("air_c", self.air, t_ns * 1e-9))

    def rh_percent(self, t_ns: int) -> float:
        """Relative humidity at the head."""
        return float(self._slow("rh_percent", self.rh, t_ns * 1e-9))

    def frame_c(self, t_ns: int) -> float:
        """Temperature of the frame."""
        return float(self._slow("frame_c", self.frame, t_ns * 1e-9))

    def _slow(self, name: str, curve: Curve, t_s: float):
        return self._value(name, curve, t_s, self.fixture.at(t_s))

    @staticmethod
    def _value(name: str, curve: Curve, t_s, setup: Setup | None):
        """A condition: the scenario's, unless the fixture sets it."""
        fixed = getattr(setup, name) if setup is not None else None
        return curve.at(t_s) if fixed is None else fixed

    def _air(self, t_s, setup: Setup | None):
        return air_permittivity(
            self._value("air_c", self.air, t_s, setup),
            self._value("rh_percent", self.rh, t_s, setup),
            self._value("pressure_hpa", self.pressure, t_s, setup),
        )

    def _frame_k(self, t_s, setup: Setup | None):
        frame_c = self._value("frame_c", self.frame, t_s, setup)
        return frame_c - self.scenario.head.frame_reference_c

    def gap_um(self, t_s, setup: Setup | None = None):
        """Gap between the electrodes."""
        head = self.scenario.head
        opened = setup.opened_um if setup is not None else 0.0
        return head.gap_um + head.gap_um_per_k * self._frame_k(t_s, setup) + opened

    def sum_distance_um(self, t_s, setup: Setup | None = None):
        """D: thickness of a film plus both laser readings."""
        head = self.scenario.head
        return head.sum_distance_um + head.sum_um_per_k * self._frame_k(t_s, setup)

    def solid_permittivity(self, t_s, setup: Setup | None = None):
        """Permittivity of the film's solid in the climate of that time."""
        film = self.scenario.film
        change = film.solid_ppm_per_rh * (self._value("rh_percent", self.rh, t_s, setup) - 50)
        warmer = self._value("air_c", self.air, t_s, setup) - 23
        return film.solid_permittivity * (1 + 1e-6 * (change + film.solid_ppm_per_k * warmer))

    # -- the film in the gap

    def layer(self, u_mm, t_s):
        """Return (present, thickness in um, permittivity, porosity) of the web at places and
        times."""
        spec = self.scenario.film
        thickness, phi = self.film.at(u_mm)
        eps = permittivity(spec.mixing, phi, self.solid_permittivity(t_s), spec.structure)
        return self.film.present(u_mm, t_s), thickness, eps, phi

    def in_gap(self, t_s, setup: Setup | None):
        """The same of what is at the laser spots, as an array of four rows."""
        if setup is None:
            rows = self.layer(self.film.place_mm(t_s), t_s)
        elif setup.porosity is None:
            rows = (0.0, 0.0, 1.0, 0.0)
        else:
            film, phi = self.scenario.film, setup.porosity
            solid = self.solid_permittivity(t_s, setup)
            eps = permittivity(film.mixing, phi, solid, film.structure)
            rows = (1.0, setup.thickness_um, eps, phi)
        return np.stack([np.broadcast_to(row, np.shape(t_s)) for row in rows])

    def distances_mm(self, t_ns, which: str) -> np.ndarray:
        """What a perfect laser "a" or "b" reads at each instant; nan: nothing in its beam."""
        t_s = np.asarray(t_ns, float) * 1e-9
        return self.fixture.by_piece(t_s, lambda setup, t: self._distance_mm(setup, t, which))

    def _distance_mm(self, setup: Setup | None, t, which: str) -> np.ndarray:
        head, spec = self.scenario.head, self.scenario.film
        tilt = np.tan(np.radians(self.tilt.at(t) if setup is None else setup.tilt_deg))
        off_mm = head.spot_offset_um / 1000 if which == "b" else 0.0
        tile = np.full(t.shape, float(head.reference_um) if head.reference_um else np.nan)
        if setup is None:
            u = self.film.place_mm(t) + off_mm
            thickness = self.film.at(u)[0] + self.layers_um
            there, porous = self.film.present(u, t), True
            height = self.passline.at(t)
            amplitude, omega, phase = self._flutter
        else:
            there = setup.thickness_um is not None
            porous = bool(setup.porosity)
            thickness = (setup.thickness_um or 0.0) + (self.layers_um if porous else 0.0)
            height = setup.height_um
            amplitude, omega, phase = setup.amplitude_um, TWO_PI * setup.frequency_hz, 0.0
        thickness = thickness * np.sqrt(1 + tilt * tilt)  # along the beams, which stay upright
        if amplitude:
            height = height + amplitude * np.sin(omega * t + phase)
        thickness = np.where(there, thickness, tile)
        height = np.where(there, height + 1000 * off_mm * tilt, 0.0)
        deeper = np.where(there, spec.intrusion_um / 2, 0.0) if porous else 0.0
        amplitude, omega = self._vibration
        if amplitude:
            height = height + amplitude * np.sin(omega * t)
        half = self.sum_distance_um(t, setup) / 2
        sign = -1.0 if which == "a" else 1.0
        return (half + sign * height - thickness / 2 + deeper) / 1000

    def capacitance_at(self, t_s) -> np.ndarray:
        """Capacitance of the electrodes in farad at instants in seconds."""
        return self.fixture.by_piece(t_s, self._capacitance_f)

    def _capacitance_f(self, setup: Setup | None, t_s) -> np.ndarray:
        head = self.scenario.head
        if setup is not None and setup.capacitor_pf is not None:
            return np.full(np.shape(t_s), setup.capacitor_pf * 1e-12)
        fixed = self._air_fixed if setup is None else None
        air = self._air(t_s, setup) if fixed is None else fixed
        gap = self.gap_um(t_s, setup)
        scale = EPS0 * air * self.area_m2 * 1e6
        if setup is not None:
            there, thickness, eps, _ = self.in_gap(t_s, setup)
            layers = self._layers_deficit_um if setup.porosity else 0.0
            deficit = setup.deficit_um + there * (thickness * (1 - 1 / eps) + layers)
            passing = 0.0 if self._shielded and setup.porosity else 1.0
            return passing * scale / (gap - deficit) + self.stray_f
        u = self.film.place_mm(t_s)
        if not head.footprint_mm:
            return self._passing(u, t_s) * scale / (gap - self._deficit(u, t_s)) + self.stray_f
        # strips of the field beside each other are capacitors in parallel
        total = 0.0
        for place, share in zip(*self._chord, strict=True):
            spot = u + place * head.footprint_mm
            passing = share * self._passing(spot, t_s)
            total = total + passing * scale / (gap - self._deficit(spot, t_s))
        return total + self.stray_f

    def _deficit(self, u_mm, t_s):
        there, thickness, eps, _ = self.layer(u_mm, t_s)
        return np.where(there, thickness * (1 - 1 / eps) + self._layers_deficit_um, 0.0)

    def _passing(self, u_mm, t_s):
        """Share of the field that reaches the other electrode: none behind grounded metal."""
        if not self._shielded:
            return 1.0
        return np.where(self.film.present(u_mm, t_s), 0.0, 1.0)

    # -- averages

    def breaks_s(self, t0_s: float, t1_s: float, places: list[float] | None = None) -> list[float]:
        """Instants within (t0, t1) at which the film at the laser spot changes abruptly."""
        places = self.film.breaks_mm if places is None else places
        found = []
        if t0_s < self.scenario.film.start_s < t1_s and 0.0 in places:
            found.append(self.scenario.film.start_s)
        ends = self.film.place_mm(np.array([t0_s, t1_s]))
        low, high = float(ends.min()), float(ends.max())
        for place in places[bisect.bisect_right(places, low) : bisect.bisect_left(places, high)]:
            a, b = t0_s, t1_s
            rising = ends[1] > ends[0]
            for _ in range(60):
                middle = (a + b) / 2
                if (float(self.film.place_mm(middle)) < place) == rising:
                    a = middle
                else:
                    b = middle
            found.append(b)
        return sorted(set(found))

    def _quadrature(self, t0_s: float, t1_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Instants and weights (sum 1) for the mean over an interval, split at breaks."""
        changes = self.fixture.between(t0_s, t1_s)
        cuts = [t0_s, *sorted({*self.breaks_s(t0_s, t1_s), *changes}), t1_s]
        times, weights = [], []
        for a, b in zip(cuts, cuts[1:], strict=False):
            pieces = max(1, math.ceil((b - a) / _PANEL_S))
            step = (b - a) / pieces
            for i in range(pieces):
                times.append(a + step * (i + _NODES))
                weights.append(_WEIGHTS * (step / (t1_s - t0_s)))
        if len(times) == 1:
            return times[0], weights[0]
        return np.concatenate(times), np.concatenate(weights)

    def capacitance_f(self, t0_ns: int, t1_ns: int) -> float:
        """Mean capacitance over an interval: what a converter integrates."""
        t, w = self._quadrature(t0_ns * 1e-9, t1_ns * 1e-9)
        return float(np.dot(self.capacitance_at(t), w))

    def truth(self, t0_ns: int, t1_ns: int) -> dict[str, Any]:
        """What was true in a window, averaged over exactly this interval at the laser spot.

        `thickness_nm`, `permittivity`, `porosity_ppm` of the film, `total_nm` with the layers on
        it: floats, None when there was no film at all; over the part with film when it came or
        went inside, and then `edge` is True. `step` is True when the film changed abruptly
        inside. `film` is the share of time with film.
        """
        t0, t1 = t0_ns * 1e-9, t1_ns * 1e-9
        t, w = self._quadrature(t0, t1)
        there, thickness, eps, phi = self.fixture.by_piece(
            t, lambda setup, at: self.in_gap(at, setup)
        )
        weights = w * there
        share = float(weights.sum())
        step = bool(self.breaks_s(t0, t1) or self.fixture.between(t0, t1))
        result: dict[str, Any] = {
            "thickness_nm": None,
            "total_nm": None,
            "permittivity": None,
            "porosity_ppm": None,
            "film": min(1.0, round(share, 9)),
            "edge": 1e-9 < share < 1 - 1e-9,
            "step": step,
        }
        if share > 1e-9:
            result["thickness_nm"] = float(np.dot(thickness, weights) / share * 1000)
            result["total_nm"] = result["thickness_nm"] + 1000 * self.layers_um
            result["permittivity"] = float(np.dot(eps, weights) / share)
            result["porosity_ppm"] = float(np.dot(phi, weights) / share * 1e6)
        return result
