"""A window becomes thickness, permittivity, porosity and their uncertainty. Fixed point, pure.

Lengths are in 1/8 nm, capacitance in aF. In the order in which the corrections are applied
(physics.md sections 0, 3 and 5, notation from there):

    C      = (reading - offset) / (1 + gain) + CAPDAC - stray
    g_s    = gap * c0 / C0           the gap at the last standardisation: C0 * g is constant
    Delta  = (g_s (C - C0) / C + growth of the gap since then - delta_offset) / (1 + kappa)
    T      = D + growth of D since then + thickness_offset - (a + b)
    t      = T - layers

where Delta and T are those of all that is in the gap. From t and Delta the mixing law makes the
rest (`gauge.mixture`): all numbers are those of the film, known layers on it taken off. C, C0 and
t are averages over a window or a standardisation; porosity is never averaged. Standard
uncertainties (u) come from the scatter of both lasers within the window, the noise of C and C0,
and the systematic terms of calibration and recipe:

    u(t)**2   = u_thickness**2 + scatter**2 + u_d**2 + u_common**2 + u_layers**2
    u(Delta)  : u_delta, u_c (g - Delta) / C, u_c g / (C0 sqrt(windows)), Delta u_gap,
                u_layers_delta

What is reported: nothing without film; thickness alone when the capacitance is broken, when the
pair (t, Delta) fits no mixture of air and the recipe's solid (`not_physical`), or when layers
hide the film from the electrodes (`not_identifiable`). Porosity is withheld when 2 u(phi) exceeds
the recipe's limit (`not_resolvable`); the solid-equivalent thickness stays, because the error of
t all but cancels in it: it is what remains meaningful of a thin film (physics.md section 3).

Metal that shields the electrodes leaves next to no capacitance: such a film is there when C is
below C0 / 2, the converter's lower end included; with C above C0 it lacks its metal, which is
`not_physical`.

    >>> film = Film(words)          # of gauge.config
    >>> film.compute(rec)           # fills the numbers, `valid`, `reason` and preliminary `flags`
"""

from array import array

import micropython
from micropython import const

from gauge import config, record, reference
from gauge.distance import code_64, deviation, reading, scale_of
from gauge.kernels import isqrt, muldiv, per_kelvin, root_sum_square
from gauge.mixture import Mixture

# Fields of the record
_VALID = const(7)
_REASON = const(8)
_FLAGS = const(9)
_CAP_CODE = const(14)
_A = const(15)
_A_ERRORS = const(26)
_A_ERROR_CODE = const(27)
_B = const(28)
_B_ERRORS = const(39)
_B_ERROR_CODE = const(40)
_FRAME_MC = const(41)
_AIR_MC = const(42)
_RH_PPM = const(43)
_C0_AF = const(44)
_D_8NM = const(45)
_C0_FRAME = const(46)
_D_FRAME = const(47)
_U_D = const(48)
_WINDOWS = const(49)
_C_AF = const(50)
_GAP_8NM = const(51)
_DELTA = const(52)
_THICKNESS = const(53)
_U_THICKNESS = const(57)
_U_PERMITTIVITY = const(59)
# Reasons, flags, valid bits
_IS_NO_FILM = const(2)
_IS_LASER_A = const(5)
_IS_LASER_B = const(6)
_IS_CAPACITANCE = const(7)
_IS_NOT_PHYSICAL = const(9)
_IS_EDGE = const(11)
_NOT_PHYSICAL = const(1 << 9)
_NO_FILM = const(1 << 11)
_LASER_A = const(1 << 12)
_LASER_B = const(1 << 13)
_CAPACITANCE = const(1 << 14)
_OUTSIDE = const(1 << 20)
_OK_THICKNESS = const(1)

record.expect(
    VALID=_VALID,
    REASON=_REASON,
    FLAGS=_FLAGS,
    CAP_CODE=_CAP_CODE,
    A_N=_A,
    A_FIRST=_A + 2,
    A_LAST=_A + 3,
    A_ERRORS=_A_ERRORS,
    A_ERROR_CODE=_A_ERROR_CODE,
    B_N=_B,
    B_ERRORS=_B_ERRORS,
    B_ERROR_CODE=_B_ERROR_CODE,
    FRAME_MC=_FRAME_MC,
    AIR_MC=_AIR_MC,
    RH_PPM=_RH_PPM,
    C0_AF=_C0_AF,
    D_8NM=_D_8NM,
    C0_FRAME_MC=_C0_FRAME,
    D_FRAME_MC=_D_FRAME,
    U_D_8NM=_U_D,
    STANDARD_WINDOWS=_WINDOWS,
    C_AF=_C_AF,
    GAP_8NM=_GAP_8NM,
    DELTA_8NM=_DELTA,
    THICKNESS_8NM=_THICKNESS,
    U_THICKNESS_8NM=_U_THICKNESS,
    U_PERMITTIVITY_E4=_U_PERMITTIVITY,
    REASON_NO_FILM=_IS_NO_FILM,
    REASON_LASER_A_FAULT=_IS_LASER_A,
    REASON_LASER_B_FAULT=_IS_LASER_B,
    REASON_CAPACITANCE_FAULT=_IS_CAPACITANCE,
    REASON_NOT_PHYSICAL=_IS_NOT_PHYSICAL,
    REASON_EDGE_OF_FILM=_IS_EDGE,
    FLAG_NOT_PHYSICAL=_NOT_PHYSICAL,
    FLAG_NO_FILM=_NO_FILM,
    FLAG_LASER_A_FAULT=_LASER_A,
    FLAG_LASER_B_FAULT=_LASER_B,
    FLAG_CAPACITANCE_FAULT=_CAPACITANCE,
    FLAG_OUTSIDE_ENVELOPE=_OUTSIDE,
    VALID_THICKNESS=_OK_THICKNESS,
)

# Words of a film's state: constants of the configuration, what follows the reference and the
# frame's temperature, and the working values of a window.
_CAP_SCALE = const(0)  # aF per converter code, times 2**24
_CAP_BASE = const(1)  # aF at code 2**23: CAPDAC, offset, stray
_C0 = const(2)
_GAP_REF = const(3)  # gap at the standardisation
_GAP_KAPPA = const(4)  # the same / (1 + kappa)
_GAP = const(5)  # gap in force
_SHIFT = const(6)  # (growth of the gap - delta_offset) / (1 + kappa)
_D = const(7)  # D in force
_FRAME = const(8)  # frame temperature for which the state holds
_U_T_FIXED = const(9)
_U_DELTA_FIXED = const(10)
_OFFSET = const(11)  # from here to _AIR_MAX: words of the configuration
_OFF_SHEET = const(12)
_U_COMMON = const(13)
_U_C_AF = const(14)
_U_GAP_PPM = const(15)
_T_MIN = const(16)
_T_MAX = const(17)
_PASSLINE = const(18)
_RH_MIN = const(19)
_RH_MAX = const(20)
_AIR_MIN = const(21)
_AIR_MAX = const(22)
_DIST_A = const(23)  # distance and variance of laser A, then of laser B
_DIST_B = const(25)
_U_T = const(27)  # u(t) without what is in Delta, too: the common term, the layers
_TERM = const(28)  # 3 terms of a sum of squares
_TILE = const(31)  # thickness of the reference tile; 0: none, or one that a film may have, too
_CODE_64 = const(32)  # length of a laser's code in 1/64 of 1/8 nm
_LAYERS = const(33)
_U_LAYERS = const(34)
_SHIELDED = const(35)  # 1: metal, with film next to no capacitance
_REFERENCE = const(36)  # 4 words of the reference, as they go into the record
_WORDS = const(40)

_LIKE_TILE = const(80_000)  # a thickness so near to the tile's is the tile's

_COPIED = (
    (_OFFSET, config.THICKNESS_OFFSET_8NM),
    (_OFF_SHEET, config.OFF_SHEET_8NM),
    (_U_COMMON, config.U_COMMON_8NM),
    (_U_C_AF, config.U_C_AF),
    (_U_GAP_PPM, config.U_GAP_PPM),
    (_T_MIN, config.THICKNESS_MIN_8NM),
    (_T_MAX, config.THICKNESS_MAX_8NM),
    (_PASSLINE, config.PASSLINE_MAX_8NM),
    (_RH_MIN, config.RH_MIN_PPM),
    (_RH_MAX, config.RH_MAX_PPM),
    (_AIR_MIN, config.AIR_MIN_MC),
    (_AIR_MAX, config.AIR_MAX_MC),
    (_LAYERS, config.LAYERS_8NM),
    (_U_LAYERS, config.U_LAYERS_8NM),
)

_EMPTY = const(0)  # what the capacitance says of the gap
_PRESENT = const(1)
_UNKNOWN = const(2)


@micropython.viper
def _capacitance(rec, state) -> int:
    """C and Delta; clear all that follows. Return what is in the gap."""
    r = ptr32(rec)
    w = ptr32(state)
    c0 = w[_C0]
    r[_C0_AF] = c0
    r[_D_8NM] = w[_D]
    r[_GAP_8NM] = w[_GAP]
    i = 0
    while i < 4:
        r[_C0_FRAME + i] = w[_REFERENCE + i]
        i += 1
    i = _C_AF
    while i <= _U_PERMITTIVITY:
        if i != _GAP_8NM:
            r[i] = 0
        i += 1
    r[_VALID] = 0
    r[_REASON] = 0
    r[_FLAGS] = 0
    code = r[_CAP_CODE]
    shielded = w[_SHIELDED]
    c = 0
    if code > 0 and code < 0xFFFFFF:  # both ends: saturated, or no conversion
        c = int(muldiv(code - 0x800000, w[_CAP_SCALE], 1 << 24, 5)) + w[_CAP_BASE]
        if c <= 1 << 25:
            r[_C_AF] = c
    if c + c < c0 and shielded != 0 and code < 0xFFFFFF:
        return _PRESENT
    if c + c < c0 or c > 1 << 25:
        r[_C_AF] = 0
        r[_REASON] = _IS_CAPACITANCE
        r[_FLAGS] = _CAPACITANCE
        return _UNKNOWN
    delta = int(muldiv(c - c0, w[_GAP_KAPPA], c, 4)) + w[_SHIFT]
    r[_DELTA] = delta
    if delta < w[_OFF_SHEET]:
        r[_REASON] = _IS_NO_FILM
        r[_FLAGS] = _NO_FILM
        return _EMPTY
    if shielded != 0:  # a film that lacks its metal
        r[_REASON] = _IS_NOT_PHYSICAL
        r[_FLAGS] = _NOT_PHYSICAL
        return _UNKNOWN
    return _PRESENT


@micropython.viper
def _at_edge(rec, state, t: int) -> int:
    """Whether the lasers see the tile, or change over to it or from it within the window.

    At the edge of the film the electrodes still have some of it while the lasers have none. The
    web's motion takes from one distance what it adds to the other; a change of both is one of
    thickness, and half of the way to the tile's is no film's.
    """
    r = ptr32(rec)
    w = ptr32(state)
    off = w[_TILE]
    if off == 0:
        return 0
    off -= t
    if off < 0:
        off = 0 - off
    change = r[_A + 3] - r[_A + 2] + r[_B + 3] - r[_B + 2]
    if change < 0:
        change = 0 - change
    if off < _LIKE_TILE or change > int(muldiv((off >> 1) + _LIKE_TILE, 64, w[_CODE_64], 9)):
        return 1
    return 0


@micropython.viper
def _thickness(rec, state, in_gap: int, seen_a: int, seen_b: int, scatter: int) -> int:
    """t and u(t); `seen_*`: the laser gave a distance. Return 1 when there is a thickness.

    What the lasers see and the electrodes have between them is film and layers together.
    """
    r = ptr32(rec)
    w = ptr32(state)
    if in_gap == _PRESENT:
        # Error codes or jumps of both sensors in one window: the edge of the film, or a hole,
        # passed. On the border of two windows each of them has one jump.
        code_a = r[_A_ERROR_CODE]
        code_b = r[_B_ERROR_CODE]
        if code_a > 2 and code_b > 2 and r[_A] > 0 and r[_B] > 0:
            if code_a + code_b == 6 or r[_A_ERRORS] > 1 and r[_B_ERRORS] > 1:
                r[_REASON] = _IS_EDGE
                return 0
        if seen_b == 0:
            r[_REASON] = _IS_LASER_B
            r[_FLAGS] |= _LASER_B
        if seen_a == 0:
            r[_REASON] = _IS_LASER_A
            r[_FLAGS] |= _LASER_A
    if seen_a == 0 or seen_b == 0:
        return 0
    a = w[_DIST_A]
    b = w[_DIST_B]
    t = 0  # sensors give distances far before their range, too: do not let them overflow
    if a > -(1 << 26) and b > -(1 << 26):
        t = w[_D] - a
        if t > -(1 << 27):
            t += w[_OFFSET] - b
    if t <= w[_LAYERS] or t >= w[_GAP] or t >= 1 << 23:
        if in_gap == _PRESENT:
            r[_REASON] = _IS_NOT_PHYSICAL
            r[_FLAGS] |= _NOT_PHYSICAL
        return 0
    if in_gap == _PRESENT and int(_at_edge(rec, state, t)) != 0:
        r[_REASON] = _IS_EDGE
        return 0
    t -= w[_LAYERS]
    r[_THICKNESS] = t
    r[_VALID] = _OK_THICKNESS
    w[_TERM] = w[_U_T_FIXED]
    w[_TERM + 1] = scatter
    u = int(root_sum_square(state, _TERM, 2))
    if u < 1:
        u = 1
    w[_U_T] = u
    if w[_U_COMMON] | w[_U_LAYERS] != 0:
        w[_TERM] = u
        w[_TERM + 1] = w[_U_COMMON]
        w[_TERM + 2] = w[_U_LAYERS]
        u = int(root_sum_square(state, _TERM, 3))
    r[_U_THICKNESS] = u
    a -= b
    if a < 0:
        a = 0 - a
    outside = 0
    if a >> 1 > w[_PASSLINE] or t < w[_T_MIN] or t > w[_T_MAX]:
        outside = 1
    if r[_RH_PPM] < w[_RH_MIN] or r[_RH_PPM] > w[_RH_MAX]:
        outside = 1
    if r[_AIR_MC] < w[_AIR_MIN] or r[_AIR_MC] > w[_AIR_MAX]:
        outside = 1
    if outside:
        r[_FLAGS] |= _OUTSIDE
    return 1


@micropython.viper
def _u_delta(rec, state) -> int:
    """Standard uncertainty of Delta without what it has in common with t."""
    r = ptr32(rec)
    w = ptr32(state)
    lever = w[_GAP_KAPPA] - r[_DELTA]
    if lever < 0:
        lever = 0
    w[_TERM] = w[_U_DELTA_FIXED]
    w[_TERM + 1] = int(muldiv(w[_U_C_AF], lever, r[_C_AF], 4))
    w[_TERM + 2] = int(muldiv(r[_DELTA], w[_U_GAP_PPM], 1_000_000, 9))
    return int(root_sum_square(state, _TERM, 3))


class Film:
    """Computes the numbers of a record against the reference in force.

    `words` are those of `gauge.config`. Until `set_reference` is called the calibration's own
    reference is in force. `scale` is that of the lasers (`gauge.distance`).
    """

    def __init__(self, words):
        self._words = words
        self.scale = scale_of(words)
        self.mixture = Mixture(words)
        state = self._state = array("i", bytes(4 * _WORDS))
        for index, word in _COPIED:
            state[index] = words[word]
        if words[config.POROSITY_MODE] == config.POROSITY_SHIELDED:
            state[_SHIELDED] = 1
        tile = words[config.REFERENCE_8NM]
        film = tile - words[config.LAYERS_8NM]
        if (
            words[config.THICKNESS_LOLO_8NM] <= film <= words[config.THICKNESS_HIHI_8NM]
            and words[config.THICKNESS_MIN_8NM] <= film <= words[config.THICKNESS_MAX_8NM]
        ):
            tile = 0
        state[_TILE] = tile
        state[_CODE_64] = code_64(self.scale)
        # 8.192 pF over 2**24 codes; numbers of this line may be big, once
        gain = 1_000_000 + words[config.CAP_GAIN_PPM]
        state[_CAP_SCALE] = (8_192_000 * 1_000_000 + gain // 2) // gain
        state[_CAP_BASE] = (
            words[config.CAPDAC_AF]
            - words[config.STRAY_AF]
            - muldiv(words[config.CAP_OFFSET_AF], 1_000_000, gain, 8)
        )
        self.set_reference(reference.from_calibration(words))

    def set_reference(self, ref):
        """Measure against this reference (`gauge.reference`) from now on. Does not allocate."""
        words = self._words
        state = self._state
        c0 = ref[reference.C0_AF]
        gap = muldiv(words[config.C0_AF], words[config.GAP_8NM], c0, 4)
        state[_C0] = c0
        state[_GAP_REF] = gap
        state[_GAP_KAPPA] = muldiv(gap, 1_000_000, 1_000_000 + words[config.KAPPA_PPM], 8)
        self._c0_mc = ref[reference.C0_FRAME_MC]
        self._d_mc = ref[reference.D_FRAME_MC]
        self._d_8nm = ref[reference.D_8NM]
        state[_TERM] = words[config.U_THICKNESS_8NM]
        state[_TERM + 1] = ref[reference.U_D_8NM]
        state[_U_T_FIXED] = root_sum_square(state, _TERM, 2)
        state[_REFERENCE] = self._c0_mc
        state[_REFERENCE + 1] = self._d_mc
        state[_REFERENCE + 2] = ref[reference.U_D_8NM]
        state[_REFERENCE + 3] = ref[reference.WINDOWS]
        state[_TERM] = words[config.U_DELTA_8NM]
        state[_TERM + 1] = 0
        state[_TERM + 2] = words[config.U_LAYERS_DELTA_8NM]
        windows = ref[reference.WINDOWS]
        if windows:
            noise = muldiv(words[config.U_C_AF], gap, c0, 4)
            state[_TERM + 1] = muldiv(noise, 64, isqrt(windows << 12), 10)
        state[_U_DELTA_FIXED] = root_sum_square(state, _TERM, 3)
        self._follow_frame(self._c0_mc)

    def compute(self, rec):
        """Fill the numbers of `rec` from its raw fields, with `valid` and `reason`.

        `flags` is set to the conditions that follow from the numbers: no_film, laser and
        capacitance faults, not_physical, not_resolvable, outside_envelope; the judge turns them
        into the flags of the record. Allocates nothing.
        """
        state = self._state
        if rec[_FRAME_MC] != state[_FRAME]:
            self._follow_frame(rec[_FRAME_MC])
        mixture = self.mixture
        mixture.follow(rec[_AIR_MC], rec[_RH_PPM])
        in_gap = _capacitance(rec, state)
        if in_gap == _EMPTY:
            return
        scale = self.scale
        seen_a = reading(rec, _A, scale, state, _DIST_A)
        seen_b = reading(rec, _B, scale, state, _DIST_B)
        scatter = deviation(state[_DIST_A + 1] + state[_DIST_B + 1], scale)
        if _thickness(rec, state, in_gap, seen_a, seen_b, scatter) and in_gap == _PRESENT:
            if mixture.invert(rec):
                mixture.uncertainty(rec, state[_U_T], _u_delta(rec, state), state[_U_COMMON])

    def _follow_frame(self, frame_mc):
        """Let the gap and D grow with the temperature of the frame."""
        words = self._words
        state = self._state
        state[_FRAME] = frame_mc
        growth = per_kelvin(words[config.GAP_TEMP_8NM_PER_K], frame_mc - self._c0_mc)
        state[_GAP] = state[_GAP_REF] + growth
        growth -= words[config.DELTA_OFFSET_8NM]
        state[_SHIFT] = muldiv(growth, 1_000_000, 1_000_000 + words[config.KAPPA_PPM], 8)
        growth = per_kelvin(words[config.D_TEMP_8NM_PER_K], frame_mc - self._d_mc)
        state[_D] = self._d_8nm + growth
