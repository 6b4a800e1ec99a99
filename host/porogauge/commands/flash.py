"""`porogauge flash`."""

from __future__ import annotations

from pathlib import Path

import click

from .. import output
from . import options


@click.command()
@click.argument("image", metavar="IMAGE.uf2|IMAGE.bin", type=click.Path(dir_okay=False))
@click.option(
    "--drive",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    help="The boot drive. Default: the one found by its INFO_UF2.TXT.",
)
@options.port_option
@click.option("--erase", is_flag=True, help="ESP32: erase the whole flash first, settings too.")
@click.option(
    "--timeout",
    type=options.Number(1, 600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the boot drive, and for the board to start.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and write nothing.")
@options.key_option
@options.json_option
def flash(
    image: str, drive: str | None, port: str | None, erase: bool, timeout: float, dry_run: bool
) -> None:
    """Put a firmware image on a board, checked before and after.

    RP2040: the UF2 goes to the drive that the board shows when it is plugged in with BOOTSEL
    held; with --port a running gauge is told to go there. ESP32: the .bin goes through
    esptool and is read back. The board's recipe, calibration and boot counter are files
    beside the firmware and stay.

    \b
    Examples:
      porogauge flash firmware.uf2 --dry-run
      porogauge flash firmware.uf2 --port /dev/ttyACM0
      porogauge flash esp32.bin --port /dev/ttyUSB0
    """
    if Path(image).suffix.lower() == ".bin":
        _esp32(image, port, erase, dry_run)
    else:
        _rp2040(image, drive, port, timeout, dry_run)


def _done(image: str, target: str, dry_run: bool) -> None:
    output.say(f"{image}: good; {'would go' if dry_run else 'written'} to {target}")
    output.emit("checked" if dry_run else "flashed", image=image, target=target)


def _rp2040(image: str, drive: str | None, port: str | None, timeout: float, dry: bool) -> None:
    from ..flash import find_boot_drive, read_uf2, wait_for_boot_drive, write_uf2

    checked = read_uf2(image)
    output.note(checked.text)
    if drive is not None:
        target = Path(drive)
    elif port is not None and not dry:
        from gauge.link import protocol

        from ..device import service

        service(port, protocol.BOOTLOADER)
        output.note("the gauge goes to its boot loader")
        target = wait_for_boot_drive(timeout)
    elif port is not None:
        _done(image, f"the boot drive of the board on {port}", dry)
        return
    else:
        target = find_boot_drive()
    if not dry:
        write_uf2(checked, target, timeout_s=timeout)
        if port is not None:
            from ..device import running

            output.note(f"running: {running(port, timeout)}")
    _done(image, str(target), dry)


def _esp32(image: str, port: str | None, erase: bool, dry: bool) -> None:
    from ..flash import esptool_commands, read_esp32, run_esptool
    from ..ports import find_port

    checked = read_esp32(image)
    output.note(checked.text)
    port = find_port(port)
    commands = esptool_commands(checked, port, erase)
    if dry:
        for command in commands:
            output.note("would run: " + " ".join(command[1:]))
    else:
        run_esptool(commands)
    _done(image, port, dry)
