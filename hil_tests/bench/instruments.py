"""All sensors of one instrument in their world, tied together, ready to be plugged into a board.

    >>> clock = EventClock()
    >>> instruments = Instruments(Scenario.from_dict({}), clock)
    >>> instruments.plug_into(target)

`plug_into` takes any `target.Target`. A target whose cables have `pull` and which has
`encoder_count` (unix) asks lasers and encoder when its board looks, which costs far less than
bytes and edges that are pushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .chips.ad7746 import AD7746
from .chips.encoder import Encoder
from .chips.optoncdt import OptoNCDT
from .chips.sht4x import SHT4x
from .clock import Clock
from .faults import FaultPlan, LinkFaults
from .i2c import I2CBus
from .scenario import Scenario
from .world import World

if TYPE_CHECKING:
    from .target import Target


class Instruments:
    """World and chips of a scenario on one clock."""

    def __init__(self, scenario: Scenario, clock: Clock, i2c: I2CBus | None = None):
        self.scenario, self.clock = scenario, clock
        self.world = World(scenario)
        self.ad7746 = AD7746(clock, self.world, scenario)
        self.sht4x = SHT4x(clock, self.world, scenario)
        self.lasers = tuple(OptoNCDT(clock, self.world, scenario, which) for which in "ab")
        if scenario.laser.sync == "master_slave":
            self.lasers[0].peer, self.lasers[1].peer = self.lasers[1], self.lasers[0]
        self.encoder = Encoder(clock, self.world, scenario)
        self.link = LinkFaults(scenario)
        self.i2c = i2c if i2c is not None else I2CBus(clock)
        self._on_bus()
        self.faults = FaultPlan(clock, scenario, self)

    def _on_bus(self) -> None:
        self.i2c.plug(AD7746.ADDRESS, self.ad7746)
        self.i2c.plug(SHT4x.ADDRESS, self.sht4x)

    def plug_into(self, target: Target) -> None:
        """Put the chips on the target's cables, now."""
        if target.i2c is not self.i2c:
            self.i2c = target.i2c
            self._on_bus()
        self.ad7746.on_ready = lambda level: target.set_input("ready", level)
        target.set_input("ready", self.ad7746.ready)
        for name, laser in zip("ab", self.lasers, strict=True):
            cable = target.lasers[name]
            cable.on_byte = laser.rx
            pulled = hasattr(cable, "pull")
            laser.connect(cable, pulled)
            if pulled:
                cable.pull = laser.take
        if hasattr(target, "encoder_count"):
            target.encoder_count = self.encoder.count
            return

        def edge(a: bool, b: bool) -> None:
            target.set_input("encoder_a", a)
            target.set_input("encoder_b", b)

        self.encoder.connect(edge)

    def set_faults(self, scenario: Scenario) -> None:
        """Let the faults of `scenario` happen, none of which may have begun."""
        self.link = LinkFaults(scenario)
        self.faults = FaultPlan(self.clock, scenario, self)

    def truth(self, t0_ns: int, t1_ns: int) -> dict[str, Any]:
        """What was true between two instants, see `World.truth`."""
        return self.world.truth(t0_ns, t1_ns)
