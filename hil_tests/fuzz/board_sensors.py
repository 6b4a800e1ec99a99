"""What the board reads from its sensors, and the configurations that it measures with."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence

from gauge import config, drivers, record
from gauge.drivers.optoncdt import MODELS

from .board import BoardParser, packed
from .line import standard_blob
from .mutate import damage, noise, word
from .parser import Wrong

_STEP_US = 250
_BYTE_US = 11
_MAX_CODE = MODELS[0].max_code
_NO_DATA, _BROKEN, _JUMP = 1, 2, 3


class Reference:
    """What a laser's bytes mean, written down without care for speed. Goes on over windows."""

    def __init__(self) -> None:
        self.expect, self.code, self.run = 3, 0, 0
        self.before = [0, 0]
        self.index = 0  # of the next byte since the start
        self.stamps: list[int] = []

    def window(self, data: bytes, stamp: int, opened: int) -> list[int]:
        """The 13 words of a window; `stamp` is that of the next group of three bytes."""
        samples: list[tuple[int, int]] = []
        d2 = n_d2 = 0
        errors: list[int] = []
        for byte in data:
            place = self.index % 3
            if place == 2:
                self.stamps.append(stamp)
                stamp += _STEP_US
            kind, whole, broken = byte >> 6, 0, False
            if kind >= 2:
                if self.expect == 2:
                    whole = kind - 1
                broken = self.expect in (0, 1)
                self.code |= (byte & 63) << 12
                self.expect = 0
            elif kind == 1:
                broken = self.expect in (0, 2)
                self.code |= (byte & 63) << 6
                self.expect = {1: 2, 3: 3}.get(self.expect, 0)
            else:
                broken = self.expect in (1, 2)
                self.code, self.expect = byte, 1
            if whole:
                late = 0 if place == 2 else (place + 1) * _BYTE_US
                time = self.stamps[-1] + late - opened
                if time < 0:  # taken before the window began
                    self.run = 0
                elif whole == 1 and self.code > _MAX_CODE:
                    errors.append(self.code)
                    self.run = 0
                elif whole == 1:
                    samples.append((self.code, time))
                    if self.run == 2 and d2 < 0x20000000:
                        d = self.code - 2 * self.before[1] + self.before[0]
                        if abs(d) > 2047:
                            d = 2047
                            errors.append(_JUMP)
                        d2, n_d2 = d2 + d * d, n_d2 + 1
                    elif self.run < 2:
                        self.run += 1
                    self.before = [self.before[1], self.code]
            if broken:
                errors.append(_BROKEN)
                self.run = 0
            self.index += 1
        return _words(samples, d2, n_d2, errors)


def _words(samples: list[tuple[int, int]], d2: int, n_d2: int, errors: list[int]) -> list[int]:
    if not samples:
        return [0] * 9 + [d2, n_d2, len(errors) or 1, _told(errors) or _NO_DATA]
    codes, times = [code for code, _ in samples], [time for _, time in samples]
    return [
        *(len(codes), sum(codes), codes[0], codes[-1], times[0], times[-1], sum(times)),
        *(min(codes), max(codes), d2, n_d2, len(errors), _told(errors)),
    ]


def _told(errors: list[int]) -> int:
    """Error code of a window: what makes all of it doubtful is not covered by a later one."""
    told = 0
    for code in errors:
        if told != _BROKEN and (told != _JUMP or code == _BROKEN):
            told = code
    return told


def _distance(code: int) -> bytes:
    return bytes((code & 63, 64 | code >> 6 & 63, 128 | code >> 12 & 63))


class Lasers(BoardParser):
    """`windows` and `distance`: every distance counted once, in its time; damage is told."""

    name, share, block = "board_lasers", 120, 500
    program = "sensors.py"

    def make(self, rnd: random.Random) -> bytes:
        code = rnd.randrange(_MAX_CODE)
        codes = []
        for _ in range(rnd.choice((0, 3, 12, 44))):
            code = min(_MAX_CODE, max(0, code + rnd.randint(-60, 60)))
            codes.append(code)
        data = b"".join(map(_distance, codes))
        if rnd.random() < 0.1:
            return noise(rnd, 150)
        errors = [_distance(262_075 + k) for k in range(10)]
        return data if rnd.random() < 0.3 else damage(rnd, data, [data, *errors], 4)[:600]

    def ask(self, cases: Sequence[bytes]) -> Sequence[tuple[list[int], list[int]]]:
        flat = self.running.call("lasers", packed(cases), _STEP_US)
        reference = Reference()
        now, answers = 1000, []
        for k, data in enumerate(cases):
            wanted = reference.window(data, now + _STEP_US, now)
            answers.append((wanted, flat[16 * k : 16 * k + 16]))
            now += (len(data) // 3 + 4) * _STEP_US
        return answers

    def look(self, case: bytes, said: tuple[list[int], list[int]]) -> bool:
        wanted, got = said
        if got[:13] != wanted:
            raise Wrong(f"a window should be {wanted}, is {got[:13]}")
        if got[13] and wanted[12] in (_BROKEN, _JUMP):
            raise Wrong("a distance of damaged bytes")
        if got[13] and not -(1 << 30) < got[14] < 1 << 30:
            raise Wrong(f"a distance of {got[14]}")
        return bool(got[13])


class Dialogues(BoardParser):
    """`optoncdt.Laser`: what is no laser of this model is never taken for one; it always ends."""

    name, share, block = "board_dialogue", 5, 100
    program = "sensors.py"

    def open(self) -> None:
        super().open()
        info = "Name: ILD1900-2\r\nSerial: 123\r\nMeasuring range: 2.00mm\r\n->"
        answers = ["OUTPUT NONE\r\n->", f"GETINFO\r\n{info}"]
        answers += ["OUTREDUCEDEVICE NONE\r\n->", "OUTADD_RS422 NONE\r\n->", "OUTHOLD NONE\r\n->"]
        answers += ["TRIGGER NONE\r\nE234 unknown\r\n->", "AVERAGE NONE\r\n->"]
        answers += ["MEASRATE 4\r\n->", "MEASRATE\r\nMEASRATE 4.000\r\n->", "SYNC MASTER\r\n->"]
        self.replies = [text.encode() for text in (*answers, "OUTPUT RS422\r\n->")]

    def make(self, rnd: random.Random) -> bytes:
        replies = list(self.replies)
        for _ in range(rnd.randint(0, 3)):
            k = rnd.randrange(len(replies))
            replies[k] = damage(rnd, replies[k], self.replies, 2)[:800]
        return packed(replies)

    def ask(self, cases: Sequence[bytes]) -> Sequence[tuple[int, int]]:
        flat = self.running.call("dialogues", packed(cases))
        return list(zip(flat[::2], flat[1::2], strict=True))

    def look(self, case: bytes, said: tuple[int, int]) -> bool:
        code, streams = said
        if not drivers.WRONG_CHIP <= code <= 0 or (code == 0) != bool(streams):
            raise Wrong(f"ends with code {code}, streams: {streams}")
        if streams and max(case) < 128:
            for needed in (b"Name:", b"1900", b"ange:", b"MEASRATE "):
                if needed not in case:
                    raise Wrong(f"streams without {needed.decode()} in any reply")
        return bool(streams)


class Converter(BoardParser):
    """`ad7746`: a result is taken only when it is ready and all settings are what they were."""

    name, share, block = "board_converter", 50, 500
    program = "sensors.py"
    good = bytes((0, 0x80, 1, 2, 0, 0, 0, 0x80, 0, 0x0B, 0x01, 0x80 | 60, 0))

    def make(self, rnd: random.Random) -> bytes:
        """Five results: how it is read (1: a temperature was asked for, 2: an error), 13 bytes."""
        data = b""
        for _ in range(5):
            end = rnd.choice((b"\0\0\0", b"\xff\xff\xff"))
            value = rnd.randbytes(3) if rnd.random() < 0.8 else end
            result = self.good[:1] + value + self.good[4:]
            if rnd.random() < 0.5:
                result = damage(rnd, result, [self.good], 2)[:13].ljust(13, b"\0")
            data += bytes([rnd.choice((0, 0, 0, 0, 1, 2))]) + result
        return data

    def ask(self, cases: Sequence[bytes]) -> Sequence[list[int]]:
        flat = self.running.call("converter", packed(cases))
        return [flat[5 * k : 5 * k + 5] for k in range(len(cases))]

    def look(self, case: bytes, said: list[int]) -> bool:
        for k, code in enumerate(said):
            how, result = case[14 * k], case[14 * k + 1 : 14 * k + 14]
            if code < drivers.WRONG_CHIP:
                raise Wrong(f"code {code} is none of gauge.drivers")
            if code < 0:
                continue
            right = result[0] & 0xF9 == 0 and result[7:] == self.good[7:]
            if how == 2 or not right or code != int.from_bytes(result[1:4], "big"):
                raise Wrong(f"{result.hex()} is taken for {code}")
            if code in (0, 0xFFFFFF):
                raise Wrong("an end of the range is taken for a reading")
        return any(code >= 0 for code in said)


class ClimateChip(BoardParser):
    """`sht4x`: readings with both checksums right, and no others."""

    name, share, block = "board_climate", 60, 500
    program = "sensors.py"

    def make(self, rnd: random.Random) -> bytes:
        """Five readings of six bytes."""
        data = b""
        for _ in range(5):
            words = rnd.randbytes(4)
            reading = words[:2] + _crc8(words[:2]) + words[2:] + _crc8(words[2:])
            if rnd.random() < 0.6:
                reading = damage(rnd, reading, [reading], 2)[:6].ljust(6, b"\0")
            data += reading
        return data

    def ask(self, cases: Sequence[bytes]) -> Sequence[list[int]]:
        flat = self.running.call("climate", packed(cases))
        return [flat[15 * k : 15 * k + 15] for k in range(len(cases))]

    def look(self, case: bytes, said: list[int]) -> bool:
        accepted = False
        for k in range(5):
            code, air_mc, rh_ppm = said[3 * k : 3 * k + 3]
            r = case[6 * k : 6 * k + 6]
            right = _crc8(r[:2]) == r[2:3] and _crc8(r[3:5]) == r[5:6]
            if (code == 0) != right:
                raise Wrong(f"{r.hex()} gives code {code}")
            if right:
                accepted = True
                t = -45 + 175 * int.from_bytes(r[:2], "big") / 65535
                rh = min(max(-6 + 125 * int.from_bytes(r[3:5], "big") / 65535, 0), 100)
                if abs(air_mc - 1000 * t) > 2 or abs(rh_ppm - 1e4 * rh) > 2:
                    raise Wrong(f"{r.hex()} is taken for {air_mc} mC, {rh_ppm} ppm")
        return accepted


def _crc8(data: bytes) -> bytes:
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return bytes([crc])


class Configurations(BoardParser):
    """`config.unpack` and what measures with it: damage is refused, what is taken works."""

    name, share, block = "board_configuration", 3, 40
    program = "sensors.py"

    def open(self) -> None:
        super().open()
        self.blob = standard_blob()
        self.spec = list(config.SPEC)
        self.model = 4 * config.LASER_MODEL

    def make(self, rnd: random.Random) -> bytes:
        way = rnd.random()
        if way < 0.4:
            blob = damage(rnd, self.blob, [self.blob], 3)[: len(self.blob)]
            blob = blob.ljust(len(self.blob), b"\0")
        else:
            words = array("i", config.unpack(self.blob))
            for _ in range(rnd.choice((0, 1, 3, 10, len(words)))):
                k = rnd.randrange(len(words))
                _, low, high = self.spec[k]
                value = rnd.choice((low, high, rnd.randint(low, high), rnd.randint(low, high)))
                words[k] = value if rnd.random() < 0.98 else word(rnd)
            blob = config.pack(words)
        model = int.from_bytes(blob[self.model : self.model + 4], "little")
        most = MODELS[model % len(MODELS)].max_code
        return blob + b"".join(_raw(rnd, most).tobytes() for _ in range(3))

    def ask(self, cases: Sequence[bytes]) -> Sequence[int]:
        return self.running.call("configurations", packed(cases), len(self.blob))

    def look(self, case: bytes, said: int) -> bool:
        blob = case[: len(self.blob)]
        try:
            config.unpack(blob)
        except ValueError:
            if said:
                raise Wrong("a configuration that is none is taken") from None
        return bool(said)


def _raw(rnd: random.Random, most: int) -> array:
    """A record as the head may make it, of codes up to `most`: any values that sensors have."""
    words = record.new()
    dt = rnd.choice((11_000, rnd.randint(1, 250_000)))
    words[record.DT_US] = dt
    words[record.CAP_CODE] = rnd.choice((0, 1, 0xFFFFFE, 0x800000, rnd.getrandbits(24)))
    for base in (record.A_N, record.B_N):
        n = rnd.choice((0, 1, 2, dt // 250, rnd.randint(0, 2040)))
        if n:
            low = rnd.randrange(most)
            high = min(most, low + rnd.choice((0, 1, 30, 3000, most)))
            first, last = rnd.randint(low, high), rnd.randint(low, high)
            t_first = rnd.randint(0, min(dt - 1, 300))
            t_last = max(t_first, dt - 1 - rnd.randint(0, 300))
            words[base : base + 11] = array(
                "i",
                (
                    *(n, sum(rnd.choices((low, high, first), k=8)) * n // 8, first, last),
                    *(t_first, t_last, n * (t_first + t_last) // 2, low, high),
                    *(rnd.choice((0, 4 * n, 0x20000000)), max(0, n - 2)),
                ),
            )
        words[base + 11] = errors = rnd.choice((0, 0, 0, 1, n))
        words[base + 12] = rnd.choice((1, 2, 3, 262_076)) if errors else 0
    words[record.FRAME_MC] = rnd.choice((23_000, rnd.randint(-60_000, 160_000)))
    words[record.AIR_MC] = rnd.choice((23_000, rnd.randint(-45_000, 130_000)))
    words[record.RH_PPM] = rnd.choice((500_000, rnd.randint(0, 1_000_000)))
    words[record.POSITION_MM] = rnd.randint(-1_000_000, 1_000_000)
    return words


BOARD_SENSORS = (Lasers, Dialogues, Converter, ClimateChip, Configurations)
