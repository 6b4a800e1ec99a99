"""SHT40/SHT41/SHT45: relative humidity and temperature of the air in the head, I2C.

A measurement is commanded and fetched later: the chip refuses its address until it has finished
(8.3 ms), so nobody waits for it.

    >>> climate = SHT4x(hardware.i2c)
    >>> climate.start()  # once: reset, serial number
    >>> climate.begin(now)
    0
    >>> climate.poll(now)  # with each round: NOT_READY, 0 when new values are there, or a fault
    0
    >>> climate.air_mc, climate.rh_ppm
    (23010, 456000)

Air temperature in millidegrees Celsius, humidity in ppm of relative humidity (10 000 is 1 %RH).
Commands, conversion and checksum: SHT4x data sheet, sections 4.4 (checksum), 4.5 (commands) and
4.6 (conversion of signal output).
"""

import time

import micropython
from micropython import const

from gauge import drivers
from gauge.drivers import DriverError

_MEASURE = b"\xfd"  # high repeatability, at most 8.3 ms
_SERIAL = b"\x89"
_RESET = b"\x94"

_MEASURE_US = const(9_000)  # not asked before
_TIMEOUT_US = const(30_000)  # still refusing: it has lost the command, or its supply

_IDLE = const(0)
_MEASURING = const(1)


@micropython.viper
def _checksum(buf: ptr8, at: int) -> int:
    """CRC-8 of two bytes: polynomial 0x31, initial value 0xFF."""
    crc = 0xFF
    for i in range(2):
        crc ^= buf[at + i]
        for _ in range(8):
            crc <<= 1
            if crc & 0x100:
                crc ^= 0x131
    return crc


class SHT4x:
    """One sensor on `i2c`."""

    def __init__(self, i2c, address=0x44):
        self._i2c = i2c
        self._address = address
        self._buf = bytearray(6)  # temperature, checksum, humidity, checksum
        self._state = _IDLE
        self._begun = 0  # ticks of the last command
        self.serial_high = 0  # upper 16 bits of the serial number
        self.serial_low = 0  # lower 16 bits
        self.air_mc = 0  # -45000..130000
        self.rh_ppm = 0  # 0..1000000
        self.readings = 0  # how many there were since start()

    def start(self):
        """Reset the chip and read its serial number, which proves address, wiring and checksum.

        Takes 3 ms. Raises DriverError when it is absent or its bytes are damaged.
        """
        self._state = _IDLE
        self.readings = 0
        self._command(_RESET)
        time.sleep_ms(2)
        self._command(_SERIAL)
        time.sleep_ms(2)
        code = self._fetch()
        if code < 0:
            raise DriverError(self._named(code))
        buf = self._buf
        self.serial_high = buf[0] << 8 | buf[1]
        self.serial_low = buf[3] << 8 | buf[4]

    @property
    def serial(self):
        """The serial number, 32 bits (allocates)."""
        return self.serial_high << 16 | self.serial_low

    def begin(self, now):
        """Command a measurement at `now` (ticks); 0 or a negative code. No allocation."""
        self._state = _IDLE
        code = self._put(_MEASURE)
        if code == 0:
            self._state = _MEASURING
            self._begun = now
        return code

    def poll(self, now):
        """Fetch the measurement if it is due: 0 when there are new values, or a negative code.

        NOT_READY: under way, or none was begun. After a fault the next `begin` starts afresh, so
        that a sensor that was unplugged comes back by itself. No allocation.
        """
        if self._state == _IDLE:
            return drivers.NOT_READY
        elapsed = drivers.ticks_diff(now, self._begun)
        if 0 <= elapsed < _MEASURE_US:
            return drivers.NOT_READY
        code = self._fetch()
        if code == drivers.NO_ANSWER and 0 <= elapsed < _TIMEOUT_US:
            return drivers.NOT_READY
        self._state = _IDLE
        if code < 0:
            return code
        buf = self._buf
        # T = -45 + 175 raw / 65535, RH = -6 + 125 raw / 65535, every product below 2**30
        raw = 175 * (buf[0] << 8 | buf[1])
        self.air_mc = raw // 65535 * 1000 + (raw % 65535 * 1000 + 32767) // 65535 - 45_000
        raw = 125 * (buf[3] << 8 | buf[4])
        rh_ppm = raw // 65535 * 10_000 + (raw % 65535 * 10_000 + 32767) // 65535 - 60_000
        self.rh_ppm = min(max(rh_ppm, 0), 1_000_000)
        self.readings += 1
        return 0

    def _fetch(self):
        """Read two words with their checksums; 0 or a negative code."""
        buf = self._buf
        try:
            self._i2c.readfrom_into(self._address, buf)
        except OSError as error:
            return drivers.bus_code(error)
        if _checksum(buf, 0) != buf[2] or _checksum(buf, 3) != buf[5]:
            return drivers.CHECKSUM
        return 0

    def _put(self, data):
        try:
            count = self._i2c.writeto(self._address, data)
        except OSError as error:
            return drivers.bus_code(error)
        return 0 if count == len(data) else drivers.NO_ANSWER

    def _command(self, data):
        code = self._put(data)
        if code < 0:
            raise DriverError(self._named(code))

    def _named(self, code):
        return "SHT4x at 0x%02x: %s" % (self._address, drivers.fault_text(code))
