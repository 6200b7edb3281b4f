"""Filters that are asked again and again, kept as sets of documents for each segment.

A segment never changes, so what a filter matches in it never does either; which documents are
alive is decided after. Sets rest as roaring bitmaps; the ones in use are ready for kernels, as
a bitset or, where they are sparse, as a list. When memory runs out, the ready forms that were
not asked for the longest go first, then whole sets.

Thread rule: any thread, where `lock` is a lock; the index has no threads of its own.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pyroaring import BitMap

from index.kernels.bits import count_bits, list_bits
from index.reader import U32, U64, Reader, bitset

_SPARSE = 32
"""A list of a document in so many takes no more room than the bitset."""
_KEYS_WATCHED = 1_024
_OVERHEAD_BYTES = 512
"""Of the objects around a set."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    n_hits: int = 0
    n_misses: int = 0
    n_entries: int = 0
    n_bytes: int = 0
    n_evicted: int = 0


class KeptSet:
    """The documents of one segment that one filter matches, dead or alive."""

    __slots__ = ("_n_docs", "_ready", "_rest", "_rest_bytes", "count")

    def __init__(self, words: U64, n_docs: int) -> None:
        self.count = int(count_bits(words))
        docs = np.empty(self.count, np.uint32)
        list_bits(words, docs)
        self._n_docs = n_docs
        self._rest = BitMap(docs)
        self._rest.run_optimize()
        self._rest_bytes = len(self._rest.serialize())
        self._ready: U64 | U32 | None = docs if self.is_sparse else words

    @property
    def is_sparse(self) -> bool:
        """Whether `ready` is a list of documents, not a bitset."""
        return self.count * _SPARSE < self._n_docs

    @property
    def n_bytes(self) -> int:
        ready = self._ready
        return _OVERHEAD_BYTES + self._rest_bytes + (0 if ready is None else ready.nbytes)

    def ready(self) -> U64 | U32:
        """Return the documents as kernels take them: u32 rising, or a bitset."""
        ready = self._ready
        if ready is None:
            docs = np.asarray(self._rest.to_array(), np.uint32)
            ready = docs if self.is_sparse else _bits_of(docs, self._n_docs)
            self._ready = ready
        return ready

    def docs(self) -> U32:
        """Return the documents, rising. Requires: `is_sparse`."""
        return self.ready().view(np.uint32)

    def words(self) -> U64:
        """Return the documents as a bitset. Requires: not `is_sparse`."""
        return self.ready().view(np.uint64)

    def rest(self) -> None:
        """Give up the ready form."""
        self._ready = None


def _bits_of(docs: U32, n_docs: int) -> U64:
    words = bitset(n_docs)
    flags = np.zeros(len(words) * 64, np.uint8)
    flags[docs] = 1
    words[:] = np.packbits(flags, bitorder="little").view(np.uint64)
    return words


_Place = tuple[int, str]
"""(id of the reader, key of the filter)"""


class FilterCache:
    """`max_bytes`: what all sets together may take. `min_docs`: smaller segments are not worth
    it. `min_uses`: a filter is kept when it is asked for the so-manyth time."""

    def __init__(
        self,
        max_bytes: int,
        *,
        lock: AbstractContextManager[Any] | None = None,
        min_docs: int = 10_000,
        min_uses: int = 3,
    ) -> None:
        self._max_bytes = max_bytes
        self._lock: AbstractContextManager[Any] = lock or nullcontext()
        self._min_docs = min_docs
        self._min_uses = min_uses
        self._sets: OrderedDict[_Place, tuple[KeptSet, int]] = OrderedDict()
        """The set and its bytes, the one that was not asked for the longest first."""
        self._readers: dict[int, weakref.ref[Reader]] = {}
        self._uses: OrderedDict[str, int] = OrderedDict()
        self._gone: deque[int] = deque()
        """Readers that ended, to be forgotten when somebody has the lock."""
        self._n_bytes = 0
        self._counts = CacheStats()

    def stats(self) -> CacheStats:
        return replace(self._counts, n_entries=len(self._sets), n_bytes=self._n_bytes)

    def is_wanted(self, key: str) -> bool:
        """Count one use of a filter; return whether it is asked for often enough to be kept."""
        with self._lock:
            uses = self._uses.pop(key, 0) + 1
            self._uses[key] = uses
            if len(self._uses) > _KEYS_WATCHED:
                self._uses.popitem(last=False)
        return uses >= self._min_uses

    def takes(self, reader: Reader, segment: str) -> bool:
        """Return whether sets of this reader are kept: a memtable grows, a small one is quick."""
        return segment != "memtable" and reader.n_docs >= self._min_docs

    def find(self, reader: Reader, key: str, make: Callable[[], U64]) -> KeptSet:
        """Return the set, made where there is none. Requires: `takes` the reader."""
        place = (id(reader), key)
        with self._lock:
            found = self._sets.get(place)
            if found is not None and self._is_of(reader):
                self._counts = replace(self._counts, n_hits=self._counts.n_hits + 1)
                found[0].ready()
                self._put(place, found[0])
                return found[0]
            self._counts = replace(self._counts, n_misses=self._counts.n_misses + 1)
        kept = KeptSet(make(), reader.n_docs)
        with self._lock:
            self._keep(reader, place, kept)
        return kept

    def _is_of(self, reader: Reader) -> bool:
        """Return whether the reader that has this id now is the one that was kept."""
        known = self._readers.get(id(reader))
        return known is not None and known() is reader

    def _keep(self, reader: Reader, place: _Place, kept: KeptSet) -> None:
        while self._gone:
            reader_id = self._gone.popleft()
            if (ended := self._readers.get(reader_id)) is not None and ended() is None:
                self._forget(reader_id)
        if not self._is_of(reader):
            self._forget(place[0])
            self._readers[place[0]] = weakref.ref(reader, _note_end(self._gone, place[0]))
        self._put(place, kept)

    def _put(self, place: _Place, kept: KeptSet) -> None:
        """Make a set the one that was asked for last."""
        if place in self._sets:
            self._n_bytes -= self._sets.pop(place)[1]
        self._sets[place] = (kept, kept.n_bytes)
        self._n_bytes += kept.n_bytes
        self._make_room()

    def _make_room(self) -> None:
        if self._n_bytes <= self._max_bytes:
            return
        for place, (kept, before) in list(self._sets.items())[:-1]:
            kept.rest()
            self._sets[place] = (kept, kept.n_bytes)
            self._n_bytes += kept.n_bytes - before
            if self._n_bytes <= self._max_bytes:
                return
        n_evicted = self._counts.n_evicted
        while self._sets and self._n_bytes > self._max_bytes:
            self._n_bytes -= self._sets.popitem(last=False)[1][1]
            n_evicted += 1
        self._counts = replace(self._counts, n_evicted=n_evicted)

    def _forget(self, reader_id: int) -> None:
        """Drop the sets of a reader that is gone."""
        self._readers.pop(reader_id, None)
        for place in [place for place in self._sets if place[0] == reader_id]:
            self._n_bytes -= self._sets.pop(place)[1]


def _note_end(gone: deque[int], reader_id: int) -> Callable[[object], None]:
    """Return what a reader's end calls, in whatever thread and with whatever lock held."""
    return lambda _: gone.append(reader_id)
