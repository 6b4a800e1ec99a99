"""porogauge on an ESP32 (ESP32-WROOM-32 development board): pins, buses and limits.

Same names as in ../POROGAUGE_RP2040/board.py, read by `gauge.hw.esp32`. Written for a stock
MicroPython image; compiled in the tests for xtensawin (ESP32, S2, S3) and rv32imc (C3, C6),
not run on silicon here. Pins 6..11 (flash), 0, 2, 5, 12, 15 (boot straps) stay free.
"""

NAME = "POROGAUGE_ESP32"

# I2C: AD7746 and SHT4x on one bus; external pull-ups of 4.7 kOhm
I2C_ID = 0
PIN_I2C_SDA = 21
PIN_I2C_SCL = 22
I2C_HZ = 400_000
I2C_TIMEOUT_US = 2_000

CAP_ADDRESS = 0x48
CAP_CHANNEL = 1
CAP_EXCITATION = "A"
PIN_READY = 23  # AD7746 /RDY, low when a conversion has ended

CLIMATE_ADDRESS = 0x44

# Laser displacement sensors A and B, RS-422 through receivers
LASER_A_UART = 1
PIN_LASER_A_TX = 25
PIN_LASER_A_RX = 26
LASER_B_UART = 2
PIN_LASER_B_TX = 17
PIN_LASER_B_RX = 16
LASER_BAUD = 921_600
LASER_RING = 4096

# Web encoder, counted by a PCNT unit where the image has machine.Encoder (1.26 and later)
PIN_ENCODER_A = 18
PIN_ENCODER_B = 19
ENCODER_MACHINE = 0  # PCNT unit
ENCODER_HZ = 0  # not used

# Outputs, active high
PIN_GOOD = 27
PIN_MARKER = 14
PIN_HEARTBEAT = 13
PIN_LED = None

# Inputs: contacts or open collectors to ground, internal pull-ups
PIN_STANDARDISE = 32
PIN_ACKNOWLEDGE = 33
PIN_SERVICE = 4
INPUT_ACTIVE = 0

# The USB plug of the development board is a bridge to UART 0, which is also the REPL: the link
# runs over it. A chip with USB of its own (S2, S3) has UART 0 free: name its id here.
LINK_USB = "console"  # "second" on chips with USB of their own, see the RP2040's board file
CONSOLE_BAUD = 921_600  # of the bridge while the link is open; None: leave it as it is
LINK_UART = None
PIN_LINK_TX = 1
PIN_LINK_RX = 3
LINK_BAUD = 921_600
LINK_UART_RING = 2048

LINK_RING_BYTES = 104 * 1024  # or what room there is; memory for records not yet acknowledged

# The journal in flash: so many sectors of 4096 bytes of the data partition "journal", where the
# partition table has one. Full records are written while no host is there, as long as so many
# erased ones are left for everything else.
JOURNAL_SECTORS = 192
JOURNAL_RESERVE = 32

WATCHDOG_MS = 3_000
