"""The term dictionary of a segment. The layout is that of kernels/terms.py.

A term's id is its number in (field number, bytes) order; its ordinal is its number within its
field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from index.automaton.automaton import Automaton
from index.draft import EncodedTerms, TermChunk
from index.errors import CorruptionError, StorageError
from index.format import NO_FIELD, Kind, Section, Sections, Spool
from index.fuzzy import FuzzyPattern, FuzzyTerms, split_found
from index.kernels import terms as kernels
from index.kernels.front_coding import BLOCK_TERMS, TERMS_WIDTH
from index.kernels.ordinals import copy_ordinals
from index.reader import I64, U8
from index.term_search import TermSearch

_NAMES_AT_ONCE = 1 << 14
_KINDS = (Kind.TERMS, Kind.TERM_BLOCKS, Kind.TERM_PREFIXES)


class FieldTerms(NamedTuple):
    """Where the terms of one field are."""

    first: int
    """Id of the first one."""
    n_terms: int
    first_block: int


def place_fields(counts: dict[int, int]) -> dict[int, FieldTerms]:
    """Return where each field's terms are, from how many terms each has."""
    placed: dict[int, FieldTerms] = {}
    first = block = 0
    for field_no, n_terms in sorted(counts.items()):
        placed[field_no] = FieldTerms(first, n_terms, block)
        first += n_terms
        block += -(-n_terms // BLOCK_TERMS)
    return placed


class TermsWriter:
    """Takes the chunks of a draft in order. Thread rule: one thread."""

    def __init__(self, scratch: Callable[[], BinaryIO]) -> None:
        self.counts: dict[int, int] = {}
        """Terms of each field."""
        self.longest = 0
        """Bytes of the longest term."""
        self._state = np.array([-1, 0, 0, 0, 0], np.int64)
        self._last = np.empty(256, np.uint8)
        self._spools = {kind: Spool(scratch) for kind in _KINDS}

    def add(self, chunk: TermChunk | EncodedTerms) -> None:
        """Raises: StorageError where a term does not come after the one before it."""
        n_terms = len(chunk.field_nos)
        if n_terms == 0:
            return
        self.longest = max(self.longest, int(np.diff(chunk.term_starts).max()))
        if self.longest > len(self._last):
            self._last = np.concatenate([self._last, np.empty(self.longest, np.uint8)])
        n_bytes = int(chunk.term_starts[-1] - chunk.term_starts[0])
        entries = np.empty(n_bytes + 6 * n_terms, np.uint8)
        starts, prefixes = np.empty((2, n_terms), np.uint64)
        before = self._state.copy()
        bad = kernels.encode_terms(
            chunk.field_nos, chunk.term_starts, chunk.blob, self._state, self._last, entries,
            starts, prefixes,
        )  # fmt: skip
        if bad >= 0:
            raise StorageError(f"term {bad} of a chunk about to be written is out of order")
        n_blocks = self._state[kernels.S_N_BLOCKS] - before[kernels.S_N_BLOCKS]
        size = self._state[kernels.S_SIZE] - before[kernels.S_SIZE]
        parts: tuple[npt.NDArray[Any], ...] = (
            entries[:size],
            starts[:n_blocks],
            prefixes[:n_blocks],
        )
        for kind, part in zip(_KINDS, parts, strict=True):
            self._spools[kind].write(part)
        fields, counts = np.unique(chunk.field_nos, return_counts=True)
        for field_no, count in zip(fields.tolist(), counts.tolist(), strict=True):
            self.counts[field_no] = self.counts.get(field_no, 0) + count

    def sections(self) -> Iterator[Section]:
        """Yield what was written; at most once."""
        end = np.array([self._state[kernels.S_SIZE]], np.uint64)
        self._spools[Kind.TERM_BLOCKS].write(end)
        for kind, spool in self._spools.items():
            yield Section(kind, NO_FIELD, spool.chunks())

    def close(self) -> None:
        for spool in self._spools.values():
            spool.close()


class Terms:
    """A mapped dictionary. Thread rule: any thread."""

    def __init__(self, sections: Sections, counts: dict[int, int], longest: int) -> None:
        """Raises: CorruptionError where the sections do not fit together."""
        self.fields = place_fields(counts)
        self.n_terms = sum(counts.values())
        self.longest = longest
        self._name = sections.name
        self._offset = sections.offset(Kind.TERMS)
        n_blocks = sum(-(-n // BLOCK_TERMS) for n in counts.values())
        entries = sections.array(Kind.TERMS, np.uint8)
        starts = sections.array(Kind.TERM_BLOCKS, np.uint64, n=n_blocks + 1)
        prefixes = sections.array(Kind.TERM_PREFIXES, np.uint64, n=n_blocks)
        if not 0 <= longest <= len(entries):
            raise CorruptionError(self._name, self._offset, f"no term is {longest} bytes long")
        self._owners = (entries, starts, prefixes)
        self.row = np.zeros(TERMS_WIDTH, np.int64)
        self.row[:] = [
            entries.ctypes.data, len(entries), starts.ctypes.data, prefixes.ctypes.data, n_blocks
        ]  # fmt: skip
        self._firsts = [place.first for place in self.fields.values()]
        self._numbers = list(self.fields)
        self._searches: dict[int, TermSearch] = {}

    def find(self, field_no: int, term: bytes) -> int:
        """Return the term's id, or -1."""
        place = self.fields.get(field_no)
        if place is None:
            return -1
        found = kernels.lower_bound(self.row, place.first_block, place.n_terms, term)
        return place.first + (found >> 1) if found & 1 else -1

    def term_bytes(self, term_id: int) -> bytes:
        if not 0 <= term_id < self.n_terms:
            raise IndexError(f"term {term_id} of {self.n_terms}")
        at = int(np.searchsorted(self._firsts, term_id, side="right")) - 1
        field_no = self._numbers[at]
        return self.ord_term(field_no, term_id - self._firsts[at])

    def ord_term(self, field_no: int, ordinal: int) -> bytes:
        """Return the bytes of the field's term number `ordinal`."""
        place = self.fields[field_no]
        if not 0 <= ordinal < place.n_terms:
            raise IndexError(f"ordinal {ordinal} of {place.n_terms}")
        block, index = divmod(ordinal, BLOCK_TERMS)
        out = np.empty(self.longest, np.uint8)
        length = kernels.read_term(self.row, place.first_block + block, index, out)
        if length < 0:
            raise CorruptionError(self._name, self._offset, f"term {ordinal} cannot be read")
        return out[:length].tobytes()

    def names(self, term_ids: I64, field_no: int) -> list[bytes]:
        """Return the bytes of terms of one field."""
        if not len(term_ids):
            return []
        place = self.fields[field_no]
        ordinals = term_ids - place.first
        out = np.empty(max(self.longest, _NAMES_AT_ONCE), np.uint8)
        ends = np.zeros(len(ordinals), np.int64)
        names: list[bytes] = []
        while len(names) < len(ordinals):
            done = len(names)
            n = kernels.read_terms(self.row, place.first_block, ordinals, done, out, ends)
            if n == done:
                raise CorruptionError(self._name, self._offset, f"term {done} cannot be read")
            blob, begin = out.tobytes(), 0
            for end in ends[done:n].tolist():
                names.append(blob[begin:end])
                begin = end
        return names

    def ord_terms(self, field_no: int, ordinals: I64) -> tuple[I64, U8]:
        """Return (starts, blob) of the terms of ordinals that rise."""
        place = self.fields[field_no]
        if len(ordinals) and not 0 <= ordinals[0] <= ordinals[-1] < place.n_terms:
            raise IndexError(f"ordinal {ordinals[-1]} of {place.n_terms}")
        starts, blob = np.zeros(len(ordinals) + 1, np.int64), np.empty(0, np.uint8)
        for _ in range(2):  # once for the size, once for the bytes
            bad = copy_ordinals(
                self.row, place.first_block, ordinals, np.empty(self.longest, np.uint8), starts,
                blob,
            )  # fmt: skip
            if bad >= 0:
                raise CorruptionError(
                    self._name, self._offset, f"term {ordinals[bad]} cannot be read"
                )
            blob = np.empty(starts[-1], np.uint8) if not len(blob) else blob
        return starts, blob

    def prefix(self, field_no: int, prefix: bytes, limit: int) -> I64:
        """Return the ids of at most `limit` terms that start so."""
        first, end = self.range_of(field_no, prefix)
        return np.arange(first, min(end, first + max(limit, 0)), dtype=np.int64)

    def range_of(self, field_no: int, prefix: bytes) -> tuple[int, int]:
        """Return (first, end) of the ids of the field's terms that start so."""
        place = self.fields.get(field_no)
        if place is None:
            return 0, 0
        low = kernels.lower_bound(self.row, place.first_block, place.n_terms, prefix) >> 1
        stem = prefix.rstrip(b"\xff")
        high = place.n_terms
        if stem:
            after = stem[:-1] + bytes([stem[-1] + 1])
            high = kernels.lower_bound(self.row, place.first_block, place.n_terms, after) >> 1
        return place.first + low, place.first + high

    def between(self, field_no: int, low: bytes | None, high: bytes | None) -> I64:
        """Return the ids of the terms between two bounds (`Reader.terms_between`)."""
        place = self.fields.get(field_no)
        if place is None:
            return np.empty(0, np.int64)
        first, end = (
            default
            if bound is None
            else kernels.lower_bound(self.row, place.first_block, place.n_terms, bound) >> 1
            for bound, default in ((low, 0), (high, place.n_terms))
        )
        return np.arange(place.first + first, place.first + max(first, end), dtype=np.int64)

    def matching(self, field_no: int, automaton: Automaton, limit: int) -> I64:
        """Return the ids of at most `limit` terms that are accepted (`Reader.matching_terms`)."""
        if automaton.is_prefix:
            return self.prefix(field_no, automaton.prefix, limit)
        place = self.fields.get(field_no)
        if place is None:
            return np.empty(0, np.int64)
        found = self._search(field_no, place).matching(
            automaton, *self._span(field_no, automaton.prefix, place), limit
        )
        return found + place.first

    def fuzzy(self, field_no: int, pattern: FuzzyPattern, limit: int) -> FuzzyTerms:
        """Return at most `limit` terms that are near enough (`Reader.fuzzy_terms`)."""
        place = self.fields.get(field_no)
        if place is None:
            return split_found(np.empty((0, 3), np.int64))
        found = split_found(
            self._search(field_no, place).fuzzy(
                pattern, *self._span(field_no, pattern.prefix, place), limit
            )
        )
        return found._replace(ids=found.ids + place.first)

    def _span(self, field_no: int, prefix: bytes, place: FieldTerms) -> tuple[int, int]:
        """Return (first, end) of the ordinals of the terms that start so."""
        first, end = self.range_of(field_no, prefix)
        return first - place.first, end - place.first

    def _search(self, field_no: int, place: FieldTerms) -> TermSearch:
        search = self._searches.get(field_no)
        if search is None:
            search = TermSearch(self.row, place.first_block, place.n_terms, self.longest)
            self._searches[field_no] = search
        return search
