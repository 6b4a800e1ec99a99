"""A UART made of two PIO state machines, as a transport of the link: 8N1, up to 921600 baud.

The lasers use both UARTs of the RP2040. Bytes go through rings in memory by DMA in both
directions: no interrupts, no waiting. A character with a broken stop bit is dropped.

Programs after the uart_tx and uart_rx examples of the RP2040 data sheet (3.6.3, 3.6.4): eight
cycles of the state machine per bit.
"""

import board
import rp2
import uctypes
from machine import Pin

from gauge.hw import rp2_dma

_PIO = 0x50200000
_ENDLESS = 0xFFFFFFFF  # bytes of one reception: 13 hours without a pause


# fmt: off
@rp2.asm_pio(sideset_init=rp2.PIO.OUT_HIGH, out_init=rp2.PIO.OUT_HIGH,
             out_shiftdir=rp2.PIO.SHIFT_RIGHT)
def _send():
    pull()          .side(1) [7]  # noqa: F821  stop bit, or idle while nothing is to be sent
    set(x, 7)       .side(0) [7]  # noqa: F821  start bit
    label("bit")                  # noqa: F821
    out(pins, 1)                  # noqa: F821
    jmp(x_dec, "bit")        [6]  # noqa: F821


@rp2.asm_pio(in_shiftdir=rp2.PIO.SHIFT_RIGHT)
def _receive():
    label("start")                # noqa: F821
    wait(0, pin, 0)               # noqa: F821  start bit
    set(x, 7)               [10]  # noqa: F821  to the middle of the first data bit
    label("bit")                  # noqa: F821
    in_(pins, 1)                  # noqa: F821
    jmp(x_dec, "bit")        [6]  # noqa: F821
    jmp(pin, "good")              # noqa: F821  stop bit
    wait(1, pin, 0)               # noqa: F821  broken: wait for an idle line
    jmp("start")                  # noqa: F821
    label("good")                 # noqa: F821
    push(noblock)                 # noqa: F821
# fmt: on


class PIOUART:
    """The link's UART on the board's pins; see `gauge.hw` for its methods."""

    def __init__(self):
        size = board.LINK_UART_RING
        if size < 256 or size & (size - 1) or size > 32768:
            raise ValueError("LINK_UART_RING is %d, not a power of two within 256..32768" % size)
        bits = len(bin(size)) - 3
        self._mask = size - 1
        owner, first = rp2_dma.aligned(size, 2)
        self._owner = owner
        address = uctypes.addressof(owner) + 4 * first
        self._rx_ring = uctypes.bytearray_at(address, size)
        self._tx_ring = uctypes.bytearray_at(address + size, size)
        self._rx_tail = 0
        self._tx_head = 0
        rx = Pin(board.PIN_LINK_RX, Pin.IN, Pin.PULL_UP)
        tx = Pin(board.PIN_LINK_TX, Pin.OUT, value=1)
        hz = 8 * board.LINK_BAUD
        tx_id, rx_id = board.LINK_TX_MACHINE, board.LINK_RX_MACHINE
        self._tx_machine = rp2.StateMachine(tx_id, _send, freq=hz, sideset_base=tx, out_base=tx)
        self._rx_machine = rp2.StateMachine(rx_id, _receive, freq=hz, in_base=rx, jmp_pin=rx)
        self._rx = rp2.DMA()
        self._tx = rp2.DMA()
        self._rx_channel = self._rx.channel
        self._tx_channel = self._tx.channel
        # a received character is in the upper 8 bits of its word
        self._rx.config(
            read=_PIO + 0x100000 * (rx_id >> 2) + 0x20 + 4 * (rx_id & 3) + 3,
            write=address,
            count=_ENDLESS,
            ctrl=self._rx.pack_ctrl(
                size=0,
                inc_read=False,
                ring_size=bits,
                ring_sel=True,
                treq_sel=(rx_id >> 2 << 3) + (rx_id & 3) + 4,
            ),
            trigger=True,
        )
        self._tx.config(
            read=address + size,
            write=_PIO + 0x100000 * (tx_id >> 2) + 0x10 + 4 * (tx_id & 3),
            count=0,
            ctrl=self._tx.pack_ctrl(
                size=0,
                inc_write=False,
                ring_size=bits,
                ring_sel=False,
                treq_sel=(tx_id >> 2 << 3) + (tx_id & 3),
            ),
            trigger=False,
        )
        self._tx_machine.active(1)
        self._rx_machine.active(1)

    def open(self):
        """Nothing to do: no REPL is on this line."""

    def close(self):
        """Nothing to do."""

    def write(self, buf, n, start=0):
        """Take as much of buf[start:start + n] as the ring has room for; return how much."""
        mask = self._mask
        head = self._tx_head
        room = (rp2_dma.read_index(self._tx_channel, mask) - head - 1) & mask
        if n > room:
            n = room
        rp2_dma.to_ring(self._tx_ring, head, n, mask, buf, start)
        self._tx_head = (head + n) & mask
        self._send_on()
        return n

    def readinto(self, buf):
        """Take what has come, at most len(buf) bytes; return how many."""
        self._send_on()
        if not rp2_dma.busy(self._rx_channel):
            self._rx.active(1)
        mask = self._mask
        tail = self._rx_tail
        n = (rp2_dma.write_index(self._rx_channel, mask) - tail) & mask
        if n > len(buf):
            n = len(buf)
        if n:
            rp2_dma.from_ring(self._rx_ring, tail, n, mask, buf)
            self._rx_tail = (tail + n) & mask
        return n

    def _send_on(self):
        """Give the transmitter what has been put into the ring since it was started last."""
        channel = self._tx_channel
        if not rp2_dma.busy(channel):
            n = (self._tx_head - rp2_dma.read_index(channel, self._mask)) & self._mask
            if n:
                rp2_dma.go(channel, n)
