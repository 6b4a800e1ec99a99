"""The self-test: what the board can find out about itself while it starts, and its sensors' first
readings (lists: `gauge.health`).

A board whose memory or arithmetic fails must not measure: the application then takes no
configuration. Everything else is told, and flagged where it matters.

    >>> test = SelfTest()
    >>> test.run(hardware)
    >>> test.passed()
    True
"""

from binascii import crc32

import micropython

from gauge import health
from gauge.kernels import isqrt, muldiv, per_kelvin

_WAITING, _PASSED, _FAILED, _ABSENT = range(len(health.SELF_TEST_RESULTS))


@micropython.viper
def _bad_words(buf: ptr32, n: int) -> int:
    """Write two patterns that differ from word to word, one the other's complement; count errors.

    Leaves zeros.
    """
    bad = 0
    flip = 0
    for _ in range(2):
        for i in range(n):
            buf[i] = (i * 0x01010101) ^ flip ^ 0x1A5A5A5A
        for i in range(n):
            if buf[i] != (i * 0x01010101) ^ flip ^ 0x1A5A5A5A:
                bad += 1
        flip = -1
    for i in range(n):
        buf[i] = 0
    return bad


class SelfTest:
    """`words`: an index into health.SELF_TEST_RESULTS for each of health.SELF_TEST_NAMES."""

    def __init__(self):
        self.words = health.new(health.SELF_TEST_NAMES)
        self._texts = [""] * len(self.words)

    def note(self, test, good, text=""):
        """Enter a result; `text` says what to do when it is not good."""
        self.words[test] = _PASSED if good else _FAILED
        self._texts[test] = "" if good else text

    def note_absent(self, test):
        """This board has nothing to test there."""
        self.words[test] = _ABSENT

    def try_memory(self, buf):
        """Test the memory of a buffer, whose content is lost: all of it but the last 3 bytes."""
        good = _bad_words(buf, len(buf) // 4) == 0
        self.note(health.SELF_TEST_MEMORY, good, "memory does not keep its content")

    def run(self, hardware):
        """All that needs no more than the hardware; outputs off and still."""
        good = (
            muldiv(-1_000_000, 12_050, 25_000, 6) == -482_000
            and isqrt(1_073_676_289) == 32_767
            and per_kelvin(9_600, 1_500) == 14_400
            and crc32(b"123456789") == 0xCBF43926
        )
        self.note(health.SELF_TEST_ARITHMETIC, good, "arithmetic is wrong")
        stored = hardware.store.read("boot.id") or b""
        good = stored.split()[:1] == [b"%d" % hardware.boot_id()]
        self.note(health.SELF_TEST_STORAGE, good, "files cannot be written: flash full or worn")
        on = hardware.outputs.any_on()
        self.note(health.SELF_TEST_OUTPUTS, not on, "an output is high that should be low")
        inputs = hardware.inputs
        closed = inputs.standardise() or inputs.acknowledge()
        self.note(health.SELF_TEST_INPUTS, not closed, "a contact was closed at the start")
        free = hardware.free_i2c()
        self.note(health.SELF_TEST_BUS, free, "SDA or SCL is held low")

    def look_at_sensors(self, head, climate):
        """Take in whether each sensor reads now; one that has done so once has passed."""
        self._look(health.SELF_TEST_CAPACITANCE, head.capacitance.fault, head.capacitance.why())
        self._look(health.SELF_TEST_CLIMATE, climate.fault, climate.why())
        self._look(health.SELF_TEST_LASER_A, not head.a.streaming, head.a.text)
        self._look(health.SELF_TEST_LASER_B, not head.b.streaming, head.b.text)

    def _look(self, test, fault, text):
        if self.words[test] != _PASSED and (text or not fault):
            self.note(test, not fault, text)

    def may_measure(self):
        """Whether numbers can be trusted as far as the board itself goes."""
        words = self.words
        return (
            words[health.SELF_TEST_MEMORY] != _FAILED
            and words[health.SELF_TEST_ARITHMETIC] != _FAILED
        )

    def passed(self):
        """Whether all that concerns the board itself has been tested and is well."""
        for index in range(health.SELF_TEST_OF_BOARD):
            word = self.words[index]
            if word == _WAITING or word == _FAILED:
                return False
        return True

    def failed(self):
        """Return a bit for each failed test."""
        mask = 0
        words = self.words
        for index in range(len(words)):
            if words[index] == _FAILED:
                mask |= 1 << index
        return mask

    def why(self):
        """Return what failed, for people; empty: nothing."""
        names = health.SELF_TEST_NAMES
        return "; ".join(
            ["%s: %s" % (names[i], text) for i, text in enumerate(self._texts) if text]
        )
