"""What the commands that talk to a server share: one session, and errors in words."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from index.errors import TailraceError

CONNECT_TIMEOUT_S = 5.0


class UnreachableError(TailraceError):
    """Nobody answers at the address."""


class AnswerError(TailraceError):
    """The server answered with an error."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}" if kind else reason)
        self.status = status
        self.type = kind


@asynccontextmanager
async def open_session(
    url: str, *, timeout_s: float | None = 60.0
) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session whose transport errors become `UnreachableError`, naming `url`."""
    timeout = aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_TIMEOUT_S)
    async with aiohttp.ClientSession(base_url=f"{url}/", timeout=timeout) as session:
        try:
            yield session
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise UnreachableError(f"{url}: no answer ({describe(error)})") from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise UnreachableError(f"{url}: not the address of a server") from error


def describe(error: BaseException) -> str:
    """Return the reason of a transport error, without the classes around it."""
    cause = error.__cause__ or error
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return " ".join(str(error).split()) or type(error).__name__


async def read_answer(response: aiohttp.ClientResponse) -> Any:
    """Return the JSON body. Raises: AnswerError for a status of 400 or more."""
    body = await response.read()
    if response.status >= 400:
        raise _to_error(response.status, body)
    return orjson.loads(body)


def _to_error(status: int, body: bytes) -> AnswerError:
    try:
        error = orjson.loads(body)["error"]
        return AnswerError(status, str(error["type"]), str(error["reason"]))
    except (ValueError, KeyError, TypeError):
        return AnswerError(status, "", f"status {status}: {body[:200].decode(errors='replace')}")
