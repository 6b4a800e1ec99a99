"""What the host is told by others: a board's journal, keys, certificates, requests to the page."""

from __future__ import annotations

import http.client
import json
import random
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

from gauge import health, journal
from gauge.link import codec, protocol
from porogauge import certificate, keys, rolls
from porogauge import journal as kept_journal
from porogauge.book import Book
from porogauge.errors import PorogaugeError
from porogauge.link import events, wire
from porogauge.link.fetch import Fetch
from porogauge.page import Page
from porogauge.store import ConflictError, Store

from .host_kept import Kept, roll_data
from .line import DEVICE, board_talk
from .mutate import TOKENS, damage, noise, rewrite, word
from .parser import HostParser, Wrong


def _payloads() -> list[tuple[int, bytes]]:
    """Entries of each kind."""
    frames = {frame[0]: frame for frame in board_talk()}
    summary, at = bytearray(100), 0
    for k in range(len(journal.SUMMARY_NAMES)):
        at = codec.put_v(summary, at, 2 * k)
    return [
        (journal.BOOT, wire.words(1, 0, 6) + b"1.0.0"),
        (journal.RECORDS, frames[protocol.DATA]),
        (journal.CHANGE, frames[protocol.LATEST]),
        (journal.SUMMARY, bytes(summary[:at])),
        (journal.HEALTH, wire.words(*range(len(health.HEALTH_NAMES)))),
        (journal.CRASH, b"boot 3\nTraceback:\nOSError: 5\nhealth 1,2\n"),
        (journal.KEY, wire.words(1, 3)),
        (journal.CONFIGURATION, wire.words(-5, 17, 18)),
        (journal.GAP, frames[protocol.GAP]),
        (journal.UPDATE, b"version a, settled. "),
    ]


class HostJournal(HostParser):
    """Entries of a board's journal: told in words and kept, whatever they hold."""

    name, share, block = "host_journal", 15, 200

    def open(self) -> None:
        self.corpus = _payloads()
        self.others = [payload for _, payload in self.corpus]
        self.number = 0

    def make(self, rnd: random.Random) -> tuple[int, int, bytes]:
        kind, payload = rnd.choice(self.corpus)
        if rnd.random() < 0.1:
            kind = rnd.randrange(256)
        if rnd.random() < 0.9:
            payload = damage(rnd, payload, self.others, 4)[: journal.PAYLOAD_BYTES]
        return kind, rnd.randrange(1, 1 << 30), payload

    def feed(self, cases: Any) -> list[bool | str]:
        with Store(":memory:") as self.store:
            return super().feed(cases)

    def check(self, case: tuple[int, int, bytes]) -> bool:
        kind, boot, payload = case
        self.number += 1
        found = kept_journal.describe(kind, payload)
        if "\n" in kept_journal.sentence(kind, payload):
            raise Wrong("a sentence of several lines")
        before = self.store.count()
        entry = events.Entry(self.number, boot, kind, payload)
        try:
            kept_journal.keep(self.store, events.Entries(DEVICE.hex(), [entry]))
        except ConflictError:
            return False
        whole = payload in self.others or kind != journal.RECORDS
        if not whole and self.store.count() != before:
            raise Wrong("records of a damaged entry are stored")
        return "damaged" not in found


class HostFetch(HostParser):
    """`Fetch`: entries in order, each once, as the board sent them; a bounded number of looks."""

    name, share, block = "host_fetch", 8, 100

    def make(self, rnd: random.Random) -> tuple[int, list[tuple[int, bytes] | None], int]:
        """The oldest entry, entries (None: lost), and the seed of what happens to answers."""
        made = []
        for _ in range(rnd.randint(0, 8)):
            size = rnd.choice((0, 1, 20, 223, 224, 225, 700, journal.PAYLOAD_BYTES))
            made.append(None if rnd.random() < 0.2 else (rnd.randint(1, 10), rnd.randbytes(size)))
        return rnd.choice((0, 5, 1 << 29)), made, rnd.getrandbits(32)

    def check(self, case: tuple[int, list[tuple[int, bytes] | None], int]) -> bool:
        first, entries, seed = case
        rnd = random.Random(seed)
        harm = rnd.choice((0, 0, 0.2, 1))

        def ask(op: int, payload: bytes) -> SimpleNamespace:
            reply, status = _answer(first, entries, op, payload), protocol.OK
            if rnd.random() < harm:
                reply = damage(rnd, reply, [reply], 2)
                status = rnd.choice((0, 0, 0, protocol.BAD, protocol.FAILED))
            gone = rnd.random() < harm / 5
            answer = {"op": op, "payload": payload, "status": status, "reply": reply}
            return SimpleNamespace(done=not gone, ended=True, **answer)

        fetch = Fetch(ask)
        fetch.begin("aa", rnd.choice((None, 0, first)))
        told: list[int] = []
        for step in range(400):
            for event in fetch.poll(1.0 * step):
                if isinstance(event, events.EntriesLost):
                    told += [event.first, event.last] if event.last > event.first else [event.last]
                    continue
                for entry in event.entries:
                    told.append(entry.number)
                    there = 0 <= entry.number - first < len(entries)
                    mine = entries[entry.number - first] if there else None
                    if not harm and mine != (entry.kind, entry.payload):
                        raise Wrong(f"entry {entry.number} is not the one that was sent")
                fetch.commit("aa", event.entries[-1].number + 1)
        if told != sorted(set(told)):
            raise Wrong(f"entries are told as {told}")
        if not harm and entries and fetch.busy:
            raise Wrong("it does not come to an end")
        return bool(told)


def _answer(first: int, entries: list[Any], op: int, payload: bytes) -> bytes:
    """What a board with these entries answers."""
    end = first + len(entries)
    if op == protocol.JOURNAL_STATE:
        state = {"first": first, "next": end, "sectors": 9, "acknowledged": first}
        return wire.words(*(state.get(name, 0) for name in journal.STATE_NAMES))
    if op != protocol.JOURNAL_READ:
        return b""
    number, offset = wire.split_words(payload)
    number = max(number, first)
    while number < end and entries[number - first] is None:
        number += 1
    if number >= end:
        return wire.words(end, 0, 0, 0)
    kind, data = entries[number - first]
    return wire.words(number, kind, len(data), 7) + data[offset : offset + 224]


class KeyRings(Kept):
    """keys.json: hashes of keys, or KeyDenied; never nothing where something was."""

    name, share, block = "host_keys", 8, 200

    def build(self) -> None:
        self.path = self.folder / keys.FILE
        ring = {"e661a4d4178c2b2f": {"operator": "ab" * 32, "metrologist": "0c" * 32}}
        self.corpus = [json.dumps(ring, indent=1), json.dumps(ring | {"00" * 8: {}})]

    def make(self, rnd: random.Random) -> bytes:
        return rewrite(rnd, rnd.choice(self.corpus), self.corpus)

    def check(self, case: bytes) -> bool:
        self.path.write_bytes(case)
        try:
            found = keys.KeyRing(self.folder).all()
            with suppress(PorogaugeError):
                keys.from_file(self.path)
        except PorogaugeError:
            return False
        if not isinstance(found, dict) or (not found and case.strip() not in (b"{}", b"[]")):
            raise Wrong(f"{case[:60]!r} is a book without keys")
        return True


class Certificates(Kept):
    """A certificate that was changed anywhere does not hold."""

    name, share, block = "certificate", 0.05, 4

    def build(self) -> None:
        path = self.folder / "roll.db"
        told = {"who": "shift 2", "why": "order 8"}
        with Store(path) as store:
            roll_data.documents(store)
            roll_data.fill(store, count=60)
            book = Book(self.folder / "book")
            rolls.start(store, book, "A-17", roll_data.DEVICE, 1, 0, **told)
            rolls.end(store, book, "A-17", 1, 59, **told)
            roll = rolls.find(store, "A-17")
            _, files = certificate.write(store, roll, self.folder / "A-17", who="shift 2")
        self.originals = [file.read_bytes() for file in files]
        self.store = Store(path, read_only=True)

    def close(self) -> None:
        store = getattr(self, "store", None)
        if store is not None:
            store.close()
        super().close()

    def case(self, number: int) -> bytes:
        """The first input of every block was not changed."""
        if number % self.block == 0:
            return self.originals[number // self.block % 2]
        return super().case(number)

    def make(self, rnd: random.Random) -> bytes:
        data = rnd.choice(self.originals)
        if rnd.random() < 0.5 and not data.startswith(b"%PDF"):
            return rewrite(rnd, data.decode(), [data.decode()])
        return damage(rnd, data, self.originals, 3)

    def check(self, case: bytes) -> bool:
        try:
            found = certificate.verify(case, self.store)
        except PorogaugeError:
            return False
        if not found and case not in self.originals:
            raise Wrong("it was changed, and holds")
        return not found


class Requests(Kept):
    """Requests to the page, right and wrong ones: answered, never with an error of its own."""

    name, share, block = "page", 2, 50

    def build(self) -> None:
        path = roll_data.database(self.folder / "roll.db", count=300)
        self.page = Page(path, listen=0, book=Book(self.folder / "book"))
        self.page.__enter__()
        self.port = int(self.page.url.rsplit(":", 1)[1].strip("/"))
        end = time.monotonic() + 30
        while self.page.feed.complete < 1 and time.monotonic() < end:
            time.sleep(0.02)

    def close(self) -> None:
        page = self.__dict__.pop("page", None)
        if page is not None:
            page.__exit__(None, None, None)
        super().close()

    def make(self, rnd: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
        what = rnd.choice(
            ("now", "lines", "rolls", "history", "gauge", "trend", "map", "verdict", "lab")
            + ("statistics", "access", "acknowledge", "shelve", "note", "roll/start", "../x", "")
        )
        names = ("device", "roll", "axis", "from", "to", "columns", "row", "rows", "value", "what")
        good = (roll_data.DEVICE, "A-17", "metres", "seconds", "0", "1", "10", "500", "thickness")
        values = {}
        for name in rnd.sample(names, rnd.randint(0, 5)):
            token = rnd.choice((rnd.choice(good), rnd.choice(TOKENS)[:300], str(word(rnd))))
            values[name] = token
        path = f"/api/{what}?{urlencode(values, errors='replace')}"
        if rnd.random() < 0.1:
            path = "/" + quote(noise(rnd, 60))
        body = json.dumps({"flags": ["thickness_hi"], "why": "x", "by": "y", **values})
        data = rewrite(rnd, body, [body])[:100_000] if rnd.random() < 0.7 else body.encode()
        headers = {"Content-Type": "application/json"}
        if rnd.random() < 0.2:
            name = rnd.choice(("Host", "Origin", "Content-Type", "Authorization", "Cookie"))
            headers[name] = rnd.choice(("x", "http://elsewhere", "Bearer x", "a" * 3000, "0=0"))
        return rnd.choice(("GET", "GET", "POST", "PUT", "HEAD")), path, data, headers

    def check(self, case: tuple[str, str, bytes, dict[str, str]]) -> bool:
        method, path, body, headers = case
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body if method == "POST" else None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if not 200 <= answer.status < 500:
            raise Wrong(f"{method} {path[:200]} {body[:100]!r}: {answer.status} {content[:200]!r}")
        changed = method == "POST" and answer.status == 200
        if changed and b"error" in content:
            raise Wrong(f"{path[:100]}: done, and an error")
        return answer.status == 200


HOST_TOLD = (HostJournal, HostFetch, KeyRings, Certificates, Requests)
