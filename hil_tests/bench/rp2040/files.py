"""The board's file system as an image: littlefs 2.0, 160 blocks of 4096 bytes at 0xA0000.

Behind it lies the journal, up to the end of the flash.

>>> image = build({"boot.id": b"7", "lib/thing.py": b"pass"})
>>> read(image)["boot.id"]
b'7'
"""

from __future__ import annotations

from littlefs import LittleFS
from littlefs.context import UserContext

START = 0xA0000
BLOCK_BYTES = 4096
BLOCKS = 160
SIZE = BLOCKS * BLOCK_BYTES
JOURNAL = START + SIZE
JOURNAL_END = 0x200000

_GEOMETRY = {
    "block_size": BLOCK_BYTES,
    "block_count": BLOCKS,
    "prog_size": 256,
    "read_size": 256,
}
DISK_VERSION = 0x00020000  # 2.0: every MicroPython reads it; some raise it when they write


def build(files: dict[str, bytes], blocks: int = BLOCKS) -> bytes:
    """Return the image of a file system that holds `files` (path -> content)."""
    context = UserContext(blocks * BLOCK_BYTES)
    geometry = _GEOMETRY | {"block_count": blocks}
    fs = LittleFS(context=context, disk_version=DISK_VERSION, **geometry)
    for path, content in files.items():
        folders = path.strip("/").split("/")[:-1]
        for depth in range(len(folders)):
            fs.makedirs("/".join(folders[: depth + 1]), exist_ok=True)
        with fs.open(path, "wb") as file:
            file.write(content)
    fs.unmount()
    return bytes(context.buffer)


def read(image: bytes) -> dict[str, bytes]:
    """Return path -> content of all files of an image. Raises LittleFSError if it is none."""
    context = UserContext(SIZE)
    context.buffer = bytearray(image)
    fs = LittleFS(context=context, mount=False, **_GEOMETRY)  # mount=True would format
    fs.mount()
    found = {}
    for folder, _, names in fs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with fs.open(path, "rb") as file:
                found[path.lstrip("/")] = file.read()
    return found
