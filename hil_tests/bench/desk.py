"""A desk without a board: drive the chips by hand and measure with them in floating point.

For tests of the bench itself and for looking at a scenario; independent of the firmware.

    >>> instruments = Instruments(Scenario.load("ideal.toml"), EventClock())
    >>> configure(instruments)
    >>> gauge = FloatGauge(instruments)
    >>> start_cap(instruments)
    >>> gauge.collect(5_000_000_000)
    >>> conversion, thickness_um, porosity = next(gauge.windows())
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .calibration import latency_us
from .chips import ad7746 as ad
from .chips.optoncdt import MODELS, OptoNCDT
from .clock import MS, SECOND
from .instruments import Instruments


class Master:
    """A board's I2C controller at 400 kHz, on an event clock."""

    def __init__(self, instruments: Instruments):
        self.bus, self.clock = instruments.i2c, instruments.clock

    def write(self, address: int, *data: int) -> int:
        """Return how many bytes were acknowledged; -1: not even the address."""
        count = -1
        if self.bus.address(address, False):
            self.clock.run_for(22_500)
            count = 0
            for byte in data:
                acked = self.bus.write(byte)
                self.clock.run_for(22_500)
                if not acked:
                    break
                count += 1
        self.bus.stop()
        return count

    def read(self, address: int, n: int, register: int | None = None, pause_ns: int = 0):
        """Return the bytes, None without an acknowledge. `pause_ns`: before the stop."""
        if register is not None:
            if not self.bus.address(address, False):
                self.bus.stop()
                return None
            self.bus.write(register)
            self.clock.run_for(45_000)
        if not self.bus.address(address, True):
            self.bus.stop()
            return None
        self.clock.run_for(22_500)
        data = []
        for _ in range(n):
            data.append(self.bus.read())
            self.clock.run_for(22_500)
        self.clock.run_for(pause_ns)
        self.bus.stop()
        return bytes(data)


def start_cap(ins: Instruments, capf: int = 0, code: int | None = None) -> Master:
    """Set the converter up as the board does."""
    master = Master(ins)
    code = ins.scenario.capacitance.capdac_code if code is None else code
    master.write(0x48, ad.CAPDAC_A, 0x80 | code, 0)
    master.write(0x48, ad.CAP_SETUP, 0x80, 0x00, 0x0B, capf << 3 | 1)
    return master


def say(ins: Instruments, laser: OptoNCDT, text: str, wait_ns: int = 10 * MS) -> bytes:
    """Send a line at line speed and return what came back, distances taken out."""
    for byte in text.encode():
        ins.clock.run_for(10_850)
        laser.rx(byte, ins.clock.now_ns)
    ins.clock.run_for(wait_ns)
    data, _ = laser.take(ins.clock.now_ns)
    out = bytearray()
    for byte in data:
        if byte & 0x80:
            del out[-2:]
        else:
            out.append(byte)
    return bytes(out)


def configure(ins: Instruments, rate: float = 4, roles=("MASTER", "SLAVE")) -> None:
    for laser, role in zip(ins.lasers, roles, strict=True):
        say(ins, laser, "OUTPUT NONE\n")
        say(ins, laser, f"MEASRATE {rate}\n")
        if role:
            say(ins, laser, f"SYNC {role}\n")
        say(ins, laser, "OUTPUT RS422\n")


def codes_of(data: bytes) -> np.ndarray:
    words = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(int)
    assert np.all(words[:, 0] < 64) and np.all(words[:, 1] >> 6 == 1) and np.all(words[:, 2] >> 6)
    return words[:, 0] & 63 | (words[:, 1] & 63) << 6 | (words[:, 2] & 63) << 12


class FloatGauge:
    """The measurement of physics.md section 0 in floating point, on the chips' raw data.

    `collect` lets time pass and keeps what the lasers send; `windows` measures against C0 and D
    of the time before the film.
    """

    def __init__(self, ins: Instruments):
        self.ins, self.spec = ins, ins.scenario
        self.streams: tuple[list, list] = ([], [])

    def collect(self, until_ns: int) -> None:
        """Let time pass."""
        while self.ins.clock.now_ns < until_ns:
            self.ins.clock.run_until(min(until_ns, self.ins.clock.now_ns + 100 * MS))
            for stream, laser in zip(self.streams, self.ins.lasers, strict=True):
                stream.append(laser.take(self.ins.clock.now_ns))

    def distances(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (instants in ns, distances in mm) of each laser."""
        model = MODELS[self.spec.laser.model]
        for which, stream in zip("ab", self.streams, strict=True):
            data = b"".join(part for part, _ in stream)
            times = np.concatenate([part for _, part in stream])
            skip = next(i for i in range(3) if data[i] >= 0x80) + 1
            n = (len(data) - skip) // 3
            codes = codes_of(data[skip : skip + 3 * n])
            taken = times[skip + 2 :: 3][:n] - 1000 * latency_us(self.spec, which)
            if model.series == "1900":
                mm = (codes - 98232) / 65536 * model.range_mm
            else:
                mm = (codes * 102 / 65520 - 1) / 100 * model.range_mm
            yield taken, mm

    def _mean(self, t: np.ndarray, mm: np.ndarray, start: int, end: int) -> float:
        """Mean distance over exactly [start, end): each sample stands for one period, and what
        is missing or too much at the ends is filled in along the line from first to last."""
        i, j = np.searchsorted(t, (start, end))
        x, y = t[i:j], mm[i:j]
        if j - i < 5:
            return float("nan")
        period = 1e9 / self.spec.laser.rate_hz
        slope = (y[-1] - y[0]) / (x[-1] - x[0])
        e0, e1 = x[0] - period / 2 - start, end - x[-1] - period / 2
        total = period * y.sum()
        total += e0 * (y[0] - slope * (period + e0) / 2)
        total += e1 * (y[-1] + slope * (period + e1) / 2)
        # not end - start: the laser's clock is not exact, and distances are large against errors
        return total / (len(y) * period + e0 + e1)

    def windows(self) -> Iterator[tuple[ad.Conversion, float, float]]:
        """Yield (conversion, thickness in um, porosity) of the windows with film."""
        head, film, cap = self.spec.head, self.spec.film, self.spec.capacitance
        dac = cap.capdac_code * cap.capdac_step_ff * 1e-15
        lasers = list(self.distances())
        c0s, ds, rows = [], [], []
        for conv in list(self.ins.ad7746.log)[2:]:
            c = (conv.code - 0x800000) * ad.LSB_F + dac - head.stray_pf * 1e-12
            total = 1000 * sum(self._mean(t, mm, conv.start_ns, conv.end_ns) for t, mm in lasers)
            if np.isnan(total):
                continue
            if conv.end_ns < film.start_s * SECOND:
                c0s.append(c)
                ds.append(total + head.reference_um)
            elif conv.start_ns > film.start_s * SECOND:
                rows.append((conv, c, total))
        c0, d = np.mean(c0s), np.mean(ds)
        for conv, c, total in rows:
            t = d - total
            delta = head.gap_um * (1 - c0 / c)
            es, el = film.solid_permittivity, film.structure
            u = delta / (t - delta)
            yield conv, t, 1 - (1 - el) / (es - 1) * u - el * es / (es - 1) * delta / t
