// porogauge on a Raspberry Pi Pico: RP2040, 2 MiB of flash.

#define MICROPY_HW_BOARD_NAME               "porogauge RP2040"
#define MICROPY_HW_USB_PRODUCT_FS_STRING    "porogauge"

// Flash map: firmware in the first 640 KiB; from 0xA0000 on, where the stock Pico has its file
// system, ours (160 blocks of 4096, _boot.py) and behind it the journal (192).
#define MICROPY_HW_FLASH_STORAGE_BYTES      (1408 * 1024)

// Room for several record frames, so that a write of one seldom meets a full buffer.
#define CFG_TUD_CDC_TX_BUFSIZE              (2048)

// Places of the cache of name look-ups. The stock 128, of which every other one is used, are too
// few for the names of a window: 4 % of the CPU.
#define MICROPY_OPT_MAP_LOOKUP_CACHE_SIZE   (2048)
