"""Where the built images are: RP2040 firmware, 32-bit unix MicroPython.

    >>> image_path("unix32")
    PosixPath('.../micropython')

The environment may name them (`POROGAUGE_MICROPYTHON32`, `POROGAUGE_RP2040_UF2`); otherwise
`boards/image.py --print-path` is asked, which builds what its cache does not have.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

VARIABLES = {"unix32": "POROGAUGE_MICROPYTHON32", "rp2040": "POROGAUGE_RP2040_UF2"}
BUILD_TIMEOUT_S = 900


class ImageError(RuntimeError):
    """An image is absent and could not be built."""


@functools.cache
def image_path(kind: str) -> Path:
    """Return the path of the image `kind` ("unix32" or "rp2040").

    Raises ImageError that says what is missing and what to do.
    """
    variable = VARIABLES[kind]
    named = os.environ.get(variable)
    if named:
        path = Path(named)
        if not path.is_file():
            raise ImageError(f"{variable} names {path}, which is no file; correct or unset it")
        return path
    script = ROOT / "boards" / "image.py"
    try:
        done = subprocess.run(
            [sys.executable, str(script), "--print-path", kind],
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(
            f"the {kind} image could not be built ({error}); run make image"
        ) from error
    if done.returncode:
        text = f"the {kind} image is missing; run make image, or set {variable}"
        raise ImageError(f"{text}\n{done.stderr.strip()}")
    return Path(done.stdout.strip().splitlines()[-1])
