"""What a memtable knows of each field, document by document: arrays that grow at the end.

A live field belongs to the apply thread; `snapshot()` gives what a reader keeps. Array cells of
a reader's documents never change afterwards; cells beyond them may be written at any moment.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from index.kernels.append import set_bits
from index.kernels.zones import ZONE_DOCS, widen_zones_f64, widen_zones_i64
from index.lengths import encode_lengths
from index.reader import I64, U8, U32, U64, Column, FieldStats

DTYPES: dict[str, type[np.generic]] = {"i64": np.int64, "f64": np.float64, "ord": np.uint32}


_ONE_EACH = np.empty(0, np.int64)


def no_zones(kind: str, n_docs: int) -> npt.NDArray[Any]:
    """Return the zone map of `n_docs` documents without a value."""
    zones: npt.NDArray[Any] = np.empty((-(-n_docs // ZONE_DOCS), 2), DTYPES[kind])
    if kind == "f64":
        zones[:] = np.inf, -np.inf
    elif kind == "i64":
        zones[:] = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    return zones.reshape(-1)


class TextSnapshot(NamedTuple):
    bits: U64
    lengths: U32
    norms: U8
    stats: FieldStats


class ColumnSnapshot(NamedTuple):
    """Of a keyword, `values` are term ids in the order given, not ordinals."""

    kind: Literal["i64", "f64", "ord"]
    bits: U64
    values: np.ndarray
    starts: U32 | None
    zones: np.ndarray
    """Of numbers (kernels/zones.py); they may take in later documents too."""
    stats: FieldStats

    def column(self, n_docs: int) -> Column:
        """Return the first `n_docs` documents' values. Requires: no more than when it was taken."""
        present = first_bits(self.bits, n_docs)
        zones = None if self.kind == "ord" else self.zones
        if self.starts is None:
            return Column(self.kind, self.values[:n_docs], present, None, zones)
        starts = self.starts[: n_docs + 1]
        return Column(self.kind, self.values[: int(starts[-1])], present, starts, zones)


def first_bits(bits: U64, n_docs: int) -> U64:
    """Return a copy of the first `n_docs` bits, those beyond them 0."""
    words = bits[: (n_docs + 63) // 64].copy()
    if n_docs % 64:
        words[-1] &= np.uint64((1 << n_docs % 64) - 1)
    return words


class LiveText:
    """One text field: lengths, norms and which documents have a value."""

    def __init__(self, capacity: int) -> None:
        self._bits = np.zeros((capacity + 63) // 64, np.uint64)
        self._lengths = np.zeros(capacity, np.uint32)
        self._norms = np.zeros(capacity, np.uint8)
        self._n_docs = 0
        self._total = 0

    def append(self, docs: U32, lengths: U32) -> None:
        """Add texts' lengths in tokens. Requires: docs rise; one with several texts comes once for
        each of them, one after the other."""
        set_bits(self._bits, docs)
        if len(docs) > 1 and bool((docs[1:] == docs[:-1]).any()):
            docs, inverse = np.unique(docs, return_inverse=True)
            lengths = np.bincount(inverse, weights=lengths).astype(np.uint32)
        self._lengths[docs] = lengths
        self._norms[docs] = encode_lengths(lengths)
        self._n_docs += int(np.count_nonzero(lengths))
        self._total += int(lengths.sum())

    def pad(self, n_docs: int) -> None:
        """Documents below `n_docs` have all been appended; those without a value need nothing."""

    def grow(self, capacity: int) -> None:
        self._bits = _grown(self._bits, (capacity + 63) // 64)
        self._lengths = _grown(self._lengths, capacity)
        self._norms = _grown(self._norms, capacity)

    def snapshot(self) -> TextSnapshot:
        stats = FieldStats(self._n_docs, self._total)
        return TextSnapshot(self._bits, self._lengths, self._norms, stats)

    @property
    def n_bytes(self) -> int:
        return self._bits.nbytes + self._lengths.nbytes + self._norms.nbytes


class LiveColumn:
    """One field of numbers or keywords: one value a document, until one has more.

    From then on values lie one after the other, and `starts` says whose they are.
    """

    def __init__(self, kind: Literal["i64", "f64", "ord"], capacity: int) -> None:
        self._kind = kind
        self._capacity = capacity
        self._bits = np.zeros((capacity + 63) // 64, np.uint64)
        self._values: np.ndarray = np.zeros(capacity, DTYPES[kind])
        self._zones = no_zones(kind, 0 if kind == "ord" else capacity)
        self._starts: U32 | None = None
        self._n_padded = 0
        """Documents whose end in `starts` is written."""
        self._n_docs = 0
        self._total = 0

    def append(self, docs: U32, values: np.ndarray, counts: I64 | None) -> None:
        """Add the values of documents that rise; `counts`: how many each has, None: one."""
        set_bits(self._bits, docs)
        if self._kind != "ord":
            widen = widen_zones_i64 if self._kind == "i64" else widen_zones_f64
            given = np.ascontiguousarray(values, self._values.dtype)
            widen(docs, given, _ONE_EACH if counts is None else counts, self._zones)
        if counts is not None and self._starts is None:
            self._spread(int(docs[0]))
        if self._starts is None:
            self._values[docs] = values
        else:
            self._append_many(self._starts, docs, values, counts)
        self._n_docs += len(docs)
        self._total += len(values)

    def _spread(self, n_docs: int) -> None:
        """Go over from one value a document to several, for the documents below `n_docs`."""
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little")[:n_docs]
        self._starts = np.zeros(self._capacity + 1, np.uint32)
        np.cumsum(bits, out=self._starts[1 : n_docs + 1])
        values = np.zeros(max(self._capacity, 2 * len(self._values)), self._values.dtype)
        values[: int(self._starts[n_docs])] = self._values[:n_docs][bits.astype(np.bool_)]
        self._values = values
        self._n_padded = n_docs

    def _append_many(self, starts: U32, docs: U32, values: np.ndarray, counts: I64 | None) -> None:
        begin = int(starts[self._n_padded])
        end = begin + len(values)
        if end > len(self._values):
            self._values = _grown(self._values, max(end, 2 * len(self._values)))
        self._values[begin:end] = values
        n_docs = int(docs[-1]) + 1
        per_doc = np.zeros(n_docs - self._n_padded, np.int64)
        per_doc[docs.astype(np.int64) - self._n_padded] = 1 if counts is None else counts
        starts[self._n_padded + 1 : n_docs + 1] = begin + np.cumsum(per_doc)
        self._n_padded = n_docs

    def pad(self, n_docs: int) -> None:
        """Documents below `n_docs` have all been appended; write that the others have no value."""
        if self._starts is not None and self._n_padded < n_docs:
            self._starts[self._n_padded + 1 : n_docs + 1] = self._starts[self._n_padded]
            self._n_padded = n_docs

    def grow(self, capacity: int) -> None:
        self._capacity = capacity
        self._bits = _grown(self._bits, (capacity + 63) // 64)
        zones = no_zones(self._kind, 0 if self._kind == "ord" else capacity)
        zones[: len(self._zones)] = self._zones
        self._zones = zones
        if self._starts is None:
            self._values = _grown(self._values, capacity)
        else:
            self._starts = _grown(self._starts, capacity + 1)

    def snapshot(self) -> ColumnSnapshot:
        stats = FieldStats(self._n_docs, self._total)
        return ColumnSnapshot(
            self._kind, self._bits, self._values, self._starts, self._zones, stats
        )

    @property
    def n_bytes(self) -> int:
        starts = self._starts.nbytes if self._starts is not None else 0
        return self._bits.nbytes + self._values.nbytes + starts


def _grown(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    grown = np.zeros(length, array.dtype)
    grown[: len(array)] = array
    return grown
