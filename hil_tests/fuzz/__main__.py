"""`python hil_tests/fuzz`: run it without installing anything; see `fuzz.run`."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

from fuzz.run import main  # noqa: E402 - the path comes first

sys.exit(main())
