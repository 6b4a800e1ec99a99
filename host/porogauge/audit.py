"""The audit log: who changed what, when and why, in a chain that shows every later touch.

One line of JSON per entry, appended and never rewritten. Each entry carries the SHA-256 of its
own content and that of the entry before it, so that a byte changed anywhere, a line taken out,
put in or moved breaks the chain at that place. A tail cut off leaves a good chain: the *anchor*
beside the log (number and hash of the last entry) shows that; whoever wants to be safe from one
who cuts both notes the head (`Report.head`) elsewhere, as every roll does in its database.

    >>> audit = Audit("book/audit.jsonl")
    >>> entry = audit.append("recipe", "25 um", "shift 2", "new solid", None, {"id": "0badcafe"})
    >>> entry["n"], verify("book").ok
    (1, True)

Entry, in this order: n (from 1), time (UTC, ISO 8601), kind, subject (what was changed), who, why,
key (which one was proved, where keys are in use: `porogauge.keys`), before, after (any JSON),
previous, hash. `hash` is the SHA-256 of the entry's text without its
hash; `previous` that of the entry before, 64 zeros for the first. The text is ASCII, without
blanks between its parts.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from . import notation
from .errors import DeviceError, PorogaugeError, UsageError
from .store_file import Lock

__all__ = ["FILE", "Audit", "AuditError", "Report", "person", "verify"]

FILE = "audit.jsonl"  # its name in a book
_KEYS = ("n", "time", "kind", "subject", "who", "why", "before", "after", "previous", "hash")
_WITH_KEY = (*_KEYS[:6], "key", *_KEYS[6:])
_NONE = "0" * 64  # hash before the first entry
_PATIENCE_S = 10.0  # for another process that is appending


class AuditError(PorogaugeError):
    """The log does not hang together, or cannot be written."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found.

    `entries` good ones from the first on; `first_bad` the number of the first bad one (None when
    all are good); `why` what is wrong with it; `head` "N:HASH" of the last good entry, to be
    noted elsewhere; `warnings` what could not be checked.
    """

    ok: bool
    entries: int
    first_bad: int | None
    why: str
    head: str
    warnings: tuple[str, ...] = ()


def person(name: str | None) -> str:
    """Return who does it: `name`, or the one who is logged in. Raises UsageError for neither."""
    import getpass

    if name is None:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = ""
    name = name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise UsageError(
            "--by: the log needs a name of 1 to 80 printable characters (or POROGAUGE_BY)"
        )
    return name


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} cannot be kept in the audit log")


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False, default=_plain)


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode("ascii")).hexdigest()


class Audit:
    """The log in the file `path`; made, with its folder, by the first entry."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._good = b""  # what was read of it and is good,
        self._entries: list[dict[str, Any]] = []  # and what it says

    def append(
        self, kind: str, subject: str, who: str, why: str, before: Any = None, after: Any = None
    ) -> dict[str, Any]:
        """Append an entry and return it; it is on the disk when this returns.

        `kind` says what was changed (calibration, recipe, acknowledgement, lab, roll, ...),
        `subject` which one. Raises AuditError when the log's end was touched, DeviceError when
        another program holds it for longer than 10 s, KeyDenied when the book has keys and none
        that may do this is in hand, ValueError for an empty text.
        """
        for name, value in (("kind", kind), ("subject", subject), ("who", who), ("why", why)):
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"an audit entry needs {name}: a text that is not empty")
        key = self.allow(kind)
        with self._locked():
            torn = self._mend()
            if torn:
                self._write(
                    "audit",
                    self.path.name,
                    who,
                    "a line that was never finished was set aside: the program or the power"
                    " stopped while it was written",
                    key,
                    torn,
                    None,
                )
            return self._write(kind, subject, who, why, key, before, after)

    def allow(self, kind: str) -> str:
        """Name of the key with which an entry of this kind may be made; "" where none is needed.

        To be asked before something is changed that the entry tells of. Raises KeyDenied.
        """
        from .keys import prove

        return prove(self.path.parent, kind)

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first. Raises AuditError when a line was changed.

        What was read before is not checked again, as long as it is still there.
        """
        content = self._content()
        if not content.startswith(self._good):
            self._good, self._entries = b"", []
        for line in content[len(self._good) :].splitlines(keepends=True):
            before = self._entries[-1]["hash"] if self._entries else _NONE
            number = len(self._entries) + 1
            problem = _check_line(line.rstrip(b"\n"), number, before)
            if problem:
                raise AuditError(
                    f"{self.path}: line {number} cannot be used: {problem};"
                    " 'porogauge audit verify' says what is still good"
                )
            self._entries.append(notation.json(line))
            self._good += line
        return list(self._entries)

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise AuditError(f"{self.path}: cannot be read: {error.strerror}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        end = time.monotonic() + _PATIENCE_S
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AuditError(
                f"{self.path.parent}: cannot be made ({error.strerror}); name another book with"
                " --book or POROGAUGE_BOOK"
            ) from None
        while True:
            try:
                lock = Lock(str(self.path))
                break
            except DeviceError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        try:
            yield
        finally:
            lock.release()

    def _mend(self) -> str:
        """Take away a last line that was never finished; return its text.

        Only what lies behind the anchor: a finished entry is never taken away.
        """
        if not self.path.exists():
            if _anchor(self.path):
                raise AuditError(f"{self.path}: is gone, its anchor is there: put it back")
            return ""
        content = self.path.read_bytes()
        whole, newline, torn = content.rpartition(b"\n")
        if not torn:
            return ""
        anchor = _anchor(self.path)
        behind = whole.count(b"\n") + len(newline) - (anchor[0] if anchor else 0)
        if behind not in (0, 1):
            raise AuditError(
                f"{self.path}: its end was touched; 'porogauge audit verify' says how"
            )
        with self.path.open("r+b") as stream:
            stream.truncate(len(whole) + len(newline))
            os.fsync(stream.fileno())
        return torn.decode("ascii", "replace")

    def _write(
        self, kind: str, subject: str, who: str, why: str, key: str, before: Any, after: Any
    ) -> dict[str, Any]:
        last = _last_line(self.path)
        anchor = _anchor(self.path)
        number, previous = 1, _NONE
        if last:
            number, previous = _link(last, self.path)
            number += 1
        # The anchor may be one behind: the program stopped between line and anchor.
        written = anchor or (0, _NONE)
        if written != (number - 1, previous) and written[0] != number - 2:
            raise AuditError(
                f"{self.path}: its last entry is not the one that was written last (entry"
                f" {written[0]}); 'porogauge audit verify' says what was touched"
            )
        content = {
            "n": number,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "kind": kind,
            "subject": subject,
            "who": who,
            "why": why,
            **({"key": key} if key else {}),
            "before": before,
            "after": after,
            "previous": previous,
        }
        body = _text(content)
        digest = _hash(body)
        line = f'{body[:-1]},"hash":"{digest}"}}\n'
        try:
            with self.path.open("ab") as stream:
                stream.write(line.encode("ascii"))
                stream.flush()
                os.fsync(stream.fileno())
            _set_anchor(self.path, number, digest)
        except OSError as error:
            raise AuditError(f"{self.path}: cannot be written: {error.strerror}") from None
        return json.loads(line)


def _last_line(path: Path) -> bytes:
    """The last line, read from the end; b"" of an empty or absent file."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            step = 4096
            while True:
                stream.seek(max(0, size - step))
                tail = stream.read()
                lines = tail.rstrip(b"\n").split(b"\n")
                if len(lines) > 1 or step >= size:
                    return lines[-1]
                step *= 4
    except FileNotFoundError:
        return b""


def _link(line: bytes, path: Path) -> tuple[int, str]:
    """Number and hash of a line that is whole."""
    try:
        entry = notation.json(line)
        return int(entry["n"]), str(entry["hash"])
    except (ValueError, TypeError, KeyError):
        raise AuditError(
            f"{path}: its last line cannot be read; 'porogauge audit verify' says what is good"
        ) from None


# ---------------------------------------------------------------- the anchor


def _anchor_path(path: Path) -> Path:
    return path.with_suffix(".head")


def _anchor(path: Path) -> tuple[int, str] | None:
    """Number and hash of the entry that was written last; None without an anchor."""
    source = _anchor_path(path)
    try:
        text = source.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise AuditError(f"{source}: cannot be read: {error}") from None
    number, colon, digest = text.partition(":")
    if not (
        number.isdigit()
        and str(int(number)) == number
        and colon
        and len(digest) == 65
        and digest[-1] == "\n"
        and set(digest[:-1]) <= set("0123456789abcdef")
    ):
        raise AuditError(f"{source}: is damaged: not N:HASH")
    return int(number), digest[:-1]


def _set_anchor(path: Path, number: int, digest: str) -> None:
    target = _anchor_path(path)
    draft = target.with_suffix(".head.new")
    with draft.open("w", encoding="ascii") as stream:
        stream.write(f"{number}:{digest}\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, target)


# ---------------------------------------------------------------- verification


def verify(path: str | Path, *heads: str) -> Report:
    """Check a log (a book's folder, or the file alone) from its first byte to its last.

    In a book the stored calibrations, recipes and results that entries name are checked as well.
    `heads`: "N:HASH" noted earlier, entries that the log must still contain. Raises AuditError
    when there is no log, UsageError when a head is not one.
    """
    path = Path(path)
    book = path if path.is_dir() else None
    source = path / FILE if book else path
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        raise AuditError(f"{source}: there is no audit log") from None
    except OSError as error:
        raise AuditError(f"{source}: cannot be read: {error.strerror}") from None
    hashes: list[str] = []
    problem = ""
    lines = content.split(b"\n")
    for line in lines[:-1]:
        problem = _check_line(line, len(hashes) + 1, hashes[-1] if hashes else _NONE)
        if not problem and book:
            problem = _check_file(json.loads(line), book)
        if problem:
            break
        hashes.append(json.loads(line)["hash"])
    if not problem and lines[-1]:
        problem = "its line does not end: cut off, or never finished"
    warnings: list[str] = []
    bad = len(hashes) + 1 if problem else None
    if not problem:
        try:
            anchor = _anchor(source)
            if anchor is None and (book is None or len(hashes) < 2):
                warnings.append("no anchor beside the log: a tail cut off cannot be seen")
            else:
                problem, bad = _check_tail(hashes, anchor or (0, _NONE))
        except AuditError as error:
            problem, bad = str(error), len(hashes) or 1
    for head in heads:
        if not problem:
            problem, bad = _check_head(hashes, head)
    last = f"{len(hashes)}:{hashes[-1] if hashes else _NONE}"
    return Report(not problem, len(hashes), bad, problem, last, tuple(warnings))


def _check_line(line: bytes, number: int, previous: str) -> str:
    """What is wrong with the entry `number`; "" when it is good."""
    try:
        text = line.decode("ascii")
        entry = notation.json(text)
    except ValueError:
        return "it is not JSON: changed, or two lines made one"
    if not isinstance(entry, dict) or tuple(entry) not in (_KEYS, _WITH_KEY):
        return "its keys are not those of an entry"
    try:
        if _text(entry) != text:
            return "it is not written as the log writes: it was changed"
    except ValueError:
        return "it has a number that is none"
    if entry["n"] != number:
        return f"it says it is entry {entry['n']}: lines are missing, added or moved"
    if entry["previous"] != previous:
        return "it does not follow the entry before it: that one, or this one, was changed"
    digest = entry.pop("hash")
    if _hash(_text(entry)) != digest:
        return "its content is not that of its hash: it was changed"
    return ""


def _check_file(entry: dict[str, Any], book: Path) -> str:
    """What is wrong with the file that an entry put into the book."""
    after = entry["after"]
    if not isinstance(after, dict) or not {"file", "sha256"} <= set(after):
        return ""
    try:
        found = hashlib.sha256((book / after["file"]).read_bytes()).hexdigest()
    except OSError as error:
        return f"its file {after['file']} cannot be read: {error.strerror}"
    return "" if found == after["sha256"] else f"its file {after['file']} was changed afterwards"


def _check_tail(hashes: list[str], anchor: tuple[int, str]) -> tuple[str, int | None]:
    """Problem and its entry: whether the log still has the entry that was written last."""
    number, digest = anchor
    if number > len(hashes):
        return "it was written and is gone: the log was cut", len(hashes) + 1
    if (hashes[number - 1] if number else _NONE) != digest:
        return "it is not the one that was written: the log was replaced", max(number, 1)
    if number < len(hashes) - 1:
        return "the anchor does not know it: it was added, or the anchor was taken", number + 2
    return "", None


def _check_head(hashes: list[str], head: str) -> tuple[str, int | None]:
    number, _, digest = head.strip().partition(":")
    if not number.isdigit() or len(digest) != 64:
        raise UsageError(f"--head: {head!r} is not N:HASH, as 'porogauge audit verify' shows it")
    at = int(number)
    if at > len(hashes):
        return "it was there when the head was noted and is gone: the log was cut", len(hashes) + 1
    if (hashes[at - 1] if at else _NONE) != digest:
        return "it is not the one that was noted: the log was replaced", max(at, 1)
    return "", None
