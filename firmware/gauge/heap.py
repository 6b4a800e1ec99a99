"""How much of the heap is in use, looked at when the loop can spare the time.

A look goes through every block, on an RP2040 for longer than a window lasts. So it is asked for,
and done when `takes_us` fits behind a conversion that has just been fetched.

    >>> heap = Heap()
    >>> heap.due = True  # from now on: look() when there is time
"""

import gc
import time


class Heap:
    """`used` and `free`: bytes when it was last looked at; `low`: the least that was free."""

    def __init__(self):
        self._bytes = gc.mem_alloc() + gc.mem_free()
        self.due = False
        self.used = self.free = 0
        self.low = self._bytes
        begun = time.ticks_us()
        self.look()
        self.takes_us = time.ticks_diff(time.ticks_us(), begun)

    def look(self):
        """Look at the heap now; allocates nothing."""
        self.due = False
        self.used = gc.mem_alloc()
        self.free = self._bytes - self.used
        if self.free < self.low:
            self.low = self.free
