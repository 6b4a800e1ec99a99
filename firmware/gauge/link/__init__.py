"""The lossless link between board and host: framing, ring, session (pure, no machine)."""
