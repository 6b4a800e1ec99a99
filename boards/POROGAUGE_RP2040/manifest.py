"""What is frozen into the RP2040 image."""

freeze("$(PORT_DIR)/modules")  # the port's own: rp2, and the mounting of the file system
include("$(MPY_DIR)/extmod/asyncio")

package("gauge", base_path="$(BOARD_DIR)/../../firmware")
module("board.py", base_path="$(BOARD_DIR)")
freeze("$(BOARD_DIR)", "main.py")
