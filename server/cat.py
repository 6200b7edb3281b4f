"""`_cat`: tables for people, and the same as JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from index.errors import InvalidRequestError
from pipeline.node import Index, Node
from server.answers import body_answer, json_answer
from server.parameters import INDEX_CHOICE, Parameters
from server.routes import INDEX, Route
from server.shards import status_of

KNOWN = frozenset({"format", "v", "h", "s", "help", "local", "timeout", "time", "bytes", "health"})
KNOWN |= {"master_timeout", "cluster_manager_timeout", "pri", "ts", "include_unloaded_segments"}
KNOWN |= INDEX_CHOICE

INDICES: tuple[str, ...] = (
    "health",
    "status",
    "index",
    "uuid",
    "pri",
    "rep",
    "docs.count",
    "docs.deleted",
)
INDICES += ("store.size", "pri.store.size")
HEALTH: tuple[str, ...] = (
    "epoch",
    "timestamp",
    "cluster",
    "status",
    "node.total",
    "node.data",
    "shards",
    "pri",
)
HEALTH += ("relo", "init", "unassign", "pending_tasks", "max_task_wait_time")
HEALTH += ("active_shards_percent",)
COUNT = ("epoch", "timestamp", "count")

UNITS = {"b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30}
UNITS |= {"gb": 1 << 30, "t": 1 << 40, "tb": 1 << 40}

Row = dict[str, str]


class CatEndpoints:
    """Thread rule: the event loop's thread."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/_cat/indices", self._indices, KNOWN),
            Route("GET", f"/_cat/indices/{INDEX}", self._indices, KNOWN),
            Route("GET", "/_cat/health", self._health, KNOWN),
            Route("GET", "/_cat/count", self._count, KNOWN),
            Route("GET", f"/_cat/count/{INDEX}", self._count, KNOWN),
        ]

    async def _indices(self, request: web.Request, parameters: Parameters) -> web.Response:
        indexes = self._node.resolve(request.match_info.get("index", "_all"))
        unit = parameters.text("bytes")
        if unit is not None and unit not in UNITS:
            raise InvalidRequestError(f"[bytes] is [{unit}], not one of {', '.join(UNITS)}")
        rows = [_index_row(index, unit) for index in indexes]
        return table_answer(request, parameters, INDICES, rows)

    async def _health(self, request: web.Request, parameters: Parameters) -> web.Response:
        n_shards = sum(len(index.shards) for index in self._node.indexes.values())
        row = _now_row() | {
            "cluster": "tailrace",
            "status": status_of([*self._node.indexes.values()], is_ready=self._node.is_ready),
            "node.total": "1",
            "node.data": "1",
            "shards": str(n_shards),
            "pri": str(n_shards),
            "relo": "0",
            "init": "0",
            "unassign": "0",
            "pending_tasks": "0",
            "max_task_wait_time": "-",
            "active_shards_percent": "100.0%",
        }
        return table_answer(request, parameters, HEALTH, [row])

    async def _count(self, request: web.Request, parameters: Parameters) -> web.Response:
        indexes = self._node.resolve(request.match_info.get("index", "_all"))
        count = sum(index.stats().n_docs for index in indexes)
        return table_answer(request, parameters, COUNT, [_now_row() | {"count": str(count)}])


def table_answer(
    request: web.Request, parameters: Parameters, columns: Sequence[str], rows: list[Row]
) -> web.Response:
    """Return rows as text, or as JSON with `?format=json` or `Accept: application/json`.

    `?h=` chooses columns, `?v` adds their names, `?s=` sorts, `?help` lists them.
    """
    if parameters.flag("help"):
        return _text(request, "".join(f"{name}\n" for name in columns))
    for key in reversed(parameters.names("s") or []):
        name, _, order = key.partition(":")
        _require_column(name, columns)
        rows = sorted(rows, key=lambda row: _natural(row[name]), reverse=order == "desc")
    chosen = parameters.names("h") or list(columns)
    for name in chosen:
        _require_column(name, columns)
    accept = request.headers.get("Accept", "")
    style = "json" if "application/json" in accept else "text"
    style = parameters.choice("format", ("json", "text"), style)
    if style == "json":
        return json_answer(request, [{name: row[name] for name in chosen} for row in rows])
    lines = [[row[name] for name in chosen] for row in rows]
    if parameters.flag("v"):
        lines.insert(0, list(chosen))
    return _text(request, _aligned(lines))


def show_bytes(n_bytes: int, unit: str | None) -> str:
    """Return a size as OpenSearch writes it: `1.2kb`, or a bare number in `unit`."""
    if unit is not None:
        return str(n_bytes // UNITS[unit])
    size, names = float(n_bytes), ["b", "kb", "mb", "gb", "tb"]
    while size >= 1024 and len(names) > 1:
        size /= 1024
        names.pop(0)
    text = f"{size:.1f}".removesuffix(".0")
    return f"{text}{names[0]}"


def _index_row(index: Index, unit: str | None) -> Row:
    stats = index.stats()
    size = show_bytes(stats.n_bytes, unit)
    return {
        "health": status_of([index], is_ready=True),
        "status": "open",
        "index": index.name,
        "uuid": index.uuid,
        "pri": str(len(index.shards)),
        "rep": "0",
        "docs.count": str(stats.n_docs),
        "docs.deleted": str(stats.n_deleted),
        "store.size": size,
        "pri.store.size": size,
    }


def _now_row() -> Row:
    now = time.time()
    clock = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%S")
    return {"epoch": str(int(now)), "timestamp": clock}


def _require_column(name: str, columns: Sequence[str]) -> None:
    if name not in columns:
        raise InvalidRequestError(f"no column [{name}], there are: {', '.join(columns)}")


def _natural(text: str) -> tuple[int, Any]:
    try:
        return (0, float(text))
    except ValueError:
        return (1, text)


def _aligned(lines: list[list[str]]) -> str:
    if not lines:
        return ""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    padded = (
        " ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "".join(f"{line.rstrip()}\n" for line in padded)


def _text(request: web.Request, text: str) -> web.Response:
    return body_answer(request, text.encode(), content_type="text/plain")
