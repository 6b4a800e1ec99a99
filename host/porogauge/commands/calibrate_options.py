"""Options that the commands of `porogauge calibrate` share: where readings come from."""

from __future__ import annotations

from typing import Any

import click

from . import options

__all__ = ["source_of", "source_options"]


def source_options(command: Any) -> Any:
    """Options that say where readings come from and where results go."""
    for option in reversed(
        (
            click.option(
                "--points",
                metavar="FILE.csv",
                help="Take the points from a file ('calibrate template' writes its header).",
            ),
            click.option(
                "--bench",
                metavar="SEED|SCENARIO",
                help="An emulated head with hidden errors does what the steps say.",
            ),
            click.option(
                "--target",
                type=click.Choice(["unix32", "rp2040"]),
                help="Run the emulated head through firmware and link, not by its models alone.",
            ),
            options.port_option,
            options.baud_option,
            options.wait_option,
            click.option(
                "--calibration",
                metavar="FILE.toml",
                help="Start from this calibration. Default: the current one of the book.",
            ),
            click.option(
                "--recipe",
                metavar="FILE.toml",
                help="Start from this recipe. Default: the current one of the book.",
            ),
            options.book_option,
            options.by_option,
            options.why_option,
            click.option("--plot", metavar="FILE.png", help="Draw the outcome."),
            click.option(
                "--yes",
                is_flag=True,
                help="Do not wait for Enter before a reading: a machine sets the steps up.",
            ),
            click.option("--restart", is_flag=True, help="Forget points of an earlier start."),
            click.option(
                "--within",
                type=options.Number(5, 86_400),
                default=120.0,
                show_default=True,
                metavar="SECONDS",
                help="How long to wait for steady readings.",
            ),
            options.json_option,
        )
    ):
        command = option(command)
    return command


def source_of(arguments: dict[str, Any], book: Any) -> Any:
    """Take what says where readings come from out of a command's arguments; look at the gauge."""
    from .calibrate_run import Source

    port = arguments.pop("port")
    points, bench = arguments.pop("points"), arguments.pop("bench")
    if points or bench:  # a port from the environment or the configuration file is no order
        port = None
    source = Source(
        points=points,
        bench=bench,
        port=port,
        **{name: arguments.pop(name) for name in ("target", "baud", "wait", "yes", "within")},
    )
    source.look(book)
    return source
