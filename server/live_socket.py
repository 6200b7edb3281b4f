"""One live socket: what its client asks for, and one task for each thing that is under way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from index.errors import (
    IndexNotFoundError,
    InvalidRequestError,
    OverloadError,
    TailraceError,
)
from index.query.ast import Query
from index.query.parse_json import parse_query, parse_search
from index.query.request import SearchRequest
from pipeline.node import Index, Node
from pipeline.subscription import Subscription
from server.answers import encode_json
from server.bodies import parse_json, require_str
from server.faults import MalformedBodyError, UnavailableError
from server.limits import Limits
from server.search import run_search, search_timeout_s
from server.shards import targets_of

log = logging.getLogger(__name__)

KEYS = {
    "subscribe": {"op", "id", "query", "q", "snapshot", "after"},
    "search": {"op", "id", "body"},
    "unsubscribe": {"op", "id"},
}
MAX_ID_CHARS = 256
CLOSE_S = 2.0

Frame = dict[str, Any]


class LiveSocket:
    """Thread rule: the event loop's thread. Requires: `socket` is prepared."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        index: Index,
        node: Node,
        limits: Limits,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._index = index
        self._node = node
        self._limits = limits
        self._subscriptions: dict[str, Subscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rate = _Rate(limits.socket_frames_per_s, time.monotonic)

    async def run(self) -> None:
        """Serve the socket until it is closed; then nothing of it is left."""
        try:
            async for message in self._socket:
                await self._take(message)
                delay_s = self._rate.delay_s()
                if delay_s > 0:
                    await asyncio.sleep(delay_s)
        except ConnectionError:
            pass
        finally:
            for subscription in self._subscriptions.values():
                subscription.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what comes in -----------------------------------------------------------------
    async def _take(self, message: WSMessage) -> None:
        name: str | None = None
        try:
            if message.type is not WSMsgType.TEXT:
                raise MalformedBodyError("frames are text, not bytes")
            frame = parse_json(message.data.encode(), self._limits, where="frame")
            if not isinstance(frame, dict):
                raise MalformedBodyError("frame is not a json object")
            name = _read_id(frame)
            await self._do(name, frame)
        except TailraceError as error:
            await self._send_error(name, error)

    async def _do(self, name: str, frame: Frame) -> None:
        op = frame.get("op")
        if not isinstance(op, str) or op not in KEYS:
            raise InvalidRequestError(f"[op] is [{op}], not one of {', '.join(sorted(KEYS))}")
        unknown = set(frame) - KEYS[op]
        if unknown:
            raise InvalidRequestError(f"[{op}] does not know [{min(unknown)}]")
        if op == "unsubscribe":
            await self._unsubscribe(name)
            return
        self._check_index()
        if len(self._tasks) >= self._limits.socket_subscriptions:
            raise OverloadError(
                f"{self._limits.socket_subscriptions} subscriptions and searches are under way"
            )
        if op == "search":
            self._spawn(self._search(name, parse_search(frame.get("body", {}))))
        else:
            self._subscribe(name, frame)

    def _subscribe(self, name: str, frame: Frame) -> None:
        if name in self._subscriptions:
            raise InvalidRequestError(f"[id] {name} is subscribed already")
        snapshot = frame.get("snapshot", 10)
        if isinstance(snapshot, bool) or not isinstance(snapshot, int):
            raise InvalidRequestError("[snapshot] is not an integer")
        after = frame.get("after")
        if after is not None and not isinstance(after, str):
            raise InvalidRequestError("[after] is not a token")
        subscription = self._index.subscribe(_read_query(frame), snapshot=snapshot, after=after)
        self._subscriptions[name] = subscription
        pump = self._spawn(self._pump(name, subscription))
        watch = asyncio.create_task(self._watch(subscription))
        pump.add_done_callback(lambda _: watch.cancel())

    async def _unsubscribe(self, name: str) -> None:
        subscription = self._subscriptions.pop(name, None)
        if subscription is None:
            raise InvalidRequestError(f"[id] {name} is not subscribed")
        subscription.close()
        await self._send({"id": name, "type": "unsubscribed"})

    def _check_index(self) -> None:
        """Raises: IndexNotFoundError where the index was deleted."""
        if self._node.indexes.get(self._index.name) is not self._index:
            raise IndexNotFoundError(self._index.name)

    # --- what goes out -----------------------------------------------------------------
    async def _pump(self, name: str, subscription: Subscription) -> None:
        """Carry frames until the subscription ends. Waits while the socket is full."""
        try:
            async for frame in subscription:
                if self._subscriptions.get(name) is not subscription:
                    return
                await self._send({"id": name, **frame})
            if self._subscriptions.get(name) is subscription:
                self._check_index()
                raise UnavailableError("the subscription has ended: the index is closed")
        except OverloadError:
            return
        except TailraceError as error:
            await self._send_error(name, error)
        finally:
            if self._subscriptions.get(name) is subscription:
                del self._subscriptions[name]
            subscription.close()

    async def _watch(self, subscription: Subscription) -> None:
        """Close the socket when its client has taken nothing for too long: the pump may hang in
        it and would never learn that."""
        error = await subscription.wait_closed()
        if not isinstance(error, OverloadError):
            return
        transport = self._transport
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")
        except (TimeoutError, ConnectionError):
            pass
        if transport is not None:
            transport.abort()

    async def _search(self, name: str, request: SearchRequest) -> None:
        began = time.perf_counter()
        targets, seen = targets_of([self._index])
        try:
            shards = seen.body()
            work = partial(run_search, targets, request)
            found = await self._node.query_for(work, search_timeout_s(request, self._limits))
        except TailraceError as error:
            await self._send_error(name, error)
            return
        took = round((time.perf_counter() - began) * 1000)
        answer = {"took": took, "_shards": shards, **found}
        await self._send({"id": name, "type": "result", **answer})

    async def _send(self, frame: Frame) -> None:
        """Send one frame; returns when the socket has room again."""
        await self._socket.send_frame(encode_json(frame), WSMsgType.TEXT)

    async def _send_error(self, name: str | None, error: TailraceError) -> None:
        reason = {"reason": str(error), "status": error.status, "error_type": error.type}
        await self._send({"id": name, "type": "error", **reason})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, ConnectionError):
            log.error("live task failed", exc_info=error)


class _Rate:
    """A bucket of permits that refills with time: after a burst, frames are taken more slowly."""

    def __init__(self, per_s: int, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._clock = clock
        self._permits = float(per_s)
        self._last = clock()

    def delay_s(self) -> float:
        """Take one permit, and return how long to wait before the next frame is read."""
        now = self._clock()
        self._permits = min(self._permits + (now - self._last) * self._per_s, self._per_s) - 1
        self._last = now
        return max(0.0, -self._permits / self._per_s)


def _read_id(frame: Frame) -> str:
    name = frame.get("id")
    if isinstance(name, str) and 0 < len(name) <= MAX_ID_CHARS:
        return name
    raise InvalidRequestError(f"[id] must be a string of 1 to {MAX_ID_CHARS} characters")


def _read_query(frame: Frame) -> Query:
    """Return the standing query of a `subscribe`; without one, all documents."""
    if "query" in frame and "q" in frame:
        raise InvalidRequestError("[subscribe] takes [query] or [q], not both")
    if "q" in frame:
        text = require_str(frame["q"], "q")
        return parse_query({"query_string": {"query": text}}, "q")
    return parse_query(frame.get("query", {"match_all": {}}))
