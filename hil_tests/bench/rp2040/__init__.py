"""The emulated RP2040 as a target: the unmodified image, in virtual time.

`target.RP2040Target` is the face; the other modules are what the emulator package lacks or does
wrong, each installed on one emulator instance without touching the package:

- `clock`   the bench's clock on the emulator's virtual time
- `usb`     the host at the other end of USB-CDC: NAK when idle, packet times, stall, unplug
- `uart`    PL011 with FIFO levels, receive timeout, error bits, DREQ and paced transmission
- `dma`     transfers of a serial stream in bulk, exact to the stamp
- `i2c`     the bus on the registers and on the pins (bit-banged probes, held lines)
- `pins`    inputs, outputs with time stamps, encoder edges into PIO programs
- `sio`     the same, quicker
- `flash`   erase and program times, power cuts with torn writes; `files`: the file system in it
- `cycles`  counting of cycles between two marks of guest code
- `fork`    work in a copy of a booted target
"""

from ..images import image_path
from .target import RP2040Target

__all__ = ["RP2040Target", "image_path"]
