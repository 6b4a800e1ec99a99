"""Keys: who may change a gauge, or its records on this computer.

What the user types never leaves the computer and is kept nowhere. The key of a board and a role is
derived from it (`derive`: scrypt with board and role as the salt); the board holds that key, the
book's `keys.json` only its hash. A command that changes something takes the key *in hand*, asks
for it when it is needed first, and proves it: to the board by its challenge, to a book that has
keys by the hash. The audit log names it, as "operator 1f09c2aa".

    with held(Hand("what the operator types")):
        client.request(protocol.HOLD)            # unlocks the board when it asks for a key
        book.audit.append("lab", ...)            # the entry names the key

Nobody needs a key as long as none was set.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from gauge.link import protocol

from . import notation
from .errors import PorogaugeError, UsageError

__all__ = [
    "FILE",
    "Hand",
    "KeyDenied",
    "KeyRing",
    "derive",
    "from_file",
    "held",
    "in_hand",
    "name_of",
    "new_secret",
    "prove",
    "prove_to",
    "role_of",
    "take",
    "unlock",
]

FILE = "keys.json"  # its name in a book
ENVIRONMENT = "POROGAUGE_KEY"
LEAST, MOST = 8, 256  # characters of what is typed
_HOW = "--key-file FILE, POROGAUGE_KEY, or a terminal that can be asked"
_ROLES = {name: role for role, name in enumerate(protocol.ROLE_NAMES) if role >= protocol.OPERATOR}
# Entries of the audit log that only the metrologist makes; the operator makes the others.
_METROLOGIST = frozenset({"calibration", "key", "push", "recipe", "reprocess", "result", "update"})


class KeyDenied(PorogaugeError):
    """No key was given, or the one that was given does not open what it should."""


def role_of(name: str) -> int:
    """Number of a role by its name. Raises UsageError."""
    if name not in _ROLES:
        raise UsageError(f"{name} is not a role; legal: {', '.join(_ROLES)}")
    return _ROLES[name]


def derive(secret: str, device: str, role: int) -> bytes:
    """The key of a role on a board, 32 bytes, out of what the user types.

    scrypt (RFC 7914) with n = 2**14, r = 8, p = 1: 16 MiB and some 50 ms for each guess.
    """
    salt = b"porogauge key" + bytes.fromhex(device) + bytes([role])
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=protocol.KEY_BYTES
    )


def _hash(key: bytes) -> str:
    return hashlib.sha256(b"porogauge verifier" + key).hexdigest()


def name_of(role: int, key: bytes) -> str:
    """What the audit log calls a key: its role and the beginning of its hash."""
    return f"{protocol.ROLE_NAMES[role]} {_hash(key)[:8]}"


def _checked(secret: str, source: str) -> str:
    if not LEAST <= len(secret) <= MOST or not secret.isprintable():
        raise UsageError(f"{source}: a key has {LEAST} to {MOST} printable characters")
    return secret


def from_file(path: str | Path) -> str:
    """The key in a file: its only line. Raises UsageError."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    if len(lines) != 1:
        raise UsageError(f"{path}: a key file is one line, this has {len(lines)}")
    return _checked(lines[0], str(path))


def new_secret(role: int, path: str | None = None) -> str:
    """A new key: from a file, POROGAUGE_NEW_KEY, or asked for twice. Raises UsageError."""
    if path is not None:
        return from_file(path)
    if "POROGAUGE_NEW_KEY" in os.environ:
        return _checked(os.environ["POROGAUGE_NEW_KEY"], "POROGAUGE_NEW_KEY")
    name = protocol.ROLE_NAMES[role]
    if not sys.stdin.isatty():
        raise UsageError(
            f"the {name}'s new key is needed: --new-key-file FILE, POROGAUGE_NEW_KEY, or a"
            " terminal that can be asked"
        )
    secret = _checked(getpass.getpass(f"New key of the {name}: "), "new key")
    if getpass.getpass("Once more: ") != secret:
        raise UsageError("the two differ; nothing was changed")
    return secret


class Hand:
    """A key as its user gives it: at once, in a file, or asked for when it is needed first.

    `name` is what the audit log calls it; empty until it was proved. `role` is what it was proved
    for.
    """

    def __init__(self, secret: str | None = None, path: str | None = None):
        self._secret = None if secret is None else _checked(secret, "key")
        self._path = path
        self.name = ""
        self.role = 0

    def secret(self, role: int) -> str:
        """What the user types; `role` is the least that is needed. Raises KeyDenied."""
        if self._secret is None:
            if self._path is not None:
                self._secret = from_file(self._path)
            elif ENVIRONMENT in os.environ:
                self._secret = _checked(os.environ[ENVIRONMENT], ENVIRONMENT)
            elif sys.stdin.isatty():
                asked = getpass.getpass(f"Key of the {protocol.ROLE_NAMES[role]}: ")
                self._secret = _checked(asked, "key")
            else:
                raise KeyDenied(
                    f"needs the {protocol.ROLE_NAMES[role]}'s key: give it with {_HOW}"
                )
        return self._secret

    @property
    def asks(self) -> bool:
        """Whether somebody at the terminal would be asked for it."""
        return self._secret is None and self._path is None and ENVIRONMENT not in os.environ

    def proved(self, role: int, key: bytes) -> None:
        """A board or a book has taken the key."""
        self.role = role
        self.name = name_of(role, key)


_current: ContextVar[Hand | None] = ContextVar("porogauge_key", default=None)


def in_hand() -> Hand:
    """The key of this context; one that is asked for when it is needed, when none was given."""
    hand = _current.get()
    if hand is None:
        hand = Hand()
        _current.set(hand)
    return hand


def take(hand: Hand) -> None:
    """Use `hand` in this context from now on."""
    _current.set(hand)


@contextmanager
def held(hand: Hand) -> Iterator[Hand]:
    """Use `hand` in the body."""
    token = _current.set(hand)
    try:
        yield hand
    finally:
        _current.reset(token)


class KeyRing:
    """Hashes of the keys of gauges, in the `keys.json` of a book: {device: {role: hash}}."""

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / FILE

    def all(self) -> dict[str, dict[str, str]]:
        """What is there; {} when there is no file. Raises KeyDenied when it is damaged."""
        try:
            found = notation.json(self.path.read_text(encoding="utf-8"))
            for device, roles in found.items():
                if len(bytes.fromhex(device)) != 8 or not set(roles) <= set(_ROLES):
                    raise ValueError(f"{device} is not a device with its roles")
                if not all(len(bytes.fromhex(digest)) == 32 for digest in roles.values()):
                    raise ValueError(f"a hash of {device} is not one")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise KeyDenied(
                f"{self.path}: cannot be read: {error}; put it back from a copy, or take it away"
                " and run 'porogauge key check' at each gauge"
            ) from None
        return found

    def put(self, device: str, role: int, key: bytes | None) -> None:
        """Keep the hash of a key, or forget it (None)."""
        found = self.all()
        roles = found.setdefault(device, {})
        roles.pop(protocol.ROLE_NAMES[role], None)
        if key is not None:
            roles[protocol.ROLE_NAMES[role]] = _hash(key)
        draft = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({d: r for d, r in found.items() if r}, indent=1) + "\n")
            os.replace(draft, self.path)
        except OSError as error:
            raise PorogaugeError(f"{self.path}: cannot be written: {error.strerror}") from None

    def roles_of(self, device: str, secret: str) -> list[int]:
        """Roles whose key `secret` is on a device, highest first; [] when none is known."""
        known = self.all().get(device, {})
        return [
            role
            for name, role in sorted(_ROLES.items(), key=lambda item: -item[1])
            if name in known
            and hmac.compare_digest(known[name], _hash(derive(secret, device, role)))
        ]


def prove(folder: str | Path, kind: str) -> str:
    """Name of the key with which a change of this kind may enter a book; "" when it needs none.

    Raises KeyDenied when the book has keys and none of them, of a sufficient role, is in hand.
    """
    hand = in_hand()
    ring = KeyRing(folder)
    known = ring.all()
    need = protocol.METROLOGIST if kind in _METROLOGIST else protocol.OPERATOR
    if not known or hand.role >= need:
        return hand.name
    secret = hand.secret(need)
    for device in known:
        for role in ring.roles_of(device, secret):
            if role >= need:
                hand.proved(role, derive(secret, device, role))
                return hand.name
    raise KeyDenied(
        f"the key in hand is not the {protocol.ROLE_NAMES[need]}'s of any gauge that the book"
        f" {ring.path.parent} knows; 'porogauge key check' at a gauge adds what it accepts"
    )


def unlock(client: Any, need: int) -> None:
    """Unlock the transport of a connected client for a role, or a higher one.

    The book says which role's key is in hand; where it does not know, the needed one is tried
    first. Raises KeyDenied with what to do.
    """
    from .book import Book

    hand, device = in_hand(), client.hello.device
    secret = hand.secret(need)
    there = [r for r in _ROLES.values() if r >= need and client.hello.keys >> r & 1]
    known = [role for role in KeyRing(Book().path).roles_of(device, secret) if role >= need]
    refusal = f"the gauge has no key of the {protocol.ROLE_NAMES[need]}"
    for role in known or there:
        key = derive(secret, device, role)
        text = prove_to(client, role, key)
        if not text:
            hand.proved(role, key)
            return
        refusal = text
    raise KeyDenied(f"{device}: {refusal}")


def prove_to(client: Any, role: int, key: bytes) -> str:
    """Answer the board's challenge; return "" when it took the key, or why it did not."""
    from .errors import RequestFailed
    from .link import wire

    reply = client.request(protocol.CHALLENGE, bytes([role]))
    wait_s, nonce = wire.split_words(reply[:4])[0], reply[4:]
    if wait_s:
        return f"a wrong {protocol.ROLE_NAMES[role]}'s key was given before: wait {wait_s} s"
    text = protocol.unlock_text(bytes.fromhex(client.hello.device), nonce, role)
    try:
        client.request(protocol.UNLOCK, bytes([role]) + hmac.digest(key, text, "sha256"))
    except RequestFailed as error:
        if error.status is None:
            raise
        return str(error).partition(": ")[2]
    return ""
