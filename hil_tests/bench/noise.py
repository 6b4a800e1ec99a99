"""Random numbers that depend on seed, stream and index only, never on the order of calls.

    >>> noise = Noise(seed=1, stream=LASER_A)
    >>> noise.normal(1000, 1003).shape
    (3,)
    >>> bool(noise.normal(1000, 1003)[0] == noise.normal(990, 1001)[10])
    True

Each stream is a row of standard normal numbers, made in blocks of `BLOCK` by a counter-based
generator (Philox) whose key is (seed, stream) and whose counter is the number of the block.
"""

from __future__ import annotations

import numpy as np

BLOCK = 512

FILM_THICKNESS, FILM_POROSITY, LASER_A, LASER_B, CAPACITANCE, TEMPERATURE = range(1, 7)
CLIMATE, LINK_TO_HOST, LINK_TO_BOARD, UART_A, UART_B, STANDARDS, HEAD = range(7, 14)


def generator(seed: int, stream: int, block: int = 0) -> np.random.Generator:
    """Return the generator of one block of a stream."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, block, 0]))


class Noise:
    """The row of numbers of one stream."""

    def __init__(self, seed: int, stream: int):
        self.seed, self.stream = seed, stream
        self._normal: dict[int, np.ndarray] = {}
        self._uniform: dict[int, np.ndarray] = {}

    def normal(self, first: int, end: int) -> np.ndarray:
        """Standard normal numbers of indices `first` up to, but without, `end`."""
        return self._range(self._normal, first, end, 0)

    def uniform(self, first: int, end: int) -> np.ndarray:
        """The same, evenly distributed over 0..1."""
        return self._range(self._uniform, first, end, 1)

    def _range(self, blocks: dict[int, np.ndarray], first: int, end: int, kind: int):
        b0, b1 = first // BLOCK, max(first, end - 1) // BLOCK
        if b0 == b1:
            return self._block(blocks, b0, kind)[first - b0 * BLOCK : end - b0 * BLOCK]
        parts = [self._block(blocks, b, kind) for b in range(b0, b1 + 1)]
        return np.concatenate(parts)[first - b0 * BLOCK : end - b0 * BLOCK]

    def _block(self, blocks: dict[int, np.ndarray], block: int, kind: int) -> np.ndarray:
        found = blocks.get(block)
        if found is None:
            # the two kinds of one stream use different keys, so that they are independent
            made = generator(self.seed, self.stream + 1000 * kind, block)
            found = made.random(BLOCK) if kind else made.standard_normal(BLOCK)
            while len(blocks) > 3:
                del blocks[next(iter(blocks))]
            blocks[block] = found
        return found
