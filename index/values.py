"""The values of a batch of documents: a table, and the bytes that its strings lie in."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from index.reader import I64, U8

PADDING = 64
"""Bytes after the last string, so that kernels can load words past its end."""

DOC, FIELD, FIRST, SECOND = range(4)


class Values(NamedTuple):
    """Rows (document, field number, a, b), documents rising; those of one field of a document in
    the order given. Text and keyword: b bytes of `text` from a on; integers, dates and booleans:
    a; floats: the bits in a."""

    text: U8
    rows: I64

    def moved(self, docs: I64) -> Values:
        """Return the values with document d as docs[d], or left out where that is -1."""
        new = docs[self.rows[:, DOC]]
        kept = new >= 0
        rows = self.rows if kept.all() else self.rows[kept]
        rows = np.column_stack((new[kept], rows[:, FIELD:]))
        return Values(self.text, rows)

    def joined(self, other: Values) -> Values:
        """Return the values of both, in order of documents. Requires: no document is in both."""
        if not len(other.rows):
            return self
        shifted = other.rows.copy()
        is_string = shifted[:, SECOND] > 0
        shifted[is_string, FIRST] += len(self.text)
        rows = np.concatenate((self.rows, shifted))
        order = np.argsort(rows[:, DOC], kind="stable")
        return Values(np.concatenate((self.text, other.text)), rows[order])


def values_of(documents: Iterable[tuple[int, Mapping[int, Any]]]) -> Values:
    """Return as a table what `extract.ParsedDocument.values` has, document by document."""
    text = bytearray()
    rows: list[tuple[int, int, int, int]] = []
    for doc, values in documents:
        for no, value in values.items():
            for one in value if type(value) is list else (value,):
                if type(one) is bytes:
                    rows.append((doc, no, len(text), len(one)))
                    text += one
                else:
                    rows.append((doc, no, bits_of(one), 0))
    text += bytes(PADDING)
    return Values(np.frombuffer(text, np.uint8), np.array(rows, np.int64).reshape(len(rows), 4))


def bits_of(value: float) -> int:
    """Return an integer as it is, a float as the integer that has its bits."""
    if type(value) is float:
        bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
        return bits
    return int(value)
