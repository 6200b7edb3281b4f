"""Which requests are taken, and what they hold while they are under way.

Past a bound a request is refused at once, with 429 and the seconds to come back after: nothing of
it is read. An answer that its client does not take is not waited for: the connection ends.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from index.errors import OverloadError
from pipeline.budget import Budget, Claim
from server.answers import error_answer
from server.limits import Limits

CLAIM: Final = web.RequestKey("claim", Claim)
"""Where a request keeps its `Claim`."""
ALWAYS: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Whoever looks after an overloaded server still gets an answer."""
LIVE: Final = "/_live"
"""Live connections have bounds of their own."""
SENT_AT_ONCE_BYTES: Final = 64 << 10
"""The system takes an answer of this size whether its client reads or not."""


class Admission:
    """Thread rule: the event loop's thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.budget = Budget("requests", limits.in_flight_bytes)
        self.n_requests = 0
        """Under way."""

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, or refuse it."""
        if request.path in ALWAYS or request.path.endswith(LIVE):
            return await handler(request)
        try:
            self._require_room()
        except OverloadError as error:
            answer = error_answer(request, error)
            answer.force_close()  # what is left of the body is not worth reading
            return answer
        claim = Claim(self.budget)
        request[CLAIM] = claim
        self.n_requests += 1
        try:
            response = await handler(request)
            body: Any = getattr(response, "body", None)
            if isinstance(body, bytes) and len(body) > SENT_AT_ONCE_BYTES:
                claim.hold(len(body))
                await self._send(request, response)
            return response
        finally:
            self.n_requests -= 1
            claim.release()

    def _require_room(self) -> None:
        if self.n_requests >= self._limits.requests:
            self.budget.n_refused += 1
            raise OverloadError(
                f"{self.n_requests} requests are under way, of at most {self._limits.requests}"
            )
        self.budget.require(0)

    async def _send(self, request: web.Request, response: web.StreamResponse) -> None:
        """Send a large answer; end the connection when nothing of it is taken for `stuck_s`."""
        sending = asyncio.ensure_future(_write(request, response))
        left: int | None = None
        try:
            while not (await asyncio.wait({sending}, timeout=self._limits.stuck_s))[0]:
                transport = request.transport
                n_bytes = transport.get_write_buffer_size() if transport is not None else 0
                if transport is not None and n_bytes == left:
                    transport.abort()
                left = n_bytes
            with suppress(ConnectionError):
                await sending
        finally:
            sending.cancel()


async def _write(request: web.Request, response: web.StreamResponse) -> None:
    await response.prepare(request)
    await response.write_eof()


def claim_of(request: web.Request) -> Claim | None:
    """Return what a request holds; None where nobody counts."""
    return request.get(CLAIM)
