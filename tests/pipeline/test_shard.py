from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from index.directory import FsDirectory
from index.document import Outcome
from index.engine import Engine
from index.errors import InvalidRequestError, StorageError
from index.options import IndexOptions
from index.schema import SchemaRef
from pipeline.applied import AppliedBatch
from pipeline.events import NewRecord, Record
from pipeline.options import PipelineOptions
from pipeline.shard import Shard, ShardHooks, ShardState
from pipeline.threads import Threads
from tests.pipeline.logs import MemoryLog


class Stand:
    """A shard with everything around it."""

    def __init__(
        self,
        path: Path,
        open_engine: Any = None,
        observe: Any = lambda _: None,
        letters: MemoryLog | None = None,
    ) -> None:
        self.threads = Threads()
        self.letters = letters or MemoryLog("docs.dlq")
        self.applied: list[AppliedBatch] = []
        self.asked: list[Shard] = []
        self.shard = Shard(
            "docs",
            0,
            path,
            SchemaRef(),
            threads=self.threads,
            options=PipelineOptions(max_batch_docs=100, max_backlog_bytes=1 << 20),
            index_options=IndexOptions(memtable_docs=50),
            dead_letters=self.letters,
            hooks=ShardHooks(self.applied.append, observe, self.asked.append),
            open_engine=open_engine,
        )

    async def end(self) -> None:
        if self.shard.state in (ShardState.SERVING, ShardState.DRAINING, ShardState.FAILED):
            await self.shard.drain()
            await self.shard.close()
        self.threads.close()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    stand = Stand(tmp_path)
    yield stand
    await stand.end()


def records(first: int, count: int, value: bytes = b'{"n":1}') -> list[Record]:
    return [
        Record("docs", 0, offset, 1_000, b"key%d" % offset, value)
        for offset in range(first, first + count)
    ]


async def test_a_new_shard_wants_the_log_from_its_beginning(stand: Stand) -> None:
    assert await stand.shard.open() is None
    assert stand.shard.state is ShardState.SERVING


async def test_delivered_records_become_searchable_in_order(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver(records(0, 250), 250)
    await stand.shard.watermark.wait_for_offset(249)
    assert stand.shard.visible.next_offset == 250
    assert sum(view.n_alive for view in stand.shard.visible.views) == 250
    assert [done.visible.next_offset for done in stand.applied] == [100, 200, 250]


async def test_records_delivered_again_are_dropped_and_counted(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver(records(0, 10), 10)
    await stand.shard.deliver(records(5, 10), 15)
    await stand.shard.watermark.wait_for_offset(14)
    assert stand.shard.n_duplicates == 5
    assert stand.shard.engine.stats().n_docs == 15


async def test_a_hole_in_the_log_is_passed_and_counted(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver(records(0, 1), 1)
    await stand.shard.deliver(records(5, 1), 9)
    await stand.shard.watermark.wait_for_offset(8)
    assert stand.shard.n_gaps == 1
    assert stand.shard.engine.next_offset == 9


async def test_what_cannot_be_a_document_is_in_the_dead_letters(stand: Stand) -> None:
    await stand.shard.open()
    bad = records(1, 1, b"{")
    await stand.shard.deliver([*records(0, 1), *bad, *records(2, 1)], 3)
    await stand.shard.drain()
    [letter] = stand.letters.partitions[0]
    assert (letter.key, letter.value) == (bad[0].key, bad[0].value)
    assert stand.shard.engine.stats().n_docs == 2


async def test_what_does_not_fit_the_mapping_is_in_the_dead_letters(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver([*records(0, 1), *records(1, 1, b'{"n":{"x":1}}')], 2)
    await stand.shard.drain()
    [letter] = stand.letters.partitions[0]
    assert dict(letter.headers)["tailrace.source.offset"] == b"1"
    assert stand.applied[-1].applied.outcomes[-1] is Outcome.REJECTED


async def test_no_flush_begins_before_the_dead_letters_have_what_was_rejected(
    stand: Stand,
) -> None:
    stand.letters.answer = asyncio.Event()
    await stand.shard.open()
    await stand.shard.deliver(records(0, 1, b"{"), 1)
    await stand.shard.watermark.wait_for_offset(0)
    assert await stand.threads.apply(stand.shard.applier.plan_flush) is None
    stand.letters.answer.set()
    await stand.shard.drain()
    assert await stand.threads.apply(stand.shard.applier.plan_flush) is not None


async def test_dead_letters_that_cannot_be_written_are_tried_again(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.shard.DEAD_LETTER_RETRY_S", 0.0)
    stand.letters.failures = [OSError("no broker"), OSError("no broker")]
    await stand.shard.open()
    await stand.shard.deliver(records(0, 1, b"{"), 1)
    await stand.shard.drain()
    assert len(stand.letters.partitions[0]) == 1


async def test_draining_applies_all_that_was_delivered(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver(records(0, 550), 550)
    await stand.shard.drain()
    assert stand.shard.engine.next_offset == 550
    with pytest.raises(StorageError, match="draining"):
        await stand.shard.deliver(records(550, 1), 551)


async def test_a_dropped_queue_is_not_applied(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver(records(0, 550), 550)
    stand.shard.drop_queue()
    await stand.shard.drain()
    assert stand.shard.engine.next_offset < 550


async def test_a_full_memtable_asks_for_maintenance(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver(records(0, 60), 60)
    await stand.shard.drain()
    assert stand.asked == [stand.shard]


async def test_the_fence_is_the_last_record_below_the_checkpoint(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver(records(0, 3), 5)
    await stand.shard.drain()
    job = await stand.threads.apply(stand.shard.applier.plan_flush)
    assert job is not None
    await stand.threads.maintain(job.run)
    await stand.threads.apply(lambda: stand.shard.applier.install(job))
    fence = stand.shard.engine.manifest.fence
    assert fence is not None
    assert (fence["offset"], fence["timestamp_ms"]) == (2, 1_000)


async def test_a_delivery_waits_while_the_backlog_is_past_its_bound(stand: Stand) -> None:
    held = asyncio.Event()
    real_apply = stand.threads.apply

    async def slow_apply(work: Any) -> Any:
        await held.wait()
        return await real_apply(work)

    stand.threads.apply = slow_apply  # type: ignore[method-assign]
    await stand.shard.open()
    big = b'{"t":"' + b"x" * 50_000 + b'"}'
    await stand.shard.deliver(records(0, 30, big), 30)
    waiting = asyncio.ensure_future(stand.shard.deliver(records(30, 1), 31))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    held.set()
    await waiting
    await stand.shard.watermark.wait_for_offset(30)


class BrokenEngine:
    """Fails at the first batch, as a dead disk or a bug would."""

    def __init__(self, real: Engine) -> None:
        self._real = real

    def apply(self, events: Any, next_offset: int) -> Any:
        raise OSError("input/output error")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


async def test_a_broken_engine_fails_the_shard_and_all_who_wait(tmp_path: Path) -> None:
    stand = Stand(tmp_path, lambda *a: BrokenEngine(Engine.open(FsDirectory(a[0]), *a[1:])))
    await stand.shard.open()
    waiting = asyncio.ensure_future(stand.shard.watermark.wait_for_offset(0))
    await stand.shard.deliver(records(0, 1), 1)
    with pytest.raises(StorageError, match="input/output error"):
        await waiting
    assert stand.shard.state is ShardState.FAILED
    with pytest.raises(StorageError, match="failed"):
        await stand.shard.deliver(records(1, 1), 2)
    await stand.end()
    assert stand.shard.state is ShardState.CLOSED


async def test_a_shard_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "000000000001.seg").write_bytes(b"x")
    stand = Stand(tmp_path)
    with pytest.raises(StorageError, match="no readable manifest"):
        await stand.shard.open()
    assert stand.shard.state is ShardState.FAILED
    await stand.end()


async def test_outcomes_are_kept_for_a_writer_that_waits(stand: Stand) -> None:
    await stand.shard.open()
    with stand.shard.outcomes.ticket(0):
        await stand.shard.deliver(records(0, 2), 2)
        await stand.shard.watermark.wait_for_offset(1)
        found = stand.shard.outcomes.find(1)
    assert found is not None
    assert found.outcome is Outcome.CREATED


async def test_dropping_does_not_wait_for_dead_letters(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.shard.DEAD_LETTER_RETRY_S", 0.0)
    stand.letters.failures = [OSError("no broker")] * 1_000_000
    await stand.shard.open()
    await stand.shard.deliver(records(0, 1, b"{"), 1)
    await stand.shard.watermark.wait_for_offset(0)
    stand.shard.drop_queue()
    await stand.shard.drain()
    assert await stand.threads.apply(stand.shard.applier.plan_flush) is None


async def test_a_failure_to_count_stops_no_documents(tmp_path: Path) -> None:
    stand = Stand(tmp_path, observe=lambda _: 1 / 0)
    await stand.shard.open()
    await stand.shard.deliver(records(0, 1), 1)
    await stand.shard.watermark.wait_for_offset(0)
    await stand.shard.drain()
    assert stand.shard.state is ShardState.DRAINING
    await stand.end()


class PickyLog(MemoryLog):
    """Takes nothing larger than a bound, as a topic does, and never will."""

    async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        if any(len(record.key or b"") + len(record.value or b"") > 1_000 for record in records):
            raise InvalidRequestError("record too large")
        return await super().append(records)


async def test_a_dead_letter_that_is_too_large_goes_without_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.shard.DEAD_LETTER_RETRY_S", 0.0)
    stand = Stand(tmp_path, letters=PickyLog("docs.dlq"))
    await stand.shard.open()
    await stand.shard.deliver([*records(0, 1, b"{"), *records(1, 1, b"{" * 2_000)], 2)
    async with asyncio.timeout(5):
        await stand.shard.drain()
    small, large = stand.letters.partitions[0]
    assert small.value == b"{"
    assert large.key == b"key1"
    assert large.value is None
    assert dict(large.headers)["tailrace.source.offset"] == b"1"
    assert b"2000 bytes" in dict(large.headers)["tailrace.error.omitted"]  # type: ignore[operator]
    assert await stand.threads.apply(stand.shard.applier.plan_flush) is not None
    await stand.end()


async def test_draining_gives_up_on_dead_letters_that_cannot_be_written(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.shard.DEAD_LETTER_RETRY_S", 0.0)
    monkeypatch.setattr("pipeline.shard.DRAIN_LETTERS_S", 0.01)
    stand.letters.failures = [OSError("no broker")] * 1_000_000
    await stand.shard.open()
    await stand.shard.deliver(records(0, 1, b"{"), 1)
    await stand.shard.watermark.wait_for_offset(0)
    async with asyncio.timeout(5):
        await stand.shard.drain()
    assert stand.shard.state is ShardState.FAILED
    assert await stand.threads.apply(stand.shard.applier.plan_flush) is None


async def test_a_failed_shard_does_not_wait_for_its_dead_letters(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.shard.DEAD_LETTER_RETRY_S", 0.0)
    stand.letters.failures = [OSError("no broker")] * 1_000_000
    await stand.shard.open()
    await stand.shard.deliver(records(0, 1, b"{"), 1)
    await stand.shard.watermark.wait_for_offset(0)
    stand.shard.fail(StorageError("disk full"))
    async with asyncio.timeout(5):
        await stand.shard.drain()


async def test_what_was_applied_while_a_flush_began_is_flushed_by_age(stand: Stand) -> None:
    await stand.shard.open()
    await stand.shard.deliver(records(0, 1), 1)
    await stand.shard.watermark.wait_for_offset(0)
    job = await stand.threads.apply(stand.shard.applier.plan_flush)
    assert job is not None
    await stand.shard.deliver(records(1, 1), 2)
    await stand.shard.watermark.wait_for_offset(1)
    stand.shard.note_flush_begun()
    await stand.threads.maintain(job.run)
    await stand.threads.apply(lambda: stand.shard.applier.install(job))
    stand.shard.note_job_ended()
    assert stand.shard.oldest_unflushed is not None


async def test_a_folder_that_cannot_be_made_is_the_shards_own_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    stand = Stand(tmp_path / "file" / "0")
    with pytest.raises(StorageError):
        await stand.shard.open()
    await stand.end()
