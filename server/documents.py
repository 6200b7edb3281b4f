"""One document at a time, and many by `_bulk` and `_mget`."""

from __future__ import annotations

import time
from functools import partial

from aiohttp import web

from index.document import Op
from index.errors import (
    DocumentNotFoundError,
    InvalidRequestError,
)
from pipeline.node import Index, Node
from pipeline.write import WriteOp
from server.answers import json_answer, retry_after
from server.bodies import read_bytes, read_object
from server.bulk import OPS, Action, parse_bulk, parse_update, read_version
from server.bulk_writer import BulkWriter
from server.faults import MalformedBodyError, TooLargeError
from server.gets import answer_mget, get_bodies, one_index, parse_mget, source_filter
from server.limits import Limits
from server.parameters import Parameters
from server.routes import ID, INDEX, Route
from server.writes import (
    check_index_for,
    index_for_write,
    join_tokens,
    refresh_s,
    result_body,
    vector_of,
    wait_after,
    write,
)

SOURCE = frozenset({"_source", "_source_includes", "_source_excludes"})
WRITE = frozenset({"refresh", "timeout", "routing", "wait_for_active_shards", "require_alias"})
INDEX_DOC = WRITE | {"op_type", "version", "version_type"}
UPDATE = WRITE | {"retry_on_conflict", "require_alias", "lang"}
READ = SOURCE | {"realtime", "refresh", "preference", "routing", "after", "timeout"}
BULK = WRITE | {"type"}

INLINE_BYTES = 64 << 10
"""A `_bulk` up to this size is read in the event loop: a thread hop would cost more."""


class DocumentEndpoints:
    """Thread rule: the event loop's thread."""

    def __init__(self, node: Node, limits: Limits) -> None:
        self._node = node
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route("POST PUT", "/_bulk", self._bulk, BULK),
            Route("POST PUT", f"/{INDEX}/_bulk", self._bulk, BULK),
            Route("GET", f"/{INDEX}/_doc/{ID}", self._get, READ),
            Route("PUT POST", f"/{INDEX}/_doc/{ID}", self._index, INDEX_DOC),
            Route("POST", f"/{INDEX}/_doc", self._index, INDEX_DOC),
            Route("DELETE", f"/{INDEX}/_doc/{ID}", self._delete, INDEX_DOC - {"op_type"}),
            Route("PUT POST", f"/{INDEX}/_create/{ID}", self._create, INDEX_DOC - {"op_type"}),
            Route("POST", f"/{INDEX}/_update/{ID}", self._update, UPDATE),
            Route("GET", f"/{INDEX}/_source/{ID}", self._get_source, READ),
            Route("GET POST", "/_mget", self._mget, READ),
            Route("GET POST", f"/{INDEX}/_mget", self._mget, READ),
        ]

    # --- one document ------------------------------------------------------------------
    async def _index(self, request: web.Request, parameters: Parameters) -> web.Response:
        op_type = parameters.choice("op_type", ("index", "create"), "index")
        return await self._put(request, parameters, OPS[op_type])

    async def _create(self, request: web.Request, parameters: Parameters) -> web.Response:
        return await self._put(request, parameters, Op.CREATE)

    async def _put(self, request: web.Request, parameters: Parameters, op: Op) -> web.Response:
        source = await self._read(request)
        key = request.match_info.get("id")
        return await self._write(
            request, parameters, WriteOp(op, key, source, version=_version(parameters))
        )

    async def _delete(self, request: web.Request, parameters: Parameters) -> web.Response:
        op = WriteOp(Op.DELETE, request.match_info["id"], version=_version(parameters))
        check_index_for(self._node, request.match_info["index"], [op])
        return await self._write(request, parameters, op)

    async def _update(self, request: web.Request, parameters: Parameters) -> web.Response:
        data = await self._read(request)
        read = partial(parse_update, data, self._limits)
        update = read() if len(data) <= INLINE_BYTES else await self._node.query(read)
        key = request.match_info["id"]
        op = WriteOp(Op.UPDATE, key, update.source, upsert=update.upsert)
        return await self._write(request, parameters, op)

    async def _write(
        self, request: web.Request, parameters: Parameters, op: WriteOp
    ) -> web.Response:
        wait_s = refresh_s(parameters, self._limits)
        index = await index_for_write(self._node, request.match_info["index"])
        traced = _with_traceparent(op, request)
        [result] = await write(index, [traced], refresh_s=wait_s)
        if result.error is not None:
            raise result.error
        body = result_body(index.name, op, result)
        if wait_s is not None and parameters.text("refresh") != "wait_for":
            body["forced_refresh"] = True
        body["_token"] = join_tokens({index.name: vector_of([result])})
        return json_answer(request, body, status=result.status)

    async def _read(self, request: web.Request) -> bytes:
        data = await read_bytes(request, self._limits, wire_bytes=self._limits.body_bytes)
        if not data:
            raise MalformedBodyError("request body is required")
        return data

    async def _get(self, request: web.Request, parameters: Parameters) -> web.Response:
        keep = source_filter(parameters)
        index = await self._one_index(request, parameters)
        [body] = await get_bodies(index, [(request.match_info["id"], keep)])
        return json_answer(request, body, status=200 if body["found"] else 404)

    async def _get_source(self, request: web.Request, parameters: Parameters) -> web.Response:
        keep = source_filter(parameters)
        index = await self._one_index(request, parameters)
        key = request.match_info["id"]
        [found] = await get_bodies(index, [(key, keep)])
        if "_source" not in found:
            raise DocumentNotFoundError(f"document not found [{index.name}]/[{key}]")
        return json_answer(request, found["_source"])

    async def _one_index(self, request: web.Request, parameters: Parameters) -> Index:
        index = one_index(self._node, request.match_info["index"])
        await wait_after([index], parameters, self._limits)
        return index

    async def _mget(self, request: web.Request, parameters: Parameters) -> web.Response:
        body = await read_object(request, self._limits)
        default = source_filter(parameters)
        wanted = parse_mget(body, request.match_info.get("index"), default)
        if len(wanted) > self._limits.mget_docs:
            raise InvalidRequestError(
                f"{len(wanted)} documents in one _mget, at most {self._limits.mget_docs}"
            )
        docs = await answer_mget(self._node, wanted)
        return json_answer(request, {"docs": docs})

    # --- many documents ----------------------------------------------------------------
    async def _bulk(self, request: web.Request, parameters: Parameters) -> web.Response:
        began = time.perf_counter()
        wait_s = refresh_s(parameters, self._limits)
        data = await read_bytes(request, self._limits, wire_bytes=self._limits.bulk_bytes)
        read = partial(_read_actions, data, request.match_info.get("index"), self._limits)
        is_small = len(data) <= INLINE_BYTES
        actions = read() if is_small else await self._node.query(read)
        del data, read  # the actions have all of it
        if not actions:
            raise MalformedBodyError("request body is required: no action in it")
        bulk = BulkWriter(self._node, self._limits, wait_s)
        await bulk.run(actions)
        answer = {
            "took": round((time.perf_counter() - began) * 1000),
            "errors": bulk.has_errors,
            "items": bulk.items(),
            "_token": join_tokens(bulk.vectors) if bulk.vectors else "-",
        }
        return json_answer(request, answer, headers=retry_after(bulk.retry_after_s))


def _read_actions(data: bytes, index: str | None, limits: Limits) -> list[Action]:
    actions = []
    for action in parse_bulk(data, index, limits):
        actions.append(action)
        if len(actions) > limits.bulk_actions:
            raise TooLargeError(f"more than {limits.bulk_actions} actions in one _bulk")
    return actions


def _version(parameters: Parameters) -> int | None:
    version = parameters.integer("version")
    kind = parameters.text("version_type", "internal")
    return read_version({"version": version, "version_type": kind})


def _with_traceparent(op: WriteOp, request: web.Request) -> WriteOp:
    traceparent = request.headers.get("traceparent")
    if traceparent is None:
        return op
    return WriteOp(
        op.op, op.key, op.source, version=op.version, upsert=op.upsert, traceparent=traceparent
    )
