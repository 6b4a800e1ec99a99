"""The emulated RP2040 is a trustworthy instrument: what the bench adds to it is exact.

Each test works in a copy (fork) of one booted board, so that none leaves traces. Guest code runs
on the REPL of the very image that is flashed.
"""

from __future__ import annotations

import os
import random
import zlib

import pytest

from porogauge_bench.rp2040 import RP2040Target
from porogauge_bench.rp2040.fork import forked, in_copy
from porogauge_bench.target import FRAMING, OUTPUTS

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture(scope="module")
def board() -> RP2040Target:
    """A board at its REPL; tests act on copies of it."""
    target = RP2040Target(service=True, files={"kept.txt": b"old"})
    target.boot()
    target.repl_exec("import machine, time, micropython, array, uctypes, sys, os")
    return target


# -- time


@in_copy
def test_the_same_calls_give_the_same_cycles(board):
    def work():
        board.repl_exec("x = [i * i for i in range(500)]; time.sleep_ms(7); f = open('a', 'w')")
        return board.now_ns, board.busy_cycles

    first = forked(work)
    assert forked(work) == first


@in_copy
def test_two_boards_boot_alike():
    def boot():
        target = RP2040Target(service=True, files={})
        target.boot()
        return target.now_ns, target.busy_cycles

    assert boot() == boot()


@in_copy
def test_clock_calls_in_order_and_on_time(board):
    seen = []
    start = board.now_ns
    for name, delay in (("late", 30), ("early", 10), ("same", 10), ("never", 20)):
        handle = board.clock.call_at(
            start + delay, lambda name=name: seen.append((name, board.now_ns - start))
        )
        if name == "never":
            handle.cancel()
    board.run_for(100)
    assert seen == [("early", 10), ("same", 10), ("late", 30)]


@in_copy
def test_an_error_of_an_emulated_chip_ends_the_run(board):
    def broken():
        raise ZeroDivisionError("in a chip")

    board.clock.call_at(board.now_ns + MS, broken)
    with pytest.raises(ZeroDivisionError):
        board.run_for(2 * MS)


@in_copy
def test_cycles_of_guest_code_repeat(board):
    counter = board.count_cycles(20)
    board.repl_exec(
        "machine.Pin(20, machine.Pin.OUT, value=0)\n"
        "@micropython.viper\n"
        "def timed(n: int):\n"
        "    mark = ptr32(int(0xD0000014))\n"
        "    mark[0] = 1 << 20\n"
        "    x = 0\n"
        "    for i in range(n): x += i\n"
        "    mark[1] = 1 << 20\n"
    )
    for n in (10, 10, 110):
        board.repl_exec(f"timed({n})")
    first, second, longer = counter.counts
    assert first == second
    assert (longer - first) % 100 == 0


@in_copy
def test_division_is_exact(board):
    draw = random.Random(1)
    pairs = [(draw.randint(-(1 << 31), (1 << 31) - 1) >> draw.randrange(31), 0) for _ in range(80)]
    pairs = [(a, draw.randint(1, 1 << 30) >> draw.randrange(30) or 1) for a, _ in pairs]
    pairs += [(a, -b) for a, b in pairs]
    printed = board.repl_exec(
        "@micropython.viper\ndef divide(a: int, b: int) -> int: return a // b\n"
        "@micropython.viper\ndef rest(a: int, b: int) -> int: return a % b\n"
        f"print([(divide(a, b), rest(a, b)) for a, b in {pairs}])"
    )
    assert eval(printed) == [divmod(a, b) for a, b in pairs]


# -- UARTs

STREAM = """
class Stream:
    def __init__(self, n, size=4096):
        self.base = 0x40034000 + 0x4000 * n
        self.uart = machine.UART(n, 921600, tx=machine.Pin((0, 8)[n]), rx=machine.Pin((1, 9)[n]))
        machine.mem32[self.base + 0x38] = 0
        machine.mem32[self.base + 0x48] = 1
        self.raw = bytearray(3 * size)
        self.ring = -uctypes.addressof(self.raw) % size
        self.bytes = uctypes.addressof(self.raw) + self.ring
        self.data, self.stamp = rp2.DMA(), rp2.DMA()
        common = dict(inc_read=False, ring_size=12, ring_sel=True)
        self.stamp.config(read=0x40054028, write=self.bytes + size, count=1, trigger=False,
            ctrl=self.stamp.pack_ctrl(size=2, chain_to=self.data.channel, **common))
        self.data.config(read=self.base, write=self.bytes, count=3, trigger=True,
            ctrl=self.data.pack_ctrl(size=0, treq_sel=(21, 23)[n], chain_to=self.stamp.channel,
            **common))
    def show(self):
        head = self.data.write - self.bytes
        stamps = (self.stamp.write - self.bytes - 4096) // 4
        ring = memoryview(self.raw)[self.ring:self.ring + 8192]
        print(head, stamps, binascii.crc32(ring[:4096]), binascii.crc32(ring[4096:]))
import rp2, binascii
streams = Stream(0), Stream(1)
"""


def stream_samples(board, bulk, busy, gap_ns):
    """Send 1500 samples of 3 bytes to both lasers' UARTs; return (printed, expected) lines."""
    board.repl_exec(STREAM)
    board.streams.bulk = bulk
    draw = random.Random(3)
    sent = {"a": [], "b": []}

    def sample(name):
        data = draw.randbytes(3)
        sent[name].append((board.lasers[name].send(data), data))
        if len(sent[name]) < 1500:
            board.clock.call_after(gap_ns, lambda: sample(name))

    board.clock.call_after(5 * MS, lambda: sample("a"))
    board.clock.call_after(5 * MS + 77_777, lambda: sample("b"))
    length_ms = 1500 * gap_ns // MS + 20
    wait = "pass" if busy else "time.sleep_ms(3)"
    printed = board.repl_exec(
        f"t = time.ticks_ms()\nwhile time.ticks_diff(time.ticks_ms(), t) < {length_ms}: {wait}\n"
        "for stream in streams: stream.show()"
    )
    expected = []
    for name in "ab":
        ring, stamps = bytearray(4096), bytearray(4096)
        for index, (end_ns, data) in enumerate(sent[name]):
            place = index % 1024 * 4
            stamps[place : place + 4] = ((end_ns - board.boot_ns) // 1000).to_bytes(4, "little")
            for k, byte in enumerate(data):
                ring[(3 * index + k) % 4096] = byte
        head, stamp = 3 * 1500 % 4096, 1500 % 1024
        expected.append(f"{head} {stamp} {zlib.crc32(ring)} {zlib.crc32(stamps)}")
    assert sum(uart.overruns for uart in board.uarts) == 0
    return printed.split("\r\n")[:2], expected, board.now_ns


@pytest.mark.parametrize("busy", [False, True])
def test_dma_chain_stamps_every_third_byte(board, busy):
    printed, expected, _ = forked(stream_samples, board, True, busy, 250 * US)
    assert printed == expected


def test_bulk_transfers_equal_single_ones(board):
    bulk = forked(stream_samples, board, True, False, 250 * US)
    single = forked(stream_samples, board, False, False, 250 * US)
    assert bulk == single


def test_dma_at_the_full_rate_of_the_line(board):
    printed, expected, _ = forked(stream_samples, board, True, False, 32_553)
    assert printed == expected


@in_copy
def test_stream_survives_a_flash_write(board):
    board.repl_exec(STREAM)
    for index in range(300):
        board.clock.call_after(index * 250 * US, lambda: board.lasers["a"].send(b"abc"))
    board.repl_exec("f = open('a', 'w'); f.write('a' * 900); f.close(); time.sleep_ms(80)")
    assert len(board.flash.operations) > 4
    assert board.repl_exec("streams[0].show()").startswith("900 300 ")


@in_copy
def test_uart_driver_reads_at_the_full_rate(board):
    board.repl_exec(
        "u = machine.UART(0, 921600, tx=machine.Pin(0), rx=machine.Pin(1), rxbuf=8192)"
    )
    data = random.Random(4).randbytes(6000)
    end_ns = board.lasers["a"].send(data)
    assert end_ns - board.now_ns == pytest.approx(6000 * 1e10 / 921_600, abs=2)
    printed = board.repl_exec(
        "time.sleep_ms(80); import binascii; print(binascii.crc32(u.read()))"
    )
    assert int(printed) == zlib.crc32(data)


@in_copy
def test_transmitted_bytes_take_their_time(board):
    seen = []
    board.lasers["b"].on_byte = lambda byte, t_ns: seen.append((byte, t_ns))
    board.repl_exec(
        "u = machine.UART(1, 921600, tx=machine.Pin(8), rx=machine.Pin(9))\n"
        "u.write(b'GETINFO\\r'); time.sleep_ms(2)"
    )
    assert bytes(byte for byte, _ in seen) == b"GETINFO\r"
    gaps = [later[1] - earlier[1] for earlier, later in zip(seen, seen[1:], strict=False)]
    assert all(abs(gap - 1e10 / 921_600) < 60 for gap in gaps)  # divisor 3 + 16/64


@in_copy
def test_uart_errors_show_in_the_registers(board):
    board.repl_exec(
        "u = machine.UART(0, 921600, tx=machine.Pin(0), rx=machine.Pin(1))\n"
        "machine.mem32[0x40034038] = 0\n"
        "def seen():\n"
        "    r = machine.mem32[0x4003403C] & 0x780\n"
        "    machine.mem32[0x40034044] = r\n"
        "    words = []\n"
        "    while not machine.mem32[0x40034018] & 0x10: words.append(machine.mem32[0x40034000])\n"
        "    print(r, words[:3], len(words))"
    )
    cable = board.lasers["a"]
    cable.damage = lambda byte: (byte, FRAMING if byte == 2 else 0)
    cable.send(b"\x01\x02\x03")
    assert board.repl_exec("time.sleep_ms(1); seen()") == "128 [1, 258, 3] 3\r\n"
    cable.damage = None
    cable.send(bytes(40))  # eight more than the FIFO holds
    assert board.repl_exec("time.sleep_ms(2); seen()") == "1024 [0, 0, 0] 32\r\n"
    cable.baud = 115_200
    cable.send(b"\x01")
    assert board.repl_exec("time.sleep_ms(2); seen()").startswith("128 ")
    cable.connected = False
    cable.send(b"\x01")
    assert board.repl_exec("time.sleep_ms(2); seen()") == "0 [] 0\r\n"


@in_copy
def test_receive_timeout_ends_a_burst(board):
    board.repl_exec(
        "n = 0\n"
        "def idle(u):\n    global n\n    n += 1\n"
        "u = machine.UART(1, 921600, tx=machine.Pin(8), rx=machine.Pin(9))\n"
        "u.irq(idle, machine.UART.IRQ_RXIDLE)"
    )
    for index in range(20):
        at_ns = board.now_ns + (1 + index) * 2 * MS
        board.clock.call_at(at_ns, lambda: board.lasers["b"].send(b"12345"))
    assert board.repl_exec("time.sleep_ms(60); print(n, u.any())") == "20 100\r\n"


# -- single wires

ENCODER = """
import rp2
@rp2.asm_pio(autopush=True, push_thresh=32)
def edges():
    wrap_target()
    label("rise")
    wait(1, pin, 0)
    jmp(pin, "back")
    jmp(x_dec, "fall")
    label("back")
    jmp(y_dec, "fall")
    label("fall")
    wait(0, pin, 0)
    jmp(pin, "forth")
    jmp(y_dec, "rise")
    label("forth")
    jmp(x_dec, "rise")
    wrap()
a, b = (machine.Pin(n, machine.Pin.IN, machine.Pin.PULL_UP) for n in (10, 11))
sm = rp2.StateMachine(4, edges, freq=1000000, in_base=a, jmp_pin=b)
for word in (0xE020, 0xA029, 0xA041): sm.exec(word)  # x = ~0, y = x
sm.active(1)
def counts():
    sm.exec(0x4020); x = sm.get(); sm.exec(0x4040); y = sm.get()
    return ((y - x + 2**31) & 0xFFFFFFFF) - 2**31
"""


@pytest.mark.parametrize("busy", [False, True])
@in_copy
def test_pio_counts_every_edge(board, busy):
    board.repl_exec(ENCODER)
    levels = ((False, False), (False, True), (True, True), (True, False))
    draw = random.Random(5)
    place, step, net = 2, 1, 0

    def turn():
        nonlocal place, step, net
        if draw.random() < 0.03:
            step = -step
        before = levels[place & 3]
        place += step
        a, b = levels[place & 3]
        if a != before[0]:
            net += 1 if a != b else -1
        board.set_input("encoder_a", a)
        board.set_input("encoder_b", b)
        if len(turns) < 2500:
            turns.append(board.clock.call_after(20 * US, turn))

    start = int(board.repl_exec("print(counts())"))
    turns = [board.clock.call_after(MS, turn)]
    wait = "counts()" if busy else "time.sleep_ms(4)"
    printed = board.repl_exec(
        "t = time.ticks_ms()\n"
        f"while time.ticks_diff(time.ticks_ms(), t) < 60: {wait}\n"
        "print(counts())"
    )
    assert len(turns) == 2500
    assert int(printed) - start == net != 0


@in_copy
def test_outputs_are_logged_with_their_time_and_read_back(board):
    board.repl_exec(
        "good = machine.Pin(12, machine.Pin.OUT, value=0)\n"
        "marker = machine.Pin(13, machine.Pin.OUT, value=0)\n"
        "machine.Pin(6, machine.Pin.IN, machine.Pin.PULL_UP).irq(\n"
        "    lambda p: good(1), machine.Pin.IRQ_FALLING, hard=True)"
    )
    at_ns = board.now_ns + 5 * MS
    board.clock.call_at(at_ns, lambda: board.set_input("ready", False))
    printed = board.repl_exec("time.sleep_ms(10); print(good(), marker()); good(0)")
    assert printed == "1 0\r\n"
    on, off = board.outputs
    assert (on.name, on.level, off.name, off.level) == ("good", True, "good", False)
    assert 3 * US < on.t_ns - at_ns < 30 * US
    assert board.output("good") is False


@in_copy
def test_outputs_fall_at_a_reset(board):
    board.repl_exec("pins = [machine.Pin(n, machine.Pin.OUT, value=1) for n in (12, 13, 14)]")
    assert all(board.output(name) for name in OUTPUTS)
    board.reset("run")
    assert not any(board.output(name) for name in OUTPUTS)
