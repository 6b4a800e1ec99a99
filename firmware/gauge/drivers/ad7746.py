"""AD7745/AD7746: capacitance-to-digital converter, I2C.

Converts continuously; /RDY falls when a result is there, and `read` fetches status, result and all
settings in one transaction (the registers are frozen meanwhile; a conversion that ends within it
is lost, so it is short): a result of a chip whose settings have changed is not one to use, and
would look sound. The CAPDAC, which takes a fixed capacitance off the input, is set once by `start`
and never again: its steps are not calibrated, so reference and measurement must share one.

The chip's temperature (it sits in the head's frame) needs the same converter: `start_temperature`
interrupts the capacitance for one conversion of 20 ms, after which `read` puts everything back by
itself; the first capacitance after that is skipped.

    >>> converter = AD7746(hardware.i2c)
    >>> converter.start(0, 60)  # 11 ms, CAPDAC code 60
    >>> code = converter.read()  # after /RDY has fallen: 1..2**24-2, or a negative code

Capacitance in pF is (code - 0x800000) * 8.192 / 2**24 plus the CAPDAC's share. Registers and
coding: AD7745/AD7746 data sheet Rev. 0, tables 8 to 18 (register map, STATUS, CAP, VT, EXC and
CONFIGURATION registers) and "Capacitive data register", "VT data register".
"""

import time
from array import array

import micropython
from micropython import const

from gauge import drivers
from gauge.drivers import DriverError

_STATUS = const(0x00)
_CAP_SETUP = const(0x07)
_CAP_GAIN = const(0x0F)
_SETTINGS = const(7)  # where CAP_SETUP is in what `read` fetches

_EXCERR = const(0x08)
_RDY_VT = const(0x02)  # 0: new unread data
_RDY_CAP = const(0x01)
_COLDEST_MC = const(-60_000)
_HOTTEST_MC = const(160_000)
_UNREAD = const(0xFF)  # never a STATUS, whose upper half is 0: nothing was read

_CAPEN = const(0x80)
_CIN2 = const(0x40)
_VTEN_INTERNAL = const(0x81)  # internal temperature sensor, VTCHOP as the specification wants
_CONTINUOUS = const(1)
_SINGLE = const(2)

_RESET = b"\xbf"  # not a register: a command
# Excitation A or B in normal phase, amplitude +-VDD/2
_EXCITATION = {"A": 0x0B, "B": 0x23}

# By CAPF. An array, because the ints of a frozen tuple are objects: computing with one allocates.
CONVERSION_US = array("i", (11_000, 11_900, 20_000, 38_000, 62_000, 77_000, 92_000, 109_600))

# States of the converter
_CAPACITANCE = const(0)
_TEMPERATURE = const(1)  # one temperature conversion is under way
_FIRST = const(2)  # the next capacitance is the first one after a change: skip it


@micropython.viper
def _capacitance(buf: ptr8, expect: ptr8) -> int:
    """Take status and capacitance out of `buf`: the code, or a negative one of `gauge.drivers`.

    Behind them are the settings, which must be as `expect` has them.
    """
    status = buf[0]
    buf[0] = _UNREAD
    if status & 0xF0:
        return -3  # NO_ANSWER
    if status & _RDY_CAP:
        return -1  # NOT_READY
    for i in range(6):
        if buf[_SETTINGS + i] != expect[i]:
            return -9  # LOST_SETUP
    if status & _EXCERR:
        return -6  # EXCITATION
    code = buf[1] << 16 | buf[2] << 8 | buf[3]
    if code == 0:
        return -7  # TOO_LOW
    if code == 0xFFFFFF:
        return -8  # TOO_HIGH
    return code


class AD7746:
    """One converter on `i2c`; `channel` is its input (1 or 2), `excitation` its pin (A or B)."""

    def __init__(self, i2c, address=0x48, channel=1, excitation="A"):
        if channel not in (1, 2) or excitation not in _EXCITATION:
            raise ValueError("channel must be 1 or 2 and excitation A or B")
        self._i2c = i2c
        self._read = i2c.readfrom_mem_into  # bound here: the fast path
        self._address = address
        self._cap_setup = _CAPEN | (_CIN2 if channel == 2 else 0)
        self._exc_setup = _EXCITATION[excitation]
        self._state = _CAPACITANCE
        self._buf = bytearray(13)  # status, capacitance, temperature, CAP..CAPDACB
        self._buf[0] = _UNREAD
        self._buf7 = bytearray(7)  # status, capacitance, temperature
        self._capacitance = bytearray(5)  # address and CAP, VT, EXC, CONFIG for capacitance
        self._temperature = bytearray(5)  # and for one temperature
        self._expect = bytearray(6)  # what CAP..CAPDACB must read back
        self._check = bytearray(6)
        self.period_us = CONVERSION_US[0]  # time of one conversion
        self.temperature_mc = 0  # of the last temperature conversion, millidegrees Celsius
        self.temperatures = 0  # how many there were since start()
        self.identity = 0  # factory gain calibration, 16 bits: the chip has no serial number

    def start(self, capf, capdac_code):
        """Reset the chip, set it up, read every setting back and let it convert.

        `capf` is the rate code 0..7 (see CONVERSION_US), `capdac_code` 0..127. Takes less than
        3 ms. Raises ValueError for an argument out of range, DriverError when the chip is absent
        or does not keep what is written.
        """
        if not 0 <= capf <= 7:
            raise ValueError("capf is %d, not within 0..7" % capf)
        if not 0 <= capdac_code <= 127:
            raise ValueError("capdac_code is %d, not within 0..127" % capdac_code)
        self.period_us = CONVERSION_US[capf]
        self.temperatures = 0
        config = capf << 3
        self._capacitance[:] = bytes(
            (_CAP_SETUP, self._cap_setup, 0, self._exc_setup, config | _CONTINUOUS)
        )
        self._temperature[:] = bytes(
            (_CAP_SETUP, 0, _VTEN_INTERNAL, self._exc_setup, config | _SINGLE)
        )
        self._expect[:] = bytes(self._capacitance[1:]) + bytes((0x80 | capdac_code, 0))
        self._write(_RESET)
        time.sleep_us(300)  # it does not answer for 200 us
        self._write(bytes((0x0B, 0x80 | capdac_code, 0)))
        self._write(self._capacitance)
        self._state = _FIRST
        code = self.verify()
        if code == drivers.LOST_SETUP:
            self._raise_difference()
        if code < 0:
            raise DriverError(self._named(drivers.fault_text(code)))
        self.identity = self._fetch_identity()

    def _fetch_identity(self):
        try:
            return int.from_bytes(self._i2c.readfrom_mem(self._address, _CAP_GAIN, 2), "big")
        except OSError:
            return 0  # told when it is read next

    def verify(self):
        """Read the settings back: 0, or LOST_SETUP when they are not as start() left them.

        Returns NOT_READY while a temperature is being converted, or the bus's code. Takes 0.3 ms:
        call it right after `read`, far from the end of a conversion. No allocation.
        """
        if self._state == _TEMPERATURE:
            return drivers.NOT_READY
        check = self._check
        check[1] = 0xFF  # VT_SETUP, which is 0: tells whether anything was read at all
        try:
            self._read(self._address, _CAP_SETUP, check)
        except OSError as error:
            return drivers.bus_code(error)
        return 0 if check == self._expect else drivers.LOST_SETUP

    def read(self):
        """Fetch the result of the last conversion: 1..2**24 - 2, or a negative code.

        NOT_READY: there is none (it is safe to ask without /RDY; when none comes for five
        conversions, start() again). SKIPPED: it was the first one after a change, or a
        temperature, now in `temperature_mc`. Others: see `gauge.drivers`.
        One transaction, 0.4 ms at 400 kHz. No allocation.
        """
        if self._state == _TEMPERATURE:
            return self._read_temperature()
        buf = self._buf
        try:
            self._read(self._address, _STATUS, buf)
        except OSError as error:
            return drivers.bus_code(error)
        code = _capacitance(buf, self._expect)
        if self._state == _FIRST and code != drivers.NOT_READY and code != drivers.NO_ANSWER:
            self._state = _CAPACITANCE
            return drivers.SKIPPED
        return code

    def start_temperature(self):
        """Begin one temperature conversion (20 ms); returns 0 or a negative code.

        `read` takes it in when /RDY falls and goes back to capacitance; two results are SKIPPED,
        so that a capacitance is missing for about three conversions. No allocation.
        """
        if self._state != _CAPACITANCE:
            return drivers.NOT_READY
        code = self._put(self._temperature)
        if code == 0:
            self._state = _TEMPERATURE
        return code

    def _read_temperature(self):
        buf = self._buf7
        buf[0] = _UNREAD
        try:
            self._read(self._address, _STATUS, buf)
        except OSError as error:
            return drivers.bus_code(error)
        if buf[0] & 0xF0:
            return drivers.NO_ANSWER
        if buf[0] & _RDY_VT:
            return drivers.NOT_READY
        # T = code / 2048 - 4096 degrees, kept below 2**30
        code = (buf[4] << 16 | buf[5] << 8 | buf[6]) - 0x800000
        mc = (code * 125) >> 8
        code = self._put(self._capacitance)
        if code < 0:
            return code
        self._state = _FIRST
        if not _COLDEST_MC <= mc <= _HOTTEST_MC:
            return drivers.CHECKSUM  # the chip has none: no head was ever so cold or hot
        self.temperature_mc = mc
        self.temperatures += 1
        return drivers.SKIPPED

    def _put(self, data):
        """Write `data` (address first); 0 or a negative code.

        The count of acknowledged bytes is compared, because a byte refused in the middle raises
        nothing.
        """
        try:
            count = self._i2c.writeto(self._address, data)
        except OSError as error:
            return drivers.bus_code(error)
        return 0 if count == len(data) else drivers.NO_ANSWER

    def _write(self, data):
        code = self._put(data)
        if code < 0:
            raise DriverError(self._named(drivers.fault_text(code)))

    def _raise_difference(self):
        for i in range(6):
            if self._check[i] != self._expect[i]:
                raise DriverError(
                    self._named(
                        "register 0x%02x reads 0x%02x after 0x%02x was written: not an AD7746, or"
                        " a disturbed bus (pull-ups, cable length)"
                        % (_CAP_SETUP + i, self._check[i], self._expect[i])
                    )
                )

    def _named(self, text):
        return "AD7746 at 0x%02x: %s" % (self._address, text)
