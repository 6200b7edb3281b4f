"""Byte strings of a memtable's documents, and the table that finds a document by its key.

Arrays only grow at their end, into new ones where they are full: a snapshot keeps those that it
was made with. Thread rule: the apply thread; snapshots: any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from index.growth import grown
from index.kernels import live_keys as kernels
from index.reader import I64, U8, U64

_FIRST_BYTES = 4096
_FIRST_DOCS = 64


class BytesSnapshot(NamedTuple):
    """String d is blob[starts[d]:starts[d + 1]]."""

    blob: U8
    starts: I64

    def get(self, doc_id: int) -> bytes:
        return self.blob[self.starts[doc_id] : self.starts[doc_id + 1]].tobytes()


class LiveBytes:
    """One byte string a document."""

    def __init__(self, reserve_bytes: int = 0) -> None:
        """`reserve_bytes`: what all may grow to; see `grown`."""
        self._blob: U8 = np.zeros(_FIRST_BYTES, np.uint8)
        self._reserve = reserve_bytes
        self._starts: I64 = np.zeros(_FIRST_DOCS + 1, np.int64)
        self._n_docs = 0

    @property
    def n_bytes(self) -> int:
        return int(self._starts[self._n_docs]) + 8 * self._n_docs

    def append(self, blob: U8, starts: I64) -> None:
        """Add blob[starts[i]:starts[i + 1]]; what follows starts[-1] is no matter."""
        first, n_docs = self._n_docs, self._n_docs + len(starts) - 1
        begin = int(self._starts[first])
        end = begin + int(starts[-1])
        self._starts = grown(self._starts, n_docs + 1)
        self._blob = grown(self._blob, end, self._reserve)
        self._blob[begin:end] = blob[: starts[-1]]
        self._starts[first + 1 : n_docs + 1] = starts[1:] + begin
        self._n_docs = n_docs

    def snapshot(self) -> BytesSnapshot:
        return BytesSnapshot(self._blob, self._starts)


class KeyBatch(NamedTuple):
    """Keys to look for or to add: key i is blob[starts[i]:starts[i + 1]]."""

    blob: U8
    """With PADDING after the last."""
    starts: I64
    hashes: U64

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> KeyBatch:
        starts = np.zeros(len(keys) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, keys), np.int64, len(keys)), out=starts[1:])
        blob = np.frombuffer(bytearray().join((*keys, bytes(kernels.PADDING))), np.uint8)
        hashes = np.empty(len(keys), np.uint64)
        kernels.hash_live_keys(blob, starts, hashes)
        return cls(blob, starts, hashes)


class KeysSnapshot(NamedTuple):
    """The keys of documents 0 .. n_docs - 1; the arrays may hold more."""

    keys: BytesSnapshot
    slots: U64
    older: I64
    n_docs: int

    def find(self, key: bytes) -> int:
        """Return the newest document of the key, or -1."""
        return int(self.find_batch(KeyBatch.of([key]))[0])

    def find_batch(self, wanted: KeyBatch) -> I64:
        out = np.empty(len(wanted.hashes), np.int64)
        kernels.find_live_keys(
            self.slots, self.keys.blob, self.keys.starts, self.older, self.n_docs,
            wanted.blob, wanted.starts, wanted.hashes, out,
        )  # fmt: skip
        return out


class LiveKeys:
    """The keys of a memtable. Slots and `older` are replaced together: what the slots that a
    reader has lead to is always within the `older` that it has."""

    def __init__(self) -> None:
        self._keys = LiveBytes()
        self._capacity = _FIRST_DOCS
        self._hashes: U64 = np.zeros(self._capacity, np.uint64)
        self._older: I64 = np.zeros(self._capacity, np.int64)
        self._slots: U64 = np.full(2 * self._capacity, kernels.EMPTY, np.uint64)
        self._n_docs = 0

    @property
    def n_bytes(self) -> int:
        return self._keys.n_bytes + 16 * self._n_docs + self._slots.nbytes

    def append(self, batch: KeyBatch) -> None:
        """Add the keys of further documents; of equal ones the last is the newest."""
        first, n_docs = self._n_docs, self._n_docs + len(batch.hashes)
        if n_docs > self._capacity:
            self._grow(n_docs)
        self._keys.append(batch.blob, batch.starts)
        self._hashes[first:n_docs] = batch.hashes
        blob, starts = self._keys.snapshot()
        kernels.add_live_keys(blob, starts, self._hashes, first, n_docs, self._slots, self._older)
        self._n_docs = n_docs

    def _grow(self, n_docs: int) -> None:
        self._hashes = grown(self._hashes, n_docs)
        self._older = grown(self._older, n_docs)
        self._capacity = len(self._older)
        slots = np.full(2 * self._capacity, kernels.EMPTY, np.uint64)
        kernels.move_slots(self._slots, self._hashes, slots)
        self._slots = slots

    def snapshot(self) -> KeysSnapshot:
        return KeysSnapshot(self._keys.snapshot(), self._slots, self._older, self._n_docs)
