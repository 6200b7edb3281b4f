"""Conditions that are tested document by document, on those alone that could become hits.

A condition is the row of a dense leaf (`rows.py`, `ranges.py`); its last column says which answer
passes.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.memory import f64_at, i64_at, u32_at, u64_at
from index.kernels.ranges import (
    HIGH,
    LOW,
    N_VALUES,
    PRESENT,
    RANGE_F64,
    RANGE_I64,
    STARTS,
    VALUES,
)
from index.kernels.rows import ALL, BITS

WANTED = 15
"""Column: 1 = documents of the leaf pass, 0 = the others do."""

_ONE = np.uint64(1)


@numba.njit("b1(i8[::1], i8)", nogil=True, cache=True, error_model="numpy")
def is_in(row, doc):
    """Return whether a dense leaf has a document."""
    n_docs = row[1]
    if doc >= n_docs:
        return False
    if row[0] == ALL:
        return True
    word = doc >> 6
    if row[0] == BITS:
        if word >= row[3]:
            return False
        return (u64_at(row[2], row[3])[word] >> np.uint64(doc & 63)) & _ONE != np.uint64(0)
    first = doc
    last = doc + 1
    n = row[N_VALUES]
    if row[PRESENT] != 0:
        present = u64_at(row[PRESENT], (n_docs + 63) >> 6)[word]
        if (present >> np.uint64(doc & 63)) & _ONE == np.uint64(0):
            return False
    if row[STARTS] != 0:
        starts = u32_at(row[STARTS], n_docs + 1)
        first = np.int64(starts[doc])
        last = np.int64(starts[doc + 1])
    last = min(last, n)
    if row[0] == RANGE_I64:
        ints = i64_at(row[VALUES], n)
        for i in range(first, last):
            if row[LOW] <= ints[i] and ints[i] <= row[HIGH]:
                return True
    elif row[0] == RANGE_F64:
        floats = f64_at(row[VALUES], n)
        bounds = row[LOW : HIGH + 1].view(np.float64)
        for i in range(first, last):
            if bounds[0] <= floats[i] and floats[i] <= bounds[1]:
                return True
    else:
        ordinals = u32_at(row[VALUES], n)
        for i in range(first, last):
            if row[LOW] <= np.int64(ordinals[i]) and np.int64(ordinals[i]) <= row[HIGH]:
                return True
    return False


@numba.njit("b1(i8[:, ::1], i8)", nogil=True, cache=True, error_model="numpy")
def passes(rows, doc):
    """Return whether a document passes all conditions."""
    for i in range(len(rows)):  # noqa: SIM110
        if is_in(rows[i], doc) != (rows[i, WANTED] != 0):
            return False
    return True
