"""The way of a `_bulk` through the logs of its indexes, in parts, answered item by item."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import orjson

from index.document import Op
from index.errors import TailraceError
from pipeline.node import Node
from pipeline.tokens import Vector
from pipeline.write import WriteOp, WriteResult
from server.answers import encode_json
from server.bodies import INLINE_BYTES
from server.bulk import OPS, Action, parse_update
from server.limits import Limits
from server.writes import (
    check_index_for,
    error_item,
    index_for_write,
    result_body,
    vector_of,
    write,
)

SLICE = 500
"""After so many items others get their turn: a part of 5,000 at once would keep the event loop for
a tenth of a second."""


class BulkWriter:
    """One `_bulk` on its way: parts of it are written in order, and answered in order."""

    def __init__(self, node: Node, limits: Limits, wait_s: float | None) -> None:
        self._node = node
        self._limits = limits
        self._wait_s = wait_s
        self._items: list[bytes] = []
        """Of each part written, as JSON without brackets: objects would take five times as much."""
        self.has_errors = False
        self.retry_after_s: int | None = None
        """When to send again what was refused for now, where something was."""
        self.vectors: dict[str, Vector] = {}

    async def run(self, actions: list[Action]) -> None:
        part: list[Action] = []
        n_bytes = 0
        for action in actions:
            part.append(action)
            n_bytes += len(action.source or b"")
            if (
                len(part) >= self._limits.bulk_chunk_docs
                or n_bytes >= self._limits.bulk_chunk_bytes
            ):
                await self._write_part(part)
                part, n_bytes = [], 0
        if part:
            await self._write_part(part)

    async def _write_part(self, actions: list[Action]) -> None:
        items: list[dict[str, Any] | None] = [None] * len(actions)
        by_index: dict[str, list[int]] = {}
        ops = await self._ops_of(actions)
        for place, (action, op) in enumerate(zip(actions, ops, strict=True)):
            if isinstance(op, TailraceError):
                items[place] = error_item(action.index, action.key, op)
            else:
                by_index.setdefault(action.index, []).append(place)
        for name, places in by_index.items():
            chosen = [op for place in places if isinstance(op := ops[place], WriteOp)]
            for place, item in zip(places, await self._write_index(name, chosen), strict=True):
                items[place] = item
        answers: list[dict[str, Any]] = []
        for action, answer in zip(actions, items, strict=True):
            assert answer is not None, "every action is answered"
            self.has_errors = self.has_errors or "error" in answer
            answers.append({action.name: answer})
        self._items.append(encode_json(answers)[1:-1])

    def items(self) -> orjson.Fragment:
        """Return the answers to all actions, as JSON."""
        return orjson.Fragment(b"[%b]" % b",".join(self._items))

    async def _ops_of(self, actions: list[Action]) -> list[WriteOp | TailraceError]:
        read = partial(_read_ops, actions, self._limits)
        n_bytes = sum([len(action.source or b"") for action in actions])
        if len(actions) <= SLICE and n_bytes <= INLINE_BYTES:
            return read()
        return await self._node.query(read)

    async def _write_index(self, name: str, ops: list[WriteOp]) -> list[dict[str, Any]]:
        try:
            check_index_for(self._node, name, ops)
            index = await index_for_write(self._node, name)
            results = await write(index, ops, refresh_s=self._wait_s)
        except TailraceError as error:
            self._note_refusal(error)
            return [error_item(name, op.key, error) for op in ops]
        vector = self.vectors.setdefault(name, {})
        for partition, offset in vector_of(results).items():
            vector[partition] = max(offset, vector.get(partition, 0))
        for result in results:
            self._note_refusal(result.error)
        items = []
        for number, (op, result) in enumerate(zip(ops, results, strict=True)):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            items.append(_item(name, op, result))
        return items

    def _note_refusal(self, error: TailraceError | None) -> None:
        if error is not None and error.retry_after_s is not None:
            self.retry_after_s = max(self.retry_after_s or 0, error.retry_after_s)


def _item(index: str, op: WriteOp, result: WriteResult) -> dict[str, Any]:
    if result.error is not None:
        return error_item(index, result.key, result.error)
    return result_body(index, op, result) | {"status": result.status}


def _read_ops(actions: list[Action], limits: Limits) -> list[WriteOp | TailraceError]:
    """Return what each action writes, or why it cannot. Any thread."""
    ops: list[WriteOp | TailraceError] = []
    for action in actions:
        try:
            ops.append(_op_of(action, limits))
        except TailraceError as error:
            ops.append(error)
    return ops


def _op_of(action: Action, limits: Limits) -> WriteOp:
    op = OPS[action.name]
    if op is Op.UPDATE:
        update = parse_update(action.source or b"", limits)
        return WriteOp(op, action.key, update.source, upsert=update.upsert)
    return WriteOp(op, action.key, action.source, version=action.version)
