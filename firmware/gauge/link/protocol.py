"""What is said on the link between board and host: the one list, for both sides.

Frame = COBS(type, body, CRC32) + zero byte (`gauge.link.frame`). The bit 0x20 of the type chooses
the seed of the CRC: with it (lower case) the hash of the record layout, so that board and host
that disagree about a record reject each other's frames; without it (upper case) a constant of the
protocol, so that they can still say so and the board can still be led to its REPL.

Bodies, in order; `v` is an unsigned varint, `i` a little-endian signed 32-bit word, `z` a zigzag
varint. Frames to the board have a salt byte after the type, with which their body is XORed: the
host chooses it so that no encoded byte is a control character of the REPL (Ctrl-A to Ctrl-E).

    CONNECT    host   flags u8, layout hash (4 bytes), boot v, next sequence v: what is stored
    HELLO      board  protocol u8, layout hash (4), device id (8), flags u8, boot v, first batch
                      of the resumed stream v, oldest sequence v, next sequence v, ring bytes v,
                      clock s v, clock us v, configuration CRC (4), recipe id v, calibration id v,
                      board name (u8 length, text), firmware version (u8 length, text), keys u8
                      (bit per role that has one), version u8 (index into VERSION_NAMES: where the
                      running one lies), trial u8 (index into TRIAL_NAMES).
                      Append only: hosts of every age read it.
    DATA       board  records u8, boot v, batch v, records (`gauge.link.codec`)
    GAP        board  boot v, batch v, first sequence v, last sequence v, cause u8: these
                      sequences were never recorded
    OVERWRITTEN board boot v, oldest batch v, first sequence v, last sequence v: the ring dropped
                      these before the host had stored them; said until acknowledged
    LATEST     board  boot v, one z per field of LATEST_FIELDS: newest record, may be lost
    HEARTBEAT  board  boot v, oldest sequence v, next sequence v, dropped v, clock s v, us v
    ACK        host   boot v, next sequence v (all before are stored), batch v (all before are
                      stored), bit map of the batches from that one on that have arrived
    READ       host   boot v, first sequence v, count v: send again what the ring still has
    REQUEST, SERVICE  host   request id v, operation u8, payload
    REPLY, SERVED     board  request id v, operation u8, status u8, payload
"""

from binascii import crc32

from gauge import record

VERSION = 1

# frame types
CONNECT = 0x43  # C
HELLO = 0x48  # H
SERVICE = 0x53  # S
SERVED = 0x56  # V
DATA = 0x64  # d
GAP = 0x67  # g
OVERWRITTEN = 0x6F  # o
LATEST = 0x6C  # l
HEARTBEAT = 0x62  # b
ACK = 0x61  # a
READ = 0x6E  # n
REQUEST = 0x71  # q
REPLY = 0x72  # r
OF_LAYOUT = 0x20

PROTOCOL_SEED = crc32(b"porogauge link")  # the same in every version
LAYOUT_SEED = crc32(record.LAYOUT_HASH, PROTOCOL_SEED)

# flags of CONNECT
WANTS_STREAM = 1  # records, not only answers
TAKES_OVER = 2  # even if another transport has a living stream
# flags of HELLO
STREAMS_HERE = 1  # records are sent over this transport
STREAMS_ELSEWHERE = 2  # another transport has a living stream; it was not taken away

BATCH_RECORDS = 8  # a batch is closed when it has so many records,
BATCH_US = 100_000  # or when its first one is so old
FRAME_BYTES = 1056  # longest encoded frame of the board
TO_BOARD_BYTES = 240  # longest decoded frame to the board
ACK_BITMAP_BYTES = 32  # 256 batches may be under way or waiting for storage
REPLIES_KEPT = 4  # requests that a host may have under way, and answers that the board remembers
SILENCE_US = 3_000_000  # a stream whose host said nothing for so long is not sent on

LATEST_FIELDS = (
    "seq",
    "t_s",
    "t_us",
    "state",
    "state_reason",
    "valid",
    "reason",
    "flags",
    "latched",
    "outputs",
    "position_mm",
    "thickness_8nm",
    "permittivity_e4",
    "porosity_ppm",
    "solid_8nm",
    "u_thickness_8nm",
    "u_porosity_ppm",
)

# Why sequences are missing. Append only: numbers are stored.
GAP_NAMES = (
    "overwritten",  # the ring was full before the host had stored them
    "not_recorded",  # the board passed over these sequence numbers
    "board_restart",  # still in the board's memory when it restarted (said by the host)
)
GAP_OVERWRITTEN = 0
GAP_NOT_RECORDED = 1
GAP_BOARD_RESTART = 2

# Operations. Payloads of requests and replies are words (i) unless said otherwise; a reply whose
# status is not OK carries a text. Every operation may be repeated: the same request id is
# answered from memory, without being done again.
PING = 1  # -> clock s, clock us when it was answered (never from memory)
STATUS = 2  # -> words named by gauge.health.STATUS_NAMES
HEALTH = 3  # -> words named by gauge.health.HEALTH_NAMES
STANDARDISE = 4  # -> -; the outcome is in STATUS
ACKNOWLEDGE = 5  # mask of FLAG_* -> what is still latched
HOLD = 6
RESUME = 7
CONFIG_WRITE = 8  # offset, then bytes of the blob -> -
CONFIG_COMMIT = 9  # length, CRC32 of the blob as 4 bytes -> -; checked, stored, in force
CONFIG_READ = 10  # offset, count -> length of the blob in force, then its bytes
WHY = 11  # index into gauge.health.PART_NAMES -> text: what is wrong with it; empty: nothing
JOURNAL_STATE = 12  # -> words named by gauge.journal.STATE_NAMES
JOURNAL_READ = 13  # entry, offset -> entry, kind, length, boot, then its bytes from offset on, as
# many as fit. An entry that is not kept any more: the oldest one after it is answered; one that is
# not written yet: the number of the next one, and length 0
JOURNAL_DONE = 14  # entry: the host has stored all before it, they may be erased -> -
SELF_TEST = 15  # -> words named by gauge.health.SELF_TEST_NAMES
# Keys (`gauge.keys`). The first two are understood by boards and hosts of every layout, as are
# the services: a board that runs another version must still be unlocked to be updated.
CHALLENGE = 16  # role u8 -> seconds to wait (word), nonce (16 bytes)
UNLOCK = 17  # role u8, MAC (32 bytes) of unlock_text() -> -
SET_KEY = 18  # role u8, key (32 bytes; all zero: remove it) -> -
# services: understood by boards and hosts of every layout
REPL = 64  # end the program, leave the transport to the REPL
RESET = 65
BOOTLOADER = 66
FIRST_SERVICE = 64

OP_NAMES = {
    PING: "ping",
    STATUS: "status",
    HEALTH: "health",
    STANDARDISE: "standardise",
    ACKNOWLEDGE: "acknowledge",
    HOLD: "hold",
    RESUME: "resume",
    CONFIG_WRITE: "config_write",
    CONFIG_COMMIT: "config_commit",
    CONFIG_READ: "config_read",
    WHY: "why",
    JOURNAL_STATE: "journal_state",
    JOURNAL_READ: "journal_read",
    JOURNAL_DONE: "journal_done",
    SELF_TEST: "self_test",
    REPL: "repl",
    RESET: "reset",
    BOOTLOADER: "bootloader",
}

# status of a reply
OK = 0
UNKNOWN = 1  # the board does not know the operation
BAD = 2  # payload is not legal
REFUSED = 3  # not in this state
FAILED = 4  # tried, and failed
DENIED = 5  # needs a key
STATUS_TEXTS = (
    "ok",
    "unknown operation",
    "illegal payload",
    "refused",
    "failed",
    "needs a key",
)

# Roles of keys: a higher one may do whatever a lower one may. A board without keys is open.
ROLE_NAMES = ("none", "operator", "metrologist")
OPERATOR = 1
METROLOGIST = 2
NEEDS = {
    STANDARDISE: OPERATOR,
    ACKNOWLEDGE: OPERATOR,
    HOLD: OPERATOR,
    RESUME: OPERATOR,
    RESET: OPERATOR,
    CONFIG_WRITE: METROLOGIST,
    CONFIG_COMMIT: METROLOGIST,
    SET_KEY: METROLOGIST,
    REPL: METROLOGIST,
    BOOTLOADER: METROLOGIST,
}
KEY_BYTES = 32
NONCE_BYTES = 16
UNLOCKED_US = 60_000_000  # a transport is locked again so long after the last command

# HELLO: where the running version lies, and how far its update is
VERSION_NAMES = ("own", "a", "b")  # own: of the image, or of files beside main.py
TRIAL_NAMES = ("settled", "on_trial", "taken_back")  # the last: a new one failed, this is the old


def is_service(op):
    """Whether `op` is asked for with SERVICE frames, which every layout understands."""
    return op >= FIRST_SERVICE or op == CHALLENGE or op == UNLOCK


def unlock_text(device_id, nonce, role):
    """Return what the MAC of UNLOCK is made of: this board, this challenge, this role."""
    return b"porogauge unlock" + device_id + nonce + bytes([role])
