"""porogauge on a Raspberry Pi Pico (RP2040): pins, buses and limits. Nothing else knows a pin.

Pure constants: read by the firmware (`gauge.hw.rp2`), by the bench, which plugs its emulated
sensors into the same pins, and by the host. Wiring table and drawing: ../README.md.
"""

NAME = "POROGAUGE_RP2040"

# I2C: AD7746 and SHT4x on one bus
I2C_ID = 0
PIN_I2C_SDA = 4
PIN_I2C_SCL = 5
I2C_HZ = 400_000
I2C_TIMEOUT_US = 2_000  # for one transfer; the longest one used takes 0.3 ms

CAP_ADDRESS = 0x48
CAP_CHANNEL = 1  # CIN1; 2 is CIN2 (AD7746 only)
CAP_EXCITATION = "A"  # EXCA or EXCB drives the electrode
PIN_READY = 6  # AD7746 /RDY, low when a conversion has ended

CLIMATE_ADDRESS = 0x44  # SHT4x-AD1B; -BD1B 0x45, -CD1B 0x46

# Laser displacement sensors A (above the web) and B (below), RS-422 through receivers
LASER_A_UART = 0
PIN_LASER_A_TX = 0
PIN_LASER_A_RX = 1
LASER_B_UART = 1
PIN_LASER_B_TX = 8
PIN_LASER_B_RX = 9
LASER_BAUD = 921_600
LASER_RING = 4096  # bytes, a power of two: 340 ms of one laser at 4 kHz

# Web encoder, counted by a PIO state machine on both edges of A
PIN_ENCODER_A = 10
PIN_ENCODER_B = 11
ENCODER_MACHINE = 4  # state machine 0 of PIO 1
ENCODER_HZ = 1_000_000  # its clock: 100 000 edges of A per second are followed

# Outputs, active high
PIN_GOOD = 12  # reject relay: energised while the film is good
PIN_MARKER = 13
PIN_HEARTBEAT = 14
PIN_LED = 25  # shows the heartbeat; None: no LED

# Inputs: contacts or open collectors to ground, internal pull-ups
PIN_STANDARDISE = 16
PIN_ACKNOWLEDGE = 17
PIN_SERVICE = 22  # active while the board starts: the gauge does not run, the REPL does
INPUT_ACTIVE = 0  # electrical level of an active input

# The link over USB: "console" shares the port with the REPL; "second" asks for a port of its own,
# for which micropython-lib's usb-device-cdc must be installed (else it falls back to "console")
LINK_USB = "console"

# Second link, beside USB: a UART made of two PIO state machines, because the lasers use both
# UARTs of the chip
LINK_UART = None  # "pio" switches it on
PIN_LINK_TX = 20
PIN_LINK_RX = 21
LINK_BAUD = 921_600
LINK_TX_MACHINE = 0  # state machines of PIO 0
LINK_RX_MACHINE = 1
LINK_UART_RING = 1024  # bytes of each of its two rings, a power of two

# Memory for records that the host has not yet acknowledged: 21 s of 91 a second, 53 bytes each
LINK_RING_BYTES = 104 * 1024

# The journal in flash, behind the file system: sectors of 4096 bytes. Full records are written
# while no host is there, as long as so many erased ones are left for everything else.
JOURNAL_SECTORS = 192
JOURNAL_RESERVE = 32  # one is filled by 90 s of summaries

WATCHDOG_MS = 3_000  # at most 8388 on this chip
