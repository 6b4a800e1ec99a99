"""Which port a gauge is on, when the user did not say."""

from __future__ import annotations

from .errors import DeviceError, UsageError

__all__ = ["find_port", "list_ports"]

# (vendor, product) of boards that run MicroPython over USB: Raspberry Pi, Espressif
_VENDORS = (0x2E8A, 0x303A, 0xF055)
# USB-to-UART converters that ESP32 boards carry: CP210x, CH340/CH9102, FTDI
_CONVERTERS = (0x10C4, 0x1A86, 0x0403)


def list_ports() -> list[tuple[str, str, bool]]:
    """Serial ports with a USB device behind: (port, what it says it is, may be a gauge)."""
    from serial.tools.list_ports import comports

    found = []
    for port in comports():
        if port.vid is None:
            continue
        likely = port.vid in _VENDORS or port.vid in _CONVERTERS
        found.append((port.device, port.description or "unknown", likely))
    return found


def find_port(port: str | None) -> str:
    """Return `port`, or the only one that may have a gauge.

    Raises DeviceError when there is none, UsageError when there are several.
    """
    if port:
        return port
    likely = [(name, text) for name, text, ok in list_ports() if ok]
    if not likely:
        raise DeviceError(
            "no gauge found on any USB port: plug it in, or name its port with --port"
            " (socket://HOST:PORT for one on the network, 'porogauge demo' for an emulated one)"
        )
    if len(likely) > 1:
        names = "; ".join(f"{name} ({text})" for name, text in likely)
        raise UsageError(f"several boards are there, choose one with --port: {names}")
    return likely[0][0]
