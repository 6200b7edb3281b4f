"""Searching: `_search` and its relatives, each one job in the query pool."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from index.aggregate.run import Aggregated
from index.errors import InvalidRequestError, TailraceError, TimedOutError
from index.query.parse_json import parse_search
from index.query.request import SearchRequest
from index.query.stop import Stop
from pipeline.node import Index, Node
from server.answers import json_answer, shards_body
from server.bodies import INLINE_BYTES, parse_object, read_bytes, read_object, read_with
from server.explanations import profile_body
from server.faults import MalformedBodyError, UnsupportedError, error_body
from server.gather import (
    Target,
    aggregate_targets,
    counted_page,
    hits_body,
    search_next,
    search_targets,
)
from server.indexes import resolve
from server.limits import Limits
from server.parameters import INDEX_CHOICE, Parameters, parse_time_s
from server.query_parameters import CHOICE, QUERY, put_source, query_of
from server.routes import INDEX, Route
from server.scrolls import Scroll, ScrollTable
from server.shards import targets_of
from server.writes import wait_after

SEARCH = QUERY | CHOICE
SEARCH |= {"from", "size", "sort", "_source", "_source_includes", "_source_excludes", "scroll"}
SEARCH |= {"track_total_hits", "track_scores", "version", "seq_no_primary_term", "explain"}
SEARCH |= {"rest_total_hits_as_int", "typed_keys", "request_cache", "search_type"}
SEARCH |= {"batched_reduce_size", "ccs_minimize_roundtrips", "max_concurrent_shard_requests"}
SEARCH |= {"terminate_after", "min_score", "stored_fields", "docvalue_fields", "stats"}
SEARCH |= {"pre_filter_shard_size", "allow_partial_search_results"}
COUNT = QUERY | CHOICE | {"min_score", "terminate_after"}
MSEARCH = INDEX_CHOICE | {"rest_total_hits_as_int", "typed_keys", "max_concurrent_searches"}
MSEARCH |= {"max_concurrent_shard_requests", "pre_filter_shard_size", "search_type"}
MSEARCH |= {"ccs_minimize_roundtrips"}
MSEARCH_HEADER = INDEX_CHOICE | {"index", "preference", "routing", "search_type", "request_cache"}
MSEARCH_HEADER |= {"allow_partial_search_results", "ignore_throttled", "ccs_minimize_roundtrips"}
SCROLL = frozenset({"scroll", "scroll_id", "rest_total_hits_as_int"})


SHAPED = frozenset({"pretty", "filter_path"})
INLINE_HITS = 500
"""Answers with more hits are shaped in a thread: they are taken apart and put together again."""

MSEARCH_AT_ONCE = 4
"""Searches of one `_msearch` that wait for a thread at once: others want their turn too."""

FLAGS = ("track_scores", "version", "seq_no_primary_term", "explain")


class SearchEndpoints:
    """Thread rule: the event loop's thread; the searching itself runs in the query pool."""

    def __init__(self, node: Node, limits: Limits, scrolls: ScrollTable) -> None:
        self._node = node
        self._limits = limits
        self._scrolls = scrolls

    def routes(self) -> list[Route]:
        return [
            Route("GET POST", f"/{INDEX}/_search", self._search, SEARCH),
            Route("GET POST", "/_search", self._search, SEARCH),
            Route("GET POST", "/_search/scroll", self._scroll, SCROLL),
            Route("DELETE", "/_search/scroll", self._clear_scroll, SCROLL),
            Route("GET POST", "/_search/scroll/{scroll_id}", self._scroll, SCROLL),
            Route("DELETE", "/_search/scroll/{scroll_id}", self._clear_scroll, SCROLL),
            Route("GET POST", f"/{INDEX}/_count", self._count, COUNT),
            Route("GET POST", "/_count", self._count, COUNT),
            Route("GET POST", f"/{INDEX}/_msearch", self._msearch, MSEARCH),
            Route("GET POST", "/_msearch", self._msearch, MSEARCH),
        ]

    # --- _search -----------------------------------------------------------------------
    async def _search(self, request: web.Request, parameters: Parameters) -> web.Response:
        began = time.perf_counter()
        understand = partial(understand_search, parameters=parameters)
        search = await read_with(request, self._limits, understand)
        search = replace(search, typed_keys=parameters.flag("typed_keys"))
        indexes = resolve(self._node, request, parameters)
        await wait_after(indexes, parameters, self._limits)
        if not parameters.flag("allow_partial_search_results", default=True):
            targets_of(indexes)[1].require_all()
        keep = parameters.text("scroll")
        if keep is None:
            answer = await self._answer(indexes, search, began)
        else:
            answer = await self._open_scroll(indexes, search, parse_time_s(keep, "scroll"), began)
        if parameters.flag("rest_total_hits_as_int"):
            flatten_total(answer)
        if search.size > INLINE_HITS and not SHAPED.isdisjoint(request.query):
            return await self._node.query(partial(json_answer, request, answer))
        return json_answer(request, answer)

    async def _answer(
        self, indexes: list[Index], search: SearchRequest, began: float
    ) -> dict[str, Any]:
        targets, seen = targets_of(indexes)
        shards = seen.body()
        work = partial(run_search, targets, search)
        found = await self._node.query_for(work, search_timeout_s(search, self._limits))
        timed_out = found.pop("timed_out")
        about = {"took": _took(began), "timed_out": timed_out, "_shards": shards}
        return about | found

    # --- scrolling ---------------------------------------------------------------------
    async def _open_scroll(
        self, indexes: list[Index], search: SearchRequest, keep_s: float, began: float
    ) -> dict[str, Any]:
        if search.from_ > 0:
            raise InvalidRequestError("using [from] is not allowed in a scroll context")
        if search.size == 0:
            raise InvalidRequestError("[size] cannot be [0] in a scroll context")
        targets, seen = targets_of(indexes)
        shards = seen.body()
        name, scroll = self._scrolls.open(targets, search, keep_s)
        try:
            page = await self._next_page(scroll)
        except TailraceError:
            self._scrolls.close(name)
            raise
        return {"_scroll_id": name, "took": _took(began), "_shards": shards, **page}

    async def _scroll(self, request: web.Request, parameters: Parameters) -> web.Response:
        began = time.perf_counter()
        body = await read_object(request, self._limits)
        name = scroll_ids(request, parameters, body)[0]
        keep = parameters.text("scroll", body.get("scroll"))
        keep_s = None if keep is None else parse_time_s(str(keep), "scroll")
        scroll = self._scrolls.find(name, keep_s)
        page = await self._next_page(scroll)
        shards = shards_body(len(scroll.targets))
        answer = {"_scroll_id": name, "took": _took(began), "_shards": shards, **page}
        if parameters.flag("rest_total_hits_as_int"):
            flatten_total(answer)
        return json_answer(request, answer)

    async def _next_page(self, scroll: Scroll) -> dict[str, Any]:
        if scroll.is_busy:
            raise InvalidRequestError("another request is reading this scroll")
        scroll.is_busy = True
        timeout_s = search_timeout_s(scroll.request, self._limits)
        try:
            page, scroll.afters = await self._node.query_for(
                partial(scroll_hits, scroll), timeout_s
            )
        finally:
            scroll.is_busy = False
        return page

    async def _clear_scroll(self, request: web.Request, parameters: Parameters) -> web.Response:
        body = await read_object(request, self._limits)
        names = scroll_ids(request, parameters, body)
        if "_all" in names:
            n_freed = self._scrolls.close_all()
        else:
            n_freed = sum(self._scrolls.close(name) for name in names)
        status = 200 if n_freed else 404
        return json_answer(request, {"succeeded": True, "num_freed": n_freed}, status=status)

    # --- relatives ---------------------------------------------------------------------
    async def _count(self, request: web.Request, parameters: Parameters) -> web.Response:
        body = await read_object(request, self._limits)
        unknown = set(body) - {"query"}
        if unknown:
            raise InvalidRequestError(f"request does not support [{min(unknown)}]")
        search = replace(parse_search(with_parameters(body, parameters)), size=0)
        indexes = resolve(self._node, request, parameters)
        await wait_after(indexes, parameters, self._limits)
        targets, seen = targets_of(indexes)
        shards = seen.body()
        work = partial(search_targets, targets, search)
        page = await self._node.query_for(work, search_timeout_s(search, self._limits))
        if page.timed_out:
            raise TimedOutError(f"counting took longer than {self._limits.max_search_s:g} s")
        answer: dict[str, Any] = {"count": page.total, "_shards": shards}
        if page.terminated_early:
            answer["terminated_early"] = True
        return json_answer(request, answer)

    async def _msearch(self, request: web.Request, parameters: Parameters) -> web.Response:
        began = time.perf_counter()
        data = await read_bytes(request, self._limits, wire_bytes=self._limits.body_bytes)
        read = partial(parse_msearch, data, request.match_info.get("index"), self._limits)
        searches = read() if len(data) <= INLINE_BYTES else await self._node.query(read)
        flat = parameters.flag("rest_total_hits_as_int")
        typed = parameters.flag("typed_keys")
        slots = asyncio.Semaphore(MSEARCH_AT_ONCE)

        async def answer_one(
            expression: str, search: SearchRequest | TailraceError
        ) -> dict[str, Any]:
            if isinstance(search, TailraceError):
                return error_body(search)
            async with slots:
                return await self._one_of_many(expression, replace(search, typed_keys=typed))

        answers = await asyncio.gather(*(answer_one(*search) for search in searches))
        for answer in answers:
            if flat and "hits" in answer:
                flatten_total(answer)
        return json_answer(request, {"took": _took(began), "responses": answers})

    async def _one_of_many(self, expression: str, search: SearchRequest) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            answer = await self._answer(self._node.resolve(expression), search, began)
            return answer | {"status": 200}
        except TailraceError as error:
            return error_body(error)


# --- in the query pool -----------------------------------------------------------------
def run_search(targets: list[Target], search: SearchRequest, stop: Stop) -> dict[str, Any]:
    """Search, and fetch what the answer shows. Blocks.

    Once `stop` is set the search ends with what it has; hits that it has are shown in full.
    """
    found: Aggregated | None = None
    if search.aggregations:
        found = aggregate_targets(targets, search, stop)
    if found is not None and search.size == 0 and search.is_plain:
        page = counted_page(found, search)
    else:
        page = search_targets(targets, search, stop)
    timed_out = page.timed_out or (found is not None and found.timed_out)
    began = time.perf_counter_ns()
    body: dict[str, Any] = {"timed_out": timed_out, "hits": hits_body(page, search, stop)}
    if found is not None:
        body["aggregations"] = found.body
    fetch_ns = time.perf_counter_ns() - began
    if page.terminated_early:
        body["terminated_early"] = True
    if search.profile or search.explain:
        shards = [profile_body(target, search, time.perf_counter_ns, stop) for target in targets]
        body["profile"] = {"shards": shards, "fetch": {"time_in_nanos": fetch_ns}}
    return body


def scroll_hits(scroll: Scroll, stop: Stop) -> tuple[dict[str, Any], list[tuple[Any, ...] | None]]:
    """Return the next page of a scroll, and where the one after it begins. Blocks.

    The first page has the aggregations too.
    """
    found: Aggregated | None = None
    if scroll.request.aggregations and not any(scroll.afters):
        found = aggregate_targets(scroll.targets, scroll.request, stop)
    page, afters = search_next(scroll.targets, scroll.request, scroll.afters, stop)
    if page.timed_out:
        # Hits may be missing between those it has: the same page can be asked for again.
        page, afters = page._replace(hits=[]), scroll.afters
    body = hits_body(page, scroll.request)
    if scroll.n_added_keys:
        for hit in body["hits"]:
            hit["sort"] = hit["sort"][: -scroll.n_added_keys]
            if not hit["sort"]:
                del hit["sort"]
    answer: dict[str, Any] = {"timed_out": page.timed_out, "hits": body}
    if found is not None:
        answer["timed_out"] |= found.timed_out
        answer["aggregations"] = found.body
    return answer, afters


def search_timeout_s(search: SearchRequest, limits: Limits) -> float:
    """Return how long a search may run."""
    asked = limits.search_s if search.timeout_s is None else search.timeout_s
    return min(asked, limits.max_search_s)


# --- what a request means --------------------------------------------------------------
def with_parameters(body: dict[str, Any], parameters: Parameters) -> dict[str, Any]:
    """Return a search body in which the URL's parameters have taken their places."""
    body = dict(body)
    query = query_of(body, parameters)
    if query is not None:
        body["query"] = query
    for name in ("from", "size"):
        if name in parameters:
            body[name] = parameters.integer(name)
    for name in FLAGS:
        if name in parameters:
            body[name] = parameters.flag(name)
    if "sort" in parameters:
        body["sort"] = parameters.names("sort")
    if "track_total_hits" in parameters:
        value = parameters.text("track_total_hits") or "true"
        body["track_total_hits"] = (
            value == "true"
            if value in {"true", "false"}
            else parameters.integer("track_total_hits")
        )
    if "timeout" in parameters:
        body["timeout"] = parameters.text("timeout")
    for name in ("stored_fields", "docvalue_fields"):
        if name in parameters:
            body[name] = parameters.names(name)
    if "terminate_after" in parameters:
        body["terminate_after"] = parameters.integer("terminate_after")
    if "min_score" in parameters:
        body["min_score"] = _number(parameters, "min_score")
    put_source(body, parameters)
    return body


def understand_search(body: dict[str, Any], parameters: Parameters) -> SearchRequest:
    """Return the search that a body and the URL's parameters ask for.

    Raises: InvalidQueryError, InvalidRequestError.
    """
    return parse_search(with_parameters(body, parameters))


def _number(parameters: Parameters, name: str) -> float:
    text = parameters.text(name) or ""
    try:
        return float(text)
    except ValueError:
        raise InvalidRequestError(f"[{name}] is [{text}], not a number") from None


def parse_msearch(
    data: bytes, default_index: str | None, limits: Limits
) -> list[tuple[str, SearchRequest | TailraceError]]:
    """Return (index expression, search or why it is none) of each search of an `_msearch`.

    Raises: MalformedBodyError, InvalidRequestError.
    """
    lines = data.split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if not lines or len(lines) % 2:
        raise MalformedBodyError("_msearch needs a header line and a body line for each search")
    if len(lines) // 2 > limits.msearch_requests:
        raise InvalidRequestError(
            f"{len(lines) // 2} searches in one _msearch, at most {limits.msearch_requests}"
        )
    searches: list[tuple[str, SearchRequest | TailraceError]] = []
    for place in range(0, len(lines), 2):
        header = parse_object(lines[place], limits, where=f"line {place + 1}")
        unknown = set(header) - MSEARCH_HEADER
        if unknown:
            raise UnsupportedError(f"line {place + 1}: key [{min(unknown)}] is not supported")
        name = header.get("index", default_index or "_all")
        names = name if isinstance(name, list) else [name]
        body = parse_object(lines[place + 1], limits, where=f"line {place + 2}")
        searches.append((",".join(str(part) for part in names) or "_all", _search_or_error(body)))
    return searches


def _search_or_error(body: dict[str, Any]) -> SearchRequest | TailraceError:
    try:
        return parse_search(body)
    except TailraceError as error:
        return error


def scroll_ids(request: web.Request, parameters: Parameters, body: dict[str, Any]) -> list[str]:
    """Return the scrolls that a request names, in its path, its parameters or its body."""
    names = request.match_info.get("scroll_id") or parameters.text("scroll_id")
    if names is None:
        names = body.get("scroll_id")
    listed = names.split(",") if isinstance(names, str) else names
    if not isinstance(listed, list) or not listed:
        raise InvalidRequestError("no scroll ids specified")
    return [str(name) for name in listed]


def flatten_total(answer: dict[str, Any]) -> None:
    """Show the total as a bare number, as clients before OpenSearch 1 want it."""
    hits = answer["hits"]
    hits["total"] = hits["total"]["value"] if "total" in hits else -1


def _took(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
