"""`top_hits`: the best hits of each bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace

from index.aggregate.level import Level, Scope
from index.aggregate.results import Result
from index.query.aggregations import TopHits
from index.query.request import SearchRequest, SortKey
from index.query.sort import sort_matches
from index.query.sort_keys import make_key
from index.query.stop import check_stop
from index.reader import I64, U32
from index.searcher import Hit, Searcher, SearchResult

_BY_SCORE = (SortKey("_score", "desc"),)


@dataclass(frozen=True, slots=True)
class _Part:
    """The documents of one view by owner: those of owner o are docs[starts[o] : starts[o + 1]]."""

    docs: U32
    scores: np.ndarray
    starts: I64

    def of(self, owner: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = slice(int(self.starts[owner]), int(self.starts[owner + 1]))
        return self.docs[chosen], self.scores[chosen]


@dataclass(slots=True)
class Hits(Result):
    """Picked bucket by bucket, when the answer is written."""

    scope: Scope
    request: SearchRequest
    parts: list[list[_Part]]
    """Of each searcher, its views."""
    type_name: str = "top_hits"
    meta: dict[str, Any] | None = None

    def body(self, owner: int) -> dict[str, Any]:
        check_stop(self.scope.stop)
        found = [
            _best(searcher, self.request, [part.of(owner) for part in parts])
            for searcher, parts in zip(self.scope.searchers, self.parts, strict=True)
        ]
        return {"hits": self.scope.show_hits(self.request, found)}


def collect_top_hits(scope: Scope, aggregation: TopHits, level: Level) -> Result:
    request = replace(aggregation.request, query=scope.query)
    for key in request.sort:
        for searcher in scope.searchers:
            make_key(key, searcher.schema)
    scored = _is_scored(request)
    parts: list[list[_Part]] = [[] for _ in scope.searchers]
    for place, pairs in zip(scope.places, level.pairs, strict=True):
        order = np.argsort(pairs.owners, kind="stable")
        docs = pairs.docs[order] if len(pairs.owners) else pairs.docs
        owners = pairs.owners[order] if len(pairs.owners) else np.zeros(len(docs), np.uint32)
        scores = np.zeros(0, np.float32)
        if scored:
            distinct, at = np.unique(docs, return_inverse=True)
            _, found = place.searcher.match_docs(scope.query, place.view_no, distinct)
            scores = found[at]
        starts = np.searchsorted(owners, np.arange(level.n_owners + 1))
        parts[place.searcher_no].append(_Part(docs, scores, starts))
    return Hits(scope, request, parts)


def _is_scored(request: SearchRequest) -> bool:
    by_score = any(key.field == "_score" for key in request.sort)
    return not request.sort or request.track_scores or by_score


def _best(
    searcher: Searcher, request: SearchRequest, matches: list[tuple[np.ndarray, np.ndarray]]
) -> SearchResult:
    """Return the first `from_ + size` of some documents of each view, doc ids rising."""
    keys = [make_key(key, searcher.schema) for key in request.sort or _BY_SCORE]
    k = request.from_ + request.size
    best = sort_matches(searcher.views, matches, keys, None, k) if k else []
    scored = _is_scored(request)
    hits = [
        Hit(
            doc.view_no,
            doc.doc_id,
            doc.score if scored else None,
            doc.values if request.sort else None,
        )
        for doc in best
    ]
    scores = [float(own.max()) for _, own in matches if len(own)]
    total = sum(len(docs) for docs, _ in matches)
    return SearchResult(total, "eq", max(scores, default=None), hits)
