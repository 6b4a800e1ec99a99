# Static 32-bit unix MicroPython: runs the firmware's pure modules with the numbers of the RP2040.

MICROPY_FORCE_32BIT = 1
MPY_CROSS_FLAGS = -march=x86
LDFLAGS_EXTRA += -static

FROZEN_MANIFEST =

# Nothing that would need a library at run time, and nothing the boards do not have.
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_SSL = 0
MICROPY_PY_SOCKET = 0
MICROPY_PY_THREAD = 0
MICROPY_VFS_FAT = 0
MICROPY_VFS_LFS1 = 0
MICROPY_VFS_LFS2 = 0
