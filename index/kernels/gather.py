"""Byte strings that lie one after the other: gathered from elsewhere, cut into blocks."""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import copy_bytes


@numba.njit("void(uint8[::1], int64[::1], int64[::1], uint8[::1])", nogil=True, cache=True)
def gather(text, begins, starts, out):
    """Copy strings from where they lie to out[starts[i]:starts[i + 1]]; zero what follows.

    Requires: the strings lie within `text`, and there is room for them in `out`.
    """
    for i in range(len(begins)):
        copy_bytes(
            np.int64(out.ctypes.data) + starts[i],
            np.int64(text.ctypes.data) + begins[i],
            starts[i + 1] - starts[i],
        )
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


@numba.njit("void(uint8[::1], int64[::1], int64[::1], uint8[::1])", nogil=True, cache=True)
def pack_blocks(blob, starts, bounds, out):
    """Write each block bounds[b] .. bounds[b + 1] of strings: where each begins in the block, and
    the block's end (u32, little endian), then the strings. Requires: `out` as long as all that."""
    at = np.int64(0)
    for b in range(len(bounds) - 1):
        first = starts[bounds[b]]
        last = starts[bounds[b + 1]]
        for i in range(bounds[b], bounds[b + 1] + 1):
            begin = np.uint32(starts[i] - first)
            for k in range(4):
                out[at + k] = np.uint8(begin >> np.uint32(8 * k) & np.uint32(255))
            at += 4
        copy_bytes(np.int64(out.ctypes.data) + at, np.int64(blob.ctypes.data) + first, last - first)
        at += last - first
