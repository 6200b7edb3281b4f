"""A memtable as one moment saw it, through the reader protocol."""

from __future__ import annotations

import numpy as np

from index.automaton.automaton import Automaton
from index.fuzzy import FuzzyPattern, FuzzyTerms, split_found
from index.kernels import lookup, union
from index.kernels import vocabulary as search
from index.kernels.chains import HEAD, N_DOCS, POOL, POOL_SIZE, find_positions
from index.kernels.grams import sketch_text
from index.kernels.rows import CHAIN, KIND, ROW_WIDTH, SIZE
from index.live_bytes import BytesSnapshot, KeyBatch, KeysSnapshot
from index.live_columns import ColumnSnapshot, TextSnapshot, first_bits
from index.reader import I64, U8, U32, U64, Column, FieldStats
from index.vocabulary import Terms

_NOTHING = FieldStats(0, 0)


class MemtableReader:
    """Thread rule: any thread, also while the memtable grows."""

    __slots__ = (
        "_keys",
        "_offsets",
        "_ordinals",
        "_sources",
        "_table_row",
        "_versions",
        "fields",
        "n_docs",
        "terms",
    )

    def __init__(
        self,
        n_docs: int,
        terms: Terms,
        fields: dict[int, TextSnapshot | ColumnSnapshot],
        keys: KeysSnapshot,
        sources: BytesSnapshot,
        versions: I64,
        offsets: I64,
    ) -> None:
        self.n_docs = n_docs
        self.terms = terms
        self.fields = fields
        self._keys = keys
        self._sources = sources
        self._versions = versions
        self._offsets = offsets
        self._ordinals: dict[int, tuple[Column, I64]] = {}
        self._table_row: I64 | None = None

    @property
    def field_nos(self) -> frozenset[int]:
        return frozenset(self.fields)

    # --- terms -------------------------------------------------------------------------
    def find_term(self, field_no: int, term: bytes) -> int:
        return self.terms.find(field_no, term)

    def table_row(self) -> I64:
        """Return the TABLE row (kernels/term_table.py) by which kernels look terms up here."""
        if self._table_row is None:
            self._table_row = self.terms.table_row(self.n_docs)
        return self._table_row

    def term_bytes(self, term_id: int) -> bytes:
        return self.terms.bytes_of(term_id)

    def term_names(self, term_ids: I64, field_no: int) -> list[bytes]:
        return [self.term_bytes(term_id) for term_id in term_ids.tolist()]

    def terms_between(self, field_no: int, low: bytes | None, high: bytes | None) -> I64:
        terms = self.terms
        out = np.empty(terms.n, np.int64)
        least, above = (np.frombuffer(bytearray(b or b""), np.uint8) for b in (low, high))
        n = search.scan_between(
            terms.records, terms.blob, terms.chains, terms.n, field_no, least, above,
            high is not None, out,
        )  # fmt: skip
        return out[:n]

    def prefix_terms(self, field_no: int, prefix: bytes, limit: int) -> I64:
        terms = self.terms
        out = np.empty(min(limit, terms.n), np.int64)
        text = np.frombuffer(bytearray(prefix), np.uint8)
        n = search.scan_prefix(*self._searched(), terms.n, field_no, sketch_text(text), text, out)
        return out[:n]

    def matching_terms(self, field_no: int, automaton: Automaton, limit: int) -> I64:
        if automaton.is_prefix:
            return self.prefix_terms(field_no, automaton.prefix, limit)
        terms = self.terms
        out = np.empty(min(limit, terms.n), np.int64)
        n = search.scan_program(
            *self._searched(), terms.n, field_no, automaton.sketch,
            automaton.program, automaton.class_of, len(automaton.class_lows), out,
        )  # fmt: skip
        return out[:n]

    def fuzzy_terms(self, field_no: int, pattern: FuzzyPattern, limit: int) -> FuzzyTerms:
        terms = self.terms
        out = np.empty((min(limit, terms.n), 3), np.int64)
        n = search.scan_fuzzy(
            *self._searched(), terms.n, field_no, pattern.sketch,
            np.frombuffer(bytearray(pattern.prefix), np.uint8), pattern.characters,
            pattern.max_edits, pattern.transposes, out,
        )  # fmt: skip
        return split_found(out[:n].copy())

    def _searched(self) -> tuple[U64, U8, U64, U64]:
        terms = self.terms
        sketches = terms.sketches.of(terms.records, terms.blob, terms.n)
        return terms.records, terms.blob, terms.chains, sketches

    # --- postings ----------------------------------------------------------------------
    def leaf(self, term_id: int, row: I64) -> None:
        terms = self.terms
        row[KIND] = CHAIN
        row[SIZE] = int(terms.chains[term_id, 2]) & 0xFFFFFFFF
        row[POOL] = terms.pool_address
        row[POOL_SIZE] = len(terms.pool)
        row[HEAD] = terms.head(term_id)
        row[N_DOCS] = self.n_docs

    def source_row(self) -> I64:
        terms = self.terms
        row = np.zeros(union.SOURCE_WIDTH, np.int64)
        row[:7] = (
            union.MEMTABLE, terms.chains.ctypes.data, *terms.chains.shape,
            terms.pool_address, len(terms.pool), self.n_docs,
        )  # fmt: skip
        return row

    def doc_freq(self, term_id: int) -> int:
        """Return the exact number; costs a walk where documents came after this reader."""
        return self.terms.doc_freq(term_id, self.n_docs)

    def positions(self, term_id: int, doc_ids: U32) -> tuple[I64, U32]:
        row = np.zeros(ROW_WIDTH, np.int64)
        self.leaf(term_id, row)
        wanted = np.ascontiguousarray(doc_ids, np.uint32)
        starts = np.zeros(len(wanted) + 1, np.int64)
        n = find_positions(row, wanted, starts, np.empty(0, np.uint32))
        out = np.empty(n, np.uint32)
        find_positions(row, wanted, starts, out)
        return starts, out

    # --- fields ------------------------------------------------------------------------
    def describe(self, field_no: int, row: I64) -> None:
        state = self.fields.get(field_no)
        if state is None:
            return
        norms = state.norms.ctypes.data if isinstance(state, TextSnapshot) else 0
        row[: lookup.TABLE + 1] = (
            lookup.MEMTABLE, self.n_docs, 0, norms, 0, field_no, self.table_row().ctypes.data
        )  # fmt: skip

    def field_stats(self, field_no: int) -> FieldStats:
        state = self.fields.get(field_no)
        return state.stats if state is not None else _NOTHING

    def norms(self, field_no: int) -> U8 | None:
        state = self.fields.get(field_no)
        return state.norms[: self.n_docs] if isinstance(state, TextSnapshot) else None

    def lengths(self, field_no: int) -> U32 | None:
        state = self.fields.get(field_no)
        return state.lengths[: self.n_docs] if isinstance(state, TextSnapshot) else None

    def lengths_of(self, field_no: int, doc_ids: U32) -> U32 | None:
        lengths = self.lengths(field_no)
        return lengths[doc_ids] if lengths is not None else None

    def present(self, field_no: int) -> U64 | None:
        state = self.fields.get(field_no)
        return first_bits(state.bits, self.n_docs) if state is not None else None

    def column(self, field_no: int) -> Column | None:
        """Return the field's values. Of a keyword each document's are sorted, and the first call
        sorts the field's terms."""
        state = self.fields.get(field_no)
        if not isinstance(state, ColumnSnapshot):
            return None
        if state.kind == "ord":
            return self._with_ordinals(field_no, state)[0]
        return state.column(self.n_docs)

    def term_column(self, field_no: int) -> Column | None:
        """Return a keyword field's values as term ids, in no order: it costs nothing to make."""
        state = self.fields.get(field_no)
        if not isinstance(state, ColumnSnapshot) or state.kind != "ord":
            return None
        return state.column(self.n_docs)

    def ord_term(self, field_no: int, ordinal: int) -> bytes:
        state = self.fields[field_no]
        assert isinstance(state, ColumnSnapshot)
        return self.term_bytes(int(self._with_ordinals(field_no, state)[1][ordinal]))

    def _with_ordinals(self, field_no: int, state: ColumnSnapshot) -> tuple[Column, I64]:
        known = self._ordinals.get(field_no)
        if known is None:
            known = self._ordinals[field_no] = to_ordinals(self.terms, state.column(self.n_docs))
        return known

    # --- documents ---------------------------------------------------------------------
    def find_key(self, key: bytes) -> int:
        return self._keys.find(key)

    def find_batch(self, keys: KeyBatch) -> I64:
        """Return the newest document of each key, or -1."""
        return self._keys.find_batch(keys)

    def key(self, doc_id: int) -> bytes:
        return self._keys.keys.get(self._known(doc_id))

    def version(self, doc_id: int) -> int:
        return int(self._versions[self._known(doc_id)])

    def offset(self, doc_id: int) -> int:
        return int(self._offsets[self._known(doc_id)])

    def source(self, doc_id: int) -> bytes:
        return self._sources.get(self._known(doc_id))

    @property
    def keys(self) -> BytesSnapshot:
        """All keys; there may be more than documents."""
        return self._keys.keys

    @property
    def sources(self) -> BytesSnapshot:
        """All sources; there may be more than documents."""
        return self._sources

    def versions_of(self, doc_ids: I64) -> I64:
        return self._versions[doc_ids]

    def offsets_of(self, doc_ids: I64) -> I64:
        return self._offsets[doc_ids]

    def _known(self, doc_id: int) -> int:
        if not 0 <= doc_id < self.n_docs:
            raise IndexError(f"document {doc_id} of {self.n_docs}")
        return doc_id


def counts_of(starts: U32) -> I64:
    """Return how many values each document has."""
    ends: I64 = starts[1:].astype(np.int64)
    return ends - starts[:-1]


def to_ordinals(terms: Terms, column: Column) -> tuple[Column, I64]:
    """Return a column of term ids with ordinals in their place, those of a document rising, and
    the term id of each ordinal. A document without a value has ordinal 0 or none."""
    values = column.values
    if column.starts is None and column.present is not None:
        bits = np.unpackbits(column.present.view(np.uint8), bitorder="little")[: len(values)]
        used = values[bits.astype(np.bool_)]
    else:
        used = values
    is_used = np.zeros(terms.n, np.bool_)
    is_used[used] = True
    ordered = terms.sorted_by_bytes(np.flatnonzero(is_used))
    rank = np.zeros(terms.n, np.uint32)
    rank[ordered] = np.arange(len(ordered), dtype=np.uint32)
    ordinals = rank[np.where(values < terms.n, values, 0)]
    if column.starts is not None:
        docs = np.repeat(np.arange(len(column.starts) - 1), counts_of(column.starts))
        ordinals = ordinals[np.lexsort((ordinals, docs))]
    return Column("ord", ordinals, column.present, column.starts), ordered
