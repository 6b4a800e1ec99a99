"""Window accumulation on the 32-bit runtime against a plain reference: nothing lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BYTE_US = 11
LATENCY_US = 533
MAX_CODE = 230_604
MASK = (1 << 30) - 1

PROGRAM = f"""
from array import array
from gauge import record, windows

class Stream:
    def __init__(self):
        self.ring = bytearray(4096)
        self.stamps = array("i", bytes(4096))
        self.start()
    def start(self):
        self.at = self.place = self.stamp = 0
    def poll(self):
        pass
    def head(self):
        return self.at
    def feed(self, data, times):
        for byte, t in zip(data, times):
            self.ring[self.at] = byte
            self.at = (self.at + 1) & 4095
            self.place += 1
            if self.place == 3:
                self.place = 0
                self.stamps[self.stamp] = t
                self.stamp = (self.stamp + 1) & 1023

stream = Stream()
window = windows.LaserWindow(stream, {LATENCY_US}, {MAX_CODE}, {BYTE_US})
rec = record.new()

def restart():
    stream.start()
    window.restart()

def feed(data, times):
    stream.feed(data, times)

def open_window(t_open, t_close):
    window.open(t_open, t_close)

def take():
    return int(window.take())

def put():
    window.put(rec, record.A_N)
    return rec[record.A_N:record.A_N + 13]

def counters():
    words = array("i", bytes(40))
    window.put_counters(words, 0)
    return words

def locked(times):
    import micropython
    micropython.heap_lock()
    try:
        for k in range(times):
            window.open(0, 11000)
            window.take()
            window.put(rec, record.B_N)
    finally:
        micropython.heap_unlock()
    return 1
"""


@dataclass
class Reference:
    """What a window should hold, written down without any cleverness."""

    codes: list[tuple[int, int]] = field(default_factory=list)  # (time in the window, code)
    second: list[int] = field(default_factory=list)
    errors: int = 0
    error_code: int = 0

    def words(self) -> list[int]:
        if not self.codes:
            errors = (self.errors, self.error_code) if self.errors else (1, 1)
            return [0] * 11 + list(errors)
        times = [t for t, _ in self.codes]
        codes = [code for _, code in self.codes]
        return [
            len(codes),
            sum(codes),
            codes[0],
            codes[-1],
            times[0],
            times[-1],
            sum(times),
            min(codes),
            max(codes),
            sum(d * d for d in self.second),
            len(self.second),
            self.errors,
            self.error_code,
        ]


def frame(code: int) -> bytes:
    return bytes((code & 63, 64 | code >> 6 & 63, 128 | code >> 12))


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(PROGRAM) as program:
        yield program


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, MASK),
    period=st.sampled_from((250, 251, 500, 1000)),
    rest=st.sampled_from((b"", b"\x85", b"\x41\x85")),
    samples=st.lists(
        st.one_of(st.integers(0, MAX_CODE), st.sampled_from((262_076, 262_077, 262_082))),
        min_size=1,
        max_size=150,
    ),
    chunk=st.integers(1, 37),
)
def test_every_sample_is_in_its_window(program, start, period, rest, samples, chunk):
    """Any codes and error codes, any phase of the rings and of the ticks' wrap, any chunks."""
    program.call("restart")
    data, times = bytearray(rest), [start] * len(rest)
    for k, code in enumerate(samples):
        arrival = start + LATENCY_US + k * period + 100
        data += frame(code)
        times += [(arrival - (2 - i) * BYTE_US) & MASK for i in range(3)]
    length = 11_000
    windows: list[list[int]] = []
    program.call("open_window", start, (start + length) & MASK)
    for at in range(0, len(data), chunk):
        program.call("feed", bytes(data[at : at + chunk]), times[at : at + chunk])
        while program.call("take"):
            windows.append(program.call("put"))
            w = len(windows) * length
            program.call("open_window", (start + w) & MASK, (start + w + length) & MASK)
    windows.append(program.call("put"))

    expected = [Reference() for _ in windows]
    run: list[int] = []
    for k, code in enumerate(samples):
        t = k * period + 100
        here = expected[t // length]
        if code > MAX_CODE:
            here.errors += 1
            if here.error_code != 3:  # a jump: any distance of the window may be damaged
                here.error_code = code
            run = []
            continue
        here.codes.append((t % length, code))
        if len(run) == 2:
            d = code - 2 * run[1] + run[0]
            if abs(d) > 2047:  # no web moves like that
                d = 2047
                here.errors += 1
                here.error_code = 3
            here.second.append(d)
        run = [*run[-1:], code] if len(run) == 2 else [*run, code]
    assert len(expected) == len(windows) == (100 + period * (len(samples) - 1)) // length + 1
    for got, want in zip(windows, expected, strict=True):
        assert got == want.words()


@settings(max_examples=40, deadline=None)
@given(
    samples=st.lists(st.integers(0, MAX_CODE), min_size=3, max_size=40),
    at=st.integers(3, 100),
    junk=st.binary(min_size=1, max_size=5),
)
def test_broken_bytes_are_counted_and_never_make_a_number(program, samples, at, junk):
    """Junk between bytes costs at most the samples it touches, and is told as an error."""
    program.call("restart")
    clean = b"".join(map(frame, samples))
    at = min(at, len(clean))
    data = clean[:at] + junk + clean[at:]
    program.call("open_window", 0, 500_000)
    program.call("feed", data, [LATENCY_US + 11 * k + 20 for k in range(len(data))])
    assert program.call("take") == 0
    n, total, *_, errors, code = program.call("put")
    # what a parser that only knows whole low-middle-high runs would find
    whole, k = [], 0
    while k + 2 < len(data):
        a, b, c = data[k : k + 3]
        if a < 64 <= b < 128 <= c:
            if c < 192:  # the others are additional values, not distances
                whole.append(a | (b & 63) << 6 | (c & 63) << 12)
            k += 3
        else:
            k += 1
    valid = [code for code in whole if code <= MAX_CODE]
    assert (n, total) == (len(valid), sum(valid))
    assert errors > 0 or len(valid) + len([c for c in whole if c > MAX_CODE]) >= len(samples)


def test_without_data_the_window_says_so(program):
    program.call("restart")
    program.call("open_window", 0, 11_000)
    assert program.call("take") == 0
    assert program.call("put") == [0] * 11 + [1, 1]


@pytest.mark.parametrize("start", (0, 700_000_000, MASK - 20_000))
def test_what_was_taken_before_the_window_is_in_none(program, start):
    """A hole between two windows: its distances and errors are passed over, not counted."""
    program.call("restart")
    codes = [262_076 if k % 5 == 0 else 1000 + k for k in range(100)]
    arrivals = [start + 100 + 250 * k + LATENCY_US for k in range(100)]
    times = [(t - (2 - i) * BYTE_US) & MASK for t in arrivals for i in range(3)]
    program.call("open_window", (start + 11_000) & MASK, (start + 22_000) & MASK)
    program.call("feed", b"".join(map(frame, codes)), times)
    assert program.call("take") == 1
    inside = [k for k in range(100) if 11_000 <= 100 + 250 * k < 22_000]
    valid = [codes[k] for k in inside if codes[k] <= MAX_CODE]
    n, total, first, last, *_, errors, code = program.call("put")
    assert (n, total, first, last) == (len(valid), sum(valid), valid[0], valid[-1])
    assert (errors, code) == (len(inside) - len(valid), 262_076)


def test_every_error_code_has_a_counter(program):
    """Each code of the sensor, codes without a meaning, broken bytes and jumps, one by one."""
    before = program.call("counters")
    program.call("restart")
    codes = (262_075, 262_076, 262_077, 262_078, 262_080, 262_081, 262_082, 262_079, 240_000)
    data = b"".join(frame(code) * (k + 1) for k, code in enumerate(codes))
    data += b"\x41\x41" + b"".join(map(frame, (1000, 1000, 1000, 100_000, 100_000, 100_000)))
    program.call("open_window", 0, 500_000)
    program.call("feed", data, [LATENCY_US + 11 * k + 20 for k in range(len(data))])
    program.call("take")
    counted = [b - a for a, b in zip(before, program.call("counters"), strict=True)]
    assert counted == [1, 2, 3, 4, 5, 6, 7, 8 + 9, 2, 2]


def test_nothing_is_allocated(program):
    assert program.call("locked", 100) == 1
