"""`porogauge doctor`: what is wrong with a gauge, and what to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from .. import output
from .device import device_options


@click.command()
@device_options
@click.pass_context
def doctor(ctx: click.Context, port: str | None, baud: int, wait: float) -> None:
    """Say in plain words what is wrong with a gauge, and what to do about it.

    Looks at the self-test, sensors, restarts and crash reports, memory, loop, link, flash and
    keys. Changes nothing, needs no key. Exit code 0: well, 1: there are problems, 3: no gauge.

    \b
    Examples:
      porogauge doctor --port /dev/ttyACM0
      porogauge doctor --port socket://127.0.0.1:4000 --json
    """
    from ..device import opened
    from ..doctor import ask, examine, identities, restarts, temperatures

    with opened(port, baud, wait) as client:
        report = ask(client)
    findings = examine(report)
    problems = sum(finding.problem for finding in findings)
    for finding in findings:
        output.emit("finding", **asdict(finding))
    hello = report.hello
    output.emit(
        "doctor",
        device=hello.device,
        board=hello.board,
        firmware=hello.firmware,
        boot=hello.boot,
        problems=problems,
        notes=len(findings) - problems,
        uptime_s=report.health["uptime_s"],
        self_test=dict(report.tests),
        restarts=restarts(report),
        sensors=identities(report),
        temperatures_c=temperatures(report),
    )
    output.say(_text(report, findings, identities(report), temperatures(report)))
    if problems:
        ctx.exit(1)


def _text(report: Any, findings: list[Any], sensors: Any, temperatures: Any) -> str:
    hello, h = report.hello, report.health
    hours, minutes = divmod(h["uptime_s"] // 60, 60)
    known = [f"{name.replace('_', ' ')} {value}" for name, value in sensors.items() if value]
    warm = [f"{name} {value:.1f} °C" for name, value in temperatures.items() if value is not None]
    passed = sum(result == "passed" for result in report.tests.values())
    lines = [
        f"{hello.device} ({hello.board}, firmware {hello.firmware}), boot {hello.boot},"
        f" {hours} h {minutes} min",
        f"sensors: {', '.join(known) or 'none has said who it is'}",
        f"temperatures: {', '.join(warm) or 'none known'}",
        f"self-test: {passed} of {len(report.tests)} passed",
    ]
    for problem, title in ((True, "Problems"), (False, "Worth knowing")):
        chosen = [finding for finding in findings if finding.problem == problem]
        if chosen:
            lines += ["", title]
        for finding in chosen:
            lines.append(f"  {finding.part.replace('_', ' ')}: {finding.text}")
            lines.append(f"      {finding.advice}")
    if not any(finding.problem for finding in findings):
        lines += ["", "The gauge is well."]
    return "\n".join(lines)
