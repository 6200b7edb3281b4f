"""`_explain`, `_validate/query`, and the profile of a search: what a query means, and its cost."""

from __future__ import annotations

from functools import partial
from typing import Any

from aiohttp import web

from index.errors import InvalidQueryError, InvalidRequestError, TailraceError
from index.query.ast import Query
from index.query.describe import describe_query
from index.query.parse_json import parse_query, parse_source_filter
from index.query.profile import Clock, Part
from index.query.request import SearchRequest, SourceFilter
from index.query.stop import Stop
from pipeline.node import Index, Node
from server.answers import json_answer, shards_body
from server.bodies import read_object
from server.gather import Target
from server.gets import one_index
from server.hits import NODE, filter_source
from server.indexes import resolve
from server.limits import Limits
from server.parameters import Parameters
from server.query_parameters import CHOICE, QUERY, put_source, query_of
from server.routes import ID, INDEX, Route
from server.writes import wait_after

EXPLAIN = QUERY | {"after", "timeout", "routing", "preference", "_source", "_source_includes"}
EXPLAIN |= {"_source_excludes", "stored_fields"}
VALIDATE = QUERY | CHOICE | {"explain", "rewrite", "all_shards"}


class ExplainEndpoints:
    """Thread rule: the event loop's thread; the work itself runs in the query pool."""

    def __init__(self, node: Node, limits: Limits) -> None:
        self._node = node
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route("GET POST", f"/{INDEX}/_explain/{ID}", self._explain, EXPLAIN),
            Route("GET POST", f"/{INDEX}/_validate/query", self._validate, VALIDATE),
            Route("GET POST", "/_validate/query", self._validate, VALIDATE),
        ]

    async def _explain(self, request: web.Request, parameters: Parameters) -> web.Response:
        body = await read_object(request, self._limits)
        if set(body) - {"query"}:
            raise InvalidRequestError("_explain does not support anything but [query]")
        asked = query_of(body, parameters)
        if asked is None:
            raise InvalidRequestError("query is missing")
        query = parse_query(asked)
        index = one_index(self._node, request.match_info["index"])
        await wait_after([index], parameters, self._limits)
        shown: dict[str, Any] = {}
        put_source(shown, parameters)
        keep = parse_source_filter(shown["_source"], "_source") if shown else None
        work = partial(explain_body, index, request.match_info["id"], query, keep)
        answer = await self._node.read(work)
        return json_answer(request, answer, status=200 if "explanation" in answer else 404)

    async def _validate(self, request: web.Request, parameters: Parameters) -> web.Response:
        body = await read_object(request, self._limits)
        indexes = resolve(self._node, request, parameters)
        rewrites = parameters.flag("rewrite")
        entries: list[dict[str, Any]] = []
        try:
            if set(body) - {"query"}:
                raise InvalidQueryError("request does not support anything but [query]")
            query = parse_query(query_of(body, parameters) or {"match_all": {}})
        except TailraceError as error:
            entries = [{"index": i.name, "valid": False, "error": str(error)} for i in indexes]
            is_valid = False
        else:
            work = partial(validation_body, rewrites=rewrites, query=query)
            entries = [await self._node.read(partial(work, index)) for index in indexes]
            is_valid = all(entry["valid"] for entry in entries)
        n_shards = sum(len(index.shards) for index in indexes)
        answer: dict[str, Any] = {"_shards": shards_body(n_shards), "valid": is_valid}
        if parameters.flag("explain") or rewrites:
            answer["explanations"] = entries
        return json_answer(request, answer)


# --- in the query pool -----------------------------------------------------------------
def explain_body(index: Index, key: str, query: Query, keep: SourceFilter | None) -> dict[str, Any]:
    """Return what `_explain` answers; `keep`: which part of the source to show. Blocks."""
    searcher = index.searcher()
    body: dict[str, Any] = {"_index": index.name, "_id": key, "matched": False}
    found = searcher.get(key.encode())
    if found is None:
        return body
    view, doc_id = found
    view_no = next(i for i, each in enumerate(searcher.views) if each is view)
    explanation = searcher.explain(query, view_no, doc_id)
    body |= {"matched": explanation.is_match, "explanation": explanation.body()}
    if keep is not None and keep.enabled:
        body["get"] = {
            "_seq_no": view.reader.offset(doc_id),
            "_primary_term": 1,
            "found": True,
            "_source": filter_source(view.reader.source(doc_id), keep),
        }
    return body


def validation_body(index: Index, *, rewrites: bool, query: Query) -> dict[str, Any]:
    """Return whether the query fits the index, and what it means there. Blocks."""
    searcher = index.searcher()
    try:
        rewritten = searcher.rewritten(query)
        text = rewritten if rewrites else describe_query(query, searcher.schema)
    except TailraceError as error:
        return {"index": index.name, "valid": False, "error": str(error)}
    return {"index": index.name, "valid": True, "explanation": text}


def profile_body(target: Target, search: SearchRequest, clock: Clock, stop: Stop) -> dict[str, Any]:
    """Return the profile of one index's part of a search. Runs the query again, part by part."""
    profile = target.searcher.profile(search.query, clock, stop)
    return {
        "id": f"[{NODE}][{target.name}]",
        "searches": [
            {
                "query": [part_body(profile.part)],
                "rewrite_time": profile.rewrite_ns,
                "asked": profile.asked,
                "rewritten": profile.rewritten,
                "collector": [],
            }
        ],
        "aggregations": [],
    }


def part_body(part: Part) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": part.kind,
        "description": part.description,
        "time_in_nanos": part.time_ns,
        "estimated_documents": part.n_estimated,
        "documents": part.n_found,
        "breakdown": {"next_doc": part.time_ns, "next_doc_count": part.n_found},
    }
    if part.children:
        body["children"] = [part_body(child) for child in part.children]
    return body
