"""The keys of a segment's documents, and the table that finds a document by its key.

The layout is that of kernels/keys.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from index.draft import Run
from index.errors import CorruptionError
from index.format import Kind, Section, Sections, section
from index.kernels import keys as kernels
from index.packed import Packed, encode_packed
from index.reader import I64, U8


def encode_keys(blob: U8, starts: I64) -> Iterator[Section]:
    """Yield the sections for keys blob[starts[d]:starts[d + 1]]; of equal ones the last wins."""
    # two thirds full
    slots = np.full((len(starts) - 1) * 3 // 2 + 2, kernels.EMPTY, np.uint32)
    kernels.build_keys(blob, starts, slots)
    yield section(Kind.KEY_SLOTS, slots)
    yield encode_packed(Kind.KEY_STARTS, starts)
    yield section(Kind.KEYS, blob[: starts[-1]])


def join_bytes(parts: Sequence[bytes]) -> Run:
    """Return (blob, starts) of byte strings."""
    return Run.of(parts)


class Keys:
    """Mapped keys. Thread rule: any thread."""

    def __init__(self, sections: Sections, n_docs: int) -> None:
        """Raises: CorruptionError where the sections do not fit together."""
        self._starts = Packed(sections, Kind.KEY_STARTS, n_docs + 1)
        self._blob = sections.array(Kind.KEYS, np.uint8)
        self._slots = sections.array(Kind.KEY_SLOTS, np.uint32)
        self._n_docs = n_docs
        self._name = sections.name
        self._offset = sections.offset(Kind.KEY_STARTS)
        self._row = np.zeros(kernels.KEYS_WIDTH, np.int64)
        self._row[:] = [
            self._slots.ctypes.data, len(self._slots), self._blob.ctypes.data, len(self._blob),
            *self._starts.row[:2], n_docs,
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
        """Return (blob, starts) of all keys. Raises: CorruptionError where they do not follow
        each other."""
        starts = self._starts.all()
        if starts[0] != 0 or starts[-1] != len(self._blob) or np.any(np.diff(starts) < 0):
            raise CorruptionError(self._name, self._offset, "keys do not follow each other")
        return self._blob, starts
