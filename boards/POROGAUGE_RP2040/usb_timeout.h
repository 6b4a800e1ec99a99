// How long a write to USB may wait for a host that does not read; included ahead of
// mp_usbd_cdc.c alone, because the port's own header sets 500 ms without asking.
//
// While Ctrl-C is switched off (micropython.kbd_intr(-1), the binary link) a write gives up
// after 2 ms and returns short: a stalled host cannot hold up a measurement. At the REPL the
// usual 500 ms stay, or long output would arrive with holes.

#include "py/mphal.h"
#include "shared/runtime/interrupt_char.h"

#undef MICROPY_HW_USB_CDC_TX_TIMEOUT
#define MICROPY_HW_USB_CDC_TX_TIMEOUT (mp_interrupt_char < 0 ? 2u : 500u)
