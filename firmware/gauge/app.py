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
import sys
from array import array

import micropython
from micropython import const

from gauge import VERSION, config, crash, health, journal, record
from gauge.commands import Commands
from gauge.drivers import ticks_diff
from gauge.drivers.sht4x import SHT4x
from gauge.film import Film
from gauge.head import Head
from gauge.inputs import Button
from gauge.installed import Installed
from gauge.judge import Judge
from gauge.keys import Keys
from gauge.link import protocol
from gauge.link.commands import ConfigTransfer
from gauge.link.session import BoardSession
from gauge.scribe import Scribe
from gauge.selftest import SelfTest
from gauge.sensors import Climate
from gauge.standardise import Standardiser
from gauge.state import Machine
from gauge.update import Trial
from gauge.vitals import Vitals

_TICKS = const(0x3FFFFFFF)
# Longest sleep of a round: /RDY and bytes of the host end it sooner, so that a round for slow
# duties alone is rare
_SLEEP_MS = const(10)
_LASERS_MS = const(1)  # the same while a window waits for its lasers
_DUTIES_US = const(5_000)  # longest pause of the slow duties while windows wait for their lasers
_REST_US = const(22_000)  # the same while the next result of the converter is already there
_MOST_COUNTS = const(1_000_000)  # of the encoder, to be multiplied by 1000
_HEARTBEAT_US = const(500_000)
_LEAVE_US = const(200_000)  # longest wait for a last reply to leave
_RING_LEAST = const(8192)
_HEAP_RESERVE = const(20480)  # for all that is built after the ring
_SEQ_END = const(0x3FFFFFF0)
# Fields, states, reasons and flags of the record that every window needs
_AIR_MC = const(42)
_FLAGS = const(9)
_FLAG_CALIBRATION_MISSING = const(524288)
_FLAG_CAPACITANCE_FAULT = const(16384)
_FLAG_CRASH_RESTART = const(8388608)
_FLAG_ENVIRONMENT_FAULT = const(32768)
_FLAG_FLASH_WRITE = const(16777216)
_FLAG_LASER_A_FAULT = const(4096)
_FLAG_LASER_B_FAULT = const(8192)
_FLAG_OVERRUN = const(65536)
_FLAG_RECORD_GAP = const(2097152)
_FLAG_WATCHDOG_RESTART = const(4194304)
_FRAME_MC = const(41)
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
record.expect(
    AIR_MC=_AIR_MC,
    FLAGS=_FLAGS,
    FLAG_CALIBRATION_MISSING=_FLAG_CALIBRATION_MISSING,
    FLAG_CAPACITANCE_FAULT=_FLAG_CAPACITANCE_FAULT,
    FLAG_CRASH_RESTART=_FLAG_CRASH_RESTART,
    FLAG_ENVIRONMENT_FAULT=_FLAG_ENVIRONMENT_FAULT,
    FLAG_FLASH_WRITE=_FLAG_FLASH_WRITE,
    FLAG_LASER_A_FAULT=_FLAG_LASER_A_FAULT,
    FLAG_LASER_B_FAULT=_FLAG_LASER_B_FAULT,
    FLAG_OVERRUN=_FLAG_OVERRUN,
    FLAG_RECORD_GAP=_FLAG_RECORD_GAP,
    FLAG_WATCHDOG_RESTART=_FLAG_WATCHDOG_RESTART,
    FRAME_MC=_FRAME_MC,
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

# Climate for which a recipe's permittivity is stated: taken as long as the sensor has said nothing
_NORMAL_AIR_MC = const(23_000)
_NORMAL_RH_PPM = const(500_000)


def _room_for_ring(wanted, selftest):
    """Return how many bytes the ring of records may have, `wanted` if there is room for them.

    Modules that are not frozen but lie in the file system take most of a small board's memory.
    What was found is tested.
    """
    while wanted > _RING_LEAST:
        gc.collect()
        try:
            selftest.try_memory(bytearray(wanted + _HEAP_RESERVE))
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
        self.selftest = SelfTest()
        self.rec = record.new()
        self.machine = Machine()
        device_id = hardware.unique_id()
        self.keys = Keys(hardware.store, device_id, self._key_refused, self._stood_still)
        self.head = Head(hardware, self._make_record)
        self.installed = Installed(hardware.store, self.head.check, self.selftest)
        self.session = BoardSession(
            _room_for_ring(board.LINK_RING_BYTES, self.selftest),
            {"device_id": device_id, "board": board.NAME, "firmware": VERSION},
            hardware.boot_id(),
            Commands(self),
            ConfigTransfer(config.BLOB_BYTES, self.installed.current, self._commit),
            keys=self.keys,
        )
        self._transports = tuple(t for t in (hardware.usb, hardware.uart) if t is not None)
        self.journal = Scribe(hardware, self.machine, self.head, self.session)
        self.climate = Climate(SHT4x(hardware.i2c, board.CLIMATE_ADDRESS))
        self.vitals = Vitals(self)
        self.film = self.judge = self.standardiser = None
        self._standardise_button = Button(hardware.inputs.standardise)
        self._acknowledge_button = Button(hardware.inputs.acknowledge)
        self.seq = 0
        self._finished = False  # one was finished in this round
        self._duties_at = hardware.now()
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
        elif cause == "crash":
            self._boot_flags = _FLAG_CRASH_RESTART
        self.words = None
        self._leaving = 0
        self._leave_at = 0
        self._round_at = hardware.now()
        self.lost = 0
        clock = self.session.clock
        clock.update(0)  # time zero is that of the ticks: power-up
        now = hardware.now()
        clock.update(now >> 1)  # in two steps: each less than half of the ticks' circle
        clock.update(now)
        self.selftest.run(hardware)
        self._configure(self.installed.load())
        self.vitals.report_start()
        self._trial = Trial(self)

    # -- configuration

    def _commit(self, blob):
        """Check, store and use a configuration; raises ValueError with what is wrong."""
        # the outputs are off while the loop stands still
        self._configure(self.installed.take(blob, self.hw.outputs.all_off))

    def _configure(self, words):
        """Build everything that depends on the configuration, and start the sensors with it."""
        self.words = words
        if words is None:
            self.film = self.judge = self.standardiser = None
            self._counts_per_m = 0
        else:
            self.film = Film(words)
            self.judge = Judge(words)
            self.standardiser = Standardiser(words, self.film)
            self.standardiser.restore(self.installed.reference())
            # until the first readings of this run
            self._frame_mc = words[config.FRAME_REF_MC]
            self._air_mc = _NORMAL_AIR_MC
            self._rh_ppm = _NORMAL_RH_PPM
            self._warm_up_s = words[config.WARM_UP_S]
            self._counts_per_m = words[config.COUNTS_PER_M]
            self._electrode_mm = words[config.ELECTRODE_MM] + 1  # positions are rounded, too
        self.head.configure(words)
        self.climate.start(self.hw.now())
        blob = self.installed.blob
        if words is None or blob is None:
            self.session.identify(bytes(4), 0, 0)
        else:
            ids = (words[config.RECIPE_ID], words[config.CALIBRATION_ID])
            self.session.identify(blob[-4:], *ids)
            self.journal.put(journal.CONFIGURATION, blob[-4:] + array("i", ids))
        gc.collect()

    # -- commands

    def ask_to_standardise(self):
        """Begin a standardisation; return why that is refused, or None."""
        if self.standardiser is None:
            return self.installed.fault
        if self.machine.state == _STATE_MEASURING:
            return "film is in the gap: take the head off the sheet first"
        self.standardiser.request()
        return None

    def acknowledge(self, mask):
        """Acknowledge latched flags; return what is still latched."""
        if self.judge is None:
            return 0
        return self.judge.acknowledge(mask)

    def _stood_still(self):
        """The flash was written while a command was answered: windows of that time are marked."""
        self.journal.stood_still()

    def _key_refused(self, role, count):
        """A wrong key was given, for the `count`-th time in a row."""
        self.journal.put(journal.KEY, array("i", (role, count)))

    def leave(self, op):
        """End the program after the reply has left, in the way that `op` asks for."""
        self._leaving = op
        self._leave_at = self.hw.now()

    # -- the loop

    def run(self, windows=None):
        """Run until a command ends the program, or until so many more windows are done."""
        hw = self.hw
        end = None if windows is None else self.seq + windows
        self._round_at = hw.now()
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
        self.head.find_place(now)
        # Nothing is allocated here. With the heap locked, calls keep their frames on the stack,
        # which is quicker by a seventh than to search the heap for them.
        micropython.heap_lock()
        try:
            self.head.work(now)
        finally:
            micropython.heap_unlock()
        sleep_ms = _LASERS_MS
        rested = ticks_diff(now, self._duties_at)
        if not self.head.pending:
            if rested >= _REST_US or not self.head.capacitance.has_fallen():
                self._do_slow_duties(now)
            # without a converter no /RDY ends the sleep, and windows would fall behind
            if not self.head.capacitance.fault:
                sleep_ms = _SLEEP_MS
        elif rested >= _DUTIES_US:
            self._do_slow_duties(now)
        hw.watchdog_feed()
        self.vitals.count_round(ticks_diff(hw.now(), self._round_at))
        hw.idle(sleep_ms)
        self._round_at = hw.now()

    def _do_slow_duties(self, now):
        """Everything that may wait for the end of a window."""
        self._duties_at = now
        if self.vitals.poll(now):
            return  # all the time that there was: what the link does takes as long again
        self.head.look(now)
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
        if self._trial.running:
            self._trial.round()
        if self._finished and self.head.has_time():
            self._finished = False
            self.head.look_after_converter()
            if self._keep_reference and self.machine.state == _STATE_OFF_SHEET:
                self._store_reference()
        if not self._finished:  # the window is done with: what comes now is in nobody's way
            self.journal.work(now)

    def _make_record(self, now):
        """A window of the head is complete, or its time is over: make its record."""
        self._finished = True
        rec, machine, session = self.rec, self.machine, self.session
        head, climate = self.head, self.climate
        capacitance = head.capacitance
        clock = session.clock
        clock.update(now)
        clock.at(head.t_close)
        rec[_SEQ] = self.seq
        rec[_T_S] = clock.at_s
        rec[_T_US] = clock.at_us
        head.put(rec)
        self._move_web(head.counts)
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
        self.journal.note(rec, now)
        self.lost += head.lost
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
        head = self.head
        if self.film is None:
            conditions |= _FLAG_CALIBRATION_MISSING
        if head.capacitance.fault:
            conditions |= _FLAG_CAPACITANCE_FAULT
        if self.climate.fault:
            conditions |= _FLAG_ENVIRONMENT_FAULT
        if not head.a.streaming:
            conditions |= _FLAG_LASER_A_FAULT
        if not head.b.streaming:
            conditions |= _FLAG_LASER_B_FAULT
        if head.lost and not head.planned:
            conditions |= _FLAG_OVERRUN
        if head.lost and self.journal.touched:
            self.journal.touched = False
            conditions |= _FLAG_FLASH_WRITE
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
            self.installed.keep_reference(bytes(self.standardiser.reference))
        except OSError:
            pass  # it is in force all the same; after a restart the calibration's will be
        self.journal.stood_still()

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
        self.journal.flush()
        if self._leaving == protocol.RESET:
            hw.reset()
        elif self._leaving == protocol.BOOTLOADER:
            hw.bootloader()


def main():
    """Run the gauge on this board until a command ends it; an error ends in a restart."""
    # only here: App itself runs on whatever hardware it is given
    from gauge.hw import Hardware, Store, restart

    hardware = app = None
    try:
        hardware = Hardware()
        hardware.watchdog_start(hardware.board.WATCHDOG_MS)
        app = App(hardware)
        gc.threshold(-1)  # a collection costs windows: Vitals does it when it does not matter
        app.run()
    except Exception as error:
        if hardware is not None:
            hardware.outputs.all_off()
        sys.print_exception(error)
        crash.keep(
            Store(),
            error,
            0 if hardware is None else hardware.boot_id(),
            None if app is None else app.vitals,
        )
        restart()
