// How long a write to USB may wait for a host that does not read; included ahead of
// mp_usbd_cdc.c alone, because the port's own header sets 500 ms without asking.
//
// A program that has switched Ctrl-C off (micropython.kbd_intr(-1), the binary link) never waits:
// a write takes what there is room for and returns that number, so that a stalled host cannot
// hold up a measurement. Everything else keeps the 500 ms, or long output would have holes. The
// REPL itself switches Ctrl-C off between programs; then no exception handler is set up, by which
// it is told apart.

#include "py/mphal.h"
#include "py/mpstate.h"
#include "shared/runtime/interrupt_char.h"

#undef MICROPY_HW_USB_CDC_TX_TIMEOUT
#define MICROPY_HW_USB_CDC_TX_TIMEOUT \
    (mp_interrupt_char < 0 && MP_STATE_THREAD(nlr_top) != NULL ? 0u : 500u)

// A cable that is pulled suspends the bus: nobody is connected then, but the buffer is full and is
// not overwritten, and the port's loop would offer it the same bytes for ever. They are dropped.

#include "tusb.h"

static inline uint32_t write_or_drop(const void *data, uint32_t n) {
    uint32_t written = tud_cdc_write(data, n);
    return written || tud_cdc_connected() ? written : n;
}

#define tud_cdc_write write_or_drop

// What was written before the port was opened leaves when the port's driver has seen 128 frames
// start; until then a full buffer would take nothing. It leaves when somebody asks for room.

static inline uint32_t room_or_flush(void) {
    uint32_t room = tud_cdc_write_available();
    if (!room) {
        tud_cdc_write_flush();
    }
    return room;
}

#define tud_cdc_write_available room_or_flush
