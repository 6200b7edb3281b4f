"""The terms of a memtable and their postings: growing arrays around the kernels.

Kernels never allocate: where an array is full they stop, the array is doubled here, and they
go on. A reader keeps the arrays it was made with; they hold all that it may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.analysis.analyzer import PADDING, Analyzer
from index.analysis.terms import Expansion, Mapped
from index.growth import grown
from index.kernels import intern, term_table
from index.kernels.append import append_documents, append_positions
from index.kernels.chains import CHAIN_WIDTH, LAST_SIZE, count_documents
from index.kernels.gather import gather
from index.kernels.living import copy_all, copy_living, count_living, sort_ties
from index.kernels.tokenize import scan_whole
from index.kernels.vocabulary import copy_terms, sketch_terms
from index.reader import I64, U8, U32, U64

I32 = npt.NDArray[np.int32]


class Sketches:
    """A word a term that tells which characters it has, made as far as somebody asks. Thread rule:
    any thread; two that ask at once write the same."""

    def __init__(self) -> None:
        self._made = (0, np.zeros(64, np.uint64))

    def of(self, records: U64, blob: U8, n: int) -> U64:
        """Return the sketches of the first `n` terms, and maybe of more."""
        done, sketches = self._made
        if done < n:
            if len(sketches) < n:
                grown = np.zeros(max(n, 2 * len(sketches)), np.uint64)
                grown[:done] = sketches[:done]
                sketches = grown
            sketch_terms(records, blob, done, n, sketches)
            self._made = n, sketches
        return sketches


class Terms(NamedTuple):
    """The terms as of one moment; see kernels/term_table.py and kernels/chains.py. Thread rule:
    any thread."""

    n: int
    slots: U64
    records: U64
    blob: U8
    chains: U64
    pool: U32
    pool_address: int
    sketches: Sketches

    def table_row(self, n_docs: int) -> I64:
        """Return the TABLE row by which kernels look terms up for a reader of `n_docs` documents;
        it names arrays that live as long as this object."""
        row = np.empty(term_table.TABLE_WIDTH, np.int64)
        row[:] = (
            self.slots.ctypes.data, len(self.slots), self.records.ctypes.data, self.n,
            self.blob.ctypes.data, len(self.blob), self.chains.ctypes.data,
            self.pool_address, len(self.pool), n_docs,
        )  # fmt: skip
        return row

    def find(self, field_no: int, term: bytes) -> int:
        """Return the id of a term that has postings, or -1."""
        if len(term) > 0xFFFF or field_no > 0xFFFF:
            return -1
        text = np.frombuffer(bytearray(term), np.uint8)
        row = self.table_row(0)
        return int(term_table.find_table_term(row, text, 0, len(term), field_no))

    def field_no(self, term_id: int) -> int:
        return int(self.records[term_id, 2]) & 0xFFFF

    def bytes_of(self, term_id: int) -> bytes:
        info = int(self.records[term_id, 2])
        begin = info >> 32
        return self.blob[begin : begin + (info >> 16 & 0xFFFF)].tobytes()

    def doc_freq(self, term_id: int, n_docs: int) -> int:
        """Return how many documents below `n_docs` have the term."""
        state = int(self.chains[term_id, 2])
        if state >> 32 < n_docs:
            return state & 0xFFFFFFFF
        # Documents came after; they are at the chain's end, so it must be walked.
        return int(count_documents(self.pool, self.head(term_id), n_docs))

    def head(self, term_id: int) -> int:
        return int(self.chains[term_id, 0]) >> 32

    def with_postings(self) -> I64:
        """Return the ids of all terms that have postings."""
        return np.flatnonzero(self.chains[: self.n, 0])

    def sorted_by_bytes(self, ids: I64) -> I64:
        """Return `ids` in the order of (field number, bytes)."""
        infos = self.records[ids, 2]
        fields = infos & np.uint64(0xFFFF)
        present = np.unique(fields)
        if len(present) == 1:
            return self._sorted_of_field(ids)
        return np.concatenate(
            [np.empty(0, np.int64), *(self._sorted_of_field(ids[fields == no]) for no in present)]
        )

    def _sorted_of_field(self, ids: I64) -> I64:
        heads = self.records[ids, 0].byteswap()
        order = np.argsort(heads)
        ordered: I64 = ids[order]
        sort_ties(self.records, self.blob, heads[order], ordered)
        return ordered

    def copy_terms(self, ids: I64) -> tuple[I64, U8]:
        """Return (starts, blob) of the terms."""
        starts = np.zeros(len(ids) + 1, np.int64)
        lengths = (self.records[ids, 2] >> np.uint64(16)) & np.uint64(0xFFFF)
        np.cumsum(lengths.astype(np.int64), out=starts[1:])
        blob = np.empty(int(starts[-1]), np.uint8)
        copy_terms(self.records, self.blob, ids, starts, blob)
        return starts, blob

    def counts_below(self, ids: I64, n_docs: int) -> tuple[I64, I64] | None:
        """Return (postings, positions) of each term; None where some have documents from `n_docs`
        on, so that they would have to be counted."""
        states = self.chains[ids, 2]
        if np.any(states >> np.uint64(32) >= n_docs):
            return None
        n_postings = (states & np.uint64(0xFFFFFFFF)).astype(np.int64)
        return n_postings, self.chains[ids, 3].astype(np.int64)

    def count_living(self, ids: I64, doc_map: I64) -> tuple[I64, I64]:
        """Return (postings, positions) of each term in the documents that `doc_map` keeps."""
        n_postings, n_positions = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        count_living(self.chains, self.pool, ids, doc_map, n_postings, n_positions)
        return n_postings, n_positions

    def copy_all(self, ids: I64, n_postings: int, n_positions: int) -> tuple[U32, U32, U32]:
        """Return what `copy_living` would if all documents were kept. Requires: `counts_below`
        has counted."""
        docs, tfs = np.empty(n_postings, np.uint32), np.empty(n_postings, np.uint32)
        positions = np.empty(n_positions, np.uint32)
        copy_all(self.chains, self.pool, ids, docs, tfs, positions)
        return docs, tfs, positions

    def copy_living(
        self, ids: I64, doc_map: I64, n_postings: int, n_positions: int
    ) -> tuple[U32, U32, U32]:
        """Return (docs, tfs, positions) of the terms, one after the other, as counted before."""
        docs, tfs = np.empty(n_postings, np.uint32), np.empty(n_postings, np.uint32)
        positions = np.empty(n_positions, np.uint32)
        copy_living(self.chains, self.pool, ids, doc_map, docs, tfs, positions)
        return docs, tfs, positions


class Spans(NamedTuple):
    """Strings text[begins[i]:begins[i] + sizes[i]] of documents; those of one field come together,
    its documents rising."""

    text: U8
    """With 16 bytes or more after the last."""
    begins: I64
    sizes: I64
    docs: U32
    fields: U32


class _Reserve(NamedTuple):
    """Lengths that arrays go to at once when they are no longer small."""

    terms: int
    blob: int
    pool: int


class Vocabulary:
    """Thread rule: the apply thread only; what `terms` returns goes to any."""

    def __init__(self, reserve_bytes: int = 0) -> None:
        """`reserve_bytes`: what a memtable may grow to; see `growth.grown`."""
        self._slots = np.zeros(256, np.uint64)
        self._records = np.zeros((64, 4), np.uint64)
        self._blob = np.zeros(1024, np.uint8)
        n_terms = 1 << (reserve_bytes // 256).bit_length() - 1 if reserve_bytes >= 256 else 0
        self._reserve = _Reserve(n_terms, reserve_bytes // 32, reserve_bytes // 8)
        self._counts = np.zeros(3, np.int64)
        self._expansions: I32 = np.zeros((16, 2), np.int32)
        self._n_expansions = 0
        """Rows in use."""
        self._chains = np.zeros((64, CHAIN_WIDTH), np.uint64)
        self._pool = np.zeros(4 * LAST_SIZE, np.uint32)
        self._pool_address = self._pool.ctypes.data
        self._pool_counts = np.ones(1, np.int64)
        self._sketches = Sketches()
        self._room: U8 = np.empty(0, np.uint8)

    @property
    def n_bytes(self) -> int:
        """Bytes in use; what is allocated beyond them has not been touched, or not much of it."""
        n_terms, n_blob, _ = self._counts.tolist()
        n_words = int(self._pool_counts[0])
        return n_terms * 80 + n_blob + 8 * self._n_expansions + 4 * n_words

    def terms(self) -> Terms:
        return Terms(
            int(self._counts[0]),
            self._slots,
            self._records,
            self._blob,
            self._chains,
            self._pool,
            self._pool_address,
            self._sketches,
        )

    # --- append ------------------------------------------------------------------------
    def add_texts(self, analyzer: Analyzer, spans: Spans) -> U32:
        """Append the tokens of texts; return how many each has.

        Requires: within a field, documents are above those of earlier calls.
        """
        docs, fields = spans.docs, spans.fields
        text, starts = self._joined(spans)
        continues = np.zeros(len(docs), np.uint8)
        continues[1:] = (docs[1:] == docs[:-1]) & (fields[1:] == fields[:-1])
        text, tokens = analyzer.scan_text(text, starts, continues)
        ids, terms, n_open = self._intern(text, tokens, fields)
        lengths = np.zeros(len(docs), np.uint32)
        if analyzer.overlaps:
            self._append(tokens, terms, docs, lengths)
            return _count_positions(tokens, len(docs))
        if n_open:
            self._resolve(analyzer, ids, terms, n_open)
            n = intern.settle(ids, terms, self._records, self._expansions)
            if n >= 0:
                tokens, terms = self._expand(tokens, ids, terms, continues, n, lengths)
                self._append(tokens, terms, docs, np.zeros_like(lengths))
                return lengths
        self._append(tokens, terms, docs, lengths)
        return lengths

    def _joined(self, spans: Spans) -> tuple[U8, I64]:
        """Return the strings one after the other, padded, and their starts; good until the next
        call: memory that was used before costs less than new memory."""
        starts = np.zeros(len(spans.sizes) + 1, np.int64)
        np.cumsum(spans.sizes, out=starts[1:])
        size = int(starts[-1]) + len(PADDING)
        if size > len(self._room):
            self._room = np.empty(size + size // 4, np.uint8)
        text = self._room[:size]
        gather(spans.text, spans.begins, starts, text)
        return text, starts

    def add_keywords(self, spans: Spans) -> I32:
        """Append the strings, each a term of its document; return their term ids."""
        n = len(spans.docs)
        tokens = np.empty((n, 4), np.uint32)
        tokens[:, 0] = spans.begins
        tokens[:, 1] = spans.sizes << 1
        tokens[:, 2] = np.arange(n)
        ids = self._intern(spans.text, tokens, spans.fields)[0]
        done = 0
        while True:
            done = append_documents(
                done, n, ids, spans.docs, self._chains, self._pool, self._pool_counts
            )
            if done == n:
                return ids
            self._grow_pool()

    def _append(self, tokens: U32, terms: I32, docs: U32, lengths: U32) -> None:
        done, n = 0, len(tokens)
        while True:
            done = append_positions(
                tokens, done, n, terms, docs, self._chains, self._pool, self._pool_counts, lengths
            )
            if done == n:
                return
            self._grow_pool()

    def _intern_whole(self, values: Sequence[bytes], fields: U32, mark: int) -> I32:
        """Return the ids of values as spellings, one token each."""
        starts = np.zeros(len(values) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=starts[1:])
        text = np.frombuffer(bytearray().join((*values, PADDING)), np.uint8)
        tokens = np.empty((len(values), 4), np.uint32)
        scan_whole(starts, np.zeros(len(values), np.uint8), np.uint32(mark), tokens)
        return self._intern(text, tokens, fields)[0]

    def _intern(self, text: U8, tokens: U32, fields: U32) -> tuple[I32, I32, int]:
        """Return (spellings, terms or -1, how many are -1) of tokens."""
        ids, terms = np.empty(len(tokens), np.int32), np.empty(len(tokens), np.int32)
        self._counts[2] = 0
        done, n = 0, len(tokens)
        while True:
            done = intern.intern_tokens(
                text, tokens, done, n, fields, self._slots, self._records,
                self._blob, self._counts, ids, terms,
            )  # fmt: skip
            if done == n:
                return ids, terms, int(self._counts[2])
            self._grow_terms(int(tokens[done, 1]) >> 1)

    # --- what spellings stand for --------------------------------------------------------
    def _resolve(self, analyzer: Analyzer, ids: I32, terms: I32, n_open: int) -> None:
        """Find out what the new spellings stand for."""
        pending = np.empty(n_open, np.int64)
        pending = pending[: intern.ask_pending(ids, terms, self._records, pending)]
        if not len(pending):
            return
        fields = (self._records[pending, 2] & np.uint64(0xFFFF)).astype(np.uint32)
        mapped = analyzer.lookup(self._spellings(pending))
        opened = [_opened(one) for one in mapped]
        sizes = np.fromiter((len(one.terms) for one in opened), np.int64, len(opened))
        targets = self._intern_whole(
            [term for one in opened for term, _ in one.terms],
            np.repeat(fields, sizes),
            int(analyzer.maps_targets),
        )
        kinds = np.where(sizes == 0, intern.REMOVED, intern.ONE)
        numbers = np.zeros(len(opened), np.int64)
        begins = np.cumsum(sizes) - sizes
        numbers[sizes > 0] = targets[begins[sizes > 0]]
        for i, one in enumerate(opened):
            if not _is_plain(one):
                kinds[i] = intern.SEVERAL
                numbers[i] = self._add_expansion(one, targets[begins[i] : begins[i] + sizes[i]])
        self._records[pending, 3] = (kinds << 32 | numbers).astype(np.uint64)

    def _spellings(self, ids: I64) -> list[bytes]:
        infos = self._records[ids, 2]
        begins, lengths = infos >> np.uint64(32), infos >> np.uint64(16) & np.uint64(0xFFFF)
        blob = self._blob.data
        return [
            bytes(blob[begin:end])
            for begin, end in zip(begins.tolist(), (begins + lengths).tolist(), strict=True)
        ]

    def _add_expansion(self, expansion: Expansion, targets: I32) -> int:
        row, n = self._n_expansions, len(targets)
        while row + 1 + n > len(self._expansions):
            self._expansions = grown(self._expansions, len(self._expansions) + 1)
        self._expansions[row] = n, expansion.advance
        self._expansions[row + 1 : row + 1 + n, 0] = targets
        self._expansions[row + 1 : row + 1 + n, 1] = [offset for _, offset in expansion.terms]
        self._n_expansions += 1 + n
        return row

    def _expand(
        self, tokens: U32, ids: I32, terms: I32, continues: U8, n: int, lengths: U32
    ) -> tuple[U32, I32]:
        """Return the `n` tokens that these stand for, and their terms; count them in `lengths`."""
        out_tokens, out_terms = np.zeros((n, 4), np.uint32), np.empty(n, np.int32)
        meets = intern.expand_tokens(
            tokens, ids, terms, continues, self._records, self._expansions,
            out_tokens, out_terms, lengths,
        )  # fmt: skip
        if not meets:
            return out_tokens, out_terms
        # Within a document a term's positions rise: a token may reach into the ones after it.
        runs = np.cumsum(continues == 0, dtype=np.int64)[out_tokens[:, 2]]
        order = np.lexsort((out_terms, out_tokens[:, 3], runs))
        keys = np.column_stack((runs, out_tokens[:, 3], out_terms))[order]
        is_first = np.ones(n, np.bool_)
        is_first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
        order = order[is_first]
        return out_tokens[order], out_terms[order]

    # --- growth: always into new arrays, at least twice as long ----------------------------
    def _grow_terms(self, n_more_bytes: int) -> None:
        n_terms, n_blob, _ = self._counts.tolist()
        reserve = self._reserve
        if n_terms == len(self._records):
            self._records = grown(self._records, n_terms + 1, reserve.terms)
            self._chains = grown(self._chains, n_terms + 1, reserve.terms)
        self._blob = grown(self._blob, n_blob + n_more_bytes, reserve.blob)
        if 2 * (n_terms + 1) > len(self._slots):
            length = max(2 * len(self._slots), 2 * len(self._records))
            slots = np.zeros(length, np.uint64)
            intern.fill_slots(self._records, self._blob, n_terms, slots)
            self._slots = slots

    def _grow_pool(self) -> None:
        self._pool = grown(self._pool, len(self._pool) + 1, self._reserve.pool)
        self._pool_address = self._pool.ctypes.data


def _count_positions(tokens: U32, n_texts: int) -> U32:
    """Return how many positions of each text have a token. Requires: tokens in order."""
    is_first = np.ones(len(tokens), np.bool_)
    is_first[1:] = (tokens[1:, 2:] != tokens[:-1, 2:]).any(axis=1)
    return np.bincount(tokens[is_first, 2], minlength=n_texts).astype(np.uint32)


_REMOVED = Expansion(())


def _opened(mapped: Mapped) -> Expansion:
    if mapped is None:
        return _REMOVED
    if isinstance(mapped, bytes):
        return Expansion(((mapped, 0),))
    return mapped._replace(terms=tuple(dict.fromkeys(mapped.terms)))


def _is_plain(expansion: Expansion) -> bool:
    """Return whether the token is one term or none, and takes one position."""
    return expansion.advance == 1 and (
        not expansion.terms or (len(expansion.terms) == 1 and expansion.terms[0][1] == 0)
    )
