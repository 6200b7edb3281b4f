"""Merging the terms of k segments, many terms in one call.

Each segment has a cursor on its next term; the least of them is the next term of the output,
its postings those of all segments that have it, segment after segment, without the documents
that are dropped.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.front_coding import T_ENTRIES, T_SIZE, read_entry
from index.kernels.memory import i64_at, u8_at, u32_at
from index.kernels.postings import P_N_TERMS, decode_positions, fill_blocks, term_row
from index.kernels.rows import BLOCK, ROW_WIDTH, SIZE

# columns of a cursor
C_TERM, C_AT, C_LENGTH, C_FIELD, C_INDEX = range(5)
"""Id of the next term, where its entry ends, its length, which of the segment's fields, number
within the field. C_FIELD from n_fields on: no term is left."""
CURSOR_COLUMNS = 5

# columns of a field of a segment
F_NO, F_N_TERMS, F_ORDS = range(3)
"""Field number, terms, where its ordinals begin in the segment's table of them (-1: has none)."""
FIELD_COLUMNS = 3

# columns of a segment
M_DOC_MAP, M_N_DOCS, M_ORDS, M_ORDS_SIZE, M_N_FIELDS = range(5)
"""Address of i64[docs]: new doc id or -1; address of u32: new ordinals; both outlive the call."""
SEGMENT_COLUMNS = 5

# the state
STATUS, N_TERMS, N_POSTINGS, N_POSITIONS, N_BYTES, FIELD, ORDINAL = range(7)
STATE_WIDTH = 7
MORE, DONE, NEED_POSTINGS, NEED_POSITIONS, NEED_BYTES, DAMAGED = range(6)
"""Statuses. NEED_..: the next term alone is more than that output can hold."""


@numba.njit(inline="always")
def _order(a, a_length, b, b_length):
    """Return -1, 0 or 1 as term a is below, equal to or above term b."""
    for i in range(min(a_length, b_length)):
        if a[i] != b[i]:
            return -1 if a[i] < b[i] else 1
    if a_length == b_length:
        return 0
    return -1 if a_length < b_length else 1


@numba.njit(
    "boolean(int64[::1], int64[::1], int64[:, ::1], int64, uint8[::1])", nogil=True, cache=True
)
def advance_term(terms, cursor, fields, n_fields, buffer):
    """Move a cursor to the next term and read it into `buffer`; False where it cannot be read.

    Before the first call the cursor is (-1, 0, 0, 0, -1).
    """
    cursor[C_TERM] += 1
    cursor[C_INDEX] += 1
    while cursor[C_FIELD] < n_fields and cursor[C_INDEX] >= fields[cursor[C_FIELD], F_N_TERMS]:
        cursor[C_FIELD] += 1
        cursor[C_INDEX] = 0
    if cursor[C_FIELD] >= n_fields:
        return True
    entries = u8_at(terms[T_ENTRIES], terms[T_SIZE])
    shared, start, stop = read_entry(entries, cursor[C_AT], terms[T_SIZE])
    if stop < 0 or shared > cursor[C_LENGTH] or shared + stop - start > len(buffer):
        return False
    length = shared
    for k in range(start, stop):
        buffer[length] = entries[k]
        length += 1
    cursor[C_LENGTH] = length
    cursor[C_AT] = stop
    return True


@numba.njit(
    "void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, :, ::1], int64[:, ::1],"
    " uint8[:, ::1], int64[::1], uint32[::1], int64[::1], uint8[::1], int64[::1], uint32[::1],"
    " uint32[::1], int64[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def merge_terms(
    segments, terms, postings, fields, cursors, buffers, state,
    field_nos, term_starts, blob, posting_starts, docs, tfs, position_starts, positions,
):  # fmt: skip
    """Write the next terms and their postings as a chunk (`draft.TermChunk`) until an output is
    full or no term is left; how many of each is in `state`, and why it stopped.

    A term that loses all its documents is left out. The new ordinal of every other term goes
    into the tables of the segments that it comes from.

    Requires: cursors on the first terms; state as the call before left it, zeros and FIELD -1
    at first; len(term_starts) == len(posting_starts) == len(position_starts) ==
    len(field_nos) + 1.
    """
    k = len(segments)
    members = np.empty(k, np.int64)
    row = np.zeros(ROW_WIDTH, np.int64)
    walk = np.zeros(4, np.int64)
    block_docs = np.empty(BLOCK, np.uint32)
    block_tfs = np.empty(BLOCK, np.uint32)
    t = 0
    n = 0
    p = 0
    b = 0
    term_starts[0] = 0
    posting_starts[0] = 0
    position_starts[0] = 0
    status = np.int64(MORE)
    while status == MORE and t < len(field_nos):
        # the least term, and which segments have it
        n_members = 0
        least = np.int64(-1)
        least_field = np.int64(0)
        for s in range(k):
            if cursors[s, C_FIELD] >= segments[s, M_N_FIELDS]:
                continue
            field = fields[s, cursors[s, C_FIELD], F_NO]
            order = -1
            if least >= 0:
                order = 1
                if field < least_field:
                    order = -1
                elif field == least_field:
                    order = _order(
                        buffers[s], cursors[s, C_LENGTH], buffers[least], cursors[least, C_LENGTH]
                    )
            if order < 0:
                least = np.int64(s)
                least_field = field
                n_members = 0
            if order <= 0:
                members[n_members] = s
                n_members += 1
        if least < 0:
            status = np.int64(DONE)
            break
        # its postings
        length = cursors[least, C_LENGTH]
        first, first_position = n, p
        if b + length > len(blob):
            status = np.int64(NEED_BYTES)
        for m in range(n_members):
            if status != MORE:
                break
            s = members[m]
            doc_map = i64_at(segments[s, M_DOC_MAP], segments[s, M_N_DOCS])
            if cursors[s, C_TERM] >= postings[s, P_N_TERMS]:
                status = np.int64(DAMAGED)
                break
            single = term_row(postings[s], cursors[s, C_TERM], row)
            if single >= 0:
                doc = single & np.int64(0xFFFFFFFF)
                if doc >= len(doc_map):
                    status = np.int64(DAMAGED)
                elif n >= len(docs):
                    status = np.int64(NEED_POSTINGS)
                elif doc_map[doc] >= 0:
                    docs[n] = np.uint32(doc_map[doc])
                    tfs[n] = np.uint32(1)
                    if single >> 32 != 0:
                        if p >= len(positions):
                            status = np.int64(NEED_POSITIONS)
                            break
                        positions[p] = np.uint32((single >> 32) - 1)
                        p += 1
                    n += 1
                continue
            if row[SIZE] == 0:
                status = np.int64(DAMAGED)
                break
            if n + row[SIZE] > len(docs):
                status = np.int64(NEED_POSTINGS)
                break
            walk[0] = 0
            seen = np.int64(0)
            while status == MORE:
                block = walk[0]
                n_block = fill_blocks(row, walk, block_docs, block_tfs)
                if n_block == 0:
                    break
                seen += n_block
                got = decode_positions(row, block, block_tfs[:n_block], positions[p:])
                if got < 0:
                    status = np.int64(DAMAGED) if got == -1 else np.int64(NEED_POSITIONS)
                    break
                read = p
                for i in range(n_block):
                    doc = np.int64(block_docs[i])
                    if doc >= len(doc_map):
                        status = np.int64(DAMAGED)
                        break
                    tf = np.int64(block_tfs[i]) if got > 0 else np.int64(0)
                    if doc_map[doc] >= 0:
                        docs[n] = np.uint32(doc_map[doc])
                        tfs[n] = block_tfs[i]
                        n += 1
                        if p != read:
                            for j in range(tf):
                                positions[p + j] = positions[read + j]
                        p += tf
                    read += tf
            if status == MORE and seen != row[SIZE]:
                status = np.int64(DAMAGED)
        if status != MORE:
            n = first
            p = first_position
            break
        # the term itself
        if n > first:
            if least_field != state[FIELD]:
                state[FIELD] = least_field
                state[ORDINAL] = 0
            for m in range(n_members):
                s = members[m]
                base = fields[s, cursors[s, C_FIELD], F_ORDS]
                at = base + cursors[s, C_INDEX]
                if base >= 0 and at < segments[s, M_ORDS_SIZE]:
                    ords = u32_at(segments[s, M_ORDS], segments[s, M_ORDS_SIZE])
                    ords[at] = np.uint32(state[ORDINAL])
            state[ORDINAL] += 1
            field_nos[t] = np.uint32(least_field)
            for i in range(length):
                blob[b + i] = buffers[least, i]
            b += length
            t += 1
            term_starts[t] = b
            posting_starts[t] = n
            position_starts[t] = p
        for m in range(n_members):
            s = members[m]
            if not advance_term(
                terms[s], cursors[s], fields[s], segments[s, M_N_FIELDS], buffers[s]
            ):
                status = np.int64(DAMAGED)
    # an output that is full after some terms is no reason to make it larger
    if t > 0 and NEED_POSTINGS <= status <= NEED_BYTES:
        status = np.int64(MORE)
    state[STATUS] = status
    state[N_TERMS] = t
    state[N_POSTINGS] = n
    state[N_POSITIONS] = p
    state[N_BYTES] = b
