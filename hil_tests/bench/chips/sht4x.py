"""SHT4x, humidity and temperature, I2C address 0x44 (Sensirion data sheet; sensors.md section 5).

Commands of one byte; a read is not acknowledged until the measurement is done, nor without one;
every two bytes carry a CRC. Heater commands take their time and measure, but heat nothing.
"""

from __future__ import annotations

from .. import noise
from ..clock import Clock
from ..scenario import Scenario
from ..world import World

# command: longest duration in ms by the data sheet
_MEASURE = {0xFD: 8.3, 0xF6: 4.5, 0xE0: 1.7}
_HEATER = {0x39: 1100, 0x32: 110, 0x2F: 1100, 0x24: 110, 0x1E: 1100, 0x15: 110}
_SERIAL, _RESET = 0x89, 0x94
TYPICAL = 0.85  # share of the longest duration that this one takes
_POWER_UP_NS = 1_000_000


def crc8(data: bytes) -> int:
    """CRC of polynomial 0x31, initial value 0xFF.

    >>> hex(crc8(bytes.fromhex("beef")))
    '0x92'
    """
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


class SHT4x:
    """The chip. `crc_fails` is a fault by script."""

    ADDRESS = 0x44

    def __init__(self, clock: Clock, world: World, scenario: Scenario):
        self.clock, self.world, self.spec = clock, world, scenario.climate
        self.crc_fails = False
        self.serial = (0x50470000 + scenario.run.seed) & 0xFFFFFFFF
        self._noise = noise.Noise(scenario.run.seed, noise.CLIMATE)
        self._count = 0
        self.power_up()

    def power_up(self) -> None:
        """Forget everything, as after a loss of supply."""
        self._ready_ns = self.clock.now_ns + _POWER_UP_NS
        self._reply = b""
        self._at = 0

    def start(self, read: bool) -> bool:
        if self.clock.now_ns < self._ready_ns:
            return False
        self._at = 0
        return bool(self._reply) if read else True

    def write(self, byte: int) -> bool:
        now = self.clock.now_ns
        self._reply = b""
        if byte in _MEASURE or byte in _HEATER:
            ms = TYPICAL * _MEASURE.get(byte, 0) or _HEATER[byte]
            self._ready_ns = now + round(ms * 1e6)
            self._reply = self._measure(self._ready_ns)
        elif byte == _SERIAL:
            self._ready_ns = now + 1_000_000
            self._reply = self._words(self.serial >> 16, self.serial & 0xFFFF)
        elif byte == _RESET:
            self.power_up()
        else:
            return False
        return True

    def read(self) -> int:
        if self._at >= len(self._reply):
            return 0xFF
        self._at += 1
        return self._reply[self._at - 1]

    def stop(self) -> None:
        if self._at:  # what was read is gone
            self._reply, self._at = b"", 0

    def _measure(self, t_ns: int) -> bytes:
        index, self._count = 2 * self._count, self._count + 1
        air, rh = self._noise.normal(index, index + 2)
        air = self.world.air_c(t_ns) + float(air) * self.spec.air_noise_c
        rh = self.world.rh_percent(t_ns) + float(rh) * self.spec.rh_noise_percent
        raw = round((air + 45) / 175 * 65535), round((rh + 6) / 125 * 65535)
        return self._words(*(min(65535, max(0, word)) for word in raw))

    def _words(self, *words: int) -> bytes:
        data = b""
        for word in words:
            pair = word.to_bytes(2, "big")
            data += pair + bytes([crc8(pair) ^ (0x5A if self.crc_fails else 0)])
        return data
