"""A serial port or socket as the link needs it: exclusive, never blocking, errors with a cause."""

from __future__ import annotations

import contextlib
import errno
import select
import sys
import time

import serial

from ..errors import DeviceAbsent, DeviceBusy

_WRITE_S = 2.0
_READ_BYTES = 65536
_POLL_S = 0.002
_BUSY = {errno.EBUSY, errno.EAGAIN, errno.EACCES} - {None}


class PortLost(Exception):
    """The port is gone while it was in use: unplugged, or the other end closed."""


class Port:
    """Open `url`: a serial device, or anything that pyserial knows (socket://host:port).

    `baud` counts for a UART only. Raises DeviceAbsent or DeviceBusy.
    """

    def __init__(self, url: str, baud: int) -> None:
        try:
            self._serial = serial.serial_for_url(
                url, baudrate=baud, timeout=0, write_timeout=_WRITE_S, exclusive=True
            )
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise _explain(url, error) from None
        self._fd = self._descriptor()

    def _descriptor(self) -> int | None:
        """File descriptor that select() takes; None: look again and again."""
        if sys.platform == "win32":
            return None
        try:
            return self._serial.fileno()
        except (AttributeError, OSError, ValueError):
            return None

    def read(self, wait_s: float) -> bytes:
        """What has arrived, at once; waits up to `wait_s` for the first byte."""
        try:
            if self._fd is not None:
                if not select.select([self._fd], [], [], max(0.0, wait_s))[0]:
                    return b""
            else:
                end = time.monotonic() + wait_s
                while not self._serial.in_waiting and time.monotonic() < end:
                    time.sleep(_POLL_S)
            return self._serial.read(_READ_BYTES)
        except (OSError, ValueError) as error:
            raise PortLost(str(error)) from None

    def write(self, data: bytes) -> None:
        """Send all of `data`. A board that takes nothing for 2 s counts as lost."""
        try:
            self._serial.write(data)
        except (OSError, ValueError) as error:
            raise PortLost(str(error)) from None

    def close(self) -> None:
        """Give the port back."""
        with contextlib.suppress(OSError, ValueError):
            self._serial.close()


def _explain(url: str, error: Exception) -> DeviceAbsent | DeviceBusy:
    code = getattr(error, "errno", None)
    text = str(error)
    if code == errno.EACCES or "Permission" in text or "Access is denied" in text:
        if sys.platform == "win32":
            return DeviceBusy(f"{url}: is in use by another program; close it")
        return DeviceBusy(
            f"{url}: no permission to open it; add your user to the group that owns it"
            " (dialout on most systems), or it is held by another program"
        )
    if code in _BUSY or "exclusively lock" in text:
        return DeviceBusy(f"{url}: is in use by another program; close it")
    if isinstance(error, ValueError):
        return DeviceAbsent(f"{url}: {text}; give a serial port or socket://host:port")
    return DeviceAbsent(f"{url}: cannot be opened ({text}); is the gauge plugged in and powered?")
