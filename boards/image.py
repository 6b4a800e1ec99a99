#!/usr/bin/env python3
"""Build the MicroPython images, or say where they are.

    python3 boards/image.py                      both images
    python3 boards/image.py rp2040               the firmware of the board (UF2)
    python3 boards/image.py --print-path unix32  only the path on standard output
    python3 boards/image.py tools                install the compilers and what else is needed

An image is built when one of its inputs has changed, and otherwise found in the user's cache. A
copy goes to the project's build folder. The sources come from --micropython or MICROPYTHON, else
from Debian's source packages, else from a clone. See boards/builder for how.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from builder import targets, toolchain
from builder.shell import BuildError, say


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="?", default="all", choices=["rp2040", "unix32", "all", "tools"]
    )
    parser.add_argument(
        "--micropython",
        metavar="DIR",
        type=Path,
        default=os.environ.get("MICROPYTHON") or None,
        help="a checkout of MicroPython 1.25 or later to build from",
    )
    parser.add_argument("--print-path", action="store_true", help="print the path and no more")
    parser.add_argument("--force", action="store_true", help="build from the start")
    options = parser.parse_args(arguments)
    checkout = Path(options.micropython) if options.micropython else None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.what == "tools":
            toolchain.install()
            return 0
        for target in wanted(options.what):
            begun = time.monotonic()
            path, cached = targets.build(target, checkout, options.force)
            if options.print_path:
                print(path)
            else:
                state = "unchanged" if cached else f"built in {time.monotonic() - begun:.0f} s"
                print(f"{target.name}: {path} ({state})", flush=True)
    except BuildError as error:
        say("image", str(error))
        return 1
    except KeyboardInterrupt:
        say("image", "interrupted; the next call goes on from here")
        return 130
    return 0


def wanted(what: str) -> list[targets.Target]:
    """Return the images to build; "all" leaves out what this machine cannot run."""
    if what != "all":
        return [targets.TARGETS[what]]
    chosen = [targets.RP2040]
    if toolchain.can_build_unix32():
        chosen.append(targets.UNIX32)
    else:
        say("image", "unix32 is left out: it needs Linux on an x86 processor")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
