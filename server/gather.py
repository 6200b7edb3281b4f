"""One search over several indexes: each answers its best, the best of them all go out."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cmp_to_key, partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from index.aggregate.run import Aggregated, aggregate
from index.query.boosts import multiplied
from index.query.request import SearchRequest, SortKey
from index.query.stop import NEVER, Stop
from index.searcher import Hit, Searcher, SearchResult
from server.hits import HitWriter


class Target(NamedTuple):
    """An index as one search sees it."""

    name: str
    searcher: Searcher


class Found(NamedTuple):
    target: Target
    hit: Hit


class Page(NamedTuple):
    """The part of the hits that a request asks for."""

    total: int
    relation: str
    max_score: float | None
    hits: list[Found]
    timed_out: bool = False
    """It is what was found until the search was stopped."""
    terminated_early: bool = False


After = tuple[Any, ...] | None
"""Where to go on in one target: the sort values of its last hit that went out; None: its start."""


def search_targets(targets: Sequence[Target], request: SearchRequest, stop: Stop = NEVER) -> Page:
    """Search all targets and merge what they find. Blocks: call it in the query pool."""
    if len(targets) == 1:
        return _merge([(targets[0], targets[0].searcher.search(request, stop))], request)
    wider = replace(request, from_=0, size=request.from_ + request.size)
    results = [
        (target, target.searcher.search(_boosted(wider, target.name), stop)) for target in targets
    ]
    page = _merge(results, request)
    return page._replace(hits=page.hits[request.from_ : request.from_ + request.size])


def _boosted(request: SearchRequest, index: str) -> SearchRequest:
    """Return the request as one index gets it: `indices_boost` is a boost of the query."""
    for pattern, boost in request.indices_boost:
        if fnmatchcase(index, pattern):
            query = request.query
            return replace(request, query=replace(query, boost=multiplied(query.boost, boost)))
    return request


def aggregate_targets(targets: Sequence[Target], request: SearchRequest, stop: Stop) -> Aggregated:
    """Aggregate over all targets together. Blocks: call it in the query pool."""

    def show_hits(inner: SearchRequest, results: list[SearchResult]) -> dict[str, Any]:
        page = _merge(list(zip(targets, results, strict=True)), inner)
        hits = page.hits[inner.from_ : inner.from_ + inner.size]
        return hits_body(page._replace(hits=hits), inner)

    return aggregate([target.searcher for target in targets], request, show_hits, stop)


def counted_page(found: Aggregated, request: SearchRequest) -> Page:
    """Return the page of a search that asks for aggregations only: they know how many match."""
    total, limit = found.n_docs, request.track_total_hits
    if found.timed_out:
        return Page(total, "gte", None, [], timed_out=True)
    if isinstance(limit, bool) or total <= limit:
        return Page(total, "eq", None, [])
    return Page(limit, "gte", None, [])


def search_next(
    targets: Sequence[Target],
    request: SearchRequest,
    afters: Sequence[After],
    stop: Stop = NEVER,
) -> tuple[Page, list[After]]:
    """Return the page behind `afters` and where the page after it begins. Blocks.

    Each target has a place of its own, because log order (`_doc`) says nothing between indexes.
    Requires: `request` is in a total order.
    """
    results = [
        (target, target.searcher.search(replace(request, search_after=after), stop))
        for target, after in zip(targets, afters, strict=True)
    ]
    page = _merge(results, request)
    page = page._replace(hits=page.hits[: request.size])
    last = {id(found.target): found.hit.sort for found in page.hits}
    behind = [last.get(id(target), after) for target, after in zip(targets, afters, strict=True)]
    return page, behind


def _merge(results: Sequence[tuple[Target, SearchResult]], request: SearchRequest) -> Page:
    found = [Found(target, hit) for target, result in results for hit in result.hits]
    if len(results) > 1 and request.sort:
        found.sort(key=cmp_to_key(partial(_compare, request.sort)))
    elif len(results) > 1:
        found.sort(key=lambda entry: -(entry.hit.score or 0.0))
    scores = [result.max_score for _, result in results if result.max_score is not None]
    return Page(
        total=sum(result.total for _, result in results),
        relation="gte" if any(result.relation == "gte" for _, result in results) else "eq",
        max_score=max(scores, default=None),
        hits=found,
        timed_out=any(result.timed_out for _, result in results),
        terminated_early=any(result.terminated_early for _, result in results),
    )


def hits_body(page: Page, request: SearchRequest, stop: Stop = NEVER) -> dict[str, Any]:
    """Return the `hits` of an answer. Fetches sources: call it in the query pool."""
    body: dict[str, Any] = {}
    if request.track_total_hits is not False:
        body["total"] = {"value": page.total, "relation": page.relation}
    body["max_score"] = page.max_score
    writers: dict[str, HitWriter] = {}
    bodies = body["hits"] = []
    for target, hit in page.hits:
        writer = writers.get(target.name)
        if writer is None:
            writer = HitWriter(target.name, target.searcher, request, stop)
            writers[target.name] = writer
        bodies.append(writer.body(hit))
    return body


def _compare(keys: Sequence[SortKey], a: Found, b: Found) -> int:
    for left, right, key in zip(a.hit.sort or (), b.hit.sort or (), keys, strict=False):
        order = _compare_values(left, right, key)
        if order:
            return order
    return 0


def _compare_values(left: Any, right: Any, key: SortKey) -> int:
    """Return < 0 where `left` comes first. None is a missing value: last, unless asked first."""
    if left is None or right is None:
        if left is None and right is None:
            return 0
        is_left_first = (left is None) == (key.missing == "_first")
        return -1 if is_left_first else 1
    if isinstance(left, str) != isinstance(right, str):
        left, right = str(left), str(right)
    if left == right:
        return 0
    is_less = left < right
    return -1 if is_less == (key.order == "asc") else 1
