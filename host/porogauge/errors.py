"""The errors of the host and the exit code that each one means.

    PorogaugeError            1  something failed; the message says what, and what to do
      UsageError              2  wrong arguments or settings
      DeviceError             3  the device (or its port, or its database) is absent or busy
      ProtocolError           4  board and host do not speak the same protocol or record layout
      IncompleteError         5  the work was done, but data is missing

`Interrupted` (130) is not an error: the user stopped a command, which closed cleanly.
"""

from __future__ import annotations

__all__ = [
    "DeviceAbsent",
    "DeviceBusy",
    "DeviceError",
    "IncompleteError",
    "Interrupted",
    "PorogaugeError",
    "ProtocolError",
    "ProtocolMismatch",
    "RequestFailed",
    "UsageError",
]


class PorogaugeError(Exception):
    """Base of everything that this package raises on purpose."""

    exit_code = 1


class UsageError(PorogaugeError):
    """Wrong arguments or settings."""

    exit_code = 2


class DeviceError(PorogaugeError):
    """The device, its port or its database is absent or in use by somebody else."""

    exit_code = 3


class DeviceAbsent(DeviceError):
    """There is no such port, or no gauge answers on it."""


class DeviceBusy(DeviceError):
    """The port, or the gauge's stream of records, is in use by another program."""


class ProtocolError(PorogaugeError):
    """Board and host do not agree on protocol, record layout or firmware."""

    exit_code = 4


class ProtocolMismatch(ProtocolError):
    """The board's firmware has another record layout or protocol than this program."""


class RequestFailed(PorogaugeError):
    """The board did not do what it was asked; `status` is that of `gauge.link.protocol`, or None.

    None: no answer came in time.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class IncompleteError(PorogaugeError):
    """The work was done, but data is missing: it was lost and the report says where."""

    exit_code = 5


class Interrupted(PorogaugeError):
    """The user stopped the command; everything was closed cleanly."""

    exit_code = 130
