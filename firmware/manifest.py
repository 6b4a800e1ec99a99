"""Freeze the gauge into an image of your own: include() this file from the board's manifest.

    include("path/to/porogauge/firmware/manifest.py")
    include("path/to/porogauge/firmware/manifest.py", second_usb=True)

With `second_usb` the link gets a USB port beside the REPL's (LINK_USB = "second" in the board
file), which takes usb-device-cdc out of micropython-lib. Everything else runs without it. The
board's constants (board.py) and main.py are in boards/NAME.
"""

metadata(version="0.1.0", description="Firmware of the porogauge film gauge.")

options.defaults(second_usb=False)

package("gauge")
module("porogauge_boot.py")  # chooses the version: main.py starts with it

if options.second_usb:
    require("usb-device-cdc")
