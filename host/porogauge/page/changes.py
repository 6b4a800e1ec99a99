"""What the page may change: flags, rolls, notes. Each change is in the audit log.

Every request needs the page's token (`page.guard`); where the gauge or the book has keys, the
operator's key besides, typed on the page or given to `porogauge serve`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gauge import record
from gauge.link import protocol

from .. import keys, rolls
from ..audit import person
from ..book import Book
from ..errors import DeviceBusy, UsageError
from ..store import Store
from ..units import decode_status
from .answers import Answers

__all__ = ["Changes"]

_TEXT = 500  # characters of a note
_SHELVED_MOST_MIN = 24 * 60


class _NoKey(keys.Hand):
    """Says where a key is to be typed: nobody is asked on the server's terminal."""

    def secret(self, role: int) -> str:
        raise keys.KeyDenied(
            f"the {protocol.ROLE_NAMES[role]}'s key is needed: type it beside your name, or start"
            " 'porogauge serve' with --key-file"
        )


class Changes:
    """Writes into a database, a book, and through a recorder to the gauge."""

    def __init__(
        self,
        database: str,
        answers: Answers,
        book: Book,
        recorder: Any = None,
        hand: keys.Hand | None = None,
    ) -> None:
        self._database = database
        self._answers = answers
        self._book = book
        self._recorder = recorder
        self._hand = _NoKey() if hand is None or hand.asks else hand

    def do(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One change, by the last part of its address. Raises PorogaugeError."""
        jobs = {
            "acknowledge": self._acknowledge,
            "shelve": self._shelve,
            "unshelve": self._unshelve,
            "note": self._note,
            "roll/start": self._start,
            "roll/end": self._end,
        }
        if what not in jobs:
            raise UsageError(f"{what} is not something to change; legal: {', '.join(jobs)}")
        typed = _text(body, "key", keys.MOST, "")
        with keys.held(keys.Hand(typed) if typed else self._hand):
            return jobs[what](body, person(_text(body, "by", 80)))

    def _acknowledge(self, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        names = body.get("flags")
        if not isinstance(names, list) or not names:
            raise UsageError("flags: name at least one flag")
        mask = 0
        for name in names:
            mask |= 1 << record.FLAG_NAMES.index(self._answers.checked_flag(name))
        if self._recorder is None:
            raise DeviceBusy(
                "the gauge's port is another program's: start the page with"
                " 'porogauge serve FILE.db --port PORT' to acknowledge here"
            )
        why = _text(body, "why", _TEXT, "not stated")
        audit, hand = self._book.audit, keys.in_hand()
        audit.allow("acknowledgement")

        def job(client: Any) -> tuple[str, list[str], list[str]]:
            with keys.held(hand):
                before = decode_status(client.status())["latched"]
                left = client.words(protocol.ACKNOWLEDGE, mask)[0]
            return client.hello.device, before, record.names_of(left)

        device, before, left = self._recorder.ask(job)
        audit.append("acknowledgement", device, who, why, {"latched": before}, {"latched": left})
        return {"latched": left}

    def _shelve(self, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        minutes = body.get("minutes")
        real = isinstance(minutes, int | float) and not isinstance(minutes, bool)
        if not real or not 1 <= minutes <= _SHELVED_MOST_MIN:
            raise UsageError(f"minutes: a flag is shelved for 1 to {_SHELVED_MOST_MIN} minutes")
        told = {"until": round(time.time() + 60 * minutes, 3), "minutes": minutes}
        return self._shelf("shelved", body, who, told)

    def _unshelve(self, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        return self._shelf("unshelved", body, who, {})

    def _shelf(
        self, kind: str, body: Mapping[str, Any], who: str, told: dict[str, Any]
    ) -> dict[str, Any]:
        flag = self._answers.checked_flag(body.get("flag"))
        told = {"flag": flag} | told
        self._log(kind, self._device(body), who, _text(body, "why", _TEXT, "not stated"), told)
        return told

    def _note(self, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        roll = _text(body, "roll", 80, "")
        if roll:
            self._answers.roll(roll)
        told = {"roll": roll, "text": _text(body, "text", _TEXT)}
        self._log("note", self._device(body), who, "note", told)
        return told

    def _log(self, kind: str, device: str, who: str, why: str, told: dict[str, Any]) -> None:
        """Into the audit log, then into the database with the log's head."""
        entry = self._book.audit.append(kind, device, who, why, None, told)
        head = {"who": who, "why": why, "head": f"{entry['n']}:{entry['hash']}"}
        with Store(self._database, check=False) as store:
            store.event(kind, told | head, device)

    def _device(self, body: Mapping[str, Any]) -> str:
        device = self._answers.device(_text(body, "device", 40, ""))
        known = [found["device"] for found in self._answers.now(device)["devices"]]
        if device not in known:
            raise UsageError(f"device: not in this database; there: {', '.join(known) or 'none'}")
        return device

    def _start(self, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        device, grade = self._device(body), _text(body, "grade", 80, "") or None
        why = _text(body, "why", _TEXT, "not stated")
        with Store(self._database, check=False) as store:
            _, boot, seq = rolls.newest(store, device)
            name = _text(body, "name", 80)
            rolls.start(
                store, self._book, name, device, boot, seq + 1, who=who, why=why, grade=grade
            )
        return {"roll": name}

    def _end(self, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        name, why = _text(body, "name", 80), _text(body, "why", _TEXT, "not stated")
        with Store(self._database, check=False) as store:
            _, boot, seq = rolls.newest(store, rolls.find(store, name).device)
            rolls.end(store, self._book, name, boot, seq, who=who, why=why)
        return {"roll": name}


def _text(body: Mapping[str, Any], name: str, most: int, default: str | None = None) -> str:
    """A printable text of 1 to `most` characters; `default` where it is missing or empty."""
    value = body.get(name)
    if value in (None, "") and default is not None:
        return default
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= most:
        raise UsageError(f"{name}: has to be a text of 1 to {most} characters")
    if not all(c.isprintable() or c == "\n" for c in value):
        raise UsageError(f"{name}: has a character that cannot be printed")
    return value.strip()
