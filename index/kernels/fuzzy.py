"""How many edits lie between a query and a term: optimal string alignment over characters.

An edit inserts, removes or replaces one character or, where asked, swaps two neighbours. A
character is its UTF-8 bytes as a big-endian number; bytes that are no UTF-8 are characters too
(any byte with the continuation bytes behind it, of which three count).

Only distances up to e = `max_edits` matter. So of row d of the usual table (the first d
characters of the term against the first j of the query) only j = d - e .. d + e are kept, and
what is farther counts as e + 1. Once a whole row is too far, so is every row after it.

  query  i64[m]                  the characters asked for
  state  i64[m + e + 2, 2 e + 3] row d: the band, the term's character d, the byte where it ends
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(inline="always")
def fill_first_row(state, n_query, max_edits):
    for column in range(2 * max_edits + 1):
        j = column - max_edits
        state[0, column] = j if 0 <= j <= n_query else max_edits + 1
    state[0, 2 * max_edits + 1] = -1
    state[0, 2 * max_edits + 2] = 0


@numba.njit(inline="always")
def _fill_row(state, depth, query, max_edits, transposes):
    """Fill the band of row `depth`, whose character is there; return whether any of it is near."""
    far = max_edits + 1
    last = 2 * max_edits
    character = state[depth, last + 1]
    before = state[depth - 1, last + 1]
    nearest = far
    for column in range(last + 1):
        j = depth - max_edits + column
        edits = far
        if j == 0:
            edits = min(depth, far)
        elif 0 < j <= len(query):
            edits = state[depth - 1, column]
            if character != query[j - 1]:
                edits += 1
            if column < last:
                edits = min(edits, state[depth - 1, column + 1] + 1)
            if column > 0:
                edits = min(edits, state[depth, column - 1] + 1)
            if transposes and depth > 1 and j > 1:  # noqa: SIM102
                if character == query[j - 2] and before == query[j - 1]:
                    edits = min(edits, state[depth - 2, column] + 1)
            edits = min(edits, far)
        state[depth, column] = edits
        nearest = min(nearest, edits)
    return nearest < far


@numba.njit(inline="always")
def walk(text, begin, end, depth, state, query, max_edits, transposes):
    """Go on from row `depth` to the end of the term text[begin:end]; return (the row reached,
    whether it is near). A row that is not ends the walk; row m + e + 1 never is."""
    at = begin + state[depth, 2 * max_edits + 2]
    is_near = True
    while is_near and at < end:
        character = np.int64(text[at])
        at += 1
        n_bytes = 1
        while at < end and text[at] & 0xC0 == 0x80:
            if n_bytes < 4:
                character = (character << 8) | np.int64(text[at])
            n_bytes += 1
            at += 1
        depth += 1
        state[depth, 2 * max_edits + 1] = character
        state[depth, 2 * max_edits + 2] = at - begin
        is_near = _fill_row(state, depth, query, max_edits, transposes)
    return depth, is_near


@numba.njit(inline="always")
def edits_at(state, depth, n_query, max_edits):
    """Return the edits between the query and a term that ends at row `depth`; e + 1: too many."""
    column = n_query - depth + max_edits
    if column < 0 or column > 2 * max_edits:
        return max_edits + 1
    return state[depth, column]


@numba.njit("int64(uint8[::1], int64[::1], int64, boolean, int64[:, ::1])", nogil=True, cache=True)
def count_edits(term, query, max_edits, transposes, state):
    """Return the edits between the query and one term; max_edits + 1: too many."""
    fill_first_row(state, len(query), max_edits)
    depth, is_near = walk(
        term, np.int64(0), np.int64(len(term)), np.int64(0), state, query, max_edits, transposes
    )
    return edits_at(state, depth, len(query), max_edits) if is_near else max_edits + 1
