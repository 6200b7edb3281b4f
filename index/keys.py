"""The keys of a segment's documents, and the table that finds a document by its key.

The layout is that of kernels/keys.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from index.format import Kind, Section, Sections, section
from index.kernels import keys as kernels
from index.reader import I64, U8


def encode_keys(blob: U8, starts: I64) -> Iterator[Section]:
    """Yield the sections for keys blob[starts[d]:starts[d + 1]]; of equal ones the last wins."""
    n_docs = len(starts) - 1
    # at most 3/4 full
    n_slots = 1 << max(2, (n_docs * 4 // 3).bit_length())
    slots = np.full(n_slots, kernels.EMPTY, np.uint64)
    kernels.build_keys(blob, starts, slots)
    yield section(Kind.KEY_SLOTS, slots)
    yield section(Kind.KEY_STARTS, starts)
    yield section(Kind.KEYS, blob[: starts[-1]])


def join_bytes(parts: Sequence[bytes]) -> tuple[U8, I64]:
    """Return (blob, starts) of byte strings."""
    starts = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=starts[1:])
    return np.frombuffer(bytearray(b"".join(parts)), np.uint8), starts


class Keys:
    """Mapped keys. Thread rule: any thread."""

    def __init__(self, sections: Sections, n_docs: int) -> None:
        """Raises: CorruptionError where the sections do not fit together."""
        self._starts = sections.array(Kind.KEY_STARTS, np.int64, n=n_docs + 1)
        self._blob = sections.array(Kind.KEYS, np.uint8)
        self._slots = sections.array(Kind.KEY_SLOTS, np.uint64)
        n_slots = len(self._slots)
        self._n_docs = n_docs
        self._row = np.zeros(kernels.KEYS_WIDTH, np.int64)
        if n_slots & (n_slots - 1) == 0:
            self._row[:] = [
                self._slots.ctypes.data, n_slots, self._blob.ctypes.data, len(self._blob),
                self._starts.ctypes.data, n_docs,
            ]  # fmt: skip

    def find(self, keys: Sequence[bytes]) -> I64:
        """Return the newest doc id of each key, or -1."""
        return self.find_all(*join_bytes(keys))

    def find_all(self, blob: U8, starts: I64) -> I64:
        """Return the newest doc id of each key blob[starts[i]:starts[i + 1]], or -1."""
        out = np.empty(len(starts) - 1, np.int64)
        kernels.find_keys(self._row, blob, starts, out)
        return out

    def key(self, doc_id: int) -> bytes:
        if not 0 <= doc_id < self._n_docs:
            raise IndexError(f"document {doc_id} of {self._n_docs}")
        return self._blob[self._starts[doc_id] : self._starts[doc_id + 1]].tobytes()

    def all(self) -> tuple[U8, I64]:
        """Return (blob, starts) of all keys, mapped."""
        return self._blob, self._starts
