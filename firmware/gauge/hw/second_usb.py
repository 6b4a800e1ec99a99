"""A second USB serial port for the link, beside the REPL's, where micropython-lib offers it.

Needs the package usb-device-cdc (`mpremote mip install usb-device-cdc`) and a port with
machine.USBDevice (RP2040 from 1.23, ESP32-S2/S3 from 1.25). Without them `make` returns None and
the link shares the console with the REPL. Not run on silicon here; the methods of the library
are tested with a stand-in.

    >>> link = make() or Console(...)
"""

_PIECE = 64  # bytes of a USB packet


class SecondUSB:
    """The link's own CDC interface; `cdc` is a usb.device.cdc.CDCInterface with timeout 0."""

    def __init__(self, cdc):
        self._cdc = cdc
        piece = bytearray(_PIECE)
        self._piece = piece
        # views of every length, because making one allocates
        self._views = [memoryview(piece)[:n] for n in range(_PIECE + 1)]

    def open(self):
        """Nothing to do: no REPL is on this line."""

    def close(self):
        """Nothing to do."""

    def write(self, buf, n, start=0):
        """Send buf[start:start + n] as far as there is room; return how many bytes went."""
        if not self._cdc.is_open():
            return 0
        done = 0
        piece = self._piece
        while done < n:
            part = min(n - done, _PIECE)
            for i in range(part):
                piece[i] = buf[start + done + i]
            sent = self._cdc.write(self._views[part]) or 0
            done += sent
            if sent < part:
                break
        return done

    def readinto(self, buf):
        """Take what has come, at most len(buf) bytes; return how many."""
        most = min(len(buf), _PIECE)
        n = self._cdc.readinto(self._views[most]) or 0
        piece = self._piece
        for i in range(n):
            buf[i] = piece[i]
        return n


def make():
    """Set up the interface and return its transport, or None where that is not possible."""
    try:
        import usb.device
        from usb.device.cdc import CDCInterface
    except ImportError:
        return None
    cdc = CDCInterface(timeout=0, txbuf=2048, rxbuf=512)
    # the host sees the device leave and come back, with the REPL's port unchanged
    usb.device.get().init(cdc, builtin_driver=True)
    return SecondUSB(cdc)
