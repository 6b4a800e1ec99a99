"""`porogauge key set | check | remove | list`: who may change a gauge."""

from __future__ import annotations

from typing import Any

import click

from .. import output
from ..errors import PorogaugeError
from . import options


@click.group()
def key() -> None:
    """Give a gauge keys, so that only who has one may change it or its records.

    Two roles: the operator's key acknowledges, holds, standardises, starts and ends rolls, enters
    laboratory results; the metrologist's does that as well, and recipes, calibrations, updates and
    keys. Reading needs none. The metrologist's key is set first. What you type is kept nowhere:
    the gauge holds a key made of it, the book a hash.

    \b
    Examples:
      porogauge key set metrologist --port /dev/ttyACM0
      porogauge key set operator --port /dev/ttyACM0 --key-file ~/metrologist.key
      porogauge key list --port /dev/ttyACM0
    """


_role = click.argument("role", type=click.Choice(["operator", "metrologist"]))


def _options(command: Any) -> Any:
    for option in (
        options.json_option,
        options.wait_option,
        options.baud_option,
        options.port_option,
        options.why_option,
        options.by_option,
        options.book_option,
    ):
        command = option(command)
    return command


def _keep(client: Any, book: Any, role: int, key: bytes | None, by: str | None, why: str) -> None:
    """Into the book: the hash of the key that the gauge now has, and who set it."""
    from .. import keys
    from ..audit import person

    device, name = client.hello.device, keys.protocol.ROLE_NAMES[role]
    ring = keys.KeyRing(book.path)
    before = ring.all().get(device, {}).get(name)
    after = None if key is None else keys.name_of(role, key)
    book.audit.append(
        "key", device, person(by), why, before and f"{name} {before[:8]}", after or f"no {name}"
    )
    ring.put(device, role, key)


@key.command("set", short_help="Give the gauge a key for a role, or another one.")
@_role
@click.option(
    "--new-key-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="File with the new key. Default: POROGAUGE_NEW_KEY, else it is asked for twice.",
)
@_options
def set_(
    role: str,
    new_key_file: str | None,
    port: str | None,
    baud: int,
    wait: float,
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Give the gauge a key for ROLE, operator or metrologist, in place of one that it has.

    Where the gauge has keys already, the metrologist's is needed (--key-file, POROGAUGE_KEY or
    asked for). A key has 8 to 256 printable characters. It crosses the cable once, now: do it at
    the gauge, not over a network.

    \b
    Examples:
      porogauge key set metrologist --port /dev/ttyACM0
      porogauge key set operator --new-key-file operator.key --key-file metrologist.key
    """
    from gauge.link import protocol

    from .. import keys
    from ..audit import person
    from ..book import Book
    from ..device import opened

    number, kept = keys.role_of(role), Book(book)
    person(by)
    with opened(port, baud, wait) as client:
        device = client.hello.device
        kept.audit.allow("key")
        secret = keys.new_secret(number, new_key_file)
        if set(keys.KeyRing(kept.path).roles_of(device, secret)) - {number}:
            raise click.UsageError("the other role has this key: the two must differ")
        made = keys.derive(secret, device, number)
        client.request(protocol.SET_KEY, bytes([number]) + made)
        text = keys.prove_to(client, number, made)
        if text:
            raise PorogaugeError(f"{device}: the gauge does not hold the key that was set: {text}")
        if number == protocol.METROLOGIST:
            keys.in_hand().proved(number, made)
        _keep(client, kept, number, made, by, why)
    name = keys.name_of(number, made)
    output.say(f"{device}: the {role}'s key is set ({name})")
    output.emit("key_set", device=device, role=role, key=name)


@key.command(short_help="Prove a key to the gauge, and let the book know it.")
@_role
@_options
def check(
    role: str,
    port: str | None,
    baud: int,
    wait: float,
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Prove the key of ROLE to the gauge; the book keeps its hash when the gauge takes it.

    On a computer with another book than the one in which the keys were set, this makes them known.

    \b
    Example:
      porogauge key check operator --port /dev/ttyACM0
    """
    from .. import keys
    from ..book import Book
    from ..device import opened

    number, kept = keys.role_of(role), Book(book)
    with opened(port, baud, wait) as client:
        device, hand = client.hello.device, keys.in_hand()
        if not client.hello.keys >> number & 1:
            raise keys.KeyDenied(
                f"{device}: has no key of the {role}; 'porogauge key set {role}' gives it one"
            )
        made = keys.derive(hand.secret(number), device, number)
        text = keys.prove_to(client, number, made)
        if text:
            raise keys.KeyDenied(f"{device}: {text}")
        keys.KeyRing(kept.path).put(device, number, made)
    name = keys.name_of(number, made)
    output.say(f"{device}: took the {role}'s key ({name})")
    output.emit("key_checked", device=device, role=role, key=name)


@key.command(short_help="Take a key from the gauge.")
@_role
@_options
def remove(
    role: str,
    port: str | None,
    baud: int,
    wait: float,
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Take the key of ROLE from the gauge, which needs the metrologist's key.

    The operator's goes first; without the metrologist's the gauge is open to everybody.

    \b
    Example:
      porogauge key remove operator --port /dev/ttyACM0 --why "left the plant"
    """
    from gauge.link import protocol

    from .. import keys
    from ..audit import person
    from ..book import Book
    from ..device import opened

    number, kept = keys.role_of(role), Book(book)
    person(by)
    with opened(port, baud, wait) as client:
        device = client.hello.device
        kept.audit.allow("key")
        client.request(protocol.SET_KEY, bytes([number]) + bytes(protocol.KEY_BYTES))
        _keep(client, kept, number, None, by, why)
    output.say(f"{device}: has no key of the {role} any more")
    output.emit("key_removed", device=device, role=role)


@key.command("list", short_help="Which keys there are, on the gauge and in the book.")
@options.port_option
@options.baud_option
@options.wait_option
@options.book_option
@options.json_option
def list_(port: str | None, baud: int, wait: float, book: str | None) -> None:
    """Show which roles have keys: in the book, and with --port on the gauge.

    \b
    Examples:
      porogauge key list
      porogauge key list --port /dev/ttyACM0 --json
    """
    from gauge.link import protocol

    from .. import keys
    from ..book import Book
    from ..device import opened

    known = keys.KeyRing(Book(book).path).all()
    there: dict[str, int] = {}
    if port is not None:
        with opened(port, baud, wait) as client:
            there[client.hello.device] = client.hello.keys
    lines = []
    for device in dict.fromkeys([*there, *known]):
        for role in (protocol.OPERATOR, protocol.METROLOGIST):
            name = protocol.ROLE_NAMES[role]
            digest = known.get(device, {}).get(name)
            on_gauge = bool(there[device] >> role & 1) if device in there else None
            output.emit(
                "key",
                device=device,
                role=name,
                on_gauge=on_gauge,
                key=digest and f"{name} {digest[:8]}",
            )
            where = {None: "", True: "on the gauge", False: "not on the gauge"}[on_gauge]
            book_text = f"in the book as {digest[:8]}" if digest else "not in the book"
            lines.append(f"{device}  {name:12} {', '.join(filter(None, (where, book_text)))}")
    for device, roles in there.items():
        if not roles:
            lines.append(f"{device}  is open: anybody may change it ('porogauge key set')")
    output.say("\n".join(lines) or f"no keys in {Book(book).path}; --port asks a gauge")
