"""The reference in force: what the head read without film, and when. One layout for all.

A standardisation makes a new one (`gauge.standardise`), `gauge.film` measures against it, the
application stores its bytes. An `array('i')` with one word per name of `NAMES`.

    >>> ref = from_calibration(words)
    >>> ref[C0_AF] == words[config.C0_AF]
    True
"""

from array import array

from gauge import config
from gauge.kernels import muldiv, per_kelvin

NAMES = (
    "c0_af",  # capacitance of the empty gap, stray removed
    "c0_frame_mc",  # frame temperature at which it was found
    "d_8nm",  # thickness of a film in the gap plus both laser readings
    "d_frame_mc",  # frame temperature at which it was found
    "u_d_8nm",  # standard uncertainty of d from the scatter of the lasers while it was found
    "windows",  # windows averaged; 0: the values are those of the calibration
    "t_s",  # seconds since boot; -1: of an earlier boot, or of the calibration
    "calibration_id",  # of the calibration with which it was found
)
C0_AF, C0_FRAME_MC, D_8NM, D_FRAME_MC, U_D_8NM, WINDOWS, T_S, CALIBRATION_ID = range(len(NAMES))


def from_calibration(words):
    """Return the reference that the calibration states (words of `gauge.config`). Allocates."""
    ref = array("i", bytes(4 * len(NAMES)))
    ref[C0_AF] = words[config.C0_AF]
    ref[C0_FRAME_MC] = words[config.FRAME_REF_MC]
    ref[D_8NM] = words[config.D_8NM]
    ref[D_FRAME_MC] = words[config.FRAME_REF_MC]
    ref[T_S] = -1
    ref[CALIBRATION_ID] = words[config.CALIBRATION_ID]
    return ref


def from_bytes(blob, words):
    """Return a stored reference, or None when it cannot be used. Allocates.

    It cannot when its length is wrong, when it belongs to another calibration, or when it is
    further from the calibration than a standardisation would accept. Its time is of an earlier
    boot, so that it is due for renewal at once.
    """
    if blob is None or len(blob) != 4 * len(NAMES):
        return None
    ref = array("i", bytes(blob))
    if ref[CALIBRATION_ID] != words[config.CALIBRATION_ID] or ref[WINDOWS] < 1:
        return None
    for mc in (ref[C0_FRAME_MC], ref[D_FRAME_MC]):
        if not -60_000 <= mc <= 160_000:
            return None
    if not 0 < ref[C0_AF] <= 1 << 25 or not 0 <= ref[D_8NM] < 1 << 30:
        return None
    if not 0 <= ref[U_D_8NM] < 1 << 20:
        return None
    if c0_drift(ref[C0_AF], ref[C0_FRAME_MC], words) > c0_limit(words):
        return None
    if d_drift(ref[D_8NM], ref[D_FRAME_MC], words) > words[config.D_DRIFT_8NM]:
        return None
    ref[T_S] = -1
    return ref


def c0_drift(c0_af, frame_mc, words):
    """Return by how much C0 differs from the calibration's at that frame temperature, in aF."""
    gap = words[config.GAP_8NM]
    growth = per_kelvin(words[config.GAP_TEMP_8NM_PER_K], frame_mc - words[config.FRAME_REF_MC])
    if growth * 2 < -gap:
        growth = -(gap >> 1)
    return abs(c0_af - muldiv(words[config.C0_AF], gap, gap + growth, 4))


def c0_limit(words):
    """Return the drift beyond which a new C0 is refused, in aF."""
    return muldiv(words[config.C0_AF], words[config.C0_DRIFT_PPM], 1_000_000, 9)


def d_drift(d_8nm, frame_mc, words):
    """Return by how much D differs from the calibration's at that frame temperature, in 1/8 nm."""
    growth = per_kelvin(words[config.D_TEMP_8NM_PER_K], frame_mc - words[config.FRAME_REF_MC])
    return abs(d_8nm - words[config.D_8NM] - growth)
