"""The unix target: what its wires do, seen from code on the board through `gauge.hw.unix`."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from porogauge_bench.target import FRAMING, ReplError, TargetError
from porogauge_bench.unix_process import constants
from porogauge_bench.unix_target import START_NS, UnixTarget

ROOT = Path(__file__).resolve().parents[1]
HW = ROOT / "firmware" / "gauge" / "hw"
US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000
SETUP = "from gauge.hw.unix import Hardware, PIPE\nhw = Hardware()\n"
CHARACTER_NS = 1e10 / 921_600


class Registers:
    """A chip with a pointer and 32 registers; acknowledges only the first `takes` bytes."""

    def __init__(self, takes=1000):
        self.registers = bytearray(range(32))
        self.takes = takes
        self.pointer = self.n = 0

    def start(self, read):
        self.n = 0
        return True

    def write(self, byte):
        self.n += 1
        if self.n > self.takes:
            return False
        if self.n == 1:
            self.pointer = byte
        else:
            self.registers[self.pointer] = byte
            self.pointer += 1
        return True

    def read(self):
        self.pointer += 1
        return self.registers[self.pointer - 1]

    def stop(self):
        pass


@pytest.fixture
def make():
    """Makes booted targets and stops them in the end; without a program, at the REPL."""
    targets = []

    def make(program="", **options):
        options.setdefault("files", {})["boot.id"] = b"0"
        target = UnixTarget(program=program, **options)
        targets.append(target)
        target.boot()
        return target

    yield make
    for target in targets:
        target.stop()


@pytest.fixture
def target(make):
    target = make()
    target.repl_exec(SETUP)
    return target


def numbers(text):
    return [
        int(word) for word in text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    ]


def edge(target, t_ns, name, level):
    target.clock.call_at(t_ns, lambda: target.set_input(name, level))


# -- time and /RDY -------------------------------------------------------------------------------


def test_ready_edges_have_exact_ticks_and_end_the_sleep(target):
    t0 = target.now_ns
    falls = [t0 + 3 * MS + 11_000_123 * k for k in range(20)]
    for t in falls:
        edge(target, t, "ready", False)
        edge(target, t + 2 * MS, "ready", True)
    printed = target.repl_exec(
        "for _ in range(20):\n    hw.idle(1000)\n"
        "    print(hw.now(), hw.ready.words[0], hw.ready.level())\n"
        "print(list(hw.ready.words))\n"
    )
    *lines, words = printed.splitlines()
    ticks = [(t - target.boot_ns) // US for t in falls]
    assert [numbers(line) for line in lines] == [[t, k + 1, 0] for k, t in enumerate(ticks)]
    count, *ring = numbers(words)
    assert count == 20
    assert [ring[k & 15] for k in range(4, 20)] == ticks[4:]


def test_an_edge_during_a_transfer_ends_the_next_sleep_at_once(target):
    target.i2c.plug(0x48, Registers())
    edge(target, target.now_ns + 60 * US, "ready", False)
    printed = target.repl_exec(
        "hw.i2c.readfrom_mem(0x48, 0, 7)\nt1 = hw.now()\nhw.idle(100)\n"
        "print(hw.now() - t1, hw.ready.words[0])\nhw.idle(100)\nprint(hw.now() - t1)\n"
    )
    assert numbers(printed) == [0, 1, 100_000]


def test_sleep_and_busy_waits_take_virtual_time(target):
    t0 = target.now_ns
    printed = target.repl_exec(
        "import time\nt0 = time.ticks_us()\ntime.sleep_us(137)\nprint(hw.now() - t0)\n"
        "time.sleep_ms(2500)\nprint(hw.now() - t0)\n"
        "t0 = time.ticks_ms()\nwhile time.ticks_diff(time.ticks_ms(), t0) < 20:\n    pass\n"
    )
    assert numbers(printed) == [137, 2_500_137]
    assert 2_520 * MS <= target.now_ns - t0 <= 2_530 * MS


def test_ticks_wrap(make):
    target = make(ticks_at_start=(1 << 30) - 100_000)
    target.repl_exec(SETUP)
    target.run_until(START_NS + 60 * MS)
    edge(target, START_NS + 70 * MS, "ready", False)
    printed = target.repl_exec("hw.idle(1000)\nprint(hw.ready.words[1], hw.now())\n")
    assert numbers(printed) == [20_000, 20_000]


# -- lasers --------------------------------------------------------------------------------------

TAKE = """
import struct
a, b = hw.lasers
a.start(); b.start()
for _ in range({rounds}):
    hw.idle({ms})
hw.usb.open()
for laser in hw.lasers:
    n = laser.head()
    out = bytes(laser.ring) + bytes(laser.stamps) + struct.pack("<I", n)
    sent = 0
    while sent < len(out):
        sent += hw.usb.write(out, len(out) - sent, sent)
        hw.idle(1)
"""


def take(target, rounds, ms):
    """Run TAKE; return (ring, stamps, head) of both lasers."""
    target.link_received.clear()
    target.repl_exec(TAKE.format(rounds=rounds, ms=ms))
    data, results = bytes(target.link_received), []
    for k in range(2):
        part = data[k * 8196 : (k + 1) * 8196]
        stamps = [int.from_bytes(part[4096 + 4 * i : 4100 + 4 * i], "little") for i in range(1024)]
        results.append((part[:4096], stamps, int.from_bytes(part[8192:8196], "little")))
    return results


def frames(t0, n):
    """n distances of a 4 kHz laser: (start in ns, bytes)."""
    return [(t0 + 250_000 * k, bytes((k & 63, 64 | (k >> 6 & 63), 129))) for k in range(n)]


@pytest.mark.parametrize(("rounds", "ms"), [(100, 2), (1, 200), (1, 410)])
def test_laser_bytes_and_stamps_are_exact(target, rounds, ms):
    """Sent by A, pulled from B, with a phase between; more than one turn of the rings at last."""
    n = 1600 if ms == 410 else 790
    t0 = target.now_ns + 2 * MS
    sent_a, sent_b = frames(t0, n), frames(t0 + 100_000, n)
    for t, data in sent_a:
        target.clock.call_at(t, lambda data=data: target.lasers["a"].send(data))
    arrivals = [
        (int(t + (k + 1) * CHARACTER_NS), byte)
        for t, data in sent_b
        for k, byte in enumerate(data)
    ]

    def pull(until_ns):
        due = [item for item in arrivals if item[0] <= until_ns]
        del arrivals[: len(due)]
        return bytes(byte for _, byte in due), [t for t, _ in due]

    target.lasers["b"].pull = pull
    results = take(target, rounds, ms)
    for (ring, stamps, head), sent in zip(results, (sent_a, sent_b), strict=True):
        stream = b"".join(data for _, data in sent)
        assert head == len(stream) % 4096
        last = min(len(stream), 4096)
        assert bytes(ring[(head - last + i) % 4096] for i in range(last)) == stream[-last:]
        # the last character of each distance
        ticks = [int(t + 3 * CHARACTER_NS - target.boot_ns) // US for t, _ in sent]
        for k in range(max(0, n - 1024), n):
            assert abs(stamps[k % 1024] - ticks[k]) <= 1
    assert results[0][1][:700] != results[1][1][:700]


def test_laser_commands_at_character_times(target):
    got = []
    cable = target.lasers["a"]

    def answer(byte, t_ns):
        got.append((byte, t_ns))
        if byte == 0x0A:
            cable.send(b"OUTPUT NONE\r\n->", t_ns + 300 * US)

    cable.on_byte = answer
    printed = target.repl_exec(
        "laser = hw.lasers[0]\nbuf = bytearray(64)\nlaser.stop()\n"
        "print(laser.write(b'OUTPUT NONE\\n'), laser.write(b'X'))\n"
        "hw.idle(2)\nn = laser.read(buf)\nprint(bytes(buf[:n]), laser.read(buf))\n"
        "print(laser.write(b'Y'))\nhw.idle(1)\n"
        "try:\n    laser.write(bytes(33))\nexcept ValueError:\n    print('long')\n"
    )
    assert printed.splitlines() == ["12 0", "b'OUTPUT NONE\\r\\n->' 0", "1", "long"]
    assert bytes(byte for byte, _ in got) == b"OUTPUT NONE\nY"
    steps = [t1 - t0 for (_, t0), (_, t1) in zip(got[:11], got[1:12], strict=True)]
    assert all(abs(step - CHARACTER_NS) < 2 for step in steps)


@pytest.mark.parametrize("ticks", [0, 1 << 29, (1 << 30) - 100_000])
def test_a_command_can_be_sent_at_any_time_since_the_one_before(make, ticks):
    target = make(ticks_at_start=ticks)
    target.repl_exec(SETUP)
    code = "print(hw.lasers[0].write(b'abc'), hw.lasers[0].write(b'abc'))"
    for pause_s in (0, 1, 600):
        target.run_for(pause_s * SECOND)
        assert numbers(target.repl_exec(code)) == [3, 0]


def test_damaged_characters_and_a_wrong_speed_are_counted(target):
    cable = target.lasers["b"]
    cable.damage = lambda byte: (byte ^ 0x80, FRAMING) if byte == 3 else (byte, 0)
    target.repl_exec("laser = hw.lasers[1]\nlaser.start()\nbuf = bytearray(9)\n")
    cable.send(bytes(range(6)))
    code = "hw.idle(1)\nprint(laser.read(buf), list(buf), laser.errors(), laser.errors())"
    assert numbers(target.repl_exec(code)) == [6, 0, 1, 2, 0x83, 4, 5, 0, 0, 0, 1, 0]
    cable.damage = None
    cable.baud = 115_200
    cable.send(b"abc")
    assert numbers(target.repl_exec(code))[-2:] == [3, 0]
    sent = bytearray()
    cable.on_byte = lambda byte, t_ns: sent.append(byte)
    target.repl_exec("laser.write(b'?')\nlaser.set_baud(115200)\nhw.idle(1)\nlaser.write(b'?')\n")
    cable.send(b"abc")
    assert numbers(target.repl_exec(code))[:4] == [3, *b"abc"]
    assert sent == bytes((ord("?") ^ 0x55, ord("?")))
    cable.connected = False
    cable.send(b"abc")
    assert numbers(target.repl_exec(code))[0] == 0


# -- I2C -----------------------------------------------------------------------------------------

TRY = """
def attempt(function, *args):
    t0 = hw.now()
    try:
        result = function(*args)
    except OSError as error:
        result = -error.errno
    print(list(result) if isinstance(result, bytes) else result, hw.now() - t0)
"""


@pytest.fixture
def bus(target):
    target.chip = Registers()
    target.i2c.plug(0x48, target.chip)
    target.repl_exec(TRY)
    return target


def attempt(target, call):
    """Return (result, microseconds) of an I2C call on the board."""
    text, us = target.repl_exec(f"attempt({call})").rsplit(maxsplit=1)
    return ast.literal_eval(text), int(us)


def test_i2c_transfers_take_their_time_on_the_wire(bus):
    assert attempt(bus, "hw.i2c.readfrom_mem, 0x48, 4, 3") == ([4, 5, 6], 142)
    assert attempt(bus, "hw.i2c.writeto, 0x48, bytes((7, 99, 98))") == (3, 95)
    assert attempt(bus, "hw.i2c.writeto_mem, 0x48, 9, b'ab'")[0] is None
    assert attempt(bus, "hw.i2c.readfrom_mem, 0x48, 6, 5")[0] == [6, 99, 98, 97, 98]
    bus.i2c.stretch_ns = 50 * US
    assert attempt(bus, "hw.i2c.readfrom_mem, 0x48, 4, 3")[1] == 142 + 9 * 50


def test_i2c_faults_have_the_error_numbers_of_the_rp2040(bus):
    chip = bus.chip
    assert attempt(bus, "hw.i2c.readfrom, 0x44, 6")[0] == -5
    assert attempt(bus, "hw.i2c.writeto, 0x44, b'a'")[0] == -5
    assert attempt(bus, "hw.i2c.writeto, 0x44, b''")[0] == -19
    assert attempt(bus, "hw.i2c.writeto, 0x48, b''")[0] == 0
    for takes in range(5):  # a data byte refused: only the count tells
        chip.takes = takes
        assert attempt(bus, "hw.i2c.writeto, 0x48, bytes(4)")[0] == min(takes, 4)
    chip.takes = 0
    assert attempt(bus, "hw.i2c.writeto_mem, 0x48, 1, b'ab'")[0] is None
    chip.takes = 1000
    assert attempt(bus, "hw.i2c.scan")[0] == [0x48]
    bus.i2c.nak_address = lambda address, read: read
    assert attempt(bus, "hw.i2c.readfrom_mem, 0x48, 4, 3")[0] == -5


def test_i2c_held_lines(bus):
    timeout_us = constants("board").I2C_TIMEOUT_US
    bus.i2c.hold("scl")
    assert attempt(bus, "hw.i2c.readfrom, 0x48, 3") == (-110, timeout_us)
    assert attempt(bus, "hw.i2c.readfrom_mem, 0x48, 0, 3") == (-110, 2 * timeout_us)
    bus.clock.call_after(500 * US, lambda: bus.i2c.hold("scl", False))
    assert attempt(bus, "hw.i2c.readfrom_mem, 0x48, 4, 3")[0] == [4, 5, 6]
    bus.i2c.stretch_ns = 3 * MS
    assert attempt(bus, "hw.i2c.readfrom, 0x48, 3") == (-110, timeout_us)
    bus.i2c.stretch_ns = 0
    bus.i2c.hold("sda")
    assert attempt(bus, "hw.i2c.readfrom_mem, 0x48, 0, 3")[0] == -5
    assert len(attempt(bus, "hw.i2c.scan")[0]) == 112
    assert attempt(bus, "hw.free_i2c")[0] is False
    bus.i2c.hold("sda", False)
    bus.i2c.hold("sda", clocks=5)
    assert attempt(bus, "hw.free_i2c")[0] is True
    assert attempt(bus, "hw.i2c.readfrom_mem, 0x48, 4, 3")[0] == [4, 5, 6]


# -- encoder, inputs, outputs --------------------------------------------------------------------


def quadrature(target, quarters):
    """Turn the encoder by signed quarters of a period, from where it is."""
    levels = ((False, False), (True, False), (True, True), (False, True))
    for _ in range(abs(quarters)):
        target.quarter = getattr(target, "quarter", 0) + (1 if quarters > 0 else -1)
        a, b = levels[target.quarter & 3]
        target.set_input("encoder_a", a)
        target.set_input("encoder_b", b)


def test_encoder_counts_both_edges_of_a(target):
    target.set_input("encoder_b", False)
    target.set_input("encoder_a", False)
    code = "hw.idle(1)\nprint(hw.encoder.counts())"
    start = numbers(target.repl_exec(code))[0]
    quadrature(target, 4001)
    assert numbers(target.repl_exec(code)) == [start + 2001]
    quadrature(target, -8001)
    assert numbers(target.repl_exec(code)) == [start - 2000]
    target.encoder_count = lambda t_ns: (1 << 29) + 5
    assert numbers(target.repl_exec(code)) == [-(1 << 29) + 5]


def test_inputs_and_outputs(target):
    code = "hw.idle(1)\nprint(int(hw.inputs.standardise()), int(hw.inputs.acknowledge()))"
    assert numbers(target.repl_exec(code)) == [0, 0]
    target.press("standardise")
    assert numbers(target.repl_exec(code)) == [1, 0]
    target.set_input("acknowledge", False)
    target.press("standardise", False)
    assert numbers(target.repl_exec(code)) == [0, 1]
    seen = []
    target.on_output = lambda *edge: seen.append(edge)
    t0 = target.now_ns + 1 * MS
    target.repl_exec(
        "hw.outputs.good(True)\nhw.idle(3)\nhw.outputs.marker(1)\nhw.outputs.good(True)\n"
        "hw.idle(4)\nhw.outputs.all_off()\n"
    )
    assert seen[0][:2] == ("good", True)
    t0 = seen[0][2]
    assert seen[1:] == [
        ("marker", True, t0 + 3 * MS),
        ("good", False, t0 + 7 * MS),
        ("marker", False, t0 + 7 * MS),
    ]
    assert not target.output("good")
    with pytest.raises(KeyError, match="no input 'redy'"):
        target.set_input("redy", True)


# -- links ---------------------------------------------------------------------------------------

ECHO = (
    SETUP
    + """
link = hw.{link}
link.open()
buf = bytearray(300)
left = sent = 0
while True:
    if left == 0:
        hw.idle(5)
        left, sent = link.readinto(buf), 0
    if left:
        n = link.write(buf, left, sent)
        if n == 0:
            hw.idle(1)
        left -= n
        sent += n
"""
)


@pytest.fixture
def second_link(tmp_path):
    """A folder with the board file of a board that has both links."""
    text = (ROOT / "boards" / "UNIX32" / "board.py").read_text()
    (tmp_path / "board.py").write_text(text + "\nLINK_UART = 'pipe'\n")
    return tmp_path


@pytest.mark.parametrize("link", ["usb", "uart"])
def test_links_carry_bytes_both_ways(make, second_link, link):
    target = make(ECHO.format(link=link), link=link, path=[second_link])
    data = bytes((7 * k + k // 256) & 255 for k in range(3000))
    arrived = []
    target.on_link = lambda part, t_ns: arrived.append((part, t_ns))
    t0 = target.now_ns
    target.link_send(data)
    target.run_for(500 * MS)
    assert b"".join(part for part, _ in arrived) == data
    if link == "uart":
        assert arrived[-1][1] - t0 > 3000 * CHARACTER_NS
    else:
        assert arrived[-1][1] == t0


def test_a_stalled_host_blocks_nothing_and_loses_nothing(make):
    program = (
        SETUP + "link = hw.usb\nlink.open()\ntotal = 0\nbuf = bytearray(range(100))\nwhile True:\n"
        "    hw.idle(10)\n    total += link.write(buf, 100)\n    hw.outputs.marker(total > 2500)\n"
    )
    target = make(program)
    target.run_for(95 * MS)
    before = len(target.link_received)
    target.link_stall(True)
    target.run_for(1 * SECOND)
    assert len(target.link_received) == before
    assert target.output("marker"), "the firmware stands still"
    target.link_stall(False)
    assert len(target.link_received) == before + 2048
    target.run_for(100 * MS)
    whole = bytes(target.link_received)
    assert len(whole) == before + 2048 + 1000
    assert whole[:before] == bytes(range(100)) * (before // 100)
    target.link_plug(False)
    target.run_for(100 * MS)
    assert len(target.link_received) == len(whole)
    target.link_plug(True)
    target.run_for(100 * MS)
    assert len(target.link_received) == len(whole) + 1000


# -- life ----------------------------------------------------------------------------------------

LIFE = (
    SETUP
    + """
print(hw.boot_id(), hw.reset_cause(), hw.store.read("note"), hw.unique_id()[0])
hw.store.write("note", b"boot %d" % hw.boot_id())
hw.usb.open()
hw.outputs.good(True)
hw.watchdog_start(500)
while hw.boot_id() < 3 or hw.ready.words[0] == 0:
    hw.idle(100)
    if hw.boot_id() != 2:
        hw.watchdog_feed()
hw.reset()
"""
)


def test_files_and_boot_id_survive_restarts_and_the_cause_is_told(make):
    target = make(LIFE, files={"note": b"first"}, unique_id=bytes(range(7, 15)))
    assert target.output("good")
    target.run_for(1 * SECOND)
    target.power_off()
    assert not target.powered
    assert not target.output("good")
    target.run_for(1 * SECOND)
    target.boot()  # boot 2 does not feed its watchdog
    up = target.now_ns
    target.run_until(up + 560 * MS)
    assert target.files["boot.id"] == b"3 2 1 0 0"  # number, then starts by cause
    resets = [edge.t_ns for edge in target.outputs if edge.name == "good" and not edge.level]
    assert abs(resets[-1] - up - 500 * MS) < 2 * MS
    edge(target, target.now_ns + 50 * MS, "ready", False)  # boot 3 restarts itself
    target.run_for(1 * SECOND)
    target.reset("power")
    target.run_for(100 * MS)
    assert target.console.splitlines() == [
        "1 power b'first' 7",
        "2 power b'boot 1' 7",
        "3 watchdog b'boot 2' 7",
        "4 reset b'boot 3' 7",
        "5 power b'boot 4' 7",
    ]
    assert target.files == {"boot.id": b"5 3 1 1 0", "note": b"boot 5"}
    assert target.stats().resets == 4


def test_a_busy_loop_is_bitten_by_the_watchdog(make):
    target = make(
        SETUP + "hw.usb.open()\nhw.watchdog_start(300)\nhw.idle(1)\nwhile True:\n    hw.now()\n"
    )
    target.run_for(1 * SECOND)
    assert 3 <= int(target.files["boot.id"].split()[0]) <= 4


def test_a_crash_shows_the_traceback_and_leaves_no_process(make):
    target = make(SETUP + "hw.usb.open()\nhw.idle(10)\n1 // 0\n")
    pid = target._process._process.pid
    with pytest.raises(TargetError, match="(?s)code 1.*line 5.*ZeroDivisionError"):
        target.run_for(1 * SECOND)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_endless_loop_is_told_with_its_place(make):
    target = make(SETUP + "hw.usb.open()\nhw.idle(10)\nwhile True:\n    pass\n", limit_s=0.5)
    with pytest.raises(TargetError, match="(?s)no call for 0.5 s.*line [56].*KeyboardInterrupt"):
        target.run_for(1 * SECOND)


def test_calls_that_take_no_time_do_not_hang_the_bench(make):
    with pytest.raises(TargetError, match="without letting time pass"):
        make(SETUP + "while True:\n    hw.idle(0)\n")


def test_print_does_not_disturb_the_pipe(make):
    target = make(SETUP + "hw.usb.open()\nwhile True:\n    hw.idle(1)\n    print('x' * 100)\n")
    target.run_for(2 * SECOND)
    assert target.console.count("x") >= 199_000


def test_repl(make):
    target = make()
    assert target.repl_exec("print(6 * 7)") == "42\n"
    with pytest.raises(ReplError, match="(?s)repl.py.*line 2.*ZeroDivisionError"):
        target.repl_exec("x = 1\nx // 0")
    assert target.repl_exec("print(x)") == "1\n"
    with pytest.raises(TargetError, match="no answer"):
        target.repl_exec("from gauge.hw.unix import PIPE\nwhile True: PIPE.now()", 50 * MS)


def test_the_service_pin_leads_to_the_repl(make):
    target = make(program=None, service=True)
    assert target.repl_exec("from gauge.hw import service_pin\nprint(service_pin())") == "True\n"
    with pytest.raises(TargetError, match="service pin"):
        make(SETUP + "while True:\n    hw.idle(100)\n").repl_exec("1")


def test_a_reset_from_a_callback(make):
    target = make(SETUP + "hw.usb.open()\nhw.outputs.good(1)\nwhile True:\n    hw.idle(10)\n")
    target.on_output = lambda name, level, t_ns: level and target.reset("power")
    target.reset("run")
    target.run_for(290 * MS)
    assert target.files["boot.id"].split()[0] == b"6"
    target.on_output = None
    target.run_for(1 * SECOND)
    assert target.output("good")


def test_the_same_calls_give_the_same_bytes(make):
    def once():
        target = make(ECHO.format(link="usb"))
        log = []
        target.on_link = lambda part, t_ns: log.append((t_ns, part))
        for k in range(50):
            edge(target, target.now_ns + 700 * US, "ready", bool(k & 1))
            target.link_send(bytes((k, 255 - k)))
            target.run_for(1_234_567)
        return log

    assert once() == once()


# -- no allocation, same interface ---------------------------------------------------------------

LOCKED = (
    SETUP
    + """
import micropython
hw.usb.open()
hw.watchdog_start(1000)
buf, reg, register = bytearray(64), bytearray(7), bytearray(2)
a, b = hw.lasers
def round():
    hw.idle(3)
    hw.i2c.readfrom_mem_into(0x48, 0, reg)
    hw.i2c.writeto(0x48, register)
    hw.i2c.readfrom_into(0x48, reg)
    a.poll(); b.head(); a.errors(); b.read(buf); b.write(register)
    hw.encoder.counts(); hw.inputs.standardise(); hw.inputs.acknowledge()
    hw.outputs.good(True); hw.outputs.marker(False); hw.outputs.heartbeat(True)
    hw.usb.write(buf, hw.usb.readinto(buf)); hw.uart.write(buf, 9); hw.uart.readinto(buf)
    hw.ready.level(); hw.watchdog_feed(); hw.now()
    return hw.idle_words[0]
round()
micropython.heap_lock()
while True:
    round()
"""
)


def test_steady_state_allocates_nothing(make, second_link):
    target = make(LOCKED, path=[second_link])
    target.i2c.plug(0x48, Registers())
    for t, data in frames(target.now_ns, 1000):
        target.clock.call_at(t, lambda data=data: target.lasers["a"].send(data))
    for _ in range(20):
        edge(target, target.now_ns + 3 * MS, "ready", False)
        edge(target, target.now_ns + 9 * MS, "ready", True)
        target.link_send(bytes(100))
        target.run_for(20 * MS)
    assert len(target.link_received) == 2000


def interface(files, name):
    """Public attributes and method signatures of a class, found in one of the source files."""
    nodes = [node for file in files for node in ast.parse((HW / file).read_text()).body]
    body = next(n for n in nodes if isinstance(n, ast.ClassDef) and n.name == name).body
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            arguments = [arg.arg for arg in node.args.args]
            if not node.name.startswith("_"):
                found[node.name] = tuple(arguments[1:])
            for item in ast.walk(node):
                attribute = isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store)
                if attribute and getattr(item.value, "id", "") == "self":
                    found.setdefault(item.attr, "attribute")
    return {key: value for key, value in found.items() if not key.startswith("_")}


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("Hardware", "Hardware"),
        ("LaserStream", "LaserStream"),
        ("Encoder", "Encoder"),
        ("Outputs", "Outputs"),
        ("Inputs", "Inputs"),
        ("Ready", "Ready"),
        ("Link", "Console"),
    ],
)
def test_the_interface_is_that_of_the_rp2040(name, theirs):
    """Every public name there is here, with the same arguments; `idle` may be a bound method."""
    have = interface(["unix.py"], name)
    others = [path.name for path in HW.glob("*.py") if path.stem not in ("unix", "esp32")]
    for member, kind in interface(["rp2.py", *others], theirs).items():
        assert member in have, f"gauge.hw.unix.{name} has no {member}"
        if "attribute" not in (kind, have[member]):
            assert have[member] == kind, f"arguments of {name}.{member} differ"


def test_the_board_file_has_the_names_of_the_rp2040():
    def names(board):
        tree = ast.parse((ROOT / "boards" / board / "board.py").read_text())
        return {n.targets[0].id for n in tree.body if isinstance(n, ast.Assign)}

    assert names("UNIX32") == names("POROGAUGE_RP2040")
