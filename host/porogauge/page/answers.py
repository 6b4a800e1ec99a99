"""What the page asks, and is answered: plain data, ready for JSON.

Every answer is of the database as it is at that moment. Nothing here changes anything.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from gauge import config, record

from .. import journal, lab, rolls
from ..book import Book
from ..calibrate.standardisations import standardisations
from ..calibrate.verify import trend as verification_trend
from ..errors import PorogaugeError, UsageError
from ..grades import PROPERTIES
from ..live import Snapshot
from ..store import Store
from .feed import Feed
from .limits import CONDITIONS, explain, limits
from .lines import AXES
from .views import place_of

__all__ = ["Answers", "KINDS"]

KINDS = ("note", "shelved", "unshelved")  # events that the page writes
_EVENTS = 500


class Answers:
    """Answers from a database (through a feed), a book, and a recorder where there is one."""

    def __init__(self, feed: Feed, book: Book, recorder: Any = None) -> None:
        self._feed = feed
        self._book = book
        self._recorder = recorder

    @property
    def _store(self) -> Store:
        return self._feed.reader.store

    def device(self, named: str | None) -> str:
        """A device by its name; without one, that of the newest window."""
        if named:
            return named
        rows = self._store.query(
            "SELECT d.device FROM records r JOIN devices d ON d.id=r.device"
            " ORDER BY r.rowid DESC LIMIT 1"
        )
        if rows:
            return rows[0][0]
        rows = self._store.query("SELECT device FROM devices ORDER BY last_seen DESC LIMIT 1")
        return rows[0][0] if rows else ""

    def roll(self, name: str | None) -> rolls.Roll | None:
        return rolls.find(self._store, name) if name else None

    # ------------------------------------------------------------ now

    def words(self, device: str, boot: int, seq: int) -> Any:
        """Configuration in force at a window; None when the database has none."""
        rows = [r for r in self._store.configurations(device, boot) if r["from_seq"] <= seq]
        return config.unpack(rows[-1]["blob"]) if rows else None

    def now(self, device: str | None) -> dict[str, Any]:
        """The newest window with limits, flags explained, and what is going on around it."""
        device = self.device(device)
        newest = self._feed.newest(device) if device else None
        words = newest and self.words(device, newest["boot"], newest["seq"])
        return {
            "time": time.time(),
            "database": self._store.path,
            "device": device,
            "devices": self._devices(),
            "newest": newest,
            "limits": limits(words) if words else None,
            "recipe": self._document("recipes", words, config.RECIPE_ID),
            "calibration": self._document("calibrations", words, config.CALIBRATION_ID),
            "flags": self.flags(newest, words),
            "shelved": self.shelved(device),
            "roll": self._running(device),
            "link": self.link(),
            "complete": self._feed.complete,
            "problem": self._feed.problem,
        }

    def flags(self, newest: dict[str, Any] | None, words: Any) -> list[dict[str, Any]]:
        """Active and latched flags with their explanation."""
        if newest is None:
            return []
        names = [n for n in record.FLAG_NAMES if n in newest["flags"] or n in newest["latched"]]
        return [
            explain(name, newest, words)
            | {"active": name in newest["flags"], "latched": name in newest["latched"]}
            for name in names
        ]

    def link(self) -> dict[str, Any]:
        """Who stores the records: this program's logger with its link, or another program."""
        if self._recorder is None:
            return {"own": False, "text": "", "failed": False}
        snapshot: Snapshot | None = self._recorder.snapshot
        told = {"own": True, "text": self._recorder.link, "failed": bool(self._recorder.failure)}
        if snapshot is not None:
            told |= {
                "stored": snapshot.stored,
                "lost": snapshot.gaps,
                "behind": snapshot.behind,
                "rate_hz": snapshot.rate_hz,
            }
        return told

    def shelved(self, device: str) -> dict[str, dict[str, Any]]:
        """Flags that are shelved now: until when, who, why."""
        found: dict[str, dict[str, Any]] = {}
        key = self._store.device_id(device)
        for at, kind, text in self._store.query(
            "SELECT time, kind, text FROM events WHERE kind IN ('shelved', 'unshelved')"
            " AND device=? ORDER BY id",
            (key,),
        ):
            told = _object(text)
            if kind == "unshelved":
                found.pop(told.get("flag"), None)
            elif told.get("flag") in record.FLAG_NAMES:
                found[told["flag"]] = told | {"time": at}
        now = time.time()
        return {flag: told for flag, told in found.items() if told.get("until", 0) > now}

    def _devices(self) -> list[dict[str, Any]]:
        names = ("device", "board", "firmware", "first_seen", "last_seen")
        rows = self._store.query(f"SELECT {', '.join(names)} FROM devices ORDER BY device")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _document(self, table: str, words: Any, index: int) -> dict[str, Any] | None:
        if not words:
            return None
        rows = self._store.query(f"SELECT name FROM {table} WHERE id=?", (words[index],))
        return {"id": f"{words[index]:08x}", "name": rows[0][0] if rows else None}

    def _running(self, device: str) -> str | None:
        known = [r.name for r in rolls.rolls(self._store) if r.device == device and not r.ended]
        return known[-1] if known else None

    # ------------------------------------------------------------ rolls

    def rolls(self, search: str = "") -> list[dict[str, Any]]:
        """Rolls, newest first, that have every word of `search` in what is known of them."""
        names = dict(self._store.query("SELECT id, name FROM recipes"))
        notes: dict[str, list[str]] = {}
        for note in self.notes():
            notes.setdefault(note.get("roll") or "", []).append(str(note.get("text", "")))
        found = []
        for roll in reversed(rolls.rolls(self._store)):
            recipe = names.get(roll.recipe) or f"{roll.recipe:08x}"
            whys = [f"{event.who} {event.why}" for event in roll.events]
            known = [roll.name, roll.grade, recipe, roll.device, *whys, *notes.get(roll.name, [])]
            day = time.strftime("%Y-%m-%d", time.localtime(roll.started))
            text = " ".join([day, *known]).casefold()
            if all(word in text for word in search.casefold().split()):
                found.append(self._roll(roll, recipe))
        return found

    def _roll(self, roll: rolls.Roll, recipe: str) -> dict[str, Any]:
        last = roll.events[-1]
        metres = None
        if roll.device in self._feed.devices():
            metres = max(0.0, place_of(self._feed, roll.device, roll).length("metres"))
        return {
            "name": roll.name,
            "device": roll.device,
            "grade": roll.grade,
            "recipe": recipe,
            "calibration": f"{roll.calibration:08x}",
            "started": roll.started,
            "ended": last.time if roll.ended else None,
            "metres": metres,
            "events": [asdict(event) for event in roll.events],
        }

    def verdict(self, name: str) -> dict[str, Any]:
        """Claims of a roll's grade, kept, broken or open; takes seconds for a long roll."""
        from ..verdict import judge

        found = judge(self._store, rolls.find(self._store, name))
        return {
            "outcome": found.outcome,
            "claims": [
                {"property": c.property, "outcome": c.outcome, "sentence": c.sentence}
                for c in found.claims
            ],
            "guard": found.guard,
            "segments": found.segments,
            "measured": found.measured,
            "notes": list(found.notes),
        }

    def laboratory(self, name: str) -> dict[str, Any]:
        """Results of the laboratory for a roll, and how they compare with the gauge's values."""
        roll = rolls.find(self._store, name)
        try:
            findings = [asdict(finding) for finding in lab.compare(self._store, roll)]
            reason = None
        except PorogaugeError as error:
            findings, reason = [], str(error)
        texts = {p.name: p.text for p in PROPERTIES.values()}
        results = [
            asdict(r) | {"text": texts.get(r.property, r.property.replace("_", " "))}
            for r in lab.results(self._store, roll)
        ]
        return {"results": results, "findings": findings, "reason": reason}

    # ------------------------------------------------------------ history and health

    def notes(self) -> list[dict[str, Any]]:
        """Notes written on the page, oldest first."""
        return [event | _object(event["text"]) for event in self._events(("note",))]

    def _events(self, kinds: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        where = f" WHERE e.kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        names = ("time", "kind", "device", "boot", "text")
        rows = self._store.query(
            "SELECT e.time, e.kind, d.device, e.boot, e.text FROM events e LEFT JOIN devices d"
            f" ON d.id=e.device{where} ORDER BY e.id DESC LIMIT {_EVENTS}",
            kinds,
        )
        return [dict(zip(names, row, strict=True)) for row in reversed(rows)]

    def history(self) -> list[dict[str, Any]]:
        """What happened to the gauge: connections, restarts, gaps, its own journal, notes."""
        found = [
            {
                "time": event["time"],
                "kind": event["kind"],
                "device": event["device"],
                "text": _told(_object(event["text"])),
            }
            for event in self._events()
        ]
        found += [
            {
                "time": gap["noted"],
                "kind": "gap",
                "device": gap["device"],
                "text": f"windows {gap['from_seq']} to {gap['to_seq']} of boot {gap['boot']}"
                f" are not stored: {gap['cause']}",
            }
            for gap in self._store.gaps()[-_EVENTS:]
        ]
        found += [
            {
                "time": fetched,
                "kind": f"board: {journal.kind_name(kind)}",
                "device": device,
                "text": journal.sentence(kind, payload),
            }
            for device, kind, payload, fetched in self._entries()
        ]
        return sorted(found, key=lambda event: event["time"], reverse=True)[:_EVENTS]

    def _entries(self) -> list[tuple[str, int, bytes, float]]:
        """Newest entries of the board's journal that tell of something."""
        from gauge import journal as kinds

        quiet = (kinds.RECORDS, kinds.SUMMARY, kinds.HEALTH)
        return self._store.query(
            "SELECT d.device, j.kind, j.payload, j.fetched FROM journal j"
            f" JOIN devices d ON d.id=j.device WHERE j.kind NOT IN ({', '.join('?' * len(quiet))})"
            f" ORDER BY j.entry DESC LIMIT {_EVENTS}",
            quiet,
        )

    def gauge(self, device: str | None) -> dict[str, Any]:
        """Health of a gauge: drift and contamination by standardisation, climate, machine."""
        device = self.device(device)
        line = self._feed.devices().get(device)
        ranges: dict[tuple[str, int], list[tuple[int, int]]] = {}
        if line is not None and self._feed.complete == 1:
            for boot, seq, c0_af, _ in line.references():
                if c0_af:
                    ranges.setdefault((device, boot), []).append((seq, seq + 15))
        entries, calibrations = standardisations(self._store.path, at=ranges)
        return {
            "device": device,
            "complete": self._feed.complete,
            "trend": verification_trend(entries, calibrations)[-3000:],
            "standardisations": len(entries),
            "newest": self._feed.newest(device) if device else None,
            "machine": self._machine(device),
            "boots": [
                {
                    "boot": b["boot"],
                    "firmware": b["firmware"],
                    "first_seen": b["first_seen"],
                    "last_seen": b["last_seen"],
                }
                for b in self._store.boots()
                if b["device"] == device
            ],
        }

    def _machine(self, device: str) -> dict[str, Any] | None:
        """The newest health record of the board's journal."""
        from gauge import journal as kinds

        rows = self._store.query(
            "SELECT payload, fetched FROM journal WHERE device=? AND kind=?"
            " ORDER BY entry DESC LIMIT 1",
            (self._store.device_id(device), kinds.HEALTH),
        )
        if not rows:
            return None
        return {"time": rows[0][1], "words": journal.describe(kinds.HEALTH, rows[0][0])}

    def lines(self, device: str | None) -> dict[str, Any]:
        """A gauge's whole line: length, boots with their wall time, conditions explained."""
        device = self.device(device)
        line = self._feed.devices().get(device)
        if line is None:
            return {"device": device, "length": dict.fromkeys(AXES, 0.0), "boots": []}
        clocks = {b["boot"]: b for b in self._store.boots() if b["device"] == device}
        boots = []
        for stretch in line.stretches():
            known = clocks.get(stretch.boot)
            clock = known and known["clock"]
            rows = self._store.query(
                "SELECT t_s, t_us FROM records WHERE device=? AND boot=? AND seq=?",
                (self._store.device_id(device), stretch.boot, stretch.first),
            )
            wall = None
            if clock and rows:
                wall = clock.wall(rows[0][0] * 1_000_000 + rows[0][1])
            boots.append(asdict(stretch) | {"wall": wall})
        return {
            "device": device,
            "length": {axis: line.length(axis) for axis in AXES},
            "windows": line.windows,
            "boots": boots,
            "flag_names": list(record.FLAG_NAMES),
            "state_names": list(record.STATE_NAMES),
            "conditions": {name: text for name, (text, _) in CONDITIONS.items()},
        }

    def checked_flag(self, name: Any) -> str:
        """A flag's name. Raises UsageError for what is none."""
        if name not in record.FLAG_NAMES:
            raise UsageError(f"flag: {str(name)[:40]!r} is not one; see 'porogauge status'")
        return name


def _object(text: str) -> dict[str, Any]:
    import json

    try:
        found = json.loads(text)
    except ValueError:
        return {"text": text}
    return found if isinstance(found, dict) else {"text": found}


def _told(fields: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')}: {value}" for name, value in fields.items() if value != ""
    )
