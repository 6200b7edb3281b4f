"""What the node says of itself: who it is, whether it is well, what it measures."""

from __future__ import annotations

import asyncio
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aiohttp import web

from index.errors import InvalidRequestError
from pipeline.node import Node
from pipeline.telemetry import CONTENT_TYPE
from server.answers import body_answer, json_answer
from server.indexes import resolve
from server.limits import Limits
from server.page import is_browser, page_answer
from server.parameters import INDEX_CHOICE, Parameters
from server.routes import INDEX, Route
from server.shards import status_of

COMPATIBLE_VERSION = "2.19.0"
"""The OpenSearch whose interface this is a subset of; clients choose their manners by it."""

STATUSES = ("green", "yellow", "red")
HEALTH = INDEX_CHOICE | {"wait_for_status", "timeout", "level", "local", "master_timeout"}
HEALTH |= {"cluster_manager_timeout", "wait_for_no_relocating_shards", "wait_for_nodes"}
HEALTH |= {"wait_for_active_shards", "wait_for_no_initializing_shards", "wait_for_events"}
POLL_S = 0.05


def product_version() -> str:
    try:
        return version("tailrace")
    except PackageNotFoundError:
        return "0"


class HealthEndpoints:
    """Thread rule: the event loop's thread."""

    def __init__(self, node: Node, limits: Limits) -> None:
        self._node = node
        self._limits = limits
        self._version = product_version()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/", self._root),
            Route("GET", "/livez", self._livez),
            Route("GET", "/readyz", self._readyz),
            Route("GET", "/metrics", self._metrics),
            Route("GET", "/_cluster/health", self._health, HEALTH),
            Route("GET", f"/_cluster/health/{INDEX}", self._health, HEALTH),
        ]

    async def _root(self, request: web.Request, parameters: Parameters) -> web.StreamResponse:
        if is_browser(request):
            return page_answer(request, "index.html")
        return json_answer(request, self._info(), headers={"Vary": "Accept"})

    def _info(self) -> dict[str, Any]:
        return {
            "name": platform.node() or "tailrace",
            "cluster_name": "tailrace",
            "cluster_uuid": "_na_",
            "version": {
                "distribution": "opensearch",
                "number": COMPATIBLE_VERSION,
                "build_type": "tailrace",
                "build_hash": "unknown",
                "build_date": "unknown",
                "build_snapshot": False,
                "lucene_version": "9.12.1",
                "minimum_wire_compatibility_version": "7.10.0",
                "minimum_index_compatibility_version": "7.0.0",
            },
            "tailrace": {"version": self._version},
            "tagline": "Tail a Kafka topic, search it live, trace every document",
        }

    async def _livez(self, request: web.Request, parameters: Parameters) -> web.Response:
        """Answer: the event loop turns."""
        return body_answer(request, b"ok\n", content_type="text/plain")

    async def _readyz(self, request: web.Request, parameters: Parameters) -> web.Response:
        """Answer 200 once the kernels are warm and all that was stored is searchable; else what
        is in the way, a line each."""
        if self._node.is_ready:
            return body_answer(request, b"ok\n", content_type="text/plain")
        lines = ["not ready", *(line for i in self._node.indexes.values() for line in i.problems())]
        body = "".join(f"{line}\n" for line in lines).encode(errors="replace")
        return body_answer(request, body, content_type="text/plain", status=503)

    async def _metrics(self, request: web.Request, parameters: Parameters) -> web.Response:
        body = self._node.telemetry.exposition()
        response = body_answer(request, body, content_type="text/plain")
        response.headers["Content-Type"] = CONTENT_TYPE
        return response

    async def _health(self, request: web.Request, parameters: Parameters) -> web.Response:
        wanted = parameters.choice("wait_for_status", STATUSES, "red")
        deadline = time.monotonic() + min(parameters.time_s("timeout", 30.0), 60.0)
        while not (is_met := STATUSES.index(self._status()) <= STATUSES.index(wanted)):
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(POLL_S)
        if parameters.text("level", "cluster") not in {"cluster", "indices", "shards"}:
            raise InvalidRequestError("[level] is not one of cluster, indices, shards")
        indexes = resolve(self._node, request, parameters)
        n_failed = sum(len(index.failures()) for index in indexes)
        n_shards = sum(len({*index.shards, *index.failures()}) for index in indexes) - n_failed
        answer = {
            "cluster_name": "tailrace",
            "status": self._status(),
            "timed_out": not is_met,
            "number_of_nodes": 1,
            "number_of_data_nodes": 1,
            "discovered_master": True,
            "discovered_cluster_manager": True,
            "active_primary_shards": n_shards,
            "active_shards": n_shards,
            "relocating_shards": 0,
            "initializing_shards": 0,
            "unassigned_shards": n_failed,
            "delayed_unassigned_shards": 0,
            "number_of_pending_tasks": 0,
            "number_of_in_flight_fetch": 0,
            "task_max_waiting_in_queue_millis": 0,
            "active_shards_percent_as_number": 100.0 * n_shards / (n_shards + n_failed)
            if n_failed
            else 100.0,
        }
        return json_answer(request, answer, status=200 if is_met else 408)

    def _status(self) -> str:
        return status_of([*self._node.indexes.values()], is_ready=self._node.is_ready)
