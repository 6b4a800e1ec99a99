"""The layout of a record, the list of flags, states and reasons: the one place, for both sides.

A record describes one *window*, that is one capacitance conversion (11 ms at 90.9 Hz). On the
board it is an `array('i')` with one signed 32-bit word per field of `FIELD_NAMES`; a word never
reaches 2**30 in magnitude, so that reading it allocates nothing on a 32-bit heap. The link packs
it (`gauge.link.codec`), the host stores every field. Raw sensor means are included, so that a
stored roll can be recomputed with another calibration.

    >>> from gauge import record
    >>> rec = record.new()
    >>> rec[record.SEQ] = 7
    >>> record.names_of(record.FLAG_NO_FILM | record.FLAG_OVERRUN)
    ['no_film', 'overrun']

Units are in the names: `_8nm` is 1/8 nanometre, `_af` attofarad, `_ppm` parts per million,
`_e4` ten-thousandths, `_us` microseconds, `_mc` thousandths of a degree Celsius, `_ppm` of
relative humidity means 10000 per %RH. A number that is not valid is stored as 0 with its bit in
`valid` clear and the cause in `reason`.
"""

from array import array
from binascii import crc32

# One laser's share of a record. Codes are the sensor's own distance words; times are relative to
# the start of the window and tell when the distance was taken: arrival minus the sensor's latency.
_LASER = (
    "n",  # valid samples in the window
    "sum",  # sum of the codes of the valid samples
    "first",  # code of the first valid sample
    "last",  # code of the last valid sample
    "t_first_us",  # time of the first valid sample after the window's start
    "t_last_us",  # time of the last valid sample after the window's start
    "t_sum_us",  # sum of the times of the valid samples after the window's start
    "min",  # smallest code
    "max",  # largest code
    "d2",  # sum of squared second differences of consecutive codes, each clamped to +-2047
    "n_d2",  # how many second differences the sum has
    "errors",  # samples with an error code, broken byte sequences, jumps of the distance
    "error_code",  # last one of the window, LASER_BROKEN and LASER_JUMP before all; 0: none
)

# Error codes of a laser that the sensor does not have; its own begin at 262072.
LASER_NO_DATA = 1  # nothing arrived in the window
LASER_BROKEN = 2  # broken byte sequences or characters: any distance may be damaged
LASER_JUMP = 3  # distances that jump as no web can: a damaged byte, or the edge of the film

FIELD_NAMES = (
    (
        "seq",  # number of the window since boot, from 0
        "t_s",  # board time of the window's end: whole seconds since boot
        "t_us",  # and microseconds, 0..999999
        "dt_us",  # length of the window
        "lost",  # conversions that were lost between the window before and this one
        "state",  # index into STATE_NAMES
        "state_reason",  # index into REASON_NAMES: why the gauge is in that state
        "valid",  # VALID_* bits
        "reason",  # index into REASON_NAMES: why a number is missing, 0 when none is
        "flags",  # FLAG_* bits, active (after deadband and delays)
        "latched",  # FLAG_* bits that wait for an acknowledgement
        "outputs",  # OUT_* bits as driven after this window
        "position_counts",  # web encoder, signed counts since boot
        "position_mm",  # the same in millimetres of web, folded into +-2**29
        "cap_code",  # AD7746 data word, 0..2**24-1
    )
    + tuple("a_" + name for name in _LASER)
    + tuple("b_" + name for name in _LASER)
    + (
        "frame_mc",  # frame temperature (AD7746), slow schedule
        "air_mc",  # air temperature at the head (SHT4x), slow schedule
        "rh_ppm",  # relative humidity at the head (SHT4x), slow schedule
        "c0_af",  # off-sheet capacitance in force (as left by the last standardisation)
        "d_8nm",  # sum distance of the two lasers in force
        "c0_frame_mc",  # frame temperature at which c0 was found
        "d_frame_mc",  # frame temperature at which d was found
        "u_d_8nm",  # standard uncertainty of d from the scatter while it was found
        "standard_windows",  # windows of that standardisation; 0: the calibration is in force
        "c_af",  # capacitance with film, stray removed
        "gap_8nm",  # electrode gap in force
        "delta_8nm",  # dielectric deficit of all that is in the gap
        "thickness_8nm",  # of the film, as all that follows: known layers are taken off
        "permittivity_e4",
        "porosity_ppm",
        "solid_8nm",  # solid-equivalent thickness t * (1 - porosity)
        "u_thickness_8nm",  # standard uncertainty
        "u_porosity_ppm",  # standard uncertainty
        "u_permittivity_e4",  # standard uncertainty
    )
)
N_FIELDS = len(FIELD_NAMES)

STATE_NAMES = ("warm_up", "off_sheet", "standardising", "measuring", "hold", "fault")

# Why a number is missing, or why the gauge is in its state. Append only: numbers are stored.
REASON_NAMES = (
    "ok",
    "warming_up",  # warm-up time or temperature drift has not ended
    "no_film",  # capacitance says that the gap is empty
    "standardising",
    "hold_requested",  # by command
    "laser_a_fault",
    "laser_b_fault",
    "capacitance_fault",
    "calibration_missing",  # no valid calibration and recipe on the board
    "not_physical",  # outside the physical bounds of the mixing law
    "not_resolvable",  # U95 of porosity exceeds the recipe's limit
    "edge_of_film",  # film came or went within the window
    "film_present",  # ready, film in the gap
    "standardisation_refused",  # drift beyond its limit: dust, or a wrong position
    "sensor_start",  # a sensor has not yet been verified after start
    "not_identifiable",  # the recipe's layers hide porosity: thickness alone is measured
)

FLAG_NAMES = (
    "thickness_lolo",
    "thickness_lo",
    "thickness_hi",
    "thickness_hihi",
    "porosity_lolo",
    "porosity_lo",
    "porosity_hi",
    "porosity_hihi",
    "permittivity_high",
    "not_physical",
    "not_resolvable",
    "no_film",
    "laser_a_fault",
    "laser_b_fault",
    "capacitance_fault",
    "environment_fault",
    "overrun",  # a conversion or laser bytes were lost
    "standardisation_due",
    "standardisation_refused",
    "calibration_missing",
    "outside_envelope",  # outside the calibrated range: thickness, porosity, climate, passline
    "record_gap",  # records were dropped before this one
    "watchdog_restart",  # the board was restarted by its watchdog; stays until acknowledged
    "crash_restart",  # the program ended with an error and was restarted; stays the same
    "flash_write",  # flash was written meanwhile: conversions before this one were not measured
)

VALID_NAMES = ("thickness", "permittivity", "porosity", "solid")
OUTPUT_NAMES = ("good", "marker", "heartbeat")  # good: the reject relay is energised


def _define(names, prefix, bits):
    """Make a module constant of every name: its index, or the bit at its index."""
    for index, name in enumerate(names):
        globals()[prefix + name.upper()] = (1 << index) if bits else index


_define(FIELD_NAMES, "", False)
_define(STATE_NAMES, "STATE_", False)
_define(REASON_NAMES, "REASON_", False)
_define(FLAG_NAMES, "FLAG_", True)
_define(VALID_NAMES, "VALID_", True)
_define(OUTPUT_NAMES, "OUT_", True)
VALID_ALL = (1 << len(VALID_NAMES)) - 1

# Any change of fields, flags, states or reasons gives another layout and so other frame checks:
# board and host that disagree about a record reject each other's frames.
_LISTS = (FIELD_NAMES, STATE_NAMES, REASON_NAMES, FLAG_NAMES, VALID_NAMES, OUTPUT_NAMES)
LAYOUT = ";".join(",".join(names) for names in _LISTS)
LAYOUT_HASH = crc32(LAYOUT.encode()).to_bytes(4, "little")


def new():
    """Return an empty record: one zero word per field."""
    return array("i", bytes(4 * N_FIELDS))


def expect(**values):
    """Raise unless each named constant of this module has the given value.

    Fast code needs its indices as literals (`const`); a module that has such literals calls this
    once when it is imported, so that they cannot drift from the list above.
    """
    for name, value in values.items():
        if globals()[name] != value:
            raise RuntimeError("%s is %d in gauge.record, not %d" % (name, globals()[name], value))


def names_of(mask, names=FLAG_NAMES):
    """Return the names of the bits set in `mask`, in the order of the list."""
    return [name for index, name in enumerate(names) if mask >> index & 1]
