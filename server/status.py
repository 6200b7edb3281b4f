"""`GET /_status`: what an operator asks first. Whether the disk has room, and which shards have
stopped, and why."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pipeline.disk import STOPS, Disk
from pipeline.index import Index
from pipeline.node import Node
from pipeline.shard import Shard
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
        indexes = {name: _index_body(index) for name, index in sorted(self._node.indexes.items())}
        answer = {
            "ready": self._node.is_ready,
            "disk": _disk_body(self._node.disk),
            "indexes": indexes,
        }
        return json_answer(request, answer)


def _disk_body(disk: Disk) -> dict[str, Any]:
    return {
        "state": disk.state.name.lower(),
        "stopped": STOPS[disk.state],
        "used_share": round(disk.used_share, 4),
        "free_in_bytes": disk.free_bytes,
        "reserve_is_held": disk.has_reserve,
        "times_full": disk.n_full,
    }


def _index_body(index: Index) -> dict[str, Any]:
    return {
        "ready": index.is_ready,
        "failure": _text(index.failure),
        "shards": {str(number): _shard_body(shard) for number, shard in index.shards.items()},
    }


def _shard_body(shard: Shard) -> dict[str, Any]:
    return {
        "state": shard.state.name.lower(),
        "failure": _text(shard.failure),
        "stall": shard.stall.name.lower(),
        "backlog_in_bytes": shard.backlog_bytes,
    }


def _text(failure: Exception | None) -> str | None:
    return None if failure is None else str(failure)
