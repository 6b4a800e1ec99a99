"""All parsers that are fuzzed, in the order in which they are."""

from .board_flash import BOARD_FLASH
from .board_link import BOARD_LINK
from .board_sensors import BOARD_SENSORS
from .host_files import HOST_FILES
from .host_kept import HOST_KEPT
from .host_link import HOST_LINK
from .host_told import HOST_TOLD
from .parser import Parser

PARSERS: tuple[type[Parser], ...] = (
    *(*BOARD_LINK, *BOARD_SENSORS, *BOARD_FLASH),
    *(*HOST_LINK, *HOST_FILES, *HOST_KEPT, *HOST_TOLD),
)
