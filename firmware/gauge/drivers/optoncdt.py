"""Micro-Epsilon optoNCDT 1420 and 1900: laser displacement sensors, RS-422.

Distances come as three bytes each (`gauge.windows` parses them), commands and replies are ASCII
on the same line, and a laser goes on sending distances while it is commanded. `Laser` leads the
dialogue as a state machine that never waits, so that a laser that comes back is set up again
while everything else goes on:

    OUTPUT NONE -> GETINFO (name and range checked) -> one value per distance, no averaging
    -> MEASRATE (read back) -> synchronisation -> OUTPUT RS422 -> streaming

    >>> laser = Laser(hardware.lasers[0], MODELS[0], "A")
    >>> laser.configure(4000, "master")
    >>> laser.begin(now)
    >>> laser.poll(now)  # with each round: NOT_READY, a fault, or 0 when it is streaming
    0

A laser that does not answer is looked for at the other baud rates, and told to use ours. One
whose values end (`gauge.windows` sees that) is started again by `begin`. Lengths are in
1/8 nm (`_8nm`). Sources: optoNCDT 1420 operating instructions, A 3 (ASCII commands), RS-422 data
format and error codes; optoNCDT 1900 operating instructions, sections on output and
synchronisation.
"""

from array import array

import micropython
from micropython import const

from gauge import drivers
from gauge.drivers import DriverError

# Errors in place of a distance; the first three are found by the board (`gauge.record`).
ERROR_CODES = {
    1: "no distances arrive",
    2: "damaged bytes: check the RS-422 pair, its termination and screen",
    3: "distances jump as no web can",
    262_075: "data rate too high for the baud rate",
    262_076: "no peak: no target, or it is too dark",
    262_077: "peak before the measuring range",
    262_078: "peak behind the measuring range",
    262_080: "distance cannot be calculated",
    262_081: "peak too wide",
    262_082: "laser is off",
}


def error_name(code):
    """Return what an error code in place of a distance says."""
    return ERROR_CODES.get(code, "unknown error %d" % code)


class Model:
    """What differs between the models.

    A code x means the distance (num * x - off) * range / den from the start of the measuring
    range. Codes above `max_code` are no distances. `rates_hz`: the rates it has, or (lowest,
    highest) of a free choice when `free_rate`. `sync`: role -> command, empty when the model runs
    on its own clock.
    """

    def __init__(self, series, range_mm):
        self.name = "%s-%d" % (series, range_mm)
        self.ident = series.encode()  # in the Name line of GETINFO
        self.range_mm = range_mm
        self.range_8nm = range_mm * 8_000_000
        if series == "1420":
            self.num = 17
            self.off = 10_920
            self.den = 1_092_000
            self.max_code = 65_520
            self.rates_hz = (250, 500, 1000, 2000, 4000)
            self.free_rate = False
            self.sync = {}
            self.setup = _SETUP_1420
        else:
            self.num = 1
            self.off = 98_232
            self.den = 65_536
            self.max_code = 230_604
            self.rates_hz = (250, 10_000)
            self.free_rate = True
            self.sync = _SYNC_1900
            self.setup = _SETUP_1900

    def check_rate(self, rate_hz):
        """Raise ValueError unless the model has this measuring rate."""
        rates = self.rates_hz
        if self.free_rate:
            if rates[0] <= rate_hz <= rates[1]:
                return
            legal = "%d..%d" % rates
        elif rate_hz in rates:
            return
        else:
            legal = ", ".join([str(rate) for rate in rates])
        raise ValueError(
            "optoNCDT %s has no rate of %d Hz; legal: %s" % (self.name, rate_hz, legal)
        )


# Kinds of commands, by what is made of their reply.
_FIRST = const(0)  # stops the stream; repeated, because the line may have been in any state
_NEEDED = const(1)  # an error is a fault
_WISHED = const(2)  # an error is counted: the model may not know it
_INFO = const(3)  # the reply must show the model and its range
_RATE = const(4)  # the reply must show the rate
_START = const(5)  # the stream begins behind the reply

# Settings besides rate and synchronisation. The names of those that are only wished for come
# from related models; they may be corrected here when a sensor refuses them.
_SETUP_1420 = (
    (b"OUTREDUCEDEVICE NONE\n", _NEEDED),
    (b"OUTADD_RS422 NONE\n", _NEEDED),
    (b"OUTHOLD NONE\n", _NEEDED),
    (b"MASTERMV NONE\n", _NEEDED),
    (b"TRIGGER NONE\n", _WISHED),
    (b"AVERAGE NONE\n", _WISHED),
)
_SETUP_1900 = (
    (b"OUTREDUCEDEVICE NONE\n", _NEEDED),
    (b"OUTADD_RS422 NONE\n", _NEEDED),
    (b"OUTHOLD NONE\n", _WISHED),
    (b"TRIGGER NONE\n", _WISHED),
    (b"AVERAGE NONE\n", _WISHED),
)
# Not confirmed by a manual of the 1900 at hand: names as with the optoNCDT 2300.
_SYNC_1900 = {
    "free": b"SYNC NONE\n",
    "master": b"SYNC MASTER\n",
    "slave": b"SYNC SLAVE\n",
    "master_alternating": b"SYNC MASTER_ALT\n",
    "slave_alternating": b"SYNC SLAVE_ALT\n",
}

# Index = config word laser_model: append only. The first one is the standard head's.
MODELS = (
    Model("1900", 2),
    Model("1900", 10),
    Model("1900", 25),
    Model("1900", 50),
    Model("1420", 10),
    Model("1420", 25),
    Model("1420", 50),
    Model("1420", 100),
)

_PROMPT = b"->"
_REPLY = const(400)  # bytes of the longest reply, GETINFO, with room
_REPLY_US = const(300_000)  # a reply takes milliseconds
_FIRST_US = const(100_000)  # of OUTPUT NONE
_QUIET_US = const(5_000)  # after OUTPUT NONE: the rest of the stream runs out
_ATTEMPTS = const(4)  # of OUTPUT NONE
_RETRY_US = const(1_000_000)  # between two dialogues when one has failed
_SCAN_US = const(60_000)  # command and reply at the slowest baud rate
# Where a laser may have been left; 921600 is how it leaves the factory. An array, because the ints
# of a frozen tuple are objects: computing with one allocates.
_BAUDS = array(
    "i", (115_200, 1_000_000, 691_200, 460_800, 256_000, 230_400, 56_000, 19_200, 9_600)
)

# States of the dialogue
_OFF = const(0)  # begin() was not yet called
_SEND = const(1)
_RECEIVE = const(2)
_QUIET = const(3)
_STREAM = const(4)
_FAILED = const(5)  # waits for the next try
_SCAN = const(6)  # asks at another baud rate
_MOVE = const(7)  # has told the laser to use ours


@micropython.viper
def _keep_text(reply: ptr8, n: int, data: ptr8, count: int) -> int:
    """Append `count` bytes to `reply`, without the distances among them; return the new length.

    The third byte of a distance is the only one with its top bit set: it goes, and the two before
    it. A full reply keeps its beginning and its last two bytes.
    """
    for i in range(count):
        byte = data[i]
        if byte & 0x80:
            n -= 2
            if n < 0:
                n = 0
        elif n < _REPLY:
            reply[n] = byte
            n += 1
        else:
            reply[_REPLY - 2] = reply[_REPLY - 1]
            reply[_REPLY - 1] = byte
    return n


@micropython.viper
def _find(reply: ptr8, n: int, text: ptr8, length: int, start: int) -> int:
    """Return the index behind the first `text` in reply[start:n], or -1."""
    at = start
    while at + length <= n:
        same = 0
        while same < length and reply[at + same] == text[same]:
            same += 1
        if same == length:
            return at + length
        at += 1
    return -1


@micropython.viper
def _error_in(reply: ptr8, n: int) -> int:
    """Return xxx of the first error 'Exxx' that begins a word, or -1."""
    at = 0
    while at + 4 <= n:
        if reply[at] == 0x45 and (at == 0 or reply[at - 1] <= 0x20):
            number = 0
            digits = 0
            while digits < 3:
                digit = reply[at + 1 + digits] - 0x30
                if digit < 0 or digit > 9:
                    break
                number = number * 10 + digit
                digits += 1
            if digits == 3:
                return number
        at += 1
    return -1


@micropython.viper
def _thousandths(reply: ptr8, n: int, start: int) -> int:
    """Return 1000 times the decimal number behind `start` and blanks, or -1 when there is none."""
    at = start
    while at < n and reply[at] == 0x20:
        at += 1
    value = 0
    places = -1  # decimal places seen, -1 before the point
    digits = 0
    while at < n:
        digit = reply[at] - 0x30
        if digit == -2 and places < 0:  # the point
            places = 0
        elif digit < 0 or digit > 9 or value > 10_000_000:
            break
        elif places < 3:
            value = value * 10 + digit
            digits += 1
            if places >= 0:
                places += 1
        at += 1
    if digits == 0:
        return -1
    if places < 0:
        places = 0
    while places < 3:
        value *= 10
        places += 1
    return value


@micropython.viper
def _whole(reply: ptr8, n: int, start: int) -> int:
    """Return the number of at most 9 digits behind `start` and blanks; 0 when there is none."""
    at = start
    while at < n and reply[at] == 0x20:
        at += 1
    value = 0
    while at < n and value < 100_000_000:
        digit = reply[at] - 0x30
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        at += 1
    return value


class Laser:
    """One laser on `stream` (see `gauge.hw`); `name` is its place in the head, for messages."""

    def __init__(self, stream, model, name):
        self.stream = stream
        self.model = model
        self.name = name
        self.refused = 0  # commands that were wished for and answered with an error
        self.serial = 0  # its serial number, below 2**30
        self.code = drivers.NOT_READY  # what poll() returned last
        self._steps = ()
        self._rate_hz = 0
        self._state = _OFF
        self._step = 0
        self._attempts = 0
        self._scan = 0  # index of the next baud rate to ask at
        self._since = 0  # ticks of the beginning of the state
        self._error = -1  # number of the error reply
        self._reply = bytearray(_REPLY)
        self._n = 0
        self._chunk = bytearray(64)

    def configure(self, rate_hz, role=None):
        """Choose measuring rate and part in the synchronisation; takes effect with begin().

        `role` is a key of the model's `sync`, or None to leave its synchronisation alone. Raises
        ValueError with the legal values.
        """
        model = self.model
        model.check_rate(rate_hz)
        if role is not None and role not in model.sync:
            raise ValueError(
                "optoNCDT %s has no role %s; legal: %s"
                % (model.name, role, ", ".join(sorted(model.sync)) or "None")
            )
        self._rate_hz = rate_hz
        self._home = ("BAUDRATE %d\n" % getattr(self.stream, "baud", 921_600)).encode()
        khz = "%d.%03d" % (rate_hz // 1000, rate_hz % 1000)
        steps = [(b"OUTPUT NONE\n", _FIRST), (b"GETINFO\n", _INFO)]
        steps.extend(model.setup)
        steps.append((("MEASRATE %s\n" % khz.rstrip("0").rstrip(".")).encode(), _NEEDED))
        steps.append((b"MEASRATE\n", _RATE))
        if role is not None:
            steps.append((model.sync[role], _NEEDED))
        steps.append((b"OUTPUT RS422\n", _START))
        self._steps = tuple(steps)

    @property
    def streaming(self):
        """Whether the laser is set up and its distances are being stamped."""
        return self._state == _STREAM

    @property
    def fault(self):
        """What the last dialogue failed with, for people; None when it did not."""
        if not drivers.is_fault(self.code):
            return None
        return self._text()

    def begin(self, now):
        """Start the dialogue anew at `now` (ticks). No allocation."""
        self.stream.stop()
        self.code = drivers.NOT_READY
        self.refused = 0
        self._attempts = 0
        self._scan = 0
        self._go(_SEND, 0, now)

    def poll(self, now):
        """Lead the dialogue on: NOT_READY under way, 0 streaming, or the fault of the last one.

        After a fault a new dialogue begins by itself a second later; the fault is returned until
        one succeeds. Takes less than 1 ms, waits for nothing. No allocation.
        """
        state = self._state
        if state == _STREAM or state == _OFF:
            return self.code
        elapsed = drivers.ticks_diff(now, self._since)
        if state == _SEND:
            self._send(now)
        elif state == _RECEIVE:
            self._receive(now, elapsed)
        elif state == _QUIET:
            if elapsed < 0 or elapsed >= _QUIET_US:
                self._go(_SEND, self._step + 1, now)
        elif state == _SCAN or state == _MOVE:
            self._drain()
            if elapsed < 0 or elapsed >= _SCAN_US:
                self._look(now)
        elif elapsed < 0 or elapsed >= _RETRY_US:  # failed
            self._attempts = 0
            self._scan = 0
            self.refused = 0
            self._go(_SEND, 0, now)
        return self.code

    def run(self, ticks_us, sleep_ms, timeout_us=5_000_000):
        """Lead one whole dialogue, waiting; for the start. Raises DriverError when it fails."""
        start = ticks_us()
        self.begin(start)
        while self.code == drivers.NOT_READY:
            now = ticks_us()
            if drivers.ticks_diff(now, start) > timeout_us:
                raise DriverError("laser %s: its dialogue did not end in time" % self.name)
            self.poll(now)
            sleep_ms(1)
        if self.code != 0:
            raise DriverError(self._text())

    # -- the dialogue

    def _go(self, state, step, now):
        self._state = state
        self._step = step
        self._since = now
        if state == _SEND:
            self._n = 0

    def _fail(self, code, now):
        self.code = code
        self._go(_FAILED, self._step, now)

    def _drain(self):
        """Take what has come; leave the text of it in the reply."""
        chunk = self._chunk
        for _ in range(6):  # bounds the time; more comes with the next poll
            count = self.stream.read(chunk)
            if count == 0:
                break
            self._n = _keep_text(self._reply, self._n, chunk, count)

    def _send(self, now):
        self.stream.stop()  # drops late answers and the rest of a stream
        if self.stream.write(self._steps[self._step][0]):
            self._go(_RECEIVE, self._step, now)
        elif not 0 <= drivers.ticks_diff(now, self._since) < _REPLY_US:
            self._fail(drivers.NO_ANSWER, now)

    def _receive(self, now, elapsed):
        self._drain()
        kind = self._steps[self._step][1]
        reply = self._reply
        n = self._n
        if _find(reply, n, _PROMPT, 2, 0) < 0:
            if not 0 <= elapsed < (_FIRST_US if kind == _FIRST else _REPLY_US):
                self._try_again(drivers.NO_ANSWER, kind, now)
            return
        self._error = _error_in(reply, n) if kind != _INFO else -1
        if self._error >= 0:
            if kind != _WISHED:
                self._try_again(drivers.REFUSED, kind, now)
                return
            self.refused += 1
        if kind == _FIRST:
            self._go(_QUIET, self._step, now)
        elif kind == _INFO and not self._is_model():
            self._fail(drivers.WRONG_CHIP, now)
        elif kind == _RATE and not self._is_rate():
            self._fail(drivers.REFUSED, now)
        elif kind == _START:
            self.code = 0
            self._go(_STREAM, self._step, now)
            self.stream.start()
        else:
            self._go(_SEND, self._step + 1, now)

    def _try_again(self, code, kind, now):
        """Only the first command is repeated: what came before it on the line is unknown."""
        self._attempts += 1
        if kind == _FIRST and self._attempts < _ATTEMPTS:
            self._go(_SEND, 0, now)
        elif kind == _FIRST and self._scan == 0 and hasattr(self.stream, "set_baud"):
            self._ask(now)
        else:
            self._fail(code, now)

    def _ask(self, now):
        """Stop the laser at the next baud rate, if it is there."""
        if self._scan == len(_BAUDS):
            self.stream.set_baud(self.stream.baud)
            self._fail(drivers.NO_ANSWER, now)
            return
        self.stream.set_baud(_BAUDS[self._scan])
        self._scan += 1
        self._n = 0
        self.stream.stop()
        self.stream.write(self._steps[0][0])
        self._go(_SCAN, 0, now)

    def _look(self, now):
        """See whether it has answered there; then bring it to ours."""
        if self._state == _MOVE:
            self.stream.set_baud(self.stream.baud)
            self._attempts = 0
            self._go(_SEND, 0, now)
            return
        if _find(self._reply, self._n, _PROMPT, 2, 0) < 0:
            self._ask(now)
        else:
            self.stream.write(self._home)
            self._go(_MOVE, 0, now)

    def _is_model(self):
        reply, n, model = self._reply, self._n, self.model
        at = _find(reply, n, b"Name:", 5, 0)
        if at < 0:
            return False
        end = _find(reply, n, b"\n", 1, at)
        if _find(reply, end if end > 0 else n, model.ident, len(model.ident), at) < 0:
            return False
        serial = _find(reply, n, b"Serial:", 7, 0)
        self.serial = _whole(reply, n, serial) if serial > 0 else 0
        at = _find(reply, n, b"ange:", 5, at)
        return at >= 0 and _thousandths(reply, n, at) == model.range_mm * 1000

    def _is_rate(self):
        at = _find(self._reply, self._n, b"MEASRATE ", 9, 0)
        # an echo of the question has no number behind it
        return at >= 0 and _thousandths(self._reply, self._n, at) == self._rate_hz

    def _text(self):
        """What went wrong, with the probable cause."""
        step = self._steps[self._step] if self._steps else (b"", _FIRST)
        command = step[0].strip().decode()
        head = "laser %s (optoNCDT %s): " % (self.name, self.model.name)
        if self.code == drivers.NO_ANSWER:
            if step[1] == _FIRST:
                return head + (
                    "no answer: check its 24 V, both wire pairs (TX+/TX- and RX+/RX- swapped?)"
                    " and that its baud rate is 921600"
                )
            return head + "no answer to %s: check the wire pair from board to laser" % command
        # replies of an unknown device are shown with what can be printed
        seen = "".join([chr(b) if 32 <= b < 127 else " " for b in self._reply[: self._n]])
        seen = " ".join(seen.split())[:120]
        if self.code == drivers.WRONG_CHIP:
            return head + (
                "another sensor answers: %s; connect a %s, or correct the head's laser model"
                % (seen, self.model.name)
            )
        if step[1] == _RATE:
            return head + "the rate of %d Hz was not taken: %s" % (self._rate_hz, seen)
        return head + "%s was refused: %s" % (command, seen)
