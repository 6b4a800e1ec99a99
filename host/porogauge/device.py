"""What commands do with a gauge on a port, between the command line and the link's client."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from gauge import config

from .audit import person
from .book import Book, key_of
from .errors import PorogaugeError, ProtocolError, ProtocolMismatch
from .ports import find_port
from .recipe import RecipeError, compile_words, replace_part
from .recipe_check import refused
from .units import decode_status

__all__ = ["opened", "push_files", "read_words", "running", "service", "standardise"]


@contextmanager
def opened(port: str | None, baud: int = 921_600, wait_s: float = 5.0) -> Iterator[Any]:
    """A connected `porogauge.link.client.Client` for commands, without the stream of records.

    Raises DeviceError when nothing answers within `wait_s` or the port is in use, ProtocolError
    when the board speaks another layout.
    """
    from .link.client import Client

    with Client(find_port(port), timeout_s=wait_s, baud=baud, stream=False) as client:
        client.connect()
        yield client


def service(port: str, op: int, wait_s: float = 5.0, baud: int = 921_600) -> None:
    """Have a board leave its program: REPL, RESET or BOOTLOADER of `gauge.link.protocol`.

    Works with firmware of every version, also where nothing else can be understood. Raises
    DeviceAbsent when nothing answers.
    """
    from .link.client import Client

    with Client(port, timeout_s=wait_s, baud=baud, stream=False) as client:
        with suppress(ProtocolMismatch):
            client.connect()
        client.request(op)


def running(port: str, wait_s: float = 20.0) -> str:
    """Wait until a restarted gauge answers and return what it says of itself, in one line.

    Raises DeviceAbsent with the board's last words when it does not, ProtocolMismatch when it
    runs other firmware than this program's.
    """
    with opened(port, wait_s=wait_s) as client:
        hello = client.hello
        return f"{hello.board}, firmware {hello.firmware}, boot {hello.boot}"


def read_words(client: Any) -> array | None:
    """Configuration in force on the board; None when it has none.

    Raises ProtocolError when the board's firmware has another list of words.
    """
    blob = client.read_config()
    if not blob:
        return None
    try:
        return config.unpack(blob)
    except ValueError as error:
        raise ProtocolError(
            f"the board's configuration cannot be read: {error}; firmware and host are of"
            " different versions: flash or deploy this version's firmware"
        ) from None


def push_files(
    client: Any,
    found: Mapping[str, tuple[Mapping[str, Any], str]],
    book: Book | None = None,
    who: str | None = None,
    why: str = "not stated",
) -> array:
    """Send recipe, calibration or both and return the words that were read back.

    `found` is what `porogauge.recipe.load_files` gives. A part that is not given stays as the
    board has it. What is sent is kept in `book` (default: the user's), with who and why in its
    log. Raises RecipeError, PorogaugeError when a roll runs on the device, when the board has no
    other part or does not hold what was sent; nothing has changed on the board then.
    """
    book = book or Book()
    who = person(who)
    device = client.hello.device
    book.audit.allow("push")
    for roll in book.open_rolls(device):
        raise PorogaugeError(
            f"roll {roll['roll']} runs on {device}: its recipe and calibration are locked;"
            f" 'porogauge roll end {roll['roll']}' ends it"
        )
    before = read_words(client)
    if len(found) == 2:
        (recipe, recipe_source), (head, head_source) = found["recipe"], found["calibration"]
        words = compile_words(recipe, head, (recipe_source, head_source))
    else:
        [(kind, (tables, source))] = found.items()
        if before is None:
            other = "calibration" if kind == "recipe" else "recipe"
            raise PorogaugeError(
                f"the gauge has no {other} yet: send one together with the {kind}"
            )
        words = replace_part(before, kind, tables, source)
    problems = refused(found)
    if problems:
        raise RecipeError(problems)
    for kind, (tables, _) in found.items():
        if book.current(kind, key_of(kind, tables)) != _ids(words)[kind]:
            book.put(kind, tables, who, why)
    blob = config.pack(words)
    client.push_config(blob)
    if bytes(client.read_config()) != blob:
        raise PorogaugeError("the gauge does not hold what was sent; send it again")
    book.audit.append(
        "push", device, who, why, None if before is None else _ids(before), _ids(words)
    )
    return words


def _ids(words: array) -> dict[str, str]:
    """Ids of what is in force, as the book has them."""
    return {
        "recipe": f"{words[config.RECIPE_ID]:08x}",
        "calibration": f"{words[config.CALIBRATION_ID]:08x}",
    }


def standardise(
    client: Any,
    timeout_s: float,
    progress: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Take a new reference and return the status after it (as-found, as-left in it).

    Raises PorogaugeError when the gauge refuses (film in the gap, drift beyond its limit) or does
    not end within `timeout_s`.
    """
    from gauge.link import protocol

    before = decode_status(client.status())
    client.request(protocol.STANDARDISE)
    deadline = time.monotonic() + timeout_s
    started = False
    while time.monotonic() < deadline:
        status = decode_status(client.status())
        progress(status)
        running = status["state"] == "standardising"
        started = started or running
        # A short one may have ended between two looks: its age tells.
        younger = status["standard_age_s"] is not None and (
            before["standard_age_s"] is None or status["standard_age_s"] < before["standard_age_s"]
        )
        if not running and (started or younger):
            if status["standard_result"] not in (None, "ok"):
                why = status["standard_result"].replace("_", " ")
                if status["standard_cause"] not in (None, "none"):
                    why += f" ({status['standard_cause'].replace('_', ' ')})"
                raise PorogaugeError(
                    f"standardisation ended with: {why};"
                    " clean the head, check that the gap is empty and the head in its place"
                )
            return status
        client.pump(0.1)
    raise PorogaugeError(
        f"standardisation did not end within {timeout_s:g} s; is film in the gap? ('status' says)"
    )
