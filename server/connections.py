"""How many connections are open at once: one above the bound is told so, and closed."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import orjson
from aiohttp import web

from server.faults import UnavailableError, error_body

RETRY_AFTER_S: Final = 1


async def start_listening(
    runner: web.AppRunner, listener: socket.socket, *, most: int, backlog: int
) -> asyncio.Server:
    """Take connections at `listener`, at most `most` at once. Requires: the runner is set up."""
    server = runner.server
    assert server is not None, "a runner that is not set up"

    def protocol() -> asyncio.Protocol:
        if len(server.connections) < most:
            return server()
        return Refusal(f"{most} connections are open")

    loop = asyncio.get_running_loop()
    return await loop.create_server(protocol, sock=listener, backlog=backlog)


class Refusal(asyncio.Protocol):
    """Answers whatever comes with 503 and hangs up."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        body = orjson.dumps(error_body(UnavailableError(self._reason)))
        head = (
            "HTTP/1.1 503 Service Unavailable\r\n"
            f"Retry-After: {RETRY_AFTER_S}\r\n"
            "Content-Type: application/json; charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        transport.write(head.encode() + body)
        transport.close()
