"""What the board tells about itself when asked: STATUS, HEALTH and WHY, for both sides.

A reply to STATUS, HEALTH or SELF_TEST is one signed 32-bit word per name, each below 2**30 in
magnitude. Append only: a host names the words that it knows. A reply has room for 60 words; the
request says with which one it begins (none: the first), and a host reads on until none comes.

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
# Rounds of the loop by their length, in steps of 2.048 ms; the last one has all longer ones.
LOOP_STEP_US = 2048
LOOP_STEPS = 10
HEALTH_NAMES += (
    "heap_low",  # the fewest bytes that were ever free when the heap was looked at
    "self_test",  # bits: which of SELF_TEST_NAMES failed
    # starts since the board's files were made, by RESET_CAUSES
    "resets_power",
    "resets_watchdog",
    "resets_reset",
    "resets_crash",
    "configuration_copies",  # sound copies of the configuration, of two
    "reference_copies",  # the same of the reference
    "capacitance_id",  # the converter's factory gain, which differs from chip to chip; 0: unknown
    "climate_serial_high",  # upper 16 bits of the SHT4x's serial number
    "climate_serial_low",
    "laser_model",  # index into drivers.optoncdt.MODELS
    "laser_a_serial",  # as the laser said; 0: not yet
    "laser_b_serial",
    "frame_mc",  # temperatures: frame (the converter's), air at the head, the board's chip
    "air_mc",
    "board_mc",
    "flash_sectors",  # of the journal; 0: this board has none
    "flash_most_erases",  # of its most worn sector
    "flash_dropped",  # entries of the journal that were erased before a host had them
) + tuple("loop_%d" % step for step in range(LOOP_STEPS))
UNKNOWN_MC = -300_000  # in place of a temperature

# What may be at fault: WHY asks for one by its index and is answered with a text.
PART_NAMES = (
    "configuration",
    "capacitance",
    "climate",
    "laser_a",
    "laser_b",
    "self_test",
    "crash",  # what the program last ended with, of whatever boot
    "update",  # why the last new version was taken back
)
RESET_CAUSES = ("power", "watchdog", "reset", "crash")

# The self-test: one word for each, an index into SELF_TEST_RESULTS. Append only.
SELF_TEST_NAMES = (
    "memory",  # every byte of the ring's memory keeps what is written
    "arithmetic",  # known answers
    "storage",  # a file can be written and read back
    "configuration",  # there is one, and both copies are sound
    "journal",  # opened, and can be written
    "outputs",  # all low when they are switched off
    "inputs",  # no contact is closed
    "bus",  # SDA and SCL are high
    "capacitance",  # from here on: a first reading has come
    "climate",
    "laser_a",
    "laser_b",
)
SELF_TEST_OF_BOARD = 8  # so many concern the board and its program, the rest the sensors
SELF_TEST_RESULTS = ("waiting", "passed", "failed", "absent")

for _index, _name in enumerate(STATUS_NAMES):
    globals()["STATUS_" + _name.upper()] = _index
for _index, _name in enumerate(HEALTH_NAMES):
    globals()["HEALTH_" + _name.upper()] = _index
for _index, _name in enumerate(SELF_TEST_NAMES):
    globals()["SELF_TEST_" + _name.upper()] = _index


def new(names):
    """Return an all-zero set of words for a list of names."""
    return array("i", bytes(4 * len(names)))
