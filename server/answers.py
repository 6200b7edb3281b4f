"""What goes out: JSON in OpenSearch's shapes, as few bytes and copies as it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from index.errors import TailraceError
from server.faults import error_body

JSON: Final = "application/json"
COMPRESS_FROM_BYTES: Final = 1_400
"""Below one network packet gzip only costs time."""

COMPRESS_INLINE_BYTES: Final = 64 << 10
"""What is larger is compressed in a thread."""

SAFE_HEADERS: Final = {"X-Content-Type-Options": "nosniff"}


def json_answer(
    request: web.Request,
    value: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return `value` as JSON, with `?pretty` and `?filter_path` done and gzip if it is taken."""
    query = request.query
    is_pretty = query.get("pretty", "false") in {"", "true"}
    if is_pretty or "filter_path" in query:
        # sources are bytes that are put in as they came: parsed only where that matters
        value = orjson.loads(encode_json(value))
    if "filter_path" in query:
        value = filter_paths(value, query["filter_path"].split(","))
    option = orjson.OPT_INDENT_2 if is_pretty else 0
    body = encode_json(value, option)
    return body_answer(request, body, content_type=JSON, status=status, headers=headers)


def body_answer(
    request: web.Request,
    body: bytes,
    *,
    content_type: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return bytes as an answer, compressed where it pays and the client takes it."""
    response = web.Response(
        body=body,
        status=status,
        headers={**SAFE_HEADERS, **(headers or {})},
        zlib_executor_size=COMPRESS_INLINE_BYTES,
    )
    response.headers[hdrs.CONTENT_TYPE] = f"{content_type}; charset=UTF-8"
    if len(body) >= COMPRESS_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def error_answer(
    request: web.Request, error: TailraceError, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an error in the one shape that all clients of OpenSearch understand."""
    headers = {**retry_after(error.retry_after_s), **(headers or {})}
    return json_answer(request, error_body(error), status=error.status, headers=headers)


def retry_after(wait_s: int | None) -> dict[str, str]:
    """Return the header that tells when to try again, where that helps."""
    return {} if wait_s is None else {"Retry-After": str(wait_s)}


def encode_json(value: Any, option: int = 0) -> bytes:
    """Return `value` as UTF-8 JSON; keys that are not text are written as text."""
    return orjson.dumps(value, option=option | orjson.OPT_NON_STR_KEYS)


def shards_body(total: int) -> dict[str, int]:
    """Return the `_shards` of a read: a shard that cannot answer fails the whole request."""
    return {"total": total, "successful": total, "skipped": 0, "failed": 0}


def write_shards_body() -> dict[str, int]:
    """Return the `_shards` of a write: the log has it."""
    return {"total": 1, "successful": 1, "failed": 0}


def filter_paths(value: Any, patterns: Sequence[str]) -> Any:
    """Return what `filter_path` keeps of `value`: dotted names with `*` and `**`, `-` excludes."""
    keep = [tuple(p.split(".")) for p in patterns if p and not p.startswith("-")]
    drop = [tuple(p[1:].split(".")) for p in patterns if p.startswith("-")]
    if drop:
        value = _without(value, drop)
    if keep:
        value = _only(value, keep)
    return {} if value is None else value


def _step(patterns: list[tuple[str, ...]], name: str) -> list[tuple[str, ...]]:
    """Return what is left of each pattern after it has taken one name; () = taken whole."""
    left: list[tuple[str, ...]] = []
    for pattern in patterns:
        if not pattern:
            continue
        if pattern[0] == "**":
            left.append(pattern)
            left.extend(_step([pattern[1:]], name))
        elif fnmatchcase(name, pattern[0]):
            left.append(pattern[1:])
    return left


def _only(value: Any, patterns: list[tuple[str, ...]]) -> Any:
    """Return the kept part of `value`, or None where nothing is."""
    if () in patterns:
        return value
    if isinstance(value, list):
        kept = [part for part in (_only(v, patterns) for v in value) if part is not None]
        return kept or None
    if not isinstance(value, dict):
        return None
    chosen: dict[str, Any] = {}
    for name, inner in value.items():
        left = _step(patterns, name)
        part = _only(inner, left) if left else None
        if part is not None or () in left:
            chosen[name] = part
    return chosen or None


def _without(value: Any, patterns: list[tuple[str, ...]]) -> Any:
    if isinstance(value, list):
        return [_without(v, patterns) for v in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for name, inner in value.items():
        left = _step(patterns, name)
        if () not in left:
            kept[name] = _without(inner, left) if left else inner
    return kept
