"""How many edits lie between a query and a term: optimal string alignment over characters.

An edit inserts, removes or replaces one character or, where asked, swaps two neighbours. A
character is its UTF-8 bytes as a big-endian number; how many bytes it has is what its first
one says, and a byte that begins none is a character of its own.

Only distances up to e = `max_edits` <= 2 matter, so after d characters of a term only the
lengths j = d - e .. d + e of the query are of interest: bit x of a row stands for j = d + x - e.
Row r has the bits that at most r edits reach. The step to d + 1 with a character whose `mask`
has bit x where the query's character number d + x - e is the same (Wu and Manber's, seen along
the diagonals):

  same or replaced     row r & mask, row r - 1
  inserted, removed    row r - 1 >> 1, new row r - 1 << 1
  swapped              row r - 1 of before the last step, & mask << 1 & the last mask >> 1

A state is one u64: rows 0, 1 and 2 (row 1 again where e is 1) and the last mask, 8 bits each. A
row 2 of zeros stays so: nothing that begins like this is near.

  query  i64[m + 12]  the characters asked for; three times -1 before and nine times behind
"""

from __future__ import annotations

import numba
import numpy as np

MARGIN = 3
PADDING = 12
"""Places of the query before its first character, and around all of them."""

_FAR = np.uint64(0xFF0000)


@numba.njit(inline="always")
def character_size(first_byte):
    return (
        np.int64(1)
        + np.int64(first_byte >= 0xC0)
        + np.int64(first_byte >= 0xE0)
        + np.int64(first_byte >= 0xF0)
    )


@numba.njit(inline="always")
def first_state(n_query, max_edits):
    """Return the state before the first character."""
    state = np.uint64(0)
    for row in range(3):
        bits = np.uint64(0)
        for j in range(min(row, max_edits, n_query) + 1):
            bits |= np.uint64(1) << np.uint64(max_edits + j)
        state |= bits << np.uint64(8 * row)
    return state


@numba.njit(inline="always")
def is_far(state):
    return state & _FAR == np.uint64(0)


@numba.njit(inline="always")
def rows_within(n_query, depth, max_edits):
    """Return the bits, of all rows, of lengths that the query has."""
    n_bits = min(max(n_query - depth + max_edits + 1, 0), 8)
    return ((np.uint64(1) << np.uint64(n_bits)) - np.uint64(1)) * np.uint64(0x010101)


@numba.njit(inline="always")
def find_places(query):
    """Return u64[128]: of each ASCII character its places in the query, those from 64 on left
    out."""
    places = np.zeros(128, np.uint64)
    for at in range(min(len(query), 64)):
        if 0 <= query[at] < 128:
            places[query[at]] |= np.uint64(1) << np.uint64(at)
    return places


@numba.njit(inline="always")
def mask_of(character, depth, query, places, max_edits):
    """Return where the query has a character, seen from a state after `depth` others."""
    first = depth - max_edits + MARGIN
    if character < 128 and first <= 64 - 6:
        return places[character] >> np.uint64(first) & np.uint64(63)
    mask = np.uint64(0)
    for x in range(6):
        mask |= np.uint64(query[first + x] == character) << np.uint64(x)
    return mask


@numba.njit(inline="always")
def next_state(state, before, mask, depth, n_query, max_edits, swaps):
    """Return the state after one more character; `state` is that after `depth` characters,
    `before` the one before it, `swaps` 255 or, where no neighbours are swapped, 0."""
    one, eight = np.uint64(1), np.uint64(8)
    byte = np.uint64(255)
    swapped = (mask << one) & ((state >> np.uint64(24)) >> one) & swaps
    row0, row1 = state & byte, (state >> eight) & byte
    new0 = row0 & mask
    new1 = (row1 & mask) | row0 | (row0 >> one) | (new0 << one) | (before & swapped)
    new2 = new1
    if max_edits == 2:
        row2 = (state >> np.uint64(16)) & byte
        new2 = (row2 & mask) | row1 | (row1 >> one) | (new1 << one)
        new2 |= (before >> eight) & swapped
    new = new0 | (new1 & byte) << eight | (new2 & byte) << np.uint64(16)
    return new & rows_within(n_query, depth + 1, max_edits) | mask << np.uint64(24)


@numba.njit(inline="always")
def edits_of(state, depth, n_query, max_edits):
    """Return the edits between the query and a term that ends here; e + 1: too many."""
    x = n_query - depth + max_edits
    if x < 0 or x > 2 * max_edits:
        return max_edits + 1
    for edits in range(max_edits + 1):
        if (state >> np.uint64(8 * edits + x)) & np.uint64(1):
            return edits
    return max_edits + 1


@numba.njit(inline="always")
def count_between(text, begin, end, query, places, n_query, max_edits, swaps):
    """Return (edits between the query and text[begin:end], its characters); e + 1 edits: more,
    and then the characters may not be counted to the end."""
    before = np.uint64(0)
    state = first_state(n_query, max_edits)
    depth = np.int64(0)
    at = begin
    while at < end and depth <= n_query + max_edits:
        character = np.int64(text[at])
        stop = min(at + character_size(character), end)
        at += 1
        while at < stop:
            character = (character << 8) | np.int64(text[at])
            at += 1
        mask = mask_of(character, depth, query, places, max_edits)
        new = next_state(state, before, mask, depth, n_query, max_edits, swaps)
        before, state = state, new
        depth += 1
        if is_far(state):
            return np.int64(max_edits + 1), depth
    return np.int64(edits_of(state, depth, n_query, max_edits)), depth


@numba.njit("int64(uint8[::1], int64[::1], int64, boolean)", nogil=True, cache=True)
def count_edits(term, query, max_edits, transposes):
    """Return the edits between the query and one term; max_edits + 1: more."""
    n_query = np.int64(len(query) - PADDING)
    swaps = np.uint64(255 if transposes else 0)
    edits, _ = count_between(
        term, np.int64(0), np.int64(len(term)), query, find_places(query), n_query, max_edits, swaps
    )
    return edits
