"""The common test runtime itself: values both ways, errors, timeouts, the locked heap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime import BoardError, BoardTimeout

FUNCTIONS = """
import micropython

@micropython.viper
def add(a: int, b: int) -> int:
    return a + b

def swap(a, b):
    return b, a

def echo(*values):
    return values

def fill(buf):
    for k in range(len(buf)):
        buf[k] += 1
    return buf

def fail():
    raise ValueError("on purpose")

def crash():
    divide(1, 0)

@micropython.viper
def divide(a: int, b: int) -> int:
    return a // b

def hang():
    while True:
        pass
"""


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(FUNCTIONS) as program:
        yield program


def test_run_passes_bytes_through(unix32):
    data = bytes(range(256)) * 300
    assert unix32.run("stdout.write(stdin.read())", data) == data


def test_run_shows_the_traceback(unix32):
    with pytest.raises(BoardError, match="ZeroDivisionError"):
        unix32.run("1 // 0")


def test_run_times_out(unix32):
    with pytest.raises(BoardTimeout):
        unix32.run("while True: pass", timeout_s=0.2)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_words_wrap_at_32_bits(program, a, b):
    assert program.call("add", a, b) == (a + b + 2**31) % 2**32 - 2**31


def test_values_both_ways(program):
    values = (1, -(2**31), 2**40, None, "text", b"\x00\xff", [1, -2, 2**31 - 1], (3, ("x",)))
    assert program.call("echo", *values) == values
    assert program.call("fill", b"\x01\x02") == b"\x02\x03"
    assert program.call("fill", [-1, 7]) == [0, 8]


def test_batch(program):
    rows = [(k, -k - 1) for k in range(50_000)]
    assert program.batch("add", rows) == [-1] * len(rows)
    assert program.batch("swap", rows[:100], n_out=2) == [(b, a) for a, b in rows[:100]]


def test_a_failed_call_shows_the_traceback_and_the_program_lives_on(program):
    with pytest.raises(BoardError, match="(?s)program.py.*line 20.*ValueError: on purpose"):
        program.call("fail")
    assert program.call("add", 1, 2) == 3


def test_a_crash_and_a_hang_are_told_and_reaped(unix32):
    with unix32.load(FUNCTIONS) as program, pytest.raises(BoardError, match="SIGFPE"):
        program.call("crash")
    with unix32.load(FUNCTIONS) as program, pytest.raises(BoardTimeout):
        program.call("hang", timeout_s=0.2)


def test_locked_heap(unix32):
    unix32.heap_locked("words = [0]", "words[0] += 1", times=1000)
    with pytest.raises(BoardError, match="(?s)locked_body.*MemoryError"):
        unix32.heap_locked("words = [0]", "words[0] = 1.5 * len(words)")
    with pytest.raises(BoardError, match="MemoryError"):
        unix32.heap_locked("words = [2**29]", "words[0] + words[0]")


def test_the_same_on_the_emulated_board(rp2040, program):
    """Values, batches in several messages, tracebacks and the locked heap, as on unix."""
    rows = [(k * k - 700_000, -7 * k) for k in range(900)]
    with rp2040.load(FUNCTIONS) as board:
        assert board.batch("add", rows) == program.batch("add", rows)
        assert board.batch("swap", rows[:20], n_out=2) == program.batch("swap", rows[:20], n_out=2)
        values = (
            1,
            -(2**31),
            2**40,
            None,
            "text",
            b"\x03\x04\xff",
            [1, -2, 2**31 - 1],
            (3, ("x",)),
        )
        assert board.call("echo", *values) == values
        with pytest.raises(BoardError, match="ValueError: on purpose"):
            board.call("fail")
        board.execute(
            "words = [0]\ndef quiet():\n    words[0] += 1\ndef noisy():\n    return [0]\n"
        )
        board.heap_locked("quiet", 100)
        with pytest.raises(BoardError, match="MemoryError"):
            board.heap_locked("noisy")
    assert rp2040.run("stdout.write(bytes(reversed(stdin.read())))", b"abc") == b"cba"
