"""The bench: film and head as functions of virtual time, chips at byte level, targets that run
the gauge's own code against them.

    >>> target = UnixTarget()                                   # or RP2040Target
    >>> instruments = Instruments(Scenario.load("demo.toml"), target.clock)
    >>> instruments.plug_into(target)
    >>> target.boot()
    >>> target.run_until(10_000_000_000)
    >>> instruments.world.truth(9_000_000_000, 9_011_000_000)["thickness_nm"]

Rooms: `scenario` and `fields` (what is to happen), `film`, `head`, `world` (what is true), `noise`
(random numbers that do not depend on the order of calls), `clock`, `chips` (the sensors at
register and byte level), `i2c` (their bus), `faults` (what goes wrong), `instruments` (all of it
tied together), `calibration` (recipe and calibration that fit the scenario), `target` and the
targets.

Units: times in integer nanoseconds of virtual time, lengths of the physics in millimetres or
micrometres as the name says, capacitances in farads or attofarads as the name says.
"""

import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`
