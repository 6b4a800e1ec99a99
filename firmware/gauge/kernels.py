"""The arithmetic under all numbers: exact products and quotients within 31-bit integers.

A small int of MicroPython on a 32-bit board has 31 bits; a larger one, and every float, is
allocated on the heap. These kernels never form a value of 2**30 or more as long as the bound in
their docstring holds, allocate nothing, and give the same result on every port.

    >>> muldiv(1_000_000, 12_050, 25_000, 6)
    482000
    >>> isqrt(99)
    9

Method and bounds: division by digits (Horner), physics.md section 5.
"""

import micropython


@micropython.viper
def muldiv(a: int, b: int, c: int, k: int) -> int:
    """Return a * b / c rounded to the nearest integer, halves away from zero.

    `a` may be negative, b >= 0, c > 0; |a| and the result below 2**30. `k` is the number of bits
    taken at a time: c * 2**k + (2**k - 1) * b < 2**30 must hold. A larger k is faster, and so is
    the smaller factor as `a`: each k bits of it cost one division.
    """
    negative = 0
    if a < 0:
        negative = 1
        a = 0 - a
    mask = (1 << k) - 1
    shift = 0
    while (a >> shift) > mask:
        shift += k
    q = 0
    r = 0
    while shift >= 0:
        n = (r << k) + ((a >> shift) & mask) * b
        digit = n // c
        r = n - digit * c
        q = (q << k) + digit
        shift -= k
    if r + r >= c:
        q += 1
    if negative:
        q = 0 - q
    return q


@micropython.viper
def isqrt(x: int) -> int:
    """Return the square root of x rounded down, 0 <= x < 2**30."""
    root = 0
    bit = 1 << 14
    while bit > 0:
        trial = root | bit
        if trial * trial <= x:
            root = trial
        bit >>= 1
    return root


@micropython.viper
def root_sum_square(words, start: int, n: int) -> int:
    """Return the root of the sum of squares of `n` <= 15 words from index `start` on.

    Signs do not matter, words below 2**30 in magnitude. Within 0.04 % or half a unit, whichever
    is more: the words are scaled so that the largest has 13 bits.
    """
    w = ptr32(words)
    end = start + n
    bits = 0
    i = start
    while i < end:
        v = w[i]
        if v < 0:
            v = 0 - v
        bits |= v
        i += 1
    if bits == 0:
        return 0
    down = 0
    while (bits >> down) >= 8192:
        down += 1
    up = 0
    if down == 0:
        while (bits << up) < 4096:
            up += 1
    total = 0
    i = start
    while i < end:
        v = w[i]
        if v < 0:
            v = 0 - v
        v = (v << up) >> down
        total += v * v
        i += 1
    root = 0
    bit = 1 << 14
    while bit > 0:
        trial = root | bit
        if trial * trial <= total:
            root = trial
        bit >>= 1
    if total - root * root > root:  # nearer to the next integer
        root += 1
    if up > 0:
        return (root + (1 << (up - 1))) >> up
    return root << down


@micropython.viper
def per_kelvin(coefficient: int, mc: int) -> int:
    """Return coefficient * mc / 1000: what changes with a temperature difference in mK.

    |coefficient| <= 100 000 per kelvin, |mc| < 2**30 with the result below 2**30.
    """
    if mc < 0:
        mc = 0 - mc
        coefficient = 0 - coefficient
    b = coefficient
    if b < 0:
        b = 0 - b
        mc = 0 - mc
    return int(muldiv(mc, b, 1000, 13))
