"""One numbering for the values of all views: key 0, 1, .. in the order of the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from index.aggregate.cells import number_values
from index.aggregate.values import joined
from index.kernels import aggregate as kernels
from index.kernels.aggregate import NONE
from index.kernels.ordinals import (
    copy_strings,
    hash_strings,
    number_strings,
    read_prefixes,
)
from index.reader import I64, U8, U32

_NARROW = 1 << 16
"""Integers at most so far apart, or four times as far as there are values, are not hashed."""


class NumberKeys(NamedTuple):
    keys: list[U32]
    """Of each array of values, their keys."""
    values: np.ndarray
    """Of each key, its value; rising."""


def key_numbers(arrays: Sequence[np.ndarray]) -> NumberKeys:
    """Number the values (i64 or f64, all of one type) of several arrays."""
    n = sum(len(array) for array in arrays)
    if n == 0:
        dtype = arrays[0].dtype if arrays else np.int64
        return NumberKeys([np.empty(0, np.uint32) for _ in arrays], np.empty(0, dtype))
    if arrays[0].dtype == np.int64:
        low = min(int(array.min()) for array in arrays if len(array))
        high = max(int(array.max()) for array in arrays if len(array))
        if high - low <= max(_NARROW, 4 * n) and high - low < NONE:
            return _key_narrow(arrays, low, high)
    ends = np.cumsum([len(array) for array in arrays])[:-1]
    whole = joined(arrays)
    if whole.dtype == np.float64:
        whole = whole + 0.0  # there is one zero
    numbers, bits = number_values(np.ascontiguousarray(whole).view(np.int64))
    distinct = bits.view(whole.dtype)
    order = np.argsort(distinct)
    rank = np.empty(len(order), np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    return NumberKeys(np.split(rank[numbers], ends), distinct[order])


def _key_narrow(arrays: Sequence[np.ndarray], low: int, high: int) -> NumberKeys:
    offsets = [(array - low).astype(np.uint32) for array in arrays]
    used = used_ordinals(offsets, high - low + 1)
    return NumberKeys([placed_among(used, array, high - low + 1) for array in offsets], used + low)


def used_ordinals(arrays: Sequence[U32], n: int) -> I64:
    """Return which numbers below `n` are there, rising."""
    seen = np.zeros(n, np.uint8)
    for array in arrays:
        kernels.mark(array, seen)
    return np.flatnonzero(seen)


def placed_among(used: I64, array: U32, n: int) -> U32:
    """Return the place of each number, all below `n`, among those in use."""
    if len(used) == n:
        return array
    ranks = np.full(n, NONE, np.uint32)
    ranks[used] = np.arange(len(used), dtype=np.uint32)
    return renumbered(array, ranks)


def renumbered(array: U32, numbers: U32) -> U32:
    out = np.empty(len(array), np.uint32)
    kernels.renumber_into(array, numbers, out)
    return out


# --- terms -------------------------------------------------------------------------------
_NO_BYTES: U8 = np.empty(0, np.uint8)


class Strings(NamedTuple):
    """Strings one after the other."""

    starts: I64
    blob: U8

    def at(self, i: int) -> bytes:
        return self.blob[self.starts[i] : self.starts[i + 1]].tobytes()

    @property
    def n(self) -> int:
        return len(self.starts) - 1

    def chosen(self, places: I64) -> Strings:
        """Return some of the strings."""
        lengths = self.starts[places + 1] - self.starts[places]
        starts = np.zeros(len(places) + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        blob = np.empty(int(starts[-1]), np.uint8)
        copy_strings(self.starts, self.blob, places, starts, blob)
        return Strings(starts, blob)


def strings_of(values: Sequence[bytes]) -> Strings:
    starts = np.zeros(len(values) + 1, np.int64)
    np.cumsum([len(value) for value in values], out=starts[1:])
    return Strings(starts, np.frombuffer(bytearray(b"".join(values)), np.uint8))


def chained(parts: Sequence[Strings]) -> Strings:
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.starts) for part in parts)])
    return Strings(np.cumsum(sizes), np.concatenate([_NO_BYTES, *(part.blob for part in parts)]))


class TermKeys(NamedTuple):
    maps: list[U32]
    """Of each list of strings, the key of each."""
    strings: Strings
    order: I64
    """Of each key, one of the strings."""

    @property
    def n(self) -> int:
        return len(self.order)

    def term(self, key: int) -> bytes:
        return self.strings.at(int(self.order[key]))


def key_strings(parts: Sequence[Strings]) -> TermKeys:
    """Number the strings of several lists in the order of their bytes."""
    whole = chained(parts)
    n = whole.n
    hashes = np.empty(n, np.uint64)
    hash_strings(whole.starts, whole.blob, hashes)
    slots = np.zeros(1 << max(4, (2 * n).bit_length()), np.uint64)
    firsts, numbers = np.empty(n, np.int64), np.empty(n, np.uint32)
    n_distinct = number_strings(whole.starts, whole.blob, hashes, slots, firsts, numbers)
    order = byte_order(whole, firsts[:n_distinct])
    rank = np.empty(n_distinct, np.uint32)
    rank[order] = np.arange(n_distinct, dtype=np.uint32)
    ends = np.cumsum([part.n for part in parts], dtype=np.int64)[:-1]
    return TermKeys(np.split(rank[numbers], ends), whole, firsts[:n_distinct][order])


def byte_order(strings: Strings, chosen: I64) -> I64:
    """Return what sorts the chosen strings, all different, by their bytes."""
    prefixes = np.empty((len(chosen), 2), np.uint64)
    read_prefixes(strings.starts, strings.blob, chosen, prefixes)
    order = np.lexsort((prefixes[:, 1], prefixes[:, 0]))
    ordered = prefixes[order]
    ties = np.flatnonzero((ordered[1:] == ordered[:-1]).all(axis=1))
    if len(ties):
        # strings that agree in 16 bytes: URLs, long ids
        for run in np.split(ties, np.flatnonzero(np.diff(ties) > 1) + 1):
            begin, end = int(run[0]), int(run[-1]) + 2
            order[begin:end] = sorted(
                order[begin:end].tolist(), key=lambda i: strings.at(int(chosen[i]))
            )
    return order
