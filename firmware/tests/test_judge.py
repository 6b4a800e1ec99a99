"""Limits, flags, latches, reject and marker on the 32-bit runtime against a plain model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from film_reference import NM, UM, word, words
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge import config, record

PROGRAM = """
from array import array
from gauge import record
from gauge.judge import Judge
from gauge.outputs import Marker

INPUTS = ("STATE", "VALID", "FLAGS", "POSITION_MM", "THICKNESS_8NM", "POROSITY_PPM",
          "PERMITTIVITY_E4", "U_THICKNESS_8NM", "U_POROSITY_PPM", "U_PERMITTIVITY_E4")
WIDTH = len(INPUTS) + 2

def run(words, rows):
    judge = Judge(words)
    rec = record.new()
    out = array("i")
    for k in range(0, len(rows), WIDTH):
        for i in range(len(INPUTS)):
            rec[getattr(record, INPUTS[i])] = rows[k + i]
        judge.acknowledge(rows[k + WIDTH - 1])
        judge.update(rec, rows[k + WIDTH - 2])
        out.extend(array("i", (rec[record.FLAGS], rec[record.LATCHED], rec[record.OUTPUTS])))
    return out

def mark(delay, length, positions, bad):
    marker = Marker(delay, length)
    return array("i", [marker.update(p, b != 0) for p, b in zip(positions, bad)])
"""

MEASURING = record.STATE_MEASURING
OFF_SHEET = record.STATE_OFF_SHEET
FLAG = {name: 1 << index for index, name in enumerate(record.FLAG_NAMES)}
STICKY = (FLAG["watchdog_restart"], FLAG["crash_restart"])
LIMITS = [
    ("thickness_lolo", "thickness_lolo_8nm", -1),
    ("thickness_lo", "thickness_lo_8nm", -1),
    ("thickness_hi", "thickness_hi_8nm", 1),
    ("thickness_hihi", "thickness_hihi_8nm", 1),
    ("porosity_lolo", "porosity_lolo_ppm", -1),
    ("porosity_lo", "porosity_lo_ppm", -1),
    ("porosity_hi", "porosity_hi_ppm", 1),
    ("porosity_hihi", "porosity_hihi_ppm", 1),
    ("permittivity_high", "permittivity_max_e4", 1),
]
TOP = {name: high for name, _, high in config.SPEC}


@dataclass
class Window:
    """What the judge is given for one window."""

    thickness: int = 25 * UM
    porosity: int = 500_000
    permittivity: int = 19_300
    u_t: int = 30 * NM
    u_phi: int = 900
    u_eps: int = 15
    state: int = MEASURING
    valid: int = record.VALID_ALL
    found: int = 0  # flags that film.compute found
    conditions: int = 0
    position: int = 0
    acknowledge: int = 0

    def row(self) -> list[int]:
        return [
            self.state,
            self.valid,
            self.found,
            self.position,
            self.thickness,
            self.porosity,
            self.permittivity,
            self.u_t,
            self.u_phi,
            self.u_eps,
            self.conditions,
            self.acknowledge,
        ]


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(PROGRAM) as program:
        yield program


def judge(program, values, windows) -> list[tuple[list[str], list[str], list[str]]]:
    """Run windows through a new judge; return flags, latched and outputs of each, by name."""
    flat = program.call("run", values, [x for window in windows for x in window.row()])
    return [
        (
            record.names_of(flat[k]),
            record.names_of(flat[k + 1]),
            record.names_of(flat[k + 2], record.OUTPUT_NAMES),
        )
        for k in range(0, len(flat), 3)
    ]


@dataclass
class Mean:
    """The running mean of a quantity: exact, so that the board's may be off by its rounding."""

    shift: int
    fine: int = -1  # in 1/64

    def step(self, value: int | None) -> int:
        if value is None:
            self.fine = -1
            return 0
        change = Fraction(64 * value - self.fine, 1 << self.shift)
        self.fine = 64 * value if self.fine < 0 else self.fine + math.floor(change + _HALF)
        return math.floor(Fraction(self.fine, 64) + _HALF)


_HALF = Fraction(1, 2)
BITS = {"thickness": 1, "permittivity": 2, "porosity": 4}


@dataclass
class Limit:
    """One limit by its definition."""

    active: bool = False
    run: list = field(default_factory=list)

    def step(self, excess: Fraction | None, deadband: int, on_delay: int, off_delay: int):
        if excess is None:  # no number
            return
        if not self.active:
            self.run = [*self.run, excess] if excess > 0 else []
            if len(self.run) > on_delay:
                self.active, self.run = True, []
        else:
            self.run = [*self.run, excess] if excess <= -deadband else []
            if len(self.run) > off_delay:
                self.active, self.run = False, []


@st.composite
def recipes(draw):
    t = sorted(draw(st.lists(st.integers(190_000, 210_000), min_size=4, max_size=4)))
    phi = sorted(draw(st.lists(st.integers(480_000, 520_000), min_size=4, max_size=4)))
    return words(
        thickness_lolo_8nm=draw(st.sampled_from((0, t[0]))),
        thickness_lo_8nm=t[1],
        thickness_hi_8nm=t[2],
        thickness_hihi_8nm=draw(st.sampled_from((t[3], TOP["thickness_hihi_8nm"]))),
        porosity_lolo_ppm=phi[0],
        porosity_lo_ppm=draw(st.sampled_from((0, phi[1]))),
        porosity_hi_ppm=phi[2],
        porosity_hihi_ppm=phi[3],
        permittivity_max_e4=draw(st.sampled_from((19_000, 25_000, TOP["permittivity_max_e4"]))),
        thickness_deadband_8nm=draw(st.integers(0, 3000)),
        porosity_deadband_ppm=draw(st.integers(0, 5000)),
        permittivity_deadband_e4=draw(st.integers(0, 500)),
        guard_c2=draw(st.integers(-500, 500)),
        on_delay=draw(st.integers(0, 3)),
        off_delay=draw(st.integers(0, 3)),
        latch_mask=draw(st.integers(0, 0x3FFFFF)),
        reject_mask=draw(st.integers(0, 0x3FFFFF)),
        filter_shift=draw(st.sampled_from((0, 0, 1, 2, 5, 8))),
        porosity_mode=draw(st.sampled_from((0, 0, 1, 2))),
    )


@st.composite
def windows(draw):
    return Window(
        thickness=draw(st.integers(185_000, 215_000)),
        porosity=draw(st.integers(470_000, 530_000)),
        permittivity=draw(st.integers(18_000, 26_000)),
        u_t=draw(st.integers(1, 1000)),
        u_phi=draw(st.integers(1, 3000)),
        u_eps=draw(st.integers(1, 100)),
        state=draw(st.sampled_from((MEASURING,) * 9 + (OFF_SHEET,))),
        valid=draw(st.sampled_from((15,) * 9 + (0, 1, 11))),
        found=draw(st.sampled_from((0,) * 5 + (FLAG["not_resolvable"], FLAG["no_film"]))),
        conditions=draw(st.sampled_from((0,) * 9 + (FLAG["overrun"], *STICKY))),
        acknowledge=draw(st.sampled_from((0,) * 9 + (0x3FFFFFFF, 0x0F))),
    )


@given(recipes(), st.lists(windows(), min_size=1, max_size=40))
@settings(max_examples=60)
def test_against_the_definition(program, values, sequence):
    limits = {name: Limit() for name, _, _ in LIMITS}
    before = latched = sticky = 0
    guard = Fraction(word(values, "guard_c2"), 100)
    means = {quantity: Mean(word(values, "filter_shift")) for quantity in BITS}
    for window, found in zip(sequence, judge(program, values, sequence), strict=True):
        flags = 0
        judged = {}
        for quantity, bit in BITS.items():
            there = window.state == MEASURING and window.valid & bit
            judged[quantity] = means[quantity].step(getattr(window, quantity) if there else None)
        for name, limit_name, sign in LIMITS:
            quantity = name.partition("_")[0]
            limit = word(values, limit_name)
            unit = limit_name.rpartition("_")[2]
            bit = BITS[quantity]
            u = {"thickness": window.u_t, "porosity": window.u_phi, "permittivity": window.u_eps}
            if window.state != MEASURING:
                limits[name] = Limit()
                continue
            excess = None
            if window.valid & bit and limit != (TOP[limit_name] if sign > 0 else 0):
                excess = sign * (judged[quantity] - limit)
                excess += math.floor(guard * u[quantity] + Fraction(1, 2))
            deadband = word(values, f"{quantity}_deadband_{unit}")
            limits[name].step(
                excess, deadband, word(values, "on_delay"), word(values, "off_delay")
            )
            flags |= FLAG[name] if limits[name].active else 0
        sticky &= ~window.acknowledge
        latched &= ~window.acknowledge
        sticky |= window.conditions & sum(STICKY)
        flags |= window.conditions | window.found | sticky
        latch = word(values, "latch_mask") | sum(STICKY)
        latched |= flags & ~before & latch
        before = flags
        needed = record.VALID_THICKNESS if word(values, "porosity_mode") else record.VALID_ALL
        good = window.state == MEASURING and window.valid == needed
        good = good and not (flags | latched) & word(values, "reject_mask")
        assert found[0] == record.names_of(flags)
        assert found[1] == record.names_of(latched)
        assert ("good" in found[2]) == good


# -- by example ----------------------------------------------------------------------------------

REJECT = FLAG["thickness_hihi"] | FLAG["not_physical"]


def test_a_step_is_rejected_in_the_window_that_shows_it(program):
    values = words(thickness_hihi_8nm=30 * UM, reject_mask=REJECT)
    found = judge(program, values, [Window(), Window(thickness=31 * UM), Window()])
    assert [step[2] for step in found] == [["good"], [], ["good"]]
    assert found[1][0] == ["thickness_hihi"]


def test_delays_deadband_and_guard(program):
    values = words(
        thickness_hi_8nm=30 * UM,
        thickness_deadband_8nm=100 * NM,
        guard_c2=200,
        on_delay=1,
        off_delay=2,
    )
    # guard: 2 u = 60 nm; comes above 29.94 um, goes at or below 29.84 um
    um = [29.93, 29.95, 29.93, 29.95, 29.95, 29.90, 29.84, 29.84, 29.90, 29.84, 29.84, 29.84]
    found = judge(program, values, [Window(thickness=round(x * UM)) for x in um])
    active = ["thickness_hi" in step[0] for step in found]
    assert active == [False] * 4 + [True] * 7 + [False]


def test_latched_flag_holds_the_reject_until_acknowledged(program):
    values = words(
        thickness_hihi_8nm=30 * UM, reject_mask=REJECT, latch_mask=FLAG["thickness_hihi"]
    )
    sequence = [
        Window(thickness=31 * UM),
        Window(),
        Window(thickness=31 * UM, acknowledge=0x3FFFFFFF),
        Window(thickness=31 * UM, acknowledge=0x3FFFFFFF),
        Window(),
        Window(thickness=31 * UM),
        Window(),
        Window(acknowledge=0x3FFFFFFF),
    ]
    found = judge(program, values, sequence)
    latched = [bool(step[1]) for step in found]
    assert latched == [True, True, True, False, False, True, True, False]
    assert ["good" in step[2] for step in found] == [False] * 4 + [True, False, False, True]


def test_nothing_is_good_unless_measured(program):
    values = words()
    for window in (
        Window(state=OFF_SHEET, valid=0, found=FLAG["no_film"]),
        Window(valid=record.VALID_ALL & ~record.VALID_POROSITY),
        Window(state=record.STATE_HOLD),
        Window(state=record.STATE_FAULT, valid=record.VALID_THICKNESS),
    ):
        assert judge(program, values, [Window(), window])[1][2] == []


@pytest.mark.parametrize("shift", range(9))
def test_the_mean_follows_a_step_to_its_end(program, shift):
    """A flag comes when 2**shift windows have told enough of a step, and the mean gets there."""
    limit, low, high = 30 * UM, 29 * UM, 32 * UM
    values = words(thickness_hi_8nm=limit, filter_shift=shift)
    n = 1 << shift
    found = judge(program, values, [Window(thickness=low)] + [Window(thickness=high)] * 12 * n)
    active = ["thickness_hi" in step[0] for step in found]
    share = (limit - low) / (high - low)
    expected = 1 if not shift else math.log(1 - share) / math.log(1 - 1 / n)
    assert abs(active.index(True) - expected) <= 1 + 0.01 * expected
    assert all(active[active.index(True) :])
    values = words(thickness_hi_8nm=high - 3, filter_shift=shift)  # 0.4 nm short of the end
    found = judge(program, values, [Window(thickness=low)] + [Window(thickness=high)] * 16 * n)
    assert found[-1][0] == ["thickness_hi"]


@pytest.mark.parametrize("gap", [{"valid": 0}, {"state": OFF_SHEET, "valid": 0}])
def test_the_mean_begins_anew_after_a_gap(program, gap):
    values = words(thickness_hi_8nm=30 * UM, filter_shift=6)
    bad, missing = Window(thickness=31 * UM), Window(**gap)
    found = judge(program, values, [Window(), bad, missing, bad, Window()])
    assert ["thickness_hi" in step[0] for step in found] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("mode", [1, 2])
def test_thickness_is_enough_where_layers_hide_the_film(program, mode):
    values = words(porosity_mode=mode, thickness_hi_8nm=30 * UM, reject_mask=FLAG["thickness_hi"])
    seen = Window(valid=record.VALID_THICKNESS)
    thick = Window(valid=record.VALID_THICKNESS, thickness=31 * UM)
    found = judge(program, values, [seen, Window(valid=0), thick])
    assert [step[2] for step in found] == [["good"], [], []]


def test_flags_of_limits_go_when_the_film_goes(program):
    values = words(thickness_hi_8nm=30 * UM, off_delay=100)
    high, gone = Window(thickness=31 * UM), Window(valid=0, found=FLAG["no_film"])
    off = Window(state=OFF_SHEET, valid=0, found=FLAG["no_film"])
    found = judge(program, values, [high, gone, off])
    assert [step[0] for step in found] == [
        ["thickness_hi"],
        ["thickness_hi", "no_film"],
        ["no_film"],
    ]


@pytest.mark.parametrize("name", ["watchdog_restart", "crash_restart"])
def test_a_restart_stays_until_acknowledged(program, name):
    sequence = [Window(conditions=FLAG[name]), Window(), Window(acknowledge=FLAG[name])]
    found = judge(program, words(), sequence)
    assert [step[0] for step in found] == [[name]] * 2 + [[]]
    assert [step[1] for step in found] == [[name]] * 2 + [[]]


def test_each_restart_is_acknowledged_by_itself(program):
    both = Window(conditions=sum(STICKY))
    found = judge(program, words(), [both, Window(acknowledge=STICKY[0]), Window()])
    assert [step[0] for step in found][1:] == [["crash_restart"]] * 2


# -- marker --------------------------------------------------------------------------------------


@given(
    st.integers(0, 500),
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from((0, 0, 0, 1))), max_size=150),
)
def test_marker_marks_what_was_bad_and_nothing_else(program, delay, length, moves):
    position, positions, pieces, expected = 0, [], [], []
    for step, bad in moves:
        before = position if positions else position + step
        position += step
        positions.append(position)
        if bad and pieces and before <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], max(position, pieces[-1][1]))
        elif bad:
            pieces.append((before, max(position, before + length)))
        here = position - delay
        expected.append(int(any(start <= here <= end for start, end in pieces)))
    found = program.call("mark", delay, length, positions, [bad for _, bad in moves])
    assert found == expected


def test_marker_with_more_pieces_than_it_can_hold_marks_too_much(program):
    positions = list(range(0, 20_000, 10))
    bad = [int(k % 4 == 0) for k in range(len(positions))]
    found = program.call("mark", 5000, 1, positions, bad)
    for k, mm in enumerate(positions):
        if mm >= 5000 and bad[k - 500]:
            assert found[k], mm
    assert not any(found[:499])


def test_marker_forgets_when_the_position_is_set_anew(program):
    positions = [0, 10, 20, 50_000_000, 50_000_010, 50_000_120]
    assert program.call("mark", 100, 10, positions, [0, 1, 0, 0, 1, 0]) == [0, 0, 0, 0, 0, 0]
    assert program.call("mark", 100, 10, positions[3:], [0, 1, 0]) == [0, 0, 0]
    assert program.call("mark", 110, 10, positions[3:], [0, 1, 0]) == [0, 0, 1]


def test_nothing_is_allocated(unix32):
    values = words(
        thickness_hi_8nm=20 * UM,
        marker_mask=0xFF,
        marker_delay_mm=300,
        on_delay=2,
        filter_shift=3,
    )
    unix32.heap_locked(
        "from array import array\n"
        "from gauge import record\n"
        "from gauge.judge import Judge\n"
        f"judge = Judge(array('i', {values}))\n"
        "rec = record.new()\n"
        "rec[record.VALID] = 15\n",
        "rec[record.STATE] = 3 - (rec[record.POSITION_MM] >> 9 & 1)\n"
        "rec[record.THICKNESS_8NM] = 160000 + (rec[record.POSITION_MM] & 63)\n"
        "rec[record.POSITION_MM] += 7\n"
        "rec[record.FLAGS] = 0\n"
        "judge.update(rec, 0)\n"
        "judge.acknowledge(1)\n",
        times=2000,
    )
