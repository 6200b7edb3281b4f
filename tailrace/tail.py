"""`tailrace tail`: prints what matches as it becomes searchable, over any number of connections."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import click
import orjson

from tailrace.ask import format_line
from tailrace.remote import AnswerError, describe, open_session, read_answer

Message = Mapping[str, Any]

SUBSCRIPTION = "tail"
MAX_BACKOFF_S = 5.0
HEARTBEAT_S = 20.0
REMEMBERED = 10_000
PASSING = (429, 503)
"""Statuses of a server that is busy, or about to stop."""


def run_tail(url: str, index: str, query: str, formatter: Callable[[Message], str]) -> int:
    """Print until interrupted. Raises: AnswerError, UnreachableError at the first connection."""
    try:
        asyncio.run(_tail(url, index, query, formatter))
    except KeyboardInterrupt:
        return 0
    return 0


def format_hit(hit: Message) -> str:
    """Return a document that entered the result as `score  id  text`."""
    return format_line(hit)


def format_message(message: Message) -> str:
    return orjson.dumps(message).decode()


class Follower:
    """What survives a lost connection: the token, and which hits were already given out.

    Sans-IO: `request()` is what to send on a new connection, `take()` looks at an answer.
    """

    def __init__(self, query: str) -> None:
        self._query = query
        self._token: str | None = None
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def request(self) -> Message:
        subscribe = {"op": "subscribe", "id": SUBSCRIPTION, "q": self._query, "snapshot": 0}
        return subscribe if self._token is None else {**subscribe, "after": self._token}

    def take(self, message: Message) -> Message | None:
        """Return the message if it is a hit that was not given out before, or tells of a gap.

        Raises: AnswerError where the server refuses the subscription.
        """
        kind = message.get("type")
        if kind == "error":
            raise AnswerError(int(message.get("status", 500)), "", str(message.get("reason")))
        self._token = message.get("token", self._token)
        if kind == "gap":
            return message
        return message if kind == "hit" and self._is_new(message) else None

    def _is_new(self, hit: Message) -> bool:
        key = (str(hit["_id"]), str(hit.get("token")))
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


async def _tail(url: str, index: str, query: str, formatter: Callable[[Message], str]) -> None:
    follower = Follower(query)
    async with open_session(url, timeout_s=None) as session:
        path = f"{quote(index, safe=',*')}/_live"
        async for message in _follow(session, path, follower):
            if message["type"] == "gap":
                click.echo("tailrace: fell too far behind, some hits were not printed", err=True)
            else:
                click.echo(formatter(message))


async def _follow(
    session: aiohttp.ClientSession, path: str, follower: Follower
) -> AsyncIterator[Message]:
    """Yield hits and gaps; a lost connection is resumed behind the last one."""
    failures = 0
    has_connected = False
    while True:
        try:
            async with session.ws_connect(path, heartbeat=HEARTBEAT_S, max_msg_size=0) as socket:
                await socket.send_str(orjson.dumps(follower.request()).decode())
                async for frame in socket:
                    message = follower.take(orjson.loads(frame.data))
                    failures, has_connected = 0, True
                    if message is not None:
                        yield message
            reason = f"closed with {socket.close_code}"
        except AnswerError as error:
            if error.status not in PASSING or not has_connected:
                raise
            reason = str(error)
        except aiohttp.WSServerHandshakeError as error:
            if error.status < 500:
                raise await _refusal(session, path, error) from error
            reason = f"status {error.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if not has_connected:
                raise
            reason = describe(error)
        failures += 1
        pause_s = min(MAX_BACKOFF_S, 0.1 * 2**failures) * random.uniform(0.5, 1.0)
        click.echo(f"connection lost ({reason}), again in {pause_s:.1f} s", err=True)
        await asyncio.sleep(pause_s)


async def _refusal(
    session: aiohttp.ClientSession, path: str, error: aiohttp.WSServerHandshakeError
) -> AnswerError:
    """Return why the server gives no socket: the handshake tells the status, a request
    for events the reason."""
    try:
        async with session.get(path, headers={"Accept": "text/event-stream"}) as response:
            if response.status >= 400:
                await read_answer(response)
    except AnswerError as answer:
        return answer
    except (aiohttp.ClientError, TimeoutError):
        pass
    return AnswerError(error.status, "", f"{path}: refused with status {error.status}")
