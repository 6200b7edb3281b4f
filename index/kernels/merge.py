"""Merging the terms of k segments, many terms in one call.

Each segment has a cursor on its next term; the least of them is the next term of the output,
its postings those of all segments that have it, segment after segment, without the documents
that are dropped. They go from blocks to blocks (repacking.py) and are never all unpacked.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.front_coding import T_ENTRIES, T_SIZE, read_entry
from index.kernels.inner import inner
from index.kernels.memory import i64_at, u8_at, u32_at, u64_at
from index.kernels.postings import P_N_TERMS, term_row
from index.kernels.repacking import (
    DAMAGED,
    NEED_QUEUE,
    NEED_ROOM,
    O_BLOCKS,
    O_DATA,
    O_FIRST_BLOCK,
    O_POSITIONS,
    Q_N,
    Q_POSITIONS,
    Q_PREVIOUS,
    Q_WITHOUT,
    QUEUE_POSTINGS,
    QUEUE_WIDTH,
    SOUND,
    queue_block,
    queue_single,
    single_record,
    write_block,
)
from index.kernels.rows import BLOCK, CURSOR_WIDTH, ROW_WIDTH, SIZE

_U32 = np.uint64(32)
_MOST_DOCS = 0x7FFFFFFF

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
M_DOC_MAP, M_BASE, M_N_DOCS, M_ORDS, M_ORDS_SIZE, M_N_FIELDS = range(6)
"""Address of i64[docs]: new doc id or -1 (0: all stay, M_BASE is the first one's new id);
address of u32: new ordinals. Both outlive the call."""
SEGMENT_COLUMNS = 6

# the state
STATUS, N_TERMS, N_BYTES, FIELD, ORDINAL = range(5)
STATE_WIDTH = 5
MORE, DONE, FULL, NARROW, UNSOUND = range(5)
"""Statuses. FULL: the next term alone is more than the output can hold; NARROW: more positions
must wait than the queue holds."""

SCRATCH = ROW_WIDTH + CURSOR_WIDTH + QUEUE_WIDTH
PAIRS = 2 * QUEUE_POSTINGS + BLOCK
"""Room the kernel works in."""


@numba.njit(inline="always")
def _bare_2d(table):
    return i64_at(table.ctypes.data, table.size).reshape(table.shape)


@numba.njit(inline="always")
def _bare_u32(array):
    return u32_at(array.ctypes.data, len(array))


@numba.njit(inline="always")
def _bare_u64(array):
    return u64_at(array.ctypes.data, len(array))


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


@inner(
    "int64(int64[:, ::1], int64[:, :, ::1], int64[:, ::1], uint8[:, ::1], int64[::1])",
)
def _least_term(segments, fields, cursors, buffers, members):
    """Write which segments have the least of the next terms to `members`; return how many."""
    n_members = 0
    least = np.int64(-1)
    least_field = np.int64(0)
    for s in range(len(segments)):
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
    return np.int64(n_members)


@numba.njit(
    "void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, :, ::1], int64[:, ::1],"
    " uint8[:, ::1], int64[:, ::1], int64, int64[::1], int64[::1], uint32[::1], uint32[::1],"
    " int64[::1], uint8[::1], uint64[::1], uint32[::1], uint64[::1], uint64[::1], uint8[::1],"
    " uint8[::1], int64[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def merge_terms(
    segments, terms, postings, fields, cursors, buffers, impacts, n_docs, state, out, waiting,
    field_nos, term_starts, blob, records, last_docs, doc_metas, pos_metas, data, positions,
    scratch, pairs,
):  # fmt: skip
    """Write the next terms and their postings, encoded, until an output is full or no term is
    left; how many of each is in `state` and `out`, and why it stopped.

    A term that loses all its documents is left out. The new ordinal of every other term goes
    into the tables of the segments that it comes from. `impacts`: of each field number the
    addresses of its norms and of its table (`packing.encode_postings`), or zeros.

    Requires: cursors on the first terms; state as the call before left it, zeros and FIELD -1
    at first; `out`: the first three 0, the others raised by what the calls before wrote;
    records and len(term_starts) - 1 as many as field_nos; data and positions equally long;
    `waiting`: the queue of positions; `scratch`: SCRATCH and one a segment; `pairs`: PAIRS.
    """
    # Arrays without an owner: for each one that has an owner, every call and every slice would
    # count references, and that took more than a third of a merge.
    segments, terms, postings = _bare_2d(segments), _bare_2d(terms), _bare_2d(postings)
    fields = i64_at(fields.ctypes.data, fields.size).reshape(fields.shape)
    cursors, impacts = _bare_2d(cursors), _bare_2d(impacts)
    buffers = u8_at(buffers.ctypes.data, buffers.size).reshape(buffers.shape)
    out = i64_at(out.ctypes.data, len(out))
    waiting, last_docs = _bare_u32(waiting), _bare_u32(last_docs)
    doc_metas, pos_metas = _bare_u64(doc_metas), _bare_u64(pos_metas)
    data, positions = u8_at(data.ctypes.data, len(data)), u8_at(positions.ctypes.data, len(data))
    row = i64_at(scratch.ctypes.data, ROW_WIDTH)
    walk = i64_at(scratch.ctypes.data + 8 * ROW_WIDTH, CURSOR_WIDTH)
    queue = i64_at(scratch.ctypes.data + 8 * (ROW_WIDTH + CURSOR_WIDTH), QUEUE_WIDTH)
    members = i64_at(
        scratch.ctypes.data + 8 * (ROW_WIDTH + CURSOR_WIDTH + QUEUE_WIDTH), len(segments)
    )
    docs = u32_at(pairs.ctypes.data, QUEUE_POSTINGS)
    tfs = u32_at(pairs.ctypes.data + 4 * QUEUE_POSTINGS, QUEUE_POSTINGS)
    gaps = u32_at(pairs.ctypes.data + 8 * QUEUE_POSTINGS, BLOCK)
    t = 0
    b = 0
    term_starts[0] = 0
    status = np.int64(MORE)
    while status == MORE and t < len(field_nos):
        n_members = _least_term(segments, fields, cursors, buffers, members)
        if n_members == 0:
            status = np.int64(DONE)
            break
        least = members[0]
        field = fields[least, cursors[least, C_FIELD], F_NO]
        length = cursors[least, C_LENGTH]
        norms = np.int64(0)
        table = np.int64(0)
        if field < impacts.shape[1]:
            norms, table = impacts[0, field], impacts[1, field]
        # its postings, segment after segment
        start_block, start_data, start_position = out[O_BLOCKS], out[O_DATA], out[O_POSITIONS]
        queue[Q_N] = 0
        queue[Q_POSITIONS] = 0
        queue[Q_PREVIOUS] = -1
        queue[Q_WITHOUT] = 0
        df = np.int64(0)
        came = np.int64(NEED_ROOM) if b + length > len(blob) else np.int64(SOUND)
        for m in range(n_members):
            if came != SOUND:
                break
            s = members[m]
            if cursors[s, C_TERM] >= postings[s, P_N_TERMS]:
                came = np.int64(DAMAGED)
                break
            single = term_row(postings[s], cursors[s, C_TERM], row)
            if single >= 0:
                came, n_kept = queue_single(
                    single, queue, docs, tfs, waiting, segments[s, M_DOC_MAP],
                    segments[s, M_N_DOCS], segments[s, M_BASE],
                )  # fmt: skip
                df += n_kept
                if came == SOUND and queue[Q_N] >= BLOCK:
                    came = write_block(
                        BLOCK, queue, docs, tfs, waiting, norms, table, n_docs, gaps, out,
                        last_docs, doc_metas, pos_metas, data, positions,
                    )  # fmt: skip
                continue
            walk[0] = 0
            n_blocks = (row[SIZE] + BLOCK - 1) >> 7
            if n_blocks == 0:
                came = np.int64(DAMAGED)
            while came == SOUND and walk[0] < n_blocks:
                before = queue[Q_N]
                came = queue_block(
                    row, walk, queue, docs, tfs, waiting, segments[s, M_DOC_MAP],
                    segments[s, M_N_DOCS], segments[s, M_BASE],
                )  # fmt: skip
                df += queue[Q_N] - before
                if came == SOUND and queue[Q_N] >= BLOCK:
                    came = write_block(
                        BLOCK, queue, docs, tfs, waiting, norms, table, n_docs, gaps, out,
                        last_docs, doc_metas, pos_metas, data, positions,
                    )  # fmt: skip
        if came == SOUND and df > 0:
            record = np.uint64(0)
            if df == 1:
                record = single_record(queue, docs, tfs, waiting)
            if df == 1 and record != np.uint64(0):
                records[t] = record
            else:
                records[t] = np.uint64(out[O_FIRST_BLOCK] + start_block) | (np.uint64(df) << _U32)
                if queue[Q_N] > 0:
                    came = write_block(
                        queue[Q_N], queue, docs, tfs, waiting, norms, table, n_docs, gaps, out,
                        last_docs, doc_metas, pos_metas, data, positions,
                    )  # fmt: skip
                if queue[Q_POSITIONS] != 0 or df > _MOST_DOCS:
                    came = np.int64(DAMAGED) if came == SOUND else came
        if came != SOUND:
            out[O_BLOCKS], out[O_DATA], out[O_POSITIONS] = start_block, start_data, start_position
            if came == DAMAGED:
                status = np.int64(UNSOUND)
            elif came == NEED_QUEUE:
                status = np.int64(NARROW)
            else:
                status = np.int64(FULL)
            break
        # the term itself
        if df > 0:
            if field != state[FIELD]:
                state[FIELD] = field
                state[ORDINAL] = 0
            for m in range(n_members):
                s = members[m]
                base = fields[s, cursors[s, C_FIELD], F_ORDS]
                at = base + cursors[s, C_INDEX]
                if base >= 0 and at < segments[s, M_ORDS_SIZE]:
                    ords = u32_at(segments[s, M_ORDS], segments[s, M_ORDS_SIZE])
                    ords[at] = np.uint32(state[ORDINAL])
            state[ORDINAL] += 1
            field_nos[t] = np.uint32(field)
            for i in range(length):
                blob[b + i] = buffers[least, i]
            b += length
            t += 1
            term_starts[t] = b
        for m in range(n_members):
            s = members[m]
            if not advance_term(
                terms[s], cursors[s], fields[s], segments[s, M_N_FIELDS], buffers[s]
            ):
                status = np.int64(UNSOUND)
    # an output that is full after some terms is no reason to make it larger
    if t > 0 and status == FULL:
        status = np.int64(MORE)
    state[STATUS] = status
    state[N_TERMS] = t
    state[N_BYTES] = b
