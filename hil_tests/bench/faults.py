"""What goes wrong, by script: the `[[fault]]` tables of a scenario, each from `at_s` for `for_s`.

`FaultPlan` sets and clears the hooks of bus, chips and cables at their virtual times; `LinkFaults`
is the link's cable, through which the runner passes every byte between board and host.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import noise
from .clock import Clock
from .scenario import Scenario

if TYPE_CHECKING:
    from .instruments import Instruments

TO_HOST, TO_BOARD = "to_host", "to_board"
FRAMING = 1
_ADDRESS = {"ad7746": 0x48, "sht4x": 0x44}
# for_s has no meaning
_MOMENTARY = ("board_reset", "board_hang", "board_crash", "cap_disturbed")
_ON_CABLE = {"uart_garbage", "uart_framing"}  # share a hook


class LinkFaults:
    """Outages, byte errors and stalls of the link, by time.

    Of the bytes hit by an error, eight in ten are replaced, one is lost and one doubled. Which
    ones are hit depends on the seed and on their number in their direction alone.
    """

    def __init__(self, scenario: Scenario):
        self.base_rate = scenario.link.byte_error_rate
        self._spans = [
            (round(f.at_s * 1e9), round((f.at_s + f.for_s) * 1e9), f)
            for f in scenario.faults
            if f.kind in ("link_outage", "link_errors", "host_stall")
        ]
        seed = scenario.run.seed
        self._noise = {
            TO_HOST: noise.Noise(seed, noise.LINK_TO_HOST),
            TO_BOARD: noise.Noise(seed, noise.LINK_TO_BOARD),
        }
        self._count = {TO_HOST: 0, TO_BOARD: 0}
        self.damaged = 0  # bytes replaced, lost or doubled so far
        self.swallowed = 0  # bytes that fell into an outage

    def _active(self, kind: str, now_ns: int) -> list[SimpleNamespace]:
        return [f for t0, t1, f in self._spans if f.kind == kind and t0 <= now_ns < t1]

    def outage(self, now_ns: int) -> bool:
        """Whether the cable is off."""
        return bool(self._active("link_outage", now_ns))

    def stalled(self, now_ns: int) -> bool:
        """Whether the host does not read."""
        return bool(self._active("host_stall", now_ns))

    def error_rate(self, now_ns: int) -> float:
        """Share of damaged bytes."""
        rates = (f.rate for f in self._active("link_errors", now_ns))
        return max(self.base_rate, *rates, 0.0)

    def transform(self, data: bytes, direction: str, now_ns: int) -> bytes:
        """Return what arrives of `data`; `direction` is TO_HOST or TO_BOARD."""
        if not data:
            return data
        first = self._count[direction]
        self._count[direction] = end = first + len(data)
        if self._spans and self.outage(now_ns):
            self.swallowed += len(data)
            return b""
        rate = self.error_rate(now_ns) if self._spans else self.base_rate
        if not rate:
            return data
        drawn = self._noise[direction].uniform(first, end)
        hit = np.nonzero(drawn < rate)[0].tolist()
        if not hit:
            return data
        self.damaged += len(hit)
        out = bytearray()
        done = 0
        for at in hit:
            share = float(drawn[at]) / rate  # evenly distributed again
            out += data[done:at]
            if share < 0.8:
                out.append(data[at] ^ (1 + int(share / 0.8 * 255)))
            elif share >= 0.9:
                out += bytes((data[at], data[at]))
            done = at + 1
        return bytes(out + data[done:])


class _Damage:
    """Damage on a laser's cable: byte -> (byte as received, error bits)."""

    def __init__(self, rate: float, framing: bool, row: noise.Noise):
        self.rate, self.framing, self.row = rate, framing, row
        self.count = 0

    def __call__(self, byte: int) -> tuple[int, int]:
        index, self.count = self.count, self.count + 1
        drawn = float(self.row.uniform(index, index + 1)[0])
        if drawn >= self.rate:
            return byte, 0
        other = byte ^ (1 + int(drawn / self.rate * 255))
        return other, FRAMING if self.framing else 0


class FaultPlan:
    """Carries out the faults of a scenario.

    `outside(fault, begins)` does those that are not the instruments': `interruptions`.
    """

    def __init__(self, clock: Clock, scenario: Scenario, instruments: Instruments):
        self.clock, self.instruments = clock, instruments
        self.outside: Callable[[SimpleNamespace, bool], Any] | None = None
        self.log: list[tuple[int, str, bool]] = []  # (instant, kind, begins)
        self._silent: set[int] = set()
        self._seed = scenario.run.seed
        actions: list[tuple[int, bool, SimpleNamespace]] = []
        for fault in scenario.faults:
            begin = round(fault.at_s * 1e9)
            end = begin + round(fault.for_s * 1e9)
            if fault.kind in _MOMENTARY:
                actions.append((begin, True, fault))
            elif end > begin:
                actions += [(begin, True, fault), (end, False, fault)]
        # what ends at an instant ends before another begins
        self._actions = sorted(actions, key=lambda action: action[:2])
        self._going: list[SimpleNamespace] = []
        self._next()

    def _next(self) -> None:
        if self._actions:
            self.clock.call_at(self._actions[0][0], self._act)

    def _act(self) -> None:
        _, begins, fault = self._actions.pop(0)
        self.log.append((self.clock.now_ns, fault.kind, begins))
        self._do(fault, begins)
        if begins:
            self._going.append(fault)
        elif fault in self._going:
            self._going.remove(fault)
            for other in self._going:  # what ends must not take another of its kind with it
                same = other.kind == fault.kind and hasattr(self, "_" + fault.kind)
                if same or {other.kind, fault.kind} == _ON_CABLE:
                    self._do(other, True)
        self._next()

    def going(self, kind: str) -> list[SimpleNamespace]:
        """Faults of a kind that have begun and not ended."""
        return [fault for fault in self._going if fault.kind == kind]

    def _do(self, fault: SimpleNamespace, begins: bool) -> None:
        do = getattr(self, "_" + fault.kind, self.outside)
        if do is not None:
            do(fault, begins)

    # -- one method a kind

    def _i2c_nack(self, fault: SimpleNamespace, on: bool) -> None:
        for name, address in _ADDRESS.items():
            if fault.device in (name, "both"):
                (self._silent.add if on else self._silent.discard)(address)
        silent = self._silent
        self.instruments.i2c.nak_address = (
            (lambda address, read: address in silent) if silent else None
        )

    def _i2c_held(self, fault: SimpleNamespace, on: bool) -> None:
        self.instruments.i2c.hold(fault.line, on, fault.clocks or None if on else None)

    def _sht_crc(self, fault: SimpleNamespace, on: bool) -> None:
        self.instruments.sht4x.crc_fails = on

    def _sht_unplugged(self, fault: SimpleNamespace, on: bool) -> None:
        chip = self.instruments.sht4x
        if on:
            self.instruments.i2c.unplug(chip.ADDRESS)
        else:
            chip.power_up()
            self.instruments.i2c.plug(chip.ADDRESS, chip)

    def _lasers(self, fault: SimpleNamespace) -> list:
        a, b = self.instruments.lasers
        return {"a": [a], "b": [b], "both": [a, b]}[fault.laser]

    def _damage(self, fault: SimpleNamespace, on: bool, framing: bool) -> None:
        for laser in self._lasers(fault):
            stream = noise.UART_A if laser.which == "a" else noise.UART_B
            damage = _Damage(fault.rate, framing, noise.Noise(self._seed, stream)) if on else None
            if laser.cable is not None:
                laser.cable.damage = damage

    def _uart_garbage(self, fault: SimpleNamespace, on: bool) -> None:
        self._damage(fault, on, False)

    def _uart_framing(self, fault: SimpleNamespace, on: bool) -> None:
        self._damage(fault, on, True)

    def _laser_unplugged(self, fault: SimpleNamespace, on: bool) -> None:
        for laser in self._lasers(fault):
            laser.unplug() if on else laser.plug()

    def _laser_error(self, fault: SimpleNamespace, on: bool) -> None:
        for laser in self._lasers(fault):
            laser.force(fault.code if on else 0)

    def _laser_off(self, fault: SimpleNamespace, on: bool) -> None:
        for laser in self._lasers(fault):
            laser.light(not on)

    def _cap_unplugged(self, fault: SimpleNamespace, on: bool) -> None:
        self.instruments.ad7746.input_open = on

    def _cap_excerr(self, fault: SimpleNamespace, on: bool) -> None:
        self.instruments.ad7746.excitation_fails = on

    def _cap_lost(self, fault: SimpleNamespace, on: bool) -> None:
        self.instruments.ad7746.results_lost = on

    def _cap_disturbed(self, fault: SimpleNamespace, on: bool) -> None:
        if on:
            self.instruments.ad7746.disturb()

    def _ready_open(self, fault: SimpleNamespace, on: bool) -> None:
        self.instruments.ad7746.cut_ready(on)

    def _cap_saturated(self, fault: SimpleNamespace, on: bool) -> None:
        self.instruments.ad7746.input_shorted = on

    def _encoder_stopped(self, fault: SimpleNamespace, on: bool) -> None:
        encoder = self.instruments.encoder
        encoder.stop() if on else encoder.resume()
