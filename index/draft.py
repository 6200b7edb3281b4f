"""A segment about to be written: what a flush and a merge both hand to `segment.write_segment`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from index.reader import I64, U8, U32, U64, Column


class TermChunk(NamedTuple):
    """Consecutive terms with their postings; chunks come in (field_no, term bytes) order.

    Term t is `blob[term_starts[t]:term_starts[t+1]]` of field `field_nos[t]`; its postings are
    `docs` and `tfs` from `posting_starts[t]` to `posting_starts[t+1]`, doc ids rising; the
    positions of posting p are the next `tfs[p]` of `positions`, in posting order. A term of a
    field without positions has none there: `position_starts[t] == position_starts[t+1]`.
    """

    field_nos: U32
    term_starts: I64
    blob: U8
    posting_starts: I64
    docs: U32
    tfs: U32
    position_starts: I64
    positions: U32


class EncodedTerms(NamedTuple):
    """Consecutive terms whose postings are encoded already, as they lie in the segment.

    The first three members are those of `TermChunk`, the others what kernels/postings.py says,
    offsets and numbers of blocks being those of the whole segment.
    """

    field_nos: U32
    term_starts: I64
    blob: U8
    records: U64
    last_docs: U32
    doc_metas: U64
    pos_metas: U64
    data: U8
    positions: U8


class Run(NamedTuple):
    """Byte strings of consecutive documents, one after the other: blob[starts[i]:starts[i + 1]]."""

    blob: U8
    starts: I64

    @classmethod
    def of(cls, parts: Sequence[bytes]) -> Run:
        starts = np.zeros(len(parts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=starts[1:])
        return cls(np.frombuffer(bytearray().join(parts), np.uint8), starts)


class SegmentDraft(Protocol):
    """Doc ids are already the segment's own: 0 .. n_docs - 1, in log order."""

    @property
    def n_docs(self) -> int: ...

    def term_chunks(self) -> Iterator[TermChunk]:
        """Yield all terms, a bounded number of postings at a time. At most once."""

    def lengths(self) -> dict[int, U32]:
        """Return, for each text field, the length in tokens of each document (u32[n_docs])."""

    def columns(self) -> dict[int, Column]:
        """Return, for each field that is not text, its values. Ordinals count the field's terms in
        byte order, as `term_chunks` yields them."""

    def text_present(self) -> dict[int, U64]:
        """Return, for each text field, the bitset of documents with a value, even one without
        tokens."""

    def keys(self) -> tuple[U8, I64]:
        """Return (blob, starts i64[n_docs + 1])."""

    def versions(self) -> I64: ...

    def offsets(self) -> I64: ...

    def sources(self) -> Iterator[bytes | Run]:
        """Yield every source once, in order of doc ids."""

    def tombstones(self) -> dict[bytes, int]:
        """Return key -> version of the deletes that must be remembered."""
