"""The mixing law: thickness and deficit become permittivity, porosity and their uncertainty.

Air and a solid of permittivity eps_s mix by the L-family (Bruggeman with one depolarisation
parameter L), whose inverse is a closed form (physics.md section 0):

    eps    = t / (t - Delta)
    phi    = 1 - A Delta / (t - Delta) - B Delta / t,  A = (1-L)/(eps_s-1), B = L eps_s/(eps_s-1)
    phi   += corr(phi)               the recipe's optional table of 33 nodes
    s      = t (1 - phi)
    eps_s  = solid (1 + solid_rh (RH - 50 %) + solid_t (T - 23 C))

t is that of the film, and so is Delta here: known layers on it, an adhesive, a skin, are taken
off both (section 4). Standard uncertainties (section 3), with w = A eps**2 + B, h = w Delta / t:

    u(phi): h u_t / t, w u_Delta / t, (w - h) u_common / t, (h - r w) u_layers / t,
            u_L phi_par Delta / t, and that of eps_s, with which L was fitted:
            {[A (eps-1) + B (1 - 1/eps) / eps_s] / (eps_s-1) - phi_par Delta / t dL/deps_s} u_eps_s
    u(eps): eps (eps - 1) u_t / t, eps**2 u_Delta / t, eps u_common / t,
            (eps (eps - 1) - r eps**2) u_layers / t

phi_par is the porosity that pores straight through the film would have. An error of a layer's
thickness is in t, and r times of it in Delta, with x = 1 - 1/eps of the layer: r u_layers**2 is
the sum of x u**2 over the layers, and u_Delta has the rest of x**2 u**2 in it, so that the sum
is exact for any number of independent layers. Where layers hide the film from the electrodes
altogether, thickness is all that is reported (`not_identifiable`). Lengths are in 1/8 nm,
porosity in ppm, permittivity in 1e-4. Fixed point, pure; the bounds of each `muldiv` hold for
t < 2**23, eps_s 1.02..24 and everything that `gauge.config` allows.

    >>> mixture = Mixture(words)
    >>> mixture.follow(air_mc, rh_ppm)
    >>> mixture.invert(rec)             # True: permittivity, porosity and solid are in rec
"""

from array import array

import micropython
from micropython import const

from gauge import config, record
from gauge.kernels import muldiv, per_kelvin, root_sum_square

_VALID = const(7)
_REASON = const(8)
_FLAGS = const(9)
_DELTA = const(52)
_THICKNESS = const(53)
_PERMITTIVITY = const(54)
_POROSITY = const(55)
_SOLID = const(56)
_U_POROSITY = const(58)
_U_PERMITTIVITY = const(59)
_IS_NOT_PHYSICAL = const(9)
_IS_NOT_RESOLVABLE = const(10)
_NOT_PHYSICAL = const(1 << 9)
_NOT_RESOLVABLE = const(1 << 10)
_OUTSIDE = const(1 << 20)
_OK_PERMITTIVITY = const(2)
_OK_POROSITY = const(4)
_OK_SOLID = const(8)
_IS_NOT_IDENTIFIABLE = const(15)

record.expect(
    VALID=_VALID,
    REASON=_REASON,
    FLAGS=_FLAGS,
    DELTA_8NM=_DELTA,
    THICKNESS_8NM=_THICKNESS,
    PERMITTIVITY_E4=_PERMITTIVITY,
    POROSITY_PPM=_POROSITY,
    SOLID_8NM=_SOLID,
    U_POROSITY_PPM=_U_POROSITY,
    U_PERMITTIVITY_E4=_U_PERMITTIVITY,
    REASON_NOT_PHYSICAL=_IS_NOT_PHYSICAL,
    REASON_NOT_RESOLVABLE=_IS_NOT_RESOLVABLE,
    REASON_NOT_IDENTIFIABLE=_IS_NOT_IDENTIFIABLE,
    FLAG_NOT_PHYSICAL=_NOT_PHYSICAL,
    FLAG_NOT_RESOLVABLE=_NOT_RESOLVABLE,
    FLAG_OUTSIDE_ENVELOPE=_OUTSIDE,
    VALID_PERMITTIVITY=_OK_PERMITTIVITY,
    VALID_POROSITY=_OK_POROSITY,
    VALID_SOLID=_OK_SOLID,
)

# Words of a mixture's state
_AIR = const(0)  # climate for which the next five hold
_RH = const(1)
_A8 = const(2)  # A in 1/8 ppm
_B8 = const(3)  # B in 1/8 ppm
_EPS_E6 = const(4)  # permittivity of the solid
_EPS_E4 = const(5)
_U_SOLID = const(6)  # u(eps_s) / (eps_s - 1), in 2**-20
_U_L_PPM = const(7)  # from here to _NODES: words of the configuration
_U95_LIMIT = const(8)
_PHI_MIN = const(9)
_PHI_MAX = const(10)
_L_PPM = const(11)
_SOLID_E6 = const(12)
_SOLID_RH = const(13)
_SOLID_T = const(14)
_U_SOLID_E6 = const(15)
_NODES = const(16)  # 0: no correction
_P8 = const(17)  # A Delta / (t - Delta) in 1/8 ppm
_S8 = const(18)  # B Delta / t in 1/8 ppm
_PAR = const(19)  # phi_par
_SLOPE = const(20)  # of the correction, in 1/1024
_TERM = const(21)  # 6 terms of a sum of squares
_TABLE = const(27)  # 33 nodes
_PER_SOLID = const(60)  # dL/deps_s (eps_s - 1), in ppm
_PER_SOLID_PPM = const(61)  # from here on: words of the configuration
_LAYERS_DELTA = const(62)
_U_LAYERS = const(63)
_LAYERS_RATIO = const(64)
_MODE = const(65)
_WORDS = const(66)

_COPIED = (
    (_U_L_PPM, config.U_STRUCTURE_PPM),
    (_U95_LIMIT, config.U95_POROSITY_LIMIT_PPM),
    (_PHI_MIN, config.POROSITY_MIN_PPM),
    (_PHI_MAX, config.POROSITY_MAX_PPM),
    (_L_PPM, config.STRUCTURE_PPM),
    (_SOLID_E6, config.SOLID_E6),
    (_SOLID_RH, config.SOLID_RH_PPM),
    (_SOLID_T, config.SOLID_T_PPM),
    (_U_SOLID_E6, config.U_SOLID_E6),
    (_NODES, config.CORRECTION_NODES),
    (_PER_SOLID_PPM, config.STRUCTURE_PER_SOLID_PPM),
    (_LAYERS_DELTA, config.LAYERS_DELTA_8NM),
    (_U_LAYERS, config.U_LAYERS_8NM),
    (_LAYERS_RATIO, config.U_LAYERS_RATIO_PPM),
    (_MODE, config.POROSITY_MODE),
)


@micropython.viper
def _invert(rec, state) -> int:
    """eps, phi and s from t and Delta. Return 1 when they are physical."""
    r = ptr32(rec)
    w = ptr32(state)
    if w[_MODE] != 0:
        r[_REASON] = _IS_NOT_IDENTIFIABLE
        return 0
    t = r[_THICKNESS]
    delta = r[_DELTA] - w[_LAYERS_DELTA]
    rest = t - delta
    r[_REASON] = _IS_NOT_PHYSICAL
    r[_FLAGS] |= _NOT_PHYSICAL
    if delta <= 0 or rest << 5 < t:  # eps 32 is beyond every legal solid
        return 0
    eps = int(muldiv(10_000, t, rest, 6))
    eps_s = w[_EPS_E4]
    if eps > eps_s:
        return 0
    p8 = int(muldiv(w[_A8], delta, rest, 6))
    s8 = int(muldiv(w[_B8], delta, t, 6))
    phi = (8_000_004 - p8 - s8) >> 3
    par = int(muldiv(eps_s - eps, 1_000_000, eps_s - 10_000, 9))
    w[_SLOPE] = 0
    if w[_NODES] > 0 and phi >= 0:
        i = phi // 31_250
        if i > 31:
            i = 31
        low = w[_TABLE + i]
        rise = w[_TABLE + 1 + i] - low
        phi += low + int(muldiv(rise, phi - i * 31_250, 31_250, 14))
        w[_SLOPE] = (rise << 10) // 31_250
        # No structure leaves the bounds of Wiener; 100 ppm is the resolution of eps.
        if phi > par + 100 or phi < int(muldiv(par, rest, t, 6)) - 100:
            return 0
    if phi < 0 or phi > 1_000_000:
        return 0
    w[_P8] = p8
    w[_S8] = s8
    w[_PAR] = par
    r[_PERMITTIVITY] = eps
    r[_POROSITY] = phi
    r[_SOLID] = t - int(muldiv(phi, t, 1_000_000, 6))
    r[_REASON] = 0
    r[_FLAGS] ^= _NOT_PHYSICAL
    return 1


@micropython.viper
def _u_permittivity(rec, state, u_t: int, u_d: int, u_c: int, u_l: int):
    """u(eps). The uncertainties are in 1/16 of 1/8 nm, none beyond t."""
    r = ptr32(rec)
    w = ptr32(state)
    t = r[_THICKNESS]
    eps = r[_PERMITTIVITY]
    eps2 = int(muldiv(eps, eps, 10_000, 10))
    w[_TERM] = int(muldiv(u_t, eps2 - eps, t, 6))
    w[_TERM + 1] = int(muldiv(u_d, eps2, t, 6))
    w[_TERM + 2] = int(muldiv(u_c, eps, t, 6))
    by_l = eps2 - eps - int(muldiv(w[_LAYERS_RATIO], eps2, 1_000_000, 7))
    if by_l < 0:
        by_l = 0 - by_l
    w[_TERM + 3] = int(muldiv(u_l, by_l, t, 6))
    u = (int(root_sum_square(state, _TERM, 4)) + 8) >> 4
    if u > 1_000_000:
        u = 1_000_000
    r[_U_PERMITTIVITY] = u


@micropython.viper
def _u_porosity(rec, state, u_t: int, u_d: int, u_c: int, u_l: int) -> int:
    """Return u(phi) in ppm, 1 000 000 at most; parameters as above.

    |p| stays below 6.2e7 for eps_s <= 24 and |dL/deps_s| <= 4, and u_solid below 2**24.
    """
    r = ptr32(rec)
    w = ptr32(state)
    t = r[_THICKNESS]
    delta = r[_DELTA] - w[_LAYERS_DELTA]
    eps = r[_PERMITTIVITY]
    eps2 = int(muldiv(eps, eps, 10_000, 10))
    # weights in 16 ppm
    by_d = (int(muldiv(w[_A8] >> 3, eps2, 10_000, 7)) + (w[_B8] >> 3)) >> 4
    by_t = int(muldiv(by_d, delta, t, 6))
    w[_TERM] = int(muldiv(u_t, by_t, t, 6))
    w[_TERM + 1] = int(muldiv(u_d, by_d, t, 6))
    w[_TERM + 2] = int(muldiv(u_c, by_d - by_t, t, 6))
    by_t -= int(muldiv(w[_LAYERS_RATIO], by_d, 1_000_000, 7))
    if by_t < 0:
        by_t = 0 - by_t
    w[_TERM + 3] = int(muldiv(u_l, by_t, t, 6))
    by_l = int(muldiv(w[_PAR], delta, t, 6))  # ppm of porosity for each of L
    w[_TERM + 4] = int(muldiv(by_l, w[_U_L_PPM], 1_000_000, 8))
    p = (w[_P8] >> 3) + int(muldiv(w[_S8] >> 3, 1_000_000, w[_EPS_E6], 5))
    p -= int(muldiv(w[_PER_SOLID], by_l, 1_000_000, 9))
    w[_TERM + 5] = int(muldiv(p, w[_U_SOLID], 1 << 20, 5))
    u = int(root_sum_square(state, _TERM, 6))
    if u > 1_000_000:
        u = 1_000_000
    slope = w[_SLOPE]
    if slope != 0:
        slope += 1024
        if slope < 0:
            slope = 0 - slope
        u = int(muldiv(u, slope, 1024, 14))
        if u > 1_000_000:
            u = 1_000_000
    return u


@micropython.viper
def _uncertainty(rec, state, u_t: int, u_d: int, u_c: int):
    """u(phi) and u(eps) from u(t), u(Delta) and what is common to both; then the validity."""
    r = ptr32(rec)
    w = ptr32(state)
    t = r[_THICKNESS]
    u_l = w[_U_LAYERS]
    if u_d > t:
        u_d = t
    if u_t > t:
        u_t = t
    if u_c > t:
        u_c = t
    if u_l > t:
        u_l = t
    _u_permittivity(rec, state, u_t << 4, u_d << 4, u_c << 4, u_l << 4)
    u = int(_u_porosity(rec, state, u_t << 4, u_d << 4, u_c << 4, u_l << 4))
    r[_U_POROSITY] = u
    valid = _OK_PERMITTIVITY | _OK_SOLID
    if u + u > w[_U95_LIMIT]:
        r[_POROSITY] = 0
        r[_REASON] = _IS_NOT_RESOLVABLE
        r[_FLAGS] |= _NOT_RESOLVABLE
    else:
        valid |= _OK_POROSITY
        if r[_POROSITY] < w[_PHI_MIN] or r[_POROSITY] > w[_PHI_MAX]:
            r[_FLAGS] |= _OUTSIDE
    r[_VALID] |= valid


@micropython.viper
def _solid(state, air_mc: int, rh_ppm: int):
    """The solid's permittivity at this climate, and what derives from it."""
    w = ptr32(state)
    w[_AIR] = air_mc
    w[_RH] = rh_ppm
    rh_ppm -= 500_000
    ppm = 0
    if rh_ppm < 0:
        rh_ppm = 0 - rh_ppm
        ppm = 0 - int(muldiv(w[_SOLID_RH], rh_ppm, 10_000, 10))
    else:
        ppm = int(muldiv(w[_SOLID_RH], rh_ppm, 10_000, 10))
    ppm += int(per_kelvin(w[_SOLID_T], air_mc - 23_000))
    if ppm > 500_000:  # half as much again is no law any more
        ppm = 500_000
    if ppm < -500_000:
        ppm = -500_000
    eps = w[_SOLID_E6]
    eps += int(muldiv(ppm, eps, 1_000_000, 5))
    if eps < 1_020_000:
        eps = 1_020_000
    if eps > 24_000_000:
        eps = 24_000_000
    w[_EPS_E6] = eps
    w[_EPS_E4] = (eps + 50) // 100
    eps -= 1_000_000
    share = w[_L_PPM]
    w[_A8] = int(muldiv(8 * (1_000_000 - share), 1_000_000, eps, 4))
    w[_B8] = int(muldiv(8 * share, eps + 1_000_000, eps, 3))
    u = int(muldiv(1 << 20, w[_U_SOLID_E6], eps, 4))
    if u > 1 << 24:
        u = 1 << 24
    w[_U_SOLID] = u
    w[_PER_SOLID] = int(muldiv(w[_PER_SOLID_PPM], eps, 1_000_000, 5))


class Mixture:
    """Air and the recipe's solid, at the climate that `follow` was told last."""

    def __init__(self, words):
        state = self._state = array("i", bytes(4 * _WORDS))
        for index, word in _COPIED:
            state[index] = words[word]
        for node in range(33):
            state[_TABLE + node] = words[config.CORRECTION_00_PPM + node]
        _solid(state, 23_000, 500_000)

    def follow(self, air_mc, rh_ppm):
        """Let the solid's permittivity follow air temperature and humidity."""
        state = self._state
        if air_mc != state[_AIR] or rh_ppm != state[_RH]:
            _solid(state, air_mc, rh_ppm)

    def invert(self, rec):
        """Compute permittivity, porosity and solid from thickness and deficit of `rec`.

        Returns False, with reason and flag not_physical, when no mixture has this pair; and with
        reason not_identifiable when the recipe says that its layers hide the film.
        """
        return _invert(rec, self._state) != 0

    def uncertainty(self, rec, u_t, u_d, u_c):
        """Compute the standard uncertainties and set the bits in `valid`.

        `u_t`, `u_d`, `u_c` (1/8 nm, >= 0): of thickness alone, of the deficit alone, and of what
        moves both alike. Porosity is withheld when it is not resolvable; permittivity and the
        solid-equivalent thickness stay.
        """
        _uncertainty(rec, self._state, u_t, u_d, u_c)
