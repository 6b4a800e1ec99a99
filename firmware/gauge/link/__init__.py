"""The lossless link between board and host (pure, no machine); `protocol` says what is said.

protocol  frame types, operations, names: the one list, for both sides
frame     COBS and CRC32        codec    records as batches of bytes
ring      journal of batches    port     one transport of the board
session   the board's side      commands requests, answers, transfer of a configuration
clock     time since boot out of ticks that wrap
"""
