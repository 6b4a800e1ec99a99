"""What a command carries and how it is answered, and the transfer of a configuration (pure).

def handle(op, request, reply):
    if op == protocol.ACKNOWLEDGE:
        judge.acknowledge(request.word(0))
        reply.word(judge.latched)
        return protocol.OK
    return protocol.UNKNOWN
"""

from binascii import crc32

from gauge.link import codec, protocol

REPLY_BYTES = 240  # longest payload of a reply


class Request:
    """Payload of the request that is being handled; valid until the handler returns."""

    def __init__(self):
        self._buf = None
        self._start = 0
        self._end = 0

    def set(self, buf, start, end):
        self._buf = buf
        self._start = start
        self._end = end

    @property
    def n_words(self):
        return (self._end - self._start) >> 2

    def word(self, index):
        """Return the signed word `index` of the payload; ValueError when it is not there."""
        if not 0 <= index < self.n_words:
            raise ValueError("request has %d words, word %d is missing" % (self.n_words, index))
        return codec.get_i(self._buf, self._start + 4 * index)

    def data(self, start=0):
        """Return a copy of the payload's bytes from `start` on (allocates)."""
        return bytes(self._buf[self._start + start : self._end])


class Reply:
    """Payload of an answer, written front to back; what exceeds REPLY_BYTES is left out."""

    def __init__(self):
        self._buf = None
        self._at = 0
        self._limit = 0

    def set(self, buf, at):
        self._buf = buf
        self._at = at
        self._limit = at + REPLY_BYTES

    @property
    def end(self):
        return self._at

    def word(self, value):
        """Append a signed 32-bit word."""
        if self._at + 4 <= self._limit:
            self._at = codec.put_i(self._buf, self._at, value)

    def words(self, values, n, first=0):
        """Append the words of an array from `first` to `n`, excluded, as many as there is room."""
        n = max(0, min(n - first, (self._limit - self._at) >> 2))
        # in one call: one for each of them would take milliseconds of a round
        self._at = codec.put_words(self._buf, self._at, values, first, n)

    def data(self, data, start=0, n=None):
        """Append bytes: `n` of them from index `start` on, all by default."""
        if n is None:
            n = len(data) - start
        n = min(n, self._limit - self._at)
        self._at = codec.put_bytes(self._buf, self._at, data, start, n)

    def text(self, text):
        """Append a text: why a status is not OK."""
        self.data(text.encode())


class ConfigTransfer:
    """Takes a configuration blob in chunks, and gives back the one in force.

    `size` is the longest blob in bytes; `current()` returns the blob in force, or None;
    `commit(blob)` checks, stores and uses a blob: it returns None when all is well, or the text
    of a refusal (a measurement in a state that forbids it, say), and raises ValueError when the
    blob is illegal and OSError when it could not be stored.
    """

    OPERATIONS = (protocol.CONFIG_WRITE, protocol.CONFIG_COMMIT, protocol.CONFIG_READ)

    def __init__(self, size, current, commit):
        self._buf = bytearray(size)
        self._current = current
        self._commit = commit

    def handle(self, op, request, reply):
        """Do one of OPERATIONS; return the status."""
        first = request.word(0)
        if op == protocol.CONFIG_READ:
            blob = self._current() or b""
            n = request.word(1)
            if first < 0 or n < 0:
                raise ValueError("offset and count are 0 or more")
            reply.word(len(blob))
            first = min(first, len(blob))  # no sum of two words: it could leave 32 bits
            reply.data(blob, first, min(n, len(blob) - first))
            return protocol.OK
        if op == protocol.CONFIG_WRITE:
            chunk = request.data(4)
            if first < 0 or first + len(chunk) > len(self._buf):
                raise ValueError("configuration is longer than %d bytes" % len(self._buf))
            self._buf[first : first + len(chunk)] = chunk
            return protocol.OK
        if not 0 <= first <= len(self._buf):
            raise ValueError("configuration is longer than %d bytes" % len(self._buf))
        blob = bytes(self._buf[:first])
        if crc32(blob).to_bytes(4, "little") != request.data(4):
            raise ValueError("configuration arrived damaged: write it again")
        refusal = self._commit(blob)
        if refusal:
            reply.text(refusal)
            return protocol.REFUSED
        return protocol.OK
