"""What passes over the pipe between `gauge.hw.unix` and the bench's unix target (pure constants).

The board asks, the bench answers. A request is a header (`REQUEST`: length of what follows, free
bytes in the board's receive buffers of both links) and operations one behind the other, each
`OPERATION` (code, argument, number of data bytes, value) and its data. All but the last are
notices that take no time and have no answer of their own; the last one is a call, and the answer
comes when it is done: one or more frames of `HEAD_WORDS` words and a payload, all that happened
at the board since the answer before. Integers are little-endian. Times are virtual microseconds;
computing takes none.
"""

REQUEST = "<IHH"
REQUEST_BYTES = 8
OPERATION = "<BBHi"
OPERATION_BYTES = 8

# notices
OUTPUT = 1  # argument: index of the output; value: level
LASER_SEND = 2  # argument: laser; data: command bytes
LASER_START = 3  # argument: laser; its next byte is the first of three that share a stamp
LINK_SEND = 5  # argument: link; data
LINK_OPEN = 6  # argument: link
LINK_CLOSE = 7
WATCHDOG_START = 8  # value: milliseconds; 0 stops it
WATCHDOG_FEED = 9
LASER_BAUD = 10  # argument: laser; value: baud rate of the board's end

# calls
HELLO = 32  # answer: unique id in the data, reset cause in the result
IDLE = 33  # value: microseconds at most; ends early when there is something to see
PASS = 34  # value: microseconds, in full
I2C_WRITE = 35  # argument: address; value: 1 with a stop at the end; data
I2C_READ = 36  # argument: address; value: number of bytes | STOP; answer: data
I2C_READ_REG = 37  # argument: address; value: number of bytes; data: register address
I2C_FREE = 38  # recovery of a held bus; result: 1 when it is free
RESET = 39  # never answered: the bench ends the process and starts it anew
BOOTLOADER = 40  # never answered
FLASH = 42  # value: microseconds that an operation of the flash takes
REPL = 41  # argument: 1 when the code before raised, data: its traceback; answer: path of code

STOP = 1 << 16

# words of an answer's head
NOW_US = 0  # ticks: microseconds modulo 2**30
NOW_MS = 1  # milliseconds modulo 2**30
RESULT = 2  # of the call: count, cause of a reset, or a negative error number
COUNTS = 3  # web encoder, within +-2**29
LEVELS = 4  # LEVEL_* bits
MORE = 5  # 1: another frame of the same answer follows
ERRORS_A = 6  # framing and overrun errors of laser A since the answer before
ERRORS_B = 7
USB_ROOM = 8  # bytes that a link takes now
UART_ROOM = 9
# numbers of items in the payload, in the order in which they lie there
N_READY = 10  # words: ticks of falling edges of /RDY
N_STAMPS_A = 11  # words: time of every third byte, as the timer shows it
N_STAMPS_B = 12
N_BYTES_A = 13
N_BYTES_B = 14
N_USB = 15
N_UART = 16
N_DATA = 17  # bytes of the call's answer
HEAD_WORDS = 18

LEVEL_READY = 1  # electrical level of /RDY
LEVEL_STANDARDISE = 2  # the others: active
LEVEL_ACKNOWLEDGE = 4
LEVEL_SERVICE = 8
# not wires: what the bench does to the program, once
LEVEL_HANG = 16  # it does nothing from now on
LEVEL_CRASH = 32  # it raises RuntimeError

USB, UART = 0, 1
PAYLOAD_BYTES = 8192  # of one frame at most
LINK_RX_BYTES = 4096  # board's receive buffer of a link, a power of two

CAUSES = ("power", "watchdog", "reset")

# Environment of the process
FDS = "POROGAUGE_PIPE"  # "r,w": descriptors to read answers from and write requests to
PROGRAM = "POROGAUGE_PROGRAM"  # path of a program to run instead of the gauge

FLASH_FILE = "../flash.bin"  # of the journal, beside the folder of the board's files
