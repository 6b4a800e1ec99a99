"""What the board's journal holds: kinds of entries and their words, for both sides.

The journal lies in flash (`gauge.journal_flash`). Its entries have numbers that grow for ever,
over all boots; each has a kind, the boot that wrote it, and at most PAYLOAD_BYTES of payload:

    boot            words reset cause, self-test bits, previous boot; then the firmware's version
    records         frame DATA, a batch of records while no host was there
    change          frame LATEST of a record in which state or flags changed
    summary         one second of windows: a z per name of SUMMARY_NAMES
    health          words of gauge.health.HEALTH_NAMES
    crash           text
    key             words role, count: a wrong key was refused
    configuration   words CRC32 of the blob, recipe id, calibration id
    gap             frame GAP: sequences that were never recorded
    update          text

A frame is what goes over the link: type, body, CRC32, which is seeded with the layout of records,
so that no host reads a record of another layout as its own. Words are little-endian and signed,
`z` is a zigzag varint. All lists are append only: an entry may have fewer words than a list that
is younger, and more than one that is older.
"""

KIND_NAMES = (
    "none",
    "boot",
    "records",
    "change",
    "summary",
    "health",
    "crash",
    "key",
    "configuration",
    "gap",
    "update",
)
BOOT = 1
RECORDS = 2
CHANGE = 3
SUMMARY = 4
HEALTH = 5
CRASH = 6
KEY = 7
CONFIGURATION = 8
GAP = 9
UPDATE = 10

PAYLOAD_BYTES = 1056  # of one entry

# One second of windows, that in which they ended.
SUMMARY_NAMES = (
    "t_s",  # the second: board time
    "seq",  # first window
    "windows",
    "lost",  # conversions lost in between
    "state",  # of the last window, index into record.STATE_NAMES
    "state_reason",  # of the last window, index into record.REASON_NAMES
    "flags",  # FLAG_* bits that were active in any of them
    "position_mm",  # of the last window
    "n_thickness",  # windows with a valid thickness: mean, least, largest are those of them
    "thickness_8nm",
    "thickness_least_8nm",
    "thickness_largest_8nm",
    "n_porosity",  # windows with a valid porosity
    "porosity_ppm",  # mean
)

# Answer to JOURNAL_STATE.
STATE_NAMES = (
    "first",  # oldest entry that is kept
    "next",  # number that the next entry will have
    "acknowledged",  # the host has stored all before this one
    "sectors",  # of flash; 0: this board has no journal
    "erased",  # of them ready to be written
    "most_erases",  # of any sector
    "dropped",  # entries erased before a host had them, or for which there was no room, since boot
    "opened_us",  # time that the opening took
)
