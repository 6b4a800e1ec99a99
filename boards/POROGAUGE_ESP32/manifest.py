"""What is frozen into an ESP32 image; paths are relative to this folder."""

include("$(PORT_DIR)/boards/manifest.py")  # the port's own: file system, asyncio, network

package("gauge", base_path="../../firmware")
module("porogauge_boot.py", base_path="../../firmware")
module("board.py")
freeze(".", "main.py")
