"""What a query sees: the protocol that a segment and a memtable snapshot both answer.

Doc ids of a reader are 0 .. n_docs - 1. A reader is immutable: a memtable hands out a reader
of the documents it holds now, and later appends do not show in it. Which documents are still
alive is not the reader's business but the `View`'s, because deletes come after.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from index.automaton.automaton import Automaton
from index.fuzzy import FuzzyPattern, FuzzyTerms
from index.kernels import lookup

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


class FieldStats(NamedTuple):
    """What BM25 needs to know of a field. Over a reader: all documents; over a view: live ones."""

    n_docs: int
    """Documents that have at least one token (text) or value (anything else) in the field."""
    total_length: int
    """Tokens of the field in all of them (for a keyword: values)."""


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one field, document by document.

    `starts` None: at most one value each; `values[d]` is doc d's where `present` has its bit,
    anything where not. `starts` (u32[n_docs + 1]): doc d has `values[starts[d]:starts[d+1]]`.
    """

    kind: Literal["i64", "f64", "ord"]
    """i64: integers, dates (epoch milliseconds), booleans (0, 1). f64: floats. ord: u32 ordinals
    of the field's terms in byte order (`Reader.ord_term`)."""
    values: np.ndarray
    present: U64 | None
    """Bitset of the documents with a value, u64[(n_docs + 63) // 64]; None: all have one."""
    starts: U32 | None
    zones: np.ndarray | None = None
    """Of numbers: the least and the greatest value of each 1024 documents (kernels/zones.py)."""


@runtime_checkable
class Reader(Protocol):
    """One searchable unit. Thread rule: any thread, at any time."""

    @property
    def n_docs(self) -> int: ...

    @property
    def field_nos(self) -> frozenset[int]:
        """Fields that some document here has."""

    # --- terms -------------------------------------------------------------------------
    def find_term(self, field_no: int, term: bytes) -> int:
        """Return the term's id in this reader, or -1."""

    def term_bytes(self, term_id: int) -> bytes: ...

    def term_names(self, term_ids: I64, field_no: int) -> list[bytes]:
        """Return the bytes of terms of one field."""

    def prefix_terms(self, field_no: int, prefix: bytes, limit: int) -> I64:
        """Return ids of at most `limit` of the field's terms that start so (b"": all)."""

    def terms_between(self, field_no: int, low: bytes | None, high: bytes | None) -> I64:
        """Return ids of the field's terms from `low` on and below `high`, in byte order; None: no
        bound."""

    def matching_terms(self, field_no: int, automaton: Automaton, limit: int) -> I64:
        """Return ids of at most `limit` of the field's terms that the automaton accepts."""

    def fuzzy_terms(self, field_no: int, pattern: FuzzyPattern, limit: int) -> FuzzyTerms:
        """Return at most `limit` of the field's terms that are near enough, in any order."""

    def describe(self, field_no: int, row: I64) -> None:
        """Fill `row` (i64[FIELD_WIDTH], zeros; kernels/lookup.py) so that kernels find the field's
        terms, all but ALIVE and SLACK. A field that no document has: `row` stays as it is."""

    # --- postings ----------------------------------------------------------------------
    def leaf(self, term_id: int, row: I64) -> None:
        """Fill `row` (i64[ROW_WIDTH]) so that kernels can walk the term's postings. The memory
        it names lives as long as this reader."""

    def source_row(self) -> I64:
        """Return the row by which kernels/union.py reaches all postings; the memory it names lives
        as long as this reader."""

    def doc_freq(self, term_id: int) -> int:
        """Return how many documents have the term, dead ones included (an upper bound while a
        memtable grows)."""

    def positions(self, term_id: int, doc_ids: U32) -> tuple[I64, U32]:
        """Return (starts i64[n + 1], positions u32): the token positions of the term in each of
        `doc_ids` (rising; a document without the term has none)."""

    # --- fields ------------------------------------------------------------------------
    def field_stats(self, field_no: int) -> FieldStats: ...

    def norms(self, field_no: int) -> U8 | None:
        """Return each document's length in tokens as Lucene's SmallFloat byte (`lengths.py`);
        0 = no tokens. None for a field that is not text here."""

    def lengths(self, field_no: int) -> U32 | None:
        """Return each document's exact length in tokens; None for a field that is not text here."""

    def lengths_of(self, field_no: int, doc_ids: U32) -> U32 | None:
        """Return the exact lengths of some documents only."""

    def column(self, field_no: int) -> Column | None:
        """Return the field's values; None for text, or where no document has a value."""

    def present(self, field_no: int) -> U64 | None:
        """Return the bitset of the documents with a value; None where none has."""

    def ord_term(self, field_no: int, ordinal: int) -> bytes: ...

    # --- documents ---------------------------------------------------------------------
    def find_key(self, key: bytes) -> int:
        """Return the newest doc id with this key, dead or alive, or -1."""

    def key(self, doc_id: int) -> bytes: ...

    def version(self, doc_id: int) -> int: ...

    def offset(self, doc_id: int) -> int:
        """Return the document's place in the log."""

    def source(self, doc_id: int) -> bytes:
        """Return the document as it came, JSON text."""


class ColumnRow(NamedTuple):
    """A column as kernels read it (kernels/ranges.py), all but the bounds of a range."""

    kind: str | None
    """As `Column.kind`; None: no document has a value."""
    row: I64
    owners: list[np.ndarray]
    """The arrays whose addresses are in the row."""
    span: tuple[int | float, int | float] | None = None
    """The least and the greatest value of numbers; None: not known, or there is a NaN."""
    is_full: bool = False
    """Every document has a value."""


@dataclass(frozen=True, slots=True)
class View:
    """A reader, and which of its documents were alive at one moment."""

    reader: Reader
    alive: U64 | None
    """Bitset, u64[(n_docs + 63) // 64], bits from n_docs on are 0; None: all are alive."""
    n_alive: int
    stats: dict[int, FieldStats] = field(default_factory=dict)
    """Over the live documents only, so that a score does not depend on what is merged when."""
    shard: int = 0
    segment: str = "memtable"
    """The segment's file name."""
    described: dict[int, I64] = field(default_factory=dict)
    """Rows that describe fields to kernels (kernels/lookup.py), kept from search to search."""
    columns: dict[int, ColumnRow] = field(default_factory=dict)
    """The same of columns."""

    def describe(self, field_no: int) -> I64:
        """Return the row of one field, i64[FIELD_WIDTH], all but SLACK."""
        row = self.described.get(field_no)
        if row is None:
            row = np.zeros(lookup.FIELD_WIDTH, np.int64)
            self.reader.describe(field_no, row)
            if self.alive is not None:
                row[lookup.ALIVE] = self.alive.ctypes.data
            self.described[field_no] = row
        return row


class Views(tuple[View, ...]):
    """The views of one moment. `memo` keeps what searches worked out about all of them."""

    memo: dict[str, Any]

    def __new__(cls, views: Iterable[View]) -> Views:
        made = super().__new__(cls, views)
        made.memo = {}
        return made


def bitset(n_docs: int) -> U64:
    """Return an empty bitset for `n_docs` documents."""
    return np.zeros((n_docs + 63) // 64, np.uint64)
