from __future__ import annotations

import asyncio
import zlib

import pytest

from index.document import Op, Outcome
from index.errors import (
    DocumentNotFoundError,
    InvalidRequestError,
    MappingError,
    OverloadError,
    ShardFailedError,
    StorageError,
    VersionConflictError,
)
from pipeline.feed import Feed
from pipeline.node import Index, Node, PipelineOptions, WriteOp, WriteResult
from tests.pipeline.conftest import OpenNode, shards_open
from tests.pipeline.logs import Logs, MemoryLog


def upsert(key: str | None, source: bytes = b'{"n":1}', **options: int) -> WriteOp:
    return WriteOp(Op.UPSERT, key, source, **options)


async def one(index: Index, op: WriteOp) -> WriteResult:
    [result] = await index.write([op])
    return result


async def test_a_new_document_is_created_and_at_once_searchable(docs: Index) -> None:
    result = await one(docs, upsert("a"))
    assert (result.status, result.outcome, result.key) == (201, Outcome.CREATED, "a")
    assert (result.partition, result.offset, result.version) == (0, 0, 0)
    assert await docs.get("a") is not None


async def test_the_token_of_a_write_covers_it(docs: Index) -> None:
    results = await docs.write([upsert("a"), upsert("b")])
    assert docs.write_token(results) == "0-2" == docs.token()


async def test_a_document_without_key_gets_one(docs: Index) -> None:
    first, second = await docs.write([upsert(None), upsert(None)])
    assert first.key != second.key
    assert len(first.key) == 20


async def test_a_second_write_updates(docs: Index) -> None:
    results = await docs.write([upsert("a"), upsert("a")])
    assert [(r.status, r.outcome) for r in results] == [
        (201, Outcome.CREATED),
        (200, Outcome.UPDATED),
    ]


async def test_create_of_what_exists_is_a_conflict(docs: Index) -> None:
    await one(docs, upsert("a"))
    result = await one(docs, WriteOp(Op.CREATE, "a", b"{}"))
    assert result.status == 409
    assert isinstance(result.error, VersionConflictError)
    assert "document already exists" in str(result.error)


async def test_an_older_version_is_a_conflict(docs: Index) -> None:
    await one(docs, upsert("a", version=7))
    result = await one(docs, upsert("a", version=6))
    assert (result.status, result.version) == (409, 7)


async def test_deletes_say_whether_there_was_something(docs: Index) -> None:
    await one(docs, upsert("a"))
    results = await docs.write([WriteOp(Op.DELETE, "a"), WriteOp(Op.DELETE, "a")])
    assert [r.status for r in results] == [200, 404]


async def test_updates_merge_or_say_what_is_missing(docs: Index) -> None:
    await one(docs, upsert("a", b'{"n":1,"m":1}'))
    merged, missing = await docs.write(
        [WriteOp(Op.UPDATE, "a", b'{"n":2}'), WriteOp(Op.UPDATE, "b", b'{"n":2}')]
    )
    found = await docs.get("a")
    assert found is not None
    assert (merged.status, found.source) == (200, b'{"n":2,"m":1}')
    assert isinstance(missing.error, DocumentNotFoundError)


async def test_an_update_may_index_what_is_missing(docs: Index) -> None:
    source = b'{"n":2}'
    same = WriteOp(Op.UPDATE, "a", source, upsert=source)
    other = WriteOp(Op.UPDATE, "b", source, upsert=b'{"n":9}')
    assert [r.status for r in await docs.write([same, other])] == [201, 201]
    found = [document.source for document in await docs.get_many(["a", "b"]) if document]
    assert found == [b'{"n":2}', b'{"n":9}']


async def test_what_cannot_be_indexed_never_gets_into_the_log(docs: Index, log: MemoryLog) -> None:
    await docs.put_mapping({"properties": {"n": {"type": "long"}}})
    results = await docs.write(
        [
            upsert("a", b"{"),
            upsert("b", b'{"n":"many"}'),
            upsert("x" * 513),
            upsert("\ud800"),
            upsert(""),
            WriteOp(Op.DELETE),
            upsert("good"),
        ]
    )
    assert [r.status for r in results] == [400] * 6 + [201]
    assert isinstance(results[1].error, MappingError)
    assert isinstance(results[2].error, InvalidRequestError)
    assert len(log.partitions[0]) == 1


async def test_many_ops_are_checked_as_each_alone(docs: Index, log: MemoryLog) -> None:
    bad = [b"{", b"[]", b'{"n":"x"}', b'{"n":1,"_id":2}', b'{"n":{"a":1}}', b"", b'{"n":1}}']
    await one(docs, upsert("first"))
    ops = [upsert(str(i), b'{"n":%d}' % i) for i in range(40)]
    for at, source in enumerate(bad):
        ops[5 * at] = upsert(str(at), source)
    alone = [str((await one(docs, op)).error) for op in ops]
    together = await docs.write(ops)
    assert [str(result.error) for result in together] == alone
    assert [result.status == 400 for result in together] == [
        i % 5 == 0 and i < 5 * len(bad) for i in range(40)
    ]


async def test_results_come_in_the_order_of_the_ops(docs: Index) -> None:
    ops = [upsert(f"k{n}", b"{" if n % 3 == 0 else b"{}") for n in range(100)]
    results = await docs.write(ops)
    assert [r.key for r in results] == [op.key for op in ops]
    assert [r.status for r in results] == [400 if n % 3 == 0 else 201 for n in range(100)]


async def test_outcomes_are_known_even_if_the_log_answers_after_they_are_applied(
    docs: Index, log: MemoryLog
) -> None:
    log.answer = asyncio.Event()
    writing = asyncio.ensure_future(docs.write([upsert("a")]))
    await docs.wait_token("0-1", 5)
    log.answer.set()
    assert (await writing)[0].outcome is Outcome.CREATED


async def test_a_log_that_fails_fails_the_write(docs: Index, log: MemoryLog) -> None:
    log.failures = [StorageError("disk full")]
    with pytest.raises(StorageError):
        await docs.write([upsert("a")])
    assert (await one(docs, upsert("a"))).status == 201


async def test_writes_to_several_shards_are_told_apart(node: Node) -> None:
    index = await node.create_index("many", {"settings": {"number_of_shards": 4}})
    results = await index.write([upsert(f"k{n}") for n in range(40)])
    assert {r.status for r in results} == {201}
    assert len({r.partition for r in results}) == 4
    assert index.write_token(results) == index.token()


async def test_a_shard_that_is_elsewhere_leaves_the_outcome_unknown(
    docs: Index, log: MemoryLog
) -> None:
    await docs.close_partition(0, True)
    log.grown.clear()
    result = await one(docs, upsert("a"))
    assert (result.status, result.outcome, result.offset) == (200, None, 0)


async def test_an_index_without_log_takes_no_writes(node: Node) -> None:
    index = await node.create_index("ro", feed=Feed(None, MemoryLog(), None))
    with pytest.raises(InvalidRequestError, match="takes no writes"):
        await index.write([upsert("a")])


async def test_too_many_bytes_under_way_are_refused(open_node: OpenNode) -> None:
    node = open_node(PipelineOptions(max_write_bytes=1_000))
    await node.start()
    index = await node.create_index("docs")
    log = index.log
    assert isinstance(log, MemoryLog)
    log.answer = asyncio.Event()
    first = asyncio.ensure_future(index.write([upsert("a", b'{"t":"%s"}' % (b"x" * 2_000))]))
    await asyncio.sleep(0)
    with pytest.raises(OverloadError):
        await index.write([upsert("b")])
    log.answer.set()
    await first
    await node.stop()


async def test_a_shard_that_fails_keeps_no_outcome_of_another_back(node: Node, logs: Logs) -> None:
    index = await node.create_index("many", {"settings": {"number_of_shards": 2}})
    await shards_open(index, 2)
    ops = [upsert(f"k{n}") for n in range(20)]
    ops.sort(key=lambda op: zlib.crc32((op.key or "").encode()) % 2 == 0)
    log = logs.logs["many"]
    log.answer = asyncio.Event()
    writing = asyncio.ensure_future(index.write(ops))
    while not log.partitions[1]:  # noqa: ASYNC110
        await asyncio.sleep(0)
    index.shards[1].fail(StorageError("disk full"))
    log.answer.set()
    results = await writing
    assert results[0].partition == 1
    assert {result.outcome for result in results if result.partition == 1} == {None}
    assert {result.outcome for result in results if result.partition == 0} == {Outcome.CREATED}


async def test_what_goes_to_a_shard_that_has_failed_is_refused_and_not_logged(
    node: Node, logs: Logs
) -> None:
    index = await node.create_index("many", {"settings": {"number_of_shards": 2}})
    await shards_open(index, 2)
    index.shards[1].fail(StorageError("input/output error"))
    results = await index.write([upsert(f"k{n}") for n in range(20)])
    assert {result.status for result in results} == {201, 503}
    assert {type(result.error) for result in results if result.status == 503} == {ShardFailedError}
    assert "input/output error" in str(next(r.error for r in results if r.status == 503))
    assert logs.logs["many"].partitions[1] == []
    assert {result.partition for result in results if result.status == 201} == {0}
