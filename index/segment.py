"""Segments: one immutable file each, written once and then mapped.

`write_segment` takes a draft (of a flush or a merge), `Segment` is the reader. Equal drafts
give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Literal, Protocol, runtime_checkable

import msgspec
import numpy as np

from index.columns import (
    canonical,
    counts_of,
    encode_column,
    open_column,
    open_present,
)
from index.directory import Directory
from index.draft import SegmentDraft
from index.errors import CorruptionError, StorageError
from index.format import Kind, Section, Sections, SegmentFile, section
from index.keys import Keys, encode_keys, join_bytes
from index.lengths import encode_lengths
from index.manifest import SegmentMeta as SegmentMeta
from index.options import IndexOptions
from index.postings import Postings, PostingsWriter
from index.reader import I64, U8, U32, U64, Column, FieldStats
from index.stored import PackedSources, Stored, encode_sources
from index.terms import Terms, TermsWriter


class NamedField(Protocol):
    """What a segment notes of a field, for people who look into it."""

    @property
    def no(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...


class FieldInfo(msgspec.Struct, frozen=True):
    """One field that some document has."""

    no: int
    name: str
    type: str
    kind: Literal["text", "i64", "f64", "ord"]
    n_present: int
    """Documents with a value."""
    n_docs: int
    """Documents with a token (text) or a value; `FieldStats.n_docs`."""
    total_length: int
    """Tokens (text) or values; `FieldStats.total_length`."""
    n_terms: int


class SegmentInfo(msgspec.Struct, frozen=True):
    """The META section."""

    n_docs: int
    first_offset: int
    last_offset: int
    n_tombstones: int
    longest_term: int
    fields: list[FieldInfo]
    """By number. A text field comes first by what it is: it has lengths, the others values."""


# --- writing -------------------------------------------------------------------------------
def write_segment(
    directory: Directory,
    name: str,
    draft: SegmentDraft,
    fields: Iterable[NamedField],
    options: IndexOptions,
) -> SegmentMeta:
    """Write a draft to a new file whose bytes are durable on return; its name is not, until
    `directory.sync()`. The file is read back and checked before it is kept.

    Raises: StorageError; nothing is left behind then.
    """
    writer = _SegmentWriter(directory, draft, {field.no: field for field in fields}, options)
    file = SegmentFile()
    try:
        n_bytes = directory.write_file(name, file.chunks(writer.sections()))
    finally:
        writer.close()
    assert n_bytes == file.n_bytes, "the directory lost count"
    info = writer.info
    meta = SegmentMeta(
        name, info.n_docs, n_bytes, file.crc, info.first_offset, info.last_offset,
        info.n_tombstones,
    )  # fmt: skip
    try:
        Segment.open(directory, meta)
    except StorageError:
        directory.delete(name)
        raise
    return meta


@runtime_checkable
class StreamedDraft(PackedSources, Protocol):
    """A draft of any size: it hands out one field at a time, and sources in whole frames."""

    def lengths_of(self, field_no: int) -> U32:
        """Return one of `SegmentDraft.lengths`."""

    def each_column(self) -> Iterator[tuple[int, Column]]:
        """Yield `SegmentDraft.columns` by rising number."""


class _SegmentWriter:
    """Turns a draft into sections. Terms come first: a merge knows its ordinals only then. META
    comes last, when the statistics of all fields are known."""

    def __init__(
        self,
        directory: Directory,
        draft: SegmentDraft,
        fields: dict[int, NamedField],
        options: IndexOptions,
    ) -> None:
        self._draft = draft
        self._fields = fields
        self._options = options
        self._n_docs = draft.n_docs
        present = draft.text_present()
        self._text = {no: bits for no, bits in sorted(present.items()) if bits.any()}
        self._lengths = {} if isinstance(draft, StreamedDraft) else draft.lengths()
        self._norms: dict[int, U8] = {no: encode_lengths(self._lengths_of(no)) for no in self._text}
        self._infos: list[FieldInfo] = []
        self._terms = TermsWriter(directory.scratch)
        self._postings = PostingsWriter(self._n_docs, self._norms, directory.scratch)

    def sections(self) -> Iterator[Section]:
        """Yield all sections; at most once. `info` is there afterwards."""
        draft, options = self._draft, self._options
        for chunk in draft.term_chunks():
            self._terms.add(chunk)
            self._postings.add(chunk)
        yield from self._terms.sections()
        yield from self._postings.sections()
        yield from self._text_sections()
        yield from self._column_sections()
        yield from encode_keys(*draft.keys())
        offsets = np.ascontiguousarray(draft.offsets(), np.int64)
        yield section(Kind.OFFSETS, offsets)
        versions = np.ascontiguousarray(draft.versions(), np.int64)
        if not np.array_equal(versions, offsets):
            yield section(Kind.VERSIONS, versions)
        tombstones = sorted(draft.tombstones().items())
        if tombstones:
            yield from _encode_tombstones(tombstones)
        yield from encode_sources(
            draft.packed_sources() if isinstance(draft, StreamedDraft) else draft.sources(),
            self._n_docs,
            options.stored_block_bytes,
            options.zstd_level,
        )
        self.info = SegmentInfo(
            n_docs=self._n_docs,
            first_offset=int(offsets[0]) if len(offsets) else -1,
            last_offset=int(offsets[-1]) if len(offsets) else -1,
            n_tombstones=len(tombstones),
            longest_term=self._terms.longest,
            fields=sorted(self._infos, key=lambda info: info.no),
        )
        yield section(Kind.META, msgspec.json.encode(self.info))

    def _lengths_of(self, no: int) -> U32:
        draft = self._draft
        lengths = draft.lengths_of(no) if isinstance(draft, StreamedDraft) else self._lengths[no]
        return np.ascontiguousarray(lengths, np.uint32)

    def _text_sections(self) -> Iterator[Section]:
        for no, present in self._text.items():
            lengths = self._lengths_of(no)
            n_present = int(np.bitwise_count(present).sum())
            n_docs = int(np.count_nonzero(lengths))
            self._note(no, "text", n_present, n_docs, int(lengths.sum(dtype=np.int64)))
            yield section(Kind.LENGTHS, lengths, no)
            yield section(Kind.NORMS, self._norms[no], no)
            yield section(Kind.PRESENT, present, no)

    def _column_sections(self) -> Iterator[Section]:
        draft = self._draft
        if isinstance(draft, StreamedDraft):
            columns = draft.each_column()
        else:
            columns = iter(sorted(draft.columns().items()))
        for no, as_given in columns:
            column = canonical(as_given, self._n_docs)
            counts = counts_of(column, self._n_docs)
            n_docs = int(np.count_nonzero(counts))
            if n_docs:
                self._note(no, column.kind, n_docs, n_docs, int(counts.sum()))
                yield from encode_column(no, column)

    def _note(
        self,
        no: int,
        kind: Literal["text", "i64", "f64", "ord"],
        n_present: int,
        n_docs: int,
        total_length: int,
    ) -> None:
        field = self._fields.get(no)
        name, type_ = (field.name, field.type) if field is not None else ("", "")
        n_terms = self._terms.counts.get(no, 0)
        self._infos.append(
            FieldInfo(no, name, type_, kind, n_present, n_docs, total_length, n_terms)
        )

    def close(self) -> None:
        self._terms.close()
        self._postings.close()


def _encode_tombstones(tombstones: list[tuple[bytes, int]]) -> Iterator[Section]:
    blob, starts = join_bytes([key for key, _ in tombstones])
    yield section(Kind.TOMBSTONE_STARTS, starts)
    yield section(Kind.TOMBSTONES, blob)
    yield section(Kind.TOMBSTONE_VERSIONS, np.array([v for _, v in tombstones], np.int64))


# --- reading -------------------------------------------------------------------------------
Check = Literal["sections", "table"]
"""What is checked when a segment is opened: all of its bytes, or the footer and table only."""


class Segment:
    """A mapped segment, a `reader.Reader`. Thread rule: any thread. It is closed when its last
    reference goes; its file may be deleted before that."""

    def __init__(self, sections: Sections, meta: SegmentMeta) -> None:
        self.meta = meta
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
        self.offsets: I64 = sections.array(Kind.OFFSETS, np.int64, n=n_docs)
        self.versions: I64 = self.offsets
        if sections.has(Kind.VERSIONS):
            self.versions = sections.array(Kind.VERSIONS, np.int64, n=n_docs)
        self._stats: dict[int, FieldStats] = {}
        self._present: dict[int, U64] = {}
        self._lengths: dict[int, U32] = {}
        self._norms: dict[int, U8] = {}
        self._columns: dict[int, Column] = {}
        for field in info.fields:
            self._open_field(field)
        self._bind()

    @classmethod
    def open(cls, directory: Directory, meta: SegmentMeta, check: Check = "sections") -> Segment:
        """Map a segment. Raises: CorruptionError naming the file and the byte."""
        sections = Sections(meta.name, directory.map(meta.name), meta.crc)
        if check == "sections":
            sections.verify()
        return cls(sections, meta)

    def _open_field(self, field: FieldInfo) -> None:
        sections, no, n_docs = self.sections, field.no, self._n_docs
        self._stats[no] = FieldStats(field.n_docs, field.total_length)
        self._present[no] = open_present(sections, no, n_docs)
        if field.kind == "text":
            self._lengths[no] = sections.array(Kind.LENGTHS, np.uint32, no, n=n_docs)
            self._norms[no] = sections.array(Kind.NORMS, np.uint8, no, n=n_docs)
        else:
            self._columns[no] = open_column(
                sections, no, field.kind, n_docs, field.n_present, field.total_length
            )

    def _bind(self) -> None:
        """Answer the busiest questions without a call in between."""
        self.find_term = self.terms.find
        self.term_bytes = self.terms.term_bytes
        self.prefix_terms = self.terms.prefix
        self.wildcard_terms = self.terms.wildcard
        self.ord_term = self.terms.ord_term
        self.leaf = self.postings.leaf
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
    def field_stats(self, field_no: int) -> FieldStats:
        return self._stats.get(field_no, FieldStats(0, 0))

    def norms(self, field_no: int) -> U8 | None:
        return self._norms.get(field_no)

    def lengths(self, field_no: int) -> U32 | None:
        return self._lengths.get(field_no)

    def column(self, field_no: int) -> Column | None:
        return self._columns.get(field_no)

    def present(self, field_no: int) -> U64 | None:
        return self._present.get(field_no)

    # --- documents ---------------------------------------------------------------------
    def find_key(self, key: bytes) -> int:
        return int(self.keys.find([key])[0])

    def find_keys(self, keys: Sequence[bytes]) -> I64:
        """Return for each key its newest doc id, dead or alive, or -1."""
        return self.keys.find(keys)

    def version(self, doc_id: int) -> int:
        return int(self.versions[doc_id])

    def offset(self, doc_id: int) -> int:
        return int(self.offsets[doc_id])

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
