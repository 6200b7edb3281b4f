"""The sources of a batch, read by the kernel; what it leaves is read one by one.

The kernel (kernels/documents.py) takes what is plainly as mapped. A document that it leaves has
no values here: `source.parse_object` and `Extractor.parse` decide what it is, and whether.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from index.errors import MappingError
from index.extract import Extractor
from index.kernels import documents as kernels
from index.layout import Layout
from index.options import IndexOptions
from index.reader import I64, U8
from index.schema import SchemaRef
from index.values import FIRST, PADDING, SECOND, Values, bits_of

_FIRST_ROWS = 1 << 12
_MAX_KNOWN = 10_000
_UNKNOWN = object()
_MAX_AGAIN = 4
"""Times that the rest of a batch is read again because fields were added."""


class Reading:
    """What the sources of one batch hold, until its reader reads the next one. Thread rule: one
    thread."""

    def __init__(self, reader: DocumentReader, sources: Sequence[bytes]) -> None:
        self._reader = reader
        text = np.frombuffer(bytearray().join((*sources, bytes(PADDING))), np.uint8)
        self.starts: I64 = np.zeros(len(sources) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, sources), np.int64, len(sources)), out=self.starts[1:])
        self.text: U8 = text
        """The sources, one after the other, and padding."""
        self.is_found: U8 = np.zeros(len(sources), np.uint8)
        """1 where the kernel has read the document."""
        self._n_again = 0
        self._out = reader.copy_of(text)
        self._converted = bytearray()
        """Strings that are not in the documents as they are indexed."""
        self.values = Values(self._out, np.empty((0, 4), np.int64))
        """Of the documents that are found, by their number in the batch."""
        self._read(0)

    @property
    def is_whole(self) -> bool:
        """Return whether every document is found."""
        return bool(self.is_found.all())

    def read_again(self, first: int) -> None:
        """Read the documents from `first` on with the fields that there are by now. At most some
        times a batch: one whose every document has a new field is not read over and over."""
        if self._n_again < _MAX_AGAIN:
            self._n_again += 1
            self._read(first)

    def _read(self, first: int) -> None:
        kept = self.values.rows[self.values.rows[:, 0] < first]
        rows = self._reader.scan(
            self.text, self._out, self.starts, first, self.is_found, self._converted
        )
        text = self._out
        if self._converted:
            more = np.frombuffer(self._converted + bytes(PADDING), np.uint8)
            text = np.concatenate((text, more))
        self.values = Values(text, np.concatenate((kept, rows)) if len(kept) else rows)


class DocumentReader:
    """Reads batches by the schema that is current. Thread rule: one thread."""

    def __init__(self, schema_ref: SchemaRef, options: IndexOptions, extractor: Extractor) -> None:
        self._ref = schema_ref
        self._options = options
        self._extractor = extractor
        self._schema = schema_ref.current
        self._layout = Layout(self._schema, options)
        self._rows: I64 = np.empty((_FIRST_ROWS, 4), np.int64)
        self._counts: I64 = np.zeros(2, np.int64)
        self._room: U8 = np.empty(0, np.uint8)
        self._known: dict[tuple[int, bytes], Any] = {}
        """What values were converted to, lately."""

    def read(self, sources: Sequence[bytes]) -> Reading:
        """Read documents; an empty source is none, and not found."""
        return Reading(self, sources)

    def copy_of(self, text: U8) -> U8:
        """Return a copy, good until the next one: memory that was used before costs less."""
        if len(text) > len(self._room):
            self._room = np.empty(len(text) + len(text) // 4, np.uint8)
        out = self._room[: len(text)]
        out[:] = text
        return out

    def scan(
        self, text: U8, out: U8, starts: I64, first: int, is_found: U8, more: bytearray
    ) -> I64:
        """Return the rows of documents `first` on; note in `is_found` which are found. What becomes
        of converted strings is added to `more`, which is taken to follow `out`."""
        if self._schema is not self._ref.current:
            self._known.clear()
            self._schema = self._ref.current
            self._layout = Layout(self._schema, self._options)
        layout = self._layout
        n = len(starts) - 1
        self._counts[0] = 0
        while True:
            rows = self._rows
            first = kernels.scan_documents(
                text, out, starts, first, n, layout.nodes, layout.limits, layout.slots,
                layout.names, layout.outputs, layout.hints, layout.stamps,
                self._options.max_depth, rows, rows.view(np.float64), self._counts, is_found,
            )  # fmt: skip
            if first == n:
                return self._convert(rows[: self._counts[0]].copy(), text, is_found, more)
            self._rows = np.concatenate((rows, np.empty_like(rows)))

    def _convert(self, rows: I64, text: U8, is_found: U8, more: bytearray) -> I64:
        """Convert the values that the kernel left as they are. A document that has one which does
        not fit is not found: the slow path says why."""
        pending = np.flatnonzero(rows[:, SECOND] < 0)
        if not len(pending):
            return rows
        is_kept = np.ones(len(rows), np.bool_)
        for at in pending.tolist():
            doc, _, span, node = rows[at].tolist()
            begin = span >> 16
            literal = text[begin : begin + (span & 0xFFFF)].tobytes()
            rows[at, SECOND] = 0
            try:
                converted = self._converted(-1 - node, literal)
            except (MappingError, orjson.JSONDecodeError):
                is_found[doc] = 0
                continue
            if converted is None:
                is_kept[at] = False
            elif isinstance(converted, bytes):
                rows[at, FIRST:] = len(text) + len(more), len(converted)
                more += converted
            else:
                rows[at, FIRST] = bits_of(converted)
        kept: I64 = rows[is_kept & (is_found[rows[:, 0]] != 0)]
        return kept

    def _converted(self, node: int, literal: bytes) -> Any:
        """Return what the field at a node makes of a JSON text. Raises: MappingError."""
        known = self._known.get((node, literal), _UNKNOWN)
        if known is not _UNKNOWN:
            return known
        field = self._layout.fields[node]
        assert field is not None, "an object is not converted"
        converted = self._extractor.convert(field.name, orjson.loads(literal))
        if len(self._known) == _MAX_KNOWN:
            self._known.clear()
        self._known[node, literal] = converted
        return converted
