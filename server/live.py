"""`GET /{index}/_live`: standing queries over a WebSocket, or one as Server-Sent Events.

Frames are those of the index's subscriptions; this module only carries them. Each subscription
has one task that takes a frame when the socket has room for it, so a slow reader fills its own
bounded queue and nobody else's.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import orjson
from aiohttp import WSCloseCode, web

from index.errors import InvalidRequestError, OverloadError
from index.query.ast import Query
from index.query.parse_json import parse_query, parse_search
from pipeline.node import Index, Node
from server.gets import one_index
from server.limits import Limits
from server.live_socket import LiveSocket
from server.parameters import Parameters
from server.routes import INDEX, Route

KNOWN = frozenset({"q", "df", "default_operator", "snapshot", "after"})
EVENT_STREAM = "text/event-stream"
KEEP_ALIVE = b": still here\n\n"


class LiveEndpoints:
    """Thread rule: the event loop's thread."""

    def __init__(self, node: Node, limits: Limits) -> None:
        self._node = node
        self._limits = limits
        self._sockets: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()
        self._streams: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[Route]:
        return [Route("GET", f"/{INDEX}/_live", self._live, KNOWN)]

    async def close(self) -> None:
        """End all sockets with 1001 (going away) and all event streams."""
        for stream in list(self._streams):
            stream.cancel()
        for socket in list(self._sockets):
            await _close(socket, WSCloseCode.GOING_AWAY, b"the server is going away")

    async def _live(self, request: web.Request, parameters: Parameters) -> web.StreamResponse:
        index = one_index(self._node, request.match_info["index"])
        if len(self._sockets) + len(self._streams) >= self._limits.sockets:
            raise OverloadError(f"{self._limits.sockets} live connections are open")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request, index)
        if EVENT_STREAM in request.headers.get("Accept", ""):
            return await self._serve_events(request, parameters, index)
        raise InvalidRequestError(
            f"_live is a websocket, or a stream of events with accept: {EVENT_STREAM}"
        )

    async def _serve_socket(self, request: web.Request, index: Index) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=self._limits.ping_s,
            max_msg_size=self._limits.socket_frame_bytes,
            compress=False,
            timeout=2.0,
        )
        if not socket.can_prepare(request).ok:
            raise InvalidRequestError("not a websocket handshake")
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            live = LiveSocket(socket, request.transport, index, self._node, self._limits)
            await live.run()
        finally:
            self._sockets.discard(socket)
        return socket

    async def _serve_events(
        self, request: web.Request, parameters: Parameters, index: Index
    ) -> web.StreamResponse:
        query = query_of(parameters)
        after = request.headers.get("Last-Event-ID") or parameters.text("after")
        snapshot = parameters.integer("snapshot", 10) or 0
        subscription = index.subscribe(query, snapshot=snapshot, after=after)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = EVENT_STREAM
        try:
            await response.prepare(request)
            await self._send_events(response, subscription)
        except (ConnectionError, OverloadError):
            pass
        finally:
            self._streams.discard(task)
            subscription.close()
        return response

    async def _send_events(self, response: web.StreamResponse, subscription: Any) -> None:
        frames = aiter(subscription)
        pending: asyncio.Task[Any] = asyncio.ensure_future(anext(frames, None))
        try:
            while True:
                done, _ = await asyncio.wait({pending}, timeout=self._limits.ping_s)
                if not done:
                    await response.write(KEEP_ALIVE)
                    continue
                frame = pending.result()
                if frame is None:
                    return
                pending = asyncio.ensure_future(anext(frames, None))
                async with asyncio.timeout(self._limits.stuck_s):
                    await response.write(_event(frame))
        except TimeoutError:
            return
        finally:
            pending.cancel()


def _event(frame: dict[str, Any]) -> bytes:
    token = str(frame.get("token", "")).encode()
    return b"id: %b\ndata: %b\n\n" % (token, orjson.dumps(frame))


def query_of(parameters: Parameters) -> Query:
    """Return the standing query of a URL; without `q`, all documents."""
    text = parameters.text("q")
    if not text:
        return parse_query({"match_all": {}})
    query: dict[str, Any] = {"query": text}
    if "df" in parameters:
        query["default_field"] = parameters.text("df")
    if "default_operator" in parameters:
        query["default_operator"] = (parameters.text("default_operator") or "").lower()
    return parse_search({"query": {"query_string": query}}).query


async def _close(socket: web.WebSocketResponse, code: int, reason: bytes) -> None:
    try:
        async with asyncio.timeout(3.0):
            await socket.close(code=code, message=reason)
    except (TimeoutError, ConnectionError):
        pass
