"""Columns in kernels: new numbers for old ones."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit("int64(uint32[::1], uint32[::1])", nogil=True, cache=True)
def renumber(values, numbers):
    """Replace each value by numbers[value], in place; return -1, or the first that has none."""
    for i in range(len(values)):
        value = np.int64(values[i])
        if value >= len(numbers) or numbers[value] == np.uint32(0xFFFFFFFF):
            return np.int64(i)
        values[i] = numbers[value]
    return np.int64(-1)
