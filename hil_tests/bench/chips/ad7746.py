"""AD7746, capacitance-to-digital converter, I2C address 0x48.

    >>> chip = AD7746(clock, world, scenario)
    >>> bus.plug(AD7746.ADDRESS, chip)
    >>> chip.on_ready = lambda level: target.set_input("ready", level)

What is modelled (Analog Devices AD7745/AD7746 data sheet, Rev. 0; sensors.md section 1): all
registers with their defaults, pointer with auto-increment, reset by pointer 0xBF with no
acknowledge for 200 us, idle, continuous, single, power-down and calibration modes, conversion
times by CAPF, VTF, CHOP and CLKCTRL, capacitance and voltage/temperature one after the other,
/RDY, loss of a result that ends while a read is open, freeze of the registers meanwhile, CAPDAC
with an untrimmed step, offset and gain registers, EXCERR, saturation, noise, a clock of its own.
A result averages the capacitance over exactly the time of its conversion. The first capacitance
result after a change of input, CAPDAC, excitation or temperature mode is off by `SETTLE_F`: the
board has to discard it.

`log` keeps the last conversions with their times, so that the truth can be matched to a record;
`on_conversion` is called with each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import pi
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from .. import noise
from ..clock import Clock, Handle
from ..fields import CONVERSIONS_MS
from ..scenario import Scenario
from ..world import World

STATUS, CAP_DATA, VT_DATA, CAP_SETUP, VT_SETUP, EXC_SETUP = 0x00, 0x01, 0x04, 0x07, 0x08, 0x09
CONFIG, CAPDAC_A, CAPDAC_B, CAP_OFFSET, CAP_GAIN, VOLT_GAIN = 0x0A, 0x0B, 0x0C, 0x0D, 0x0F, 0x11
N_REGISTERS = 0x13
IDLE, CONTINUOUS, SINGLE, POWER_DOWN, OFFSET_CAL, GAIN_CAL = 0, 1, 2, 3, 5, 6

NOISE_AF = (40.0, 27.3, 12.2, 7.3, 5.4, 4.9, 4.4, 4.2)
VT_MS = (20.1, 32.1, 62.1, 122.1)
LSB_F = 8.192e-12 / 2**24
OFFSET_LSB_F = 1e-12 / 32768
RESET_NS = 200_000
READY_HIGH_NS = 10_000  # /RDY goes high this long before the next result when nobody has read
SETTLE_F = 3e-15
_FACTORY = {CAP_GAIN: 0x5A, CAP_GAIN + 1: 0x3C, VOLT_GAIN: 0x5A, VOLT_GAIN + 1: 0x10}
_FACTORY_GAIN = 1 + 0x5A3C / 65536
_DEFAULTS = {STATUS: 0x07, EXC_SETUP: 0x03, CONFIG: 0xA0, CAP_OFFSET: 0x80, **_FACTORY}


class Conversion(NamedTuple):
    """One capacitance conversion. `lost` says why its result never reached the registers."""

    index: int
    start_ns: int
    end_ns: int
    code: int
    lost: str


def as_read(cap_f, spec: SimpleNamespace):
    """Return what is left after the CAPDAC, in farad, with the converter's errors, no noise."""
    if spec.linearity_ppm:
        cap_f = cap_f + spec.linearity_ppm * 1e-6 * 4.096e-12 * np.sin(pi * cap_f / 1.7e-12)
    return cap_f * (1 + 1e-6 * spec.gain_ppm) + spec.offset_ff * 1e-15


class AD7746:
    """The chip. Faults by script are its attributes; see `faults`."""

    ADDRESS = 0x48

    def __init__(self, clock: Clock, world: World, scenario: Scenario):
        self.clock, self.world, self.spec = clock, world, scenario.capacitance
        self.on_ready: Callable[[bool], object] | None = None
        self.on_conversion: Callable[[Conversion], object] | None = None
        self.log: deque[Conversion] = deque(maxlen=65_536)
        self.ready = True  # level of the /RDY pin
        # faults
        self.excitation_fails = False
        self.input_open = False
        self.input_shorted = False
        self.results_lost = False
        self._ready_cut = False
        self._noise = noise.Noise(scenario.run.seed, noise.CAPACITANCE)
        self._noise_t = noise.Noise(scenario.run.seed, noise.TEMPERATURE)
        self._rate = 1 + 1e-6 * self.spec.clock_ppm
        self._count = self._count_t = 0
        self._deaf_until = 0
        self._event: Handle | None = None
        self._early: Handle | None = None
        self._open = False
        self._pointing = False
        self.power_up()

    # -- I2C

    def start(self, read: bool) -> bool:
        """Address seen; False while the chip resets."""
        if self.clock.now_ns < self._deaf_until:
            return False
        self._open = read
        self._pointing = not read
        return True

    def write(self, byte: int) -> bool:
        """Pointer or register byte from the board."""
        if self._pointing:
            self._pointing = False
            if byte == 0xBF:
                self.power_up()
                self._deaf_until = self.clock.now_ns + RESET_NS
            self._pointer = byte
        else:
            self._set(self._pointer, byte)
            self._pointer = (self._pointer + 1) & 0xFF
        return True

    def read(self) -> int:
        """Register byte to the board."""
        register = self._pointer
        self._pointer = (register + 1) & 0xFF
        if register >= N_REGISTERS:
            return 0
        value = self.registers[register]
        if register == CAP_DATA + 2:
            self._taken(1)
        elif register == VT_DATA + 2:
            self._taken(2)
        return value

    def stop(self) -> None:
        """End of the transaction: results may come in again."""
        self._open = self._pointing = False

    def forget(self, before_ns: int) -> None:
        """Forget the conversions that ended before an instant."""
        while self.log and self.log[0].end_ns < before_ns:
            self.log.popleft()

    # -- registers

    def power_up(self) -> None:
        """Registers and state as after power-up: no conversions."""
        self._cancel()
        self.registers = bytearray(N_REGISTERS)
        for register, value in _DEFAULTS.items():
            self.registers[register] = value
        self._pointer = 0
        self._changed = True
        self._open = False
        self._drive(True)

    def _set(self, register: int, value: int) -> None:
        if not CAP_SETUP <= register < N_REGISTERS:
            return
        old = self.registers[register]
        self.registers[register] = value
        if register in (CAP_SETUP, VT_SETUP, EXC_SETUP, CAPDAC_A, CAPDAC_B) and value != old:
            self._changed = True
        if register <= CAPDAC_B:
            self._begin()

    def _taken(self, bit: int) -> None:
        self.registers[STATUS] |= bit | 4
        self._drive(True)

    def _drive(self, level: bool) -> None:
        if level != self.ready:
            self.ready = level
            if self.on_ready is not None and not self._ready_cut:
                self.on_ready(level)

    def cut_ready(self, cut: bool) -> None:
        """Cut the wire of /RDY, so that the board's pull-up holds it high, or join it again."""
        self._ready_cut = cut
        if self.on_ready is not None:
            self.on_ready(cut or self.ready)

    def disturb(self) -> None:
        """Change a bit of the CAPDAC, as a disturbance on the supply may."""
        self._set(CAPDAC_A, self.registers[CAPDAC_A] ^ 0x04)

    # -- conversions

    @property
    def mode(self) -> int:
        """MD bits."""
        return self.registers[CONFIG] & 7

    def cap_ns(self) -> int:
        """Duration of a capacitance conversion as configured, on the chip's own clock."""
        ms = CONVERSIONS_MS[self.registers[CONFIG] >> 3 & 7]
        return self._duration(ms, self.registers[CAP_SETUP] & 1)

    def vt_ns(self) -> int:
        """The same of the voltage/temperature channel."""
        return self._duration(VT_MS[self.registers[CONFIG] >> 6], self.registers[VT_SETUP] & 1)

    def _duration(self, ms: float, chop: int) -> int:
        slow = 1 + (self.registers[EXC_SETUP] >> 7)
        return round(ms * 1e6 * (1 + chop) * slow / self._rate)

    def _cancel(self) -> None:
        for handle in (self._event, self._early):
            if handle is not None:
                handle.cancel()
        self._event = self._early = None

    def _begin(self) -> None:
        """(Re)start the sequence of conversions after a register was written."""
        self._cancel()
        if self.mode in (CONTINUOUS, SINGLE, OFFSET_CAL, GAIN_CAL):
            self._sequence(self.clock.now_ns)

    def _sequence(self, start_ns: int) -> None:
        self._start = start_ns
        cap, vt = self.registers[CAP_SETUP] & 0x80, self.registers[VT_SETUP] & 0x80
        if cap:
            end = start_ns + self.cap_ns()
            self._event = self.clock.call_at(end, self._cap_end)
            if not vt:
                self._early = self.clock.call_at(end - READY_HIGH_NS, self._before)
        elif vt:
            self._vt_begin(start_ns)

    def _before(self) -> None:
        if not self._open:
            self._drive(True)

    def _cap_end(self) -> None:
        now = self.clock.now_ns
        index, self._count = self._count, self._count + 1
        code = self._measure(index, self._start, now)
        lost = "fault" if self.results_lost else "read open" if self._open else ""
        if not lost:
            if self.mode in (OFFSET_CAL, GAIN_CAL):
                self._calibrated(code)
            self.registers[CAP_DATA : CAP_DATA + 3] = code.to_bytes(3, "big")
            self.registers[STATUS] &= ~1
            self._excerr()
        done = Conversion(index, self._start, now, code, lost)
        self.log.append(done)
        if self.on_conversion is not None:
            self.on_conversion(done)
        if self.registers[VT_SETUP] & 0x80:
            self._vt_begin(now)
        else:
            self._done(now, lost)

    def _vt_begin(self, start_ns: int) -> None:
        end = start_ns + self.vt_ns()
        self._event = self.clock.call_at(end, self._vt_end)
        self._early = self.clock.call_at(end - READY_HIGH_NS, self._before)

    def _vt_end(self) -> None:
        now = self.clock.now_ns
        lost = "fault" if self.results_lost else "read open" if self._open else ""
        code = self._temperature(now)
        if not lost:
            self.registers[VT_DATA : VT_DATA + 3] = code.to_bytes(3, "big")
            self.registers[STATUS] &= ~2
            self._excerr()
        self._done(now, lost)

    def _excerr(self) -> None:
        self.registers[STATUS] = self.registers[STATUS] & ~8 | (8 if self.excitation_fails else 0)

    def _done(self, now: int, lost: str) -> None:
        """All enabled channels are done: announce it, go on."""
        if not lost:
            self.registers[STATUS] &= ~4
            self._drive(True)
            self._drive(False)
        if self.mode == CONTINUOUS:
            self._sequence(now)
        else:
            self.registers[CONFIG] &= 0xF8
            self._event = self._early = None

    def _measure(self, index: int, start_ns: int, end_ns: int) -> int:
        """Return the 24-bit result of the capacitance between two instants."""
        setup, exc = self.registers[CAP_SETUP], self.registers[EXC_SETUP]
        sign = {1: -1, 2: 1}
        drive = sign.get(exc >> 2 & 3, 0) or sign.get(exc >> 4 & 3, 0)
        cap_f = 0.0
        if drive and not setup & 0x40 and not self.input_open and not self.excitation_fails:
            cap_f = drive * self.world.capacitance_f(start_ns, end_ns)
        step_f = self.spec.capdac_step_ff * 1e-15
        for register, way in ((CAPDAC_A, -1), (CAPDAC_B, 1)):
            if self.registers[register] & 0x80:
                cap_f += way * step_f * (self.registers[register] & 0x7F)
        if self._changed:
            self._changed = False
            cap_f += SETTLE_F
        if self.input_shorted:
            cap_f = 1e-9
        cap_f = as_read(cap_f, self.spec)
        if self.spec.noise:
            rms = NOISE_AF[self.registers[CONFIG] >> 3 & 7] * 1e-18 * self.spec.noise
            cap_f += rms * float(self._noise.normal(index, index + 1)[0])
        cap_f -= (self._word(CAP_OFFSET) - 0x8000) * OFFSET_LSB_F
        cap_f *= (1 + self._word(CAP_GAIN) / 65536) / _FACTORY_GAIN
        return min(0xFFFFFF, max(0, 0x800000 + round(float(cap_f) / LSB_F)))

    def _word(self, register: int) -> int:
        return self.registers[register] << 8 | self.registers[register + 1]

    def _calibrated(self, code: int) -> None:
        """Offset calibration: what is at the input now reads as zero; gain: as full scale."""
        if self.mode == OFFSET_CAL:
            word = self._word(CAP_OFFSET) + round((code - 0x800000) * LSB_F / OFFSET_LSB_F)
            word, register = min(0xFFFF, max(0, word)), CAP_OFFSET
        else:
            span = max(1, code - 0x800000)
            gain = (1 + self._word(CAP_GAIN) / 65536) * 0x7FFFFF / span
            word, register = min(0xFFFF, max(0, round((gain - 1) * 65536))), CAP_GAIN
        self.registers[register : register + 2] = word.to_bytes(2, "big")

    def _temperature(self, now: int) -> int:
        """Return the 24-bit result of the temperature channel."""
        mode = self.registers[VT_SETUP] >> 5 & 3
        if mode == 2:  # VDD monitor: 3.3 V over 6 against 1.17 V
            return 0x800000 + round(3.3 / 6 / 1.17 * 0x800000)
        if mode:  # nothing is connected to the voltage inputs
            return 0x800000
        index, self._count_t = self._count_t, self._count_t + 1
        kelvin = self.spec.temperature_error_k
        if self.spec.temperature_noise_k:
            drawn = float(self._noise_t.normal(index, index + 1)[0])
            kelvin += self.spec.temperature_noise_k * drawn
        if not self.registers[VT_SETUP] & 1:
            kelvin += 2.0  # specified with VTCHOP = 1 only
        return round((self.world.frame_c(now) + kelvin + 4096) * 2048)
