"""Images are checked before they go anywhere, and boards after."""

import os
import shutil
import struct
import sys
import threading
import time

import pytest

from porogauge import flash
from porogauge.errors import DeviceError

INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: {}\r\n"


def block(number, count, address=None, size=256, family=flash.FAMILY_RP2040, flags=0x2000):
    address = 0x10000000 + 256 * number if address is None else address
    head = struct.pack("<8I", 0x0A324655, 0x9E5D5157, flags, address, size, number, count, family)
    return head + bytes(476) + struct.pack("<I", 0x0AB16F30)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "firmware.uf2"
    path.write_bytes(b"".join(block(n, 300) for n in range(300)))
    return path


@pytest.fixture
def drive(tmp_path):
    folder = tmp_path / "RPI-RP2"
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(INFO.format("RPI-RP2"))
    return folder


def test_a_good_image(image):
    found = flash.read_uf2(image)
    assert (found.start, found.end) == (0x10000000, 0x10000000 + 300 * 256)
    assert "RP2040, 75 KiB at 0x10000000" in found.text


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([], "has 0 bytes"),
        ([b"short"], "whole blocks of 512"),
        ([bytes(512)], "block 0 does not begin and end as UF2"),
        ([block(0, 1)[:-4] + bytes(4)], "block 0 does not begin and end"),
        ([block(0, 2)], "says that it is 0 of 2, the file has 1: incomplete"),
        ([block(0, 2), block(0, 2)], "block 1 says that it is 0 of 2"),
        ([block(0, 1, family=0xE48BFF59)], "family 0xe48bff59, not for the RP2040"),
        ([block(0, 1, flags=0)], "not for the RP2040"),
        ([block(0, 1, size=300)], "has 300 bytes"),
        ([block(0, 1, address=0x10000001)], "not for this chip"),
        ([block(0, 1, address=0x20000000)], "outside of the flash"),
        ([block(0, 1, address=0x10FFFF80)], "not for this chip"),
        ([block(0, 2), block(1, 2, address=0x10000000)], "two blocks are for address"),
    ],
)
def test_images_that_must_not_be_flashed(tmp_path, blocks, text):
    path = tmp_path / "bad.uf2"
    path.write_bytes(b"".join(blocks))
    with pytest.raises(flash.FlashError, match=text):
        flash.read_uf2(path)


def test_an_image_that_is_not_there(tmp_path):
    with pytest.raises(flash.FlashError, match="cannot be read"):
        flash.read_uf2(tmp_path / "none.uf2")


def test_finding_the_drive(tmp_path, drive):
    assert flash.find_boot_drive([tmp_path, drive, tmp_path / "none"]) == drive
    with pytest.raises(DeviceError, match="hold BOOTSEL"):
        flash.find_boot_drive([tmp_path])
    other = tmp_path / "RP2350"
    other.mkdir()
    (other / "INFO_UF2.TXT").write_text(INFO.format("RP2350"))
    assert flash.find_boot_drive([other, drive]) == drive
    with pytest.raises(DeviceError, match="RP2350.*another chip"):
        flash.find_boot_drive([other])
    second = shutil.copytree(drive, tmp_path / "second")
    with pytest.raises(DeviceError, match="choose one with --drive"):
        flash.find_boot_drive([drive, second])


def board_that_takes(drive, size):
    """As the boot ROM does: the drive goes away when it has the whole image."""

    def run():
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for path in drive.glob("*.uf2"):
                if path.stat().st_size == size:
                    drive.rename(drive.parent / "gone")
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_writing_an_image(image, drive):
    found = flash.read_uf2(image)
    thread = board_that_takes(drive, len(found.data))
    told = []
    flash.write_uf2(found, drive, progress=told.append, timeout_s=10)
    thread.join()
    assert told[-1] == len(found.data)
    (written,) = (drive.parent / "gone").glob("*.uf2")
    assert written.read_bytes() == found.data


def test_a_board_that_does_not_take_it(image, drive):
    with pytest.raises(DeviceError, match="did not take the image"):
        flash.write_uf2(flash.read_uf2(image), drive, timeout_s=0.2)


def test_a_folder_that_is_no_boot_drive(image, tmp_path):
    with pytest.raises(flash.FlashError, match="not a boot drive"):
        flash.write_uf2(flash.read_uf2(image), tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["firmware.uf2"]


# ---------------------------------------------------------------- ESP32


def esp32_image(path, chip):
    path.write_bytes(struct.pack("<BBBBIIH", 0xE9, 3, 0, 0, 0, 0, chip) + bytes(8192))
    return path


@pytest.mark.parametrize(
    ("chip", "name", "offset"), [(0, "esp32", "0x1000"), (9, "esp32s3", "0x0")]
)
def test_esp32_calls(tmp_path, chip, name, offset):
    found = flash.read_esp32(esp32_image(tmp_path / "a.bin", chip))
    erase, write, verify = flash.esptool_commands(found, "/dev/ttyUSB0", erase=True)
    assert erase[-1] == "erase_flash" and "write_flash" in write and "verify_flash" in verify
    for call in (write, verify):
        assert call[:3] == [sys.executable, "-m", "esptool"]
        assert call[3:7] == ["--chip", name, "--port", "/dev/ttyUSB0"]
        assert call[-2:] == [offset, str(tmp_path / "a.bin")]


def test_esp32_images_that_must_not_be_flashed(tmp_path, image):
    with pytest.raises(flash.FlashError, match="does not begin with 0xE9"):
        flash.read_esp32(image)
    with pytest.raises(flash.FlashError, match="chip number 77; known: esp32, "):
        flash.read_esp32(esp32_image(tmp_path / "a.bin", 77))


def test_the_tool_fails_or_hangs():
    with pytest.raises(flash.FlashError, match="failed; is esptool there"):
        flash.run_esptool([[sys.executable, "-c", "import sys; sys.exit(2)"]])
    with pytest.raises(flash.FlashError, match="did not end within"):
        flash.run_esptool([[sys.executable, "-c", "import time; time.sleep(60)"]], timeout_s=0.3)
