"""Whole numbers in few bits, each of which can be read alone.

n numbers lie in blocks of 128. A block stands for a line, and each number for how far it is
above the line: number i of a block is base + slope * i + distance i. First come the headers of
all blocks, three i64 each:

  base
  slope
  where    bits 8..: byte at which the distances begin, counted from the section's begin;
           bits 0..7: bits of one distance, 0..56 or 64

then the distances of block after block, packed from the lowest bit on; each block ends at a
whole byte, the section in 8 bytes of zeros. All sums are modulo 2**64.

Packed numbers are named to a kernel by a row: address, size in bytes, how many.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import load_word, store_word
from index.kernels.bits import highest_bit
from index.kernels.memory import i64_at

PACKED_BLOCK = 128
HEADER = 24
"""Bytes of a block's header."""
TAIL = 8
N_ADDRESS, N_SIZE, N_COUNT = range(3)
PACKED_WIDTH = 3

_MOST = 56
"""Most bits of a distance that one unaligned load reads, whichever bit it begins at."""
_LARGE = 2.0**62


@numba.njit(inline="always")
def _n_blocks(n):
    return (n + PACKED_BLOCK - 1) // PACKED_BLOCK


@numba.njit(inline="always")
def _spread(values, first, n, slope):
    """Return the least and the greatest distance from the line through the first number."""
    least = np.int64(0)
    most = np.int64(0)
    for i in range(1, n):
        distance = values[first + i] - values[first] - slope * i
        least = min(least, distance)
        most = max(most, distance)
    return least, most


@numba.njit("int64(int64[::1], uint8[::1])", nogil=True, cache=True)
def pack_numbers(values, out):
    """Write `values` packed; return how many bytes that takes.

    Requires: `out` zeros, HEADER bytes a block begun, 8 a number and TAIL.
    """
    n = len(values)
    n_blocks = _n_blocks(n)
    headers = out[: HEADER * n_blocks].view(np.int64)
    address = out.ctypes.data
    at = np.int64(HEADER * n_blocks)
    for block in range(n_blocks):
        first = block * PACKED_BLOCK
        n_block = min(PACKED_BLOCK, n - first)
        low = values[first]
        high = low
        for i in range(first + 1, first + n_block):
            low = min(low, values[i])
            high = max(high, values[i])
        base = np.int64(0)
        slope = np.int64(0)
        bits = np.int64(64)
        if np.float64(high) - np.float64(low) < _LARGE:
            base = low
            bits = highest_bit(np.uint64(high - low)) + 1
            if n_block > 1:
                steep = (values[first + n_block - 1] - values[first]) // (n_block - 1)
                least, most = _spread(values, first, n_block, steep)
                steep_bits = highest_bit(np.uint64(most - least)) + 1
                if steep_bits < bits:
                    base, slope, bits = values[first] + least, steep, steep_bits
            if bits > _MOST:
                base, slope, bits = np.int64(0), np.int64(0), np.int64(64)
        headers[3 * block] = base
        headers[3 * block + 1] = slope
        headers[3 * block + 2] = (at << 8) | bits
        for i in range(n_block):
            distance = np.uint64(values[first + i] - base - slope * i)
            bit = i * bits
            place = np.int64(address + at + (bit >> 3))
            store_word(place, load_word(place) | (distance << np.uint64(bit & 7)))
        at += (n_block * bits + 7) >> 3
    return at + TAIL


@numba.njit(inline="always")
def _line(row, block):
    """Return a block's (base, slope, address of its distances, their bits); bits < 0 where its
    distances are not in the section."""
    headers = i64_at(row[N_ADDRESS], 3 * _n_blocks(row[N_COUNT]))
    where = headers[3 * block + 2]
    bits = where & 255
    begin = where >> 8
    n_block = min(PACKED_BLOCK, row[N_COUNT] - block * PACKED_BLOCK)
    end = begin + ((n_block * bits + 7) >> 3)
    if bits > 64 or begin < 0 or end + TAIL > row[N_SIZE]:
        bits = np.int64(-1)
    return headers[3 * block], headers[3 * block + 1], row[N_ADDRESS] + begin, bits


@numba.njit(inline="always")
def _number(base, slope, address, bits, i):
    if bits <= 0:
        return base + slope * i
    bit = i * bits
    word = load_word(np.int64(address + (bit >> 3))) >> np.uint64(bit & 7)
    if bits < 64:
        word &= (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    return base + slope * i + np.int64(word)


@numba.njit("int64(int64[::1], int64)", nogil=True, cache=True)
def read_number(row, i):
    """Return number `i`; of a damaged block, what its line says. Requires: 0 <= i < count."""
    base, slope, address, bits = _line(row, i // PACKED_BLOCK)
    return _number(base, slope, address, bits, i % PACKED_BLOCK)


@numba.njit("boolean(int64[::1], int64[::1], int64[::1])", nogil=True, cache=True)
def read_numbers(row, wanted, out):
    """Write the numbers at the places `wanted`; return False where a block is damaged.

    Requires: each 0 <= place < count; len(out) >= len(wanted).
    """
    is_sound = True
    for k in range(len(wanted)):
        base, slope, address, bits = _line(row, wanted[k] // PACKED_BLOCK)
        is_sound &= bits >= 0
        out[k] = _number(base, slope, address, bits, wanted[k] % PACKED_BLOCK)
    return is_sound


@numba.njit("boolean(int64[::1], int64[::1])", nogil=True, cache=True)
def unpack_numbers(row, out):
    """Write all numbers; return False where a block is damaged. Requires: len(out) == count."""
    is_sound = True
    for block in range(_n_blocks(len(out))):
        base, slope, address, bits = _line(row, block)
        is_sound &= bits >= 0
        first = block * PACKED_BLOCK
        for i in range(min(PACKED_BLOCK, len(out) - first)):
            out[first + i] = _number(base, slope, address, bits, i)
    return is_sound
