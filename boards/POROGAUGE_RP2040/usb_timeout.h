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
