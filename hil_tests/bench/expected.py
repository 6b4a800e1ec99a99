"""What each kind of fault has to lead to: its flag, how soon, and how soon all is well again.

    >>> scenario = Scenario.from_dict({"fault": [{"kind": "laser_off", "at_s": 3, "laser": "b"}]})
    >>> expect(scenario.faults[0]).flags
    ('laser_b_fault',)

`EXPECT` is of the kind with its default parameters, `expect` of one fault as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

LINK = (
    *("link_outage", "link_errors", "usb_unplugged"),
    *("host_stall", "host_killed", "journal_full"),
)
"""Kinds that stop nothing but the way to the host."""
RESTARTS = ("board_reset", "board_hang", "board_crash", "power_cut")
"""Kinds after which the board starts anew."""
MOMENTARY = ("board_reset", "board_hang", "board_crash", "cap_disturbed")
"""Kinds that have no length."""
WATCHDOG_S = 3.0
"""Watchdog period: no output outlives a program that hangs for longer."""

_CAPACITANCE, _ENVIRONMENT = "capacitance_fault", "environment_fault"


@dataclass(frozen=True)
class Expect:
    """What a kind of fault has to lead to.

    `within_s` is the documented detection time: from the fault's begin on so long, what happens
    to the fault's own sensor need not be known yet.
    """

    flag: str = ""  # with laser in place of laser_a or laser_b; empty: none
    numbers: bool = True  # whether numbers go on
    within_s: float = 0.033  # from its begin to the flag
    back_s: float = 0.2  # from its end to measuring as before
    steady: bool = True  # whether the flag is there all the time
    also: tuple[str, ...] = ()  # other flags that may come with it
    flags: tuple[str, ...] = ()  # of `expect`: those that have to come


# every sensor begins anew
_RESTART = Expect(
    numbers=False,
    within_s=0.0,
    back_s=2.5,
    also=(
        *("standardisation_due", "overrun", _CAPACITANCE, _ENVIRONMENT),
        *("laser_a_fault", "laser_b_fault"),
    ),
)

EXPECT = {
    "i2c_nack": Expect(_CAPACITANCE, False, also=("overrun",)),
    # both chips are on the bus
    "i2c_held": Expect(_CAPACITANCE, False, also=("overrun", _ENVIRONMENT)),
    "sht_crc": Expect(_ENVIRONMENT, within_s=3.2, back_s=1.2),
    "sht_unplugged": Expect(_ENVIRONMENT, within_s=3.2, back_s=1.2),
    "uart_garbage": Expect("laser_fault", False, steady=False),
    "uart_framing": Expect("laser_fault", False, steady=False),
    # it starts as after power-up, and is looked for once a second
    "laser_unplugged": Expect("laser_fault", False, back_s=3.0),
    "laser_error": Expect("laser_fault", False),
    "laser_off": Expect("laser_fault", False),
    "cap_unplugged": Expect(_CAPACITANCE, False, also=("overrun",)),
    "cap_excerr": Expect(_CAPACITANCE, False, also=("overrun",)),
    "cap_lost": Expect(_CAPACITANCE, False, within_s=0.080, back_s=0.7, also=("overrun",)),
    "cap_saturated": Expect(_CAPACITANCE, False, also=("overrun",)),
    # found with the first result after it; it is set up anew after half a second
    "cap_disturbed": Expect(_CAPACITANCE, False, back_s=0.8, steady=False, also=("overrun",)),
    "ready_open": Expect(_CAPACITANCE, False, within_s=0.140, back_s=0.8, also=("overrun",)),
    # no flag can tell a wire that is off from a web that stands
    "encoder_stopped": Expect(),
    "link_outage": Expect(),
    "link_errors": Expect(),
    "host_stall": Expect(),
    "usb_unplugged": Expect(),
    "host_killed": Expect(),
    "journal_full": Expect(),
    # what is measured while it is written is marked
    "flash_slow": Expect(also=("overrun", "flash_write")),
    "board_reset": _RESTART,
    # the watchdog restarts it
    "board_hang": replace(
        _RESTART, flag="watchdog_restart", within_s=WATCHDOG_S, back_s=WATCHDOG_S + 2.5
    ),
    "board_crash": replace(_RESTART, flag="crash_restart", within_s=0.033, back_s=3.0),
    # lasers start, and are looked for once a second
    "power_cut": replace(_RESTART, back_s=4.5),
}


def lasers_of(fault: SimpleNamespace) -> str:
    """Return the lasers that a fault hits: "a", "b", "ab" or nothing."""
    if not fault.kind.startswith(("laser", "uart")):
        return ""
    return "ab" if fault.laser == "both" else fault.laser


def end_s(fault: SimpleNamespace) -> float:
    """Return when a fault is gone."""
    return fault.at_s + (0.0 if fault.kind in MOMENTARY else fault.for_s)


def expect(fault: SimpleNamespace, master_slave: bool = True) -> Expect:
    """Return what one fault has to lead to; `master_slave`: laser B samples on A's clock."""
    found = EXPECT[fault.kind]
    flags = (found.flag,) if found.flag else ()
    also = found.also
    if found.flag == "laser_fault":
        flags = tuple(f"laser_{name}_fault" for name in lasers_of(fault))
        if fault.kind == "laser_unplugged" and master_slave and "a" in lasers_of(fault):
            also += ("laser_b_fault",)  # its clock is gone
        # a window with few distances is an uncertain one; a damaged distance may be any
        also += ("not_resolvable", *(("not_physical",) * fault.kind.startswith("uart")))
    elif fault.kind == "i2c_nack":
        climate = EXPECT["sht_unplugged"]
        if fault.device == "sht4x":
            found, flags, also = climate, (_ENVIRONMENT,), ()
        elif fault.device == "both":
            found, also = replace(found, back_s=climate.back_s), (*also, _ENVIRONMENT)
    elif fault.kind == "i2c_held":
        if fault.for_s > 1:  # a reading of the climate may be lost
            found = replace(found, back_s=EXPECT["sht_unplugged"].back_s)
        if fault.clocks and fault.line == "sda":  # the board gives these clocks, and all is well
            found, flags, also = replace(found, numbers=True, steady=False), (), (*also, *flags)
    elif fault.kind == "cap_disturbed":
        flags, also = (), (*also, *flags)
    return replace(found, flags=flags, also=also)
