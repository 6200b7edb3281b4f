"""A node: one process, one data directory, some indexes, four thread pools.

Layout: `<data>/node.lock`, `<data>/indexes/<name>/{index.json, shards/<n>/, log/}`.
Thread rule: the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from index.directory import Directory, FsDirectory, OpenDirectory
from index.errors import FencedError, IndexExistsError, IndexNotFoundError, StorageError
from index.options import IndexOptions
from index.query.stop import Stop
from index.schema import Schema
from pipeline.budget import Budget, Budgets
from pipeline.disk import Disk
from pipeline.documents import Document
from pipeline.feed import Feed, FeedRequest, OpenFeed
from pipeline.index import Index
from pipeline.index_folders import IndexFolders
from pipeline.index_stats import IndexStats
from pipeline.index_store import (
    IndexBody,
    IndexMeta,
    IndexStore,
    check_index_name,
    parse_index_body,
)
from pipeline.loop_probe import LoopProbe
from pipeline.maintenance import TICK_S
from pipeline.node_lock import NodeLock
from pipeline.node_metrics import collect_gauges
from pipeline.options import PipelineOptions
from pipeline.owned_directory import OwnedDirectory
from pipeline.telemetry import Telemetry
from pipeline.threads import Threads
from pipeline.write import WriteOp, WriteResult

__all__ = [
    "Document",
    "Index",
    "IndexStats",
    "Node",
    "PipelineOptions",
    "WriteOp",
    "WriteResult",
]

log = logging.getLogger(__name__)

T = TypeVar("T")


class Node:
    """Owns all that runs. `start`, use, `stop`."""

    def __init__(
        self,
        data_dir: Path,
        options: PipelineOptions | None = None,
        index_options: IndexOptions | None = None,
        *,
        open_feed: OpenFeed,
        open_directory: OpenDirectory = FsDirectory,
    ) -> None:
        self.data_dir = Path(data_dir)
        self.options = options or PipelineOptions()
        self.index_options = index_options or IndexOptions()
        self.indexes: dict[str, Index] = {}
        self.telemetry = Telemetry(self.options)
        self.disk = Disk(self.data_dir, self.options, open_directory=open_directory)
        self.fenced: FencedError | None = None
        """Why this node must stop: another process has its directory."""
        self._open_feed = open_feed
        self._open_any_directory = open_directory
        self._folders = IndexFolders(self.data_dir / "indexes")
        self.budgets = Budgets(
            writes=Budget("writes", self.options.max_write_bytes),
            live=Budget("live frames", self.options.max_live_bytes),
            is_backlog_full=self._is_backlog_full,
        )
        self.telemetry.watch(self.budgets.writes)
        self.telemetry.watch(self.budgets.live)
        self._threads = Threads(
            self.options.query_threads, max_waiting=self.options.max_waiting_searches
        )
        self._changing = asyncio.Lock()
        """Held while an index is made or deleted."""
        self._lock: NodeLock | None = None
        self._has_been_fenced = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None
        self._is_started = False
        self._probe = LoopProbe(self.telemetry, late_s=self.options.loop_late_s)
        self.telemetry.register(lambda: collect_gauges(self))

    # --- life --------------------------------------------------------------------------------
    async def start(self) -> None:
        """Lock the data directory, open every index in it and begin to read their feeds.

        Returns before the indexes have caught up: see `is_ready`.
        Raises: StorageError (another process has the directory), CorruptionError.
        """
        self._folders.make()
        self._lock = NodeLock(self.data_dir)
        try:
            await asyncio.to_thread(self.disk.start)
            for path in await asyncio.to_thread(self._folders.stored):
                await self._open_stored(path)
        except BaseException:
            await self.stop()
            raise
        self._ticker = asyncio.create_task(self._tick(), name="node ticker")
        if self.options.loop_late_s > 0:
            self._probe.start()
        self._is_started = True

    async def stop(self) -> None:
        """Drain: stop the sources, apply and flush what was delivered, close. Gives up after
        `drain_s`; what is not flushed then, the logs still have. A node that is fenced flushes
        nothing."""
        self._is_started = False
        self._probe.stop()
        if self._ticker is not None:
            self._ticker.cancel()
        try:
            async with asyncio.timeout(self.options.drain_s):
                await asyncio.gather(*map(self._stop_index, self.indexes.values()))
        except TimeoutError:
            log.warning("drain took too long, not all is flushed", extra={"data": self.data_dir})
            if self._lock is not None:
                self._lock.keep()  # a job may still run and write a manifest
        self.indexes.clear()
        self._threads.close()
        self.telemetry.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _stop_index(self, index: Index) -> None:
        try:
            await index.stop(flush=self.fenced is None)
        except Exception as error:  # one index that cannot flush must not keep others from it
            log.error("index not stopped cleanly", extra={"index": index.name}, exc_info=error)

    async def query(self, work: Callable[[], T]) -> T:
        """Run a part of a request in the query pool that has begun, and must go on."""
        return await self._threads.query(work)

    async def read(self, work: Callable[[], T]) -> T:
        """Run something short that only reads in the query pool. Raises: OverloadError."""
        return await self._threads.read(work)

    async def query_for(self, work: Callable[[Stop], T], timeout_s: float) -> T:
        """Run a search in the query pool that is told to stop after `timeout_s`.

        Raises: OverloadError.
        """
        return await self._threads.query_for(work, timeout_s)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await asyncio.to_thread(self._require_owned)
            except FencedError as error:
                self._on_fenced(error)
                return
            await asyncio.to_thread(self.disk.poll)
            for index in self.indexes.values():
                index.tick()

    def searches(self) -> tuple[int, int]:
        """Return how many reads wait or run, and how many were refused so far."""
        return self._threads.n_waiting, self._threads.n_refused

    def _is_backlog_full(self) -> bool:
        shards = [shard for index in self.indexes.values() for shard in index.shards.values()]
        most = self.options.max_node_backlog_bytes
        return sum(shard.backlog_bytes for shard in shards) > most

    @property
    def is_ready(self) -> bool:
        """Return whether every index has caught up with what its log held at the start."""
        is_serving = self._is_started and self.fenced is None
        return is_serving and all(index.is_ready for index in self.indexes.values())

    # --- ownership ---------------------------------------------------------------------------
    async def wait_fenced(self) -> FencedError:
        """Return why this node must stop, once another process has its directory."""
        await self._has_been_fenced.wait()
        assert self.fenced is not None
        return self.fenced

    def _on_fenced(self, error: FencedError) -> None:
        if self.fenced is None:
            self.fenced = error
            self._has_been_fenced.set()
            log.error("another process has the data directory", extra={"reason": str(error)})

    def _require_owned(self) -> None:
        """Raises: FencedError."""
        if self._lock is not None:
            self._lock.require()

    def _open_directory(self, path: Path) -> Directory:
        """Open a directory that tells only the owner of the data directory what is in it: to open
        a shard is to take it from whoever has it."""
        return OwnedDirectory(self._open_any_directory(path), self._require_owned)

    def _remove(self, name: str) -> None:
        self._require_owned()
        self._folders.remove(name)

    # --- indexes -----------------------------------------------------------------------------
    async def _open_stored(self, path: Path) -> None:
        store = IndexStore(path, self._open_directory)
        stored = await asyncio.to_thread(store.load)
        if stored is None:
            if await asyncio.to_thread(store.holds_documents):
                raise StorageError(
                    f"{path} has segments or a log but no index.json: put index.json back, "
                    "or move the folder away"
                )
            # A crash between the folder and its `index.json`: nobody was told that it exists.
            log.warning("no index.json, so no index", extra={"path": str(path)})
            return
        meta, schema = stored
        if meta.name != path.name:
            raise StorageError(f"{path}/index.json is of index [{meta.name}]")
        await self._open(store, meta, schema, feed=None)

    async def create_index(
        self, name: str, body: dict[str, Any] | None = None, *, feed: Feed | None = None
    ) -> Index:
        """Make an index from the body of `PUT /{index}`; durable on return.

        `feed` None: what `open_feed` gives, as at every later start.
        Raises: InvalidIndexNameError, InvalidRequestError, MappingError, IndexExistsError,
        DiskFullError, StorageError.
        """
        check_index_name(name)
        async with self._changing:
            if name in self.indexes:
                raise IndexExistsError(f"index [{name}] already exists")
            index = await self._create(name, body, feed)
        await index.wait_open()
        return index

    async def get_or_create(self, name: str, body: dict[str, Any] | None = None) -> Index:
        """Return the index of this name, made from `body` where there is none."""
        found = self.indexes.get(name)
        if found is not None:
            return found
        check_index_name(name)
        async with self._changing:
            found = self.indexes.get(name)
            index = found if found is not None else await self._create(name, body, None)
        await index.wait_open()
        return index

    async def _create(self, name: str, body: dict[str, Any] | None, feed: Feed | None) -> Index:
        self.disk.require_writes()
        # Long lists of synonyms take seconds to look through: not in the event loop.
        parsed, schema = await self._threads.query(partial(self._read_body, body))
        meta = IndexMeta(
            name=name,
            uuid=secrets.token_urlsafe(16),
            created_ms=int(time.time() * 1000),
            settings=parsed.settings,
            schema=msgspec.Raw(schema.to_json()),
        )
        store = IndexStore(self._folders.path / name, self._open_directory)
        try:
            await self._threads.query(lambda: store.save(meta, schema))
            return await self._open(store, meta, schema, feed)
        except BaseException:
            with suppress(StorageError):
                await asyncio.to_thread(self._folders.remove, name)
            raise

    def _read_body(self, body: dict[str, Any] | None) -> tuple[IndexBody, Schema]:
        parsed = parse_index_body(body)
        most = self.index_options.max_fields
        return parsed, Schema.from_mapping(parsed.mappings, most, parsed.analysis)

    async def _open(
        self, store: IndexStore, meta: IndexMeta, schema: Schema, feed: Feed | None
    ) -> Index:
        index = Index(
            store,
            meta,
            schema,
            threads=self._threads,
            options=self.options,
            index_options=self.index_options,
            telemetry=self.telemetry,
            disk=self.disk,
            open_directory=self._open_directory,
            on_fenced=self._on_fenced,
            budgets=self.budgets,
        )
        if feed is None:
            n_shards = int(meta.settings.get("number_of_shards", 1))
            feed = await self._open_feed(
                FeedRequest(meta.name, store.path, n_shards, self._open_directory)
            )
        index.start(feed)
        self.indexes[meta.name] = index
        return index

    async def delete_index(self, name: str) -> None:
        """Close the index and delete all of it, its own log too. Raises: IndexNotFoundError."""
        async with self._changing:
            index = self.indexes.pop(name, None)
            if index is None:
                raise IndexNotFoundError(name)
            try:
                await index.stop(flush=False)
            except Exception as error:  # it goes whether it ends well or not
                log.warning("index not stopped cleanly", extra={"index": name}, exc_info=error)
            self.telemetry.forget(name)
            await asyncio.to_thread(self._remove, name)

    def resolve(self, expression: str) -> list[Index]:
        """Return the indexes that names, commas, wildcards, `-name` and `_all` stand for.

        Raises: IndexNotFoundError for a name without wildcard that is not there.
        """
        if expression in ("", "_all", "*"):
            return [self.indexes[name] for name in sorted(self.indexes)]
        chosen: dict[str, Index] = {}
        for part in expression.split(","):
            if part.startswith("-"):
                for name in self._matching(part[1:]):
                    chosen.pop(name, None)
            elif "*" in part or part == "_all":
                names = self._matching("*" if part == "_all" else part)
                chosen.update({name: self.indexes[name] for name in names})
            elif part in self.indexes:
                chosen[part] = self.indexes[part]
            else:
                raise IndexNotFoundError(part)
        return list(chosen.values())

    def _matching(self, pattern: str) -> list[str]:
        regex = re.compile(".*".join(re.escape(piece) for piece in pattern.split("*")))
        return [name for name in sorted(self.indexes) if regex.fullmatch(name)]
