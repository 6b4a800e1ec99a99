"""DMA rings of the RP2040, shared by the laser streams and the PIO UART.

Registers: RP2040 data sheet, 2.5.7.
"""

from array import array

import micropython
import uctypes

FOREVER = 0x3F  # transfer request that is always there


@micropython.viper
def write_index(channel: int, mask: int) -> int:
    """Index in its ring at which a channel writes next."""
    return ptr32(int(0x50000004) + (channel << 6))[0] & mask


@micropython.viper
def read_index(channel: int, mask: int) -> int:
    """Index in its ring at which a channel reads next."""
    return ptr32(int(0x50000000) + (channel << 6))[0] & mask


@micropython.viper
def busy(channel: int) -> int:
    """1 while a channel has transfers to do."""
    return ptr32(int(0x50000010) + (channel << 6))[0] >> 24 & 1


@micropython.viper
def go(channel: int, count: int):
    """Start a channel on `count` more transfers, where it stopped."""
    ptr32(int(0x5000001C) + (channel << 6))[0] = count  # AL1_TRANS_COUNT_TRIG


@micropython.viper
def stop_pair(first: int, second: int) -> int:
    """Stop two channels that start each other; 0, or 1 when they do not end in time.

    Both are disabled and unchained before they are aborted, as erratum RP2040-E13 advises.
    """
    ctrl1 = ptr32(int(0x50000010) + (first << 6))
    ctrl2 = ptr32(int(0x50000010) + (second << 6))
    ctrl1[0] = first << 11
    ctrl2[0] = second << 11
    ptr32(int(0x50000444))[0] = 1 << first | 1 << second  # CHAN_ABORT
    tries = 1000
    while (ctrl1[0] | ctrl2[0]) & 0x1000000 and tries:  # BUSY
        tries -= 1
    return 0 if tries else 1


@micropython.viper
def from_ring(ring: ptr8, tail: int, n: int, mask: int, out: ptr8):
    """Copy `n` bytes of a ring from index `tail` on to the beginning of `out`."""
    for i in range(n):
        out[i] = ring[(tail + i) & mask]


@micropython.viper
def to_ring(ring: ptr8, head: int, n: int, mask: int, data: ptr8, start: int):
    """Copy data[start:start + n] to a ring from index `head` on."""
    for i in range(n):
        ring[(head + i) & mask] = data[start + i]


def aligned(size, rings):
    """Return memory for `rings` rings of `size` bytes as (owner, index of its first word).

    A DMA ring must begin at a multiple of its size, which the heap does not promise. The owner,
    an array of words, must be kept as long as the rings are used.
    """
    owner = array("i", bytes((rings + 1) * size))
    return owner, -uctypes.addressof(owner) % size // 4
