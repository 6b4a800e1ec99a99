"""The host at the other end of the board's USB-CDC.

`rp2040py`'s host answers every armed OUT endpoint with an empty packet when it has nothing to
send, which drives the guest's USB interrupt at 100 kHz for ever. A real host's data stays away
and the controller answers NAK by itself. This host does so; it also gives IN packets their time
on the bus, completes them only when it has read them, can stop reading (`stall`), let go of the
port (`set_port`), and be unplugged.

Times: a bulk packet of n bytes takes 10 us + n * 0.75 us, about 1.1 MB/s at full load as on a
full-speed bus.
"""

from __future__ import annotations

from collections.abc import Callable

from rp2040py.peripherals import usb as _usb
from rp2040py.usb.cdc import USBCDC

PACKET_NS = 10_000
BYTE_NS = 750
PACKET_BYTES = 64
LINE_STATE_NS = 1_000_000


class CDCHost(USBCDC):
    """Host side of the CDC port of one controller.

    `on_data(data)` gets what the board sends. `is_open` tells that the board has been enumerated;
    from then on bytes can pass. `port_open` is whether a program has the port open (DTR).
    """

    def __init__(self, usb, clock) -> None:
        super().__init__(usb)
        self.on_data: Callable[[bytes], None] | None = None
        self.is_open = False
        self.port_open = True
        self.plugged = True
        self.stalled = False
        self._to_board = bytearray()
        self._out_size: int | None = None  # the board has armed its OUT endpoint for so many
        self._in_armed: tuple[int, int] | None = None  # buffer control offset, value
        self._in_alarm = clock.create_alarm(self._in_done)
        self._line_alarm = clock.create_alarm(self._line_state)
        self._stock_read = usb.on_endpoint_read
        self._stock_dpram = usb.dpram_updated
        self._stock_write = usb.write_uint32
        usb.on_endpoint_read = self._endpoint_read
        usb.dpram_updated = self._dpram_updated
        usb.write_uint32 = self._write_uint32
        stock_enabled = usb.on_usb_enabled

        def enabled() -> None:
            if self.plugged:
                stock_enabled()

        usb.on_usb_enabled = enabled
        self.on_device_connected = self._connected

    # -- for the target

    def send(self, data: bytes) -> None:
        """Queue bytes for the board; lost while the cable is out."""
        if not self.plugged:
            return
        self._to_board += data
        self._feed()

    def stall(self, stalled: bool) -> None:
        """Stop taking IN packets (a program that does not read), or go on."""
        self.stalled = stalled
        if not stalled:
            self._start_in()

    def set_port(self, is_open: bool) -> None:
        """Open or close the port as a terminal does: DTR and RTS, a millisecond later."""
        self.port_open = is_open
        self._line_alarm.schedule(LINE_STATE_NS)

    def _line_state(self) -> None:
        if self.is_open and self.port_open != self.dtr:
            self.set_control_lines(dtr=self.port_open, rts=self.port_open)

    def _cdc_set_control_line_state(self, value=None, interface_number=None) -> None:
        if value is None and not self.port_open:
            value = 0
        super()._cdc_set_control_line_state(value, interface_number)

    def plug(self, plugged: bool) -> None:
        """Pull the cable (the board sees suspend) or put it back (bus reset, enumeration)."""
        if plugged == self.plugged:
            return
        usb = self.usb
        self.plugged = plugged
        if plugged:
            self._forget()
            usb._sie_status &= ~_usb.SIE_SUSPENDED
            usb._int_raw &= ~_usb.INTR_DEV_SUSPEND
            if usb._main_ctrl & _usb.CONTROLLER_EN:
                usb.reset_device()
        else:
            self._forget()
            for alarm in (*usb.endpoint_read_alarms, *usb.endpoint_write_alarms):
                alarm.alarm.cancel()
                alarm.buffers = []
            usb.reset_alarm.cancel()
            usb._sie_status |= _usb.SIE_SUSPENDED
            usb._sie_status_updated()

    def _forget(self) -> None:
        self.is_open = False
        self._to_board.clear()
        self._out_size = None
        self._in_armed = None
        self._in_alarm.cancel()
        USBCDC._on_controller_reset(self)

    def _on_controller_reset(self) -> None:
        if hasattr(self, "_in_alarm"):
            self._forget()
        else:
            super()._on_controller_reset()

    def _connected(self) -> None:
        self.is_open = True

    # -- board to host

    def _dpram_updated(self, offset: int, value: int) -> None:
        endpoint = (offset - _usb.EP0_IN_BUFFER_CONTROL) >> 3
        if offset & 4 or endpoint != self._in_endpoint or endpoint <= 0:
            if self.plugged:
                self._stock_dpram(offset, value)
            return
        if value & _usb.USB_BUF_CTRL_AVAILABLE:
            self._in_armed = (offset, value)
            self._start_in()

    def _start_in(self) -> None:
        if self._in_armed is None or self.stalled or not self.plugged:
            return
        _, value = self._in_armed
        size = value & _usb.USB_BUF_CTRL_LEN_MASK
        packets = 1
        if (value >> _usb.USB_BUF1_SHIFT) & _usb.USB_BUF_CTRL_AVAILABLE:
            size += (value >> _usb.USB_BUF1_SHIFT) & _usb.USB_BUF_CTRL_LEN_MASK
            packets = 2
        self._in_alarm.schedule(packets * PACKET_NS + size * BYTE_NS)

    def _in_done(self) -> None:
        """The packet (or the pair of a double buffer) has been read by the host."""
        if self._in_armed is None or self.stalled or not self.plugged:
            return
        offset, value = self._in_armed
        self._in_armed = None
        usb, dpram = self.usb, self.usb.rp2040.usb_dpram
        endpoint = self._in_endpoint
        start = usb._get_endpoint_buffer_offset(endpoint, False)
        length = value & _usb.USB_BUF_CTRL_LEN_MASK
        data = bytes(dpram[start : start + length])
        done = _usb.USB_BUF_CTRL_AVAILABLE | _usb.USB_BUF_CTRL_FULL
        second = value >> _usb.USB_BUF1_SHIFT
        value &= ~done
        if second & _usb.USB_BUF_CTRL_AVAILABLE:
            length = second & _usb.USB_BUF_CTRL_LEN_MASK
            start += _usb.USB_BUF1_OFFSET
            data += bytes(dpram[start : start + length])
            value &= ~(done << _usb.USB_BUF1_SHIFT)
        dpram[offset : offset + 4] = value.to_bytes(4, "little")
        usb._indicate_buffer_ready(endpoint, False)
        if data and self.on_data is not None:
            self.on_data(data)

    # -- host to board

    def _endpoint_read(self, endpoint: int, size: int) -> None:
        if endpoint == self._out_endpoint and endpoint > 0:
            self._out_size = size
            self._feed()
        else:
            self._stock_read(endpoint, size)

    def _feed(self) -> None:
        if self._out_size is None or not self._to_board:
            return
        n = min(self._out_size, len(self._to_board), PACKET_BYTES)
        packet = bytes(self._to_board[:n])
        del self._to_board[:n]
        self._out_size = None
        alarm = self.usb.endpoint_read_alarms[self._out_endpoint]
        alarm.schedule(packet, PACKET_NS + n * BYTE_NS)

    # -- registers

    def _write_uint32(self, offset: int, value: int) -> None:
        usb = self.usb
        if offset == _usb.SIE_STATUS and usb.raw_write_value & _usb.SIE_SUSPENDED:
            # write-1-to-clear, which the emulator's mask leaves out: it would interrupt for ever
            usb._sie_status &= ~_usb.SIE_SUSPENDED
        self._stock_write(offset, value)
