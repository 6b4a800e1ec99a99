"""Entries of the board's flash journal: into the database once, and in plain words.

    >>> kept = keep(store, events.Entries(device, [events.Entry(7, 3, journal.BOOT, payload)]))
    >>> describe(journal.BOOT, payload)
    {'reset_cause': 'watchdog', 'self_test': [], 'previous_boot': 2, 'firmware': '1.4'}

Batches of records become records: what was told as a gap is filled. Once a boot is over and all
its entries are there, windows that the board tells of and that came on neither way are a gap with
its cause. Records of another layout cannot be read by this program: they stay in the table as
they came. Which entry holds what is said in `gauge.journal`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gauge import health, journal, record
from gauge.link import codec, protocol

from .link import events, inbox, wire
from .link.events import Body, Entries, EntriesLost, Entry, Row
from .store import ConflictError, Store

__all__ = ["Foreign", "Kept", "describe", "entries", "keep", "kind_name", "sentence"]


class Foreign(ValueError):
    """A frame in an entry is damaged, or of another record layout."""


@dataclass(slots=True)
class Kept:
    """What entries brought: `records` new ones of `boots`, and what people should know."""

    next: int  # number of the entry after them
    records: int = 0
    boots: set[tuple[str, int]] = field(default_factory=set)
    news: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- storing


def keep(store: Store, event: Entries | EntriesLost) -> Kept:
    """Store what was fetched in one transaction, and from where on to fetch next time.

    May be called again with the same entries. Raises ConflictError when another entry, or another
    record, is stored under a key that is taken; then nothing is stored.
    """
    device = event.device
    with store.batch():
        if isinstance(event, EntriesLost):
            kept = Kept(event.last + 1)
            told = {"first": event.first, "last": event.last, "cause": event.cause}
            store.event("journal_lost", told, device)
            count = event.last - event.first + 1
            kept.news.append(f"{count} entries of the gauge's journal are lost: {event.cause}")
        else:
            kept = Kept(event.entries[-1].number + 1)
            for entry in event.entries:
                _keep(store, device, entry, kept)
        key = store.device_id(device, True)
        store.change("UPDATE devices SET journal_next=? WHERE id=?", (kept.next, key))
    return kept


def _keep(store: Store, device: str, entry: Entry, kept: Kept) -> None:
    try:
        if entry.kind == journal.RECORDS:
            boot, rows = _records(entry.payload)
            new = store.append(device, boot, rows)
            if new:
                kept.records += new
                kept.boots.add((device, boot))
            return
        if entry.kind == journal.GAP:
            boot, first, last, cause = _gap(entry.payload)
            store.gap(device, boot, first, last, cause)
    except Foreign as error:
        kept.news.append(f"entry {entry.number} of boot {entry.boot} is kept as it came: {error}")
    if not _insert(store, device, entry):
        return
    if entry.kind == journal.BOOT:
        found = describe(entry.kind, entry.payload)
        now = time.time()
        store.change(
            "INSERT INTO boots (device, boot, firmware, first_seen, last_seen)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET firmware=coalesce(firmware, excluded.firmware)",
            (store.device_id(device, True), entry.boot, found.get("firmware"), now, now),
        )
        _settle_before(store, device, entry.boot)
    elif entry.kind == journal.CONFIGURATION:
        _keep_configuration(store, device, entry)
    if entry.kind in (journal.CRASH, journal.KEY, journal.UPDATE):
        kept.news.append(f"boot {entry.boot}: {sentence(entry.kind, entry.payload)}")


def _insert(store: Store, device: str, entry: Entry) -> bool:
    """Store the entry itself; False when it is there already."""
    key = store.device_id(device, True)
    found = store.query(
        "SELECT kind, payload FROM journal WHERE device=? AND boot=? AND entry=?",
        (key, entry.boot, entry.number),
    )
    if not found:
        names = ("device", "boot", "entry", "kind", "payload", "fetched")
        row = (key, entry.boot, entry.number, entry.kind, entry.payload, time.time())
        store.insert("journal", names, [row])
        return True
    if found != [(entry.kind, entry.payload)]:
        raise ConflictError(
            f"{store.path}: entry {entry.number} of device {device} boot {entry.boot} is stored"
            " already with other contents; nothing was overwritten. The board's journal and boot"
            " counter have started again (its flash was erased): log into a new file"
        )
    return False


def _settle_before(store: Store, device: str, boot: int) -> None:
    """The boot before this one is over: what came of it on neither way is a gap."""
    key = store.device_id(device)
    before = store.query(
        "SELECT max(boot) FROM (SELECT boot FROM boots WHERE device=? AND boot<? UNION"
        " SELECT boot FROM journal WHERE device=? AND boot<?)",
        (key, boot, key, boot),
    )[0][0]
    if before is None:
        return
    known = store.settled(device, before)
    stored = store.known(device, before)
    newest = max([_newest(store, device, before), *(last for _, last in known)])
    whole = store.query(
        "SELECT 1 FROM journal WHERE device=? AND boot=? AND kind=?", (key, before, journal.BOOT)
    )
    first = 0 if whole else known[0][0] if known else newest + 1
    if stored and stored[-1][1] > first:
        store.gap(device, before, first, stored[-1][1], inbox.gap_name(protocol.GAP_OVERWRITTEN))
        first = stored[-1][1] + 1
    if newest >= first:
        store.gap(device, before, first, newest, inbox.gap_name(protocol.GAP_BOARD_RESTART))


def _newest(store: Store, device: str, boot: int) -> int:
    """Newest window of a boot that its journal tells of, -1 when it tells of none."""
    newest = -1
    for kind in (journal.SUMMARY, journal.CHANGE):
        found = store.query(
            "SELECT payload FROM journal WHERE device=? AND boot=? AND kind=?"
            " ORDER BY entry DESC LIMIT 1",
            (store.device_id(device), boot, kind),
        )
        for (payload,) in found:
            words = describe(kind, payload)
            if "seq" in words:
                newest = max(newest, words["seq"] + words.get("windows", 1) - 1)
    return newest


def _keep_configuration(store: Store, device: str, entry: Entry) -> None:
    """Note what a boot measured with, when the configuration itself is known from another time."""
    rows = store.query(
        "SELECT DISTINCT blob FROM configurations WHERE device=?", (store.device_id(device),)
    )
    for (blob,) in rows:
        if blob[-4:] == entry.payload[:4]:  # its CRC32, as HELLO has it
            known = store.configurations(device, entry.boot)
            from_seq = _newest(store, device, entry.boot) + 1 if known else 0
            store.configuration(device, entry.boot, from_seq, blob)


# ---------------------------------------------------------------- reading


def entries(store: Store, device: str | None = None) -> Iterator[tuple[str, Entry]]:
    """Stored entries with their device, in the order in which they were written."""
    yield from (
        (name, Entry(number, boot, kind, payload))
        for name, number, boot, kind, payload in store.query(
            "SELECT d.device, j.entry, j.boot, j.kind, j.payload FROM journal j"
            " JOIN devices d ON d.id=j.device WHERE ? IS NULL OR d.device=?"
            " ORDER BY d.device, j.boot, j.entry",
            (device, device),
        )
    )


def kind_name(kind: int) -> str:
    """Name of a kind; one that this program does not know stays visible as a number."""
    known = 0 <= kind < len(journal.KIND_NAMES)
    return journal.KIND_NAMES[kind] if known else f"unknown_{kind}"


def _frame(payload: bytes, kind: int) -> bytes:
    """Type and body of the frame that an entry is."""
    data = wire.checked(payload)
    if data is None or data[0] != kind:
        raise Foreign("damaged, or of firmware with another record layout")
    return data


def _records(payload: bytes) -> tuple[int, list[Row]]:
    data = _frame(payload, protocol.DATA)
    try:
        body = Body(data)
        count, boot, _batch = body.u8(), body.v(), body.v()
        return boot, codec.unpack(data, body.at, len(data), count)
    except (ValueError, IndexError) as error:
        raise Foreign(str(error)) from None


def _gap(payload: bytes) -> tuple[int, int, int, str]:
    try:
        body = Body(_frame(payload, protocol.GAP))
        boot, _batch, first, last, cause = body.v(), body.v(), body.v(), body.v(), body.u8()
    except ValueError as error:
        raise Foreign(str(error)) from None
    if last < first:
        raise Foreign(f"a gap from {first} to {last}")
    return boot, first, last, inbox.gap_name(cause)


def _zigzags(payload: bytes) -> list[int]:
    """Zigzag varints; ValueError when the last one ends early."""
    body, found = Body(payload, 0), []
    while body.at < len(payload):
        value = body.v()
        found.append((value >> 1) ^ -(value & 1))
    return found


def _named(names: tuple[str, ...], words: list[int]) -> dict[str, Any]:
    return dict(zip(names, words, strict=False))


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if 0 <= index < len(names) else f"unknown_{index}"


def describe(kind: int, payload: bytes) -> dict[str, Any]:
    """What an entry says, by name; `damaged` says why nothing can be said of it."""
    try:
        return _describe(kind, payload)
    except (ValueError, IndexError, KeyError) as error:
        return {"damaged": str(error)}


def _describe(kind: int, payload: bytes) -> dict[str, Any]:
    words = wire.split_words(payload)
    if kind == journal.BOOT:
        cause, self_test, previous = words[:3]
        return {
            "reset_cause": _name(health.RESET_CAUSES, cause),
            "self_test": record.names_of(self_test, health.SELF_TEST_NAMES),
            "previous_boot": previous,
            "firmware": payload[12:].decode(),
        }
    if kind == journal.RECORDS:
        boot, rows = _records(payload)
        seqs = [row[record.SEQ] for row in rows]
        return {"of_boot": boot, "first_seq": min(seqs), "last_seq": max(seqs)}
    if kind == journal.CHANGE:
        boot, values = events.latest_of(_frame(payload, protocol.LATEST))
        return {"of_boot": boot} | _states(values)
    if kind == journal.SUMMARY:
        return _states(_named(journal.SUMMARY_NAMES, _zigzags(payload)))
    if kind == journal.HEALTH:
        return _named(health.HEALTH_NAMES, words)
    if kind in (journal.CRASH, journal.UPDATE):
        return {"text": payload.decode()}
    if kind == journal.KEY:
        return _named(("role", "count"), words)
    if kind == journal.CONFIGURATION:
        crc = payload[:4][::-1].hex()
        return {"crc": crc} | _named(("recipe_id", "calibration_id"), words[1:])
    if kind == journal.GAP:
        boot, first, last, cause = _gap(payload)
        return {"of_boot": boot, "first_seq": first, "last_seq": last, "cause": cause}
    return {"payload": payload.hex()}


def _states(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with names in place of indices and bits."""
    return dict(values) | {
        "state": _name(record.STATE_NAMES, values["state"]),
        "state_reason": _name(record.REASON_NAMES, values["state_reason"]),
        "flags": record.names_of(values["flags"]),
    }


def sentence(kind: int, payload: bytes) -> str:
    """What an entry says, in one line."""
    return " ".join(_sentence(kind, payload).split())


def _sentence(kind: int, payload: bytes) -> str:
    found = describe(kind, payload)
    if "damaged" in found:
        return f"{kind_name(kind)}: cannot be read ({found['damaged']})"
    if kind == journal.BOOT:
        failed = ", ".join(found["self_test"])
        text = f"started after {found['reset_cause']}, firmware {found['firmware']}"
        return f"{text}, self-test failed: {failed}" if failed else text
    if kind == journal.CHANGE:
        flags = ", ".join(found["flags"]) or "no flags"
        return f"window {found['seq']}: {found['state']} ({found['state_reason']}), {flags}"
    if kind == journal.SUMMARY:
        text = f"{found['windows']} windows from {found['seq']} on, {found['state']}"
        if found.get("n_thickness") and "thickness_8nm" in found:
            text += f", {found['thickness_8nm'] / 8000:.3f} µm"
        if found.get("n_porosity") and "porosity_ppm" in found:
            text += f", {found['porosity_ppm'] / 10_000:.2f} %"
        return text
    if kind == journal.HEALTH:
        return f"health after {found.get('uptime_s', 0)} s, {found.get('windows', 0)} windows"
    if kind in (journal.CRASH, journal.UPDATE):
        return f"{kind_name(kind)}: {(found['text'].strip() or 'no text').splitlines()[-1]}"
    if kind == journal.KEY:
        return f"wrong key refused, role {found.get('role')}, {found.get('count')} times"
    if kind == journal.CONFIGURATION:
        ids = found.get("recipe_id", 0), found.get("calibration_id", 0)
        return f"in force: recipe {ids[0]:08x}, calibration {ids[1]:08x}"
    if kind in (journal.GAP, journal.RECORDS):
        span = f"windows {found['first_seq']} to {found['last_seq']} of boot {found['of_boot']}"
        return f"{span}: {found['cause']}" if kind == journal.GAP else span
    return f"{kind_name(kind)}: {len(payload)} bytes"
