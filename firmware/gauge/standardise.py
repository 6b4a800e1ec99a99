"""A new reference from what the head reads without film; as found and as left. Pure.

C0, and D where a reference tile lies in both beams, are averaged over `standard_windows` windows
and taken into force together. Asked for (command, input), the gap is taken to be empty; by itself
a standardisation begins once film has left the gap for a while, and again whenever it is due: by
time, or by a change of the frame's temperature.

A new reference is refused when

- a window jumps by more than 5 standard deviations from the mean of those before it (something
  moved), or
- it differs from the calibration by more than its limit, beyond what the frame's temperature
  explains (dust, wrong position).

The old one then stays in force, and standardisation_refused is raised until one succeeds.

    >>> standardiser = Standardiser(words, film)
    >>> standardiser.request()
    >>> standardiser.update(rec)        # at each window, after film.compute(rec)
    False
    >>> standardiser.running
    True
"""

from array import array

from micropython import const

from gauge import config, record, reference
from gauge.distance import deviation, reading
from gauge.kernels import isqrt, muldiv

# What the last standardisation did: one word per name, kept in `Standardiser.report`.
REPORT_NAMES = (
    "count",  # successful ones since boot
    "result",  # index into record.REASON_NAMES: ok, standardisation_refused, or what ended it
    "cause",  # index into health.STANDARD_CAUSES: why it was refused
    "t_s",  # seconds since boot
    "windows",  # windows that were averaged
    "as_found_c0_af",  # in force before
    "measured_c0_af",  # what the head read
    "as_left_c0_af",  # in force after: what was measured, or as found when it was refused
    "as_found_d_8nm",
    "measured_d_8nm",  # 0: no reference tile in both beams
    "as_left_d_8nm",
    "frame_mc",
)
(
    REPORT_COUNT,
    REPORT_RESULT,
    REPORT_CAUSE,
    REPORT_T_S,
    REPORT_WINDOWS,
    REPORT_AS_FOUND_C0_AF,
    REPORT_MEASURED_C0_AF,
    REPORT_AS_LEFT_C0_AF,
    REPORT_AS_FOUND_D_8NM,
    REPORT_MEASURED_D_8NM,
    REPORT_AS_LEFT_D_8NM,
    REPORT_FRAME_MC,
) = range(len(REPORT_NAMES))

_C0_JUMP = const(1)
_C0_DRIFT = const(2)
_D_JUMP = const(3)
_D_DRIFT = const(4)

_SETTLE = const(32)  # windows without film before it begins by itself: the electrodes are wide
_RETRY = const(1000)  # windows after one that did not succeed
_LEAST_NOISE_AF = const(4)  # the converter's resolution, where a calibration states less

# What is looked at in every window
_T_S = const(1)
_REASON = const(8)
_FRAME_MC = const(41)
_NO_FILM = const(2)
_BROKEN = const(7)
_DUE = const(1 << 17)
record.expect(
    T_S=_T_S,
    REASON=_REASON,
    FRAME_MC=_FRAME_MC,
    REASON_NO_FILM=_NO_FILM,
    REASON_CAPACITANCE_FAULT=_BROKEN,
    FLAG_STANDARDISATION_DUE=_DUE,
)

# Words of `_found`: distance and variance of laser A, then of laser B
_A = const(0)
_B = const(2)


class Standardiser:
    """Renews the reference of a `gauge.film.Film`; `words` are those of `gauge.config`.

    `running`: windows are being averaged. `flags`: FLAG_STANDARDISATION_DUE, _REFUSED.
    `reference`: in force; its bytes are to be stored when `update` returns True.
    """

    def __init__(self, words, film):
        self._words = words
        self._film = film
        self.reference = reference.from_calibration(words)
        self.report = array("i", bytes(4 * len(REPORT_NAMES)))
        self.running = False
        self.flags = record.FLAG_STANDARDISATION_DUE
        self._asked = False  # by command or input: the gap is taken to be empty
        self._fresh = False  # done since film was in the gap
        self._empty = 0  # windows on end without film
        self._found = array("i", bytes(16))
        self._n = 0
        self._c_first = 0
        self._c_sum = 0  # of differences from the first window's value
        self._d_first = 0
        self._d_sum = 0
        self._d_noise = 0
        self._d_seen = False
        self._seen_s = -1  # time and frame temperature for which `flags` hold
        self._seen_mc = 0

    def restore(self, blob):
        """Take a stored reference into force if it can be used; return whether it was."""
        ref = reference.from_bytes(blob, self._words)
        if ref is None:
            return False
        self.reference = ref
        self._film.set_reference(ref)
        self._seen_s = -1
        return True

    def request(self):
        """Begin a standardisation with the next window: whoever asks knows the gap is empty."""
        self._begin()
        self._asked = True

    def update(self, rec, automatic=True):
        """Take in a window, after `film.compute(rec)`; return True when the reference is new.

        `automatic`: it may begin by itself. Allocates nothing.
        """
        reason = rec[_REASON]
        if reason == _NO_FILM:
            if self._empty < _SETTLE:
                self._empty += 1
        else:
            self._empty = 0
            if reason != _BROKEN:
                self._fresh = False
        renewed = False
        if self.running:
            renewed = self._take(rec, reason)
        elif automatic and self._empty == _SETTLE:
            if not self._fresh or self.flags & _DUE:
                self._begin()
        if renewed or rec[_T_S] != self._seen_s or rec[_FRAME_MC] != self._seen_mc:
            self._look_at_clock(rec)
        return renewed

    def _begin(self):
        self.running = True
        self._asked = False
        self._n = 0
        self._c_sum = 0
        self._d_sum = 0
        self._d_noise = 0
        self._d_seen = self._words[config.REFERENCE_8NM] > 0

    def _take(self, rec, reason):
        """Average one more window; return True when it was the last one and all is well."""
        words = self._words
        if reason == record.REASON_CAPACITANCE_FAULT:
            return self._end(rec, reason, 0)
        if reason != record.REASON_NO_FILM and not self._asked:
            return self._end(rec, record.REASON_FILM_PRESENT, 0)
        n = self._n
        c = rec[record.C_AF]
        if n == 0:
            self._c_first = c
        c -= self._c_first
        noise = words[config.U_C_AF]
        if noise < _LEAST_NOISE_AF:
            noise = _LEAST_NOISE_AF
        if n and abs(c - self._c_sum // n) > 5 * noise + 5 * noise // (2 * n):
            return self._end(rec, record.REASON_STANDARDISATION_REFUSED, _C0_JUMP)
        self._c_sum += c
        if self._d_seen and not self._take_d(rec, n):
            return self._end(rec, record.REASON_STANDARDISATION_REFUSED, _D_JUMP)
        self._n = n + 1
        if n + 1 < words[config.STANDARD_WINDOWS]:
            return False
        return self._decide(rec)

    def _take_d(self, rec, n):
        """Average the lasers on the reference tile; return False when they jump."""
        found, scale = self._found, self._film.scale
        if not reading(rec, record.A_N, scale, found, _A):
            self._d_seen = False
        elif not reading(rec, record.B_N, scale, found, _B):
            self._d_seen = False
        else:
            d = found[_A] + found[_B] + self._words[config.REFERENCE_8NM]
            noise = deviation(found[_A + 1] + found[_B + 1], scale)
            if n == 0:
                self._d_first = d
            d -= self._d_first
            self._d_noise += noise
            mean = self._d_noise // (n + 1)
            if noise < mean:  # the noise of a window is itself but an estimate
                noise = mean
            if n and abs(d - self._d_sum // n) > 8 + 5 * noise + 5 * noise // (2 * n):
                return False
            self._d_sum += d
        return True

    def _decide(self, rec):
        """All windows are in: accept or refuse."""
        words, report = self._words, self.report
        n = self._n
        frame_mc = rec[record.FRAME_MC]
        c0 = self._c_first + (self._c_sum + n // 2) // n
        d = 0
        if self._d_seen:
            d = self._d_first + (self._d_sum + n // 2) // n
        report[REPORT_MEASURED_C0_AF] = c0
        report[REPORT_MEASURED_D_8NM] = d
        if reference.c0_drift(c0, frame_mc, words) > reference.c0_limit(words):
            return self._end(rec, record.REASON_STANDARDISATION_REFUSED, _C0_DRIFT)
        if d and reference.d_drift(d, frame_mc, words) > words[config.D_DRIFT_8NM]:
            return self._end(rec, record.REASON_STANDARDISATION_REFUSED, _D_DRIFT)
        return self._end(rec, record.REASON_OK, 0)

    def _end(self, rec, result, cause):
        """Report; take a good reference into force. Return True when there is a new one."""
        ref, report = self.reference, self.report
        good = result == record.REASON_OK
        report[REPORT_RESULT] = result
        report[REPORT_CAUSE] = cause
        report[REPORT_T_S] = rec[record.T_S]
        report[REPORT_WINDOWS] = self._n
        report[REPORT_FRAME_MC] = rec[record.FRAME_MC]
        report[REPORT_AS_FOUND_C0_AF] = ref[reference.C0_AF]
        report[REPORT_AS_FOUND_D_8NM] = ref[reference.D_8NM]
        if cause == _C0_JUMP or cause == _D_JUMP or cause == 0 and not good:
            report[REPORT_MEASURED_C0_AF] = rec[record.C_AF]
            report[REPORT_MEASURED_D_8NM] = 0
        if good:
            report[REPORT_COUNT] += 1
            ref[reference.C0_AF] = report[REPORT_MEASURED_C0_AF]
            ref[reference.C0_FRAME_MC] = rec[record.FRAME_MC]
            if self._d_seen:
                ref[reference.D_8NM] = report[REPORT_MEASURED_D_8NM]
                ref[reference.D_FRAME_MC] = rec[record.FRAME_MC]
                noise = self._d_noise // self._n
                ref[reference.U_D_8NM] = muldiv(noise, 64, isqrt(self._n << 12), 10)
            ref[reference.WINDOWS] = self._n
            ref[reference.T_S] = rec[record.T_S]
            self._film.set_reference(ref)
            self._fresh = True
            self.flags &= ~record.FLAG_STANDARDISATION_REFUSED
        elif result == record.REASON_STANDARDISATION_REFUSED:
            self.flags |= record.FLAG_STANDARDISATION_REFUSED
        if not good:
            self._empty = -_RETRY
        report[REPORT_AS_LEFT_C0_AF] = ref[reference.C0_AF]
        report[REPORT_AS_LEFT_D_8NM] = ref[reference.D_8NM]
        self.running = False
        return good

    def _look_at_clock(self, rec):
        """Raise or take back standardisation_due."""
        words, ref = self._words, self.reference
        self._seen_s = rec[_T_S]
        self._seen_mc = rec[_FRAME_MC]
        if (
            ref[reference.T_S] < 0
            or rec[record.T_S] - ref[reference.T_S] > words[config.STANDARD_DUE_S]
            or abs(rec[record.FRAME_MC] - ref[reference.C0_FRAME_MC])
            > words[config.STANDARD_DUE_MC]
        ):
            self.flags |= record.FLAG_STANDARDISATION_DUE
        else:
            self.flags &= ~record.FLAG_STANDARDISATION_DUE
