"""What every write has in common: to the index, through its log, to an answer with a token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from index.document import Op, Outcome
from index.errors import (
    IndexNotFoundError,
    InvalidRequestError,
    TailraceError,
    TimedOutError,
)
from pipeline.node import Index, Node
from pipeline.tokens import Vector, encode_token
from pipeline.write import WriteOp, WriteResult
from server.answers import write_shards_body
from server.faults import error_cause
from server.limits import Limits
from server.parameters import Parameters

OPEN_S = 5.0
REFRESH = ("true", "false", "wait_for", "")
RESULTS = {
    Outcome.CREATED: "created",
    Outcome.UPDATED: "updated",
    Outcome.DELETED: "deleted",
    Outcome.NOT_FOUND: "not_found",
    Outcome.NOOP: "noop",
}
UNKNOWN_RESULTS = {Op.UPSERT: "updated", Op.CREATE: "created", Op.UPDATE: "updated"}
"""Where another node applies the write, all that is known is that it is durable."""

NAMES = ";"
"""Between the parts of a token over several indexes: `articles@0-15;news@0-3`."""


def wants_refresh(parameters: Parameters) -> bool:
    """Return whether the writer waits until its documents are searchable."""
    return parameters.choice("refresh", REFRESH, "false") != "false"


async def write(index: Index, ops: list[WriteOp], *, refresh_s: float | None) -> list[WriteResult]:
    """Return what became of each op; with `refresh_s`, once they are searchable.

    Raises: TimedOutError where that takes longer than `refresh_s`.
    """
    results = await index.write(ops)
    if refresh_s is not None:
        vector = vector_of(results)
        if vector:
            await index.wait_token(encode_token(vector), refresh_s)
    return results


def refresh_s(parameters: Parameters, limits: Limits) -> float | None:
    """Return how long a write waits to become searchable; None: not at all."""
    timeout_s = parameters.time_s("timeout", limits.wait_s)
    return timeout_s if wants_refresh(parameters) else None


def vector_of(results: Iterable[WriteResult]) -> Vector:
    """Return how far the log reaches after these writes."""
    vector: Vector = {}
    for result in results:
        if result.partition is not None and result.offset is not None:
            after = result.offset + 1
            vector[result.partition] = max(after, vector.get(result.partition, 0))
    return vector


def result_body(index: str, op: WriteOp, result: WriteResult) -> dict[str, Any]:
    """Return one write's answer without the token.

    Requires: `result.error` is None.
    """
    name = UNKNOWN_RESULTS.get(op.op, "deleted")
    return {
        "_index": index,
        "_id": result.key,
        "_version": result.offset if result.version is None else result.version,
        "result": name if result.outcome is None else RESULTS[result.outcome],
        "_shards": write_shards_body(),
        "_seq_no": result.offset,
        "_primary_term": 1,
    }


def error_item(index: str, key: str | None, error: TailraceError) -> dict[str, Any]:
    """Return what a `_bulk` answers for an item that failed."""
    cause = error_cause(error) | {"index": index}
    return {"_index": index, "_id": key, "status": error.status, "error": cause}


def join_tokens(tokens: dict[str, Vector]) -> str:
    """Return one token for writes to several indexes."""
    if len(tokens) == 1:
        return encode_token(next(iter(tokens.values())))
    return NAMES.join(f"{name}@{encode_token(vector)}" for name, vector in sorted(tokens.items()))


def split_token(text: str, names: Sequence[str]) -> dict[str, str]:
    """Return the token to wait for of each index in `names`.

    Raises: InvalidRequestError for text that is no token.
    """
    if "@" not in text:
        if len(names) > 1:
            raise InvalidRequestError("[after] names no index: write it as index@token")
        return dict.fromkeys(names, text)
    chosen: dict[str, str] = {}
    for part in text.split(NAMES):
        name, _, token = part.partition("@")
        if name in names:
            chosen[name] = token
    return chosen


async def wait_after(indexes: list[Index], parameters: Parameters, limits: Limits) -> None:
    """Wait until a read sees at least what its `?after=` token names.

    Raises: TimedOutError, InvalidRequestError.
    """
    text = parameters.text("after")
    if not text:
        return
    timeout_s = parameters.time_s("timeout", limits.wait_s)
    wanted = split_token(text, [index.name for index in indexes])
    for index in indexes:
        if index.name in wanted:
            await index.wait_token(wanted[index.name], timeout_s)


def check_index_for(node: Node, name: str, ops: Iterable[WriteOp]) -> None:
    """Refuse deletes that would make the index first, as OpenSearch does. One with an external
    version is remembered, and may.

    Raises: IndexNotFoundError.
    """
    if name not in node.indexes and all(op.op is Op.DELETE and op.version is None for op in ops):
        raise IndexNotFoundError(name)


async def index_for_write(node: Node, name: str) -> Index:
    """Return the index, made now if it is not there, as OpenSearch does.

    Raises: InvalidIndexNameError.
    """
    found = node.indexes.get(name)
    index = found if found is not None else await node.get_or_create(name)
    if not index.is_ready:
        await wait_open(index)
    return index


async def wait_open(index: Index) -> None:
    """Wait a moment for the shards of an index that has just been made: without them, what
    becomes of a write is not known."""
    n_shards = index.log.n_partitions if index.log is not None else 0
    token = ".".join(f"{number}-0" for number in range(n_shards))
    if token:
        with suppress(TimedOutError):
            await index.wait_token(token, OPEN_S)
