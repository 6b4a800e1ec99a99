"""Keys on the board: who may do what, for how long, and what a wrong key costs.

The session runs on the desk against the real host session; HMAC also on the 32-bit runtime.
"""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest
from link_pair import ID, WHO, Wire
from runtime import Unix32

from gauge import keys as board_keys
from gauge.keys import Keys, hmac_sha256, wait_s
from gauge.link import protocol
from gauge.link.session import BoardSession
from porogauge.link.session import HostSession

OPERATOR, METROLOGIST = protocol.OPERATOR, protocol.METROLOGIST
KEY = {OPERATOR: b"o" * 32, METROLOGIST: b"m" * 32}
NONE = bytes(32)


class Store(dict):
    """The board's small files."""

    read = dict.get

    def write(self, name, data):
        self[name] = bytes(data)


class Bench:
    """A board with keys, and as many hosts as ask."""

    def __init__(self, store=None):
        self.store = Store() if store is None else store
        self.now = 0.0
        self.refused = []
        self.done = []
        self.start()

    def start(self):
        """Power-up: the clock begins anew, the store stays."""
        self.base = self.now
        self.keys = Keys(self.store, ID, lambda *who: self.refused.append(who))
        self.board = BoardSession(8192, WHO, 7, self._do, keys=self.keys)
        self.wires = {}

    def _do(self, op, request, reply):
        self.done.append(op)
        return protocol.OK

    def host(self, name="usb"):
        if name not in self.wires:
            first = random.Random(name).randrange(1 << 20)
            self.wires[name] = Wire(1), HostSession(stream=False, first_id=first)
        return self.wires[name]

    def run(self, seconds, step=0.02):
        for _ in range(round(seconds / step)):
            self.now += step
            for wire, host in self.wires.values():
                self.board.poll(round((self.now - self.base) * 1e6) % 2**30, wire)
                host.receive(wire.receive(), self.now)
                wire.send(host.poll(self.now))

    def ask(self, op, payload=b"", name="usb"):
        """Status and reply of a request over a transport."""
        _, host = self.host(name)
        if not host.connected:
            self.run(0.4)
        request = host.request(op, payload)
        while not request.ended:
            self.run(0.02)
        return request.status, request.reply

    def unlock(self, role, key=None, name="usb"):
        status, reply = self.ask(protocol.CHALLENGE, bytes([role]), name)
        assert status == protocol.OK and len(reply) == 4 + protocol.NONCE_BYTES
        text = protocol.unlock_text(ID, reply[4:], role)
        mac = hmac.digest(KEY[role] if key is None else key, text, "sha256")
        return self.ask(protocol.UNLOCK, bytes([role]) + mac, name)

    def set(self, role, key=None):
        return self.ask(protocol.SET_KEY, bytes([role]) + (KEY[role] if key is None else key))[0]


@pytest.fixture
def commissioned():
    bench = Bench()
    assert bench.set(METROLOGIST) == protocol.OK
    assert bench.unlock(METROLOGIST)[0] == protocol.OK
    assert bench.set(OPERATOR) == protocol.OK
    bench.start()
    return bench


def test_hmac_is_that_of_rfc_2104():
    draw = random.Random(3)
    for n in (0, 1, 55, 64, 200):
        key, text = draw.randbytes(32), draw.randbytes(n)
        assert hmac_sha256(key, text) == hmac.digest(key, text, "sha256")
    assert (
        hmac_sha256(b"Jefe", b"what do ya want for nothing?").hex().startswith("5bdcc146bf60754e")
    )


def test_hmac_on_the_32_bit_runtime():
    code = "from gauge.keys import hmac_sha256\nstdout.write(hmac_sha256(stdin.read(32), b'film'))"
    assert Unix32().run(code, KEY[OPERATOR]) == hmac.digest(KEY[OPERATOR], b"film", hashlib.sha256)


def test_a_board_without_keys_is_open():
    bench = Bench()
    for op in protocol.NEEDS:
        if op != protocol.SET_KEY:
            assert bench.ask(op)[0] == protocol.OK
    assert bench.host()[1].hello.keys == 0


def test_every_operation_needs_its_role(commissioned):
    for role in (0, OPERATOR, METROLOGIST):
        if role:
            assert commissioned.unlock(role) == (protocol.OK, b"")
        for op, needs in protocol.NEEDS.items():
            status, reply = commissioned.ask(op, bytes([1]) + KEY[OPERATOR])
            if role >= needs:
                assert status == protocol.OK
            else:
                assert status == protocol.DENIED
                assert reply.decode() == f"the {protocol.ROLE_NAMES[needs]}'s key"
        assert commissioned.ask(protocol.STATUS)[0] == protocol.OK
    assert commissioned.host()[1].hello.keys == 1 << OPERATOR | 1 << METROLOGIST


def test_an_unlocked_transport_is_locked_again_after_a_minute(commissioned):
    commissioned.unlock(OPERATOR)
    for _ in range(3):  # each command renews it
        commissioned.run(50, 0.05)
        assert commissioned.ask(protocol.HOLD)[0] == protocol.OK
    for _ in range(7):  # questions do not
        commissioned.run(10, 0.05)
        commissioned.ask(protocol.STATUS)
    assert commissioned.ask(protocol.HOLD)[0] == protocol.DENIED


def test_only_the_transport_that_was_unlocked_and_only_its_host(commissioned):
    commissioned.unlock(OPERATOR)
    assert commissioned.ask(protocol.HOLD, name="uart")[0] == protocol.DENIED
    assert commissioned.ask(protocol.HOLD)[0] == protocol.OK
    commissioned.host()[1].link_down()  # another host on the same wire connects anew
    assert commissioned.ask(protocol.HOLD)[0] == protocol.DENIED


def test_a_challenge_is_good_for_one_attempt_on_its_transport(commissioned):
    _, reply = commissioned.ask(protocol.CHALLENGE, bytes([OPERATOR]))
    mac = hmac.digest(KEY[OPERATOR], protocol.unlock_text(ID, reply[4:], OPERATOR), "sha256")
    payload = bytes([OPERATOR]) + mac
    assert commissioned.ask(protocol.UNLOCK, payload, "uart")[0] == protocol.REFUSED
    assert commissioned.ask(protocol.UNLOCK, payload)[0] == protocol.OK
    assert commissioned.ask(protocol.UNLOCK, payload)[0] == protocol.REFUSED
    _, again = commissioned.ask(protocol.CHALLENGE, bytes([OPERATOR]))
    assert again != reply
    assert commissioned.ask(protocol.UNLOCK, payload)[0] == protocol.DENIED


def test_wrong_keys_are_slowed_down_told_and_counted_over_a_reset(commissioned):
    waits = []
    for count in range(1, 9):
        status, reply = commissioned.unlock(OPERATOR, b"x" * 32)
        assert status == protocol.DENIED and b"wrong operator's key" in reply
        assert commissioned.refused[-1] == (OPERATOR, count)
        _, reply = commissioned.ask(protocol.CHALLENGE, bytes([OPERATOR]))
        waits.append(int.from_bytes(reply[:4], "little"))
        status, reply = commissioned.unlock(OPERATOR)  # the right one has to wait, too
        assert status == protocol.REFUSED and b"wait" in reply
        assert len(commissioned.refused) == count
        assert commissioned.unlock(METROLOGIST)[0] == protocol.OK  # each role on its own
        commissioned.run(waits[-1] + 0.1, 0.05)
    full = [wait_s(count) for count in range(1, 9)]
    assert full == [1, 2, 4, 8, 16, 32, 60, 60]
    # whole seconds of the board's clock, one of which may have ended meanwhile
    assert all(0 <= wait - left <= 1 for wait, left in zip(full, waits, strict=True))
    assert commissioned.unlock(OPERATOR, b"x" * 32)[0] == protocol.DENIED
    commissioned.start()
    assert commissioned.unlock(OPERATOR)[0] == protocol.REFUSED
    commissioned.run(60, 0.05)
    assert commissioned.unlock(OPERATOR)[0] == protocol.OK
    assert commissioned.store[board_keys.WRONG] == bytes(2)


def test_keys_in_their_order():
    bench = Bench()
    assert bench.set(OPERATOR) == protocol.REFUSED
    assert bench.set(METROLOGIST) == protocol.OK
    assert bench.set(OPERATOR) == protocol.DENIED
    bench.unlock(METROLOGIST)
    assert bench.set(OPERATOR) == protocol.OK
    assert bench.set(METROLOGIST, NONE) == protocol.REFUSED
    assert bench.set(OPERATOR, NONE) == protocol.OK
    assert bench.set(METROLOGIST, NONE) == protocol.OK
    bench.start()
    assert bench.ask(protocol.HOLD)[0] == protocol.OK


@pytest.mark.parametrize("payload", [b"", b"\0" * 33, b"\3" + bytes(32), b"\1" * 32, b"\1" * 34])
def test_illegal_payloads(payload):
    bench = Bench()
    for op in (protocol.UNLOCK, protocol.SET_KEY):
        assert bench.ask(op, payload)[0] == protocol.BAD
    assert bench.ask(protocol.CHALLENGE, payload)[0] == protocol.BAD
    assert not bench.keys.roles


def test_one_damaged_copy_is_mended_and_two_open_nothing(commissioned):
    store = commissioned.store
    good = store["keys.a"]
    store["keys.a"] = good[:-1] + bytes([good[-1] ^ 1])
    commissioned.start()
    assert commissioned.unlock(OPERATOR)[0] == protocol.OK and store["keys.a"] == good
    store["keys.a"] = store["keys.b"] = b"damaged"
    commissioned.start()
    status, reply = commissioned.ask(protocol.HOLD)
    assert status == protocol.DENIED and b"keys.a and keys.b are damaged" in reply
    assert commissioned.unlock(METROLOGIST)[0] == protocol.REFUSED


def test_a_full_file_system_locks_nobody_out(commissioned):
    def full(name, data):
        raise OSError(28)

    commissioned.store.write = full
    assert commissioned.unlock(OPERATOR, b"x" * 32)[0] == protocol.DENIED
    commissioned.run(1.1)
    assert commissioned.unlock(OPERATOR)[0] == protocol.OK
    assert commissioned.unlock(METROLOGIST)[0] == protocol.OK
    assert commissioned.set(OPERATOR, b"n" * 32) == protocol.FAILED
