"""What a segment's postings say, compared with what is kept beside them.

All of it for `check_segment`, after `check_postings` found the postings sound by themselves.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.memory import u64_at
from index.kernels.postings import POS_METAS, bound_of, fill_blocks, term_row
from index.kernels.rows import BLOCK, SIZE

_LOW = np.int64(0xFFFFFFFF)
_DOMINATES = np.uint64(1 << 62)
_U46 = np.uint64(46)
_U54 = np.uint64(54)
_U255 = np.uint64(255)
_ONE = np.float32(1.0)


@numba.njit(
    "int64(int64[::1], int64, int64, uint8[::1], float32[::1], int64[::1], uint32[::1],"
    " uint32[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def recount_text(postings, first, end, norms, table, row, docs, tfs, lengths):
    """Add each document's frequencies in terms first .. end - 1 to `lengths`; return -1, or the
    first term with a block whose bound does not hold for one of its documents.

    `table`: `bm25.length_table` of the segment's own mean length. Requires: postings that are
    sound; norms and lengths: one a document; `docs` and `tfs` room for 128.
    """
    cursor = np.zeros(4, np.int64)
    for term in range(first, end):
        single = term_row(postings, term, row)
        if single >= 0:
            lengths[single & _LOW] += 1
            continue
        n_blocks = (row[SIZE] + BLOCK - 1) // BLOCK
        metas = u64_at(row[POS_METAS], n_blocks)
        cursor[0] = 0
        while True:
            block = cursor[0]
            n = fill_blocks(row, cursor, docs, tfs)
            if n == 0:
                break
            meta = metas[block]
            bound = bound_of(meta, _ONE, _ONE, table)
            most = np.uint32((meta >> _U54) & _U255)
            shortest = np.uint8((meta >> _U46) & _U255)
            is_dominated = meta & _DOMINATES != np.uint64(0) and most < 255
            for i in range(n):
                norm = norms[docs[i]]
                tf = np.float32(tfs[i])
                if tf / (tf + table[norm]) > bound:
                    return np.int64(term)
                if is_dominated and (tfs[i] > most or norm < shortest):
                    return np.int64(term)
                lengths[docs[i]] += np.int64(tfs[i])
    return np.int64(-1)


@numba.njit(
    "int64(int64[::1], int64, int64, uint32[::1], uint32[::1], int64[::1], uint32[::1],"
    " uint32[::1], uint8[::1])",
    nogil=True,
    cache=True,
)
def recount_ordinals(postings, first, n_terms, values, starts, row, docs, tfs, marks):
    """Mark each value that its term's postings name; return -1, or the first term with a document
    that has not its value.

    `starts`: of each document's values, or empty where document d has value d alone. Requires:
    postings and starts that are sound; `marks`: one a value; `docs` and `tfs` room for 128.
    """
    cursor = np.zeros(4, np.int64)
    for ordinal in range(n_terms):
        single = term_row(postings, first + ordinal, row)
        cursor[0] = 0
        while True:
            if single >= 0:
                docs[0] = np.uint32(single & _LOW)
                n = np.int64(1)
            else:
                n = fill_blocks(row, cursor, docs, tfs)
            for i in range(n):
                begin = np.int64(docs[i])
                stop = begin + 1
                if len(starts) > 0:
                    begin, stop = np.int64(starts[docs[i]]), np.int64(starts[docs[i] + 1])
                is_there = False
                for at in range(begin, stop):
                    if values[at] == ordinal:
                        marks[at] = 1
                        is_there = True
                if not is_there:
                    return np.int64(ordinal)
            if single >= 0 or n == 0:
                break
    return np.int64(-1)
