"""`tailrace serve` on a data directory, and everything that it holds."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.e2e.brokers import Broker, Producer
from tests.e2e.streams import Fields
from tests.face.process import START_S, Running, run, start

SESSION_S = "2"
PAGE = 500

BUSY = {
    "TAILRACE_PIPELINE__FLUSH_AGE_S": "0.2",
    "TAILRACE_STORAGE__MEMTABLE_DOCS": "500",
    "TAILRACE_STORAGE__MERGE_FACTOR": "2",
}
"""Flushes and merges are under way all the time."""


class Server:
    """A running server and its data directory; nothing here blocks the event loop."""

    def __init__(self, running: Running, data: Path) -> None:
        self.running = running
        self.data = data
        self.url = running.url

    async def wait_ready(self) -> None:
        await asyncio.to_thread(self.running.wait_ready)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(self.running.call, method, path, body)

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        await asyncio.to_thread(self.running.wait_until, holds)

    async def wait_applied(self, ends: dict[str, dict[int, int]]) -> None:
        """Return when every record up to these ends of the topics is searchable here."""
        for topic, partitions in ends.items():
            for number, end in partitions.items():
                path = f"/{topic}/_count?after={topic}:{number}:{end - 1}&timeout=10s"
                await self.wait_until(lambda path=path: self.running.call("GET", path) is not None)

    def stats(self, index: str) -> dict[str, Any]:
        """Return the index's stats, and as `n_shards` how many are open here. Blocks."""
        answer = self.running.call("GET", f"/{index}/_stats")
        return {**answer["_all"]["total"], "n_shards": answer["_shards"]["total"]}

    async def documents(self, index: str) -> dict[str, Fields]:
        """Return every document, read page by page; fails where an id comes twice."""
        return await asyncio.to_thread(read_pages, self.running, index)

    async def kill(self) -> None:
        """End it without a word, as a crash does."""
        self.running.process.kill()
        await asyncio.to_thread(self.running.process.wait)

    async def stop(self) -> None:
        """End it in order."""
        code = await asyncio.to_thread(self.running.stop, signal.SIGTERM)
        assert code == 0, self.running.errors()

    def segments(self) -> set[Path]:
        return set(self.data.glob("indexes/*/shards/*/*.seg"))


@asynccontextmanager
async def serving(
    data: Path, *arguments: str, port: int | None = None, **variables: str
) -> AsyncIterator[Server]:
    """Run a server beside its data directory, until the block ends or the server does."""
    folder = data.parent
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ("serve", "--data", str(data), *arguments)
    with start(*arguments, cwd=folder, port=port, **variables) as running:
        yield Server(running, data)


@asynccontextmanager
async def serving_kafka(
    data: Path, broker: Broker, *topics: str, port: int | None = None, **variables: str
) -> AsyncIterator[Server]:
    """Run a server that is fed by Kafka, with an index for each topic."""
    sessions = {
        f"TAILRACE_INDEXES__{topic.upper()}__SOURCE__SESSION_TIMEOUT_S": SESSION_S
        for topic in topics
    }
    arguments = ("--kafka", broker.bootstrap, "--topic", ",".join(topics))
    async with serving(data, *arguments, port=port, **sessions, **variables) as server:
        yield server


async def verify(data: Path) -> int:
    """Return how many documents a sound data directory of a stopped server holds."""
    done = await asyncio.to_thread(run, "verify", str(data), "--json", cwd=data.parent)
    assert done.returncode == 0, done
    return int(orjson.loads(done.stdout)["n_docs"])


def read_pages(running: Running, index: str) -> dict[str, Fields]:
    found: dict[str, Fields] = {}
    body: dict[str, Any] = {
        "query": {"match_all": {}},
        "size": PAGE,
        "sort": [{"id.keyword": {"order": "asc", "unmapped_type": "keyword"}}],
    }
    while True:
        answer = running.call("POST", f"/{index}/_search", body)["hits"]
        hits = answer["hits"]
        if not hits:
            assert len(found) == answer["total"]["value"]
            return found
        for hit in hits:
            assert hit["_id"] not in found, f"{hit['_id']} is there twice"
            found[hit["_id"]] = hit["_source"]
        body["search_after"] = hits[-1]["sort"]


def check_same(found: dict[str, Fields], expected: dict[str, Fields]) -> None:
    """Fail with few words where documents are missing, too many, or not the newest."""
    missing = sorted(expected.keys() - found.keys())
    extra = sorted(found.keys() - expected.keys())
    stale = sorted(id for id in found.keys() & expected.keys() if found[id] != expected[id])
    assert (missing[:5], extra[:5], stale[:5]) == ([], [], []), (
        f"{len(missing)} missing, {len(extra)} too many, {len(stale)} not the newest"
    )


async def wait_shared(servers: list[Server], producer: Producer, topic: str, shards: int) -> None:
    """Return when the servers own all partitions, each at least `shards`, and have all records."""
    expected = sum(producer.ends[topic].values())
    deadline = time.monotonic() + START_S
    while True:
        stats = [await asyncio.to_thread(_stats_or_none, server, topic) for server in servers]
        if None not in stats:
            owned = [each["n_shards"] for each in stats]
            applied = sum(each["tailrace"]["next_offset"] for each in stats)
            if sum(owned) == 4 and min(owned) >= shards and applied == expected:
                return
        assert time.monotonic() < deadline, f"waited in vain: {stats}, expected {expected}"
        await asyncio.sleep(0.05)


def _stats_or_none(server: Server, index: str) -> dict[str, Any] | None:
    assert server.running.process.poll() is None, server.running.errors()
    try:
        return server.stats(index)
    except OSError:  # not listening yet, or no such index yet
        return None
