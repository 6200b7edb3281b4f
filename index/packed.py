"""Arrays of whole numbers that take little room in a segment and can be read one by one.

The layout is that of kernels/packed.py.
"""

from __future__ import annotations

import numpy as np

from index.errors import CorruptionError
from index.format import NO_FIELD, Kind, Section, Sections, section
from index.kernels import packed as kernels
from index.reader import I64, U8


def pack(values: I64) -> U8:
    """Return the bytes of the numbers, packed."""
    n_blocks = -(-len(values) // kernels.PACKED_BLOCK)
    out = np.zeros(kernels.HEADER * n_blocks + 8 * len(values) + kernels.TAIL, np.uint8)
    n_bytes = kernels.pack_numbers(np.ascontiguousarray(values, np.int64), out)
    return out[:n_bytes]


def encode_packed(kind: Kind, values: I64, field: int = NO_FIELD) -> Section:
    """Return the section of packed numbers."""
    return section(kind, pack(values), field)


class Packed:
    """Mapped numbers. Thread rule: any thread."""

    def __init__(self, sections: Sections, kind: Kind, n: int, field: int = NO_FIELD) -> None:
        """Raises: CorruptionError where the section is not there or too short for `n` numbers."""
        self._data: U8 = sections.array(kind, np.uint8, field)
        self._name = sections.name
        self._offset = sections.offset(kind, field)
        self._kind = kind
        n_blocks = -(-n // kernels.PACKED_BLOCK)
        if len(self._data) < kernels.HEADER * n_blocks + kernels.TAIL:
            raise self._damaged()
        self.row = np.array([self._data.ctypes.data, len(self._data), n], np.int64)
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, place: int) -> int:
        """Return one number; places count from 0."""
        if not 0 <= place < self._n:
            raise IndexError(f"number {place} of {self._n}")
        return int(kernels.read_number(self.row, place))

    def at(self, places: I64) -> I64:
        """Return the numbers at some places. Raises: CorruptionError."""
        wanted = np.ascontiguousarray(places, np.int64)
        if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < self._n:
            raise IndexError(f"numbers {wanted.min()} to {wanted.max()} of {self._n}")
        out = np.empty(len(wanted), np.int64)
        if not kernels.read_numbers(self.row, wanted, out):
            raise self._damaged()
        return out

    def all(self) -> I64:
        """Return all numbers. Raises: CorruptionError."""
        out = np.empty(self._n, np.int64)
        if not kernels.unpack_numbers(self.row, out):
            raise self._damaged()
        return out

    def _damaged(self) -> CorruptionError:
        reason = f"section {self._kind.name.lower()} does not hold its numbers"
        return CorruptionError(self._name, self._offset, reason)
