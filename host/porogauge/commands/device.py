"""`porogauge status | standardise | acknowledge | hold | resume`: short talks with a gauge."""

from __future__ import annotations

from typing import Any

import click

from .. import output
from ..errors import PorogaugeError
from . import options


def device_options(command: Any) -> Any:
    """Port, speed, patience and --json."""
    for option in (
        options.json_option,
        options.wait_option,
        options.baud_option,
        options.port_option,
    ):
        command = option(command)
    return command


@click.command()
@click.option("--health", is_flag=True, help="Memory, load, link and sensor counters as well.")
@device_options
def status(port: str | None, baud: int, wait: float, health: bool) -> None:
    """Show what a gauge is doing, and why: state, numbers with U95, flags, reference.

    \b
    Examples:
      porogauge status --port /dev/ttyACM0
      porogauge status --port socket://127.0.0.1:4000 --health --json
    """
    from gauge.link import protocol

    from ..device import opened
    from ..units import decode_status

    with opened(port, baud, wait) as client:
        hello = client.connect()
        found = decode_status(client.status())
        faults = client.faults()
        machine = client.health() if health else None
    who = {
        "device": hello.device,
        "board": hello.board,
        "firmware": hello.firmware,
        "boot": hello.boot,
    }
    keys = [name for role, name in enumerate(protocol.ROLE_NAMES) if hello.keys >> role & 1]
    output.emit(
        "status",
        **who,
        **found,
        faults=faults,
        keys=keys,
        **({"health": machine} if machine else {}),
    )
    output.say(_status_text(who, found, faults, keys))
    if machine:
        output.say("\n".join(f"{name:18} {value}" for name, value in machine.items()))


def _words(name: str | None) -> str:
    return (name or "unknown").replace("_", " ")


def _number(value: Any, factor: float, digits: int, u: Any = None, unit: str = "") -> str:
    if value is None:
        return "-"
    text = f"{value / factor:.{digits}f}"
    if u is not None:
        text += f" ± {2 * u / factor:.{digits}f}"
    return f"{text} {unit}".rstrip()


def _status_text(
    who: dict[str, Any], s: dict[str, Any], faults: dict[str, str], keys: list[str]
) -> str:
    names = [_words(name) for name in s["flags"]]
    latched = [_words(name) for name in s["latched"] if name not in s["flags"]]
    reference = "none since the board started"
    if s["standard_age_s"] is not None:
        reference = f"{s['standard_age_s']} s old"
        if s["as_found_c0_af"]:
            reference += (
                f", C0 {s['as_found_c0_af'] / 1e6:.4f} → {s['as_left_c0_af'] / 1e6:.4f} pF"
            )
    lines = (
        ("gauge", f"{who['device']} ({who['board']}, firmware {who['firmware']})"),
        ("state", f"{_words(s['state'])}: {_words(s['state_reason'])}"),
        ("thickness", _number(s["thickness_nm"], 1000, 2, s["u_thickness_nm"], "µm")),
        ("porosity", _number(s["porosity_ppm"], 10_000, 2, s["u_porosity_ppm"], "%")),
        ("permittivity", _number(s["permittivity_e4"], 10_000, 4)),
        ("no number", "" if s["valid"] else _words(s["reason"])),
        ("flags", ", ".join(names) or "none"),
        *((_words(name), text) for name, text in faults.items()),
        ("to acknowledge", ", ".join(latched)),
        ("reject output", "good" if "good" in s["outputs"] else "reject"),
        ("position", _number(s["position_mm"], 1000, 2, unit="m")),
        (
            "climate",
            f"air {_number(s['air_c'], 1, 1)} °C, {_number(s['rh_percent'], 1, 0)} %RH,"
            f" frame {_number(s['frame_c'], 1, 2)} °C",
        ),
        ("reference", reference),
        ("recipe", s["recipe_id"] or "none: 'porogauge recipe push' sends one"),
        ("calibration", s["calibration_id"] or "none"),
        ("keys", ", ".join(keys) or "none: anybody may change it ('porogauge key set')"),
        ("windows", f"{s['windows']}, {s['lost']} conversions lost"),
    )
    return "\n".join(f"{name:15} {text}" for name, text in lines if text)


@click.command()
@click.option(
    "--within",
    type=options.Number(1, 3600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up after this time.",
)
@options.key_option
@device_options
def standardise(port: str | None, baud: int, wait: float, within: float) -> None:
    """Take a new off-sheet reference: the gap must be empty.

    Shows the reference as found and as left. The gauge refuses one that drifted beyond the
    calibration's limit: dust on the head, or the head in a wrong position.

    \b
    Example:
      porogauge standardise --port /dev/ttyACM0
    """
    from ..device import opened
    from ..device import standardise as run

    output.note("standardising: the gap must stay empty")
    with opened(port, baud, wait) as client:
        s = run(client, within)
    output.emit("standardised", **s)
    c0 = [s[f"as_{end}_c0_af"] / 1e6 for end in ("found", "left")]
    d = [s[f"as_{end}_d_nm"] / 1000 for end in ("found", "left")]
    output.say(f"C0  as found {c0[0]:.4f} pF, as left {c0[1]:.4f} pF")
    output.say(f"D   as found {d[0]:.3f} µm, as left {d[1]:.3f} µm")


@click.command()
@click.argument("flags", metavar="[FLAG]...", nargs=-1)
@options.book_option
@options.by_option
@options.why_option
@device_options
def acknowledge(
    port: str | None,
    baud: int,
    wait: float,
    flags: tuple[str, ...],
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Acknowledge latched flags: those named, or all.

    A flag whose cause is still there stays. The audit log keeps who acknowledged what.

    \b
    Examples:
      porogauge acknowledge --port /dev/ttyACM0
      porogauge acknowledge porosity_hihi --why "splice cut out"
    """
    from difflib import get_close_matches

    from gauge import record
    from gauge.link import protocol

    from ..audit import person
    from ..book import Book
    from ..device import opened
    from ..units import decode_status

    who, log = person(by), Book(book).audit
    mask = 0
    for name in flags:
        if name not in record.FLAG_NAMES:
            close = get_close_matches(name, record.FLAG_NAMES, 1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"{name} is not a flag{hint}")
        mask |= 1 << record.FLAG_NAMES.index(name)
    with opened(port, baud, wait) as client:
        log.allow("acknowledgement")
        before = decode_status(client.status())["latched"]
        left = client.words(protocol.ACKNOWLEDGE, mask or (1 << len(record.FLAG_NAMES)) - 1)[0]
        device = client.hello.device
    names = record.names_of(left)
    log.append("acknowledgement", device, who, why, {"latched": before}, {"latched": names})
    output.emit("acknowledged", latched=names)
    output.say(
        "still latched: " + ", ".join(map(_words, names)) if names else "nothing is latched"
    )


def _simple(name: str, state: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @options.key_option
    @device_options
    def command(port: str | None, baud: int, wait: float) -> None:
        from gauge.link import protocol

        from ..device import opened
        from ..units import decode_status

        with opened(port, baud, wait) as client:
            client.request(getattr(protocol, name.upper()))
            # The state follows with the next window: 110 ms at the slowest rate.
            for _ in range(20):
                found = decode_status(client.status())
                if (found["state"] == "hold") == (name == "hold"):
                    break
                client.pump(0.1)
            else:
                raise PorogaugeError(
                    f"the gauge took the command but is in state {_words(found['state'])}:"
                    f" {_words(found['state_reason'])}"
                )
        output.emit(state, state=found["state"], reason=found["state_reason"])
        output.say(f"{_words(found['state'])}: {_words(found['state_reason'])}")

    return command


hold = _simple(
    "hold",
    "held",
    "Stop reporting numbers until 'resume': records go on, marked as hold.\n\n\b\n"
    "Example:\n  porogauge hold --port /dev/ttyACM0",
)
resume = _simple(
    "resume",
    "resumed",
    "End a hold.\n\n\b\nExample:\n  porogauge resume --port /dev/ttyACM0",
)
