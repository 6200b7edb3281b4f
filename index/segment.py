"""Segments: one immutable file each, written once and then mapped.

`write_segment` takes a draft (of a flush or a merge), `Segment` is the reader. Equal drafts
give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np

from index.columns import (
    check_column,
    open_column,
    open_present,
)
from index.directory import Directory
from index.draft import SegmentDraft
from index.errors import CorruptionError, StorageError
from index.format import Kind, Sections, SegmentFile
from index.kernels import lookup
from index.keys import Keys
from index.manifest import SegmentMeta as SegmentMeta
from index.options import IndexOptions
from index.packed import Packed
from index.postings import Postings
from index.reader import I64, U8, U32, U64, Column, FieldStats
from index.segment_writer import (
    FieldInfo,
    NamedField,
    SegmentInfo,
    SegmentWriter,
    StreamedDraft,
)
from index.stored import Stored
from index.terms import Terms


# --- writing -------------------------------------------------------------------------------
def write_segment(
    directory: Directory,
    name: str,
    draft: SegmentDraft | StreamedDraft,
    fields: Iterable[NamedField],
    options: IndexOptions,
    pace: Callable[[int], None] = lambda n_bytes: None,
) -> SegmentMeta:
    """Write a draft to a new file whose bytes are durable on return; its name is not, until
    `directory.sync()`. The file is read back and checked before it is kept. `pace` is called
    with the bytes of each piece of work that is done.

    Raises: StorageError; nothing is left behind then.
    """
    by_number = {field.no: field for field in fields}
    writer = SegmentWriter(directory, draft, by_number, options, pace)
    file = SegmentFile()
    try:
        n_bytes = directory.write_file(name, _paced(file.chunks(writer.sections()), pace))
    finally:
        writer.close()
    assert n_bytes == file.n_bytes, "the directory lost count"
    info = writer.info
    meta = SegmentMeta(
        name, info.n_docs, n_bytes, file.crc, info.first_offset, info.last_offset,
        info.n_tombstones,
    )  # fmt: skip
    try:
        Segment.open(directory, meta, "table").check(directory, pace)
    except BaseException:
        with suppress(StorageError):
            directory.delete(name)
        raise
    return meta


def _paced(chunks: Iterator[bytes | U8], pace: Callable[[int], None]) -> Iterator[bytes | U8]:
    for chunk in chunks:
        yield chunk
        pace(len(chunk))


# --- reading -------------------------------------------------------------------------------
Check = Literal["sections", "table"]
"""What is checked when a segment is opened: all of its bytes, or the footer and table only."""


class Segment:
    """A mapped segment, a `reader.Reader`. Thread rule: any thread. It is closed when its last
    reference goes; its file may be deleted before that."""

    def __init__(self, sections: Sections, meta: SegmentMeta) -> None:
        self.meta = meta
        self.is_checked = False
        """Whether every byte has been read and agrees with its checksum."""
        self.sections = sections
        self.info = _read_info(sections)
        info = self.info
        n_docs = info.n_docs
        if n_docs != meta.n_docs or len(sections.data) != meta.n_bytes:
            raise CorruptionError(meta.name, 0, "not as large as the manifest says")
        counts = {field.no: field.n_terms for field in info.fields}
        self._n_docs = n_docs
        self._field_nos = frozenset(counts)
        self.terms = Terms(sections, counts, info.longest_term)
        self.postings = Postings(sections, self.terms.n_terms)
        self.keys = Keys(sections, n_docs)
        self.stored = Stored(sections, n_docs)
        self.offsets = Packed(sections, Kind.OFFSETS, n_docs)
        self.versions = self.offsets
        if sections.has(Kind.VERSIONS):
            self.versions = Packed(sections, Kind.VERSIONS, n_docs)
        self._stats: dict[int, FieldStats] = {}
        self._present: dict[int, U64] = {}
        self._lengths: dict[int, Packed] = {}
        self._norms: dict[int, U8] = {}
        self._columns: dict[int, Column] = {}
        self._sound_columns: set[int] = set()
        for field in info.fields:
            self._open_field(field)
        self._bind()

    @classmethod
    def open(cls, directory: Directory, meta: SegmentMeta, check: Check = "sections") -> Segment:
        """Map a segment. Raises: CorruptionError naming the file and the byte."""
        segment = cls(Sections(meta.name, directory.map(meta.name), meta.crc), meta)
        if check == "sections":
            segment.check(directory)
        return segment

    def check(self, directory: Directory, pace: Callable[[int], None] = lambda n: None) -> None:
        """Read every byte, unless that has been done. Any thread. Raises: CorruptionError."""
        if not self.is_checked:
            # In a mapping of its own: the check reads every page, and they go with it.
            name = self.meta.name
            Sections(name, directory.map(name), self.meta.crc).verify(pace)
            self.is_checked = True

    def _open_field(self, field: FieldInfo) -> None:
        sections, no, n_docs = self.sections, field.no, self._n_docs
        self._stats[no] = FieldStats(field.n_docs, field.total_length)
        self._present[no] = open_present(sections, no, n_docs)
        if field.kind == "text":
            self._lengths[no] = Packed(sections, Kind.LENGTHS, n_docs, no)
            self._norms[no] = sections.array(Kind.NORMS, np.uint8, no, n=n_docs)
        else:
            self._columns[no] = open_column(
                sections, no, field.kind, n_docs, field.n_present, field.total_length
            )

    def _bind(self) -> None:
        """Answer the busiest questions without a call in between."""
        self.find_term = self.terms.find
        self.term_bytes = self.terms.term_bytes
        self.term_names = self.terms.names
        self.prefix_terms = self.terms.prefix
        self.terms_between = self.terms.between
        self.matching_terms = self.terms.matching
        self.fuzzy_terms = self.terms.fuzzy
        self.ord_term = self.terms.ord_term
        self.ord_terms = self.terms.ord_terms
        self.leaf = self.postings.leaf
        self.source_row = self.postings.source_row
        self.doc_freq = self.postings.doc_freq
        self.positions = self.postings.positions
        self.key = self.keys.key
        self.source = self.stored.source

    @property
    def n_docs(self) -> int:
        return self._n_docs

    @property
    def field_nos(self) -> frozenset[int]:
        return self._field_nos

    # --- fields ------------------------------------------------------------------------
    def describe(self, field_no: int, row: I64) -> None:
        place = self.terms.fields.get(field_no)
        if place is None:
            return
        norms = self._norms.get(field_no)
        row[: lookup.POSTINGS + 1] = (
            lookup.SEGMENT, self._n_docs, 0, 0 if norms is None else norms.ctypes.data, 0, field_no,
            self.terms.row.ctypes.data, place.first_block, place.n_terms, place.first,
            self.postings.row.ctypes.data,
        )  # fmt: skip

    def field_stats(self, field_no: int) -> FieldStats:
        return self._stats.get(field_no, FieldStats(0, 0))

    def norms(self, field_no: int) -> U8 | None:
        return self._norms.get(field_no)

    def lengths(self, field_no: int) -> U32 | None:
        lengths = self._lengths.get(field_no)
        return lengths.all().astype(np.uint32) if lengths is not None else None

    def lengths_of(self, field_no: int, doc_ids: U32) -> U32 | None:
        lengths = self._lengths.get(field_no)
        if lengths is None:
            return None
        return lengths.at(doc_ids.astype(np.int64)).astype(np.uint32)

    def column(self, field_no: int) -> Column | None:
        """Return the field's values. The first call looks at all starts and ordinals.

        Raises: CorruptionError where they lead nowhere.
        """
        column = self._columns.get(field_no)
        if column is not None and field_no not in self._sound_columns:
            check_column(self.sections, field_no, column, self.terms.fields[field_no].n_terms)
            self._sound_columns.add(field_no)
        return column

    def present(self, field_no: int) -> U64 | None:
        return self._present.get(field_no)

    # --- documents ---------------------------------------------------------------------
    def find_key(self, key: bytes) -> int:
        return int(self.keys.find([key])[0])

    def find_keys(self, keys: Sequence[bytes]) -> I64:
        """Return for each key its newest doc id, dead or alive, or -1."""
        return self.keys.find(keys)

    def version(self, doc_id: int) -> int:
        return self.versions[doc_id]

    def offset(self, doc_id: int) -> int:
        return self.offsets[doc_id]

    def tombstones(self) -> dict[bytes, int]:
        """Return key -> version of the deletes that are remembered here."""
        return dict(self._tombstones)

    @cached_property
    def _tombstones(self) -> dict[bytes, int]:
        if not self.info.n_tombstones:
            return {}
        sections, n = self.sections, self.info.n_tombstones
        starts = sections.array(Kind.TOMBSTONE_STARTS, np.int64, n=n + 1).tolist()
        blob = sections.array(Kind.TOMBSTONES, np.uint8).tobytes()
        versions = sections.array(Kind.TOMBSTONE_VERSIONS, np.int64, n=n).tolist()
        keys = [blob[start:end] for start, end in pairwise(starts)]
        return dict(zip(keys, versions, strict=True))


def _read_info(sections: Sections) -> SegmentInfo:
    data = sections.array(Kind.META, np.uint8).tobytes()
    try:
        return msgspec.json.decode(data, type=SegmentInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptionError(sections.name, sections.offset(Kind.META), str(error)) from None
