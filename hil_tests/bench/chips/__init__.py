"""The chips of the instrument at register and byte level, one file a chip.

Each takes its clock, the world it looks at and its part of the scenario, and knows nothing of the
board or the target. See `porogauge_bench.instruments` for how they are tied together.
"""
