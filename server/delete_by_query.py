"""`_delete_by_query`: find in a snapshot, page by page, and delete what is found by its id."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from aiohttp import web

from index.document import Op
from index.errors import InvalidRequestError
from index.query.parse_json import parse_search
from index.query.request import SearchRequest, SortKey
from pipeline.node import Index, Node
from pipeline.tokens import Vector
from pipeline.write import WriteOp
from server.answers import json_answer
from server.bodies import read_object
from server.gather import After, Page, Target, search_next
from server.indexes import resolve
from server.limits import Limits
from server.parameters import Parameters
from server.routes import INDEX, Route
from server.search import COUNT, with_parameters
from server.writes import join_tokens, refresh_s, vector_of, wait_after, write

KNOWN = COUNT | {"refresh", "conflicts", "wait_for_completion", "scroll_size", "slices"}
PAGE = 1_000


class DeleteByQueryEndpoints:
    """Thread rule: the event loop's thread."""

    def __init__(self, node: Node, limits: Limits) -> None:
        self._node = node
        self._limits = limits

    def routes(self) -> list[Route]:
        return [Route("POST", f"/{INDEX}/_delete_by_query", self._delete, KNOWN)]

    async def _delete(self, request: web.Request, parameters: Parameters) -> web.Response:
        """A document that changes between the search and the delete is deleted all the same:
        the order of the log decides."""
        began = time.perf_counter()
        body = await read_object(request, self._limits)
        if set(body) != {"query"} and "q" not in parameters:
            raise InvalidRequestError("_delete_by_query needs [query] and nothing else")
        query = parse_search(with_parameters({"query": body.get("query")}, parameters)).query
        wait_s = refresh_s(parameters, self._limits)
        indexes = resolve(self._node, request, parameters)
        await wait_after(indexes, parameters, self._limits)
        search = SearchRequest(query=query, size=PAGE, sort=(SortKey("_doc"),))
        vectors: dict[str, Vector] = {}
        answer: dict[str, Any] = {"total": 0, "deleted": 0, "batches": 0, "noops": 0}
        failures: list[dict[str, Any]] = []
        for index in indexes:
            vectors[index.name] = await self._delete_in(index, search, wait_s, answer, failures)
        answer |= {
            "took": round((time.perf_counter() - began) * 1000),
            "timed_out": False,
            "version_conflicts": 0,
            "retries": {"bulk": 0, "search": 0},
            "throttled_millis": 0,
            "requests_per_second": -1.0,
            "throttled_until_millis": 0,
            "failures": failures,
            "_token": join_tokens(vectors) if vectors else "-",
        }
        return json_answer(request, answer)

    async def _delete_in(
        self,
        index: Index,
        search: SearchRequest,
        wait_s: float | None,
        answer: dict[str, Any],
        failures: list[dict[str, Any]],
    ) -> Vector:
        """Delete what the search finds; count into `answer`, and return how far the log got."""
        targets = [Target(index.name, index.searcher())]
        afters: list[After] = [None]
        vector: Vector = {}
        while True:
            keys, afters = await self._node.query(partial(_next_keys, targets, search, afters))
            if not keys:
                return vector
            ops = [WriteOp(Op.DELETE, key) for key in keys]
            results = await write(index, ops, refresh_s=wait_s)
            for partition, offset in vector_of(results).items():
                vector[partition] = max(offset, vector.get(partition, 0))
            answer["total"] += len(keys)
            answer["batches"] += 1
            answer["deleted"] += sum(result.status == 200 for result in results)
            answer["noops"] += sum(result.status == 404 for result in results)
            failures += [
                {"index": index.name, "id": result.key, "status": result.status}
                for result in results
                if result.status not in {200, 404}
            ]


def _next_keys(
    targets: list[Target], search: SearchRequest, afters: list[After]
) -> tuple[list[str], list[After]]:
    """Return the ids of the next page of hits. Blocks."""
    page: Page
    page, behind = search_next(targets, search, afters)
    keys = [
        found.target.searcher.views[found.hit.view_no].reader.key(found.hit.doc_id).decode()
        for found in page.hits
    ]
    return keys, behind
