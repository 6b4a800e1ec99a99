"""Faults by lot: rolls of film, each with faults of drawn kind, instant and length.

    >>> rolls = draw(40, seed=1, target="unix32")
    >>> sum(len(roll.faults) for roll in rolls)
    40

The same count, seed and target give the same rolls. Kinds are dealt like cards: none comes again
before each has come. Some faults come alone, some two or three at once; some before the film is
there, some while a piece of it is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from . import noise
from .expected import LINK, MOMENTARY, RESTARTS, end_s, expect
from .fields import FAULTS
from .scenario import Scenario

_STREAM = 900  # of random numbers
FIRST_S = 1.6  # the board is in service: the first fault may come
FILM_S = 2.5  # when the film begins
EDGE_S = 0.3  # around the film's edges nothing is asked of numbers
_WELL_S = 0.4  # least time between two groups of faults in which all has to be well
_PER_ROLL = {"unix32": 10, "rp2040": 5}
_SPEED_M_S = 0.3
_LONGEST_S = 600.0  # of a shift's roll
_EVERY_M = 40.0  # of web, in a shift, from one web break to the next
_BREAK_MM = 400.0  # of a web break: long enough to standardise
_LENGTHS_S = {  # shortest and longest, by begin of the kind's name
    "sht": (0.3, 6.0),
    "i2c": (0.005, 2.5),
    "laser": (0.01, 2.5),
    "uart": (0.05, 2.0),
    "cap": (0.005, 2.0),
    "ready": (0.005, 2.0),
    "encoder": (0.05, 2.0),
    "link": (0.02, 5.0),
    "host": (0.02, 5.0),
    "usb": (0.05, 5.0),
    "power": (0.02, 3.0),
    "flash": (0.5, 5.0),
    "journal": (45.0, 60.0),
}
SMALL_JOURNAL = "journal_full"  # needs a board with a small one
LONG = ("link_outage", "usb_unplugged", "host_stall", "host_killed")
_RARE, _RING_S = 0.08, (25.0, 40.0)  # share of outages that are longer than the board's memory
_CODES = (262_072, 262_075, 262_076, 262_077, 262_078, 262_080, 262_081, 262_082, 262_143)

Choice = TypeVar("Choice")


@dataclass
class Roll:
    """One roll: a scenario, its faults in groups that overlap, and where there is no film."""

    number: int
    world: Scenario  # the same without faults
    scenario: Scenario = field(default_factory=lambda: Scenario.from_dict({}))
    groups: list[list[int]] = field(default_factory=list)  # indices of scenario.faults
    empty_s: list[tuple[float, float]] = field(default_factory=list)
    begin_s: float = 0.0  # of what is judged
    least_s: float = 0.0  # from there to its end
    due: bool = False  # a standardisation was due before

    @property
    def faults(self) -> list:
        """Its faults."""
        return self.scenario.faults


class _Lot:
    """Random numbers of one seed, one after the other."""

    def __init__(self, seed: int):
        self._numbers = noise.generator(seed, _STREAM)

    def share(self) -> float:
        return float(self._numbers.random())

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.share()

    def length(self, low: float, high: float) -> float:
        """Short ones are as frequent as long ones."""
        return low * math.exp(self.share() * math.log(high / low))

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self.share() * len(choices))]


class _Deck:
    """All kinds, mixed; mixed anew when all have been dealt."""

    def __init__(self, lot: _Lot, kinds: Sequence[str]):
        self._lot, self._kinds, self._left = lot, tuple(kinds), []

    def deal(self) -> str:
        if not self._left:
            left = list(self._kinds)
            while left:
                self._left.append(left.pop(int(self._lot.share() * len(left))))
        return self._left.pop()


def draw(count: int, seed: int, target: str, kinds: Sequence[str] = tuple(FAULTS)) -> list[Roll]:
    """Return rolls with `count` faults in all.

    On rp2040 all rolls have the world of the first one: the board is booted once.
    """
    lot = _Lot(seed)
    # forked boards have the whole journal, which is not full for minutes
    kinds = [k for k in kinds if target == "unix32" or k != SMALL_JOURNAL]
    deck = _Deck(lot, kinds)
    rolls: list[Roll] = []
    world: dict[str, Any] = {}
    while count > 0:
        if target == "unix32" or not rolls:
            world = _world(lot)
        wanted = min(count, _PER_ROLL[target])
        rolls.append(_roll(lot, deck, len(rolls) + 1, world, wanted))
        count -= wanted
    return rolls


def _world(lot: _Lot) -> dict[str, Any]:
    """Film and lasers of a roll: what is measured must differ from window to window."""
    thickness = lot.length(15, 150)
    broken_s = lot.between(FILM_S + 2, 15) if lot.share() < 0.5 else 0.0
    return {
        "run": {"seed": int(lot.between(1, 2**30))},
        "film": {
            "start_s": FILM_S,
            "thickness_um": round(thickness, 1),
            "porosity_percent": round(lot.between(30, 70), 1),
            "thickness_wave_um": round(0.02 * thickness, 3),
            "porosity_wave_percent": 1.0,
            "flutter_um": round(lot.between(2, 30), 1),
            "flutter_hz": round(lot.between(2, 12), 2),
        },
        "line": {"speed_m_s": _SPEED_M_S},
        "laser": {
            "sync": lot.one_of(("master_slave", "free")),
            "power_up": lot.one_of(("factory", "silent", "other", "other_baud")),
            "skew_us": round(lot.between(-100, 100)),
        },
        "defect": [{"kind": "web_break", "at_s": round(broken_s, 3), "length_mm": _BREAK_MM}]
        if broken_s
        else [],
    }


def _roll(lot: _Lot, deck: _Deck, number: int, world: dict[str, Any], wanted: int) -> Roll:
    # the first ones may meet the standardisation; those after them begin on film
    early = lot.share() < 0.3
    at_s = lot.between(FIRST_S, FILM_S - 0.4) if early else FILM_S + 0.5
    return _with_faults(lot, deck, Roll(number, Scenario.from_dict(world)), world, wanted, at_s)


def _with_faults(
    lot: _Lot, deck: _Deck, roll: Roll, world: dict[str, Any], wanted: int, at_s: float
) -> Roll:
    """Fill a roll with faults from `at_s` on, and end it when all must be well again."""
    faults: list[dict[str, Any]] = []
    master_slave = world["laser"]["sync"] == "master_slave"
    while len(faults) < wanted:
        share = lot.share()
        size = min(wanted - len(faults), 1 if share < 0.6 else 2 if share < 0.85 else 3)
        group: list[dict[str, Any]] = []
        for _ in range(size):
            begin = at_s + (lot.between(0, 1.2 * group[0].get("for_s", 0.3)) if group else 0)
            group.append(_fault(lot, deck.deal(), begin))
        roll.groups.append(list(range(len(faults), len(faults) + size)))
        faults += group
        checked = Scenario.from_dict({"fault": group}).faults
        ends = max(map(end_s, checked)) + sum(expect(f, master_slave).back_s for f in checked)
        at_s = max(ends, FILM_S + EDGE_S) + _WELL_S + lot.between(0, 0.5)
    at_s = max(at_s, roll.begin_s + roll.least_s)
    roll.empty_s = _empty(world, at_s)
    for begin, end in roll.empty_s:
        if begin < at_s:  # the end of a roll is on film
            at_s = max(at_s, end + EDGE_S + _WELL_S)
    roll.scenario = Scenario.from_dict(
        {
            **world,
            "run": {"seed": world["run"]["seed"] + roll.number, "duration_s": at_s},
            "fault": faults,
        },
        source=f"roll {roll.number}",
    )
    return roll


def _empty(world: dict[str, Any], until_s: float) -> list[tuple[float, float]]:
    """When there is no film in the gap."""
    found = [(0.0, FILM_S)]
    for defect in world["defect"]:
        begin = defect["at_s"]
        while begin < until_s + 1:
            found.append((begin, begin + _BREAK_MM / 1000 / _SPEED_M_S))
            if not defect.get("every_m"):
                break
            begin += defect["every_m"] / _SPEED_M_S
    return found


class Rolls:
    """Rolls one behind the other on a board that runs on, at least `least_s` long each.

    `until_s` is when the last one begins at the latest, `steady` leaves out faults after which
    the board starts anew.
    """

    def __init__(self, seed: int, until_s: float, steady: bool, per_roll: int, least_s: float):
        self._lot = _Lot(seed)
        left_out = (SMALL_JOURNAL, *(RESTARTS if steady else ()))
        kinds = [kind for kind in FAULTS if kind not in left_out]
        self._deck = _Deck(self._lot, kinds)
        self._per_roll, self._least_s = per_roll, least_s
        self._world = _world(self._lot)
        broken = {"kind": "web_break", "at_s": 30.0, "length_mm": _BREAK_MM, "every_m": _EVERY_M}
        self._world["defect"] = [broken]
        self._world["run"]["duration_s"] = until_s + _LONGEST_S
        self.world = Scenario.from_dict(self._world)

    def roll(self, number: int, begin_s: float, due: bool) -> Roll:
        """The next one, from an instant on; `due`: a standardisation is due."""
        roll = Roll(number, self.world, begin_s=begin_s, least_s=self._least_s, due=due)
        at_s = max(begin_s, FILM_S) + 0.5
        return _with_faults(self._lot, self._deck, roll, self._world, self._per_roll, at_s)


def _fault(lot: _Lot, kind: str, at_s: float) -> dict[str, Any]:
    """Draw the length and the parameters of a fault."""
    fault: dict[str, Any] = {"kind": kind, "at_s": round(at_s, 6)}
    if kind not in MOMENTARY:
        low, high = _LENGTHS_S[kind.partition("_")[0]]
        fault["for_s"] = lot.length(low, high)
        if kind in LONG and lot.share() < _RARE:
            fault["for_s"] = lot.between(*_RING_S)
    for name in FAULTS[kind]:
        if name == "device":
            fault[name] = lot.one_of(("ad7746", "sht4x", "both"))
            if fault[name] == "sht4x":
                fault["for_s"] = lot.length(*_LENGTHS_S["sht"])
        elif name == "line":
            fault[name] = lot.one_of(("sda", "scl"))
        elif name == "clocks":
            fault[name] = int(lot.between(1, 10)) if lot.share() < 0.4 else 0
        elif name == "laser":
            fault[name] = lot.one_of(("a", "b", "both"))
        elif name == "code":
            fault[name] = lot.one_of(_CODES)
        elif name == "rate":
            fault[name] = lot.length(1e-4, 0.02) if kind in LINK else lot.length(5e-4, 0.3)
        elif name == "operation":
            fault[name] = int(lot.between(1, 9)) if lot.share() < 0.5 else 0
        elif name == "fraction":
            fault[name] = round(lot.share(), 3)
    if "for_s" in fault:
        fault["for_s"] = round(fault["for_s"], 6)
    return fault
