"""What an aggregation works on: documents, each in a bucket of the level above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from index.errors import TooManyBucketsError
from index.field import Field
from index.kernels.aggregate import keep_marked
from index.kernels.bits import count_bits, list_bits
from index.part import full_bitset
from index.query.aggregations import MAX_BUCKETS
from index.query.ast import Query
from index.query.request import SearchRequest
from index.query.stop import NEVER, Stop
from index.reader import U32, U64, View

if TYPE_CHECKING:
    from index.searcher import Searcher, SearchResult

ShowHits: TypeAlias = "Callable[[SearchRequest, list[SearchResult]], dict[str, Any]]"
"""Writes the `hits` of an answer from what each searcher found; `from_` is still to be cut."""

NO_U32: U32 = np.empty(0, np.uint32)


class Pairs(NamedTuple):
    """Of one view: documents and their owners, as `kernels/aggregate.py` has them."""

    docs: U32
    owners: U32 = NO_U32
    """Empty: all are in bucket 0."""

    def marked(self, words: U64 | None) -> Pairs:
        """Return the pairs whose documents are in a bitset (None: none is)."""
        if words is None:
            return Pairs(NO_U32)
        docs = np.empty(len(self.docs), np.uint32)
        owners = np.empty(len(self.owners), np.uint32)
        n = keep_marked(self.docs, self.owners, words, docs, owners)
        return Pairs(docs[:n], owners[: n if len(owners) else 0])


@dataclass(frozen=True, slots=True)
class Level:
    """The pairs of all views; owners are 0 .. n_owners - 1."""

    n_owners: int
    pairs: tuple[Pairs, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """One view of the search, and whose it is."""

    searcher: Searcher
    searcher_no: int
    view_no: int

    @property
    def view(self) -> View:
        return self.searcher.views[self.view_no]

    def field(self, name: str) -> Field | None:
        return self.searcher.schema.field(name)


class Scope:
    """The views that are aggregated over, those of several indexes too; counts the buckets.

    Thread rule: one thread; make one a search.
    """

    def __init__(
        self,
        searchers: Sequence[Searcher],
        query: Query,
        show_hits: ShowHits,
        *,
        typed: bool = False,
        stop: Stop = NEVER,
    ) -> None:
        self.searchers = tuple(searchers)
        self.query = query
        self.show_hits = show_hits
        self.stop = stop
        self.places = tuple(
            Place(searcher, searcher_no, view_no)
            for searcher_no, searcher in enumerate(searchers)
            for view_no in range(len(searcher.views))
        )
        self.now_ms = searchers[0].now_ms if searchers else 0
        self.typed = typed
        """Whether results are named `type#name`."""
        self._n_buckets = 0

    def take_buckets(self, n: int) -> None:
        """Raises: TooManyBucketsError where the search has more than it may."""
        self._n_buckets += n
        if self._n_buckets > MAX_BUCKETS:
            raise TooManyBucketsError(self._n_buckets, MAX_BUCKETS)

    def matching(self, query: Query) -> list[U64]:
        """Return, of each view, the bitset of the documents that a query matches.

        Raises: StoppedError, InvalidQueryError, InvalidRequestError.
        """
        return [
            words
            for searcher in self.searchers
            for words in searcher.matching(query, stop=self.stop)
        ]

    def all_alive(self) -> Level:
        """Return all documents, in one bucket."""
        views = [place.view for place in self.places]
        return top_level(
            [full_bitset(v.reader.n_docs) if v.alive is None else v.alive for v in views]
        )


def top_level(matching: Sequence[U64]) -> Level:
    """Return the documents of bitsets, one a view, in one bucket."""
    pairs = []
    for words in matching:
        docs = np.empty(count_bits(words), np.uint32)
        list_bits(words, docs)
        pairs.append(Pairs(docs))
    return Level(1, tuple(pairs))
