"""Times of a laser's bytes that come late and in lumps, on the 32-bit runtime."""

import random
from array import array
from pathlib import Path

import pytest

HW = Path(__file__).resolve().parents[1] / "gauge" / "hw"
# the module alone: its package would want the bench's pipe
PROGRAM = f"""
import sys
from array import array
sys.path.insert(0, {str(HW)!r})
from uart_ring import StampedRing
data = array('i')
while True:
    block = stdin.read(4)
    if not block:
        break
    data.extend(array('i', block))
ring = StampedRing(4096)
buf = bytearray(256)
out = array('i')
before = stamped = total = 0
import micropython
for i in range(0, len(data), 2):
    n, now = data[i], data[i + 1]
    micropython.heap_lock()
    ring.put(buf, n, now)
    micropython.heap_unlock()
    total += n
    while stamped < total // 3:
        out.append(ring.stamps[stamped % 1024])
        stamped += 1
assert ring.head() == total % 4096
stdout.write(bytes(out))
"""


@pytest.mark.parametrize("period_us, poll_us, lump_us", [(250, 2000, 1500), (500.02, 5000, 1000)])
def test_stamps_are_near_the_arrivals(unix32, period_us, poll_us, lump_us):
    rnd = random.Random(1)
    arrivals = []  # of each byte
    for k in range(16_000):
        arrivals += [(k + 1) * period_us + 11 * i for i in range(3)]
    start = (1 << 30) - 3_000_000  # ticks wrap in the middle
    put, seen, now = [], 0, 0.0
    while seen < len(arrivals):
        now += poll_us * (0.7 + 0.6 * rnd.random())
        n = 0
        # the driver gives what came some time ago
        shown = now - lump_us * rnd.random()
        while seen + n < len(arrivals) and arrivals[seen + n] <= shown and n < 256:
            n += 1
        seen += n
        if n:
            put += [n, int(start + now) & 0x3FFFFFFF]
    stamps = array("i", unix32.run(PROGRAM, array("i", put).tobytes()))
    assert len(stamps) == 16_000
    errors = [
        ((stamp - int(start + arrivals[3 * k + 2]) + (1 << 29)) & ((1 << 30) - 1)) - (1 << 29)
        for k, stamp in enumerate(stamps)
    ]
    settled = errors[len(errors) // 2 :]  # the pace is known by then
    assert -100 < min(settled) and max(settled) < 0.5 * lump_us
    steps = [(b - a) & 0x3FFFFFFF for a, b in zip(stamps[8000:], stamps[8001:], strict=False)]
    assert max(abs(step - period_us) for step in steps) < 0.3 * lump_us
