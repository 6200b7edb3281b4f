"""The connection of a live query: opens it, and opens it again."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
from yarl import URL

from tailrace_client.errors import (
    ApiError,
    ConnectionFailedError,
    OverloadedError,
    error_class,
    to_api_error,
)
from tailrace_client.events import Event, LiveState

HEARTBEAT_S = 20.0
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0
POLICY_VIOLATION = 1008
REASON_TIMEOUT = aiohttp.ClientTimeout(total=5.0)


async def follow(
    open_session: Callable[[], aiohttp.ClientSession], url: URL, state: LiveState
) -> AsyncGenerator[Event, None]:
    """Yield events; a lost connection is opened again and resumed, for as long as it takes,
    until the session is closed.

    Raises: ConnectionFailedError where the first connection fails; ApiError where the server
    refuses.
    """
    failures = 0
    has_connected = False
    # All in one generator: of two within each other, the end of a loop may close the inner first.
    async with open_session() as session:
        while not session.closed:
            try:
                async with session.ws_connect(url, heartbeat=HEARTBEAT_S, max_msg_size=0) as socket:
                    await socket.send_str(json.dumps(state.request()))
                    async for frame in socket:
                        event = state.take(_decode(frame))
                        failures, has_connected = 0, True
                        if event is not None:
                            yield event
                    if session.closed:
                        return
                    if socket.close_code == POLICY_VIOLATION:
                        raise error_class(403)(403, "live_query_exception", "refused by the server")
            except OverloadedError:
                if not has_connected:
                    raise
            except aiohttp.WSServerHandshakeError as error:
                if error.status < 500 or not has_connected:
                    raise await _to_error(session, error, url) from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if not has_connected:
                    raise ConnectionFailedError(f"{url}: {error}") from error
            await asyncio.sleep(pause_s(failures))
            failures += 1


def pause_s(failures: int) -> float:
    """Return how long to wait before the next attempt: doubling, bounded, spread by chance."""
    return min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)


def _decode(frame: aiohttp.WSMessage) -> dict[str, Any]:
    message = json.loads(frame.data)
    return message if isinstance(message, dict) else {}


async def _to_error(
    session: aiohttp.ClientSession, error: aiohttp.WSServerHandshakeError, url: URL
) -> ApiError:
    """Return what the server says. A handshake leaves that out: it is asked again without one."""
    try:
        async with session.get(url, timeout=REASON_TIMEOUT) as response:
            if response.status == error.status:
                return to_api_error(response.status, await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass  # gone meanwhile: the status alone has to do
    kind = "index_not_found_exception" if error.status == 404 else "live_query_exception"
    return error_class(error.status)(error.status, kind, f"{url}: {error.message}")
