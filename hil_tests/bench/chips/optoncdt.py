"""Micro-Epsilon optoNCDT 1420 and 1900, laser displacement sensors on RS-422.

    >>> laser = OptoNCDT(clock, world, scenario, "a")
    >>> laser.connect(cable)        # pushes: cable.send(data, at_ns), cable.baud
    >>> cable.on_byte = laser.rx
    >>> data, times = laser.take(clock.now_ns)      # or pulled, without or beside a cable

What is modelled (operating instructions of the 1420, A 3; sensors.md section 3): the stream of
three bytes a distance, on a free-running clock or on the master's, its latency, error codes,
additional values, average; the command dialogue (`optoncdt_commands`) in between, while the
stream goes on; settings at power-up; loss of the cable. A distance is what the world has at the
instant of the sample (the end of exposure is not spread), plus linearity error and noise,
quantised by the model's formula.

Samples lie on a fixed grid of time, so that a distance depends on its number alone, never on when
the board asked for it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import noise
from ..clock import MS, Clock, Handle
from ..scenario import Scenario
from ..world import World
from .optoncdt_commands import Dialogue

NO_PEAK, BEFORE_RANGE, BEHIND_RANGE = 262_076, 262_077, 262_078
TOO_FAST, LASER_OFF = 262_075, 262_082
EXECUTE_NS = 1 * MS  # from the end of a command to the start of its reply
BOOT_NS = 500 * MS
SYNC_DELAY_NS = 200  # of a slave behind its master
_PHASE_NS = 37_300  # of laser A's samples at power-up: not aligned with anything
_AHEAD_NS = 2 * MS  # a pushed stream is handed over in pieces of this length
_BLOCK = noise.BLOCK


class Model(NamedTuple):
    """What differs between the models."""

    series: str
    range_mm: int
    smr_mm: int
    max_code: int

    def codes(self, mm: np.ndarray) -> np.ndarray:
        """Return the distance words of distances (nan: no peak), error codes included."""
        if self.series == "1420":
            x = (mm / self.range_mm * 100 + 1) * 65520 / 102
        else:
            x = 98232 + 65536 * mm / self.range_mm
        lost = np.isnan(x)
        x = np.rint(np.where(lost, 0, x))
        code = np.where(x < 0, BEFORE_RANGE, np.where(x > self.max_code, BEHIND_RANGE, x))
        return np.where(lost, NO_PEAK, code).astype(np.int32)


MODELS = {
    "1420-10": Model("1420", 10, 20, 65_520),
    "1420-25": Model("1420", 25, 25, 65_520),
    "1420-50": Model("1420", 50, 35, 65_520),
    "1420-100": Model("1420", 100, 50, 65_520),
    "1900-2": Model("1900", 2, 15, 230_604),
    "1900-10": Model("1900", 10, 20, 230_604),
    "1900-25": Model("1900", 25, 25, 230_604),
    "1900-50": Model("1900", 50, 40, 230_604),
}


class Wire(Protocol):
    """The cable to the board, as seen from the sensor."""

    baud: int

    def send(self, data: bytes, at_ns: int) -> Any:
        """Send `data` one byte behind the other from `at_ns` on, or behind what is queued."""


def encode(code: int, additional: bool = False) -> bytes:
    """Return the three bytes of a value.

    >>> encode(98232).hex()
    '387e97'
    """
    high = 0xC0 if additional else 0x80
    return bytes((code & 63, 0x40 | code >> 6 & 63, high | code >> 12 & 63))


def encode_all(codes: np.ndarray) -> bytes:
    """Return the bytes of many distances, three each."""
    out = np.empty((len(codes), 3), np.uint8)
    out[:, 0] = codes & 63
    out[:, 1] = 0x40 | codes >> 6 & 63
    out[:, 2] = 0x80 | codes >> 12
    return out.tobytes()


def as_read(mm: np.ndarray, spec: SimpleNamespace, which: str) -> np.ndarray:
    """Return distances with the gain and linearity errors of laser `which`, without noise."""
    index = "ab".index(which)
    read = mm * (1 + 1e-6 * spec.gain_ppm[index])
    if spec.linearity_um:
        turn = 6 * np.pi / MODELS[spec.model].range_mm
        phase = np.radians(spec.linearity_deg[index])
        read = read + spec.linearity_um / 1000 * np.sin(turn * mm + phase)
    return read


class OptoNCDT:
    """One laser. `peer` is the other one on its synchronisation wire.

    Faults by script: `force(code)` replaces every distance, `light(False)`, `unplug()` and
    `plug()`; damage on the way is a matter of the cable.
    """

    def __init__(self, clock: Clock, world: World, scenario: Scenario, which: str):
        self.clock, self.world, self.which = clock, world, which
        self.spec = scenario.laser
        self.model = MODELS[self.spec.model]
        self.cable: Wire | None = None
        self.wire: Wire | None = None  # the same, unless it is pulled
        self.peer: OptoNCDT | None = None
        self.plugged = True
        self.forced_code = 0  # set by force()
        self.light_fails = False  # set by light()
        self.serial = 15_030_000 + 2 * scenario.run.seed % 10_000 + (which == "b")
        index = "ab".index(which)
        self._ppm = self.spec.clock_ppm[index]
        self._own_latency_ns = 1000 * self.spec.latency_us[index]
        self._phase_ns = _PHASE_NS + (1000 * self.spec.skew_us if which == "b" else 0.0)
        self._noise = noise.Noise(scenario.run.seed, noise.LASER_A + index)
        self._cut: tuple[bytes, list[int]] = (b"", [])
        self._pump_handle: Handle | None = None
        self._boot_handle: Handle | None = None
        self._line = bytearray()
        self._free_ns = 0
        self._busy_ns = 0
        self._out: list[tuple[bytes, list[int]]] = []
        self._reply = bytearray()
        self._reply_ns = 0  # when the reply was there
        self._after_return = False
        self.dialogue = Dialogue(self)
        self._running = True
        self._load_power_up()
        self._retime()

    # -- wiring

    def connect(self, cable: Wire, pulled: bool = False) -> None:
        """Put `cable` on the sensor now. Pulled: its reader asks for the bytes, see `take`."""
        self._drain(self.clock.now_ns)
        self._out.clear()
        self._cut = (b"", [])
        self.cable = cable
        self.wire = None if pulled else cable
        cable.baud = self.baud
        self._pump()

    def unplug(self) -> None:
        """Pull the cable: nothing passes, and the sensor loses its supply."""
        self.settle()
        self.plugged = False
        self._stop()

    def plug(self) -> None:
        """Put the cable back: the sensor starts as from power-up."""
        self.plugged = True
        self._boot()

    def force(self, code: int) -> None:
        """Send `code` in place of every distance from now on; 0: distances again."""
        self.settle()
        self.forced_code = code

    def light(self, on: bool) -> None:
        """Let the laser's light fail, or work again."""
        self.settle()
        self.light_fails = not on

    def rx(self, byte: int, t_ns: int | None = None) -> None:
        """Take a byte from the board whose stop bit ends now."""
        if not (self.plugged and self._running):
            return
        if byte in b"\r\n":
            line, self._line = bytes(self._line), bytearray()
            after_return, self._after_return = self._after_return, byte == 13
            if line or not after_return:  # CR LF is one end of line
                # commands are executed one after the other
                now = self.clock.now_ns
                self._busy_ns = max(now, self._busy_ns) + EXECUTE_NS
                self.clock.call_at(self._busy_ns, lambda: self._execute(line))
        else:
            self._after_return = False
            if len(self._line) < 256:
                self._line.append(byte)

    def _execute(self, line: bytes) -> None:
        if not (self.plugged and self._running):
            return
        self.settle()
        reply = self.dialogue.answer(line.decode("ascii", "replace"))
        if not self._reply:
            self._reply_ns = self.clock.now_ns
        self._reply += reply.encode()
        self.settle()
        self._pump()

    # -- state

    def setting(self, name: str) -> str:
        """A setting as the command's query shows it."""
        return self.dialogue.settings[name]

    @property
    def baud(self) -> int:
        return int(self.setting("BAUDRATE"))

    @property
    def rate_hz(self) -> int:
        return round(1000 * float(self.setting("MEASRATE")))

    @property
    def role(self) -> str:
        """NONE, MASTER, SLAVE, MASTER_ALT or SLAVE_ALT."""
        return self.setting("SYNC")

    @property
    def streaming(self) -> bool:
        """Whether distances are sent (if there is a clock to sample on)."""
        return (
            self.plugged
            and self._running
            and self.setting("OUTPUT") == "RS422"
            and self.setting("TRIGGER") == "NONE"
        )

    def _load_power_up(self) -> None:
        self.dialogue.power_up(self.spec.power_up)

    def _stop(self) -> None:
        self._running = False
        self._reply.clear()
        self._line.clear()
        if self._pump_handle is not None:
            self._pump_handle.cancel()
            self._pump_handle = None
        flush = getattr(self.wire, "flush", None)
        if flush is not None:
            flush()
        self._free_ns = self.clock.now_ns
        self.changed()

    def _boot(self) -> None:
        self._running = False
        if self._boot_handle is not None:
            self._boot_handle.cancel()
        self._boot_handle = self.clock.call_after(BOOT_NS, self._booted)

    def _booted(self) -> None:
        if self.plugged:
            self._running = True
            self._load_power_up()
            self.changed()

    def reset(self) -> None:
        """RESET: restart with the stored settings."""
        self._stop()
        self._boot()

    def changed(self) -> None:
        """Rate, output or synchronisation changed now: find the samples that come next."""
        self._retime()
        if self.peer is not None:
            self.peer.settle()
            self.peer._retime()

    # -- the grid of samples

    def _grid(self) -> tuple[float, float] | None:
        """Instant of sample 0 and period in ns; None while there is no clock to sample on."""
        if self.role.startswith("SLAVE"):
            peer = self.peer
            if peer is None or not peer.plugged or not peer._running:
                return None
            if not peer.role.startswith("MASTER"):
                return None
            origin, period = peer._grid()
            if peer.role == "MASTER_ALT":
                origin += period / 2
            return origin + SYNC_DELAY_NS, period
        period = 1e9 / self.rate_hz / (1 + 1e-6 * self._ppm)
        if self.role == "MASTER_ALT":
            period *= 2
        return self._phase_ns, period

    def latency_ns(self) -> float:
        """From the taking of a distance to the start of its first byte."""
        grid = self._grid()
        if grid is None:
            return 0.0
        return self.spec.latency_cycles * grid[1] + self._own_latency_ns

    def _retime(self) -> None:
        self._now_grid = self._grid()
        self._base = self._end = 0  # samples base..end-1 are in the block
        self._byte_ns = 1e10 / self.baud
        self._values = self.dialogue.additional()
        if self._now_grid is not None:
            origin, period = self._now_grid
            self._latency = self.spec.latency_cycles * period + self._own_latency_ns
            # what was handed over to a wire already lies ahead of the clock
            from_ns = max(self.clock.now_ns, self._free_ns)
            begin = (from_ns - self._latency - origin) / period
            self._k = max(0, math.ceil(begin))
            self._slow = 3 * (1 + len(self._values)) * self._byte_ns > period
        if self.cable is not None:
            self.cable.baud = self.baud
        self._pump()

    def _load(self, k: int) -> None:
        """Make the block of samples that holds sample `k`."""
        origin, period = self._now_grid
        first = k // _BLOCK * _BLOCK
        numbers = np.arange(first, first + _BLOCK)
        taken = np.rint(origin + numbers * period)
        mm = self._distances(taken, numbers)
        codes = self.model.codes(mm)
        if self._slow:
            codes[:] = TOO_FAST
        self._base, self._end = first, first + _BLOCK
        self._codes = codes
        self._start_list = np.rint(taken + self._latency).astype(np.int64).tolist()
        self._blob = encode_all(codes)

    def _distances(self, taken: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        average = self.dialogue.average()
        if average > 1:
            period = self._now_grid[1]
            back = np.arange(average)[:, None]
            return self._plain(taken - back * period, numbers - back).mean(axis=0)
        return self._plain(taken, numbers)

    def _plain(self, taken: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        spec = self.spec
        mm = as_read(self.world.distances_mm(taken, self.which), spec, self.which)
        if spec.noise_um:
            low = int(numbers.min())
            if low < 0:  # before power-up, for an average
                numbers, low = np.maximum(numbers, 0), 0
            row = self._noise.normal(low, int(numbers.max()) + 1)
            mm = mm + spec.noise_um / 1000 * row[numbers - low]
        return mm

    def _override(self) -> int:
        """Code that replaces every distance now; 0: none."""
        if self.light_fails or self.setting("LASERPOW") == "OFF":
            return LASER_OFF
        return self.forced_code

    # -- sending

    def settle(self) -> None:
        """Send, under the state that is about to end, what was due before now (pulled mode)."""
        if self.wire is None:
            self._drain(self.clock.now_ns)

    def _pump(self) -> None:
        """Hand over to the wire what begins within the next piece of time."""
        if self.wire is None:
            return
        if self._pump_handle is not None:
            self._pump_handle.cancel()
            self._pump_handle = None
        if not (self.plugged and self._running):
            return
        horizon = self.clock.now_ns + _AHEAD_NS
        self._drain(horizon)
        if self._reply or (self.streaming and self._now_grid is not None):
            self._pump_handle = self.clock.call_at(horizon, self._pump)

    def _drain(self, until_ns: int) -> None:
        """Send everything that begins before `until_ns`."""
        if not (self.streaming and self._now_grid is not None):
            if self._reply and self.plugged and self._running:
                self._talk(None)
            return
        fast = self.wire is None and not self._values and not self._slow and not self._override()
        while True:
            k = self._k
            if not self._base <= k < self._end:
                self._load(k)
            i = k - self._base
            start = self._start_list[i]
            if self._reply:
                self._talk(min(start, until_ns))
            if start >= until_ns:
                return
            if fast and not self._reply:
                end = bisect_left(self._start_list, until_ns, i)
                self._send_many(i, end)
                self._k += end - i
                continue
            self._k = k + 1
            if self._slow and start < self._free_ns:
                continue
            code = self._override()
            data = encode(code) if code else self._blob[3 * i : 3 * i + 3]
            for name in self._values:
                data += self._additional(name, k, start)
            self._send(data, start)

    def _talk(self, before_ns: int | None) -> None:
        """Send of the reply what fits in front of `before_ns`."""
        start = max(self._free_ns, self._reply_ns)
        n = len(self._reply)
        if before_ns is not None:
            n = min(n, int((before_ns - start) // self._byte_ns))
        if n > 0:
            data = bytes(self._reply[:n])
            del self._reply[:n]
            self._send(data, start)

    def _send(self, data: bytes, start_ns: int) -> None:
        start = max(start_ns, self._free_ns)
        self._free_ns = round(start + len(data) * self._byte_ns)
        if self.wire is not None:
            self.wire.send(data, start)
        else:
            byte_ns = self._byte_ns
            times = [round(start + count * byte_ns) for count in range(1, len(data) + 1)]
            self._out.append((data, times))

    def _send_many(self, i: int, end: int) -> None:
        """Pulled mode: samples i..end-1 of the block, none of which meets another."""
        starts = self._start_list[i:end]
        if starts[0] < self._free_ns:
            self._send(self._blob[3 * i : 3 * i + 3], starts[0])
            i, starts = i + 1, starts[1:]
            if i == end:
                return
        offsets = [round(count * self._byte_ns) for count in (1, 2, 3)]
        times = [start + offset for start in starts for offset in offsets]
        self._out.append((self._blob[3 * i : 3 * end], times))
        self._free_ns = times[-1]

    def _additional(self, name: str, k: int, start_ns: int) -> bytes:
        """Bytes of an additional value (sensors.md section 3)."""
        if name == "TIMESTAMP":
            ticks = start_ns // (10_000 if self.model.series == "1420" else 1000)
            return encode(ticks & 0xFFFF, True) + encode(ticks >> 16 & 0xFFFF, True)
        value = {
            "COUNTER": k & 0x3FFFF,
            "SHUTTER": 1200,
            "INTENSITY": 32736,
            "STATE": 2 << 16,
            "DIST_RAW": int(self._codes[k - self._base]) & 0x3FFFF,
        }[name]
        return encode(value, True)

    # -- pulled mode

    def take(self, until_ns: int) -> tuple[bytes, list[int]]:
        """Return what has arrived by `until_ns` since the last call, and when.

        (bytes, instants in ns at which the stop bit of each ended). For a target that has no
        wire of its own: it costs a fraction of a pushed stream. `until_ns` may not be later than
        the clock's time, and must not decrease.
        """
        self._drain(until_ns)
        data, times = self._cut
        if self._out:
            data += b"".join([part for part, _ in self._out])
            times = times + [t for _, part in self._out for t in part]
            self._out.clear()
        n = bisect_right(times, until_ns)
        self._cut = data[n:], times[n:]
        return data[:n], times[:n]
