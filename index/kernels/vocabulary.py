"""Looking through the terms of a memtable: its records, blob and chains are those of
term_table.py, in no order at all."""

from __future__ import annotations

import numba
import numpy as np

_LOW = np.uint64(0xFFFFFFFF)
_U32 = np.uint64(32)
_U16 = np.uint64(16)
_LENGTH = np.uint64(0xFFFF)


@numba.njit(
    "void(uint64[:, ::1], uint8[::1], int64[::1], int64[::1], uint8[::1])", nogil=True, cache=True
)
def copy_terms(records, blob, terms, starts, out):
    """Write the bytes of `terms` to out[starts[i]:starts[i + 1]].

    Requires: starts as the lengths of the terms add up to, len(out) >= starts[-1].
    """
    for i in range(len(terms)):
        offset = np.int64(records[terms[i], 2] >> _U32)
        for k in range(starts[i + 1] - starts[i]):
            out[starts[i] + k] = blob[offset + k]
