"""The emulated RP2040's buses, USB, flash and resets; see test_emulator.py.

Each test works in a copy (fork) of one booted board, so that none leaves traces. Guest code runs
on the REPL of the very image that is flashed.
"""

from __future__ import annotations

import os
import socket
import time

import pytest

from porogauge_bench.rp2040 import RP2040Target, files
from porogauge_bench.rp2040.fork import forked, in_copy
from porogauge_bench.serve import Server
from porogauge_bench.target import ReplError, TargetError

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture(scope="module")
def board() -> RP2040Target:
    """A board at its REPL; tests act on copies of it."""
    target = RP2040Target(service=True, files={"kept.txt": b"old"})
    target.boot()
    target.repl_exec("import machine, time, micropython, array, uctypes, sys, os")
    return target


# -- I2C


class Memory:
    """A chip with a pointer and 256 registers."""

    def __init__(self):
        self.registers = bytearray(range(256))
        self.pointer = 0
        self.first = True

    def start(self, read):
        self.first = not read
        return True

    def write(self, byte):
        if self.first:
            self.pointer, self.first = byte, False
        else:
            self.registers[self.pointer & 255] = byte
            self.pointer += 1
        return True

    def read(self):
        self.pointer += 1
        return self.registers[self.pointer - 1 & 255]

    def stop(self):
        pass


def i2c_board(board):
    chip = Memory()
    board.i2c.plug(0x48, chip)
    board.i2c.plug(0x44, Memory())
    board.repl_exec(
        "pins = dict(sda=machine.Pin(4), scl=machine.Pin(5), freq=400000)\n"
        "bus = machine.I2C(0, **pins)\n"
        "def do(f, *args):\n"
        "    t = time.ticks_us()\n"
        "    try: answer = f(*args)\n"
        "    except OSError as e: answer = 'E%d' % e.errno\n"
        "    print((answer, time.ticks_diff(time.ticks_us(), t)))"
    )
    return chip


def i2c(board, call):
    """Return (answer or "E" and errno, microseconds) of `bus.<call>`."""
    name, _, arguments = call.partition("(")
    return eval(board.repl_exec(f"do(bus.{name}, {arguments}"))


@in_copy
def test_i2c_transfers_take_their_time_on_the_wire(board):
    chip = i2c_board(board)
    answer, took_us = i2c(board, "readfrom_mem(0x48, 5, 3)")
    assert answer == b"\x05\x06\x07"
    assert 140 < took_us < 240  # 6 bytes of 22.5 us and the driver
    assert i2c(board, "writeto(0x48, b'\\x10ABC')")[0] == 4
    assert chip.registers[16:20] == b"ABC\x13"
    assert sorted(i2c(board, "scan()")[0]) == [0x44, 0x48]


@in_copy
def test_i2c_missing_acknowledges(board):
    i2c_board(board)
    assert i2c(board, "writeto(0x50, b'12')")[0] == "E5"
    assert i2c(board, "readfrom(0x50, 3)")[0] == "E5"
    assert i2c(board, "writeto(0x50, b'')")[0] == "E19"
    for index in range(4):
        board.i2c.nak_data = lambda address, n, byte, index=index: n == index
        assert i2c(board, "writeto(0x48, b'1234')")[0] == index  # the count tells
        assert i2c(board, "writeto_mem(0x48, 5, b'123')")[0] is None  # this call does not
    board.i2c.nak_data = None
    board.i2c.nak_address = lambda address, read: address == 0x48 and read
    assert i2c(board, "readfrom_mem(0x48, 5, 3)")[0] == "E5"
    board.i2c.nak_address = None
    assert i2c(board, "readfrom_mem(0x48, 99, 1)")[0] == b"c"


@in_copy
def test_i2c_held_lines_and_stretched_clock(board):
    i2c_board(board)
    board.i2c.stretch_ns = 2 * MS
    assert i2c(board, "readfrom_mem(0x48, 5, 3)")[1] == pytest.approx(16_200, abs=200)
    board.i2c.stretch_ns = 0
    board.i2c.hold("scl")
    assert i2c(board, "writeto(0x48, b'12')") == ("E110", pytest.approx(50_100, abs=100))
    board.i2c.hold("scl", False)
    assert i2c(board, "readfrom_mem(0x48, 99, 1)")[0] == b"c"
    board.i2c.hold("sda")
    assert i2c(board, "readfrom_mem(0x48, 5, 3)")[0] == "E5"
    assert board.repl_exec("print(machine.Pin(4).value())") == "0\r\n"


@in_copy
def test_i2c_lost_chip_is_freed_by_clocks(board):
    i2c_board(board)
    board.i2c.hold("sda", clocks=5)
    printed = board.repl_exec(
        "sda = machine.Pin(4, machine.Pin.OPEN_DRAIN, value=1)\n"
        "scl = machine.Pin(5, machine.Pin.OPEN_DRAIN, value=1)\n"
        "n = 0\n"
        "while not sda.value() and n < 20:\n"
        "    scl(0); time.sleep_us(5); scl(1); time.sleep_us(5); n += 1\n"
        "bus = machine.I2C(0, **pins)\n"
        "print(n, bus.readfrom_mem(0x48, 5, 1))"
    )
    assert printed == "5 b'\\x05'\r\n"


@in_copy
def test_i2c_damaged_and_unplugged(board):
    i2c_board(board)
    board.i2c.corrupt = lambda address, index, byte: byte ^ 0x80
    assert i2c(board, "readfrom_mem(0x48, 5, 2)")[0] == b"\x85\x86"
    board.i2c.corrupt = None
    chip = board.i2c.unplug(0x48)
    assert i2c(board, "readfrom_mem(0x48, 5, 2)")[0] == "E5"
    board.i2c.plug(0x48, chip)
    assert i2c(board, "readfrom_mem(0x48, 5, 2)")[0] == b"\x05\x06"


# -- USB

ECHO = """
import select
data = bytearray(1)
poll = select.poll()
poll.register(sys.stdin.buffer)
def echo(n):
    micropython.kbd_intr(-1)
    while n and poll.poll(500):
        sys.stdin.buffer.readinto(data)
        n -= sys.stdout.buffer.write(data)
    micropython.kbd_intr(3)
"""


def begin(board, code):
    """Start code on the raw REPL without waiting for its end."""
    board.link_received.clear()
    board.link_send(code.encode() + b"\x04")
    board.run_for(5 * MS)
    assert board.link_received.startswith(b"OK")
    del board.link_received[:2]


@pytest.mark.parametrize("length", [1, 63, 64, 65, 127, 128, 129, 512])
@in_copy
def test_usb_frames_of_any_length_pass_both_ways(board, length):
    board.repl_exec(ECHO)
    frame = bytes(range(3, 3 + 64)) * 8
    frame = frame[:length]
    begin(board, f"echo({length})")
    board.link_send(frame)
    board.run_for(100 * MS)
    assert board.link_received.startswith(frame + b"\x04")


@in_copy
def test_idle_usb_costs_nothing(board):
    before = board.busy_cycles
    begin(board, "time.sleep(1)")
    board.run_for(900 * MS)
    assert (board.busy_cycles - before) * 8 < 5 * MS


@in_copy
def test_a_host_that_does_not_read_stalls_writes_but_hangs_nothing(board):
    board.repl_exec("done = 0")
    board.link_stall(True)
    begin_at = board.now_ns
    board.link_send(
        b"micropython.kbd_intr(-1)\n"
        b"for i in range(60): done += sys.stdout.buffer.write(bytes(100))\n"
        b"took = time.ticks_ms()\n\x04"
    )
    board.run_for(SECOND)
    assert not board.link_received
    board.link_stall(False)
    board.run_for(200 * MS)
    took_ms = int(board.repl_exec("print(took)")) - (begin_at - board.boot_ns) // MS
    written = int(board.repl_exec("print(done)"))
    assert took_ms < 500  # 2 ms for each write that finds the buffer full
    assert written < 6000
    assert board.link_received.count(0) >= written - 2  # all that was taken arrives


@in_copy
def test_unplugged_and_plugged_again(board):
    board.link_plug(False)
    board.run_for(50 * MS)
    assert not board.host.is_open
    board.link_send(b"lost\r")
    board.run_for(50 * MS)
    board.link_plug(True)
    assert board.run_while(lambda: not board.host.is_open, SECOND)
    assert board.repl_exec("print(6 * 7)") == "42\r\n"


@in_copy
def test_closed_port_is_seen_by_the_board(board):
    board.link_port(False)
    board.link_stall(True)
    board.run_for(20 * MS)
    board.link_send(b"done = [sys.stdout.buffer.write(bytes(100)) for i in range(60)]\n\x04")
    board.run_for(100 * MS)
    board.link_port(True)
    board.link_stall(False)
    board.run_for(50 * MS)
    assert board.repl_exec("print(sum(done))").endswith("6000\r\n")  # nothing waited for a reader


@in_copy
def test_served_on_a_socket(board):
    with Server(board) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(b"print(6 * 7)\x04")  # the copy's REPL is in raw mode already
            answer, end = b"", time.monotonic() + 20
            while not answer.endswith(b"\x04>") and time.monotonic() < end:
                answer += client.recv(100)
    assert answer == b"OK42\r\n\x04\x04>"


@in_copy
def test_repl_errors_are_told(board):
    with pytest.raises(ReplError, match="ZeroDivisionError"):
        board.repl_exec("1 // 0")
    with pytest.raises(TargetError, match="within 0.3 s"):
        board.repl_exec("while True: pass", limit_ns=300 * MS)


# -- power, flash, watchdog

SAVE = (
    "f = open('kept.tmp', 'wb'); f.write(b'new' * 300); f.close(); "
    "os.rename('kept.tmp', 'kept.txt')"
)


@in_copy
def test_files_are_read_back(board):
    assert board.files == {"kept.txt": b"old"}
    board.repl_exec(SAVE)
    assert board.files == {"kept.txt": b"new" * 300}
    image = files.build({"a/b/c.txt": b"1", "d.bin": bytes(5000)})
    assert files.read(image) == {"a/b/c.txt": b"1", "d.bin": bytes(5000)}


@in_copy
def test_flash_writes_take_their_time(board):
    before = board.now_ns
    board.repl_exec(SAVE)
    erases = sum(operation.opcode == 0x20 for operation in board.flash.operations)
    assert erases > 0
    assert board.now_ns - before > erases * 45 * MS


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_power_cut_in_any_flash_operation_leaves_old_or_new(board, fraction):
    def save_with_cut(at):
        board.flash.cut(at, fraction)
        board.link_send(SAVE.encode() + b"\x04")
        board.run_for(900 * MS)
        was_cut = not board.powered
        board.reset("power")
        board.boot()
        printed = board.repl_exec(
            "print(open('/kept.txt', 'rb').read() in (b'old', b'new' * 300))"
        )
        return was_cut, printed

    results = [forked(save_with_cut, at) for at in (1, 2, 4, 6, 8)]
    assert {printed for _, printed in results} == {"True\r\n"}
    assert [was_cut for was_cut, _ in results[:3]] == [True] * 3


@in_copy
def test_watchdog_bites_and_is_told(board):
    before = board.boot_ns
    with pytest.raises(TargetError):
        board.repl_exec("machine.WDT(timeout=500)\nwhile True: pass", limit_ns=300 * MS)
    assert board.run_while(lambda: board.boot_ns == before, SECOND)
    board.boot()
    assert board.stats().resets == 1
    assert board.repl_exec("import machine; print(machine.reset_cause())") == "3\r\n"
    assert board.files["kept.txt"] == b"old"


@in_copy
def test_software_reset_and_power_cycle(board):
    board.link_send(b"machine.reset()\x04")
    board.run_for(100 * MS)
    board.boot()
    assert board.repl_exec("import machine; print(machine.reset_cause())") == "3\r\n"
    board.repl_exec("machine.WDT(timeout=1000)")
    board.power_off()
    at_ns = board.now_ns
    board.run_for(3 * SECOND)
    assert board.now_ns == at_ns + 3 * SECOND
    board.reset("power")
    board.boot()
    board.run_for(2 * SECOND)  # the watchdog went with the power
    assert board.boot_ns == at_ns + 3 * SECOND
    assert board.repl_exec("import machine; print(machine.reset_cause())") == "1\r\n"


@in_copy
def test_board_time_begins_at_boot(board):
    printed = board.repl_exec("t = time.ticks_us(); print(t)")
    world_us = (board.now_ns - board.boot_ns) / 1000
    assert 0 < world_us - int(printed) < 2000


@in_copy
def test_boot_without_an_image_is_told(tmp_path):
    with pytest.raises((TargetError, OSError, ValueError)):
        RP2040Target(tmp_path / "absent.uf2")
