"""The sensors as the application sees them: each starts, is watched, and comes back by itself.

One bad sensor never stops the others: a start that fails is tried again later, its text is kept
for the host, and what the sensor would have said is told as a fault. What runs with every round
allocates nothing while the sensor is well.

Times are ticks (microseconds modulo 2**30), as `hardware.now()` gives them.
"""

from micropython import const

from gauge import drivers
from gauge.drivers import DriverError, ticks_diff
from gauge.drivers.optoncdt import MODELS, Laser, error_name
from gauge.windows import LaserWindow

_RETRY_US = const(500_000)  # between two attempts to start a sensor
_CLIMATE_US = const(1_000_000)  # between two readings of air temperature and humidity
_TEMPERATURE_US = const(60_000_000)  # between two frame temperatures (each costs 3 conversions)
_MISSING = const(5)  # conversions without /RDY before the converter counts as lost
_SILENT_US = const(200_000)  # without a byte, a laser counts as lost and is configured anew
# part of each laser in the synchronisation, by laser_sync
_ROLES = {
    "A": ("free", "master", "master_alternating"),
    "B": ("free", "slave", "slave_alternating"),
}
_FAILURES = const(3)  # failed readings in a row before the climate sensor counts as lost


def _of_electrodes(code):
    """Whether a fault lies in the electrodes: the converter itself is well and goes on."""
    return drivers.TOO_HIGH <= code <= drivers.EXCITATION


class Capacitance:
    """The converter: `code` of the newest conversion, `fault` (0 or a negative code)."""

    def __init__(self, hardware, chip):
        self._hardware = hardware
        self._chip = chip
        self._seen = 0
        self._last = 0  # ticks of the last /RDY or start
        self._tried = 0
        self._warmed = 0
        self._capf = 0
        self._capdac = 0
        self._retry_us = _RETRY_US
        self._unseen = False  # a result was there of which /RDY had not told
        self.shielded = False  # a film takes all capacitance away: the lower end is no fault
        self.fault = drivers.NOT_READY
        self.text = ""
        self.errors = 0
        self.code = 0
        self.t_ready = 0  # ticks of the fall of /RDY that belongs to `code`
        self.period_us = chip.period_us  # nominal time of one conversion
        self.warm = False  # whether there has been a frame temperature since the start
        self.frame_mc = 0  # the newest one, thousandths of a degree Celsius

    def start(self, capf, capdac):
        """Set up and start the chip now; a failure is kept as fault and tried again later."""
        self._capf = capf
        self._capdac = capdac
        now = self._hardware.now()
        self._tried = now
        self._last = now
        self._warmed = (now - _TEMPERATURE_US) & 0x3FFFFFFF  # a first temperature soon
        self._seen = self._hardware.ready.words[0]
        try:
            self._chip.start(capf, capdac)
            self.period_us = self._chip.period_us
            # it takes some conversions to see whether the attempt has helped
            self._retry_us = _RETRY_US + _MISSING * self.period_us
            self.fault = drivers.NOT_READY  # until a conversion comes
            self.text = ""
        except DriverError as error:
            self._fail(drivers.NO_ANSWER, error.fault)
        except OSError as error:
            self._fail(drivers.bus_code(error), drivers.fault_text(drivers.bus_code(error)))

    def has_fallen(self):
        """Whether /RDY has fallen since the result before was fetched."""
        return self._hardware.ready.words[0] != self._seen

    def take(self, now):
        """Fetch a new conversion; return True when `code` is one to make a window of."""
        words = self._hardware.ready.words
        count = words[0]
        if count == self._seen:
            return False
        self._seen = count
        t_ready = words[1 + ((count - 1) & 15)]
        apart = ticks_diff(t_ready, words[1 + ((count - 2) & 15)])
        self._last = now
        self._unseen = False
        code = self._chip.read()
        if words[0] != count:  # one more has ended just now: nobody knows of which the result is
            self._seen = words[0]
            return False
        if self.fault == drivers.LOST_SETUP:
            return False  # it converts, but not what was set: no reading until it is set up anew
        if code == drivers.SKIPPED and self._chip.temperatures:
            self.warm = True
            self.frame_mc = self._chip.temperature_mc
        if code == drivers.NOT_READY or code == drivers.SKIPPED:
            return False
        if code == drivers.TOO_LOW and self.shielded:
            code = 0
        if code < 0:
            if _of_electrodes(code):
                self.fault = code
                self.errors += 1
                self.code = 0
                self.t_ready = t_ready
                return self._is_end(apart)
            self._fail(code, drivers.fault_text(code))
            return False
        if self.fault and not _of_electrodes(self.fault):
            self.fault = 0
            return False  # nobody knows whether this fall of /RDY was a conversion's end
        if not self._is_end(apart):
            return False
        self.fault = 0
        self.code = code
        self.t_ready = t_ready
        self._tried = (now - self._retry_us) & 0x3FFFFFFF  # when it fails: start again at once
        return True

    def _is_end(self, apart):
        """Whether a conversion ended when /RDY fell, `apart` us after it had fallen before.

        It falls between two ends when its wire is joined again, or the chip was set up anew: the
        result then belongs to another time.
        """
        off = apart - self.period_us
        most = self.period_us >> 4
        return -most <= off <= most

    def pass_over(self):
        """Forget a conversion that ended while interrupts were off: nobody knows when it did.

        Returns whether there was one.
        """
        count = self._hardware.ready.words[0]
        if count == self._seen:
            return False
        self._seen = count
        return True

    @property
    def identity(self):
        """Tells one chip from another, 16 bits; 0: not known."""
        return self._chip.identity

    def why(self):
        """Return what is wrong, for people; empty: nothing."""
        if _of_electrodes(self.fault):
            return drivers.fault_text(self.fault)
        return self.text if self.fault else ""

    def look_after(self, now):
        """A slow duty, right after a window: the frame temperature.

        Returns True when a hole in the conversions was begun on purpose.
        """
        if not self.fault and ticks_diff(now, self._warmed) >= _TEMPERATURE_US:
            self._warmed = now
            return self._chip.start_temperature() == 0
        return False

    def watch(self, now):
        """Start a lost converter again; notice one from which no conversion comes."""
        if drivers.is_fault(self.fault) and not _of_electrodes(self.fault):
            if ticks_diff(now, self._tried) >= self._retry_us:
                if self.fault == drivers.BUS_STUCK or self.fault == drivers.NO_ANSWER:
                    self._hardware.free_i2c()  # a chip that lost a clock may hold SDA
                self.start(self._capf, self._capdac)
        elif ticks_diff(now, self._last) > _MISSING * self._chip.period_us:
            # a fall of /RDY may have been missed: a read makes the chip raise it again
            code = self._chip.read()
            self._last = now
            if code == drivers.NOT_READY or drivers.is_fault(code):
                self._fail(drivers.NO_ANSWER, "no conversion ends: check its supply")
            elif self._unseen and self._hardware.ready.level():
                self._fail(drivers.NO_ANSWER, "/RDY does not fall: check its wire to the board")
            elif self._unseen:
                self._fail(drivers.NO_ANSWER, "/RDY stays low: its wire is shorted to ground")
            self._unseen = True

    def _fail(self, code, text):
        self.fault = code
        self.text = text
        self.errors += 1
        self.code = 0


class Climate:
    """Air temperature and humidity of the head; `fault` is 0 or a negative code."""

    def __init__(self, chip):
        self.chip = chip
        self._began = 0
        self._failures = _FAILURES
        self._started = False
        self.known = False  # whether there has been a reading
        self.air_mc = 0  # air temperature, thousandths of a degree Celsius
        self.rh_ppm = 0  # relative humidity, 10 000 per %RH
        self.fault = drivers.NOT_READY
        self.text = ""
        self.errors = 0

    def start(self, now):
        """Identify the chip; a failure is kept as fault and tried again."""
        self._began = now
        try:
            self.chip.start()
            self._started = True
            self.chip.begin(now)
        except DriverError as error:
            self._fail(drivers.NO_ANSWER)
            self.text = error.fault

    def why(self):
        """Return what is wrong, for people; empty: nothing."""
        return self.text if self.fault else ""

    def poll(self, now):
        """Take in a finished reading and begin the next one when it is time."""
        if self._started:
            code = self.chip.poll(now)
            if code == 0:
                self.fault = 0
                self.text = ""
                self._failures = 0
                self.known = True
                self.air_mc = self.chip.air_mc
                self.rh_ppm = self.chip.rh_ppm
            elif drivers.is_fault(code):
                self._fail(code)
        if ticks_diff(now, self._began) >= _CLIMATE_US:
            self._began = now
            if not self._started:
                self.start(now)
            else:
                code = self.chip.begin(now)
                if drivers.is_fault(code):
                    self._fail(code)

    def _fail(self, code):
        self.errors += 1
        self._failures += 1
        if self._failures >= _FAILURES:
            self.fault = code
            self.text = drivers.fault_text(code)


class HeadLaser:
    """One laser: dialogue until it streams, its window, and what is wrong with it.

    `name` is its place in the head, A or B; `model` its index in `optoncdt.MODELS`; `sync` as the
    configuration's laser_sync; `master` the other HeadLaser if this one samples on its clock.
    A slave whose master is gone runs on its own clock until the master is back.
    """

    def __init__(self, stream, name, model, rate_hz, latency_us, sync, baud, master=None):
        kind = MODELS[model]
        self._stream = stream
        self._laser = Laser(stream, kind, name)
        self._rate_hz = rate_hz
        self._role = _ROLES[name][sync] if kind.sync else None
        self._master = master if kind.sync and sync else None
        self._alone = False  # a slave on its own clock
        self._laser.configure(rate_hz, self._role)
        self._heard = 0
        self._head = 0
        self.streaming = False  # whether it is set up and sends distances
        self.window = LaserWindow(
            stream, latency_us, kind.max_code, (10_000_000 + baud // 2) // baud
        )
        self.text = ""
        self.errors = 0  # times that the laser was lost, and broken characters

    def start(self, now):
        """Begin the dialogue that sets the laser up; `poll` leads it on."""
        self.streaming = False
        self._laser.begin(now)

    @property
    def serial(self):
        """The laser's serial number; 0: not known."""
        return self._laser.serial

    def why(self, code):
        """Return what is wrong, for people; empty: nothing. `code`: the newest window's error."""
        if not self.streaming:
            return self.text or "is being set up"
        return error_name(code) if code else ""

    def poll(self, now):
        """Lead the dialogue on, or notice that a streaming laser has fallen silent."""
        if not self.streaming:
            code = self._laser.poll(now)
            if code == 0:
                self.streaming = True
                self.window.restart()
                self._head = self._stream.head()
                self._heard = now
                self.text = ""
            elif drivers.is_fault(code) and not self.text:
                self.errors += 1
                self.text = self._laser.fault
            return
        head = self._stream.head()
        if self._alone and self._master.streaming:
            self._change_clock(False)
            self.start(now)
        elif head != self._head:
            self._head = head
            self._heard = now
        elif ticks_diff(now, self._heard) > _SILENT_US:
            self.errors += 1
            self.text = "laser has fallen silent: check its supply and the RS-422 pair"
            if self._master is not None:
                self._change_clock(not self._master.streaming)
            self.start(now)

    def find_place(self, now):
        """Begin the stream anew: its ring has run over, so that bytes and times do not match."""
        if self.streaming:
            self._stream.start()
            self.window.restart()
            self._head = self._stream.head()
            self._heard = now
            self.errors += 1

    def _change_clock(self, alone):
        """Let the next dialogue give a slave its own clock, or its master's."""
        self._alone = alone
        self._laser.configure(self._rate_hz, "free" if alone else self._role)

    def count_broken(self):
        """Add framing and overrun errors of the line since the last call; return how many."""
        n = self._stream.errors()
        if n:
            self.errors = (self.errors + n) & 0x3FFFFFFF
        return n
