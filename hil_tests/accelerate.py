"""Compile the RP2040 emulator for this Python, which makes it about twenty times faster.

    .venv/bin/python hil_tests/accelerate.py            compile, compare, install
    .venv/bin/python hil_tests/accelerate.py --remove   back to the emulator as it was installed

The wheel of `rp2040py` is compiled for all versions of Python at once; each call between its
modules then is a search by name. The wheel also carries its Cython sources. They are compiled here
for the Python at hand, from a copy to which `EDITS` are applied: declarations that let calls and
memory accesses become plain C, and a loop that asks "stopped?" only after something happened that
can have stopped it. The modules are put beside the installed ones and take precedence; no
installed file is changed.

First, a program runs on the emulator as installed and as compiled. Cycles, virtual time, registers
and memory must be identical. The modules are kept in the user's cache, where the next environment
finds them. Without a C compiler or Python's headers the emulator simply stays as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from emulator_edits import EDITS

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
CFLAGS = ["-O1", "-fPIC", "-fwrapv", "-fno-strict-aliasing", "-DNDEBUG", "-w"]
MARK = "accelerated.txt"  # beside the modules: which build they are


class Unavailable(Exception):
    """The emulator cannot be compiled here; the text says why."""


# What is run for comparison: arithmetic, all kinds of memory access, conditions, a subroutine, the
# timer, an interrupt, a PIO program on a pin, sleep until an event; stopped by an event and by a
# pin in turn. Prints everything that must not differ.
COMPARISON = """
import hashlib
from rp2040py.execute_batch import execute_batch
from rp2040py.native import _simulator
from rp2040py.rp2040 import RP2040
from rp2040py.simulator import Simulator
from rp2040py.utils.logging import ConsoleLogger, LogLevel

CODE = bytes.fromhex(
    "144a154b154c0020072140184843106050719588684000d4013600d20236b04200d8033600da043600dc0536"
    "01d600f006f81d687f19013ce7d130bfe0e710b5f400a410ce41361b864110bd906801309060704700100020"
    "284005402c010000"
)
HANDLER, VECTORS, IRQ, PIN = 0x4C, 0x2000, 5, 3
RAM, PIO0, NVIC_ENABLE, PIN_CONTROL = 0x20000000, 0x50200000, 0xE000E100, 0x40014004

mcu = RP2040()
mcu.logger = ConsoleLogger(LogLevel.ERROR)
sim = Simulator(rp2040=mcu)
mcu.sram[: len(CODE)] = CODE
mcu.write_uint32(RAM + VECTORS + 4 * (16 + IRQ), RAM + HANDLER + 1)
mcu.write_uint32(NVIC_ENABLE, 1 << IRQ)
for offset, word in ((0x48, 0xE001), (0x4C, 0xE000), (0xC8, 100 << 16), (0xCC, 1 << 12)):
    mcu.write_uint32(PIO0 + offset, word)  # set pin, clear pin, at a hundredth of the clock
mcu.write_uint32(PIO0 + 0xDC, 1 << 26 | PIN << 5)
mcu.write_uint32(PIO0 + 0xD8, 0xE081)  # the pin is an output
mcu.write_uint32(PIN_CONTROL + 8 * PIN, 6)
mcu.core.vtor, mcu.core.sp, mcu.core.pc = RAM + VECTORS, RAM + 0x20000, RAM

edges, stops, events = [], [], []


def stop(why):
    stops.append((why, mcu.clock.nanos, mcu.core.cycles))
    sim.stopped = True


def edge(*_):
    edges.append(mcu.clock.nanos)
    if len(edges) % 97 == 0:
        stop("pin")


def event():
    events.append(mcu.core.pc)
    high = len(events) % 2 == 1
    mcu.set_interrupt(IRQ, high)
    alarm.schedule(1013.0 if high else 131337.0)
    if len(events) % 7 == 0:
        stop("event")


mcu.gpio[PIN].add_listener(edge)
alarm = mcu.clock.create_alarm(event)
alarm.schedule(5000.0)
for run in range(60):
    if run == 20:
        mcu.write_uint32(PIO0, 1)
    sim.stopped = False
    while not sim.stopped:
        execute_batch(sim, 1)
print(mcu.clock.nanos, mcu.core.cycles, list(mcu.core.registers))
print(len(events), len(edges), hashlib.sha256(repr((events, edges, stops)).encode()).hexdigest())
print(hashlib.sha256(bytes(mcu.sram)).hexdigest())
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. A machine without compiler is no failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--remove", action="store_true", help="remove the compiled modules")
    options = parser.parse_args(arguments)
    try:
        installed = native_folder()
        if options.remove:
            remove(installed)
        else:
            accelerate(installed)
    except Unavailable as reason:
        say(f"the emulator stays as it is, about twenty times slower: {reason}")
    return 0


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"[set-up] {text}", flush=True)


def native_folder() -> Path:
    """Return the folder of the installed emulator's compiled modules."""
    spec = importlib.util.find_spec("rp2040py")
    if spec is None or not spec.origin:
        raise Unavailable("rp2040py is not installed")
    return Path(spec.origin).parent / "native"


def accelerate(installed: Path) -> None:
    """Put compiled modules beside the installed ones, from the cache where it has them."""
    sources = sorted([*installed.glob("*.pyx"), *installed.glob("*.pxd")])
    if not sources:
        raise Unavailable("this rp2040py carries no Cython sources")
    key = identity(sources)
    mark = installed / MARK
    if mark.is_file() and mark.read_text() == key:
        return
    remove(installed)
    if any(installed.glob(f"*{SUFFIX}")):
        return  # the wheel was compiled for this very Python
    kept = cache_folder() / key
    if not kept.is_dir():
        build(sources, installed.parent, kept)
    mark.write_text("incomplete")
    for module in kept.glob(f"*{SUFFIX}"):
        shutil.copy2(module, installed / module.name)
    mark.write_text(key)


def identity(sources: list[Path]) -> str:
    """Return a name that changes with the emulator, the Python, the machine and this file."""
    total = hashlib.sha256()
    version = importlib.metadata.version("rp2040py")
    for text in (version, SUFFIX, platform.machine(), *platform.libc_ver()):
        total.update(f"{text}\n".encode())
    here = Path(__file__)
    for path in [here, here.with_name("emulator_edits.py"), *sources]:
        total.update(path.read_bytes())
    return f"{version}-{total.hexdigest()[:16]}"


def cache_folder() -> Path:
    """Return the folder of the user's cache for compiled emulators."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "porogauge/emulator"


def remove(installed: Path) -> None:
    """Take away what an earlier call has put there."""
    mark = installed / MARK
    if mark.is_file():
        for path in [*installed.glob(f"*{SUFFIX}"), mark]:
            path.unlink()


def build(sources: list[Path], package: Path, kept: Path) -> None:
    """Compile and compare the emulator, and leave its modules in the folder `kept`."""
    compiler = find_compiler()
    say("compiling the emulator (twenty times faster), about 20 s")
    with tempfile.TemporaryDirectory(prefix="porogauge-") as name:
        copy = Path(name) / "rp2040py"
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("*.so", "*.c", "*.pyd"))
        if not apply_edits(copy / "native"):
            say("its sources are not those that the declarations are for; compiled as they are")
        modules = sorted((copy / "native").glob("*.pyx"), key=lambda path: -path.stat().st_size)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda module: compile_module(module, compiler), modules))
        if observe(package.parent) != observe(copy.parent):
            raise Unavailable("compiled, it does not compute the same; please report this")
        kept.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=kept.parent))
        for module in (copy / "native").glob(f"*{SUFFIX}"):
            shutil.copy2(module, scratch / module.name)
        try:
            scratch.rename(kept)
        except OSError:  # another environment was quicker
            shutil.rmtree(scratch)


def find_compiler() -> list[str]:
    """Return the C compiler's command; raise Unavailable when something is missing."""
    if importlib.util.find_spec("Cython") is None:
        raise Unavailable("Cython is not installed (pip install 'porogauge[dev]')")
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        raise Unavailable("Python's headers are missing (Debian: python3-dev)")
    for command in (sysconfig.get_config_var("CC"), "cc", "gcc", "clang"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words
    raise Unavailable("there is no C compiler")


def apply_edits(folder: Path) -> bool:
    """Apply all edits to the copied sources, or none of them; return whether they were applied."""
    texts = {}
    for edit in EDITS:
        text = texts.get(edit.file) or (folder / edit.file).read_text()
        if sys.byteorder != "little" or text.count(edit.old) != edit.count:
            return False
        texts[edit.file] = text.replace(edit.old, edit.new)
    for file, text in texts.items():
        (folder / file).write_text(text)
    return True


def compile_module(module: Path, compiler: list[str]) -> None:
    """Compile one Cython module beside its source."""
    root = module.parents[2]
    c_source, target = module.with_suffix(".c"), module.with_name(module.stem + SUFFIX)
    shared = (
        ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    )
    for command in (
        [
            *(sys.executable, "-m", "cython", "-3", "-X", "initializedcheck=False"),
            *("-I", root, module, "-o", c_source),
        ],
        [
            *(*compiler, *CFLAGS, *shared, f"-I{sysconfig.get_paths()['include']}"),
            *(c_source, "-o", target),
        ],
    ):
        words = [str(word) for word in command]
        done = subprocess.run(words, cwd=root, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise Unavailable(f"{module.name} cannot be compiled ({last})")


def observe(path: Path) -> str:
    """Return what the comparison prints with the emulator under `path`."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPARISON], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise Unavailable(f"the comparison failed ({last})")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
