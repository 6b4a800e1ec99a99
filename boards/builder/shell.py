"""Running commands: output to a log, one line of progress, an error with its remedy.

say("image", "building, about 40 s")
run(["make", "-j2"], log=folder / "make.log", doing="building")
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TAIL_LINES = 20
PERCENT = re.compile(r"^\[\s*(\d+)%\]")
CHATTER = re.compile(r"^make(\[\d+\])?: (Entering|Leaving) directory|^\[\s*\d+%\]|^CC ")


class BuildError(Exception):
    """Something is missing or failed; the text says what, and what to do about it."""


def say(area: str, text: str) -> None:
    """Print one line of progress; standard output is kept for results."""
    print(f"[{area}] {text}", file=sys.stderr, flush=True)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without what an outer make or a compiler wrapper left in it."""
    unwanted = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CFLAGS", "LDFLAGS", "CFLAGS_EXTRA")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    environment["LC_ALL"] = "C"
    environment.update(extra or {})
    return environment


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    doing: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    remedy: str = "",
) -> None:
    """Run a command with its output appended to `log`; a percentage is shown on a terminal.

    Raises BuildError with the end of the log when the command fails or does not exist.
    """
    words = [str(word) for word in command]
    show = sys.stderr.isatty()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", errors="replace") as out:
        start = out.tell()
        out.write(f"$ {' '.join(words)}\n")
        out.flush()
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=clean_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError:
            raise BuildError(f"{doing}: the program {words[0]} is missing. {remedy}") from None
        try:
            for line in process.stdout:
                out.write(line)
                percent = PERCENT.match(line) if show else None
                if percent:
                    print(f"\r  {percent[1]:>3} %", end="", file=sys.stderr, flush=True)
        except BaseException:
            process.terminate()
            raise
        finally:
            code = process.wait()
            if show:
                print("\r       \r", end="", file=sys.stderr, flush=True)
    if code:
        raise BuildError(f"{doing} failed (exit {code}). {remedy}".rstrip() + tail(log, start))


def tail(log: Path, start: int = 0) -> str:
    """Return the end of a log, from byte `start` on, as the closing part of an error."""
    with log.open(encoding="utf-8", errors="replace") as text:
        text.seek(start)
        lines = [line for line in text.read().splitlines() if not CHATTER.match(line)]
    return (
        "\n"
        + "\n".join(f"    {line[:500]}" for line in lines[-TAIL_LINES:])
        + f"\n  whole log: {log}"
    )


def output(command: Sequence[str | Path]) -> str:
    """Return what a quick command prints, or "" when it is missing or fails."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
