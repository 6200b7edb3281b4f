"""A server that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Script = Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]]


class FakeServer:
    """`answers` maps (method, path) to (status, body); `scripts` are the connections of _live."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.scripts: list[Script] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.subscriptions: list[dict[str, Any]] = []
        self.refusal: str | None = None
        """Why there is no such index; None: nothing is said."""
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/_live"):
            return await self._live(request)
        body = await request.read()
        self.requests.append((request.method, request.path, dict(request.query), body))
        status, answer = self.answers[request.method, request.path]
        if isinstance(answer, bytes):
            return web.Response(status=status, body=answer)
        return web.json_response(answer, status=status)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if not self.scripts:
            if self.refusal is None:
                raise web.HTTPNotFound
            error = {"type": "index_not_found_exception", "reason": self.refusal}
            return web.json_response({"error": error, "status": 404}, status=404)
        script = self.scripts.pop(0)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        subscription = json.loads((await socket.receive()).data)
        self.subscriptions.append(subscription)
        await script(socket, subscription)
        return socket


@asynccontextmanager
async def run_fake_server() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


def send(*messages: dict[str, Any]) -> Script:
    """Return a connection that sends these messages, then breaks."""

    async def script(socket: web.WebSocketResponse, _subscription: dict[str, Any]) -> None:
        for message in messages:
            await socket.send_json(message)
        await socket.close(code=1001)

    return script


def send_and_wait(message: dict[str, Any]) -> Script:
    """Return a connection that sends a message, and then waits for its client to go."""

    async def script(socket: web.WebSocketResponse, _subscription: dict[str, Any]) -> None:
        await socket.send_json(message)
        await socket.receive()

    return script


def hit(key: str, token: str, **source: Any) -> dict[str, Any]:
    return {"type": "hit", "_id": key, "_score": 1.0, "_source": source, "token": token}


def snapshot(token: str, *hits: dict[str, Any]) -> dict[str, Any]:
    return {"type": "snapshot", "hits": list(hits), "total": len(hits), "token": token}
