"""The terms of a memtable and their postings: growing arrays around the kernels.

Kernels never allocate: where an array is full they stop, the array is doubled here, and they
go on. A reader keeps the arrays it was made with; they hold all that it may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from index.analysis.analyzer import PADDING, Analyzer
from index.kernels.chains import (
    LAST_SIZE,
    append_documents,
    append_positions,
    copy_living,
    count_documents,
    count_living,
)
from index.kernels.tokenize import scan_whole
from index.kernels.vocabulary import (
    PENDING,
    REMOVED,
    copy_terms,
    fill_slots,
    find_term,
    intern_tokens,
)
from index.kernels.vocabulary_search import sketch_terms
from index.reader import I64, U8, U32, U64

Scalar = TypeVar("Scalar", bound=np.generic)


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
    """The terms as of one moment; see kernels/vocabulary.py and kernels/chains.py. Thread rule:
    any thread."""

    n: int
    slots: U64
    records: U64
    blob: U8
    chains: U64
    pool: U32
    pool_address: int
    sketches: Sketches

    def find(self, field_no: int, term: bytes) -> int:
        """Return the id of a term that has postings, or -1."""
        if len(term) > 0xFFFF or field_no > 0xFFFF:
            return -1
        text = np.frombuffer(bytearray(term + PADDING), np.uint8)
        found = find_term(text, len(term), field_no, self.slots, self.records, self.blob, self.n)
        return int(found) if found >= 0 and self.chains[found, 0] else -1

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
        keys = self.records[ids]
        low, high = keys[:, 0].byteswap(), keys[:, 1].byteswap()
        fields, lengths = keys[:, 2] & np.uint64(0xFFFF), keys[:, 2] & np.uint64(0xFFFF0000)
        order = np.lexsort((lengths, high, low, fields))
        ordered = ids[order]
        ties = np.flatnonzero(
            (low[order][1:] == low[order][:-1])
            & (high[order][1:] == high[order][:-1])
            & (fields[order][1:] == fields[order][:-1])
        )
        for begin, end in _runs(ties):
            # Terms that agree in 16 bytes: URLs, long ids.
            run = sorted(ordered[begin:end].tolist(), key=self.bytes_of)
            ordered[begin:end] = run
        return ordered

    def copy_terms(self, ids: I64) -> tuple[I64, U8]:
        """Return (starts, blob) of the terms."""
        starts = np.zeros(len(ids) + 1, np.int64)
        lengths = (self.records[ids, 2] >> np.uint64(16)) & np.uint64(0xFFFF)
        np.cumsum(lengths.astype(np.int64), out=starts[1:])
        blob = np.empty(int(starts[-1]), np.uint8)
        copy_terms(self.records, self.blob, ids, starts, blob)
        return starts, blob

    def count_living(self, ids: I64, doc_map: I64) -> tuple[I64, I64]:
        """Return (postings, positions) of each term in the documents that `doc_map` keeps."""
        n_postings, n_positions = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        count_living(self.chains, self.pool, ids, doc_map, n_postings, n_positions)
        return n_postings, n_positions

    def copy_living(
        self, ids: I64, doc_map: I64, n_postings: int, n_positions: int
    ) -> tuple[U32, U32, U32]:
        """Return (docs, tfs, positions) of the terms, one after the other, as counted before."""
        docs, tfs = np.empty(n_postings, np.uint32), np.empty(n_postings, np.uint32)
        positions = np.empty(n_positions, np.uint32)
        copy_living(self.chains, self.pool, ids, doc_map, docs, tfs, positions)
        return docs, tfs, positions


def _runs(ties: I64) -> list[tuple[int, int]]:
    """Return [begin, end) of the runs of equal neighbours; ties[i] says that ties[i] and the one
    after it are equal."""
    if not len(ties):
        return []
    breaks = np.flatnonzero(np.diff(ties) > 1) + 1
    return [(int(run[0]), int(run[-1]) + 2) for run in np.split(ties, breaks)]


class Vocabulary:
    """Thread rule: the apply thread only; what `terms` returns goes to any."""

    def __init__(self) -> None:
        self._slots = np.zeros(256, np.uint64)
        self._records = np.zeros((64, 4), np.uint64)
        self._blob = np.zeros(1024, np.uint8)
        self._targets = np.zeros(64, np.int32)
        self._counts = np.zeros(2, np.int64)
        self._chains = np.zeros((64, 3), np.uint64)
        self._pool = np.zeros(4 * LAST_SIZE, np.uint32)
        self._pool_address = self._pool.ctypes.data
        self._pool_counts = np.ones(1, np.int64)
        self._sketches = Sketches()

    @property
    def n_bytes(self) -> int:
        """Bytes in use, which is at least a third of what is allocated."""
        n_terms, n_blob = self._counts.tolist()
        return n_terms * 60 + n_blob + self._slots.nbytes + int(self._pool_counts[0]) * 4

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

    def add_texts(
        self, analyzer: Analyzer, texts: Sequence[bytes], continues: U8, docs: U32, fields: U32
    ) -> U32:
        """Append the tokens of texts of documents `docs`; return how many each text has.

        Requires: within a field, documents rise, and are above those of earlier calls.
        """
        text, tokens = analyzer.scan(texts, continues)
        n_before = int(self._counts[0])
        ids = self._intern(text, tokens, fields)
        self._resolve(analyzer, ids, n_before)
        lengths = np.zeros(len(texts), np.uint32)
        done, n = 0, len(tokens)
        while True:
            done = append_positions(
                tokens, done, n, ids, self._targets, docs,
                self._chains, self._pool, self._pool_counts, lengths,
            )  # fmt: skip
            if done == n:
                return lengths
            self._grow_pool()

    def add_keywords(self, values: Sequence[bytes], docs: U32, fields: U32) -> U32:
        """Append the values, each a term of its document; return their term ids."""
        ids = self._intern_whole(values, fields, 0)
        done, n = 0, len(values)
        while True:
            done = append_documents(done, n, ids, docs, self._chains, self._pool, self._pool_counts)
            if done == n:
                return ids
            self._grow_pool()

    def _intern_whole(self, values: Sequence[bytes], fields: U32, mark: int) -> U32:
        starts = np.zeros(len(values) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=starts[1:])
        text = np.frombuffer(bytearray().join((*values, PADDING)), np.uint8)
        tokens = np.empty((len(values), 4), np.uint32)
        scan_whole(starts, np.zeros(len(values), np.uint8), np.uint32(mark), tokens)
        return self._intern(text, tokens, fields)

    def _intern(self, text: U8, tokens: U32, fields: U32) -> U32:
        ids = np.empty(len(tokens), np.uint32)
        done, n = 0, len(tokens)
        while True:
            done = intern_tokens(
                text, tokens, done, n, fields, self._slots, self._records,
                self._blob, self._targets, self._counts, ids,
            )  # fmt: skip
            if done == n:
                return ids
            self._grow_terms(int(tokens[done, 1]) >> 1)

    def _resolve(self, analyzer: Analyzer, ids: U32, n_before: int) -> None:
        """Find out which terms the new spellings stand for."""
        if analyzer.terms is None:
            return
        if analyzer.maps_targets:
            pending = np.unique(ids[self._targets[ids] == PENDING]).astype(np.int64)
        else:
            new = self._targets[n_before : int(self._counts[0])]
            pending = n_before + np.flatnonzero(new == PENDING)
        if not len(pending):
            return
        infos = self._records[pending, 2]
        begins, lengths = infos >> np.uint64(32), infos >> np.uint64(16) & np.uint64(0xFFFF)
        blob = self._blob.data
        spellings = [
            bytes(blob[begin:end])
            for begin, end in zip(begins.tolist(), (begins + lengths).tolist(), strict=True)
        ]
        mapped = analyzer.terms.lookup(spellings)
        kept = np.fromiter((term is not None for term in mapped), np.bool_, len(mapped))
        self._targets[pending[~kept]] = REMOVED
        fields = (infos[kept] & np.uint64(0xFFFF)).astype(np.uint32)
        targets = self._intern_whole(
            [term for term in mapped if term is not None], fields, int(analyzer.maps_targets)
        )
        self._targets[pending[kept]] = targets.astype(np.int32)

    # --- growth: always by doubling, always into new arrays --------------------------------
    def _grow_terms(self, n_more_bytes: int) -> None:
        n_terms, n_blob = self._counts.tolist()
        if n_terms == len(self._records):
            self._records = _doubled(self._records)
            self._chains = _doubled(self._chains)
            self._targets = _doubled(self._targets)
        while n_blob + n_more_bytes > len(self._blob):
            self._blob = _doubled(self._blob)
        if 2 * (n_terms + 1) > len(self._slots):
            slots = np.zeros(2 * len(self._slots), np.uint64)
            fill_slots(self._records, n_terms, slots)
            self._slots = slots

    def _grow_pool(self) -> None:
        self._pool = _doubled(self._pool)
        self._pool_address = self._pool.ctypes.data


def _doubled(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    grown = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
