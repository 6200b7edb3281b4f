"""Partitions that cannot be read on: told, and what is there stays searchable and goes to disk."""

from __future__ import annotations

import asyncio

import pytest

from consumers.source import DataGapError, TruncatedError
from index.errors import InvalidRequestError, StorageError
from pipeline.dead_letters import bury
from pipeline.events import NewRecord
from pipeline.index import Index
from pipeline.maintenance import Maintenance
from pipeline.node import Node
from pipeline.shard import ShardState
from tests.pipeline.conftest import OpenNode
from tests.pipeline.logs import Logs, MemoryLog

GAP = DataGapError("docs", 0, 2, 5)


async def test_a_halted_shard_applies_and_flushes_what_it_has(docs: Index, log: MemoryLog) -> None:
    log.put("a", '{"n": 1}')
    log.put("b", '{"n": 2}')
    await docs.wait_token("0-2", 5)
    await docs.fail_partition(0, GAP)
    await docs.refresh()
    await docs.flush()
    shard = docs.shards[0]
    assert shard.state is ShardState.SERVING
    assert shard.engine.durable_offset == 2
    assert await docs.get("b") is not None


async def test_a_halted_shard_is_told_with_its_reason(docs: Index, node: Node) -> None:
    assert docs.problems() == []
    await docs.fail_partition(0, GAP)
    assert not docs.is_ready
    assert docs.problems() == [f"docs/0: {GAP}"]
    text = node.telemetry.exposition().decode()
    (line,) = [line for line in text.splitlines() if line.startswith("tailrace_halted_partition{")]
    assert 'reason="DataGapError"' in line
    assert line.endswith(" 1.0")


async def test_who_waits_for_what_will_not_come_is_told(docs: Index, log: MemoryLog) -> None:
    log.put("a", '{"n": 1}')
    await docs.wait_token("0-1", 5)
    waiting = asyncio.create_task(docs.wait_token("0-9", 5))
    await asyncio.sleep(0)
    await docs.fail_partition(0, TruncatedError("docs", 0, 9, 1))
    with pytest.raises(StorageError, match="halted"):
        await waiting
    await docs.wait_token("0-1", 5)


async def test_a_skipped_gap_is_remembered_for_good(open_node: OpenNode, logs: Logs) -> None:
    for life in range(2):
        node = open_node()
        await node.start()
        index = await node.get_or_create("docs")
        await index.wait_token("0-0", 5)
        if life == 0:
            logs.logs["docs"].put("a", '{"n": 1}')
            await index.wait_token("0-1", 5)
            await index.skip_gap(0, 7)
            await index.refresh()
            await index.flush()
        (gap,) = index.shards[0].engine.gaps
        assert (gap.first, gap.end) == (1, 7)
        assert index.shards[0].engine.durable_offset == 7
        text = node.telemetry.exposition().decode()
        assert 'tailrace_data_gap_offsets{index="docs",shard="0"} 6.0' in text
        logs.logs["docs"].partitions[0] += logs.logs["docs"].partitions[0][:1] * 6
        await node.stop()


async def test_the_topics_id_is_durable_with_the_next_checkpoint(
    open_node: OpenNode, logs: Logs
) -> None:
    for _ in range(2):
        node = open_node()
        await node.start()
        index = await node.get_or_create("docs")
        await index.wait_token("0-0", 5)
        if not index.topic_id(0):
            index.note_topic_id(0, "c0ffee")
            logs.logs["docs"].put("a", '{"n": 1}')
            await index.wait_token("0-1", 5)
            await index.flush()
        assert index.topic_id(0) == "c0ffee"
        await node.stop()


async def test_a_full_memtable_waits_for_its_letters_without_spinning(
    open_node: OpenNode, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_flushes = 0
    flush = Maintenance._flush

    async def counted(self: Maintenance, *rest: object) -> bool:
        nonlocal n_flushes
        n_flushes += 1
        return await flush(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Maintenance, "_flush", counted)
    node = open_node()
    await node.start()
    index = await node.create_index("docs")
    letters = logs.dead_letters["docs"]
    letters.answer = asyncio.Event()
    logs.logs["docs"].put("bad", "not json")
    await index.wait_token("0-1", 5)
    monkeypatch.setattr("index.engine.Engine.is_memtable_full", lambda self: True)
    node.indexes["docs"]._maintenance.consider(index.shards[0])
    for _ in range(200):
        await asyncio.sleep(0)
    assert n_flushes == 1
    letters.answer.set()
    await index.flush()
    await node.stop()


async def test_letters_that_are_there_are_not_written_again(docs: Index, logs: Logs) -> None:
    class Picky(MemoryLog):
        n_refusals = 0

        async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
            if len(records) > 1:
                raise InvalidRequestError("too much at once")
            self.n_refusals += 1
            if self.n_refusals == 2:
                raise OSError("away")
            return await super().append(records)

    log = Picky("docs.dlq")
    letters = [NewRecord(b"%d" % n, b"bad") for n in range(3)]
    with pytest.raises(OSError, match="away"):
        await bury(log, letters)
    assert [letter.key for letter in letters] == [b"1", b"2"]
    await bury(log, letters)
    assert letters == []
    assert [record.key for record in log.partitions[0]] == [b"0", b"1", b"2"]
