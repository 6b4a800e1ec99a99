"""The board files are complete, without conflicts, and wired as boards/README.md says."""

import re
import runpy
from pathlib import Path

import pytest

BOARDS = Path(__file__).resolve().parents[2] / "boards"
NAMES = ("POROGAUGE_RP2040", "POROGAUGE_ESP32")


def load(name):
    values = runpy.run_path(str(BOARDS / name / "board.py"))
    return {key: value for key, value in values.items() if key.isupper()}


@pytest.fixture(params=NAMES)
def board(request):
    return load(request.param)


def test_boards_have_the_same_names():
    first, second = (set(load(name)) for name in NAMES)
    only_rp2040 = {"LINK_TX_MACHINE", "LINK_RX_MACHINE"}
    assert first - only_rp2040 == second - {"CONSOLE_BAUD"}


def test_name_is_the_folder():
    assert [load(name)["NAME"] for name in NAMES] == list(NAMES)


def test_no_pin_is_used_twice(board):
    pins = {key: value for key, value in board.items() if key.startswith("PIN_")}
    used = [pin for pin in pins.values() if pin is not None]
    assert len(set(used)) == len(used)


def test_limits(board):
    assert board["LASER_RING"] >= 4096 and board["LASER_RING"] & (board["LASER_RING"] - 1) == 0
    assert board["I2C_HZ"] <= 400_000 and 1000 <= board["WATCHDOG_MS"] <= 8388
    assert board["LASER_A_UART"] != board["LASER_B_UART"]


def test_rp2040_blocks_reach_their_pins():
    board = load("POROGAUGE_RP2040")
    # RP2040 data sheet, table of GPIO functions
    assert board["PIN_I2C_SDA"] % 4 == 2 * board["I2C_ID"]
    assert board["PIN_I2C_SCL"] == board["PIN_I2C_SDA"] + 1
    for letter in "AB":
        uart = board[f"LASER_{letter}_UART"]
        assert board[f"PIN_LASER_{letter}_TX"] in ((0, 12, 16, 28), (4, 8, 20, 24))[uart]
        assert board[f"PIN_LASER_{letter}_RX"] == board[f"PIN_LASER_{letter}_TX"] + 1
    machines = [board[key] for key in ("ENCODER_MACHINE", "LINK_TX_MACHINE", "LINK_RX_MACHINE")]
    assert len(set(machines)) == 3


def test_readme_shows_the_pins():
    board = load("POROGAUGE_RP2040")
    text = (BOARDS / "README.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d, ]+?) \| \d", text, re.MULTILINE))
    names = {
        "SDA, SCL": ("I2C_SDA", "I2C_SCL"), "/RDY": ("READY",), "good": ("GOOD",),
        "laser A TX, RX": ("LASER_A_TX", "LASER_A_RX"), "marker": ("MARKER",),
        "laser B TX, RX": ("LASER_B_TX", "LASER_B_RX"), "heartbeat": ("HEARTBEAT",),
        "encoder A, B": ("ENCODER_A", "ENCODER_B"), "standardise": ("STANDARDISE",),
        "acknowledge": ("ACKNOWLEDGE",), "link TX, RX": ("LINK_TX", "LINK_RX"),
        "service": ("SERVICE",),
    }  # fmt: skip
    assert rows == {
        row: ", ".join(str(board[f"PIN_{name}"]) for name in pins) for row, pins in names.items()
    }
    esp32 = load("POROGAUGE_ESP32")
    table = text.split("## Wiring of the ESP32 board")[1]
    rows = {
        "SDA, SCL": ("I2C_SDA", "I2C_SCL"), "/RDY": ("READY",), "service": ("SERVICE",),
        "laser A TX, RX": ("LASER_A_TX", "LASER_A_RX"),
        "laser B TX, RX": ("LASER_B_TX", "LASER_B_RX"),
        "good, marker, heartbeat": ("GOOD", "MARKER", "HEARTBEAT"),
        "standardise, acknowledge": ("STANDARDISE", "ACKNOWLEDGE"),
        "encoder A, B": ("ENCODER_A", "ENCODER_B"),
    }  # fmt: skip
    for row, pins in rows.items():
        expected = ", ".join(str(esp32[f"PIN_{name}"]) for name in pins)
        assert f"| {row} | {expected} |" in table
