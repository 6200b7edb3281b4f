"""Indexes themselves: make, look at, change, delete; analyse a text as one of them would."""

from __future__ import annotations

from functools import partial
from typing import Any

from aiohttp import web

from index.errors import InvalidRequestError
from index.schema import Schema
from pipeline.index_stats import write_amplification
from pipeline.node import Index, Node
from server import analyze
from server.answers import json_answer, shards_body
from server.bodies import read_object
from server.limits import Limits
from server.parameters import INDEX_CHOICE, Parameters
from server.routes import INDEX, Route
from server.writes import wait_open

ADMIN = frozenset({"timeout", "master_timeout", "cluster_manager_timeout", "local"})
CREATE = ADMIN | {"wait_for_active_shards"}
READ = ADMIN | INDEX_CHOICE | {"flat_settings", "include_defaults", "include_type_name"}
MAPPING = ADMIN | INDEX_CHOICE | {"write_index_only"}
REFRESH = INDEX_CHOICE | {"force", "wait_if_ongoing"}
MERGE = INDEX_CHOICE | {"max_num_segments", "only_expunge_deletes", "flush", "wait_for_completion"}
STATS = INDEX_CHOICE | {"level", "fields", "metric", "forbid_closed_indices", "groups"}
STATS |= {"completion_fields", "fielddata_fields", "include_segment_file_sizes"}

METRICS = {
    "docs": "docs",
    "store": "store",
    "flush": "flush",
    "merge": "merges",
    "segments": "segments",
    "query_cache": "query_cache",
    "tailrace": "tailrace",
}
"""What `_stats` can be asked for, and the group of its answer."""
VERSION_CREATED = "136407827"
"""What OpenSearch 2.x writes into an index's settings."""


class IndexEndpoints:
    """Thread rule: the event loop's thread."""

    def __init__(self, node: Node, limits: Limits) -> None:
        self._node = node
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route("GET POST", f"/{INDEX}/_refresh", self._refresh, REFRESH),
            Route("GET POST", "/_refresh", self._refresh, REFRESH),
            Route("GET POST", f"/{INDEX}/_flush", self._flush, REFRESH),
            Route("GET POST", "/_flush", self._flush, REFRESH),
            Route("POST", f"/{INDEX}/_forcemerge", self._force_merge, MERGE),
            Route("POST", "/_forcemerge", self._force_merge, MERGE),
            Route("GET", f"/{INDEX}/_stats", self._stats, STATS),
            Route("GET", "/_stats", self._stats, STATS),
            Route("GET", f"/{INDEX}/_stats/{{metric}}", self._stats, STATS),
            Route("GET", f"/{INDEX}/_mapping", self._get_mapping, READ),
            Route("GET", "/_mapping", self._get_mapping, READ),
            Route("PUT POST", f"/{INDEX}/_mapping", self._put_mapping, MAPPING),
            Route("GET", f"/{INDEX}/_settings", self._get_settings, READ),
            Route("GET", "/_settings", self._get_settings, READ),
            Route("GET POST", f"/{INDEX}/_analyze", self._analyze, frozenset({"index"})),
            Route("GET POST", "/_analyze", self._analyze, frozenset({"index"})),
            Route("PUT", f"/{INDEX}", self._create, CREATE),
            Route("GET", f"/{INDEX}", self._get, READ),
            Route("DELETE", f"/{INDEX}", self._delete, ADMIN | INDEX_CHOICE),
        ]

    async def _create(self, request: web.Request, parameters: Parameters) -> web.Response:
        name = request.match_info["index"]
        body = await read_object(request, self._limits)
        await wait_open(await self._node.create_index(name, body))
        answer = {"acknowledged": True, "shards_acknowledged": True, "index": name}
        return json_answer(request, answer)

    async def _get(self, request: web.Request, parameters: Parameters) -> web.Response:
        answer = {
            index.name: {
                "aliases": {},
                "mappings": index.schema_ref.current.to_mapping(),
                "settings": settings_body(index),
            }
            for index in self._resolve(request, parameters)
        }
        return json_answer(request, answer)

    async def _delete(self, request: web.Request, parameters: Parameters) -> web.Response:
        for index in self._resolve(request, parameters):
            await self._node.delete_index(index.name)
        return json_answer(request, {"acknowledged": True})

    async def _get_mapping(self, request: web.Request, parameters: Parameters) -> web.Response:
        answer = {
            index.name: {"mappings": index.schema_ref.current.to_mapping()}
            for index in self._resolve(request, parameters)
        }
        return json_answer(request, answer)

    async def _put_mapping(self, request: web.Request, parameters: Parameters) -> web.Response:
        body = await read_object(request, self._limits)
        for index in self._resolve(request, parameters):
            await index.put_mapping(body)
        return json_answer(request, {"acknowledged": True})

    async def _get_settings(self, request: web.Request, parameters: Parameters) -> web.Response:
        answer = {
            index.name: {"settings": settings_body(index)}
            for index in self._resolve(request, parameters)
        }
        return json_answer(request, answer)

    async def _refresh(self, request: web.Request, parameters: Parameters) -> web.Response:
        indexes = self._resolve(request, parameters)
        for index in indexes:
            await index.refresh()
        return json_answer(request, {"_shards": _all_shards(indexes)})

    async def _flush(self, request: web.Request, parameters: Parameters) -> web.Response:
        indexes = self._resolve(request, parameters)
        for index in indexes:
            await index.flush()
        return json_answer(request, {"_shards": _all_shards(indexes)})

    async def _force_merge(self, request: web.Request, parameters: Parameters) -> web.Response:
        """Merge each shard into one segment or a few, or drop its deleted documents alone."""
        most = parameters.integer("max_num_segments")
        only_expunge = parameters.flag("only_expunge_deletes")
        if most is not None and only_expunge:
            raise InvalidRequestError(
                "cannot set only_expunge_deletes and max_num_segments at the same time, those two "
                "parameters are mutually exclusive"
            )
        if most is not None and most < 1:
            raise InvalidRequestError(f"max_num_segments must be 1 or more, not {most}")
        indexes = self._resolve(request, parameters)
        for index in indexes:
            if only_expunge:
                await index.expunge_deletes()
            else:
                await index.force_merge(most or 1)
        return json_answer(request, {"_shards": _all_shards(indexes)})

    async def _stats(self, request: web.Request, parameters: Parameters) -> web.Response:
        groups = stats_groups(
            request.match_info.get("metric") or parameters.text("metric") or "_all"
        )
        indexes = self._resolve(request, parameters)
        each = {
            index.name: {
                group: stats for group, stats in stats_body(index).items() if group in groups
            }
            for index in indexes
        }
        total = _sum_stats(list(each.values()))
        answer = {
            "_shards": _all_shards(indexes),
            "_all": {"primaries": total, "total": total},
            "indices": {
                index.name: {
                    "uuid": index.uuid,
                    "primaries": each[index.name],
                    "total": each[index.name],
                }
                for index in indexes
            },
        }
        return json_answer(request, answer)

    async def _analyze(self, request: web.Request, parameters: Parameters) -> web.Response:
        body = await read_object(request, self._limits)
        name = request.match_info.get("index") or request.query.get("index")
        schema = Schema() if name is None else self._node.resolve(name)[0].schema_ref.current
        # A text may be long, and a chain of filters slow: not in the event loop.
        work = partial(analyze.answer, body, schema, has_index=name is not None)
        return json_answer(request, await self._node.read(work))

    def _resolve(self, request: web.Request, parameters: Parameters) -> list[Index]:
        return resolve(self._node, request, parameters)


def resolve(node: Node, request: web.Request, parameters: Parameters) -> list[Index]:
    """Return the indexes that a path names; without a name, all.

    Raises: IndexNotFoundError.
    """
    expression = request.match_info.get("index", "_all")
    if not parameters.flag("ignore_unavailable"):
        return node.resolve(expression)
    known = [name for name in expression.split(",") if "*" in name or name in node.indexes]
    return node.resolve(",".join(known)) if known else []


def settings_body(index: Index) -> dict[str, Any]:
    """Return an index's settings; OpenSearch writes all values as text."""
    return {
        "index": {
            "number_of_replicas": "0",
            "creation_date": str(index.created_ms),
            **{name: _text(value) for name, value in index.settings.items()},
            **_analysis_body(index.schema_ref.current),
            "uuid": index.uuid,
            "version": {"created": VERSION_CREATED},
            "provided_name": index.name,
        }
    }


def _analysis_body(schema: Schema) -> dict[str, Any]:
    return {"analysis": _as_text(schema.analysis)} if schema.analysis else {}


def _as_text(value: Any) -> Any:
    """Return a tree with all its leaves as text."""
    if isinstance(value, dict):
        return {name: _as_text(member) for name, member in value.items()}
    return list(map(_as_text, value)) if isinstance(value, list) else _text(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def stats_groups(metrics: str) -> frozenset[str]:
    """Return the groups of `stats_body` that metrics of a URL name. Raises: InvalidRequestError."""
    groups: set[str] = set()
    for metric in metrics.split(","):
        if metric == "_all":
            groups.update(METRICS.values())
        elif metric in METRICS:
            groups.add(METRICS[metric])
        else:
            raise InvalidRequestError(
                f"metric [{metric}] of _stats is not one of {', '.join(METRICS)}, _all"
            )
    return frozenset(groups)


def stats_body(index: Index) -> dict[str, Any]:
    """Return what an index holds and has done, summed over its shards."""
    total = index.stats()
    stats = list(total.shards.values())
    return {
        "docs": {"count": total.n_docs, "deleted": total.n_deleted},
        "store": {"size_in_bytes": total.n_bytes, "reserved_in_bytes": 0},
        "flush": {"total": sum(s.n_flushes for s in stats)},
        "merges": {
            "total": sum(s.n_merges for s in stats),
            "total_size_in_bytes": total.bytes_merged,
            "flushed_size_in_bytes": total.bytes_flushed,
            "write_amplification": total.write_amplification,
        },
        "segments": {
            "count": total.n_segments,
            "index_writer_memory_in_bytes": total.memtable_bytes,
        },
        "query_cache": {
            "memory_size_in_bytes": total.filters.n_bytes,
            "total_count": total.filters.n_hits + total.filters.n_misses,
            "hit_count": total.filters.n_hits,
            "miss_count": total.filters.n_misses,
            "cache_size": total.filters.n_entries,
            "evictions": total.filters.n_evicted,
        },
        "tailrace": {
            "next_offset": sum(max(s.next_offset, 0) for s in stats),
            "durable_offset": sum(max(s.durable_offset, 0) for s in stats),
            "memtable_docs": total.memtable_docs,
            "backlog_bytes": total.backlog_bytes,
            "segments_to_merge": total.n_unsettled,
            "stalled_shards": total.n_stalled,
            "subscribers": total.n_subscribers,
        },
    }


def _sum_stats(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if not parts:
        return {}
    total = {
        group: {name: sum(part[group][name] for part in parts) for name in parts[0][group]}
        for group in parts[0]
    }
    if (merges := total.get("merges")) is not None:
        merges["write_amplification"] = write_amplification(
            merges["flushed_size_in_bytes"], merges["total_size_in_bytes"]
        )
    return total


def _all_shards(indexes: list[Index]) -> dict[str, int]:
    return shards_body(sum(len(index.shards) for index in indexes))
