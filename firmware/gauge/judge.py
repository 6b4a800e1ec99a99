"""Numbers and recipe become flags and outputs. Pure, integers only.

Limits (thickness and porosity LOLO, LO, HI, HIHI, permittivity high) are judged by the excess

    e = value - limit + guard * u        for an upper limit, guard in units of the value's u
    e = limit - value + guard * u        for a lower one

    flag comes   when e > 0 in more than `on_delay` windows on end
    flag goes    when e <= -deadband in more than `off_delay` windows on end

so that a positive guard moves limits inward. What is judged is the running mean of the value

    mean += (value - mean) / 2**filter_shift

(the value itself when filter_shift is 0), which begins anew where a value is missing; u is that
of the window, since most of it does not average out. A lower limit of 0 and an upper one at the
top of its legal range are not applied. A window without the value changes no flag; outside of the
state `measuring` the flags of the limits are taken back. All other flags are conditions that the
application and `gauge.film` raise anew in each window, without delay. A flag in the latch mask
stays in `latched` from the moment it comes until it is acknowledged.

The reject output is energised (`good`) in the state `measuring` alone, when every number that the
recipe's stack allows is valid (thickness alone where layers hide the film, `porosity_mode`) and no
flag of the reject mask is active or latched. Flag and output belong to the same window:
with `on_delay` 0 a step is rejected at the end of the window that shows it.

    >>> judge = Judge(words)
    >>> judge.update(rec, conditions)   # after state and numbers are in rec
    >>> rec[record.OUTPUTS] & record.OUT_GOOD
    1
"""

from array import array

import micropython
from micropython import const

from gauge import config, record
from gauge.outputs import Marker

_STATE = const(5)
_VALID = const(7)
_FLAGS = const(9)
_LATCHED = const(10)
_OUTPUTS = const(11)
_POSITION_MM = const(13)
_MEASURING = const(3)
_VALID_ALL = const(15)
_VALID_THICKNESS = const(1)
_GOOD = const(1)
_MARKER = const(2)
# watchdog_restart and crash_restart: active, not only latched, until acknowledged
_WATCHDOG_RESTART = const(1 << 22)
_CRASH_RESTART = const(1 << 23)
_STICKY = const(_WATCHDOG_RESTART | _CRASH_RESTART)
record.expect(
    STATE=_STATE,
    VALID=_VALID,
    FLAGS=_FLAGS,
    LATCHED=_LATCHED,
    OUTPUTS=_OUTPUTS,
    POSITION_MM=_POSITION_MM,
    STATE_MEASURING=_MEASURING,
    VALID_ALL=_VALID_ALL,
    VALID_THICKNESS=_VALID_THICKNESS,
    OUT_GOOD=_GOOD,
    OUT_MARKER=_MARKER,
    FLAG_WATCHDOG_RESTART=_WATCHDOG_RESTART,
    FLAG_CRASH_RESTART=_CRASH_RESTART,
)

# A limit's words: what is judged, by what; and the state of its flag.
_VALUE = const(0)  # index of the mean's words in the table
_U = const(1)  # index of its standard uncertainty
_BIT = const(2)  # its bit in `valid`
_FLAG = const(3)
_SIGN = const(4)  # 1 upper, -1 lower limit, 0 not applied
_LIMIT = const(5)
_DEADBAND = const(6)
_COUNT = const(7)  # windows on end that speak for a change
_STEP = const(8)

# A mean's words. Its fraction has 6 bits more than the value: below 2**30 for values below 2**23,
# and still moving on by half a unit when 2**8 windows are averaged.
_FIELD = const(0)  # index of the value in the record
_HAS = const(1)  # its bit in `valid`
_MEAN = const(2)  # rounded, to be judged
_FINE = const(3)  # the same in 1/64; -1: begins anew
_WIDTH = const(4)

# Words in front of the limits
_GUARD = const(0)
_ON_DELAY = const(1)
_OFF_DELAY = const(2)
_ACTIVE = const(3)  # flags of the limits
_N = const(4)
_FILTER = const(5)
_MEANS = const(6)  # of thickness, porosity, permittivity
_FIRST = const(18)


@micropython.viper
def _average(rec, table):
    """Bring the means of the values up to date."""
    r = ptr32(rec)
    t = ptr32(table)
    shift = t[_FILTER]
    half = (1 << shift) >> 1
    valid = r[_VALID]
    at = _MEANS
    while at < _FIRST:
        if valid & t[at + _HAS] == 0:
            t[at + _FINE] = -1
        else:
            value = r[t[at + _FIELD]]
            fine = t[at + _FINE]
            if fine < 0:
                fine = value << 6
            else:
                fine += ((value << 6) - fine + half) >> shift
            t[at + _FINE] = fine
            t[at + _MEAN] = (fine + 32) >> 6
        at += _WIDTH


@micropython.viper
def _judge(rec, table):
    """Bring the flags of all limits up to date."""
    r = ptr32(rec)
    t = ptr32(table)
    active = t[_ACTIVE]
    valid = r[_VALID]
    at = _FIRST
    end = at + _STEP * t[_N]
    while at < end:
        sign = t[at + _SIGN]
        if sign != 0 and valid & t[at + _BIT] != 0:
            e = (t[t[at + _VALUE] + _MEAN] - t[at + _LIMIT]) * sign
            e += (t[_GUARD] * r[t[at + _U]] + 50) // 100
            flag = t[at + _FLAG]
            count = t[at + _COUNT] + 1
            if active & flag == 0:
                if e <= 0:
                    count = 0
                elif count > t[_ON_DELAY]:
                    active |= flag
                    count = 0
            else:
                if e + t[at + _DEADBAND] > 0:
                    count = 0
                elif count > t[_OFF_DELAY]:
                    active ^= flag
                    count = 0
            t[at + _COUNT] = count
        at += _STEP
    t[_ACTIVE] = active


class Judge:
    """Judges records by the limits and masks of a configuration (words of `gauge.config`)."""

    def __init__(self, words):
        self._latch = words[config.LATCH_MASK] | _STICKY
        self._reject = words[config.REJECT_MASK]
        self._marked = words[config.MARKER_MASK]
        self._marker = Marker(words[config.MARKER_DELAY_MM], words[config.MARKER_LENGTH_MM])
        self._sticky = 0
        self.flags = 0  # FLAG_* bits, active
        self.latched = 0  # FLAG_* bits that wait for an acknowledgement
        table = self._table = array("i", bytes(4 * (_FIRST + _STEP * 9)))
        table[_GUARD] = words[config.GUARD_C2]
        table[_ON_DELAY] = words[config.ON_DELAY]
        table[_OFF_DELAY] = words[config.OFF_DELAY]
        table[_FILTER] = words[config.FILTER_SHIFT]
        self._needed = _VALID_ALL
        if words[config.POROSITY_MODE] != config.POROSITY_MEASURED:
            self._needed = _VALID_THICKNESS
        top = {name: high for name, _, high in config.SPEC}
        bounds = (("lolo", -1), ("lo", -1), ("hi", 1), ("hihi", 1))
        at = _MEANS
        for name, value, ends in (
            ("thickness_%s_8nm", "THICKNESS_8NM", bounds),
            ("porosity_%s_ppm", "POROSITY_PPM", bounds),
            ("permittivity_%s_e4", "PERMITTIVITY_E4", (("max", 1),)),
        ):
            table[at + _FIELD] = getattr(record, value)
            table[at + _HAS] = getattr(record, "VALID_" + value.split("_")[0])
            u = getattr(record, "U_" + value)
            for end, sign in ends:
                self._add(words, name % end, at, u, sign, top)
            at += _WIDTH
        self._release()

    def _add(self, words, name, mean, u, sign, top):
        table = self._table
        at = _FIRST + _STEP * table[_N]
        table[_N] += 1
        quantity, which, unit = name.split("_")
        flag = "FLAG_%s_%s" % (quantity, "high" if which == "max" else which)
        deadband = "%s_deadband_%s" % (quantity, unit)
        limit = words[getattr(config, name.upper())]
        table[at + _VALUE] = mean
        table[at + _U] = u
        table[at + _BIT] = table[mean + _HAS]
        table[at + _FLAG] = getattr(record, flag.upper())
        table[at + _LIMIT] = limit
        table[at + _DEADBAND] = words[getattr(config, deadband.upper())]
        if limit != (top[name] if sign > 0 else 0):
            table[at + _SIGN] = sign

    def update(self, rec, conditions):
        """Fill `flags`, `latched` and `outputs` of a record; return the flags that changed.

        `rec` has its state, position and numbers; its `flags` hold the conditions that
        `gauge.film` found. `conditions` are the FLAG_* bits that the application raises.
        watchdog_restart and crash_restart are raised once and stay active until acknowledged.
        Allocates nothing.
        """
        table = self._table
        if rec[_STATE] == _MEASURING:
            _average(rec, table)
            _judge(rec, table)
        else:
            self._release()
        conditions |= rec[_FLAGS]
        self._sticky |= conditions & _STICKY
        flags = conditions | self._sticky | table[_ACTIVE]
        changed = flags ^ self.flags
        self.flags = flags
        self.latched |= changed & flags & self._latch
        rec[_FLAGS] = flags
        rec[_LATCHED] = self.latched
        rec[_OUTPUTS] = self.outputs(rec)
        return changed

    def outputs(self, rec):
        """Return the OUT_* bits for a judged record: good and marker. Call once per window."""
        out = 0
        if self._marker.update(rec[_POSITION_MM], rec[_FLAGS] & self._marked != 0):
            out = _MARKER
        if (
            rec[_STATE] == _MEASURING
            and rec[_VALID] == self._needed
            and (rec[_FLAGS] | rec[_LATCHED]) & self._reject == 0
        ):
            out |= _GOOD
        return out

    def acknowledge(self, mask):
        """Take back latched flags of `mask`; return what is still latched.

        A flag whose cause goes on stays active; it latches again when it comes again.
        """
        self.latched &= ~mask
        self._sticky &= ~mask
        return self.latched

    def _release(self):
        """Take back the flags of all limits, and let the means begin anew."""
        table = self._table
        table[_ACTIVE] = 0
        for at in range(_MEANS, _FIRST, _WIDTH):
            table[at + _FINE] = -1
        for limit in range(table[_N]):
            table[_FIRST + _STEP * limit + _COUNT] = 0
