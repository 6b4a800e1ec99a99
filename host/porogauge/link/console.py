"""Text that a board writes beside the link: the banner of its REPL, tracebacks, prints."""

from __future__ import annotations

import re

# Three printable characters and a line end: in a frame, which is binary, that is rare, and a
# frame's own check decides in the end.
_LINE = re.compile(rb"(?:[\t\x1b\x20-\x7e\r]|[\xc2-\xf4][\x80-\xbf]+){3,}\n|\r?\n")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST = 4096


def split(data: bytes) -> tuple[list[str], bytes]:
    """The complete lines of text at the start of `data`, and what follows them."""
    at, lines = 0, []
    while found := _LINE.match(data, at):
        line = _clean(found.group())
        if line:
            lines.append(line)
        at = found.end()
    return lines, data[at:]


def text(data: bytes) -> list[str]:
    """The lines of bytes in which no frame is; noise gives nothing."""
    printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data)
    if printable < 0.9 * len(data):
        return []
    return [line for part in data[-_LONGEST:].split(b"\n") if (line := _clean(part))]


def _clean(data: bytes) -> str:
    return _ESCAPE.sub("", data.decode("utf-8", "replace")).strip("\r\n").rstrip()
