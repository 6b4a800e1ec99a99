"""First of all at every start: the file system in its part of the flash, the journal in the rest.

A board whose file system took all of the flash, as on a stock Pico, keeps what is small and lies
in its root: the number of its boots, configuration, reference.
"""

import os

import rp2
import vfs

_BLOCKS = 160  # of 4096 bytes
_SMALL = 4096  # bytes


def _small_files():
    """Return name and content of small files of a file system that takes all of the flash."""
    found = {}
    try:
        old = vfs.VfsLfs2(rp2.Flash(), progsize=256)
    except OSError:
        return found
    for name, kind, _, size in old.ilistdir("/"):
        if kind == 0x8000 and size <= _SMALL:
            with old.open(name, "rb") as file:
                found[name] = file.read()
    return found


def _mount():
    flash = rp2.Flash(start=0, len=4096 * _BLOCKS)
    try:
        vfs.mount(vfs.VfsLfs2(flash, progsize=256), "/")
        return
    except OSError:
        files = _small_files()
    vfs.VfsLfs2.mkfs(flash, progsize=256)
    vfs.mount(vfs.VfsLfs2(flash, progsize=256), "/")
    for name in files:
        with open(name, "wb") as file:
            file.write(files[name])
    os.sync()


_mount()
