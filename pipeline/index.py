"""One index of a node: its shards, its schema, its log and its live subscribers, behind the few
calls that a server and a source need. It is the `Sink` of its source.

Thread rule: the event loop's thread. Searches run in the query pool, on immutable views.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from index.directory import FsDirectory, OpenDirectory
from index.errors import (
    FencedError,
    InvalidRequestError,
    ShardFailedError,
    TailraceError,
    TimedOutError,
)
from index.options import IndexOptions
from index.query.ast import Query
from index.query.filter_cache import FilterCache
from index.query.request import SearchRequest
from index.reader import Views
from index.schema import Schema, SchemaRef
from index.searcher import Searcher, SearchResult
from pipeline.applied import Visible
from pipeline.broadcast import Broadcaster
from pipeline.budget import Budgets
from pipeline.disk import Disk, DiskState
from pipeline.documents import Document, get_documents
from pipeline.events import Record
from pipeline.feed import Feed, Log
from pipeline.index_stats import IndexStats, sum_stats
from pipeline.index_store import IndexMeta, IndexStore
from pipeline.maintenance import Maintenance
from pipeline.options import PipelineOptions
from pipeline.partitions import Partitions
from pipeline.refusals import find_refused, refuse_by_answer
from pipeline.shard import Shard, ShardHooks, ShardState
from pipeline.subscription import Subscription
from pipeline.telemetry import Telemetry
from pipeline.threads import Threads
from pipeline.tokens import Vector, encode_token, parse_token
from pipeline.write import WriteOp, Writer, WriteResult

log = logging.getLogger(__name__)

OPEN_S = 2.0


class Index:
    def __init__(
        self,
        store: IndexStore,
        meta: IndexMeta,
        schema: Schema,
        *,
        threads: Threads,
        options: PipelineOptions,
        index_options: IndexOptions,
        telemetry: Telemetry,
        disk: Disk,
        budgets: Budgets,
        open_directory: OpenDirectory = FsDirectory,
        on_fenced: Callable[[FencedError], None] = lambda error: None,
    ) -> None:
        self.name = meta.name
        self.uuid = meta.uuid
        self.created_ms = meta.created_ms
        self.settings = meta.settings
        self.schema_ref = SchemaRef(schema)
        self.failure: Exception | None = None
        """Why the source has ended or a shard cannot be opened."""
        self._store = store
        self._open_directory = open_directory
        self._on_fenced = on_fenced
        self._meta = meta
        self._threads = threads
        self._options = options
        self._index_options = index_options
        self._telemetry = telemetry
        self._disk = disk
        self._budgets = budgets
        self._feed: Feed | None = None
        self._writer: Writer | None = None
        self._source_task: asyncio.Task[None] | None = None
        self._was_ready = False
        self._views = Views(())
        self._filters = FilterCache(options.filter_cache_bytes, lock=threading.Lock())
        self._ready_at: dict[int, int] = {}
        """Shard -> how much of its log had been delivered when the source had caught up."""
        self._is_dropping = False
        self._suspects: set[int] = set()
        """Shards that were found to be damaged: what they open is read wholly first."""
        self._maintenance = Maintenance(
            threads=threads,
            options=options,
            telemetry=telemetry,
            persist_schema=self._persist_schema,
            on_durable=self._on_durable,
            on_damage=self._on_damage,
            disk=disk,
        )
        self._partitions = Partitions(self._make_shard, self._maintenance)
        self._broadcaster = Broadcaster(
            self.name,
            self.schema_ref,
            threads=threads,
            telemetry=telemetry,
            visible=self._visible,
            is_recovering=self._is_recovering,
            budget=budgets.live,
        )

    @property
    def shards(self) -> dict[int, Shard]:
        """Those that are open here, by partition."""
        return self._partitions.shards

    # --- life --------------------------------------------------------------------------------
    def start(self, feed: Feed) -> None:
        """Begin to read the feed."""
        self._feed = feed
        if feed.log is not None:
            self._writer = Writer(
                self.name,
                feed.log,
                self.shards,
                self.schema_ref,
                threads=self._threads,
                options=self._options,
                index_options=self._index_options,
                require_room=self._require_room,
                budget=self._budgets.writes,
            )
        if feed.source is not None:
            self._source_task = asyncio.create_task(self._read(feed), name=f"source {self.name}")

    async def wait_open(self) -> None:
        """Return when the shards of every partition are open, so that the first write learns its
        outcome; at once where other nodes may own some, after `OPEN_S` in any case."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_S):
                for number in self._own_partitions():
                    await self._partitions.wait_open(number)

    async def _read(self, feed: Feed) -> None:
        assert feed.source is not None
        try:
            await feed.source.run(self)
        except Exception as error:
            self.failure = error
            log.error(
                "source ended",
                extra={"index": self.name, "reason": str(error)},
                exc_info=error if not isinstance(error, TailraceError) else None,
            )

    async def stop(self, *, flush: bool = True) -> None:
        """Stop the source, apply and flush what was delivered (or drop it), close everything."""
        self._is_dropping = not flush
        if not flush:
            # Before the shards go: a gap would promise a snapshot that nobody takes any more.
            await self._broadcaster.close()
        feed = self._feed
        try:
            if feed is not None and feed.source is not None:
                await feed.source.stop()
            if self._source_task is not None:
                await self._source_task
            for shard in list(self.shards):
                await self.close_partition(shard, flush)
        finally:
            self._store.close()
            await self._broadcaster.close()
            if feed is not None:
                await feed.dead_letters.close()
                if feed.log is not None:
                    await feed.log.close()

    def tick(self) -> None:
        """To be called about every second: flushes by age, and what else is due."""
        self._maintenance.tick(self.shards.values())
        self._broadcaster.recheck()

    @property
    def log(self) -> Log | None:
        """Where writes go; None: this index takes none."""
        return self._feed.log if self._feed is not None else None

    @property
    def is_ready(self) -> bool:
        """Return whether what the log held at the start has become searchable; stays so unless
        something fails."""
        if self._has_failed or self.failures():
            return False
        source = self._feed.source if self._feed is not None else None
        if not self._was_ready and (source is None or source.is_caught_up()):
            # What has come since then is not waited for: on a busy topic there is always some.
            for number, shard in self.shards.items():
                self._ready_at.setdefault(number, shard.delivered_offset)
            self._was_ready = all(
                shard.watermark.next_offset >= self._ready_at[number]
                for number, shard in self.shards.items()
            )
        return self._was_ready

    def problems(self) -> list[str]:
        """Return a line for each thing that keeps the index from going on."""
        found = [f"{self.name}: {self.failure}"] if self.failure is not None else []
        for number, shard in sorted(self.shards.items()):
            trouble = _trouble_of(shard) or shard.unsearchable
            if trouble is not None:
                found.append(f"{self.name}/{number}: {trouble}")
        return found

    @property
    def _has_failed(self) -> bool:
        troubles = [_trouble_of(shard) for shard in self.shards.values()]
        return self.failure is not None or any(trouble is not None for trouble in troubles)

    def _is_recovering(self) -> bool:
        return not self.is_ready and not self._has_failed

    # --- the sink of a source ----------------------------------------------------------------
    async def open_partition(self, partition: int) -> int | None:
        """Recover the partition's shard; return the offset to go on at, None: nothing is stored.

        Raises: DamagedShardError, StorageError.
        """
        next_offset = await self._partitions.open(partition)
        self._broadcaster.resync()
        return next_offset

    async def rebuild_partition(self, partition: int, bounds: tuple[int, int]) -> int:
        """Let the damaged shard begin anew; return the offset to go on at.

        Raises: DamagedShardError where the log does not hold all that the shard was made of;
        StorageError.
        """
        next_offset = await self._partitions.rebuild(partition, bounds)
        self._broadcaster.resync()
        return next_offset

    async def close_partition(self, partition: int, flush: bool) -> None:
        """Apply and flush what was delivered (or drop it), and close the shard. Goes on to its
        end if the caller is cancelled; `open_partition` waits for it."""
        await self._partitions.close(partition, flush=flush and not self._is_dropping)
        self._broadcaster.resync()

    async def fail_partition(self, partition: int, error: TailraceError) -> None:
        """Learn that nothing more will come for this shard; what it has stays searchable, and
        what was delivered becomes so."""
        shard = self.shards.get(partition)
        if shard is None:
            self.failure = error
        elif shard.is_open:  # else it has failed, and says why
            shard.halt(error)

    async def deliver(self, partition: int, records: list[Record], next_offset: int) -> None:
        """Queue records in offset order. Dropped where the partition is not open any more: its
        next owner reads them from the log. Raises: StorageError where the shard has failed."""
        shard = self.shards.get(partition)
        if shard is not None and shard.state is not ShardState.DRAINING:
            await shard.deliver(records, next_offset)

    async def skip_gap(self, partition: int, next_offset: int) -> None:
        """Go on at `next_offset` though the log has lost records before it; the shard remembers
        which. Raises: StorageError where the shard has failed."""
        shard = self.shards.get(partition)
        if shard is not None and shard.state is not ShardState.DRAINING:
            await shard.skip_gap(next_offset)

    def topic_id(self, partition: int) -> str:
        """Return the id of the topic that the shard was read from; empty where none is known."""
        shard = self.shards.get(partition)
        return shard.engine.topic_id if shard is not None and shard.is_open else ""

    def note_topic_id(self, partition: int, topic_id: str) -> None:
        """Learn which topic the shard is read from; durable with the next checkpoint."""
        shard = self.shards.get(partition)
        if shard is not None and shard.is_open:
            shard.engine.note_topic_id(topic_id)

    def backlog_bytes(self, partition: int) -> int:
        """Return about how much was delivered and is not searchable yet; past the bound of one
        shard where all shards of the node together are past theirs."""
        shard = self.shards.get(partition)
        n_bytes = shard.backlog_bytes if shard is not None else 0
        if n_bytes and self._budgets.is_backlog_full():
            return max(n_bytes, self._options.max_backlog_bytes + 1)
        return n_bytes

    def fence(self, partition: int) -> dict[str, int] | None:
        """Return offset, timestamp_ms and crc32c of the last record below the checkpoint: what a
        source compares to know that the log is still the one we read."""
        shard = self.shards.get(partition)
        return shard.engine.fence if shard is not None and shard.is_open else None

    def _make_shard(self, number: int) -> Shard:
        assert self._feed is not None, "an index that was not started"
        return Shard(
            self.name,
            number,
            self._store.shard_path(number),
            self.schema_ref,
            threads=self._threads,
            options=self._options,
            index_options=self._options_of(number),
            dead_letters=self._feed.dead_letters,
            hooks=ShardHooks(
                on_applied=self._broadcaster.publish,
                observe=self._telemetry.observe_batch,
                wants_maintenance=self._maintenance.consider,
                wants_merge=self._maintenance.consider_merge,
                wants_changes=self._broadcaster.wants_changes,
                on_fenced=self._on_fenced,
                must_wait=lambda: self._disk.state >= DiskState.PAUSED,
                note_full=self._disk.note_full,
            ),
            find_refused=find_refused if self._feed.is_shared else refuse_by_answer,
            open_directory=self._open_directory,
        )

    def _options_of(self, number: int) -> IndexOptions:
        if number not in self._suspects:
            return self._index_options
        return replace(self._index_options, check_on_open="all")

    def _on_damage(self, partition: int) -> None:
        """Let the shard be opened again, so that it is rebuilt where that can be."""
        self._suspects.add(partition)
        if self._feed is not None and self._feed.source is not None:
            self._feed.source.reopen(partition)

    def _on_durable(self, partition: int, next_offset: int) -> None:
        if self._feed is not None and self._feed.source is not None:
            self._feed.source.commit_hint(partition, next_offset)

    # --- writes ------------------------------------------------------------------------------
    async def write(self, ops: list[WriteOp]) -> list[WriteResult]:
        """Make valid ops durable in the log; return what became of each, searchable by then
        where its shard is here.

        Raises: InvalidRequestError where the index takes no writes; OverloadError; DiskFullError;
        what the log raises.
        """
        if self._writer is None:
            raise InvalidRequestError(f"index [{self.name}] takes no writes")
        return await self._writer.write(ops)

    def _require_room(self) -> None:
        assert self._feed is not None, "an index that was not started"
        if self._feed.is_local:
            self._disk.require_local_writes()
        self._disk.require_writes()

    async def put_mapping(self, body: dict[str, Any]) -> None:
        """Add fields; durable on return.

        Raises: MappingError; DiskFullError; StorageError: the fields are in force, and durable
        with the next flush or the next call that succeeds.
        """
        self._disk.require_writes()
        await self._threads.apply(partial(self._merge_mapping, body))
        await self._threads.query(self._persist_schema)

    def _merge_mapping(self, body: dict[str, Any]) -> None:
        max_fields = self._index_options.max_fields
        self.schema_ref.current = self.schema_ref.current.merged(body, max_fields)

    def _persist_schema(self) -> None:
        self._store.save_schema(self._meta, self.schema_ref)

    async def refresh(self) -> None:
        """Return when all that was delivered before the call is searchable."""
        for shard in list(self.shards.values()):
            await shard.watermark.wait_for_offset(shard.delivered_offset - 1)

    async def flush(self) -> None:
        """Return when all that was searchable before the call is durable in the index."""
        for shard in self._open_shards():
            await self._maintenance.flush(shard)

    async def force_merge(self, max_segments: int = 1) -> None:
        """Flush, and merge each shard down to `max_segments`."""
        for shard in self._open_shards():
            await self._maintenance.force_merge(shard, max_segments)

    async def expunge_deletes(self) -> None:
        """Flush, and write the segments again that have many deleted documents."""
        for shard in self._open_shards():
            await self._maintenance.expunge_deletes(shard)

    def _open_shards(self) -> list[Shard]:
        return [shard for shard in self.shards.values() if shard.is_open]

    # --- searches ----------------------------------------------------------------------------
    def failures(self) -> dict[int, ShardFailedError]:
        """Return why searches do not see the shards that they should see. Any thread."""
        shards = self.shards.copy()
        found = {number: shard.unsearchable for number, shard in shards.items()}
        failed = {number: error for number, error in found.items() if error is not None}
        for number in self._own_partitions():
            if number not in shards:
                failed[number] = ShardFailedError(f"[{self.name}][{number}] is not open yet")
        return failed

    def _own_partitions(self) -> range:
        """Return the partitions that no other node can have."""
        feed = self._feed
        if feed is None or feed.source is None or feed.log is None or feed.is_shared:
            return range(0)
        return range(feed.log.n_partitions)

    def _visible(self) -> dict[int, Visible]:
        # A copy: searches look from the query pool, while shards come and go.
        return {number: shard.visible for number, shard in self.shards.copy().items()}

    def searcher(self) -> Searcher:
        """Return a searcher over what is searchable now, all shards in order."""
        # Before and after: neither one that fails meanwhile is seen, nor one as it was while it
        # was being rebuilt.
        failed = self.failures()
        visible = self._visible()
        failed |= self.failures()
        shown = [visible[number] for number in sorted(visible) if number not in failed]
        views = [view for each in shown for view in each.views]
        known = self._views
        if len(known) != len(views) or any(a is not b for a, b in zip(known, views, strict=True)):
            known = self._views = Views(views)
        now_ms = int(self._threads.wall_s() * 1000)
        return Searcher(known, self.schema_ref.current, now_ms, self._filters)

    async def search(self, request: SearchRequest) -> tuple[Searcher, SearchResult]:
        """Search in the query pool; the searcher answers for sources and highlights.

        Raises: InvalidQueryError, MappingError.
        """
        return await self._threads.read(lambda: _search(self.searcher(), request))

    async def count(self, query: Query) -> int:
        return await self._threads.read(lambda: self.searcher().count(query))

    async def get(self, key: str) -> Document | None:
        """Return the newest document of this key."""
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: list[str]) -> list[Document | None]:
        """Return the newest document of each key, all as of one moment.

        Raises: ShardFailedError where the shard of a key cannot say.
        """
        failed = self.failures()
        found = await self._threads.read(lambda: get_documents(self.searcher(), keys))
        if failed:
            for key, document in zip(keys, found, strict=True):
                if document is None and (error := self._failure_of(key, failed)) is not None:
                    raise error
        return found

    def _failure_of(self, key: str, failed: dict[int, ShardFailedError]) -> ShardFailedError | None:
        """Return why it cannot be said whether a document is there."""
        log = self.log
        number = log.partition_of(key.encode(errors="surrogatepass")) if log is not None else None
        return next(iter(failed.values())) if number is None else failed.get(number)

    # --- tokens and live ---------------------------------------------------------------------
    def token(self) -> str:
        """Return what is searchable now, as a token."""
        visible = self._visible()
        return encode_token({number: shown.next_offset for number, shown in visible.items()})

    @staticmethod
    def write_token(results: list[WriteResult]) -> str:
        """Return the token of writes: a search after it sees them all."""
        vector: Vector = {}
        for result in results:
            if result.partition is not None and result.offset is not None:
                seen = vector.get(result.partition, 0)
                vector[result.partition] = max(seen, result.offset + 1)
        return encode_token(vector)

    async def wait_token(self, token: str, timeout_s: float) -> None:
        """Return when everything that the token (or `topic:partition:offset`) covers is
        searchable here. Raises: InvalidRequestError, TimedOutError."""
        wanted = self._parse_token(token)
        try:
            async with asyncio.timeout(timeout_s):
                for number, next_offset in wanted.items():
                    await self._wait_shard(number, next_offset)
        except TimeoutError:
            raise TimedOutError(
                f"[{self.name}] is at {self.token()}, {token} was not reached in {timeout_s:g} s"
            ) from None

    def _parse_token(self, token: str) -> Vector:
        return parse_token(token, self._feed.topics if self._feed is not None else ())

    async def _wait_shard(self, number: int, next_offset: int) -> None:
        shard = await self._partitions.wait_open(number)
        await shard.watermark.wait_for_offset(next_offset - 1)

    def subscribe(self, query: Query, snapshot: int = 10, after: str | None = None) -> Subscription:
        """Return a live subscription: an async iterator of frames (INTERFACE section 6, without
        the client's `id`). The caller closes it.

        Raises: InvalidRequestError, OverloadError.
        """
        seen = self._parse_token(after) if after is not None else None
        return self._broadcaster.subscribe(query, snapshot=snapshot, after=seen)

    # --- what is there -----------------------------------------------------------------------
    def lag(self) -> dict[int, int]:
        """Return how many records each partition is behind the end of its log."""
        source = self._feed.source if self._feed is not None else None
        return source.lag() if source is not None else {}

    def stats(self) -> IndexStats:
        return sum_stats(
            self.shards.values(),
            n_subscribers=self._broadcaster.n_subscribers,
            n_live_changes=self._broadcaster.n_history,
            filters=self._filters.stats(),
        )


def _trouble_of(shard: Shard) -> Exception | None:
    """Return why a shard takes nothing more, None where it does."""
    return shard.failure if shard.state is ShardState.FAILED else shard.halted


def _search(searcher: Searcher, request: SearchRequest) -> tuple[Searcher, SearchResult]:
    return searcher, searcher.search(request)
