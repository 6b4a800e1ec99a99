"""Runs on the board (32-bit unix MicroPython or RP2040): executes and calls what the host sends.

The host side is `runtime.Program`. Messages both ways: one byte, length as u32 little-endian,
body. Requests: `x` execute source, `c` call a function, `b` call it once per row of words, `h`
call it with the heap locked, `r` run a source with bytes in and bytes out. Replies: `.` with the
result, `!` with the traceback. Values travel tagged: `n` None, `i` 32-bit int, `q` larger int as
decimal text, `a` array('i'), `b` bytes, `s` text, `t` tuple.
"""

import gc
import io
import struct
import sys
from array import array

import micropython


def decode(buf, at):
    """Return the value at index `at` of `buf`, and the index after it."""
    tag = buf[at]
    at += 1
    if tag == 105:  # i
        return struct.unpack_from("<i", buf, at)[0], at + 4
    if tag == 110:  # n
        return None, at
    size = struct.unpack_from("<I", buf, at)[0]
    at += 4
    if tag == 97:  # a
        return array("i", bytes(buf[at : at + 4 * size])), at + 4 * size
    if tag == 116:  # t
        values = []
        for _ in range(size):
            value, at = decode(buf, at)
            values.append(value)
        return tuple(values), at
    body = bytes(buf[at : at + size])
    at += size
    if tag == 98:  # b: arguments arrive as bytearray, so that a function may fill them
        return bytearray(body), at
    if tag == 115:  # s
        return body.decode(), at
    if tag == 113:  # q
        return int(body.decode()), at
    raise ValueError(f"unknown tag {tag}")


def encode(value, out):
    """Append the tagged form of `value` to the bytearray `out`."""
    if value is None:
        out.extend(b"n")
    elif isinstance(value, (int, bool)):
        value = int(value)
        if -0x80000000 <= value <= 0x7FFFFFFF:
            out.extend(struct.pack("<Bi", 105, value))
        else:
            text = str(value).encode()
            out.extend(struct.pack("<BI", 113, len(text)))
            out.extend(text)
    elif isinstance(value, (tuple, list)):
        out.extend(struct.pack("<BI", 116, len(value)))
        for item in value:
            encode(item, out)
    elif isinstance(value, array):
        out.extend(struct.pack("<BI", 97, len(value)))
        if len(bytes(value)) == 4 * len(value):
            out.extend(bytes(value))
        else:  # narrower items are widened
            for item in value:
                out.extend(struct.pack("<i", item))
    else:
        tag = 115 if isinstance(value, (str, float)) else 98
        body = str(value).encode() if tag == 115 else bytes(value)
        out.extend(struct.pack("<BI", tag, len(body)))
        out.extend(body)


def call(names, body, out):
    name, at = decode(body, 0)
    args, at = decode(body, at)
    encode(names[name](*args), out)


def batch(names, body, out):
    name, at = decode(body, 0)
    n_in, at = decode(body, at)
    n_out, at = decode(body, at)
    words, at = decode(body, at)
    function = names[name]
    n_rows = len(words) // n_in
    results = array("i", bytes(4 * n_rows * n_out))
    k = 0
    for row in range(n_rows):
        result = function(*words[row * n_in : row * n_in + n_in])
        if n_out == 1:
            results[k] = result
        else:
            for j in range(n_out):
                results[k + j] = result[j]
        k += n_out
    out.extend(struct.pack("<BI", 97, len(results)))
    out.extend(bytes(results))


def locked(names, body, out):
    name, at = decode(body, 0)
    times, at = decode(body, at)
    function = names[name]
    function()  # the first call may set up what later ones use
    gc.collect()
    turns = range(times)
    micropython.heap_lock()
    try:
        for _ in turns:
            function()
    finally:
        micropython.heap_unlock()
    encode(None, out)


def run(body, out):
    source, at = decode(body, 0)
    data, at = decode(body, at)
    stdout = io.BytesIO()
    names = {"__name__": "__main__", "stdin": io.BytesIO(data), "stdout": stdout}
    exec(compile(source, "program.py", "exec"), names)
    encode(stdout.getvalue(), out)


def send(writer, out):
    """Write all of `out`: with Ctrl-C switched off, USB takes what it has room for."""
    rest = memoryview(out)
    while rest:
        rest = rest[writer.write(rest) or 0 :]


def serve(reader, writer, names):
    """Answer requests until the reader ends."""
    head = bytearray(5)
    while reader.readinto(head) == 5:
        op, size = struct.unpack("<BI", head)
        body = bytearray(size)
        if size:
            reader.readinto(body)
        out = bytearray(b".0000")
        try:
            if op == 120:
                exec(compile(bytes(body).decode(), "program.py", "exec"), names)
            elif op == 99:
                call(names, body, out)
            elif op == 98:
                batch(names, body, out)
            elif op == 104:
                locked(names, body, out)
            elif op == 114:
                run(body, out)
        except Exception as error:  # whatever the program does is reported to the test
            text = io.StringIO()
            sys.print_exception(error, text)
            out = bytearray(b"!0000") + text.getvalue().encode()
        out[1:5] = struct.pack("<I", len(out) - 5)
        send(writer, out)


if sys.platform == "linux":
    # Descriptors of their own, so that a print() of the program cannot break a message.
    serve(open(int(sys.argv[1]), "rb"), open(int(sys.argv[2]), "wb"), {"__name__": "program"})


def serve_usb():
    """Serve over USB, where a print() of the program would break a message."""
    micropython.kbd_intr(-1)
    names = {"__name__": "program", "print": lambda *_: None}
    serve(sys.stdin.buffer, sys.stdout.buffer, names)
