from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from index.directory import FsDirectory
from index.document import Op
from index.engine import Engine
from index.errors import ExhaustedError, StorageError, UnsettledError
from index.jobs import FlushJob, MergeJob, Pace
from index.manifest import load_manifest
from index.options import IndexOptions
from pipeline import maintenance
from pipeline.node import Index, Node, PipelineOptions, WriteOp
from pipeline.shard import ShardState
from tests.pipeline.conftest import OpenNode
from tests.pipeline.logs import Logs, index_json


def upserts(first: int, count: int) -> list[WriteOp]:
    return [WriteOp(Op.UPSERT, f"k{n}", b'{"n":%d}' % n) for n in range(first, first + count)]


def fail(
    monkeypatch: pytest.MonkeyPatch, kind: type, error: type[StorageError] = StorageError
) -> list[str]:
    """Let what writes jobs of a kind fail; return the names of the files that they tried."""
    names: list[str] = []

    def run(job: Any, pace: Any) -> None:
        names.append(job.segment_name)
        raise error("no luck")

    monkeypatch.setattr(kind, "write", run)
    return names


async def test_a_flush_that_finds_no_room_is_tried_again_and_the_shard_goes_on(
    docs: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "FLUSH_RETRY_S", 0.001)
    await docs.write(upserts(0, 3))
    shard = docs.shards[0]
    with monkeypatch.context() as broken:
        fail(broken, FlushJob, ExhaustedError)
        with pytest.raises(ExhaustedError):
            await docs.flush()
    assert shard.state is ShardState.SERVING
    await docs.write(upserts(3, 3))
    async with asyncio.timeout(10):
        while shard.engine.durable_offset < 3:
            docs.tick()
            await asyncio.sleep(0.001)
    await docs.flush()
    assert docs.stats().shards[0].durable_offset == 6
    assert docs.stats().n_docs == 6


async def test_one_dead_file_costs_one_more_and_nothing_else(
    docs: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await docs.write(upserts(0, 3))
    write = FlushJob.write
    names: list[str] = []

    def die_once(job: FlushJob, pace: Pace) -> None:
        names.append(job.segment_name)
        if len(names) == 1:
            raise StorageError("input/output error")
        write(job, pace)

    monkeypatch.setattr(FlushJob, "write", die_once)
    await docs.flush()
    assert docs.stats().shards[0].durable_offset == 3
    assert len(set(names)) == 2


def is_of_shard(directory: FsDirectory) -> bool:
    return directory.path.parent.name == "shards"


async def test_an_edit_that_may_not_be_durable_is_promised_once_the_names_are_synced(
    docs: Index, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "SETTLE_RETRY_S", 0.001)
    await docs.write(upserts(0, 3))
    sync = FsDirectory.sync
    n_calls = 0

    def run_out_of_files(directory: FsDirectory) -> None:
        nonlocal n_calls
        n_calls += is_of_shard(directory)
        if is_of_shard(directory) and n_calls in (2, 3):  # the segment's name is synced before
            assert logs.sources["docs"].hints == {}
            raise ExhaustedError("too many open files")
        sync(directory)

    monkeypatch.setattr(FsDirectory, "sync", run_out_of_files)
    await docs.flush()
    assert n_calls == 4
    assert logs.sources["docs"].hints == {0: 3}


async def test_an_edit_whose_sync_failed_is_not_promised(
    docs: Index, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await docs.write(upserts(0, 3))
    sync = FsDirectory.sync
    n_calls = 0

    def fail_at_the_manifest(directory: FsDirectory) -> None:
        nonlocal n_calls
        n_calls += is_of_shard(directory)
        if is_of_shard(directory) and n_calls == 2:
            raise StorageError("input/output error")
        sync(directory)

    monkeypatch.setattr(FsDirectory, "sync", fail_at_the_manifest)
    with pytest.raises(UnsettledError):
        await docs.flush()
    assert docs.shards[0].state is ShardState.FAILED
    assert logs.sources["docs"].hints == {}
    assert docs.stats().n_docs == 3


async def test_a_flush_that_fails_twice_stops_the_shard_and_keeps_serving(
    docs: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await docs.write(upserts(0, 3))
    names = fail(monkeypatch, FlushJob)
    with pytest.raises(StorageError, match="no luck"):
        await docs.flush()
    assert len(set(names)) == len(names) == 2
    assert docs.shards[0].state is ShardState.FAILED
    assert not docs.is_ready
    assert await docs.get("k1") is not None
    assert docs.stats().n_docs == 3


async def test_what_a_failed_flush_held_comes_back_from_the_log(
    open_node: OpenNode, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = open_node()
    await node.start()
    index = await node.create_index("docs")
    await index.write(upserts(0, 3))
    with monkeypatch.context() as broken:
        fail(broken, FlushJob)
        await node.stop()
    assert logs.sources["docs"].hints == {}
    again = open_node()
    await again.start()
    await again.indexes["docs"].wait_token("0-3", 5)
    assert again.indexes["docs"].stats().n_docs == 3
    await again.stop()


async def test_a_failed_merge_harms_nothing(docs: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    await docs.write(upserts(0, 3))
    await docs.flush()
    await docs.write(upserts(3, 3))
    await docs.flush()
    with monkeypatch.context() as broken:
        fail(broken, MergeJob)
        with pytest.raises(StorageError, match="no luck"):
            await docs.force_merge()
    assert docs.shards[0].state is ShardState.SERVING
    await docs.force_merge()
    assert docs.stats().n_docs == 6


async def test_fields_are_on_disk_before_any_segment_uses_them(
    docs: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: list[str] = []
    run = FlushJob.write

    def run_and_look(job: FlushJob, pace: Pace) -> None:
        on_disk.append(index_json(tmp_path, "docs").read_text())
        run(job, pace)

    monkeypatch.setattr(FlushJob, "write", run_and_look)
    await docs.write([WriteOp(Op.UPSERT, "a", b'{"colour":"blue"}')])
    await docs.flush()
    assert "colour" in on_disk[0]


async def test_a_flush_that_finds_another_one_under_way_waits_for_it(docs: Index) -> None:
    await docs.write(upserts(0, 100))
    await asyncio.gather(docs.flush(), docs.flush())
    assert docs.stats().shards[0].durable_offset == 100


async def test_nothing_to_flush_is_no_work(docs: Index) -> None:
    await docs.flush()
    assert docs.stats().shards[0].n_flushes == 0


async def test_documents_go_on_being_applied_while_a_flush_runs(
    docs: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()
    run = FlushJob.write

    def wait_and_run(job: FlushJob, pace: Pace) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(written.wait(), loop).result(5)
        run(job, pace)

    written = asyncio.Event()
    monkeypatch.setattr(FlushJob, "write", wait_and_run)
    await docs.write(upserts(0, 10))
    flushing = asyncio.ensure_future(docs.flush())
    await begun.wait()
    results = await docs.write(upserts(5, 10))
    written.set()
    await flushing
    assert [result.status for result in results] == [200] * 5 + [201] * 5
    assert docs.stats().n_docs == 15


async def test_closing_a_partition_goes_on_when_the_caller_gives_up(
    docs: Index, node: Node
) -> None:
    await docs.write(upserts(0, 5))
    closing = asyncio.ensure_future(docs.close_partition(0, True))
    while docs.shards[0].state is ShardState.SERVING:  # noqa: ASYNC110
        await asyncio.sleep(0)
    closing.cancel()
    assert await docs.open_partition(0) == 5
    assert docs.stats().shards[0].durable_offset == 5


async def test_a_close_that_comes_too_late_does_not_close_the_next_owner(docs: Index) -> None:
    closing = asyncio.ensure_future(docs.close_partition(0, True))
    await asyncio.sleep(0)
    await docs.open_partition(0)
    await closing
    assert docs.shards[0].state is ShardState.SERVING


async def test_a_closed_shard_refuses_who_still_has_it(docs: Index) -> None:
    shard = docs.shards[0]
    await docs.close_partition(0, True)
    with pytest.raises(StorageError, match="closed"):
        await shard.watermark.wait_for_offset(0)
    with pytest.raises(StorageError, match="not open"):
        _ = shard.engine


async def test_applying_waits_for_flushes_that_are_too_far_behind(open_node: OpenNode) -> None:
    options = PipelineOptions(max_batch_docs=50, max_stall_memtables=1)
    node = open_node(options, IndexOptions(memtable_bytes=100_000))
    await node.start()
    index = await node.create_index("docs")
    results = await index.write(upserts(0, 3_000))
    assert {result.status for result in results} == {201}
    assert index.stats().shards[0].n_flushes > 1
    await node.stop()


async def test_a_flush_goes_on_when_the_caller_gives_up(docs: Index) -> None:
    await docs.write(upserts(0, 10))
    flushing = asyncio.ensure_future(docs.flush())
    while not docs.shards[0].engine.has_job:  # noqa: ASYNC110
        await asyncio.sleep(0)
    flushing.cancel()
    await docs.flush()
    await docs.write(upserts(10, 10))
    await docs.flush()
    assert docs.stats().shards[0].durable_offset == 20


async def test_after_a_failed_flush_no_other_moves_the_checkpoint(
    docs: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await docs.write(upserts(0, 3))
    with monkeypatch.context() as broken:
        fail(broken, FlushJob)
        answers = await asyncio.gather(docs.flush(), docs.flush(), return_exceptions=True)
    assert all(isinstance(answer, Exception) for answer in answers)
    with pytest.raises(StorageError, match="no luck"):
        await docs.flush()
    assert docs.stats().shards[0].durable_offset < 3
    assert docs.stats().n_docs == 3


async def test_a_merge_that_waited_while_its_shard_was_closed_writes_nothing(docs: Index) -> None:
    await docs.write(upserts(0, 3))
    await docs.flush()
    await docs.write(upserts(3, 3))
    await docs.flush()
    shard = docs.shards[0]
    generation = shard.engine.manifest.generation
    async with shard.maintenance_lock:
        closing = asyncio.ensure_future(docs.close_partition(0, False))
        await asyncio.sleep(0.01)
        merging = asyncio.ensure_future(docs.force_merge())
        await asyncio.sleep(0.01)
    await closing
    with pytest.raises(StorageError, match="not open"):
        await merging
    stored = load_manifest(FsDirectory(shard.path))
    assert stored is not None
    assert stored.generation == generation


async def test_a_check_without_open_files_is_made_later_and_finds_no_damage(
    docs: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_calls = 0

    def run_out_of_files(engine: Engine, pace: Pace) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 1:
            raise ExhaustedError("too many open files")

    monkeypatch.setattr(Engine, "check", run_out_of_files)
    shard = docs.shards[0]
    docs._maintenance.check(shard)
    async with asyncio.timeout(10):
        while n_calls < 2:
            docs.tick()
            await asyncio.sleep(0.001)
    assert shard.state is ShardState.SERVING
