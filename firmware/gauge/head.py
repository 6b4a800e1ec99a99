"""The head: converter and lasers together, brought to one window. Pure but for the sensors.

A window is one conversion: it ends when /RDY falls and began when the one before ended. The
lasers deliver what they measured in it a little later, each at its own pace; the window waits for
them, and conversions that end meanwhile wait in a small queue. When all of it is there, or the
lasers' time is over, `deliver(now)` is called, which finds the window in this object.

    >>> head = Head(hardware, deliver)
    >>> head.configure(words)
    >>> head.work(now)      # in every round: nothing waits, nothing is allocated
    >>> head.look(now)      # between windows

Times are ticks, microseconds modulo 2**30.
"""

from array import array

from micropython import const

from gauge import config, record
from gauge.drivers import ticks_diff
from gauge.drivers.ad7746 import AD7746, CONVERSION_US
from gauge.drivers.optoncdt import MODELS
from gauge.sensors import Capacitance, HeadLaser

_TICKS = const(0x3FFFFFFF)
_LATE_US = const(1_500)  # beyond the latency: a laser that has not delivered the window by then
_ROUND_US = const(15_000)  # of the loop, sleep and all, that the lasers' rings bridge
_ASIDE_US = const(3_000)  # to the end of a conversion: else the converter is left alone
# Before a conversion ends the one before must have been fetched: what USB has to hand over goes
# first, up to 1.5 ms
_FETCH_US = const(3_000)
_BEFORE_US = const(300)  # before /RDY falls interrupts must be on again
_FALLEN_US = const(1_000_000)  # since /RDY fell: the converter does not convert
_WAITING = const(4)  # conversions that may wait for slow lasers to deliver those before
_WAITING_WORDS = const(3)  # ticks of the end, code, encoder

# What the head is taken for while the board has no configuration: raw readings can then be seen,
# no number is computed.
_BARE_LASER = const(0)
_BARE_RATE = const(4000)

# Fields of the record
_DT_US = const(3)
_LOST = const(4)
_CAP_CODE = const(14)
_A_N = const(15)
_A_ERRORS = const(26)
_A_ERROR_CODE = const(27)
_B_N = const(28)
_B_ERRORS = const(39)
_B_ERROR_CODE = const(40)
_LASER_BROKEN = const(2)
record.expect(
    DT_US=_DT_US,
    LOST=_LOST,
    CAP_CODE=_CAP_CODE,
    A_N=_A_N,
    A_ERRORS=_A_ERRORS,
    A_ERROR_CODE=_A_ERROR_CODE,
    B_N=_B_N,
    B_ERRORS=_B_ERRORS,
    B_ERROR_CODE=_B_ERROR_CODE,
    LASER_BROKEN=_LASER_BROKEN,
)


def _latest_us(words):
    """Return when after a window's end a laser must have delivered all of it."""
    latency = max(words[config.A_LATENCY_US], words[config.B_LATENCY_US])
    return latency + 2 * (1_000_000 // words[config.LASER_RATE_HZ]) + _LATE_US


class Head:
    """Converter and lasers of `hardware`; `deliver(now)` is called for every window.

    While it runs, `t_close` is the window's end, `counts` the web encoder then, `lost` the
    conversions since the window before, and `put(rec)` writes the raw fields.
    """

    def __init__(self, hardware, deliver):
        board = hardware.board
        now = hardware.now()
        self._hw = hardware
        self._deliver = deliver
        self.capacitance = Capacitance(
            hardware,
            AD7746(hardware.i2c, board.CAP_ADDRESS, board.CAP_CHANNEL, board.CAP_EXCITATION),
        )
        self.a = self.b = None
        self.pending = False  # a window waits for its lasers
        self.t_close = now
        self.counts = 0
        self.lost = 0
        self.planned = False  # the hole before this window was made on purpose
        self._dt_us = 0
        self._code = 0  # of the window's conversion
        self._begun = False  # there has been a window
        self._deadline = 0
        self._late_us = 0
        self._waiting = array("i", bytes(4 * _WAITING * _WAITING_WORDS))
        self._n_waiting = 0
        self._conversion_us = 0  # length of the last conversion that was measured
        self._read_to = now  # up to here the lasers' rings have been read
        self._ring_us = 0  # what they hold
        self._skip_us = 0  # from here on they must be emptied
        self._keep_us = 0  # what the next window may need of it

    # -- configuration

    def check(self, words):
        """Raise ValueError unless this board can run a head with such words (`gauge.config`)."""
        model, rate = words[config.LASER_MODEL], words[config.LASER_RATE_HZ]
        if model >= len(MODELS):
            raise ValueError("laser_model is %d, not within 0..%d" % (model, len(MODELS) - 1))
        MODELS[model].check_rate(rate)
        longest = CONVERSION_US[words[config.CAP_RATE]] * 17 // 16 + _latest_us(words) + _ROUND_US
        most = self._ring_samples() * 1000 // (longest // 1000 + 1)
        if rate > most:
            raise ValueError(
                "laser_rate_hz is %d: at most %d with conversions this long (cap_rate %d), or the"
                " board's ring runs over" % (rate, most, words[config.CAP_RATE])
            )

    def _ring_samples(self):
        """Return how many distances a laser's rings hold: three bytes and a stamp each."""
        stream = self._hw.lasers[0]
        return min(len(stream.ring) // 3, len(stream.stamps))

    def configure(self, words):
        """Start converter and lasers as the configuration says; None: as they may be."""
        hw = self._hw
        now = hw.now()
        self.pending = False
        self._n_waiting = 0
        if words is None:
            model, rate, sync, latency_a, latency_b = _BARE_LASER, _BARE_RATE, 0, 0, 0
            capf = capdac = 0
            self.capacitance.shielded = False
            self._late_us = _LATE_US
        else:
            mode = words[config.POROSITY_MODE]
            self.capacitance.shielded = mode == config.POROSITY_SHIELDED
            model, rate = words[config.LASER_MODEL], words[config.LASER_RATE_HZ]
            sync = words[config.LASER_SYNC]
            latency_a, latency_b = words[config.A_LATENCY_US], words[config.B_LATENCY_US]
            capf, capdac = words[config.CAP_RATE], words[config.CAPDAC_CODE]
            self._late_us = _latest_us(words)
        baud = hw.board.LASER_BAUD
        self.a = HeadLaser(hw.lasers[0], "A", model, rate, latency_a, sync, baud)
        self.b = HeadLaser(hw.lasers[1], "B", model, rate, latency_b, sync, baud, self.a)
        self.a.start(now)
        self.b.start(now)
        self.capacitance.start(capf, capdac)
        period = self.capacitance.period_us
        self._read_to = hw.now()
        self._ring_us = self._ring_samples() * (1_000_000 // rate)
        self._skip_us = self._ring_us - (self._ring_us >> 2)
        self._keep_us = period + (period >> 4) + self._late_us

    # -- windows

    def find_place(self, now):
        """Before `work`: has the loop stood still so long that the lasers' rings ran over?"""
        if ticks_diff(now, self._read_to) > self._ring_us:
            self.a.find_place(now)
            self.b.find_place(now)
            self._read_to = now

    def work(self, now):
        """Begin a window when a conversion has ended; finish it when the lasers have come."""
        capacitance = self.capacitance
        if capacitance.take(now):
            counts = self._hw.encoder.counts()
            if self.pending:
                self._let_wait(now, capacitance.t_ready, capacitance.code, counts)
            else:
                self._begin_window(capacitance.t_ready, capacitance.code, counts)
        elif capacitance.fault and not self.pending:
            # windows go on without the converter, by the clock
            if ticks_diff(now, self.t_close) >= 2 * capacitance.period_us:
                t_close = (self.t_close - _TICKS - 1 + capacitance.period_us) & _TICKS
                self._begin_window(t_close, capacitance.code, self._hw.encoder.counts())
        if self.pending:
            # looked at twice: while the first look was busy, quick lasers have sent the rest
            done = self._delivered() or self._delivered()
            if done or ticks_diff(now, self._deadline) >= 0:
                self._finish(now)
                if self._n_waiting:
                    self._begin_next()

    def _delivered(self):
        """Take in what the lasers have sent; return whether that was all of the window."""
        a, b = self.a, self.b
        done = not a.streaming or a.window.take()  # one that sends nothing is not waited for
        if b.streaming and not b.window.take():
            return False
        return done

    def _let_wait(self, now, t_close, code, counts):
        """A conversion has ended while the lasers have not delivered the window before."""
        if self._n_waiting == _WAITING:
            self._finish(now)
            self._begin_next()
        waiting = self._waiting
        at = self._n_waiting * _WAITING_WORDS
        waiting[at] = t_close
        waiting[at + 1] = code
        waiting[at + 2] = counts
        self._n_waiting += 1

    def _begin_next(self):
        """Begin the window of the conversion that has waited longest."""
        waiting = self._waiting
        t_close, code, counts = waiting[0], waiting[1], waiting[2]
        self._n_waiting -= 1
        for i in range(self._n_waiting * _WAITING_WORDS):
            waiting[i] = waiting[i + _WAITING_WORDS]
        self._begin_window(t_close, code, counts)

    def _begin_window(self, t_close, code, counts):
        """Open the window that ends at `t_close`, with the converter's `code`."""
        period = self.capacitance.period_us
        dt = ticks_diff(t_close, self.t_close)
        slack = period >> 4  # the converter's clock is off by so much at most
        if dt < period - slack or dt > period + slack:
            # a hole before this conversion: the window is the conversion, not the hole
            if self._begun and dt > period:
                self.lost = (dt + (period >> 1)) // period - 1
            dt = self._conversion_us
            if dt < period - slack or dt > period + slack:
                dt = period  # none has been measured yet, or it was of another rate
        else:
            self._conversion_us = dt
        self._dt_us = dt
        t_open = (t_close - dt) & _TICKS
        self.a.window.open(t_open, t_close)
        self.b.window.open(t_open, t_close)
        self.t_close = t_close
        self._code = code
        self.counts = counts
        # written so that no sum reaches 2**30: that would allocate
        self._deadline = (t_close - _TICKS - 1 + self._late_us) & _TICKS
        self.pending = True

    def _finish(self, now):
        """The window is complete, or its time is over."""
        self.pending = False
        if ticks_diff(self.t_close, self._read_to) > 0:
            self._read_to = self.t_close
        self._deliver(now)
        self._begun = True
        self.lost = 0

    def put(self, rec):
        """Write the window's raw fields into a record."""
        rec[_DT_US] = self._dt_us
        rec[_LOST] = self.lost
        rec[_CAP_CODE] = self._code
        self.a.window.put(rec, _A_N)
        self.b.window.put(rec, _B_N)
        if self.a.count_broken():
            rec[_A_ERRORS] += 1
            rec[_A_ERROR_CODE] = _LASER_BROKEN
        if self.b.count_broken():
            rec[_B_ERRORS] += 1
            rec[_B_ERROR_CODE] = _LASER_BROKEN

    # -- between windows

    def look(self, now):
        """Look after the sensors: start what was lost, lead the lasers' dialogues on."""
        if not self.pending and ticks_diff(now, self._read_to) > self._skip_us:
            self._skip(now)
        self.capacitance.watch(now)
        self.a.poll(now)
        self.b.poll(now)

    def _skip(self, now):
        """A hole in the conversions: keep the rings from running over."""
        to = (now - self._keep_us) & _TICKS
        if ticks_diff(to, self._read_to) > 0:
            self._read_to = to
            self.a.window.skip(to)
            self.b.window.skip(to)

    def has_time(self):
        """Whether there is time to talk to the converter before its conversion ends."""
        capacitance = self.capacitance
        spent = ticks_diff(self._hw.now(), capacitance.t_ready)
        return spent < capacitance.period_us - _ASIDE_US

    def can_wait(self, us):
        """Whether the loop may be away for so long: no result of the converter is overwritten.

        The conversion under way may end meanwhile: its result is there until the next one ends.
        """
        capacitance = self.capacitance
        if capacitance.fault:
            return True
        spent = ticks_diff(self._hw.now(), capacitance.t_ready)
        return spent + us < 2 * capacitance.period_us - _FETCH_US

    def look_after_converter(self):
        """After a window, when `has_time`: the frame temperature."""
        self.planned = self.capacitance.look_after(self._hw.now())

    def is_quiet_for(self, us):
        """Whether interrupts may be off for so long: /RDY will not fall meanwhile."""
        capacitance = self.capacitance
        spent = ticks_diff(self._hw.now(), capacitance.t_ready)
        if capacitance.fault and (spent < 0 or spent > _FALLEN_US):
            return True  # it does not fall at all
        return 0 <= spent < self._conversion_us - _BEFORE_US - us

    def pass_over(self):
        """The board has stood still on purpose: a conversion that ended meanwhile has no time.

        Returns whether there was one.
        """
        if not self.capacitance.pass_over():
            return False
        self.planned = True
        return True
