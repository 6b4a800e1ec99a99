"""What an operator has put into the gap: standards, films, a stage, a climate chamber.

    >>> world = World(Scenario.from_dict({}))
    >>> setting = {"kind": "block", "label": "b1", "thickness_um": 300, "u_thickness_um": 0.1}
    >>> world.fixture.put(standard(setting, world.scenario), 0)

From its instant on a `Setup` replaces the web of the scenario. `standard` makes one of what a
step of a calibration procedure asks for (`porogauge.calibrate.procedure.KINDS`). A standard is
not what its certificate says: the difference is drawn from the stated uncertainty by seed and
label, once for each label; a position is set anew for each reading.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from . import noise
from .scenario import Scenario

SOLID_G_CM3 = 1.42  # of a sample that states its mass
HEIGHT_SD_UM = 3.0  # of what an operator sets by hand

# setting of a step -> its uncertainty; what the certificate says of a standard
STATED = {
    "reference_pf": "u_reference_pf",
    "thickness_um": "u_thickness_um",
    "permittivity": "u_permittivity",
    "t_ref_um": "u_t_ref_um",
    "phi_ref_percent": "u_phi_ref_percent",
    "mass_g_m2": "u_mass_g_m2",
}


# kind -> what has to be stated of it, one of each
_NEEDED = {
    "capacitor": (("reference_pf",),),
    "block": (("thickness_um",),),
    "vibrate": (("thickness_um",),),
    "plate": (("thickness_um",), ("permittivity",)),
    "solid": (("thickness_um",),),
    "sample": (("t_ref_um",), ("phi_ref_percent", "mass_g_m2")),
}


@dataclass(frozen=True, slots=True)
class Setup:
    """What is in the gap, truly. What is None is as the scenario has it."""

    thickness_um: float | None = None  # in both beams; None: the reference tile
    deficit_um: float = 0.0  # t (1 - 1/eps) of what is in the field, besides a porous film
    # of a film of the scenario's solid; a porous one lets light in and bears the layers
    porosity: float | None = None  # as a fraction
    capacitor_pf: float | None = None  # in place of the electrodes
    opened_um: float = 0.0  # by a stage, beyond the gap
    height_um: float = 0.0  # over mid-gap
    tilt_deg: float = 0.0
    amplitude_um: float = 0.0  # of a motion up and down
    frequency_hz: float = 0.0
    frame_c: float | None = None
    air_c: float | None = None
    rh_percent: float | None = None
    pressure_hpa: float | None = None


class Fixture:
    """Setups by time, in seconds. Empty: the scenario's web."""

    def __init__(self) -> None:
        self.changes_s: list[float] = []
        self._setups: list[Setup | None] = [None]

    def put(self, setup: Setup | None, at_s: float) -> None:
        """Have `setup` in the gap from `at_s` on (None: the scenario's web again).

        `at_s` may not be before an earlier change, nor before what a chip has already sampled.
        """
        if self.changes_s and at_s < self.changes_s[-1]:
            raise ValueError(f"there is a change at {self.changes_s[-1]} s, after {at_s} s")
        self.changes_s.append(at_s)
        self._setups.append(setup)

    def at(self, t_s: float) -> Setup | None:
        """What is in the gap at an instant."""
        return self._setups[bisect.bisect_right(self.changes_s, t_s)]

    def between(self, t0_s: float, t1_s: float) -> list[float]:
        """Instants of changes within (t0, t1)."""
        first = bisect.bisect_right(self.changes_s, t0_s)
        return self.changes_s[first : bisect.bisect_left(self.changes_s, t1_s)]

    def by_piece(self, t_s: np.ndarray, of: Callable[[Setup | None, np.ndarray], Any]) -> Any:
        """Return `of(setup, times)` for each time, joined; the last axis is time's."""
        if not self.changes_s:
            return of(None, t_s)
        which = np.searchsorted(self.changes_s, t_s, "right")
        kinds = np.unique(which)
        if len(kinds) == 1:
            return of(self._setups[int(kinds[0])], t_s)
        out = None
        for kind in kinds:
            mine = which == kind
            part = np.asarray(of(self._setups[int(kind)], t_s[mine]), float)
            if out is None:
                out = np.empty((*part.shape[:-1], len(t_s)))
            out[..., mine] = part
        return out


def drawn(seed: int, *key: Any) -> float:
    """Return a standard normal number that belongs to seed and key."""
    block = crc32(repr(key).encode())
    return float(noise.generator(seed, noise.STANDARDS, block).standard_normal())


def true_values(setting: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Return what the standards of a step truly are, by the names of `STATED`."""
    stated = {name: float(setting[name]) for name in STATED if setting.get(name) is not None}
    label = setting.get("label") or repr((setting["kind"], tuple(sorted(stated.items()))))
    true = {}
    for name, value in stated.items():
        # plates of one material, "silica-30" and "silica-75", have one permittivity
        key = label.rpartition("-")[0] or label if name == "permittivity" else label
        true[name] = value + float(setting.get(STATED[name]) or 0) * drawn(seed, key, name)
    return true


def _porosity(true: Mapping[str, float]) -> float:
    """Porosity of a sample, as a fraction, as stated or from its mass."""
    if "phi_ref_percent" in true:
        return true["phi_ref_percent"] / 100
    # g/m2 over g/cm3 are micrometres of solid
    return 1 - true["mass_g_m2"] / (SOLID_G_CM3 * true["t_ref_um"])


def standard(setting: Mapping[str, Any], scenario: Scenario, reading: int = 0) -> Setup:
    """Return what a step's setting puts into the gap of a scenario's head.

    `reading` counts the readings of this station: positions are set anew for each. Raises
    ValueError for a kind that is not known, and for one that does not state what it is.
    """
    seed, kind = scenario.run.seed, setting["kind"]
    true = true_values(setting, seed)
    for choice in _NEEDED.get(kind, ()):
        if not any(name in true for name in choice):
            raise ValueError(f"a {kind} needs {' or '.join(choice)}")

    def given(name: str, sd: float = 0.0) -> float:
        value = float(setting.get(name) or 0)
        return value + sd * drawn(seed, "position", name, reading) if sd else value

    held = {"height_um": given("height_um", HEIGHT_SD_UM), "tilt_deg": given("tilt_deg")}
    if kind == "empty":
        put: dict[str, Any] = {}
    elif kind == "capacitor":
        put = {"capacitor_pf": true["reference_pf"]}
    elif kind == "stage":
        put = {"opened_um": given("stage_um", given("u_stage_um"))}
    elif kind == "block":
        put = {"thickness_um": true["thickness_um"], **held}
    elif kind == "vibrate":
        put = {
            "thickness_um": true["thickness_um"],
            "amplitude_um": given("amplitude_um"),
            "frequency_hz": given("frequency_hz"),
        }
    elif kind == "plate":
        t = true["thickness_um"]
        put = {"thickness_um": t, "deficit_um": t * (1 - 1 / true["permittivity"]), **held}
    elif kind == "solid":
        put = {"thickness_um": true["thickness_um"], "porosity": 0.0}
    elif kind == "sample":
        put = {"thickness_um": true["t_ref_um"], "porosity": _porosity(true)}
    else:
        raise ValueError(f"a fixture cannot do {kind!r}")
    for field, name in (
        ("frame_c", "frame_set_c"),
        ("air_c", "air_set_c"),
        ("rh_percent", "rh_set_percent"),
        ("pressure_hpa", "pressure_hpa"),
    ):
        if setting.get(name) is not None:
            put[field] = float(setting[name])
    return Setup(**put)
