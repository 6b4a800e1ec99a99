"""Who may change the gauge: a key for each role, proved by answering a challenge (pure).

A board without keys is open. Keys are given when it is commissioned, the metrologist's first;
then every operation in `protocol.NEEDS` wants a transport that one of its roles has unlocked:

    CHALLENGE  the board draws a nonce, good for one attempt
    UNLOCK     HMAC-SHA256(key, protocol.unlock_text(...)) of it; a key never passes for that

A transport is locked again a minute after its last command, and when its host changes. Each wrong
key doubles the wait before the next attempt of that role, 1 s to 60 s, on all transports; the
count is kept in the file WRONG, so that a restart ends no wait.

HMAC: RFC 2104. KEYS holds the keys of operator and metrologist, zeros for none, in two copies.
"""

import os
from hashlib import sha256

from micropython import const

from gauge.config_store import Damaged, TwoCopies
from gauge.link import protocol

KEYS = "keys"
WRONG = "keys.wrong"
_NONE = bytes(protocol.KEY_BYTES)
_ROLES = (protocol.OPERATOR, protocol.METROLOGIST)
_BLOCK = const(64)
_LONGEST_S = const(60)
_DAMAGED = (
    "the board's files keys.a and keys.b are damaged: start it with the service pin active,"
    " delete them, and set the keys anew"
)


def hmac_sha256(key, message):
    """Return the 32 bytes of HMAC-SHA256 for a key of at most 64 bytes."""
    key = key + bytes(_BLOCK - len(key))
    inner = sha256(bytes([byte ^ 0x36 for byte in key]))
    inner.update(message)
    outer = sha256(bytes([byte ^ 0x5C for byte in key]))
    outer.update(inner.digest())
    return outer.digest()


def _same(a, b):
    """Compare two texts of 32 bytes in a time that does not depend on them."""
    differs = 0
    for index in range(protocol.KEY_BYTES):
        differs |= a[index] ^ b[index]
    return differs == 0


def wait_s(wrong):
    """Return the seconds between the last of `wrong` attempts in a row and the next."""
    if wrong == 0:
        return 0
    return min(1 << min(wrong - 1, 6), _LONGEST_S)


class Keys:
    """The keys in `store` (`gauge.hw.common.Store`) of the board with the 8 bytes `device_id`.

    `refused(role, count)` is called after each wrong key, `wrote()` after each write to the
    flash, during which the board stood still.
    """

    OPERATIONS = (protocol.CHALLENGE, protocol.UNLOCK, protocol.SET_KEY)

    def __init__(self, store, device_id, refused=None, wrote=None):
        self._store = store
        self._kept = TwoCopies(store, KEYS)
        self._device_id = device_id
        self._refused = refused
        self._wrote = wrote
        self.fault = ""  # why nothing can be unlocked
        self._keys = [None, _NONE, _NONE]  # by role
        self._load()
        count = store.read(WRONG) or b""
        # of each role; after a start the wait begins with the board's clock, at zero
        self._wrong = [0, 0, 0]
        if len(count) == 2:
            self._wrong[1:] = list(count)
        self._until_s = [wait_s(wrong) for wrong in self._wrong]

    def _load(self):
        try:
            kept = self._kept.read()
        except Damaged:
            self.fault = _DAMAGED
            return
        if kept is not None:
            self._keys = [None, kept[: protocol.KEY_BYTES], kept[protocol.KEY_BYTES :]]

    @property
    def roles(self):
        """Bit per role that has a key; 0: the board is open. Allocates nothing."""
        if self.fault:
            return 1 << protocol.METROLOGIST
        found = 0
        for role in _ROLES:
            if self._keys[role] != _NONE:
                found |= 1 << role
        return found

    def handle(self, port, op, request, reply, now_s, now):
        """Refuse what `port` may not ask for, and do OPERATIONS; None: somebody else does it.

        `now_s` in seconds since power-up, `now` in ticks.
        """
        needs = protocol.NEEDS.get(op, 0)
        if needs and self.roles:
            if port.role < needs:
                reply.text(self.fault or "the %s's key" % protocol.ROLE_NAMES[needs])
                return protocol.DENIED
            port.unlocked = now
        if op == protocol.CHALLENGE:
            return self._challenge(port, request, reply, now_s)
        if op == protocol.UNLOCK:
            return self._unlock(port, request, reply, now_s, now)
        if op == protocol.SET_KEY:
            return self._set(port, request, reply)
        return None

    def _role(self, data, size):
        """Return the role that a payload of `size` bytes begins with."""
        if len(data) != size or not protocol.OPERATOR <= data[0] <= protocol.METROLOGIST:
            raise ValueError("needs %d bytes, the first a role: 1 or 2" % size)
        return data[0]

    def _left_s(self, role, now_s):
        return max(0, self._until_s[role] - now_s)

    def _challenge(self, port, request, reply, now_s):
        role = self._role(request.data(), 1)
        port.nonce = os.urandom(protocol.NONCE_BYTES)
        reply.word(self._left_s(role, now_s))
        reply.data(port.nonce)
        return protocol.OK

    def _unlock(self, port, request, reply, now_s, now):
        data = request.data()
        role = self._role(data, 1 + protocol.KEY_BYTES)
        name = protocol.ROLE_NAMES[role]
        nonce, port.nonce = port.nonce, None
        left_s = self._left_s(role, now_s)
        if left_s:
            reply.text("a wrong %s's key was given: wait %d s" % (name, left_s))
            return protocol.REFUSED
        if nonce is None:
            reply.text("ask for a challenge first: each is good for one attempt")
            return protocol.REFUSED
        if self.fault or self._keys[role] == _NONE:
            reply.text(self.fault or "the gauge has no key of the %s" % name)
            return protocol.REFUSED
        text = protocol.unlock_text(self._device_id, nonce, role)
        wrong = self._wrong[role]
        if _same(hmac_sha256(self._keys[role], text), data[1:]):
            if wrong:
                self._count(role, 0, now_s)
            port.role = role
            port.unlocked = now
            return protocol.OK
        wrong = min(wrong + 1, 255)
        self._count(role, wrong, now_s)
        if self._refused is not None:
            self._refused(role, wrong)
        reply.text("wrong %s's key; the next attempt in %d s" % (name, wait_s(wrong)))
        return protocol.DENIED

    def _count(self, role, wrong, now_s):
        """Keep how often in a row a key was wrong, before the answer leaves."""
        self._wrong[role] = wrong
        self._until_s[role] = now_s + wait_s(wrong)
        try:
            self._store.write(WRONG, bytes(self._wrong[1:]))
        except OSError:
            pass  # a full file system must not lock anybody out; the wait counts all the same
        self._has_written()

    def _set(self, port, request, reply):
        data = request.data()
        role = self._role(data, 1 + protocol.KEY_BYTES)
        key = data[1:]
        operator, metrologist = protocol.OPERATOR, protocol.METROLOGIST
        if role == operator and key != _NONE and self._keys[metrologist] == _NONE:
            reply.text("the metrologist's key comes first: it is the one that sets the others")
            return protocol.REFUSED
        if role == metrologist and key == _NONE and self._keys[operator] != _NONE:
            reply.text("the operator's key must be removed first")
            return protocol.REFUSED
        keys = [None, self._keys[operator], self._keys[metrologist]]
        keys[role] = key
        self._kept.write(keys[operator] + keys[metrologist])
        self._keys = keys
        self._has_written()
        return protocol.OK

    def _has_written(self):
        if self._wrote is not None:
            self._wrote()
