"""What the board tells about itself when asked: STATUS, HEALTH and WHY, for both sides.

A reply to STATUS or HEALTH is one signed 32-bit word per name, each below 2**30 in magnitude.
Append only: a host reads as many words as the board sends, and names the ones that it knows.

    >>> from gauge import health
    >>> words = health.new(health.HEALTH_NAMES)
    >>> words[health.HEALTH_UPTIME_S] = 12
"""

from array import array

# The process: what the gauge does and why.
STATUS_NAMES = (
    "state",  # index into record.STATE_NAMES
    "state_reason",  # index into record.REASON_NAMES
    "flags",  # record.FLAG_* bits
    "latched",
    "outputs",  # record.OUT_* bits
    "valid",  # record.VALID_* bits of the newest window
    "reason",  # index into record.REASON_NAMES: why a number is missing
    "windows",  # windows since boot
    "lost",  # conversions lost since boot
    "configured",  # 1: a legal calibration and recipe is in force
    "head_id",
    "calibration_id",
    "recipe_id",
    "standard_s",  # age of the reference in force, seconds; -1: none since boot
    "standard_result",  # index into record.REASON_NAMES: ok, or why the last one was refused
    "as_found_c0_af",  # last standardisation: what was in force before
    "as_left_c0_af",  # and what it found
    "as_found_d_8nm",
    "as_left_d_8nm",
    "frame_mc",
    "air_mc",
    "rh_ppm",
    "position_mm",
    "thickness_8nm",
    "permittivity_e4",
    "porosity_ppm",
    "solid_8nm",
    "u_thickness_8nm",
    "u_porosity_ppm",
    "standard_cause",  # index into STANDARD_CAUSES: why the last one was refused
)

# Why a standardisation was refused.
STANDARD_CAUSES = ("none", "c0_jump", "c0_drift", "d_jump", "d_drift")

# What a laser sends in place of a distance, counted one by one (`gauge.windows`).
LASER_COUNTERS = (
    "rate_too_high",  # 262075: data rate too high for the baud rate
    "no_peak",  # 262076
    "before_range",  # 262077
    "behind_range",  # 262078
    "not_calculated",  # 262080
    "too_wide",  # 262081
    "off",  # 262082
    "other",
    "broken",  # broken byte sequences
    "jump",  # distances that jump as no web can
)

# The machine: whether the board has what it needs.
HEALTH_NAMES = (
    "uptime_s",
    "reset_cause",  # index into RESET_CAUSES
    "heap_alloc",  # bytes, when the heap was last looked at: soon after the HEALTH before this
    "heap_free",  # the same
    "windows",  # windows since boot
    "idle_us",  # time slept since boot, mod 2**30; the rest the CPU was busy
    "loop_max_us",  # longest round of the loop since the last HEALTH
    "link_ring_bytes",
    "link_ring_used",  # bytes held for replay
    "link_dropped",  # records overwritten before a host had them
    "link_resent",  # batches sent again
    "link_bad_frames",  # frames from the host with a wrong checksum
    "capacitance_errors",
    "climate_errors",
    "laser_a_errors",
    "laser_b_errors",
)
for _laser in ("laser_a_", "laser_b_"):
    HEALTH_NAMES += tuple(_laser + name for name in LASER_COUNTERS)
# What may be at fault: WHY asks for one by its index and is answered with a text.
PART_NAMES = ("configuration", "capacitance", "climate", "laser_a", "laser_b")
RESET_CAUSES = ("power", "watchdog", "reset")

for _index, _name in enumerate(STATUS_NAMES):
    globals()["STATUS_" + _name.upper()] = _index
for _index, _name in enumerate(HEALTH_NAMES):
    globals()["HEALTH_" + _name.upper()] = _index


def new(names):
    """Return an all-zero set of words for a list of names."""
    return array("i", bytes(4 * len(names)))
