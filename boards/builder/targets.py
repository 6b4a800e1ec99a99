"""The two images: what goes into each, how it is built, what is checked.

    rp2040   firmware of boards/POROGAUGE_RP2040 with the package `gauge` frozen in
    unix32   static 32-bit MicroPython for tests (boards/UNIX32)

The inputs are copied into the build tree first, from the very bytes that were hashed. So a build
sees one state of files that somebody may be editing, and clones of the project share a tree.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from . import cache, native, source, toolchain
from .shell import BuildError, output, run, say

ROOT = Path(__file__).resolve().parents[2]

FIRMWARE_LIMIT = 0xA0000  # bytes; the file system starts there
FAMILY_RP2040 = "0xe48bff56"  # of a UF2 file
FLASH_BASE = "0x10000000"
# The same inputs give the same image, byte for byte: a fixed date (of MicroPython 1.25.0), a fixed
# order, no look for a version in a git repository that happens to lie around the cache.
REPEATABLE = {
    "SOURCE_DATE_EPOCH": "1744675200",
    "PYTHONHASHSEED": "0",
    "GIT_CEILING_DIRECTORIES": str(cache.root().parent),
}

UNIX_CHECK = """
import sys, micropython
@micropython.viper
def product(a: int, b: int) -> int:
    return a * b
print(sys.maxsize == 2**31 - 1, product(65536, 65536) == 0, 16777217.0 == 16777216.0)
"""


@dataclass(frozen=True)
class Target:
    """An image: its inputs and the files that it consists of.

    `config` are files whose change needs a fresh build tree, `frozen` those that cost seconds;
    both may name folders, of which `pattern` is taken.
    """

    name: str
    title: str
    config: tuple[str, ...]
    frozen: tuple[str, ...]
    results: tuple[str, ...]
    published: str

    @property
    def result(self) -> str:
        """The file that is run or flashed."""
        return self.results[0]


RP2040 = Target(
    name="rp2040",
    title="firmware image for the RP2040",
    config=(
        "boards/POROGAUGE_RP2040/mpconfigboard.cmake",
        "boards/POROGAUGE_RP2040/mpconfigboard.h",
        "boards/POROGAUGE_RP2040/pins.csv",
        "boards/POROGAUGE_RP2040/usb_timeout.h",
    ),
    frozen=("boards/POROGAUGE_RP2040", "firmware/gauge", "firmware/porogauge_boot.py"),
    results=("firmware.uf2", "firmware.bin", "firmware.elf"),
    published="porogauge-rp2040.uf2",
)
UNIX32 = Target(
    name="unix32",
    title="32-bit MicroPython for tests",
    config=("boards/UNIX32/mpconfigvariant.mk", "boards/UNIX32/mpconfigvariant.h"),
    frozen=(),
    results=("micropython",),
    published="micropython32",
)
TARGETS = {target.name: target for target in (RP2040, UNIX32)}


def build(target: Target, checkout: Path | None = None, force: bool = False) -> tuple[Path, bool]:
    """Return the path of an image, and whether it was there already.

    Raises BuildError.
    """
    config = read_inputs(target.config)
    inputs = config | read_inputs(target.frozen)
    compiler = toolchain.identity(target.name)
    recipe = Path(__file__).read_bytes() + Path(native.__file__).read_bytes()
    found = source.find(checkout)
    if found and not force:
        folder = image_folder(target, found, compiler, recipe, inputs)
        if (folder / target.result).is_file():
            os.utime(folder)
            return publish(target, folder), True

    with cache.lock():
        toolchain.require(target.name)
        found = source.get(checkout)
        folder = image_folder(target, found, compiler, recipe, inputs)
        if (folder / target.result).is_file() and not force:  # built while we waited
            return publish(target, folder), True
        parts = [target.name, found.identity, str(found.folder), compiler, *flatten(config)]
        tree = cache.root() / "trees" / f"{target.name}-{cache.digest(parts)}"
        with working_in(tree, force):
            cache.synchronise(tree / "inputs", inputs)
            made = BUILDERS[target.name](target, found, tree)
        with cache.filling(folder) as scratch:
            for name in target.results:
                shutil.copy2(made / name, scratch / name)
        cache.prune(cache.root() / "images", f"{target.name}-", cache.KEEP_IMAGES)
        cache.prune(cache.root() / "trees", f"{target.name}-", cache.KEEP_TREES)
    return publish(target, folder), False


def read_inputs(names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the content of the named files, and of all source files in the named folders."""
    inputs = {}
    for name in names:
        path = ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.suffix in (".py", ".h", ".c", ".cmake", ".csv", ".mk") and file.is_file():
                inputs[file.relative_to(ROOT).as_posix()] = file.read_bytes()
    return inputs


def flatten(inputs: dict[str, bytes]) -> list[str | bytes]:
    """Return names and contents in order."""
    return [part for item in sorted(inputs.items()) for part in item]


def image_folder(
    target: Target,
    found: source.Source,
    compiler: str,
    recipe: bytes,
    inputs: dict[str, bytes],
) -> Path:
    """Return the folder of an image with these inputs, whether or not it exists."""
    key = cache.digest([found.identity, compiler, recipe, *flatten(inputs)])
    return cache.root() / "images" / f"{target.name}-{key}"


class working_in:  # noqa: N801  reads as a phrase: `with working_in(tree)`
    """A build tree in use. One that a kill or a power cut left behind is not trusted."""

    def __init__(self, tree: Path, force: bool) -> None:
        self.tree = tree
        self.mark = tree / "in-use"
        self.force = force

    def __enter__(self) -> None:
        if self.force or self.mark.exists():
            shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir(parents=True, exist_ok=True)
        os.utime(self.tree)
        self.mark.touch()

    def __exit__(self, *_: object) -> None:
        self.mark.unlink()  # an error or Ctrl-C is orderly: make has removed what was half done


def publish(target: Target, folder: Path) -> Path:
    """Leave a copy in the project's build folder, for a person to find; return the original."""
    image, copy = folder / target.result, ROOT / "build" / target.published
    state = image.stat()
    if not copy.is_file() or copy.stat().st_mtime_ns != state.st_mtime_ns:
        cache.copy(image, copy)
    return image


def jobs() -> str:
    """Return make's option for as many compilers as there are processors."""
    return f"-j{os.cpu_count() or 1}"


# -- RP2040 --------------------------------------------------------------------------------------


def build_rp2040(target: Target, found: source.Source, tree: Path) -> Path:
    """Build and check the firmware; return the folder that holds the results."""
    log, build = tree / "build.log", tree / "build"
    log.unlink(missing_ok=True)
    board = tree / "inputs" / "boards" / "POROGAUGE_RP2040"
    environment = {
        **REPEATABLE,
        "MICROPY_MPYCROSS": str(build_mpy_cross(found, log)),
        "MICROPY_MPYCROSS_DEPENDENCY": "",
    }
    settings = {"log": log, "doing": target.title, "environment": environment}
    if (build / "firmware.elf").is_file():
        say("image", f"renewing the {target.title}, a few seconds")
    else:
        say("image", f"compiling the {target.title}, about 45 s")
    if not (build / "Makefile").is_file():
        configure = [
            "cmake",
            *("-S", found.folder / "ports" / "rp2"),
            *("-B", build),
            f"-DMICROPY_BOARD={board.name}",
            f"-DMICROPY_BOARD_DIR={board}",
            "-DPICO_NO_PICOTOOL=1",
        ]
        try:
            run(configure, **settings)
        except BaseException:
            shutil.rmtree(build, ignore_errors=True)
            raise
    run(["make", "-C", build, jobs()], **settings)
    check_rp2040(tree, build)
    convert = found.folder / "tools" / "uf2conv.py"
    run(
        [
            *(sys.executable, convert, "-f", FAMILY_RP2040, "-b", FLASH_BASE),
            *("-c", "-o", build / "firmware.uf2", build / "firmware.bin"),
        ],
        **settings,
    )
    return build


def build_mpy_cross(found: source.Source, log: Path) -> Path:
    """Build MicroPython's cross-compiler from the same source; return its path."""
    parts = [found.identity, str(found.folder), toolchain.identity("unix32")]
    tree = cache.root() / "trees" / f"mpy-cross-{cache.digest(parts)}"
    build = tree / "build"
    program = build / "mpy-cross"
    with working_in(tree, force=False):
        if program.is_file():
            return program
        say("image", "compiling mpy-cross, about 6 s")
        # Unoptimised: it is quick enough, and quicker to compile.
        run(
            ["make", "-C", found.folder / "mpy-cross", jobs(), f"BUILD={build}", "COPT=-O0"],
            log=log,
            doing="compiling mpy-cross",
            environment=REPEATABLE,
        )
    return program


def check_rp2040(tree: Path, build: Path) -> None:
    """Raise BuildError unless the firmware fits and its machine code is placed right."""
    size = (build / "firmware.bin").stat().st_size
    if size > FIRMWARE_LIMIT:
        raise BuildError(
            f"the firmware has {size} bytes, {size - FIRMWARE_LIMIT} more than there is room for "
            "before the file system; freeze less (boards/POROGAUGE_RP2040/manifest.py)"
        )
    sources = (tree / "inputs").rglob("*.py")
    symbols = output(["arm-none-eabi-nm", build / "firmware.elf"])
    if not symbols:
        raise BuildError("arm-none-eabi-nm cannot read firmware.elf; is binutils complete?")
    native.check_alignment(
        (build / "frozen_content.c").read_text(),
        symbols,
        expect_native=any(native.has_native(path.read_text()) for path in sources),
    )


# -- unix32 --------------------------------------------------------------------------------------


def build_unix32(target: Target, found: source.Source, tree: Path) -> Path:
    """Build and check the 32-bit MicroPython; return the folder that holds it."""
    if not toolchain.can_build_unix32():
        raise BuildError(
            "the 32-bit MicroPython for tests needs Linux on an x86 processor; the tests that "
            "use it cannot run here"
        )
    log, build = tree / "build.log", tree / "build"
    log.unlink(missing_ok=True)
    if not (build / "micropython").is_file():
        say("image", f"compiling the {target.title}, about 15 s")
    variant = tree / "inputs" / "boards" / "UNIX32"
    run(
        [
            *("make", "-C", found.folder / "ports" / "unix", jobs()),
            *(f"VARIANT_DIR={variant}", f"BUILD={build}"),
        ],
        log=log,
        doing=target.title,
        environment=REPEATABLE,
    )
    answer = output([build / "micropython", "-c", UNIX_CHECK])
    if answer != "True True True":
        raise BuildError(
            "the 32-bit MicroPython does not compute as the RP2040 does (32-bit words, viper, "
            f"single floats: {answer or 'it does not run'})"
        )
    return build


BUILDERS = {"rp2040": build_rp2040, "unix32": build_unix32}
