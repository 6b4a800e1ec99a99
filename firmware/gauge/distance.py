"""A laser's share of a record becomes the mean distance over exactly the window.

Both heads are brought to the same interval, [0, dt_us) of the window, so that web motion between
the samples of one head and those of the other does not become thickness:

- no sample missing: the mean of the samples, the first and the last weighted by how much of the
  window they stand for, and moved by what they are off the middle of that part: along the line
  from the first to the last, bent as first, last and mean of the samples say;
- samples missing: the mean of the samples, moved along the line from the first to the last to
  the middle of the window. What moved meanwhile is not known: half of the range of the samples,
  as far as they are missing, counts as standard uncertainty.

Then the passline map of the calibration is added to the distance, each laser's own: a table over
the distance itself, linear between its nodes; beyond its ends the end node's value holds.

    >>> scale = new_scale(optoncdt.MODELS[0], 4000)     # optoNCDT 1900-2 at 4 kHz, no map
    >>> out = array("i", (0, 0))
    >>> reading(rec, record.A_N, scale, out, 0)         # 1: out[0] is in 1/8 nm

The variance of that mean comes from the second differences of the samples, which motion at
constant speed does not touch: var(sample) = sum(d2 ** 2) / (6 n_d2). It is given in 1/4096 of a
squared code. Quantisation that nothing dithers does not average out: a window of few neighbouring
codes with less scatter than 0.4 codes gets 1/12 code**2 on top.
"""

from array import array

import micropython
from micropython import const

from gauge import config, record
from gauge.kernels import isqrt, muldiv

# Fields of the record, and of a laser's share of it.
_DT_US = const(3)
_SUM = const(1)
_FIRST = const(2)
_LAST = const(3)
_T_FIRST = const(4)
_T_LAST = const(5)
_T_SUM = const(6)
_MIN = const(7)
_MAX = const(8)
_D2 = const(9)
_N_D2 = const(10)
_ERROR_CODE = const(12)
_BROKEN = const(2)
_JUMP = const(3)

# Words of a scale: distance = (code * NUM - OFF) * MULTIPLIER / DIVISOR, with 8 more bits to a
# code than the sensor gives.
_NUM = const(0)
_OFF = const(1)
_MULTIPLIER = const(2)
_DIVISOR = const(3)
_K = const(4)  # bits per digit for which multiplier and divisor leave room
_PERIOD_16 = const(5)  # time between two samples in 1/16 us
_HALF_US = const(6)  # half of that, in us
_CODE_64 = const(7)  # length of one code in 1/64 of 1/8 nm
_MAP_START = const(8)  # distance of the first node of the passline maps
_MAP_STEP = const(9)  # between two nodes; 0: no maps
_MAP_K = const(10)  # bits per digit for which that leaves room
_MAPS = const(11)  # 33 nodes of laser A, then of laser B
_LAST_NODE = const(32)
_WORDS = const(77)

_MOST = const(2047)  # samples in a window
_LONGEST_US = const(262144)  # window
_MOST_UNSEEN = const(16000)  # 250 codes, in 1/64 code

_B_BASE = const(28)  # where laser B's share of the record begins

_base = record.A_N
record.expect(
    DT_US=_DT_US,
    B_N=_B_BASE,
    A_SUM=_base + _SUM,
    A_FIRST=_base + _FIRST,
    A_LAST=_base + _LAST,
    A_T_FIRST_US=_base + _T_FIRST,
    A_T_LAST_US=_base + _T_LAST,
    A_T_SUM_US=_base + _T_SUM,
    A_MIN=_base + _MIN,
    A_MAX=_base + _MAX,
    A_D2=_base + _D2,
    A_N_D2=_base + _N_D2,
    A_ERROR_CODE=_base + _ERROR_CODE,
    LASER_BROKEN=_BROKEN,
    LASER_JUMP=_JUMP,
    B_D2=record.B_N + _D2,
)


def new_scale(model, rate_hz):
    """Return the scale of a laser model (`gauge.drivers.optoncdt.MODELS`), without a map.

    The model says distance = (num * code - off) * range_8nm / den, with num * code < 2**22 for
    all of its codes. Allocates: for the start only.
    """
    a, b = model.range_8nm, model.den * 256
    while b:
        a, b = b, a % b
    multiplier, divisor = model.range_8nm // a, model.den * 256 // a
    k = 15
    while k and (multiplier + divisor) << k >= 1 << 30:
        k -= 1
    code_64 = (model.num * model.range_8nm * 64 + model.den // 2) // model.den
    if k < 4 or not 0 <= model.off < 1 << 22 or not 0 < code_64 < 1 << 20:
        raise ValueError("scale of laser %s is beyond 31-bit integers" % model.name)
    scale = array("i", bytes(4 * _WORDS))
    scale[_NUM] = model.num
    scale[_OFF] = model.off * 256
    scale[_MULTIPLIER] = multiplier
    scale[_DIVISOR] = divisor
    scale[_K] = k
    scale[_PERIOD_16] = (16_000_000 + rate_hz // 2) // rate_hz
    scale[_HALF_US] = (500_000 + rate_hz // 2) // rate_hz
    scale[_CODE_64] = code_64
    return scale


def scale_of(words):
    """Return the scale of the lasers that a configuration names (words of `gauge.config`)."""
    from gauge.drivers.optoncdt import MODELS

    index = words[config.LASER_MODEL]
    if index >= len(MODELS):
        raise ValueError("laser_model is %d, not within 0..%d" % (index, len(MODELS) - 1))
    scale = new_scale(MODELS[index], words[config.LASER_RATE_HZ])
    step = words[config.MAP_STEP_8NM]
    scale[_MAP_START] = words[config.MAP_START_8NM]
    scale[_MAP_STEP] = step
    k = 15
    while step << (k + 1) >= 1 << 30:
        k -= 1
    scale[_MAP_K] = k
    for node in range(_LAST_NODE + 1):
        scale[_MAPS + node] = words[config.A_MAP_00_8NM + node]
        scale[_MAPS + _LAST_NODE + 1 + node] = words[config.B_MAP_00_8NM + node]
    return scale


def code_64(scale):
    """Return the length of one code, in 1/64 of 1/8 nm."""
    return scale[_CODE_64]


@micropython.viper
def _variance(rec, base: int, share: int, unseen: int) -> int:
    """Variance of a mean, in code**2 / 4096: `share` of a sample's, in 1/65536, and `unseen`."""
    r = ptr32(rec)
    span = r[base + _MAX] - r[base + _MIN]
    variance = unseen * unseen
    n_d2 = r[base + _N_D2]
    if n_d2 > _MOST:
        n_d2 = _MOST
    if n_d2 > 0:
        d2 = r[base + _D2]
        most = 6 * n_d2 << 14
        if d2 > most:
            d2 = most
        variance += int(muldiv(d2, share, 96 * n_d2, 10))
    else:  # too slow a laser for second differences: the range of the samples, motion and all
        if span > 128:
            span = 128
        variance += (((span * span) >> 2) * share) >> 3
    if span <= 3 and r[base + _D2] < n_d2:
        variance += 341
    return variance


@micropython.viper
def _mapped(scale, base: int, distance: int) -> int:
    """Return the distance with the map of the laser at `base` added.

    muldiv's bound: step * 2**(k + 1) < 2**30, k >= 6 (step <= 8 000 000).
    """
    s = ptr32(scale)
    step = s[_MAP_STEP]
    if step == 0:
        return distance
    node = _MAPS
    if base == _B_BASE:
        node += _LAST_NODE + 1
    start = s[_MAP_START]
    if distance <= start:
        return distance + s[node]
    i = (distance - start) // step
    if i >= _LAST_NODE:
        return distance + s[node + _LAST_NODE]
    low = s[node + i]
    rise = s[node + i + 1] - low
    return distance + low + int(muldiv(rise, distance - start - i * step, step, s[_MAP_K]))


@micropython.viper
def _ends(rise: int, bend: int, t_range: int, half: int, e_first: int, e_last: int) -> int:
    """What first and last sample are off the middle of their parts, as codes * us.

    They are moved along the line from the first to the last, `rise` codes in `t_range` us. A bent
    motion is steeper there: `bend` is 3/2 of what both are above the mean of all.
    """
    period = half << 1
    before = (period + e_first) * e_first
    behind = (period + e_last) * e_last
    aside = behind - before
    if aside < 0:
        aside = 0 - aside
        rise = 0 - rise
    v = int(muldiv(rise, aside, t_range << 1, 4))
    if bend != 0:
        aside = behind + before
        if aside < 0:
            aside = 0 - aside
            bend = 0 - bend
        v += int(muldiv(bend, aside, t_range, 4))
    return v


@micropython.viper
def reading(rec, base: int, scale, out, at: int) -> int:
    """Write distance (1/8 nm) and variance of the mean (code**2 / 4096) to out[at], out[at + 1].

    `base` is the index of the laser's first field in `rec`, A_N or B_N: whose map is added.
    Returns 1, or 0 and zeros when the window has less than half of the samples that it should
    have, damaged ones, or some missing during a motion of more than a few hundred codes.
    """
    r = ptr32(rec)
    s = ptr32(scale)
    o = ptr32(out)
    o[at] = 0
    o[at + 1] = 0
    n = r[base]
    dt = r[_DT_US]
    error = r[base + _ERROR_CODE]
    if error == _BROKEN or error == _JUMP:
        return 0  # a damaged byte makes a distance like any other: trust none of this window
    if n < 1 or n > _MOST or dt < 1 or dt > _LONGEST_US:
        return 0
    if n * s[_PERIOD_16] < dt << 3:
        return 0
    total = r[base + _SUM]
    first = r[base + _FIRST]
    last = r[base + _LAST]
    t_first = r[base + _T_FIRST]
    t_last = r[base + _T_LAST]
    span = r[base + _MAX] - r[base + _MIN]
    half = s[_HALF_US]
    whole = total // n
    mean = (whole << 8) + (((total - whole * n) << 8) + (n >> 1)) // n
    share = 65536 // n  # of a sample's variance in that of the mean, in 1/65536
    rough = 0  # bits of a code that the correction of a strong motion leaves out
    while (span >> rough >> 4) * (dt >> 4) >= 1 << 20:
        rough += 1
    v = 0  # correction as codes * us, to be divided by `width` us
    width = dt
    unseen = 0  # standard uncertainty of the motion that nobody saw, in 1/64 code
    e_first = t_first - half
    e_last = dt - t_last - half
    t_range = t_last - t_first
    missing = t_range - (((n - 1) * s[_PERIOD_16]) >> 4)
    if missing <= half and missing >= 0 - half and e_first <= half << 1 and e_last <= half << 1:
        begin = (n * first - total) >> rough
        end = (n * last - total) >> rough
        v = (begin * e_first + end * e_last) // n
        if n > 1:
            bend = 3 * (begin + end) // (n << 1)
            if n < 8:
                bend = 0  # noise alone
            v += int(_ends((last - first) >> rough, bend, t_range, half, e_first, e_last))
    elif t_range > 0:
        off = (dt * n - 2 * r[base + _T_SUM]) // n  # middle minus centroid, in half us
        v = ((last - first) >> rough) * off
        width = t_range << 1
        if off < 0:
            off = 0 - off
        ratio = (off << 7) // t_range  # 256ths
        if ratio > 256:
            ratio = 256
        share += ratio * ratio << 1  # the slope's own scatter
        gap = dt - ((n * s[_PERIOD_16]) >> 4)
        if gap > 0:
            unseen = int(muldiv(span, gap << 5, dt, 6))
            if unseen > _MOST_UNSEEN:
                return 0
    whole = v // width
    rest = (((v - whole * width) << 8) + (width >> 1)) // width
    mean += (whole << 8 << rough) + (rest << rough)
    distance = int(muldiv(mean * s[_NUM] - s[_OFF], s[_MULTIPLIER], s[_DIVISOR], s[_K]))
    o[at] = int(_mapped(scale, base, distance))
    o[at + 1] = int(_variance(rec, base, share, unseen))
    return 1


@micropython.viper
def deviation(variance: int, scale) -> int:
    """Return the root of a variance in code**2 / 4096 as a length in 1/8 nm."""
    s = ptr32(scale)
    if variance <= 0:
        return 0
    shift = 12
    while variance >= 1 << 20:
        variance >>= 2
        shift -= 1
    while variance < 1 << 18:
        variance <<= 2
        shift += 1
    # root < 2**10, code < 2**20
    return (int(isqrt(variance)) * s[_CODE_64] + (1 << (shift - 1))) >> shift
