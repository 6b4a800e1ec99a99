"""What is wrong with a gauge, in plain words, and what to do: from what the board says of itself.

    >>> with opened("/dev/ttyACM0") as client:
    ...     report = ask(client)
    >>> for finding in examine(report):
    ...     print(finding.problem, finding.part, finding.text, finding.advice)

A *problem* keeps the gauge from measuring well, or will; a *note* is worth knowing. All limits
are here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gauge import health
from gauge.drivers.optoncdt import MODELS
from gauge.link import protocol

from . import __version__
from .units import decode_status

__all__ = ["Finding", "Report", "ask", "examine", "identities", "restarts", "temperatures"]

HEAP_LEAST = 6_000  # bytes free: below it a command may find no memory
# Conversions lost: three a minute go to the frame temperature, some more to what is erased ahead
LOST_SHARE = 5e-3  # of all: more is a problem,
LOST_LEAST = 30  # beyond what the start costs
SLOW_SHARE = 1e-3  # of all rounds of the loop: more of them slow are worth a note
SLOW_STEP = 8  # rounds from this step on (16.4 ms) may cost a conversion
ERRORS_AN_HOUR = 6.0  # of one sensor
CHIP_MOST_C = 70.0  # the RP2040 is specified up to 85 C
ERASES_MOST = 100_000  # of a sector of flash, by its data sheet
WORN_SHARE = 0.8  # of these
STARTED_S = 15  # after so long every sensor has given a first reading
SENSORS = ("capacitance", "climate", "laser_a", "laser_b")

ADVICE = {
    "memory": "the board is broken: replace it",
    "arithmetic": "the board or its firmware is broken: flash the image again, else replace it",
    "storage": "delete files that are not the gauge's with mpremote, else replace the board",
    "configuration": "push recipe and calibration again; if it comes back, replace the board",
    "journal": "flash the image again; if it comes back, replace the board",
    "outputs": "look for a short circuit at the relay's driver, the marker or the heartbeat",
    "inputs": "look for a stuck button or a short circuit at 'standardise' or 'acknowledge'",
    "bus": "look for a short circuit of SDA or SCL, or a chip without power on the bus",
    "capacitance": "check the converter's supply, SDA, SCL and /RDY",
    "climate": "check the climate sensor's supply, SDA and SCL",
    "laser_a": "check laser A's 24 V and both wire pairs",
    "laser_b": "check laser B's 24 V and both wire pairs",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found: `problem` or only worth knowing, about which part."""

    problem: bool
    part: str
    text: str
    advice: str


@dataclass(frozen=True)
class Report:
    """All that the board said: `status` in user units, `health` and `tests` by name."""

    hello: Any
    status: Mapping[str, Any]
    health: Mapping[str, int]
    tests: Mapping[str, str]
    faults: Mapping[str, str]
    crash: str


def ask(client: Any) -> Report:
    """Ask a connected client's board for all of it. Raises RequestFailed."""
    return Report(
        client.hello,
        decode_status(client.status()),
        client.health(),
        client.self_test(),
        client.faults(),
        client.why("crash"),
    )


def examine(report: Report) -> list[Finding]:
    """Return what was found, problems first."""
    parts = (_starts, _self_test, _sensors, _state, _loop, _memory, _link, _flash, _who)
    found = [finding for part in parts for finding in part(report)]
    return sorted(found, key=lambda finding: not finding.problem)


def identities(report: Report) -> dict[str, Any]:
    """Which sensors are in the head, as they say; None: not known."""
    h = report.health
    high, low = h["climate_serial_high"], h["climate_serial_low"]
    model = h["laser_model"] if report.status["configured"] else -1
    return {
        "capacitance": f"{h['capacitance_id']:04x}" if h["capacitance_id"] else None,
        "climate": f"{high << 16 | low:08x}" if high or low else None,
        "laser_model": MODELS[model].name if 0 <= model < len(MODELS) else None,
        "laser_a": h["laser_a_serial"] or None,
        "laser_b": h["laser_b_serial"] or None,
    }


def temperatures(report: Report) -> dict[str, float | None]:
    """Frame, air and the board's chip, degrees Celsius; None: not known."""
    return {
        part: None if mc <= health.UNKNOWN_MC else mc / 1000
        for part, mc in ((name, report.health[f"{name}_mc"]) for name in ("frame", "air", "board"))
    }


def restarts(report: Report) -> dict[str, int]:
    """Starts of the board so far, by their cause."""
    return {cause: report.health[f"resets_{cause}"] for cause in health.RESET_CAUSES}


# ---------------------------------------------------------------- one part each


def _starts(report: Report) -> Iterator[Finding]:
    h, flags = report.health, report.status["flags"]
    if "watchdog_restart" in flags:
        yield Finding(
            True,
            "program",
            "the program hung and was restarted by its watchdog",
            "acknowledge 'watchdog_restart'; if it comes again, send the journal to who maintains"
            " the firmware ('porogauge journal' shows it)",
        )
    if "crash_restart" in flags:
        yield Finding(
            True,
            "program",
            f"the program ended with an error and was restarted: {report.crash}",
            "acknowledge 'crash_restart', send the report to who maintains the firmware"
            " ('porogauge log' fetches it, 'porogauge journal' shows it)",
        )
    elif report.crash:
        yield Finding(
            False,
            "program",
            f"it once ended with an error: {report.crash}",
            "nothing, if it does not come again",
        )
    if h["resets_watchdog"] and "watchdog_restart" not in flags:
        yield Finding(
            False,
            "program",
            f"restarted by its watchdog {h['resets_watchdog']} times so far",
            "'porogauge journal' says when",
        )


def _self_test(report: Report) -> Iterator[Finding]:
    for name, result in report.tests.items():
        if result == "failed" and name not in SENSORS and name != "configuration":
            text = f"the self-test of {name} failed"
            if name in ("memory", "arithmetic"):
                text += ": the gauge refuses to measure"
            yield Finding(True, name, text, ADVICE[name])
    if "configuration" in report.faults:
        yield Finding(
            True,
            "configuration",
            report.faults["configuration"],
            "'porogauge recipe push' sends recipe and calibration",
        )
    elif report.tests.get("configuration") == "failed":
        yield Finding(
            True,
            "configuration",
            "only one of its two copies can be stored",
            ADVICE["configuration"],
        )


def _sensors(report: Report) -> Iterator[Finding]:
    h = report.health
    hours = max(h["uptime_s"], 1) / 3600
    flags = report.status["flags"]
    for part in SENSORS:
        flag = {"climate": "environment_fault"}.get(part, f"{part}_fault")
        text = report.faults.get(part)
        late = report.tests.get(part) == "waiting" and h["uptime_s"] > STARTED_S
        if flag in flags or late:
            yield Finding(True, part, text or "has given no reading yet", ADVICE[part])
            continue
        if text:
            yield Finding(False, part, text, "nothing, if the gap is empty; else clean the head")
        errors = h[f"{part}_errors"]
        if errors >= 3 and errors / hours > ERRORS_AN_HOUR:
            yield Finding(
                False,
                part,
                f"{errors} errors within {hours:.1f} h",
                "check plugs, screens and grounds on the way to it",
            )
        if h.get(f"{part}_broken"):
            yield Finding(
                False,
                part,
                f"{h[f'{part}_broken']} damaged bytes or broken sequences",
                "check the RS-422 pair, its termination and screen",
            )


def _state(report: Report) -> Iterator[Finding]:
    status = report.status
    if "standardisation_refused" in status["flags"]:
        cause = (status["standard_cause"] or "").replace("_", " ")
        yield Finding(
            True,
            "reference",
            f"the last standardisation was refused: {cause}",
            "clean the head, check that the gap is empty and the head in its place, standardise",
        )
    elif "standardisation_due" in status["flags"]:
        yield Finding(
            False,
            "reference",
            "standardisation is due",
            "take the head off the sheet, then 'porogauge standardise'",
        )
    if "outside_envelope" in status["flags"]:
        yield Finding(
            False,
            "calibration",
            "film or climate is outside of what was calibrated",
            "look at the recipe's ranges; recalibrate for this film",
        )
    if status["state"] == "hold":
        yield Finding(False, "state", "on hold: nothing is measured", "'porogauge resume' ends it")
    latched = [name for name in status["latched"] if name not in status["flags"]]
    if latched:
        names = ", ".join(latched).replace("_", " ")
        yield Finding(False, "flags", f"waits for an acknowledgement: {names}", "acknowledge")


def _loop(report: Report) -> Iterator[Finding]:
    h = report.health
    steps = [h[f"loop_{step}"] for step in range(health.LOOP_STEPS)]
    slow = sum(steps[SLOW_STEP:])
    if sum(steps) and slow / sum(steps) > SLOW_SHARE:
        limit_ms = SLOW_STEP * health.LOOP_STEP_US / 1000
        yield Finding(
            False,
            "loop",
            f"{100 * slow / sum(steps):.1f} % of the loop's rounds took longer than"
            f" {limit_ms:.0f} ms",
            "commands and flash cost time: ask less often while film is measured",
        )
    made, lost = report.status["windows"], report.status["lost"]
    if lost > LOST_LEAST and lost / (made + lost) > LOST_SHARE:
        yield Finding(
            True,
            "converter",
            f"{lost} conversions of {made + lost} made no window",
            "look at the wire of /RDY, and at the errors of the sensors",
        )


def _memory(report: Report) -> Iterator[Finding]:
    low = report.health["heap_low"]
    if 0 < low < HEAP_LEAST:
        yield Finding(
            True,
            "memory",
            f"only {low} bytes of memory were free at the worst",
            "use the image with the firmware frozen in: 'porogauge flash'",
        )


def _link(report: Report) -> Iterator[Finding]:
    h = report.health
    if h["link_dropped"]:
        if h["flash_sectors"]:
            text = "records left the memory before a host had them; the journal kept what fitted"
        else:
            text = "records were lost, because no host had taken them in time"
        yield Finding(
            not h["flash_sectors"],
            "link",
            f"{h['link_dropped']} {text}",
            "keep 'porogauge log' running; 'porogauge export' and 'roll end' tell of every gap",
        )
    if h["link_bad_frames"]:
        yield Finding(
            False,
            "link",
            f"{h['link_bad_frames']} damaged frames from the host",
            "check the cable; what was damaged is sent again",
        )


def _flash(report: Report) -> Iterator[Finding]:
    h = report.health
    if not h["flash_sectors"]:
        yield Finding(
            False,
            "journal",
            "this board keeps no journal: what is measured while no host is there is lost as soon"
            " as its memory is full",
            "on an RP2040 use the image of this project: 'porogauge flash'",
        )
    if h["flash_most_erases"] > WORN_SHARE * ERASES_MOST:
        yield Finding(
            True,
            "journal",
            f"its flash is worn: {h['flash_most_erases']} erases of {ERASES_MOST}",
            "replace the board before it forgets",
        )
    if h["flash_dropped"]:
        yield Finding(
            True,
            "journal",
            f"{h['flash_dropped']} entries were erased before a host had them",
            "let 'porogauge log' fetch the journal more often than it fills",
        )
    chip = temperatures(report)["board"]
    if chip is not None and chip > CHIP_MOST_C:
        yield Finding(
            True, "board", f"its chip is at {chip:.0f} °C", "move it, or let air to its box"
        )


def _who(report: Report) -> Iterator[Finding]:
    hello = report.hello
    if "update" in report.faults:
        yield Finding(
            True,
            "update",
            report.faults["update"],
            "mend the new version; until then the one before runs",
        )
    if protocol.TRIAL_NAMES[hello.trial] == "on_trial":
        yield Finding(False, "update", "a new version is on trial", "wait half a minute")
    if hello.firmware != __version__:
        yield Finding(
            False,
            "firmware",
            f"version {hello.firmware}, this program is {__version__}",
            "'porogauge deploy' or 'porogauge flash' brings them together",
        )
    if not hello.keys:
        yield Finding(
            False,
            "keys",
            "no key is set: anybody on the link may change the gauge",
            "'porogauge key set'",
        )
