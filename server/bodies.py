"""From the bytes of a request to JSON that is safe to look at.

Everything is bounded before it is built: the wire, the size after gzip, the growth by gzip,
the nesting of the JSON. Bytes that are not UTF-8 are no JSON.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from index.errors import InvalidRequestError
from index.source import is_nested_deeper
from server.admission import claim_of
from server.faults import BodyTimeoutError, MalformedBodyError, TooLargeError, UnsupportedBodyError
from server.limits import Limits

T = TypeVar("T")

WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
ENCODINGS = frozenset({"", "identity", *WINDOW_BITS})
INFLATE_STEP = 1 << 20
INLINE_BYTES = 128 << 10
"""JSON up to this size is understood in the event loop: a thread hop would cost more."""
RATIO_FREE_BYTES = 1 << 20
"""Below this a body may grow by any ratio: zeros compress well and harm nobody."""


async def read_bytes(request: web.Request, limits: Limits, *, wire_bytes: int) -> bytes:
    """Return the body, inflated.

    Requires: the application leaves bodies as they came (`auto_decompress` is off).
    Raises: TooLargeError, UnsupportedBodyError, MalformedBodyError, BodyTimeoutError;
    OverloadError where other requests hold too much.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ENCODINGS:
        raise UnsupportedBodyError(f"content encoding [{encoding}] is not gzip or deflate")
    n_wire = request.content_length
    if n_wire is not None and n_wire > wire_bytes:
        raise TooLargeError(f"body of {n_wire} bytes is above the limit of {wire_bytes}")
    if not request.body_exists:
        return b""
    claim = claim_of(request)
    if claim is not None and n_wire is not None:
        claim.require(n_wire)
    inflater = Inflater(encoding, max(limits.inflated_bytes, wire_bytes), limits.inflate_ratio)
    n_wire = 0
    parts: list[bytes] = []
    try:
        while part := await _next_part(request, limits):
            n_wire += len(part)
            if n_wire > wire_bytes:
                raise TooLargeError(f"body is above the limit of {wire_bytes} bytes")
            parts.append(inflater.feed(part))
            if claim is not None:
                claim.grow(len(parts[-1]))
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise MalformedBodyError("body is cut off") from error
    inflater.finish()
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _next_part(request: web.Request, limits: Limits) -> bytes:
    try:
        async with asyncio.timeout(limits.stuck_s):
            return await request.content.readany()
    except TimeoutError:
        reason = f"nothing of the body has come for {limits.stuck_s:g} s"
        raise BodyTimeoutError(reason) from None


class Inflater:
    """Undoes gzip or deflate piece by piece; stops a body that grows too large, or too much."""

    def __init__(self, encoding: str, max_bytes: int, max_ratio: int) -> None:
        self._wbits = WINDOW_BITS.get(encoding)
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._n_in = 0
        self._n_out = 0
        self._inflate = zlib.decompressobj(self._wbits) if self._wbits is not None else None

    def feed(self, data: bytes) -> bytes:
        """Return what `data` inflates to. Raises: TooLargeError, MalformedBodyError."""
        if self._wbits is None:
            return data
        self._n_in += len(data)
        parts: list[bytes] = []
        try:
            while data:
                assert self._inflate is not None
                if self._inflate.eof:  # gzip allows several members, one after the other
                    self._inflate = zlib.decompressobj(self._wbits)
                part = self._inflate.decompress(data, INFLATE_STEP)
                self._count(len(part))
                parts.append(part)
                data = self._inflate.unconsumed_tail or self._inflate.unused_data
        except zlib.error as error:
            raise MalformedBodyError("body is not in its content encoding") from error
        return b"".join(parts)

    def finish(self) -> None:
        """Refuse a body whose end is missing: half a bulk must not pass for a whole one."""
        if self._inflate is not None and not self._inflate.eof:
            raise MalformedBodyError("compressed body is cut off")

    def _count(self, n_bytes: int) -> None:
        self._n_out += n_bytes
        most = min(self._max_bytes, max(self._n_in * self._max_ratio, RATIO_FREE_BYTES))
        if self._n_out > most:
            raise TooLargeError(f"body inflates to more than the limit of {most} bytes")


def parse_json(data: bytes, limits: Limits, *, where: str = "body") -> Any:
    """Return the value of one JSON text.

    Raises: MalformedBodyError for anything else, and for nesting above `limits.json_depth`.
    """
    check_depth(data, limits.json_depth, where=where)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        # bytes that are not UTF-8 end up here as well: orjson takes nothing else
        raise MalformedBodyError(f"{where} is not valid json: {_reason(error)}") from None


def parse_object(data: bytes, limits: Limits, *, where: str = "body") -> dict[str, Any]:
    """Return one JSON object; nothing at all stands for an empty one."""
    if not data or data.isspace():
        return {}
    value = parse_json(data, limits, where=where)
    if not isinstance(value, dict):
        raise MalformedBodyError(f"{where} is a json {_kind(value)}, not an object")
    return value


async def read_object(request: web.Request, limits: Limits) -> dict[str, Any]:
    """Return the JSON object that a request carries, in its body or as `?source=`."""
    return await read_with(request, limits, lambda body: body)


async def read_with(
    request: web.Request, limits: Limits, understand: Callable[[dict[str, Any]], T]
) -> T:
    """Return what `understand` makes of the JSON object that a request carries; of a large one in
    a thread, because it takes long."""
    data = await read_bytes(request, limits, wire_bytes=limits.body_bytes)
    if not data and "source" in request.query:
        data = request.query["source"].encode()
    if len(data) <= INLINE_BYTES:
        return understand(parse_object(data, limits))
    return await asyncio.to_thread(lambda: understand(parse_object(data, limits)))


def check_depth(data: bytes, depth: int, *, where: str) -> None:
    """Refuse JSON nested deeper than `depth`."""
    if is_nested_deeper(data, depth):
        raise MalformedBodyError(f"{where} is nested deeper than {depth}")


def require_str(value: Any, what: str) -> str:
    """Return `value` if it is text, else raise an error that names it."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"[{what}] is a json {_kind(value)}, not a string")
    return value


def _reason(error: orjson.JSONDecodeError) -> str:
    message = error.msg[:1].lower() + error.msg[1:]
    return f"{message} (line {error.lineno}, column {error.colno})"


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
