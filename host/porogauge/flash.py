"""Firmware images on boards: UF2 onto an RP2040's boot drive, .bin into an ESP32 with esptool.

Checked before anything is written: the image's structure, family, addresses and sizes, and that
the drive or chip is the right one. Checked afterwards: the boot drive goes away because the board
accepted the whole image and started it; an ESP32's flash is read back by esptool.

    image = read_uf2("firmware.uf2")     # raises FlashError
    drive = find_boot_drive()
    write_uf2(image, drive)
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import DeviceError, PorogaugeError

__all__ = [
    "FlashError",
    "Image",
    "esptool_commands",
    "find_boot_drive",
    "read_esp32",
    "read_uf2",
    "run_esptool",
    "wait_for_boot_drive",
    "write_uf2",
]

# UF2 specification: 512-byte blocks of 32 bytes header, 476 bytes data, 4 bytes end.
_BLOCK = 512
_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_NOT_MAIN_FLASH, _FAMILY_PRESENT = 0x0001, 0x2000
FAMILY_RP2040 = 0xE48BFF56
FLASH_START, FLASH_BYTES = 0x10000000, 16 << 20  # RP2040: XIP window
_PAYLOAD = 256  # the boot ROM takes no other size
BOARD_ID = "RPI-RP2"

# ESP-IDF image header: chip id -> (esptool's name, where MicroPython's image starts)
_ESP_CHIPS = {
    0: ("esp32", 0x1000),
    2: ("esp32s2", 0x1000),
    5: ("esp32c3", 0x0),
    9: ("esp32s3", 0x0),
    13: ("esp32c6", 0x0),
}


class FlashError(PorogaugeError):
    """An image must not or could not be written; the message says why."""


@dataclass(frozen=True, slots=True)
class Image:
    """A checked image: `start`..`end` are addresses of the chip's memory."""

    path: Path
    data: bytes
    chip: str
    start: int
    end: int

    @property
    def text(self) -> str:
        """What it is, in one line."""
        size = (self.end - self.start) / 1024
        return f"{self.path}: {self.chip}, {size:.0f} KiB at 0x{self.start:08x}"


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FlashError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_uf2(path: str | Path, flash_bytes: int = FLASH_BYTES) -> Image:
    """Read and check a UF2 image for the RP2040. Raises FlashError naming the first bad block."""
    data = _read(path)
    if not data or len(data) % _BLOCK:
        raise FlashError(f"{path}: has {len(data)} bytes; a UF2 image is whole blocks of 512")
    total = len(data) // _BLOCK
    spans = []
    for number in range(total):
        fields = struct.unpack_from("<8I", data, number * _BLOCK)
        (end,) = struct.unpack_from("<I", data, number * _BLOCK + _BLOCK - 4)
        first, second, flags, address, size, index, count, family = fields
        where = f"{path}: block {number}"
        if (first, second, end) != _MAGIC:
            raise FlashError(f"{where} does not begin and end as UF2: not a UF2 image, or damaged")
        if index != number or count != total:
            raise FlashError(
                f"{where} says that it is {index} of {count}, the file has {total}: incomplete"
            )
        if not flags & _FAMILY_PRESENT or family != FAMILY_RP2040:
            raise FlashError(
                f"{where} is for family 0x{family:08x}, not for the RP2040"
                f" (0x{FAMILY_RP2040:08x}): take the image of this board"
            )
        if flags & _NOT_MAIN_FLASH or size != _PAYLOAD or address % _PAYLOAD:
            raise FlashError(f"{where} has {size} bytes for 0x{address:08x}: not for this chip")
        if not FLASH_START <= address <= FLASH_START + flash_bytes - size:
            raise FlashError(
                f"{where} is for address 0x{address:08x}, outside of the flash at"
                f" 0x{FLASH_START:08x}..0x{FLASH_START + flash_bytes - 1:08x}"
            )
        spans.append((address, address + size))
    spans.sort()
    for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
        if start < end:
            raise FlashError(f"{path}: two blocks are for address 0x{start:08x}")
    return Image(Path(path), data, "RP2040", spans[0][0], spans[-1][1])


# ---------------------------------------------------------------- the boot drive


def _mounts() -> Iterator[Path]:
    """Where removable drives are mounted on this system."""
    if os.name == "nt":
        yield from (Path(f"{letter}:/") for letter in "DEFGHIJKLMNOPQRSTUVWXYZ")
        return
    try:
        for line in Path("/proc/mounts").read_text().splitlines():
            # \040 is a space in a mount point
            yield Path(line.split()[1].encode().decode("unicode_escape"))
    except OSError:
        pass
    for base in ("/Volumes", "/media", "/run/media", "/mnt"):
        yield from Path(base).glob("*")
        yield from Path(base).glob("*/*")


def board_id(drive: Path) -> str | None:
    """The Board-ID in a drive's INFO_UF2.TXT; None when it is no boot drive."""
    try:
        text = (drive / "INFO_UF2.TXT").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Board-ID":
            return value.strip()
    return ""


def find_boot_drive(mounts: Iterable[Path] | None = None) -> Path:
    """Return the RP2040's boot drive. Raises DeviceError when there is none, or more than one."""
    found: dict[Path, str] = {}
    for mount in _mounts() if mounts is None else mounts:
        name = board_id(mount)
        if name is not None:
            found[mount.resolve()] = name
    right = [drive for drive, name in found.items() if name == BOARD_ID]
    if len(right) == 1:
        return right[0]
    if right:
        names = ", ".join(map(str, right))
        raise DeviceError(f"several boot drives are there ({names}): choose one with --drive")
    if found:
        other = ", ".join(f"{drive} ({name or 'unknown'})" for drive, name in found.items())
        raise DeviceError(f"no RP2040 boot drive, but {other}: that is another chip")
    raise DeviceError(
        "no RP2040 boot drive found: hold BOOTSEL while plugging the board in, or name the"
        " running gauge with --port; mount the drive where the system does not do it by itself"
    )


def wait_for_boot_drive(timeout_s: float) -> Path:
    """Wait until a boot drive is there. Raises DeviceError of the last try."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return find_boot_drive()
        except DeviceError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.25)


def write_uf2(
    image: Image,
    drive: Path,
    *,
    progress: Callable[[int], None] = lambda _: None,
    timeout_s: float = 30.0,
) -> None:
    """Copy an image to a boot drive and wait until the board has started it.

    Raises FlashError when the drive could not take it, DeviceError when the board stays in its
    boot loader: it then has not accepted the image.
    """
    name = board_id(drive)
    if name != BOARD_ID:
        raise FlashError(f"{drive}: is {name or 'not'} a boot drive of an RP2040 ({BOARD_ID})")
    target = drive / "porogauge.uf2"
    complete = False
    try:
        with open(target, "wb", buffering=0) as stream:
            for at in range(0, len(image.data), 64 * _BLOCK):
                stream.write(image.data[at : at + 64 * _BLOCK])
                progress(min(len(image.data), at + 64 * _BLOCK))
            complete = True
            os.fsync(stream.fileno())
    except OSError as error:
        # The board restarts with its last block, maybe before the system closed the file.
        if not complete:
            raise FlashError(f"{drive}: {error.strerror or error} while writing") from None
    deadline = time.monotonic() + timeout_s
    while board_id(drive) is not None:
        if time.monotonic() >= deadline:
            raise DeviceError(
                f"{drive}: is still there after {timeout_s:g} s: the board did not take the"
                " image; unplug it, hold BOOTSEL, plug it in and try again"
            )
        time.sleep(0.1)


# ---------------------------------------------------------------- ESP32


def read_esp32(path: str | Path) -> Image:
    """Read and check an image for the ESP32 family (a whole image with its boot loader)."""
    data = _read(path)
    if len(data) < 4096 or data[0] != 0xE9:
        raise FlashError(f"{path}: is not an ESP32 image: it does not begin with 0xE9")
    (chip,) = struct.unpack_from("<H", data, 12)
    if chip not in _ESP_CHIPS:
        legal = ", ".join(name for name, _ in _ESP_CHIPS.values())
        raise FlashError(f"{path}: is for chip number {chip}; known: {legal}")
    name, offset = _ESP_CHIPS[chip]
    return Image(Path(path), data, name, offset, offset + len(data))


def esptool_commands(image: Image, port: str, erase: bool, baud: int = 460_800) -> list[list[str]]:
    """The calls of esptool that write an image and read it back."""
    tool = [sys.executable, "-m", "esptool", "--chip", image.chip, "--port", port]
    where = [f"0x{image.start:x}", str(image.path)]
    calls = [[*tool, "--baud", str(baud), "erase_flash"]] if erase else []
    calls.append([*tool, "--baud", str(baud), "write_flash", *where])
    calls.append([*tool, "--baud", str(baud), "verify_flash", *where])
    return calls


def run_esptool(commands: list[list[str]], timeout_s: float = 300.0) -> None:
    """Run the calls one after the other. Raises FlashError with the tool's last words."""
    for command in commands:
        try:
            # Its progress goes to our stderr, so that stdout stays with results.
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=timeout_s, text=True
            )
        except subprocess.TimeoutExpired:
            raise FlashError(
                f"esptool did not end within {timeout_s:g} s; hold BOOT while it connects"
            ) from None
        if done.returncode:
            raise FlashError(
                f"'{' '.join(command[2:])}' failed; is esptool there (pip install esptool),"
                " the port right, and the board in its boot loader (hold BOOT)?"
            )
