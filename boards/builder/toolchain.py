"""The programs that the images are built with: what is missing, and how to get it.

    >>> [tool.name for tool in missing()]
    []

On Debian and Ubuntu `install()` gets them with apt-get, as root or through a sudo that asks no
password. Elsewhere the error names them.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cache
from .shell import BuildError, output, run, say

C_PROGRAM = b"#include <stdlib.h>\n#include <math.h>\nint main(void) { return abs(0); }\n"


@dataclass(frozen=True)
class Tool:
    """A program or library that a build needs.

    `packages` are Debian's names; `needed_for` holds "rp2040", "unix32", "source" (unpacking
    Debian's packages), "venv" or "browser" (tests of the page); `elsewhere` says what to look for
    on other systems.
    """

    name: str
    packages: tuple[str, ...]
    needed_for: frozenset[str]
    present: Callable[[], bool]
    elsewhere: str


def on_path(*programs: str) -> Callable[[], bool]:
    """Return a probe for a program, by any of its names."""
    return lambda: any(shutil.which(program) for program in programs)


def compiles(*command: str) -> Callable[[], bool]:
    """Return a probe for a compiler together with its C library."""

    def probe() -> bool:
        try:
            done = subprocess.run(
                [*command, "-x", "c", "-", "-o", os.devnull],
                input=C_PROGRAM,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=60,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    return probe


def has_modules(*modules: str) -> Callable[[], bool]:
    """Return a probe for modules that some systems split off Python."""

    def probe() -> bool:
        code = ";".join(f"import {module}" for module in modules)
        return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0

    return probe


def has_python_headers() -> bool:
    """Return whether C extensions can be compiled (only the emulator's accelerator is one)."""
    if sys.base_prefix != "/usr":
        return True  # not the system's Python: no package of the system would help
    return Path(sysconfig.get_paths()["include"], "Python.h").is_file()


def can_build_unix32() -> bool:
    """Return whether this machine can compile and run 32-bit x86 programs."""
    return platform.system() == "Linux" and platform.machine() in ("x86_64", "i686", "i586")


IMAGES = frozenset({"rp2040", "unix32"})
RP2040 = frozenset({"rp2040"})
VENV = frozenset({"venv"})
_QUIET = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"]
_WAIT = ["-o", "DPkg::Lock::Timeout=300"]
BROWSER = frozenset({"browser"})  # only tests want one: without it they are skipped, and say so

TOOLS = [
    Tool("C compiler", ("gcc", "libc6-dev"), IMAGES, compiles("gcc"), "gcc or clang"),
    Tool("make", ("make",), IMAGES, on_path("make"), "GNU make"),
    Tool("cmake", ("cmake",), RP2040, on_path("cmake"), "cmake 3.19 or later"),
    Tool(
        "ARM compiler with newlib",
        ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi"),
        RP2040,
        compiles("arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "--specs=nosys.specs"),
        "arm-none-eabi-gcc with newlib (macOS: brew install --cask gcc-arm-embedded)",
    ),
    Tool(
        "32-bit C library",
        ("gcc-multilib",),
        frozenset({"unix32"}),
        compiles("gcc", "-m32", "-static"),
        "a gcc that links with -m32 -static",
    ),
    Tool("xz", ("xz-utils",), frozenset({"source"}), on_path("xz"), "xz"),
    Tool("bzip2", ("bzip2",), frozenset({"source"}), on_path("bzip2"), "bzip2"),
    Tool(
        "Python's venv", ("python3-venv",), VENV, has_modules("venv", "ensurepip"), "Python's venv"
    ),
    Tool("Python's headers", ("python3-dev",), VENV, has_python_headers, "Python's headers"),
    Tool(
        "Chromium",
        ("chromium",),
        BROWSER,
        on_path("chromium", "chromium-browser", "google-chrome", "chrome"),
        "Chromium or Chrome",
    ),
]


def missing(purposes: Iterable[str] | None = None) -> list[Tool]:
    """Return the tools that are not there, of those needed for any of `purposes` (or for all)."""
    wanted = set(purposes) if purposes else {"rp2040", "unix32", "source", "venv"}
    if not can_build_unix32():
        wanted.discard("unix32")
    if not has_apt():
        wanted.discard("source")
    return [tool for tool in TOOLS if tool.needed_for & wanted and not tool.present()]


def has_apt() -> bool:
    """Return whether system packages come from apt here."""
    return shutil.which("apt-get") is not None


def require(*purposes: str) -> None:
    """Raise BuildError naming what is missing for `purposes`, with the remedy."""
    lacking = missing(purposes)
    if lacking:
        raise BuildError(
            f"missing: {', '.join(tool.name for tool in lacking)}.\n{remedy(lacking)}"
        )


def remedy(lacking: Sequence[Tool]) -> str:
    """Return how a person gets these tools."""
    if has_apt():
        return "Run this line once, then try again:\n    sudo " + " ".join(apt_install(lacking))
    wishes = "\n".join(f"    {tool.elsewhere}" for tool in lacking)
    return f"Install these with your system's package manager, then try again:\n{wishes}"


def apt_install(lacking: Sequence[Tool]) -> list[str]:
    """Return the apt-get command for these tools, without the rights to run it."""
    packages = dict.fromkeys(name for tool in lacking for name in tool.packages)
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]


def rights() -> list[str] | None:
    """Return what precedes a command to run it as root, or None when that is not allowed."""
    if os.geteuid() == 0:
        return []
    if output(["sudo", "-n", "id", "-u"]) == "0":
        return ["sudo", "-n"]
    return None


def install() -> None:
    """Install what is missing; raise BuildError with the line to run where that is not allowed.

    A browser is installed where that is possible and else only mentioned.
    """
    lacking = missing()
    wished = missing(BROWSER)
    as_root = rights() if has_apt() else None
    if lacking and as_root is None:
        raise BuildError(
            f"system packages are missing: {', '.join(tool.name for tool in lacking)}.\n"
            + remedy(lacking)
        )
    if as_root is not None and (lacking or wished):
        _update(as_root)
    if lacking:
        _apt(as_root or [], lacking, "about 30 s")
    if wished:
        try:
            if as_root is None:
                raise BuildError(remedy(wished))
            _apt(as_root, wished, "for the page's tests, about 40 s")
        except BuildError as error:
            say("set-up", f"no browser: the page's tests in one are skipped. {error}")


def _update(as_root: list[str]) -> None:
    """Refresh apt's lists; an unreachable third-party source must not stop what Debian has."""
    log = cache.root() / "system-packages.log"
    try:
        run([*as_root, *_QUIET, "apt-get", *_WAIT, "update"], log=log, doing="apt-get update")
    except BuildError:
        say("set-up", f"apt-get update had errors (see {log}); trying all the same")


def _apt(as_root: list[str], lacking: Sequence[Tool], how_long: str) -> None:
    """Install tools from apt, and look whether they work then."""
    names = ", ".join(tool.name for tool in lacking)
    say("set-up", f"system packages ({names}), {how_long}")
    log = cache.root() / "system-packages.log"
    command = apt_install(lacking)
    run(
        [*as_root, *_QUIET, command[0], *_WAIT, *command[1:]],
        log=log,
        doing="installing system packages",
        remedy="Run it by hand: sudo " + " ".join(command) + ".",
    )
    still = [tool for tool in lacking if not tool.present()]
    if still:
        raise BuildError(
            f"installed, but still not usable: {', '.join(tool.name for tool in still)}.\n"
            f"{remedy(still)}\n  whole log: {log}"
        )


def identity(target: str) -> str:
    """Return the name and version of the compiler of an image."""
    compiler = "arm-none-eabi-gcc" if target == "rp2040" else "gcc"
    return f"{compiler} {output([compiler, '-dumpfullversion', '-dumpversion'])}"
