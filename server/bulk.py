"""`_bulk`: a text of many actions becomes writes, and the writes become one answer.

The whole text is looked through before anything is written, so that a malformed action line
refuses all of it; what is wrong with one document is that one item's error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from index.document import Op
from index.errors import InvalidRequestError
from server.bodies import parse_json
from server.faults import MalformedBodyError, UnsupportedError
from server.limits import Limits

OPS = {"index": Op.UPSERT, "create": Op.CREATE, "update": Op.UPDATE, "delete": Op.DELETE}

META = frozenset({"_index", "_id", "version", "_version", "version_type", "_version_type"})
META |= {"routing", "_routing", "retry_on_conflict", "require_alias", "_type"}
UNSUPPORTED = frozenset({"if_seq_no", "if_primary_term", "pipeline"})
VERSION_TYPES = frozenset({"internal", "external", "external_gte"})


@dataclass(frozen=True, slots=True)
class Action:
    """One action: what to do to which document, and its source line."""

    name: str
    index: str
    key: str | None
    version: int | None
    source: bytes | None


def parse_bulk(data: bytes, default_index: str | None, limits: Limits) -> Iterator[Action]:
    """Yield the actions of a `_bulk` body in order.

    Raises: MalformedBodyError naming the line, InvalidRequestError.
    """
    lines = _lines(data)
    for number, line in lines:
        if not line or line.isspace():
            continue
        name, meta = _parse_action(line, number, limits)
        index = meta.get("_index", default_index)
        if not isinstance(index, str) or not index:
            raise InvalidRequestError(f"line {number}: an index is missing")
        source = None
        if name != "delete":
            source = next(lines, (0, b""))[1]
            if not source:
                raise MalformedBodyError(f"line {number}: [{name}] has no document after it")
        yield Action(name, index, read_key(meta.get("_id")), read_version(meta), source)


def read_key(value: Any) -> str | None:
    """Return a document's id; a number is taken as its digits, as in OpenSearch."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidRequestError("[_id] is neither a string nor a number")


def read_version(meta: dict[str, Any]) -> int | None:
    """Return the version that a writer gives a document; None where the log's order decides."""
    version = meta.get("version", meta.get("_version"))
    kind = meta.get("version_type", meta.get("_version_type", "internal"))
    if kind not in VERSION_TYPES:
        raise InvalidRequestError(f"[version_type] is [{kind}], not internal or external")
    if version is None:
        return None
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version < 1 << 63:
        raise InvalidRequestError("[version] is not an integer from 0 to 2^63 - 1")
    if kind == "internal":
        raise InvalidRequestError(
            "internal versioning can not be used for optimistic concurrency control, "
            "use version_type external"
        )
    return version


def _parse_action(line: bytes, number: int, limits: Limits) -> tuple[str, dict[str, Any]]:
    action = parse_json(line, limits, where=f"action line {number}")
    if not isinstance(action, dict) or len(action) != 1:
        raise MalformedBodyError(
            f"malformed action/metadata line [{number}], expected an object with one action"
        )
    name, meta = next(iter(action.items()))
    if name not in OPS:
        raise InvalidRequestError(
            f"malformed action/metadata line [{number}], expected one of "
            f"[create, delete, index, update] but found [{name}]"
        )
    if not isinstance(meta, dict):
        raise MalformedBodyError(f"malformed action/metadata line [{number}], no object in it")
    if not META.issuperset(meta):
        _refuse_meta(meta, number)
    return name, meta


def _refuse_meta(meta: dict[str, Any], number: int) -> None:
    for name in meta:
        if name in UNSUPPORTED:
            raise UnsupportedError(f"action/metadata line [{number}]: [{name}] is not supported")
        if name not in META:
            raise InvalidRequestError(
                f"action/metadata line [{number}] contains an unknown parameter [{name}]"
            )


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line without its end), one at a time."""
    start, number = 0, 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        number += 1
        yield number, data[start:end].rstrip(b"\r")
        start = end + 1


class Update(NamedTuple):
    """What an `_update` body asks for, as the log keeps it."""

    source: bytes
    """The partial document."""
    upsert: bytes | None
    """What to index where there is no document yet."""


UPDATE_KEYS = frozenset({"doc", "doc_as_upsert", "upsert", "detect_noop"})
UPDATE_UNSUPPORTED = frozenset({"script", "scripted_upsert", "lang", "params", "_source"})


def parse_update(data: bytes, limits: Limits) -> Update:
    """Return what an `_update` body asks for.

    Raises: MalformedBodyError, InvalidRequestError, UnsupportedError.
    """
    body = parse_json(data, limits)
    if not isinstance(body, dict):
        raise MalformedBodyError("body is not a json object")
    for name in body:
        if name in UPDATE_UNSUPPORTED:
            raise UnsupportedError(f"[_update] does not support [{name}]")
        if name not in UPDATE_KEYS:
            raise InvalidRequestError(f"[_update] unknown field [{name}]")
    partial = body.get("doc")
    if not isinstance(partial, dict):
        raise InvalidRequestError("[_update] needs [doc], an object")
    source = orjson.dumps(partial)
    if body.get("doc_as_upsert") is True:
        return Update(source, source)
    initial = body.get("upsert")
    if initial is None:
        return Update(source, None)
    if not isinstance(initial, dict):
        raise InvalidRequestError("[_update] [upsert] is not an object")
    return Update(source, orjson.dumps(initial))
