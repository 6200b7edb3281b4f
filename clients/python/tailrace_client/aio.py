"""The asynchronous client."""

from __future__ import annotations

import json
import weakref
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from tailrace_client.answers import (
    BulkResult,
    Document,
    SearchResult,
    Written,
    to_bulk_result,
    to_document,
    to_result,
    to_written,
)
from tailrace_client.errors import (
    BulkFailedError,
    ConnectionFailedError,
    NotFoundError,
    to_api_error,
)
from tailrace_client.events import Event, LiveState
from tailrace_client.live import follow
from tailrace_client.query import Q, to_query

Query = Q | str | dict[str, Any]
NDJSON = {"Content-Type": "application/x-ndjson"}
BULK_OPS = ("index", "create", "update", "delete")


class AsyncClient:
    """Talks to one server. Use it as an async context manager, in one event loop."""

    def __init__(self, url: str = "http://127.0.0.1:7400", *, timeout_s: float = 30.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._open_session: aiohttp.ClientSession | None = None
        self._live_sessions: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every live query, and close all connections."""
        for session in list(self._live_sessions):
            await session.close()
        if self._open_session is not None:
            await self._open_session.close()
            self._open_session = None

    async def info(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        return await self._call("GET", "")

    async def search(
        self,
        index: str,
        query: Query | None = None,
        *,
        size: int = 10,
        from_: int = 0,
        sort: Sequence[Any] | None = None,
        after: str | None = None,
        **body: Any,
    ) -> SearchResult:
        """Search once. `after` is the token of a write that the search has to see.

        `body` is anything else of the search body: highlight, search_after, min_score, ...
        """
        request = {"query": to_query(query), "size": size, "from": from_, **body}
        if sort is not None:
            request["sort"] = list(sort)
        parameters = {} if after is None else {"after": after}
        path = f"{_names(index)}/_search"
        return to_result(await self._call("POST", path, body=request, parameters=parameters))

    async def count(self, index: str, query: Query | None = None) -> int:
        request = {"query": to_query(query)}
        return int((await self._call("POST", f"{_names(index)}/_count", body=request))["count"])

    async def get(self, index: str, id: str) -> Document | None:
        """Return the newest version of a document, None where there is none.

        Raises: NotFoundError where there is no such index.
        """
        try:
            return to_document(await self._call("GET", f"{_part(index)}/_doc/{_part(id)}"))
        except NotFoundError as error:
            if isinstance(error.body, dict) and "error" in error.body:
                raise
            return None

    async def index(
        self,
        index: str,
        document: Mapping[str, Any],
        *,
        id: str | None = None,
        refresh: str | None = None,
        create: bool = False,
    ) -> Written:
        """Write a document; durable on return, searchable too with `refresh="wait_for"`.

        Raises: ConflictError with `create` where a document of this id exists.
        """
        kind = "_create" if create and id is not None else "_doc"
        path = f"{_part(index)}/{kind}" + ("" if id is None else f"/{_part(id)}")
        method = "POST" if id is None else "PUT"
        parameters = _refresh(refresh)
        return to_written(await self._call(method, path, body=document, parameters=parameters))

    async def delete(self, index: str, id: str, *, refresh: str | None = None) -> Written:
        """Delete a document. Raises: NotFoundError where there is none."""
        path = f"{_part(index)}/_doc/{_part(id)}"
        return to_written(await self._call("DELETE", path, parameters=_refresh(refresh)))

    async def bulk(
        self,
        index: str,
        documents: Iterable[Mapping[str, Any]],
        *,
        refresh: str | None = None,
        raise_on_failure: bool = True,
    ) -> BulkResult:
        """Write many documents in one call. `_id` of a document is its id and no field.

        `_op` may say `index` (default), `create`, `update` or `delete`.
        Raises: BulkFailedError where some were refused, unless told to return them only.
        """
        path = f"{_part(index)}/_bulk"
        parameters = _refresh(refresh)
        data = encode_bulk(documents)
        result = to_bulk_result(await self._call("POST", path, data=data, parameters=parameters))
        if result.failed and raise_on_failure:
            raise BulkFailedError(result.failed)
        return result

    async def create_index(self, index: str, **body: Any) -> None:
        """Create an index; `mappings=` and `settings=` as OpenSearch writes them."""
        await self._call("PUT", _part(index), body=body)

    async def delete_index(self, index: str) -> None:
        await self._call("DELETE", _part(index))

    def live(
        self, index: str, query: Query, *, snapshot: int = 0, after: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield what enters and leaves the result, from now on or from the token `after`.

        Subscribes when the first event is asked for; with `snapshot=N` a Snapshot of the N best
        hits is that first event, and whatever comes later is told.
        Connects again by itself and goes on behind the last event. Close the iterator, or leave
        the task that reads it, or close the client, to end it.
        """
        state = LiveState(to_query(query), index=index, snapshot=snapshot, after=after)
        return follow(self._live_session, self._to_url(f"{_names(index)}/_live"), state)

    def _session(self) -> aiohttp.ClientSession:
        if self._open_session is None:
            self._open_session = aiohttp.ClientSession()
        return self._open_session

    def _live_session(self) -> aiohttp.ClientSession:
        """Return a session that the iterator closes: it may be left after the client is."""
        session = aiohttp.ClientSession()
        self._live_sessions.add(session)
        return session

    def _to_url(self, path: str) -> URL:
        return URL(f"{self._url}/{path}", encoded=True)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        url = self._to_url(path)
        headers = NDJSON if data is not None else {"Content-Type": "application/json"}
        payload = data if body is None else json.dumps(body).encode()
        try:
            async with self._session().request(
                method,
                url,
                data=payload,
                headers=headers if payload is not None else None,
                params=parameters or None,
                timeout=self._timeout,
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ConnectionFailedError(f"{url}: {error or type(error).__name__}") from error
        if response.status >= 400:
            raise to_api_error(response.status, answer)
        decoded = json.loads(answer) if answer else {}
        return decoded if isinstance(decoded, dict) else {"items": decoded}


def encode_bulk(documents: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the lines of a bulk. Raises: ValueError for an unknown `_op` or a missing `_id`."""
    lines: list[bytes] = []
    for document in documents:
        fields = dict(document)
        op, key = fields.pop("_op", "index"), fields.pop("_id", None)
        if op not in BULK_OPS:
            raise ValueError(f"_op is {op!r}, expected one of {', '.join(BULK_OPS)}")
        if key is None and op in ("update", "delete"):
            raise ValueError(f"a document to {op} needs an _id")
        lines.append(json.dumps({op: {} if key is None else {"_id": str(key)}}).encode())
        if op != "delete":
            lines.append(json.dumps({"doc": fields} if op == "update" else fields).encode())
    lines.append(b"")
    return b"\n".join(lines)


def _refresh(refresh: str | None) -> dict[str, str]:
    return {} if refresh is None else {"refresh": refresh}


def _part(name: str) -> str:
    """Quote one part of a path. Raises: ValueError for an empty one: it would name another."""
    if not name or name in (".", ".."):
        raise ValueError(f"not a name: {name!r}")
    return quote(name, safe="")


def _names(index: str) -> str:
    return quote(index, safe=",*") if index else _part(index)
