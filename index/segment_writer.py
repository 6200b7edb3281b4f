"""The sections of a segment, made from a draft (of a flush or a merge)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Protocol, runtime_checkable

import msgspec
import numpy as np

from index.bm25 import average_length
from index.columns import canonical, counts_of, encode_column
from index.directory import Directory
from index.draft import EncodedTerms, SegmentDraft
from index.format import Kind, Section, section
from index.keys import encode_keys, join_bytes
from index.lengths import encode_lengths
from index.options import IndexOptions
from index.packed import encode_packed
from index.postings import PostingsWriter
from index.reader import I64, U8, U32, U64, Column, FieldStats
from index.stored import PackedSources, encode_sources
from index.terms import TermsWriter


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


@runtime_checkable
class StreamedDraft(PackedSources, Protocol):
    """A draft of any size, made of segments: it hands out one field at a time, terms with encoded
    postings, and sources in whole frames."""

    def encoded_terms(self, impacts: I64) -> Iterator[EncodedTerms]:
        """Yield all terms; a chunk is good until the next one. At most once.

        `impacts`: i64[2, fields], of each field number the addresses of the output's norms and of
        its table of lengths (`packing.encode_postings`), or zeros.
        """

    @property
    def n_docs(self) -> int: ...

    def text_present(self) -> dict[int, U64]: ...

    def keys(self) -> tuple[U8, I64]: ...

    def versions(self) -> I64: ...

    def offsets(self) -> I64: ...

    def tombstones(self) -> dict[bytes, int]: ...

    def lengths_of(self, field_no: int) -> U32:
        """Return one of `SegmentDraft.lengths`."""

    def each_column(self) -> Iterator[tuple[int, Column]]:
        """Yield `SegmentDraft.columns` by rising number."""


class SegmentWriter:
    """Turns a draft into sections. Terms come first: a merge knows its ordinals only then. META
    comes last, when the statistics of all fields are known. Thread rule: one thread."""

    def __init__(
        self,
        directory: Directory,
        draft: SegmentDraft | StreamedDraft,
        fields: dict[int, NamedField],
        options: IndexOptions,
        pace: Callable[[int], None] = lambda n_bytes: None,
    ) -> None:
        """`pace` is called after each chunk of terms with 0: nothing is written yet."""
        self._pace = pace
        self._draft = draft
        self._fields = fields
        self._options = options
        self._n_docs = draft.n_docs
        present = draft.text_present()
        self._text = {no: bits for no, bits in sorted(present.items()) if bits.any()}
        self._lengths = {} if isinstance(draft, StreamedDraft) else draft.lengths()
        self._norms: dict[int, U8] = {}
        averages: dict[int, float] = {}
        for no in self._text:
            lengths = self._lengths_of(no)
            self._norms[no] = encode_lengths(lengths)
            averages[no] = average_length(_stats_of(lengths))
        self._infos: list[FieldInfo] = []
        self._terms = TermsWriter(directory.scratch)
        self._postings = PostingsWriter(self._n_docs, self._norms, averages, directory.scratch)

    def sections(self) -> Iterator[Section]:
        """Yield all sections; at most once. `info` is there afterwards."""
        draft, options = self._draft, self._options
        self._take_terms()
        yield from self._terms.sections()
        yield from self._postings.sections()
        yield from self._text_sections()
        yield from self._column_sections()
        yield from encode_keys(*draft.keys())
        offsets = np.ascontiguousarray(draft.offsets(), np.int64)
        yield encode_packed(Kind.OFFSETS, offsets)
        versions = np.ascontiguousarray(draft.versions(), np.int64)
        if not np.array_equal(versions, offsets):
            yield encode_packed(Kind.VERSIONS, versions)
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

    def _take_terms(self) -> None:
        draft = self._draft
        if isinstance(draft, StreamedDraft):
            for encoded in draft.encoded_terms(self._postings.impacts):
                self._terms.add(encoded)
                self._postings.add_encoded(encoded)
                self._pace(0)
            return
        for chunk in draft.term_chunks():
            self._terms.add(chunk)
            self._postings.add(chunk)

    def _lengths_of(self, no: int) -> U32:
        draft = self._draft
        lengths = draft.lengths_of(no) if isinstance(draft, StreamedDraft) else self._lengths[no]
        return np.ascontiguousarray(lengths, np.uint32)

    def _text_sections(self) -> Iterator[Section]:
        for no, present in self._text.items():
            lengths = self._lengths_of(no)
            n_present = int(np.bitwise_count(present).sum())
            self._note(no, "text", n_present, *_stats_of(lengths))
            yield encode_packed(Kind.LENGTHS, lengths.astype(np.int64), no)
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
                yield from encode_column(no, column, self._n_docs)

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


def _stats_of(lengths: U32) -> FieldStats:
    return FieldStats(int(np.count_nonzero(lengths)), int(lengths.sum(dtype=np.int64)))
