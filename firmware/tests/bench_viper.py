"""What viper is worth: kernels of the firmware against the same source as bytecode.

Both run on one emulated RP2040 and are timed with SysTick. The bytecode comes from the module's
source without its `@micropython.viper` decorators.
"""

from __future__ import annotations

import runtime

# Name, module, statements that prepare (`m` is the module), the call that is timed.
KERNELS = (
    ("muldiv", "gauge.kernels", "", "m.muldiv(200_012, 12_050, 25_000, 14)"),
    (
        "parse a laser, 44 samples",
        "gauge.windows",
        """
class Stream:
    def __init__(self):
        self.ring = bytearray(4096)
        self.stamps = array("i", bytes(4096))
        for i in range(44):
            code = 130_000 + 7 * i * (i & 3)
            self.ring[3 * i] = code & 63
            self.ring[3 * i + 1] = code >> 6 & 63 | 64
            self.ring[3 * i + 2] = code >> 12 | 128
            self.stamps[i] = 1_000_000 + 250 * i
    def poll(self):
        pass
    def head(self):
        return 132
window = m.LaserWindow(Stream(), 533, 230_604, 11)
def again():
    window.restart()
    window.open(999_000, 1_010_900)
""",
        "window.take()",
    ),
    (
        "pack a record",
        "gauge.link.codec",
        """
from gauge import record
rec = array("i", [100_003 * k % 9973 for k in range(record.N_FIELDS)])
out = bytearray(400)
packer = m.Packer()
again = packer.begin
""",
        "packer.add(rec, out, 0)",
    ),
    (
        "CRC32 and COBS of 450 bytes",
        "gauge.link.frame",
        """
batch, wire = bytearray(bytes(range(225)) * 2 + bytes(4)), bytearray(512)
batch[0] = 100
def both():
    m.cobs(batch, m.seal(batch, 450), wire, 0, 512)
""",
        "both()",
    ),
)

PROGRAM = """
from array import array
import gc
import micropython

@micropython.viper
def count() -> int:
    return ptr32(0xE000E018)[0]

@micropython.viper
def start():
    systick = ptr32(0xE000E010)
    systick[1] = 0xFFFFFF
    systick[2] = 0
    systick[0] = 5

class Bytecode:
    pass

def from_source(source):
    def identity(x):
        return x
    names = {"ptr8": identity, "ptr32": identity, "__name__": "bytecode"}
    exec(source, names)
    module = Bytecode()
    for name in names:
        setattr(module, name, names[name])
    return module

def cost(m, prepare, call):
    names = {"m": m, "array": array, "count": count, "again": lambda: None}
    timed = "def timed():\\n    t = count()\\n    %s\\n    return t - count()\\n"
    exec(prepare + "\\n" + timed % call, names)
    exec((timed % "pass").replace("timed", "empty"), names)
    names["again"]()
    names["timed"]()
    names["again"]()
    gc.collect()
    start()
    return names["timed"]() - names["empty"]()
"""


def cycles(board) -> dict[str, tuple[int, int]]:
    """Return the cycles of each kernel on a board of `runtime`: viper, bytecode."""
    found = {}
    for name, module, prepare, call in KERNELS:
        path = runtime.FIRMWARE / (module.replace(".", "/") + ".py")
        source = path.read_text().replace("@micropython.viper\n", "")
        with board.load(PROGRAM, timeout_s=60) as program:
            program.execute(f"import {module}\nviper = {module}")
            program.execute("def of_viper(*texts):\n    return cost(viper, *texts)")
            program.execute(
                "def of_bytecode(source, *texts):\n    return cost(from_source(source), *texts)"
            )
            viper = program.call("of_viper", prepare, call)
            found[name] = viper, program.call("of_bytecode", source, prepare, call)
    return found
