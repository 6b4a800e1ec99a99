"""The web and the film on it, as functions of time and of the place on the film.

`Line` is where the web is at which time, `Film` what it is made of at which place. Times are
seconds since power-up, places millimetres from the film's leading edge, thickness micrometres,
porosity a fraction. Everything takes and returns numpy arrays.

Mixing laws: relative permittivity of the porous film, against the air around it, from porosity
`phi` and the permittivity of the solid (physics.md section 1).
"""

from __future__ import annotations

import bisect
from types import SimpleNamespace

import numpy as np

from . import noise

TWO_PI = 2 * np.pi


class Curve:
    """A number that may change with time: constant, or straight lines between points."""

    def __init__(self, given: float | list[list[float]]):
        points = given if isinstance(given, list) else [[0.0, given]]
        self.t = np.array([p[0] for p in points], float)
        self.v = np.array([p[1] for p in points], float)
        self.constant = float(self.v[0]) if np.all(self.v == self.v[0]) else None
        area = np.diff(self.t) * (self.v[1:] + self.v[:-1]) / 2
        self._area = np.concatenate([[0.0], np.cumsum(area)])

    def at(self, t_s):
        """Value at `t_s` (a plain number when the curve is constant)."""
        if self.constant is not None:
            return self.constant
        return np.interp(t_s, self.t, self.v)

    def integral(self, t_s):
        """Integral from the first point to `t_s`."""
        if self.constant is not None:
            return self.constant * (t_s - self.t[0])
        i = np.clip(np.searchsorted(self.t, t_s, "right") - 1, 0, len(self.t) - 1)
        # the value at t_s, and the mean since the point before, are those of a straight line
        return self._area[i] + (t_s - self.t[i]) * (self.v[i] + self.at(t_s)) / 2


class Line:
    """Where the web is."""

    def __init__(self, line: SimpleNamespace):
        self.speed = Curve(line.speed_m_s)
        self.wave_mm_s = 1000 * line.speed_wave_m_s
        self.omega = TWO_PI * line.speed_wave_hz
        self._start = float(np.asarray(self._raw(0.0)))

    def _raw(self, t_s):
        x = 1000 * self.speed.integral(t_s)
        if self.wave_mm_s:
            x = x - self.wave_mm_s / self.omega * np.cos(self.omega * t_s)
        return x

    def position_mm(self, t_s):
        """Web that has passed since power-up, in millimetres."""
        return self._raw(t_s) - self._start

    def speed_mm_s(self, t_s):
        """Speed in millimetres per second."""
        v = 1000 * self.speed.at(t_s)
        if self.wave_mm_s:
            v = v + self.wave_mm_s * np.sin(self.omega * t_s)
        return v

    def crossings(self, levels_per_mm: float, t0_s: float, t1_s: float, step_s: float = 1e-3):
        """When position * levels_per_mm passes whole numbers within (t0, t1].

        Returns (times in seconds, number of the level, +1 up or -1 down), in order. The web may
        turn; a turn is resolved to `step_s`.
        """
        n = max(1, int(np.ceil((t1_s - t0_s) / step_s)))
        grid = np.linspace(t0_s, t1_s, n + 1)
        x = self.position_mm(grid) * levels_per_mm
        floor = np.floor(x).astype(np.int64)
        times, levels, ways = [], [], []
        moved = np.nonzero(np.diff(floor))[0]
        if len(moved) and self.speed.constant is not None and not self.wave_mm_s:
            moved = np.array([0])  # constant speed: one straight line
            grid, x, floor = grid[[0, -1]], x[[0, -1]], floor[[0, -1]]
        for i in moved:
            a, b = int(floor[i]), int(floor[i + 1])
            if b > a:
                passed, way = np.arange(a + 1, b + 1), 1
            else:
                passed, way = np.arange(a, b, -1), -1
            t = grid[i] + (passed - x[i]) / (x[i + 1] - x[i]) * (grid[i + 1] - grid[i])
            for _ in range(2):  # Newton: the speed is smooth within a step
                v = self.speed_mm_s(t) * levels_per_mm
                safe = np.where(np.abs(v) > 1e-9, v, np.inf)
                t = np.clip(
                    t - (self.position_mm(t) * levels_per_mm - passed) / safe,
                    grid[i], grid[i + 1],
                )  # fmt: skip
            times.append(t)
            levels.append(passed)
            ways.append(np.full(len(passed), way))
        if not times:
            empty = np.zeros(0)
            return empty, empty.astype(np.int64), empty.astype(np.int64)
        return np.concatenate(times), np.concatenate(levels), np.concatenate(ways)


def permittivity(mixing: str, phi, solid, structure: float):
    """Relative permittivity of a film; see the module. Raises KeyError for an unknown law."""
    return _MIXING[mixing](phi, solid, structure)


def _bruggeman_l(phi, es, el):
    if el == 1:
        return _series(phi, es, el)
    b = (es - 1) * phi + el - (1 - el) * es
    return (-b + np.sqrt(b * b + 4 * (1 - el) * el * es)) / (2 * (1 - el))


def _series(phi, es, el):
    return 1 / (phi + (1 - phi) / es)


def _air_in_solid(phi, es, el):
    beta = (1 - es) / (1 + 2 * es)
    return es * (1 + 2 * phi * beta) / (1 - phi * beta)


def _solid_in_air(phi, es, el):
    gamma = (es - 1) / (es + 2)
    return (1 + 2 * (1 - phi) * gamma) / (1 - (1 - phi) * gamma)


_MIXING = {
    "bruggeman_l": _bruggeman_l,
    "wiener_parallel": lambda phi, es, el: phi + (1 - phi) * es,
    "wiener_series": _series,
    "air_in_solid": _air_in_solid,
    "solid_in_air": _solid_in_air,
    "looyenga": lambda phi, es, el: (phi + (1 - phi) * np.cbrt(es)) ** 3,
    "lichtenecker": lambda phi, es, el: es ** (1 - phi),
}


class _Random:
    """A random profile: a dozen waves around one length, of given rms."""

    def __init__(self, seed: int, stream: int, rms: float, length_mm: float):
        draw = noise.generator(seed, stream)
        self.k = TWO_PI / (length_mm * np.geomspace(0.5, 4.0, 12) * draw.uniform(0.9, 1.1, 12))
        self.phase = draw.uniform(0, TWO_PI, 12)
        self.amplitude = rms * np.sqrt(2 / 12)

    def at(self, u_mm):
        return self.amplitude * np.sin(np.multiply.outer(u_mm, self.k) + self.phase).sum(-1)


class Film:
    """The film: thickness and porosity by place, and where there is any."""

    def __init__(self, film: SimpleNamespace, defects: list, line: Line, run: SimpleNamespace):
        self.spec, self.line = film, line
        self.origin_mm = float(line.position_mm(film.start_s))
        self._thickness_random = self._porosity_random = None
        if film.thickness_random_um:
            self._thickness_random = _Random(
                run.seed, noise.FILM_THICKNESS, film.thickness_random_um, film.random_mm
            )
        if film.porosity_random_percent:
            self._porosity_random = _Random(
                run.seed, noise.FILM_POROSITY, film.porosity_random_percent / 100, film.random_mm
            )
        grid = line.position_mm(np.linspace(0, run.duration_s, 2001)) - self.origin_mm
        self.reach_mm = float(grid.max()) + 1000
        self.defects: list[tuple[float, float, SimpleNamespace]] = []
        for defect in defects:
            self._place(defect)
        self.defects.sort(key=lambda d: d[0])
        self._ends = np.array([d[1] for d in self.defects])
        self._starts = np.array([d[0] for d in self.defects])
        edges = {0.0}
        if film.length_m:
            edges.add(1000 * film.length_m)
        self.ends_mm = set(edges)  # where film comes or goes
        for u0, u1, defect in self.defects:
            if defect.kind == "web_break":
                self.ends_mm |= {u0, u1}
            if defect.shape == "box":
                edges |= {u0, u1} - {np.inf}
        self.breaks_mm = sorted(edges | self.ends_mm)

    def _place(self, defect: SimpleNamespace) -> None:
        if defect.at_m is not None:
            at = 1000 * defect.at_m
        else:
            at = float(self.line.position_mm(defect.at_s)) - self.origin_mm
        if defect.kind in ("thick_spot", "thin_spot", "pore_cluster"):
            at -= defect.length_mm / 2
        length = defect.length_mm if defect.length_mm else np.inf
        while True:
            self.defects.append((at, at + length, defect))
            if not defect.every_m:
                break
            at += 1000 * defect.every_m
            if at > self.reach_mm:
                break

    def place_mm(self, t_s):
        """Place on the film that is at the laser spots."""
        return self.line.position_mm(t_s) - self.origin_mm

    def present(self, u_mm, t_s):
        """Whether there is film at that place (boolean array)."""
        there = (np.asarray(u_mm) >= 0) & (np.asarray(t_s) >= self.spec.start_s)
        if self.spec.length_m:
            there = there & (u_mm < 1000 * self.spec.length_m)
        for u0, u1, defect in self._near(u_mm):
            if defect.kind == "web_break":
                there = there & ~((u_mm >= u0) & (u_mm < u1))
        return there

    def _near(self, u_mm):
        """Defects that touch the span of `u_mm`."""
        if not self.defects:
            return []
        low, high = float(np.min(u_mm)), float(np.max(u_mm))
        last = bisect.bisect_right(self._starts, high)
        return [d for d in self.defects[:last] if d[1] >= low]

    def at(self, u_mm):
        """Return (thickness in um, porosity as a fraction) at each place."""
        f = self.spec
        u = np.asarray(u_mm, float)
        t = np.full(u.shape, f.thickness_um)
        phi = np.full(u.shape, f.porosity_percent / 100)
        if f.thickness_um_per_m:
            t += f.thickness_um_per_m * u / 1000
        if f.porosity_percent_per_m:
            phi += f.porosity_percent_per_m * u / 1e5
        if f.thickness_wave_um:
            t += f.thickness_wave_um * np.sin(TWO_PI / f.thickness_wave_mm * u)
        if f.porosity_wave_percent:
            phi += f.porosity_wave_percent / 100 * np.sin(TWO_PI / f.porosity_wave_mm * u)
        if self._thickness_random:
            t += self._thickness_random.at(u)
        if self._porosity_random:
            phi += self._porosity_random.at(u)
        splice = None
        for u0, u1, defect in self._near(u):
            if defect.kind == "web_break":
                continue
            inside = (u >= u0) & (u < u1)
            if defect.shape == "cosine" and np.isfinite(u1):
                weight = np.where(inside, 0.5 - 0.5 * np.cos(TWO_PI * (u - u0) / (u1 - u0)), 0.0)
            else:
                weight = inside.astype(float)
            t += weight * defect.thickness_um
            phi += weight * defect.porosity_percent / 100
            if defect.kind == "splice":
                splice = weight if splice is None else np.maximum(splice, weight)
        if splice is not None:
            t *= 1 + splice
        return np.maximum(t, 0.5), np.clip(phi, 0.0, 0.98)
