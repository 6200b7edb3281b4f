from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from index.document import Op
from index.errors import (
    CorruptionError,
    IndexExistsError,
    IndexNotFoundError,
    MappingError,
    OverloadError,
    StorageError,
    TimedOutError,
)
from index.jobs import FlushJob
from index.options import IndexOptions
from index.query.ast import MatchAll
from index.query.parse_string import parse_query_string
from index.query.request import SearchRequest
from pipeline.applied import Visible
from pipeline.events import NewRecord
from pipeline.index_store import InvalidIndexNameError
from pipeline.node import Index, Node, PipelineOptions, WriteOp
from pipeline.shard import Shard
from tests.pipeline.conftest import OpenNode, shards_open
from tests.pipeline.logs import Logs, MemoryLog, index_json


async def keys(index: Index, text: str) -> list[str]:
    searcher, result = await index.search(SearchRequest(query=parse_query_string(text), size=100))
    return [searcher.key(hit).decode() for hit in result.hits]


async def test_a_record_of_the_log_is_found(docs: Index, log: MemoryLog) -> None:
    log.put("a", '{"title":"blue river"}')
    await docs.wait_token("docs:0:0", 5)
    assert await keys(docs, "river") == ["a"]


async def test_the_newest_document_of_a_key_is_found(docs: Index, log: MemoryLog) -> None:
    for title in ("blue", "green"):
        log.put("a", f'{{"title":"{title}"}}')
    await docs.wait_token("0-2", 5)
    assert await keys(docs, "blue") == []
    found = await docs.get("a")
    assert found is not None
    assert (found.source, found.offset, found.shard) == (b'{"title":"green"}', 1, 0)


async def test_a_null_value_deletes(docs: Index, log: MemoryLog) -> None:
    log.put("a", '{"title":"blue"}')
    log.put("a", None)
    await docs.wait_token("0-2", 5)
    assert await docs.get_many(["a", "b"]) == [None, None]


async def test_a_token_that_is_not_reached_times_out(docs: Index) -> None:
    with pytest.raises(TimedOutError, match=r"\[docs\] is at -, 0-9 was not reached in 0 s"):
        await docs.wait_token("0-9", 0)
    with pytest.raises(TimedOutError):
        await docs.wait_token("7-1", 0)


async def test_everything_survives_a_clean_stop(open_node: OpenNode, logs: Logs) -> None:
    node = open_node()
    await node.start()
    index = await node.create_index("docs", {"settings": {"number_of_shards": 3}})
    await index.write([WriteOp(Op.UPSERT, f"k{n}", b'{"n":1}') for n in range(50)])
    await node.stop()
    assert sum(logs.sources["docs"].hints.values()) == 50
    again = open_node()
    await again.start()
    await shards_open(again.indexes["docs"], 3)
    assert again.indexes["docs"].stats().n_docs == 50
    assert again.indexes["docs"].uuid == index.uuid
    await again.stop()


async def test_what_was_not_flushed_is_read_again_from_the_log(
    open_node: OpenNode, logs: Logs
) -> None:
    node = open_node()
    await node.start()
    index = await node.create_index("docs")
    await index.write([WriteOp(Op.UPSERT, "a", b'{"n":1}')])
    await index.flush()
    await index.write([WriteOp(Op.UPSERT, "b", b'{"n":2}')])
    await index.stop(flush=False)
    node.indexes.clear()
    await node.stop()
    again = open_node()
    await again.start()
    await again.indexes["docs"].wait_token("0-2", 5)
    assert again.indexes["docs"].stats().n_docs == 2
    await again.stop()


async def test_fields_found_in_documents_are_on_disk_before_their_segments(
    docs: Index, log: MemoryLog, tmp_path: Path
) -> None:
    log.put("a", '{"colour":"blue"}')
    await docs.wait_token("0-1", 5)
    assert "colour" not in index_json(tmp_path, "docs").read_text()
    await docs.flush()
    assert "colour" in index_json(tmp_path, "docs").read_text()


async def test_a_put_mapping_is_durable(docs: Index, tmp_path: Path) -> None:
    await docs.put_mapping({"properties": {"n": {"type": "long"}}})
    assert '"long"' in index_json(tmp_path, "docs").read_text()
    with pytest.raises(MappingError):
        await docs.put_mapping({"properties": {"n": {"type": "text"}}})


async def test_a_full_memtable_is_flushed_and_merged_by_itself(
    open_node: OpenNode, logs: Logs
) -> None:
    node = open_node(None, IndexOptions(memtable_docs=20, merge_factor=2))
    await node.start()
    index = await node.create_index("docs")
    for first in range(0, 200, 20):
        await index.write(
            [WriteOp(Op.UPSERT, f"k{n}", b'{"t":"x"}') for n in range(first, first + 20)]
        )
        await asyncio.sleep(0.02)
    await index.flush()
    async with asyncio.timeout(10):
        while (stats := index.stats().shards[0]).n_merges == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        while logs.sources["docs"].hints != {0: 200}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert stats.n_docs == 200
    assert stats.n_flushes > 2
    await node.stop()


async def test_an_old_memtable_is_flushed(open_node: OpenNode) -> None:
    node = open_node(PipelineOptions(flush_age_s=0.0))
    await node.start()
    index = await node.create_index("docs")
    await index.write([WriteOp(Op.UPSERT, "a", b"{}")])
    index.tick()
    while index.shards[0].engine.durable_offset < 1:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await node.stop()


async def test_force_merge_leaves_one_segment(docs: Index) -> None:
    for n in range(3):
        await docs.write([WriteOp(Op.UPSERT, f"k{n}", b"{}")])
        await docs.flush()
    await docs.force_merge()
    assert [s.n_docs for s in docs.stats().shards[0].segments if s.n_bytes] == [3]


async def test_a_second_process_cannot_have_the_directory(node: Node, open_node: OpenNode) -> None:
    with pytest.raises(StorageError, match="in use by another process"):
        await open_node().start()


async def test_a_flush_that_outlives_the_stop_keeps_others_out(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It will still write a manifest: nobody may have opened the directory by then."""
    node = open_node(PipelineOptions(drain_s=0.05))
    await node.start()
    index = await node.create_index("docs")
    await index.write([WriteOp(Op.UPSERT, "a", b"{}")])
    may_end = threading.Event()
    monkeypatch.setattr(FlushJob, "write", lambda job, pace: may_end.wait(10))
    try:
        await node.stop()
        with pytest.raises(StorageError, match="in use by another process"):
            await open_node().start()
    finally:
        may_end.set()


async def test_a_damaged_index_is_named_at_the_start(open_node: OpenNode, tmp_path: Path) -> None:
    index_json(tmp_path, "docs").parent.mkdir(parents=True)
    index_json(tmp_path, "docs").write_text("{")
    with pytest.raises(CorruptionError, match=r"index\.json"):
        await open_node().start()
    index_json(tmp_path, "docs").unlink()
    node = open_node()
    await node.start()
    assert node.indexes == {}
    await node.stop()


async def test_an_index_can_be_made_once(node: Node) -> None:
    await node.create_index("docs")
    with pytest.raises(IndexExistsError):
        await node.create_index("docs")
    with pytest.raises(InvalidIndexNameError):
        await node.create_index("Docs")
    assert await node.get_or_create("docs") is node.indexes["docs"]


async def test_two_who_need_the_same_index_make_one(node: Node) -> None:
    first, second = await asyncio.gather(node.get_or_create("x"), node.get_or_create("x"))
    assert first is second


async def test_a_bad_mapping_makes_no_index(node: Node, tmp_path: Path) -> None:
    with pytest.raises(MappingError):
        await node.create_index("docs", {"mappings": {"properties": {"n": {"type": "int"}}}})
    assert not index_json(tmp_path, "docs").exists()


async def test_a_deleted_index_is_gone_and_can_be_made_again(
    node: Node, docs: Index, tmp_path: Path
) -> None:
    await docs.write([WriteOp(Op.UPSERT, "a", b"{}")])
    await node.delete_index("docs")
    assert list((tmp_path / "indexes").iterdir()) == []
    with pytest.raises(IndexNotFoundError):
        await node.delete_index("docs")
    await node.create_index("docs")


async def test_names_wildcards_and_exclusions_resolve(node: Node) -> None:
    for name in ("logs-1", "logs-2", "docs"):
        await node.create_index(name)

    def names(expression: str) -> list[str]:
        return [index.name for index in node.resolve(expression)]

    assert names("_all") == names("*") == names("") == ["docs", "logs-1", "logs-2"]
    assert names("logs-*,docs") == ["logs-1", "logs-2", "docs"]
    assert names("*,-logs-1") == ["docs", "logs-2"]
    assert names("none*") == []
    with pytest.raises(IndexNotFoundError):
        names("docs,none")


async def test_a_node_is_ready_when_it_has_caught_up(open_node: OpenNode, logs: Logs) -> None:
    node = open_node()
    assert not node.is_ready
    await node.start()
    index = await node.create_index("docs")
    assert index.is_ready
    assert node.is_ready
    await node.stop()


async def test_a_ready_index_shows_all_that_its_log_held(node: Node, logs: Logs) -> None:
    log = logs.logs["docs"] = MemoryLog("docs")
    for n in range(5_000):
        log.put(f"k{n}", "{}")
    index = await node.create_index("docs")
    async with asyncio.timeout(20):
        while not index.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert await index.count(MatchAll()) == 5_000


async def test_a_shard_that_moved_away_is_not_searched(docs: Index, log: MemoryLog) -> None:
    log.put("a", '{"t":"x"}')
    await docs.wait_token("0-1", 5)
    await docs.close_partition(0, True)
    assert await keys(docs, "x") == []
    await docs.deliver(0, [], 9)
    assert docs.backlog_bytes(0) == 0
    assert await docs.open_partition(0) == 1
    assert await keys(docs, "x") == ["a"]


async def test_all_shards_together_have_one_bound_of_what_waits(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = open_node(PipelineOptions(max_backlog_bytes=1_000, max_node_backlog_bytes=100))
    await node.start()
    names = ["a", "b", "c"]
    indexes = [await node.create_index(name) for name in names]
    waiting = {"a": 40, "b": 60, "c": 0}
    monkeypatch.setattr(Shard, "backlog_bytes", property(lambda shard: waiting[shard.index]))
    assert [index.backlog_bytes(0) for index in indexes] == [40, 60, 0]
    waiting["a"] = 41
    # Whose documents wait looks full to its source; whose do not goes on.
    assert [index.backlog_bytes(0) for index in indexes] == [1_001, 1_001, 0]
    await node.stop()


async def test_writes_of_all_indexes_share_one_bound(open_node: OpenNode) -> None:
    node = open_node(PipelineOptions(max_write_bytes=1_000))
    await node.start()
    index = await node.create_index("docs")
    with node.budgets.writes.held(900), pytest.raises(OverloadError, match="900 bytes of writes"):
        await index.write([WriteOp(Op.UPSERT, "k", b'{"t":"x"}')])
    [result] = await index.write([WriteOp(Op.UPSERT, "k", b'{"t":"x"}')])
    assert result.status == 201
    await node.stop()


async def test_a_source_that_fails_is_told_by_readiness(docs: Index, logs: Logs) -> None:
    await docs.fail_partition(0, StorageError("gone"))
    assert not docs.is_ready
    assert (await docs.get_many(["a"])) == [None]


async def test_a_record_that_no_index_can_take_ends_in_the_dead_letters(
    docs: Index, log: MemoryLog, logs: Logs
) -> None:
    log.add(NewRecord(b"a", b"not json"))
    log.put("b", '{"t":"x"}')
    await docs.wait_token("0-2", 5)
    await docs.flush()
    assert [r.value for r in logs.dead_letters["docs"].partitions[0]] == [b"not json"]
    assert await keys(docs, "x") == ["b"]


async def test_an_index_whose_feed_cannot_be_opened_leaves_nothing(
    open_node: OpenNode, logs: Logs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def no_feed(request: object) -> None:
        raise StorageError("no such broker")

    monkeypatch.setattr(logs, "open_feed", no_feed)
    node = open_node()
    await node.start()
    with pytest.raises(StorageError, match="no such broker"):
        await node.create_index("docs")
    assert list((tmp_path / "indexes").iterdir()) == []
    assert node.indexes == {}
    await node.stop()


async def test_metrics_tell_of_every_index_and_shard(docs: Index, node: Node) -> None:
    await docs.write([WriteOp(Op.UPSERT, "a", b"{}")])
    text = node.telemetry.exposition().decode()
    assert 'tailrace_docs{index="docs"} 1.0' in text
    assert 'tailrace_searchable_offset{index="docs",shard="0"} 1.0' in text
    assert "tailrace_ready 1.0" in text
    assert text.endswith("# EOF\n")


async def test_a_deleted_index_does_not_come_back_with_a_late_mapping(
    node: Node, tmp_path: Path
) -> None:
    index = await node.create_index("docs")
    await node.delete_index("docs")
    with pytest.raises(StorageError, match="closed"):
        await index.put_mapping({"properties": {"late": {"type": "long"}}})
    assert not index_json(tmp_path, "docs").parent.exists()


async def test_a_search_stands_shards_that_come_while_it_looks(docs: Index) -> None:
    class Moving:
        """A shard during whose look another one is opened, by the event loop's thread."""

        unsearchable = None

        @property
        def visible(self) -> Visible:
            shards.setdefault(2, shards[0])
            return Visible((), 0)

    shards = docs.shards
    shards[1] = Moving()  # type: ignore[assignment]
    try:
        assert await docs.count(MatchAll()) == 0
    finally:
        del shards[1], shards[2]


async def test_an_index_that_lost_its_index_json_keeps_the_node_from_starting(
    open_node: OpenNode, tmp_path: Path
) -> None:
    node = open_node()
    await node.start()
    index = await node.create_index("docs")
    await index.write([WriteOp(Op.UPSERT, "a", b'{"n":1}')])
    await node.stop()
    index_json(tmp_path, "docs").unlink()
    with pytest.raises(StorageError, match=r"docs has segments or a log but no index\.json: put"):
        await open_node().start()


async def test_an_empty_folder_without_index_json_is_passed_over(
    open_node: OpenNode, tmp_path: Path
) -> None:
    (tmp_path / "indexes" / "docs" / "shards" / "0").mkdir(parents=True)
    node = open_node()
    await node.start()
    assert node.indexes == {}
    await node.stop()
