"""The link's own USB port, with a stand-in for micropython-lib's usb-device-cdc."""

from pathlib import Path

HW = Path(__file__).resolve().parents[1] / "gauge" / "hw"

PROGRAM = f"""
import sys
sys.path.insert(0, {str(HW)!r})
import micropython
import second_usb

assert second_usb.make() is None  # the library is not there: the gauge runs without it

class CDC:
    def __init__(self, **how):
        self.how, self.room, self.sent, self.come = how, 100, b"", b""
    def is_open(self):
        return self.room is not None
    def write(self, data):
        n = min(len(data), self.room)
        self.room -= n
        self.sent += bytes(data[:n])
        return n
    def readinto(self, buf):
        n = min(len(buf), len(self.come))
        buf[:n] = self.come[:n]
        self.come = self.come[n:]
        return n or None

class Device:
    def get(self):
        return self
    def init(self, cdc, builtin_driver):
        assert builtin_driver
        self.cdc = cdc

device = Device()
device.cdc_module = type("module", (), dict(CDCInterface=CDC))
usb = type("module", (), dict(device=device))
sys.modules["usb"] = usb
sys.modules["usb.device"] = device
sys.modules["usb.device.cdc"] = device.cdc_module
link = second_usb.make()
cdc = device.cdc
assert cdc.how["timeout"] == 0

data = bytes(range(200))
assert link.write(data, 150, 10) == 100  # as far as there is room
assert cdc.sent == data[10:110]
assert link.write(data, 5) == 0
cdc.room = None  # the host has not opened the port
assert link.write(data, 5) == 0
cdc.come = data
buf = bytearray(90)
assert link.readinto(buf) == 64 and bytes(buf[:64]) == data[:64]
assert link.readinto(buf) == 64 and link.readinto(buf) == 64 and link.readinto(buf) == 8
assert link.readinto(buf) == 0
stdout.write(b"ok")
"""


def test_second_usb(unix32):
    assert unix32.run(PROGRAM) == b"ok"
