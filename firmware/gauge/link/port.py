"""One transport of the link: what is half received, half sent, and to be answered there (pure)."""

from micropython import const

from gauge.link import frame, protocol

_TICKS = const(0x3FFFFFFF)
_STALL_US = const(5_000)  # pause after a write of which nothing was accepted, doubled up to
_STALL_MAX_US = const(80_000)


class Port:
    """Buffers of a transport (`gauge.hw`: readinto(buf) and write(buf, n), which never wait)."""

    def __init__(self, transport):
        self.transport = transport
        self.rx = bytearray(128)
        self.frame = bytearray(protocol.TO_BOARD_BYTES + 8)
        self.receiver = frame.receiver()
        self.tx = bytearray(protocol.FRAME_BYTES)
        self.tx_n = 0  # bytes of the frame that is being sent
        self.tx_bytes = 0  # accepted by the transport, mod 2**30
        self.hello = False  # HELLO is to be sent
        self.replies = 0  # bit k: answer k is to be sent
        self.role = 0  # whose key has unlocked the transport (`gauge.keys`)
        self.unlocked = 0  # ticks of the last command that needed it
        self.nonce = None  # of the challenge that is to be answered
        self._pause_us = 0  # nothing is offered for so long after `_paused`
        self._paused = 0

    def stalled(self, now):
        """Return whether the transport is left alone, because it took nothing lately."""
        return self._pause_us and (now - self._paused) & _TICKS < self._pause_us

    def flush(self, now):
        """Offer the frame in `tx` to the transport; return whether all of it was accepted."""
        n = self.tx_n
        done = self.transport.write(self.tx, n)
        self.tx_bytes = (self.tx_bytes + done) & _TICKS
        if done == n:
            self.tx_n = 0
            self._pause_us = 0
            return True
        if done:
            frame.move(self.tx, done, len(self.tx), self.tx, n - done)
            self.tx_n = n - done
            self._pause_us = 0
        else:
            self._pause_us = min(2 * self._pause_us, _STALL_MAX_US) or _STALL_US
            self._paused = now
        return False
