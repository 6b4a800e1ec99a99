"""The flash journal of a board without flash: a list of entries behind the operations."""

from array import array

import porogauge  # noqa: F401  (lets `gauge` be imported on CPython)
from gauge import journal
from gauge.link import codec, commands, frame, protocol

PIECE = commands.REPLY_BYTES - 16


def sealed(body):
    """A frame (type, body, CRC32) as an entry has it."""
    buf = bytearray(body + bytes(frame.CRC_BYTES))
    return bytes(buf[: frame.seal(buf, len(body))])


def v(value):
    """An unsigned varint."""
    out = bytearray(5)
    return bytes(out[: codec.put_v(out, 0, value)])


def z(value):
    """A zigzag varint."""
    return v((value << 1 ^ value >> 31) & 0xFFFFFFFF)


def records(boot, rows, batch=0):
    """Payload of a `records` entry."""
    packer, out, at = codec.Packer(), bytearray(2048), 0
    packer.begin()
    for row in rows:
        at = packer.add(array("i", row), out, at)
    return sealed(bytes([protocol.DATA, len(rows)]) + v(boot) + v(batch) + bytes(out[:at]))


def gap(boot, first, last, cause):
    """Payload of a `gap` entry."""
    body = v(boot) + v(0) + v(first) + v(last) + bytes([cause])
    return sealed(bytes([protocol.GAP]) + body)


def words(*values):
    """Payload of words."""
    return b"".join(value.to_bytes(4, "little", signed=True) for value in values)


def summary(**values):
    """Payload of a `summary` entry; what is not named is 0."""
    return b"".join(z(values.get(name, 0)) for name in journal.SUMMARY_NAMES)


class FakeJournal:
    """Entries that last over boots; `keep` of them at most."""

    def __init__(self, keep=1 << 30):
        self.keep = keep
        self.entries = {}  # number -> (kind, boot, payload)
        self.first = self.next = self.acknowledged = 0
        self.damaged = set()  # numbers that cannot be read
        self.asked = []  # operations

    def add(self, kind, boot, payload):
        self.entries[self.next] = kind, boot, payload
        self.next += 1
        self.erase(self.next - self.keep)

    def erase(self, number):
        """Keep nothing before an entry."""
        while self.first < number:
            del self.entries[self.first]
            self.first += 1

    def handle(self, op, request, reply):
        """Answer one of the three operations; None: it is another one."""
        if op not in (protocol.JOURNAL_STATE, protocol.JOURNAL_READ, protocol.JOURNAL_DONE):
            return None
        self.asked.append(op)
        if op == protocol.JOURNAL_STATE:
            state = {"first": self.first, "next": self.next, "sectors": 8}
            state["acknowledged"] = self.acknowledged
            for name in journal.STATE_NAMES:
                reply.word(state.get(name, 0))
        elif op == protocol.JOURNAL_READ:
            number, offset = max(request.word(0), self.first), request.word(1)
            if number in self.damaged:
                reply.text("damaged")
                return protocol.FAILED
            if number >= self.next:
                for word in (self.next, 0, 0, 0):
                    reply.word(word)
                return protocol.OK
            kind, boot, payload = self.entries[number]
            for word in (number, kind, len(payload), boot):
                reply.word(word)
            reply.data(payload[offset : offset + PIECE])
        else:
            self.acknowledged = max(self.acknowledged, min(request.word(0), self.next))
        return protocol.OK
