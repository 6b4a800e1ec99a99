"""The RP2040's own hardware interface (`gauge.hw.rp2`) on the emulated board.

The board boots with the service pin active; see test_drivers_rp2040.py.
"""

import ast
import binascii
import random

import pytest

from porogauge_bench.instruments import Instruments
from porogauge_bench.rp2040 import RP2040Target
from porogauge_bench.rp2040.fork import forked
from porogauge_bench.scenario import Scenario

START = """
import gc, time, micropython
from time import ticks_us, ticks_diff, sleep_ms
from gauge import hw
h = hw.Hardware()
a, b = h.lasers
buf = bytearray(64)
"""
MS = 1_000_000


def start(**scenario):
    target = RP2040Target(service=True)
    sensors = Instruments(Scenario.from_dict(scenario), target.clock)
    sensors.plug_into(target)
    target.boot()
    run(target, START)
    return target, sensors


def run(target, code):
    """Run `code` on the board; return what it printed, line by line."""
    return [ast.literal_eval(line) for line in target.repl_exec(code).split("\r\n") if line]


@pytest.fixture(scope="module")
def booted():
    return start()


@pytest.fixture
def on_board(booted):
    """Runs a test's function in a copy of the booted board: `on_board(fn)`."""
    return lambda fn: forked(fn, *booted)


def test_nothing_allocates_in_steady_state(on_board):
    def check(target, sensors):
        leaking = run(
            target,
            """
calls = dict(
    counts=h.encoder.counts, head=a.head, poll=a.poll, errors=a.errors, read=lambda: a.read(buf),
    level=h.ready.level, standardise=h.inputs.standardise, acknowledge=h.inputs.acknowledge,
    good=lambda: h.outputs.good(True), marker=lambda: h.outputs.marker(False),
    heartbeat=lambda: h.outputs.heartbeat(True), idle=lambda: h.idle(1), now=h.now,
    feed=h.watchdog_feed, readinto=lambda: h.usb.readinto(buf), write=lambda: h.usb.write(buf, 0),
)
leaking = []
for name in calls:
    call = calls[name]
    call()
    micropython.heap_lock()
    try:
        call()
    except MemoryError:
        leaking.append(name)
    micropython.heap_unlock()
print(leaking)
""",
        )[0]
        assert leaking == []

    on_board(check)


def test_calls_are_quick(on_board):
    def check(target, sensors):
        us = run(
            target,
            """
def us(call):
    call()
    t = ticks_us()
    for _ in range(20): call()
    return ticks_diff(ticks_us(), t) // 20
print([us(call) for call in (h.encoder.counts, a.head, a.errors, lambda: h.usb.readinto(buf))])
""",
        )[0]
        assert us[0] < 50 and us[1] < 30 and us[2] < 30 and us[3] < 100

    on_board(check)


@pytest.mark.parametrize("speed_m_s, waits", [(2.0, "h.idle(5)"), (-3.0, "h.idle(5)"), (5.0, "")])
def test_encoder_loses_no_count(speed_m_s, waits):
    # 5 m/s: 20 000 edges of A a second; with the CPU asleep and busy
    target, sensors = start(line={"speed_m_s": speed_m_s, "counts_per_m": 4000})
    code = "for _ in range(40):\n  {}\nprint((h.encoder.counts(), h.now()))"
    first, t0 = run(target, code.format(waits or "pass"))[0]
    last, t1 = run(target, code.format(waits or "for i in range(300): h.encoder.counts()"))[0]

    def made(t):
        return sensors.encoder.count(target.boot_ns + 1000 * t)

    assert abs(last - first - (made(t1) - made(t0))) <= 2
    assert (last - first) * speed_m_s > 0 and abs(last - first) > 400


def test_encoder_turns_back_and_wraps():
    wave = {"speed_m_s": 0.0, "speed_wave_m_s": 1.0, "speed_wave_hz": 10.0, "counts_per_m": 20_000}
    target, sensors = start(line=wave)
    run(target, "h.encoder._sm.exec('set(x, 7)')")  # X goes through zero soon
    pairs = run(
        target,
        "for _ in range(30):\n  h.idle(7)\n  print((h.encoder.counts(), h.now()))",
    )
    base = pairs[0][0] - sensors.encoder.count(target.boot_ns + 1000 * pairs[0][1])
    for counts, t in pairs:
        at = sensors.encoder.count(target.boot_ns + 1000 * t)
        assert abs(counts - base - at) <= 3
    assert max(c for c, _ in pairs) - min(c for c, _ in pairs) > 200


def test_ready_falls_are_counted_and_timed(on_board):
    def check(target, sensors):
        sensors.ad7746.on_ready = None
        target.set_input("ready", True)
        run(target, "h.ready.words[0] = 0")
        falls = []

        def fall(n):
            falls.append(target.now_ns)
            target.set_input("ready", False)
            target.clock.call_after(30_000, lambda: target.set_input("ready", True))
            if n > 1:
                target.clock.call_after(1_100_000, lambda: fall(n - 1))

        target.clock.call_after(20 * MS, lambda: fall(20))
        words, rounds, slept = run(
            target,
            "n = 0\nwhile h.ready.words[0] < 20:\n  h.idle(100)\n  n += 1\n"
            "print(list(h.ready.words))\nprint(n)\nprint(h.idle_words[0])",
        )
        assert words[0] == 20
        # the newest at 1 + (count - 1) % 16, and so on backwards
        for back in range(16):
            ticks = words[1 + (19 - back) % 16]
            fell_us = (falls[19 - back] - target.boot_ns) / 1000
            assert 0 <= ticks - fell_us < 25
        assert rounds <= 22  # each sleep ended with its fall
        assert slept > 30_000

    on_board(check)


def test_ready_count_wraps_without_allocation(on_board):
    def check(target, sensors):
        sensors.ad7746.on_ready = None
        target.set_input("ready", True)
        target.clock.call_after(20 * MS, lambda: target.set_input("ready", False))
        code = (
            "h.ready.words[0] = 0x3FFFFFFF\nh.idle(1)\nmicropython.heap_lock()\nh.idle(100)\n"
            "micropython.heap_unlock()\nprint(h.ready.words[0])"
        )
        assert run(target, code) == [0]

    on_board(check)


def test_idle_sleeps_as_long_as_asked_and_is_counted(on_board):
    def check(target, sensors):
        sensors.ad7746.on_ready = None
        took, slept = run(
            target,
            "before = h.idle_words[0]\nt = ticks_us()\nh.idle(50)\n"
            "print(ticks_diff(ticks_us(), t))\nprint(h.idle_words[0] - before)",
        )
        assert 49_000 <= took <= 52_000 and abs(took - slept) < 300

    on_board(check)


def test_outputs_and_inputs(on_board):
    def check(target, sensors):
        target.outputs.clear()
        run(target, "h.outputs.good(1)\nh.outputs.marker(1)\nh.outputs.heartbeat(1)")
        assert [(e.name, e.level) for e in target.outputs] == [
            ("good", True), ("marker", True), ("heartbeat", True),
        ]  # fmt: skip
        run(target, "h.outputs.all_off()")
        assert not any(target.output(name) for name in ("good", "marker", "heartbeat"))
        ask = "print((h.inputs.standardise(), h.inputs.acknowledge(), hw.service_pin()))"
        assert run(target, ask) == [(False, False, True)]
        target.press("standardise")
        target.press("service", False)
        assert run(target, ask) == [(True, False, False)]
        target.press("acknowledge")
        assert run(target, ask) == [(True, True, False)]

    on_board(check)


def test_outputs_are_off_from_reset_on(on_board):
    def check(target, sensors):
        run(target, "h.outputs.good(1)\nh.outputs.marker(1)")
        target.outputs.clear()
        target.reset("run")
        target.run_for(400 * MS)
        assert [(e.name, e.level) for e in target.outputs] == [("good", False), ("marker", False)]

    on_board(check)


def test_no_laser_byte_is_lost_while_flash_is_written(on_board):
    def check(target, sensors):
        head, stamps, errors, took = run(
            target,
            "a.start()\na.errors()\nt = ticks_us()\nh.store.write('config', bytes(600))\n"
            "took = ticks_diff(ticks_us(), t)\nn = a.head()\nprint(n)\n"
            "print([a.stamps[i] & 0x3FFFFFFF for i in range(n // 3)])\nprint(a.errors())\n"
            "print(took)",
        )
        assert took > 40_000 and errors == 0  # a sector is erased, interrupts off
        assert abs(head - 3 * took / 250) < 20
        steps = [later - before for before, later in zip(stamps, stamps[1:], strict=False)]
        assert all(249 <= step <= 251 for step in steps)

    on_board(check)


# -- the link over USB

ECHO = """
from machine import Timer
def echo(_):
    h.usb.open()
    t = ticks_us()
    block = bytearray(200)
    while ticks_diff(ticks_us(), t) < {us}:
        n = h.usb.readinto(block)
        sent = 0
        while sent < n and ticks_diff(ticks_us(), t) < {us}:
            sent += h.usb.write(block, n - sent, sent)
        h.idle(1)
    h.usb.close()
timer = Timer(mode=Timer.ONE_SHOT, period=30, callback=echo)
"""


def test_usb_carries_every_byte_both_ways(on_board):
    def check(target, sensors):
        run(target, ECHO.format(us=300_000))
        target.run_for(40 * MS)
        data = bytes(random.Random(1).randrange(256) for _ in range(2000)) + b"\x03\x04\x01"
        target.link_received.clear()
        target.link_send(data)
        target.run_for(260 * MS)
        assert bytes(target.link_received) == data
        target.run_for(100 * MS)
        assert run(target, "print(6 * 7)") == [42]  # Ctrl-C and REPL are back

    on_board(check)


def test_usb_does_not_block_when_the_host_stalls(on_board):
    def check(target, sensors):
        code = """
from machine import Timer
out = bytearray(512)
log = []
def send(_):
    h.usb.open()
    for _ in range(40):
        t = ticks_us()
        n = h.usb.write(out, 512)
        log.append((n, ticks_diff(ticks_us(), t)))
        sleep_ms(1)
    h.usb.close()
timer = Timer(mode=Timer.ONE_SHOT, period=30, callback=send)
"""
        run(target, code)
        target.link_stall(True)
        target.run_for(500 * MS)
        target.link_stall(False)
        target.run_for(50 * MS)
        log = run(target, "print(log)")[0]
        assert sum(n for n, _ in log) >= 2048  # what the board's buffer holds
        assert log[-1][0] == 0
        assert max(us for _, us in log) < 12_000

    on_board(check)


# -- the link over a UART


def test_pio_uart_carries_every_byte_at_921600_baud():
    target = RP2040Target(service=True)
    target.pins.watch(target.board.PIN_LINK_TX, _loop_back(target))
    target.boot()
    code = """
import board, micropython, time
board.LINK_UART = "pio"
board.LINK_BAUD = 921_600
from gauge import hw
u = hw.Hardware().uart
data = bytes([(7 * i ^ i >> 3) & 255 for i in range(2500)])
back = bytearray(2500)
piece = bytearray(100)
micropython.heap_lock()
u.readinto(piece)
u.write(data, 0)
micropython.heap_unlock()
sent = got = 0
t = time.ticks_us()
while got < 2500 and time.ticks_diff(time.ticks_us(), t) < 60_000:
    sent += u.write(data, 2500 - sent, sent)
    n = u.readinto(piece)
    back[got : got + n] = piece[:n]
    got += n
t = time.ticks_diff(time.ticks_us(), t)
print((sent, got, back == data, t))
"""
    sent, got, same, us = run(target, code)[0]
    assert (sent, got, same) == (2500, 2500, True)
    assert us < 1.1 * 2500 * 10 / 0.9216  # the line was never idle


def _loop_back(target):
    return lambda level: target.pins.drive(target.board.PIN_LINK_RX, level)


# -- life of the board


def test_boots_are_counted_and_causes_told():
    target = RP2040Target(service=True)
    target.boot()
    ask = "from gauge import hw\nh = hw.Hardware()\nprint((h.boot_id(), h.reset_cause()))"
    first = run(target, ask)[0]
    assert first[1] == "power"
    seen = [first]
    for kind in ("watchdog", "power", "run"):
        target.reset(kind)
        target.boot()
        seen.append(run(target, ask)[0])
    assert [boot for boot, _ in seen] == [first[0] + i for i in range(4)]
    assert [cause for _, cause in seen] == ["power", "watchdog", "power", "power"]
    # by software
    target._repl = bytearray()
    target.link_send(b"h.reset()\x04")
    target.run_for(300 * MS)
    target._repl = None
    target._in_raw_repl = False
    target.boot()
    assert run(target, ask)[0] == (first[0] + 4, "reset")


def test_watchdog_bites_only_a_hung_board(on_board):
    def check(target, sensors):
        code = "h.watchdog_start(300)\nfor _ in range(10):\n  sleep_ms(100)\n  h.watchdog_feed()"
        before = target.stats().resets
        run(target, code + "\nh.watchdog_stop()\nsleep_ms(1000)")
        assert target.stats().resets == before
        target._repl = bytearray()
        target.link_send(b"h.watchdog_start(300)\nwhile True: pass\x04")
        target.run_for(1000 * MS)
        assert target.stats().resets == before + 1

    on_board(check)


def test_small_files(on_board):
    def check(target, sensors):
        data = bytes(range(256)) * 4
        crc, absent, names = run(
            target,
            f"import binascii, os\nh.store.write('config', {data!r})\n"
            "h.store.write('config', h.store.read('config') + b'new')\n"
            "print(binascii.crc32(h.store.read('config')))\nprint(h.store.read('nothing'))\n"
            "print(sorted(os.listdir()))",
        )
        assert crc == binascii.crc32(data + b"new") and absent is None
        assert "config" in names and "config.new" not in names
        target.reset("power")
        target.boot()
        run(target, START)
        assert run(target, "print(h.store.read('config'))") == [data + b"new"]

    on_board(check)


def test_unique_id(on_board):
    def check(target, sensors):
        assert run(target, "print(h.unique_id())") == [bytes.fromhex("e6605481db318436")]

    on_board(check)
