"""Runs on the board's MicroPython: bytes of the sensors, and configurations with their records."""

from array import array

import board
import micropython
from fake import Bus, Flash, Hardware, Stream

from gauge import distance, drivers, record, windows
from gauge.app import App
from gauge.drivers.ad7746 import AD7746
from gauge.drivers.optoncdt import MODELS, Laser
from gauge.drivers.sht4x import SHT4x

MODEL = MODELS[0]
SETTINGS = bytes((0x80, 0, 0x0B, 0x01, 0x80 | 60, 0))  # CAP .. CAPDACB as the driver writes them
IDENTITY = b"\x12\x34"

stream = None
window = None
rec = record.new()
scale = distance.new_scale(MODEL, 4000)
out = array("i", (0, 0))


def parts(blob):
    """Inputs, each with its length in two bytes before it."""
    at = 0
    while at < len(blob):
        n = blob[at] | blob[at + 1] << 8
        at += 2 + n
        yield bytes(blob[at - n : at])


def lasers(blob, step):
    """Bytes of a laser, one window each: its 13 words, then what `distance.reading` says."""
    global stream, window
    stream = Stream()
    window = windows.LaserWindow(stream, 0, MODEL.max_code, 11)
    found = array("i")
    now = 1000
    for data in parts(blob):
        end = now + (len(data) // 3 + 4) * step
        window.open(now & 0x3FFFFFFF, end & 0x3FFFFFFF)
        stream.feed(data, now + step, step)
        micropython.heap_lock()
        try:
            closed = window.take()
            window.put(rec, record.A_N)
            rec[record.DT_US] = max(1, len(data) // 3 * step)
            good = distance.reading(rec, record.A_N, scale, out, 0)
        finally:
            micropython.heap_unlock()
        if closed or not 0 <= good <= 1:
            raise RuntimeError("the window ends before its end")
        found.extend(rec[record.A_N : record.A_N + 13])
        found.extend(array("i", (good, out[0], out[1])))
        # groups of three bytes go on over the windows: so do their stamps
        now = end
    return found


def dialogues(blob):
    """Replies of a laser to its set-up, parts of each input: code, whether it streams."""
    found = array("i")
    for data in parts(blob):
        line = Stream()
        laser = Laser(line, MODEL, "A")
        laser.configure(4000, "master")
        line.replies = list(parts(data))
        now = 0
        laser.begin(now)
        for _ in range(300):
            now += 4000
            laser.poll(now)
            if laser.streaming:
                break
        if laser.fault == "":
            raise RuntimeError("a fault without a text")
        found.extend(array("i", (laser.code, 1 if laser.streaming else 0)))
    return found


def converter(blob):
    """Results of the AD7746, 13 bytes each (14: the errno of an error): codes of read()."""
    found = array("i")
    bus = Bus()
    chip = AD7746(bus)
    for data in parts(blob):
        bus.answers = [SETTINGS, IDENTITY]
        chip.start(0, 60)
        for at in range(0, len(data), 14):
            answer = data[at + 1 : at + 14]
            if data[at] == 1:
                chip.start_temperature()
            bus.answers = [data[at + 1] or 5] if data[at] == 2 else [answer]
            code = chip.read()
            found.append(code)
            if not -60_000 <= chip.temperature_mc <= 160_000:
                raise RuntimeError(f"a frame of {chip.temperature_mc} mC")
    return found


def climate(blob):
    """Readings of the SHT4x, 6 bytes each: code, temperature, humidity."""
    found = array("i")
    bus = Bus()
    chip = SHT4x(bus)
    for data in parts(blob):
        for at in range(0, len(data), 6):
            chip.begin(1000)
            bus.answers = [data[at : at + 6]]
            code = chip.poll(15_000)
            found.extend(array("i", (code, chip.air_mc, chip.rh_ppm)))
            if code < drivers.WRONG_CHIP:
                raise RuntimeError(f"code {code} is none of gauge.drivers")
    return found


def configurations(blob, n_words):
    """A configuration and records each: 1 when it is taken, else 0; nothing may go wrong then."""
    app = App(Hardware(Flash(board.JOURNAL_RESERVE + 2)))
    found = array("i")
    for data in parts(blob):
        words = data[:n_words]
        try:
            app._commit(words)
        except ValueError:
            found.append(0)
            continue
        found.append(1)
        raw = array("i", data[n_words:])
        if len(raw) % record.N_FIELDS:
            raise RuntimeError("not whole records")
        for at in range(0, len(raw), record.N_FIELDS):
            for index in range(record.N_FIELDS):
                rec[index] = raw[at + index]
            micropython.heap_lock()
            try:
                app._measure(rec, 0)
            finally:
                micropython.heap_unlock()
            if rec[record.VALID] & ~record.VALID_ALL or (
                rec[record.VALID] and rec[record.STATE] != record.STATE_MEASURING
            ):
                raise RuntimeError(f"valid is {rec[record.VALID]} in state {rec[record.STATE]}")
            if rec[record.VALID] & record.VALID_POROSITY:
                if not -1_000_000 <= rec[record.POROSITY_PPM] <= 2_000_000:
                    raise RuntimeError(f"a porosity of {rec[record.POROSITY_PPM]} ppm is valid")
    return found
