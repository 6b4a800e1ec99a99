"""What is frozen into the RP2040 image."""

freeze("$(PORT_DIR)/modules", "rp2.py")  # of the port's own; _boot.py is ours
freeze("$(BOARD_DIR)", "_boot.py")
include("$(MPY_DIR)/extmod/asyncio")

package("gauge", base_path="$(BOARD_DIR)/../../firmware")
module("porogauge_boot.py", base_path="$(BOARD_DIR)/../../firmware")
module("board.py", base_path="$(BOARD_DIR)")
freeze("$(BOARD_DIR)", "main.py")
