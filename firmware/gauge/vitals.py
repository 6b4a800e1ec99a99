"""The board's health as numbers: the words of HEALTH, when asked for and once a minute.

    >>> vitals = Vitals(app)
    >>> vitals.count_round(us)   # with each round of the loop
    >>> vitals.poll(now)         # between windows: a health record for the journal when it is time
    >>> vitals.fill()            # HEALTH
    >>> vitals.words[health.HEALTH_UPTIME_S]

Allocates nothing in steady state.
"""

import gc
from array import array

import micropython
from micropython import const

from gauge import VERSION, config, crash, health, journal, record
from gauge.drivers import ticks_diff
from gauge.heap import Heap

_MINUTE_US = const(60_000_000)
_FILL_US = const(6_000)  # time that filling in and handing over takes at most
_COLLECT_BELOW = const(8192)  # bytes free
_OFF_SHEET = const(1)
_COUNT = const(0x3FFFFFFF)
_LOOP_SHIFT = const(11)
_LOOP_LAST = const(9)
record.expect(STATE_OFF_SHEET=_OFF_SHEET)
if 1 << _LOOP_SHIFT != health.LOOP_STEP_US or _LOOP_LAST + 1 != health.LOOP_STEPS:
    raise RuntimeError("gauge.health has other steps of the loop's time")


class Vitals:
    """Health of the application `app`."""

    def __init__(self, app):
        self._app = app
        self.words = health.new(health.HEALTH_NAMES)
        self.heap = Heap()
        self._rounds = array("i", bytes(4 * health.LOOP_STEPS))
        self._longest_us = 0
        self._at = app.hw.now()

    def count_round(self, us):
        """A round of the loop took so long, sleep left out."""
        if us > self._longest_us:
            self._longest_us = us
        step = us >> _LOOP_SHIFT
        if step > _LOOP_LAST:
            step = _LOOP_LAST
        rounds = self._rounds
        rounds[step] = (rounds[step] + 1) & _COUNT

    def poll(self, now):
        """Between windows: look at the heap when that is due, hand the journal its record.

        Returns whether that was done: each takes longer than all else between two windows.
        """
        app, heap = self._app, self.heap
        if heap.due and app.head.can_wait(heap.takes_us):
            heap.look()
            return True
        if ticks_diff(now, self._at) >= _MINUTE_US and app.head.can_wait(_FILL_US):
            self._at = now
            heap.due = True  # for the record after this one
            self.journal()
            if heap.free < _COLLECT_BELOW and app.machine.state == _OFF_SHEET:
                gc.collect()  # what commands have left: before it has to be done while measuring
                app.journal.stood_still()
            return True
        return False

    def journal(self):
        """Hand the journal a record of what is known now."""
        self.fill()
        self._app.journal.put(journal.HEALTH, self.words, 4 * len(self.words))

    def report_start(self):
        """Tell the journal of this start: why, what the program ended with before, its health."""
        app = self._app
        hw, put = app.hw, app.journal.put
        boot = hw.boot_id()
        words = array("i", (app.reset_cause, app.selftest.failed(), boot - 1))
        put(journal.BOOT, bytes(words) + VERSION.encode())
        report = crash.take(hw.store)
        if report:
            put(journal.CRASH, report)
        self.journal()
        log = app.journal
        log.flush()
        if report:
            crash.put_aside(hw.store)
        if hw.flash is None:
            app.selftest.note_absent(health.SELF_TEST_JOURNAL)
        else:
            good = log.dropped == 0 and log.most_erases >= 0
            app.selftest.note(health.SELF_TEST_JOURNAL, good, "the journal cannot be written")

    def answer(self, first, reply):
        """Write words from index `first` on into a reply; the longest round begins anew."""
        if first == 0:
            self.fill()
            self._longest_us = 0
            self.heap.due = True
        reply.words(self.words, len(self.words), first)

    def fill(self):
        """Bring the words up to date."""
        micropython.heap_lock()  # nothing is allocated, and calls are quicker so: see App.round
        try:
            self._fill()
        finally:
            micropython.heap_unlock()

    def _fill(self):
        app, words = self._app, self.words
        session, hw = app.session, app.hw
        head, climate = app.head, app.climate
        app.selftest.look_at_sensors(head, climate)
        words[health.HEALTH_UPTIME_S] = session.clock.s
        words[health.HEALTH_RESET_CAUSE] = app.reset_cause
        words[health.HEALTH_WINDOWS] = app.seq
        words[health.HEALTH_IDLE_US] = hw.idle_words[0]
        words[health.HEALTH_LOOP_MAX_US] = self._longest_us
        words[health.HEALTH_LINK_RING_BYTES] = session.ring_bytes
        words[health.HEALTH_LINK_RING_USED] = session.ring.used()
        words[health.HEALTH_LINK_DROPPED] = session.ring.dropped
        words[health.HEALTH_LINK_RESENT] = session.ring.resent
        words[health.HEALTH_LINK_BAD_FRAMES] = session.bad_frames
        words[health.HEALTH_CAPACITANCE_ERRORS] = head.capacitance.errors
        words[health.HEALTH_CLIMATE_ERRORS] = climate.errors
        words[health.HEALTH_LASER_A_ERRORS] = head.a.errors
        words[health.HEALTH_LASER_B_ERRORS] = head.b.errors
        head.a.window.put_counters(words, health.HEALTH_LASER_A_RATE_TOO_HIGH)
        head.b.window.put_counters(words, health.HEALTH_LASER_B_RATE_TOO_HIGH)
        words[health.HEALTH_HEAP_ALLOC] = self.heap.used
        words[health.HEALTH_HEAP_FREE] = self.heap.free
        words[health.HEALTH_HEAP_LOW] = self.heap.low
        words[health.HEALTH_SELF_TEST] = app.selftest.failed()
        for cause in range(len(health.RESET_CAUSES)):
            words[health.HEALTH_RESETS_POWER + cause] = hw.resets[cause]
        words[health.HEALTH_CONFIGURATION_COPIES] = app.installed.copies
        words[health.HEALTH_REFERENCE_COPIES] = app.installed.reference_copies
        words[health.HEALTH_CAPACITANCE_ID] = head.capacitance.identity
        words[health.HEALTH_CLIMATE_SERIAL_HIGH] = climate.chip.serial_high
        words[health.HEALTH_CLIMATE_SERIAL_LOW] = climate.chip.serial_low
        if app.words is not None:
            words[health.HEALTH_LASER_MODEL] = app.words[config.LASER_MODEL]
        words[health.HEALTH_LASER_A_SERIAL] = head.a.serial
        words[health.HEALTH_LASER_B_SERIAL] = head.b.serial
        warm = head.capacitance.warm
        words[health.HEALTH_FRAME_MC] = head.capacitance.frame_mc if warm else health.UNKNOWN_MC
        words[health.HEALTH_AIR_MC] = climate.air_mc if climate.known else health.UNKNOWN_MC
        words[health.HEALTH_BOARD_MC] = hw.board_mc()
        if hw.flash is not None:
            words[health.HEALTH_FLASH_SECTORS] = hw.flash.sectors
            words[health.HEALTH_FLASH_MOST_ERASES] = app.journal.most_erases
            words[health.HEALTH_FLASH_DROPPED] = app.journal.dropped
        for step in range(health.LOOP_STEPS):
            words[health.HEALTH_LOOP_0 + step] = self._rounds[step]
