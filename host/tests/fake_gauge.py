"""A gauge without sensors on a TCP port: the board's own session, made-up records.

    python fake_gauge.py --boot 3 --rate 400 --records 2000

Prints the port's number and serves one client after the other until its stdin is closed. With
`--tty PATH` it is on a terminal under that name in place of the socket; a line on stdin pulls the
plug, the next one puts it back. The records follow from their sequence number (`words`), so that
a test knows every word of them.
"""

import argparse
import os
import random
import select
import socket
import sys
import time
from binascii import crc32

import porogauge  # noqa: F401  (lets `gauge` be imported on CPython)
from gauge import config, health, record
from gauge.keys import Keys
from gauge.link import protocol
from gauge.link.session import BoardSession, ConfigTransfer

DEVICE = bytes.fromhex("e661a4d4178c2b2f")


def steady(rec):
    """An empty gap, as the standard head reads it, something in the beams; nothing moves."""
    rec[record.CAP_CODE] = 0x800000 + rec[record.SEQ] % 3
    rec[record.FRAME_MC], rec[record.AIR_MC], rec[record.RH_PPM] = 23_000, 23_000, 500_000
    for base in (record.A_N, record.B_N):
        rec[base] = 44
        rec[base + 1] = 44 * 131_000 + rec[record.SEQ] % 5
        rec[base + 6] = 44 * 5500
    return rec


def words(seq, boot):
    """The record of a sequence number."""
    rec = record.new()
    draw = random.Random(seq * 65_536 + boot)
    rec[record.SEQ] = seq
    us = seq * 11_000 + 5
    rec[record.T_S], rec[record.T_US] = divmod(us, 1_000_000)
    rec[record.DT_US] = 11_000
    rec[record.STATE] = record.STATE_MEASURING
    rec[record.STATE_REASON] = record.REASON_FILM_PRESENT
    rec[record.VALID] = record.VALID_ALL
    rec[record.POSITION_MM] = seq * 5
    rec[record.OUTPUTS] = record.OUT_GOOD
    rec[record.CAP_CODE] = draw.randrange(1 << 24)
    rec[record.THICKNESS_8NM] = 200_000 + draw.randrange(-800, 800)
    rec[record.POROSITY_PPM] = 500_000 + draw.randrange(-2000, 2000)
    rec[record.PERMITTIVITY_E4] = 19_300
    rec[record.SOLID_8NM] = 100_000
    rec[record.U_THICKNESS_8NM] = 1500
    rec[record.U_POROSITY_PPM] = 9000
    if seq % 100 < 3:
        rec[record.FLAGS] = record.FLAG_THICKNESS_HI
    return rec


class Transport:
    """What the session writes to and reads from: the client that is there, or nobody."""

    def __init__(self):
        self.client = None

    def write(self, buf, n):
        if self.client is None:
            return n
        try:
            return self.client.send(memoryview(buf)[:n])
        except BlockingIOError:
            return 0
        except OSError:
            return n

    def readinto(self, buf):
        if self.client is None:
            return 0
        try:
            n = self.client.recv_into(buf)
        except BlockingIOError:
            return 0
        except OSError:
            n = 0
        if n == 0:
            self.client.close()
            self.client = None
        return n


class Tty:
    """The same over a terminal, which can be unplugged; it has the name `path` while it is there.

    Its other end is kept open, so that the bytes wait for a client, as far as there is room.
    """

    def __init__(self, path):
        self.path = path
        self.ends = None
        self.plug()

    def plug(self):
        """Come, or go."""
        if self.ends is not None:
            os.unlink(self.path)
            for end in self.ends:
                os.close(end)
            self.ends = None
            return
        import tty

        self.ends = os.openpty()
        tty.setraw(self.ends[1])
        os.set_blocking(self.ends[0], False)
        os.symlink(os.ttyname(self.ends[1]), self.path)

    def write(self, buf, n):
        if self.ends is None:
            return 0
        try:
            return os.write(self.ends[0], memoryview(buf)[:n])
        except BlockingIOError:
            return 0

    def readinto(self, buf):
        if self.ends is None:
            return 0
        try:
            data = os.read(self.ends[0], len(buf))
        except BlockingIOError:
            return 0
        buf[: len(data)] = data
        return len(data)


class Files(dict):
    """The board's small files."""

    read = dict.get
    write = dict.__setitem__


class Gauge:
    def __init__(self, arguments):
        self.arguments = arguments
        self.blob = None
        self.held = False
        self.latched = record.FLAG_THICKNESS_HIHI | record.FLAG_WATCHDOG_RESTART
        self.standardised = None
        self.left = None
        self.session = BoardSession(
            arguments.ring,
            {"device_id": DEVICE, "board": "FAKE", "firmware": "9.9"},
            arguments.boot,
            self.handle,
            ConfigTransfer(config.BLOB_BYTES, lambda: self.blob, self.commit),
            keys=Keys(Files(), DEVICE),
        )

    def commit(self, blob):
        config.unpack(blob)
        self.blob = bytes(blob)

    def handle(self, op, request, reply):
        if op == protocol.STATUS:
            reply.words(self.status(), len(health.STATUS_NAMES))
        elif op == protocol.HEALTH:
            first = request.word(0) if request.n_words else 0
            reply.words(health.new(health.HEALTH_NAMES), len(health.HEALTH_NAMES), first)
        elif op == protocol.WHY:
            if health.PART_NAMES[request.word(0)] == "climate":
                reply.text("does not answer: check its power, SDA and SCL")
        elif op == protocol.ACKNOWLEDGE:
            self.latched &= ~request.word(0)
            reply.word(self.latched)
        elif op in (protocol.HOLD, protocol.RESUME):
            self.held = op == protocol.HOLD
        elif op == protocol.STANDARDISE:
            if self.held:
                reply.text("the gauge is on hold")
                return protocol.REFUSED
            self.standardised = time.monotonic()
        elif op in (protocol.REPL, protocol.RESET, protocol.BOOTLOADER):
            self.left = protocol.OP_NAMES[op]
        else:
            return protocol.UNKNOWN
        return protocol.OK

    def status(self):
        found = health.new(health.STATUS_NAMES)
        rec = words(max(0, self.session.next_seq - 1), self.arguments.boot)
        for index, name in enumerate(health.STATUS_NAMES):
            if name in record.FIELD_NAMES:
                found[index] = rec[record.FIELD_NAMES.index(name)]
        found[health.STATUS_WINDOWS] = self.session.next_seq
        found[health.STATUS_LATCHED] = self.latched
        found[health.STATUS_STANDARD_S] = -1
        if self.held:
            found[health.STATUS_STATE] = record.STATE_HOLD
            found[health.STATUS_STATE_REASON] = record.REASON_HOLD_REQUESTED
        if self.standardised is not None:
            age = time.monotonic() - self.standardised
            if age < 0.3:
                found[health.STATUS_STATE] = record.STATE_STANDARDISING
            else:
                found[health.STATUS_STANDARD_S] = int(age)
                found[health.STATUS_STANDARD_RESULT] = self.arguments.refuse
                found[health.STATUS_AS_FOUND_C0_AF] = 5_566_000
                found[health.STATUS_AS_LEFT_C0_AF] = 5_566_100
        if self.blob:
            blob = config.unpack(self.blob)
            found[health.STATUS_CONFIGURED] = 1
            found[health.STATUS_RECIPE_ID] = blob[config.RECIPE_ID]
            found[health.STATUS_CALIBRATION_ID] = blob[config.CALIBRATION_ID]
        return found

    def serve(self):
        listener = socket.create_server(("127.0.0.1", self.arguments.port))
        tty = self.arguments.tty
        transport = Tty(tty) if tty else Transport()
        print(listener.getsockname()[1], flush=True)
        listener.setblocking(False)
        begin, due = time.monotonic(), 0
        while self.left is None or not self.session.flushed():
            now = time.monotonic()
            if sys.stdin in select.select([sys.stdin], [], [], 0.001)[0]:
                if not tty or not os.read(0, 1):
                    return
                transport.plug()
            if not tty and transport.client is None:
                try:
                    transport.client, _ = listener.accept()
                    transport.client.setblocking(False)
                except BlockingIOError:
                    pass
            ticks = int(now * 1e6) & 0x3FFFFFFF
            due = min(self.arguments.records, int((now - begin) * self.arguments.rate))
            while self.session.next_seq < due:
                seq = self.session.next_seq
                if self.arguments.skip and seq == self.arguments.skip:
                    seq += 5
                rec = words(seq, self.arguments.boot)
                self.session.append(steady(rec) if self.arguments.steady else rec)
            self.session.poll(ticks, transport)
        print(self.left, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tty", help="name of a terminal to be on, not on a socket")
    parser.add_argument("--layout", help="another hash of the record layout, hexadecimal")
    parser.add_argument("--boot", type=int, default=1)
    parser.add_argument("--rate", type=float, default=400)
    parser.add_argument("--records", type=int, default=1 << 28)
    parser.add_argument("--ring", type=int, default=1 << 16)
    parser.add_argument("--skip", type=int, default=0, help="first of five windows never made")
    parser.add_argument("--steady", action="store_true", help="an empty gap, not made-up numbers")
    parser.add_argument("--refuse", type=int, default=0, help="reason of a standardisation")
    arguments = parser.parse_args()
    if arguments.layout:  # as firmware of another version has it
        record.LAYOUT_HASH = bytes.fromhex(arguments.layout)
        protocol.LAYOUT_SEED = crc32(record.LAYOUT_HASH, protocol.PROTOCOL_SEED)
    Gauge(arguments).serve()
