"""Byte strings that lie one after the other: gathered from elsewhere, cut into blocks."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit("void(uint8[::1], int64[::1], int64[::1], uint8[::1])", nogil=True, cache=True)
def gather(text, begins, starts, out):
    """Copy strings from where they lie to out[starts[i]:starts[i + 1]]; zero what follows."""
    for i in range(len(begins)):
        begin = begins[i]
        size = starts[i + 1] - starts[i]
        out[starts[i] : starts[i + 1]] = text[begin : begin + size]
    out[starts[-1] :] = np.uint8(0)


@numba.njit("int64(int64[::1], int64, int64[::1])", nogil=True, cache=True)
def cut_blocks(starts, block_bytes, bounds):
    """Write the bounds of blocks of strings, each of as few as make `block_bytes`, the last of
    what is left; return how many bounds. Requires: len(bounds) >= len(starts)."""
    n = np.int64(1)
    bounds[0] = 0
    for i in range(1, len(starts)):
        if starts[i] - starts[bounds[n - 1]] >= block_bytes or i == len(starts) - 1:
            bounds[n] = i
            n += 1
    return n
