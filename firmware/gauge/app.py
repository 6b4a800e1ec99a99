"""The instrument: one loop that turns conversions into records, and the wiring of all rooms.

A round of the loop: fetch the converter's result when /RDY has fallen, take in what the lasers
have sent, finish the window when both lasers have delivered it, look after slow sensors and
buttons, let the link send and receive, feed the watchdog, sleep. Only a whole round feeds the
watchdog. In steady state a round allocates nothing.

    from gauge.app import App
    from gauge.hw import Hardware

    App(Hardware()).run()

Units are those of `gauge.record`; times are ticks, microseconds modulo 2**30.
"""

import gc
from array import array

import micropython
from micropython import const

from gauge import VERSION, config, health, record
from gauge.commands import Commands
from gauge.drivers import ticks_diff
from gauge.drivers.ad7746 import AD7746, CONVERSION_US
from gauge.drivers.optoncdt import MODELS
from gauge.drivers.sht4x import SHT4x
from gauge.film import Film
from gauge.hw import Hardware
from gauge.inputs import Button
from gauge.judge import Judge
from gauge.link import protocol
from gauge.link.commands import ConfigTransfer
from gauge.link.session import BoardSession
from gauge.sensors import Capacitance, Climate, HeadLaser
from gauge.standardise import Standardiser
from gauge.state import Machine

_CONFIG_FILE = "config"
_REFERENCE_FILE = "reference"
_TICKS = const(0x3FFFFFFF)
_LATE_US = const(1_500)  # beyond the latency: a laser that has not delivered the window by then
_ROUND_US = const(15_000)  # of the loop, sleep and all, that the lasers' rings bridge
# Longest sleep of a round: /RDY and bytes of the host end it sooner, so that a round for slow
# duties alone is rare
_SLEEP_MS = const(10)
_LASERS_MS = const(1)  # the same while a window waits for its lasers
_DUTIES_US = const(5_000)  # longest pause of the slow duties while windows wait for their lasers
_ASIDE_US = const(3_000)  # to the end of a conversion: else the converter is left alone
_WAITING = const(4)  # conversions that may wait for slow lasers to deliver those before
_MOST_COUNTS = const(1_000_000)  # of the encoder, to be multiplied by 1000
_WAITING_WORDS = const(3)  # ticks of the end, code, encoder
_HEARTBEAT_US = const(500_000)
_LEAVE_US = const(200_000)  # longest wait for a last reply to leave
_RING_LEAST = const(8192)
_HEAP_RESERVE = const(20480)  # for all that is built after the ring
_SEQ_END = const(0x3FFFFFF0)
# Fields, states, reasons and flags of the record that every window needs
_AIR_MC = const(42)
_A_N = const(15)
_B_N = const(28)
_CAP_CODE = const(14)
_DT_US = const(3)
_FLAGS = const(9)
_FLAG_CALIBRATION_MISSING = const(524288)
_FLAG_CAPACITANCE_FAULT = const(16384)
_FLAG_ENVIRONMENT_FAULT = const(32768)
_FLAG_LASER_A_FAULT = const(4096)
_FLAG_LASER_B_FAULT = const(8192)
_FLAG_OVERRUN = const(65536)
_FLAG_RECORD_GAP = const(2097152)
_FLAG_WATCHDOG_RESTART = const(4194304)
_FRAME_MC = const(41)
_LOST = const(4)
_OUTPUTS = const(11)
_OUT_GOOD = const(1)
_OUT_HEARTBEAT = const(4)
_OUT_MARKER = const(2)
_POSITION_COUNTS = const(12)
_POSITION_MM = const(13)
_REASON = const(8)
_REASON_CALIBRATION_MISSING = const(8)
_REASON_EDGE_OF_FILM = const(11)
_REASON_NO_FILM = const(2)
_RH_PPM = const(43)
_SEQ = const(0)
_STATE = const(5)
_STATE_HOLD = const(4)
_STATE_MEASURING = const(3)
_STATE_OFF_SHEET = const(1)
_STATE_REASON = const(6)
_STATE_STANDARDISING = const(2)
_STATE_WARM_UP = const(0)
_T_S = const(1)
_T_US = const(2)
_VALID = const(7)
_A_ERRORS = const(26)
_A_ERROR_CODE = const(27)
_B_ERRORS = const(39)
_B_ERROR_CODE = const(40)
_LASER_BROKEN = const(2)
record.expect(
    LASER_BROKEN=_LASER_BROKEN,
    B_ERROR_CODE=_B_ERROR_CODE,
    B_ERRORS=_B_ERRORS,
    A_ERROR_CODE=_A_ERROR_CODE,
    A_ERRORS=_A_ERRORS,
    AIR_MC=_AIR_MC,
    A_N=_A_N,
    B_N=_B_N,
    CAP_CODE=_CAP_CODE,
    DT_US=_DT_US,
    FLAGS=_FLAGS,
    FLAG_CALIBRATION_MISSING=_FLAG_CALIBRATION_MISSING,
    FLAG_CAPACITANCE_FAULT=_FLAG_CAPACITANCE_FAULT,
    FLAG_ENVIRONMENT_FAULT=_FLAG_ENVIRONMENT_FAULT,
    FLAG_LASER_A_FAULT=_FLAG_LASER_A_FAULT,
    FLAG_LASER_B_FAULT=_FLAG_LASER_B_FAULT,
    FLAG_OVERRUN=_FLAG_OVERRUN,
    FLAG_RECORD_GAP=_FLAG_RECORD_GAP,
    FLAG_WATCHDOG_RESTART=_FLAG_WATCHDOG_RESTART,
    FRAME_MC=_FRAME_MC,
    LOST=_LOST,
    OUTPUTS=_OUTPUTS,
    OUT_GOOD=_OUT_GOOD,
    OUT_HEARTBEAT=_OUT_HEARTBEAT,
    OUT_MARKER=_OUT_MARKER,
    POSITION_COUNTS=_POSITION_COUNTS,
    POSITION_MM=_POSITION_MM,
    REASON=_REASON,
    REASON_CALIBRATION_MISSING=_REASON_CALIBRATION_MISSING,
    REASON_EDGE_OF_FILM=_REASON_EDGE_OF_FILM,
    REASON_NO_FILM=_REASON_NO_FILM,
    RH_PPM=_RH_PPM,
    SEQ=_SEQ,
    STATE=_STATE,
    STATE_HOLD=_STATE_HOLD,
    STATE_MEASURING=_STATE_MEASURING,
    STATE_OFF_SHEET=_STATE_OFF_SHEET,
    STATE_REASON=_STATE_REASON,
    STATE_STANDARDISING=_STATE_STANDARDISING,
    STATE_WARM_UP=_STATE_WARM_UP,
    T_S=_T_S,
    T_US=_T_US,
    VALID=_VALID,
)
# States in which no number is to be expected, whatever else may be wrong
_OWN_REASON = (_STATE_WARM_UP, _STATE_HOLD, _STATE_STANDARDISING)

# What the head is taken for while the board has no configuration: raw readings can then be seen,
# no number is computed.
_BARE_LASER = const(0)
_BARE_RATE = const(4000)
# Climate for which a recipe's permittivity is stated: taken as long as the sensor has said nothing
_NORMAL_AIR_MC = const(23_000)
_NORMAL_RH_PPM = const(500_000)


def _room_for_ring(wanted):
    """Return how many bytes the ring of records may have, `wanted` if there is room for them.

    Modules that are not frozen but lie in the file system take most of a small board's memory.
    """
    while wanted > _RING_LEAST:
        gc.collect()
        try:
            bytearray(wanted + _HEAP_RESERVE)
            break
        except MemoryError:
            wanted -= 4096
    gc.collect()
    return wanted


class App:
    """The whole instrument on `hardware` (see `gauge.hw`)."""

    def __init__(self, hardware):
        self.hw = hardware
        board = hardware.board
        hardware.outputs.all_off()
        self.rec = record.new()
        self.machine = Machine()
        self.session = BoardSession(
            _room_for_ring(board.LINK_RING_BYTES),
            {"device_id": hardware.unique_id(), "board": board.NAME, "firmware": VERSION},
            hardware.boot_id(),
            Commands(self),
            ConfigTransfer(config.BLOB_BYTES, self._blob, self._commit),
        )
        self._transports = tuple(t for t in (hardware.usb, hardware.uart) if t is not None)
        self.capacitance = Capacitance(
            hardware,
            AD7746(hardware.i2c, board.CAP_ADDRESS, board.CAP_CHANNEL, board.CAP_EXCITATION),
        )
        self.climate = Climate(SHT4x(hardware.i2c, board.CLIMATE_ADDRESS))
        self.a = self.b = None
        self.film = self.judge = self.standardiser = None
        self._config_blob = None
        self.config_fault = "the board has no configuration: push a recipe"
        self._standardise_button = Button(hardware.inputs.standardise)
        self._acknowledge_button = Button(hardware.inputs.acknowledge)
        self.seq = 0
        self._pending = False  # a window waits for its lasers
        self._finished = False  # one was finished in this round
        self._deadline = 0
        self._duties_at = hardware.now()
        self._waiting = array("i", bytes(4 * _WAITING * _WAITING_WORDS))
        self._n_waiting = 0
        self._code = 0  # of the window's conversion
        self._conversion_us = 0  # length of the last conversion that was measured
        self._read_to = hardware.now()  # up to here the lasers' rings have been read
        self._ring_us = 0  # what they hold
        self._skip_us = 0  # from here on they must be emptied
        self._keep_us = 0  # what the next window may need of it
        self._t_close = hardware.now()
        self._lost = 0  # conversions since the window before
        self._planned = False  # the hole before this window is a frame temperature
        self._late_us = 0
        self._dropped = 0  # records that the ring had dropped at the last window
        self._counts = 0
        self._mm = 0
        self._frame_mc = 0
        self._air_mc = 0
        self._rh_ppm = 0
        self._counts_rest = 0
        self._counts_per_m = 0
        self._beat = False
        self._beaten = hardware.now()
        self._warm_up_s = 0
        self._covered = False  # film covers the electrodes
        self._edge_mm = 0  # position of the web at which there was no film yet
        self._electrode_mm = 0
        self._keep_reference = False
        self._boot_flags = 0
        cause = hardware.reset_cause()
        self.reset_cause = health.RESET_CAUSES.index(cause)
        if cause == "watchdog":
            self._boot_flags = _FLAG_WATCHDOG_RESTART
        self.words = None
        self._leaving = 0
        self._leave_at = 0
        self._round_at = hardware.now()
        self.round_max_us = 0
        self.lost = 0
        clock = self.session.clock
        clock.update(0)  # time zero is that of the ticks: power-up
        now = hardware.now()
        clock.update(now >> 1)  # in two steps: each less than half of the ticks' circle
        clock.update(now)
        self._configure(self._stored_words())

    # -- configuration

    def _stored_words(self):
        blob = self.hw.store.read(_CONFIG_FILE)
        if blob is None:
            return None
        try:
            words = self._checked(blob)
        except ValueError as error:
            self.config_fault = "stored configuration refused: %s" % error
            return None
        self._config_blob = blob
        return words

    def _blob(self):
        """Return the configuration in force as its blob, None when there is none."""
        return self._config_blob

    def _commit(self, blob):
        """Check, store and use a configuration; raises ValueError with what is wrong."""
        words = self._checked(blob)
        self.hw.store.write(_CONFIG_FILE, blob)
        self._config_blob = bytes(blob)
        self._configure(words)

    def _checked(self, blob):
        """Return the words of a blob; ValueError when they are damaged, or do not fit together."""
        words = config.unpack(blob)
        model, rate = words[config.LASER_MODEL], words[config.LASER_RATE_HZ]
        if model >= len(MODELS):
            raise ValueError("laser_model is %d, not within 0..%d" % (model, len(MODELS) - 1))
        MODELS[model].check_rate(rate)
        late = self._latest_us(words)
        longest = CONVERSION_US[words[config.CAP_RATE]] * 17 // 16 + late + _ROUND_US
        most = self._ring_samples() * 1000 // (longest // 1000 + 1)
        if rate > most:
            raise ValueError(
                "laser_rate_hz is %d: at most %d with conversions this long (cap_rate %d), or the"
                " board's ring runs over" % (rate, most, words[config.CAP_RATE])
            )
        return words

    def _latest_us(self, words):
        """Return when after a window's end a laser must have delivered all of it."""
        latency = max(words[config.A_LATENCY_US], words[config.B_LATENCY_US])
        return latency + 2 * (1_000_000 // words[config.LASER_RATE_HZ]) + _LATE_US

    def _ring_samples(self):
        """Return how many distances a laser's rings hold: three bytes and a stamp each."""
        stream = self.hw.lasers[0]
        return min(len(stream.ring) // 3, len(stream.stamps))

    def _configure(self, words):
        """Build everything that depends on the configuration, and start the sensors with it."""
        self._pending = False
        self._n_waiting = 0
        self.words = words
        now = self.hw.now()
        if words is None:
            model, rate, sync, latency_a, latency_b = _BARE_LASER, _BARE_RATE, 0, 0, 0
            self._late_us = _LATE_US
            capf = capdac = 0
            self.film = self.judge = self.standardiser = None
            self._counts_per_m = 0
        else:
            model, rate = words[config.LASER_MODEL], words[config.LASER_RATE_HZ]
            sync = words[config.LASER_SYNC]
            latency_a, latency_b = words[config.A_LATENCY_US], words[config.B_LATENCY_US]
            self._late_us = self._latest_us(words)
            capf, capdac = words[config.CAP_RATE], words[config.CAPDAC_CODE]
            self.film = Film(words)
            self.judge = Judge(words)
            self.standardiser = Standardiser(words, self.film)
            self.standardiser.restore(self.hw.store.read(_REFERENCE_FILE))
            # until the first readings of this run
            self._frame_mc = words[config.FRAME_REF_MC]
            self._air_mc = _NORMAL_AIR_MC
            self._rh_ppm = _NORMAL_RH_PPM
            self._warm_up_s = words[config.WARM_UP_S]
            self._counts_per_m = words[config.COUNTS_PER_M]
            self._electrode_mm = words[config.ELECTRODE_MM] + 1  # positions are rounded, too
            self.config_fault = ""
        lasers = self.hw.lasers
        self.a = HeadLaser(lasers[0], "A", model, rate, latency_a, sync, self.hw.board.LASER_BAUD)
        self.b = HeadLaser(
            lasers[1], "B", model, rate, latency_b, sync, self.hw.board.LASER_BAUD, self.a
        )
        self.a.start(now)
        self.b.start(now)
        self.capacitance.start(capf, capdac)
        self.climate.start(now)
        period = self.capacitance.period_us
        self._read_to = self.hw.now()
        self._ring_us = self._ring_samples() * (1_000_000 // rate)
        self._skip_us = self._ring_us - (self._ring_us >> 2)
        self._keep_us = period + (period >> 4) + self._late_us
        blob = self._config_blob
        if words is None or blob is None:
            self.session.identify(bytes(4), 0, 0)
        else:
            self.session.identify(blob[-4:], words[config.RECIPE_ID], words[config.CALIBRATION_ID])
        gc.collect()

    # -- commands

    def ask_to_standardise(self):
        """Begin a standardisation; return why that is refused, or None."""
        if self.standardiser is None:
            return self.config_fault
        if self.machine.state == _STATE_MEASURING:
            return "film is in the gap: take the head off the sheet first"
        self.standardiser.request()
        return None

    def acknowledge(self, mask):
        """Acknowledge latched flags; return what is still latched."""
        if self.judge is None:
            return 0
        return self.judge.acknowledge(mask)

    def leave(self, op):
        """End the program after the reply has left, in the way that `op` asks for."""
        self._leaving = op
        self._leave_at = self.hw.now()

    # -- the loop

    def run(self, windows=None):
        """Run until a command ends the program, or until so many more windows are done."""
        hw = self.hw
        end = None if windows is None else self.seq + windows
        for transport in self._transports:
            transport.open()
        hw.watchdog_start(hw.board.WATCHDOG_MS)
        try:
            while self._leaving == 0 and (end is None or self.seq < end):
                self.round()
            if self._leaving:
                self._finish()
        finally:
            hw.outputs.all_off()
            if self._leaving:
                hw.watchdog_stop()  # else an error ended the loop: the watchdog starts it anew
            if windows is None:
                for transport in self._transports:
                    transport.close()

    def round(self):
        """One whole round; see the module's text. No allocation in steady state.

        While a window waits for its lasers nothing else is done, so that a window costs two
        rounds; but lasers may be so slow that there is always one that waits.
        """
        hw = self.hw
        now = hw.now()
        if ticks_diff(now, self._read_to) > self._ring_us:
            self._find_place(now)
        # Nothing is allocated here. With the heap locked, calls keep their frames on the stack,
        # which is quicker by a seventh than to search the heap for them.
        micropython.heap_lock()
        try:
            self._work_on_window(now)
        finally:
            micropython.heap_unlock()
        sleep_ms = _LASERS_MS
        if not self._pending:
            self._do_slow_duties(now)
            if not self.capacitance.fault:  # else no /RDY ends the sleep, and windows fall behind
                sleep_ms = _SLEEP_MS
        elif ticks_diff(now, self._duties_at) >= _DUTIES_US:
            self._do_slow_duties(now)
        hw.watchdog_feed()
        spent = ticks_diff(hw.now(), self._round_at)
        if spent > self.round_max_us:
            self.round_max_us = spent
        hw.idle(sleep_ms)
        self._round_at = hw.now()

    def _work_on_window(self, now):
        """Begin a window when a conversion has ended; finish it when the lasers have come."""
        capacitance = self.capacitance
        if capacitance.take(now):
            counts = self.hw.encoder.counts()
            if self._pending:
                self._let_wait(now, capacitance.t_ready, capacitance.code, counts)
            else:
                self._begin_window(capacitance.t_ready, capacitance.code, counts)
        elif capacitance.fault and not self._pending:
            # windows go on without the converter, by the clock
            if ticks_diff(now, self._t_close) >= 2 * capacitance.period_us:
                t_close = (self._t_close - _TICKS - 1 + capacitance.period_us) & _TICKS
                self._begin_window(t_close, capacitance.code, self.hw.encoder.counts())
        if self._pending:
            a, b = self.a, self.b
            done = not a.streaming or a.window.take()  # one that sends nothing is not waited for
            if b.streaming and not b.window.take():
                done = False
            if done or ticks_diff(now, self._deadline) >= 0:
                self._finish_window(now)
                if self._n_waiting:
                    self._begin_next()

    def _let_wait(self, now, t_close, code, counts):
        """A conversion has ended while the lasers have not delivered the window before."""
        if self._n_waiting == _WAITING:
            self._finish_window(now)
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

    def _do_slow_duties(self, now):
        """Everything that may wait for the end of a window."""
        self._duties_at = now
        if not self._pending and ticks_diff(now, self._read_to) > self._skip_us:
            self._skip(now)
        self.capacitance.watch(now)
        self.a.poll(now)
        self.b.poll(now)
        # its own time: asked for a result too early, it refuses, and an exception is allocated
        self.climate.poll(self.hw.now())
        if self._standardise_button.pressed(now):
            self.ask_to_standardise()
        if self._acknowledge_button.pressed(now):
            self.acknowledge(_TICKS)
        self._show_heartbeat(now)
        session = self.session
        for transport in self._transports:
            session.poll(now, transport)
        if self._finished and self._converter_is_busy():
            self._finished = False
            self._planned = self.capacitance.look_after(self.hw.now())
            if self._keep_reference and self.machine.state == _STATE_OFF_SHEET:
                self._store_reference()

    def _converter_is_busy(self):
        """Whether there is time to talk to the converter before its conversion ends."""
        capacitance = self.capacitance
        spent = ticks_diff(self.hw.now(), capacitance.t_ready)
        return spent < capacitance.period_us - _ASIDE_US

    def _find_place(self, now):
        """The loop has stood still for so long that the lasers' rings have run over."""
        self.a.find_place(now)
        self.b.find_place(now)
        self._read_to = now

    def _skip(self, now):
        """A hole in the conversions: keep the rings from running over."""
        to = (now - self._keep_us) & _TICKS
        if ticks_diff(to, self._read_to) > 0:
            self._read_to = to
            self.a.window.skip(to)
            self.b.window.skip(to)

    def _begin_window(self, t_close, code, counts):
        """Open the window that ends at `t_close`, with the converter's `code`."""
        period = self.capacitance.period_us
        dt = ticks_diff(t_close, self._t_close)
        slack = period >> 4  # the converter's clock is off by so much at most
        if dt < period - slack or dt > period + slack:
            # a hole before this conversion: the window is the conversion, not the hole
            if self.seq and dt > period:
                self._lost = (dt + (period >> 1)) // period - 1
            dt = self._conversion_us
            if dt < period - slack or dt > period + slack:
                dt = period  # none has been measured yet, or it was of another rate
        else:
            self._conversion_us = dt
        self.rec[_DT_US] = dt
        t_open = (t_close - dt) & _TICKS
        self.a.window.open(t_open, t_close)
        self.b.window.open(t_open, t_close)
        self._t_close = t_close
        self._code = code
        self._move_web(counts)
        # written so that no sum reaches 2**30: that would allocate
        self._deadline = (t_close - _TICKS - 1 + self._late_us) & _TICKS
        self._pending = True

    def _finish_window(self, now):
        """The window is complete, or its time is over: make its record."""
        self._pending = False
        self._finished = True
        if ticks_diff(self._t_close, self._read_to) > 0:
            self._read_to = self._t_close
        rec, machine, session = self.rec, self.machine, self.session
        capacitance, climate = self.capacitance, self.climate
        clock = session.clock
        clock.update(now)
        clock.at(self._t_close)
        rec[_SEQ] = self.seq
        rec[_T_S] = clock.at_s
        rec[_T_US] = clock.at_us
        rec[_LOST] = self._lost
        rec[_CAP_CODE] = self._code
        self.a.window.put(rec, _A_N)
        self.b.window.put(rec, _B_N)
        if self.a.count_broken():
            rec[_A_ERRORS] += 1
            rec[_A_ERROR_CODE] = _LASER_BROKEN
        if self.b.count_broken():
            rec[_B_ERRORS] += 1
            rec[_B_ERROR_CODE] = _LASER_BROKEN
        if capacitance.warm:
            self._frame_mc = capacitance.frame_mc
        if climate.known:
            self._air_mc = climate.air_mc
            self._rh_ppm = climate.rh_ppm
        rec[_FRAME_MC] = self._frame_mc
        rec[_AIR_MC] = self._air_mc
        rec[_RH_PPM] = self._rh_ppm
        conditions = self._conditions()
        if self.film is None:
            changed = machine.decide(_FLAG_CALIBRATION_MISSING, False, False, False)
            rec[_VALID] = 0
            rec[_REASON] = _REASON_CALIBRATION_MISSING
            changed = changed or rec[_FLAGS] != conditions
            rec[_FLAGS] = conditions
            rec[_OUTPUTS] = 0
            rec[_STATE] = machine.state
            rec[_STATE_REASON] = machine.reason
        else:
            changed = self._measure(rec, conditions)
        outputs = self.hw.outputs
        outputs.good(rec[_OUTPUTS] & _OUT_GOOD)
        outputs.marker(rec[_OUTPUTS] & _OUT_MARKER)
        if self._beat:
            rec[_OUTPUTS] |= _OUT_HEARTBEAT
        session.append(rec, changed)
        self.lost += self._lost
        self._lost = 0
        self.seq += 1
        if self.seq > _SEQ_END:
            self.leave(protocol.RESET)  # a new boot id begins a new count

    def _measure(self, rec, conditions):
        """Numbers, state and flags of a window; return whether state or flags changed."""
        machine, standardiser = self.machine, self.standardiser
        self.film.compute(rec)
        renewed = standardiser.update(rec, machine.state == _STATE_OFF_SHEET)
        found = conditions | rec[_FLAGS]
        film_present = rec[_REASON] != _REASON_NO_FILM
        edge = False
        if not film_present:
            self._covered = False
            self._edge_mm = rec[_POSITION_MM]
        elif not self._covered:  # film counts when it covers the electrodes, and not before
            edge = True
            self._covered = abs(rec[_POSITION_MM] - self._edge_mm) >= self._electrode_mm
        changed = machine.decide(
            found, film_present, self.session.clock.s < self._warm_up_s, standardiser.running
        )
        rec[_STATE] = machine.state
        rec[_STATE_REASON] = machine.reason
        if machine.state != _STATE_MEASURING:
            # numbers were computed under conditions in which they mean nothing: withhold them
            if rec[_VALID]:
                rec[_VALID] = 0
                if not rec[_REASON]:
                    rec[_REASON] = machine.reason
            elif machine.state in _OWN_REASON:
                rec[_REASON] = machine.reason
        elif edge and rec[_VALID]:
            rec[_VALID] = 0
            rec[_REASON] = _REASON_EDGE_OF_FILM
        if self.judge.update(rec, conditions | standardiser.flags):
            changed = True
        if renewed:
            self._keep_reference = True
        return changed

    def _conditions(self):
        """FLAG_* bits of what is wrong with the sensors and the board."""
        conditions = self._boot_flags
        if self.film is None:
            conditions |= _FLAG_CALIBRATION_MISSING
        if self.capacitance.fault:
            conditions |= _FLAG_CAPACITANCE_FAULT
        if self.climate.fault:
            conditions |= _FLAG_ENVIRONMENT_FAULT
        if not self.a.streaming:
            conditions |= _FLAG_LASER_A_FAULT
        if not self.b.streaming:
            conditions |= _FLAG_LASER_B_FAULT
        if self._lost and not self._planned:
            conditions |= _FLAG_OVERRUN
        dropped = self.session.ring.dropped
        if dropped != self._dropped:
            self._dropped = dropped
            conditions |= _FLAG_RECORD_GAP
        if self.film is not None:
            self._boot_flags = 0  # the judge keeps it until it is acknowledged
        return conditions

    def _move_web(self, counts):
        """Position of the web at the end of the window, in counts and whole millimetres."""
        rec = self.rec
        rec[_POSITION_COUNTS] = counts
        if self._counts_per_m:
            moved = ticks_diff(counts, self._counts)
            while moved > _MOST_COUNTS:  # a fine encoder: thousandths would need 31 bits
                self._advance(_MOST_COUNTS)
                moved -= _MOST_COUNTS
            while moved < -_MOST_COUNTS:
                self._advance(-_MOST_COUNTS)
                moved += _MOST_COUNTS
            self._advance(moved)
        self._counts = counts
        rec[_POSITION_MM] = self._mm

    def _advance(self, counts):
        """Add counts to the web's millimetres, which begin anew at -2**29 after 2**29."""
        moved = counts * 1000 + self._counts_rest
        self._mm = ticks_diff(self._mm + moved // self._counts_per_m, 0)
        self._counts_rest = moved % self._counts_per_m

    # -- slow duties

    def _store_reference(self):
        """Keep a new reference over a restart: off-sheet only, since the board stands still."""
        self._keep_reference = False
        try:
            self.hw.store.write(_REFERENCE_FILE, bytes(self.standardiser.reference))
        except OSError:
            pass  # it is in force all the same; after a restart the calibration's will be
        self.capacitance.pass_over()
        self._planned = True

    def _show_heartbeat(self, now):
        if ticks_diff(now, self._beaten) >= _HEARTBEAT_US:
            self._beaten = now
            self._beat = not self._beat
            self.hw.outputs.heartbeat(self._beat)

    def _finish(self):
        """Let the last reply leave, then do what was asked for."""
        hw, session = self.hw, self.session
        while not session.flushed():
            now = hw.now()
            if ticks_diff(now, self._leave_at) > _LEAVE_US:
                break
            for transport in self._transports:
                session.poll(now, transport)
            hw.watchdog_feed()
            hw.idle(1)
        hw.outputs.all_off()
        if self._leaving == protocol.RESET:
            hw.reset()
        elif self._leaving == protocol.BOOTLOADER:
            hw.bootloader()


def main():
    """Run the gauge on this board until a command ends it."""
    App(Hardware()).run()
