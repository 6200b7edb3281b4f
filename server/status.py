"""`GET /_status`: how full the disk is, where each shard stands in its log, and what keeps one from
going on."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from index.errors import TailraceError
from pipeline.disk import STOPS, Disk
from pipeline.feed import SourceError
from pipeline.node import Index, Node
from pipeline.shard import Shard, ShardState
from server.answers import json_answer
from server.parameters import Parameters
from server.routes import Route


class StatusEndpoints:
    """Thread rule: the event loop's thread."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [Route("GET", "/_status", self._status)]

    async def _status(self, request: web.Request, parameters: Parameters) -> web.Response:
        indexes = self._node.indexes
        answer = {
            "ready": self._node.is_ready,
            "disk": _describe_disk(self._node.disk),
            "indexes": {name: _describe(indexes[name]) for name in sorted(indexes)},
        }
        return json_answer(request, answer)


def _describe_disk(disk: Disk) -> dict[str, Any]:
    return {
        "state": disk.state.name.lower(),
        "stopped": STOPS[disk.state],
        "used_share": round(disk.used_share, 4),
        "free_in_bytes": disk.free_bytes,
        "reserve_is_held": disk.has_reserve,
        "times_full": disk.n_full,
    }


def _describe(index: Index) -> dict[str, Any]:
    lags = index.lag()
    return {
        "ready": index.is_ready,
        "problems": index.problems(),
        "shards": {
            str(number): _describe_shard(shard, lags.get(number))
            for number, shard in sorted(index.shards.items())
            if shard.state is not ShardState.CLOSED
        },
    }


def _describe_shard(shard: Shard, lag: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {"state": _state_of(shard)}
    if shard.is_open:
        engine = shard.engine
        told |= {
            "searchable_offset": shard.watermark.next_offset,
            "durable_offset": max(engine.durable_offset, 0),
            "lag": lag,
            "topic_id": engine.topic_id or None,
            "gaps": [{"from": g.first, "to": g.end, "at_ms": g.at_ms} for g in engine.gaps],
        }
        if engine.rebuild is not None:
            told["rebuild"] = {"until": engine.rebuild.until, "damage": engine.rebuild.damage}
    trouble = shard.failure or shard.halted
    if trouble is not None:
        told["failure"] = _describe_failure(trouble)
    return told


def _state_of(shard: Shard) -> str:
    if shard.halted is not None:
        return "halted"
    is_rebuilt = shard.state is ShardState.SERVING and shard.unsearchable is not None
    return "rebuilding" if is_rebuilt else shard.state.name.lower()


def _describe_failure(error: Exception) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": error.type if isinstance(error, TailraceError) else "exception",
        "cause": type(error).__name__,
        "reason": str(error),
    }
    if isinstance(error, SourceError):
        offsets = {"from": error.first, "to": error.end}
        told |= {name: offset for name, offset in offsets.items() if offset is not None}
    return told
