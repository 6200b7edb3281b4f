"""Arrays that grow at their end, into new ones, so that readers keep what they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SMALL_BYTES = 1 << 17
"""Arrays of less are copied as often as it takes."""


def grown(array: npt.NDArray[Any], length: int, reserve: int = 0) -> npt.NDArray[Any]:
    """Return the array, or a copy of at least `length`, twice as long or more.

    A copy that is not small has `reserve` at least: copying much again and again would make some
    batches late. Of a large array only what is used takes memory.
    """
    if length <= len(array):
        return array
    capacity = len(array)
    while capacity < length:
        capacity *= 2
    if capacity * array[:1].nbytes > SMALL_BYTES:
        capacity = max(capacity, reserve)
    out = np.zeros((capacity, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
