"""A damaged shard begins anew where its log still holds all of it; else it refuses, alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from index.check import verify
from index.directory import FsDirectory
from index.document import Op
from index.errors import ShardFailedError
from index.options import IndexOptions
from index.query.ast import MatchAll
from pipeline.node import Index, Node, WriteOp
from pipeline.shard import ShardState
from tests.pipeline.conftest import OpenNode
from tests.pipeline.logs import Logs

N_DOCS = 40


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def filled(open_node: OpenNode, n_shards: int = 1) -> None:
    """Leave an index with two segments and a delete in each shard."""
    node = open_node()
    await node.start()
    index = await node.create_index("docs", {"settings": {"number_of_shards": n_shards}})
    half = N_DOCS // 2
    await index.write([WriteOp(Op.UPSERT, f"k{n}", b'{"n":%d}' % n) for n in range(half)])
    await index.flush()
    await index.write([WriteOp(Op.UPSERT, f"k{n}", b'{"n":%d}' % n) for n in range(half, N_DOCS)])
    await index.write([WriteOp(Op.DELETE, f"k{n}") for n in range(0, N_DOCS, 10)])
    await index.flush()
    await node.stop()


def shard_path(data: Path, number: int = 0) -> Path:
    return data / "indexes" / "docs" / "shards" / str(number)


def damage(data: Path, number: int = 0, pattern: str = "*.seg") -> Path:
    """Flip a byte in the middle of the newest file of a shard that fits."""
    file = sorted(shard_path(data, number).glob(pattern))[-1]
    bytes_ = bytearray(file.read_bytes())
    bytes_[len(bytes_) // 2] ^= 0x10
    file.write_bytes(bytes_)
    return file


async def check_all(index: Index) -> None:
    found = await index.get_many([f"k{n}" for n in range(N_DOCS)])
    assert [f.source if f else None for f in found] == [
        b'{"n":%d}' % n if n % 10 else None for n in range(N_DOCS)
    ]
    assert await index.count(MatchAll()) == N_DOCS - N_DOCS // 10


def is_rebuilt(index: Index) -> bool:
    shard = index.shards.get(0)
    return shard is not None and shard.is_open and shard.engine.rebuild is not None


async def ready(node: Node) -> Index:
    await node.start()
    index = node.indexes["docs"]
    await until(lambda: index.is_ready)
    return index


@pytest.mark.parametrize("pattern", ["*.seg", "*"])
async def test_a_damaged_shard_is_rebuilt_from_the_log(
    open_node: OpenNode, tmp_path: Path, pattern: str
) -> None:
    await filled(open_node)
    for file in shard_path(tmp_path).glob(pattern):
        damage(tmp_path, pattern=file.name)
    node = open_node()
    index = await ready(node)
    await check_all(index)
    assert index.failure is None
    assert [*shard_path(tmp_path).glob("*.bad")], "set aside, as long as it is not durable"
    await index.flush()
    assert not [*shard_path(tmp_path).glob("*.bad")]
    await node.stop()
    assert verify(FsDirectory(shard_path(tmp_path))).is_sound
    again = open_node()
    await check_all(await ready(again))
    await again.stop()


async def test_a_missing_segment_is_damage_too(open_node: OpenNode, tmp_path: Path) -> None:
    await filled(open_node)
    damage(tmp_path).unlink()
    node = open_node()
    await check_all(await ready(node))
    await node.stop()


async def test_while_it_is_rebuilt_a_shard_refuses_what_it_cannot_know(
    open_node: OpenNode, logs: Logs, tmp_path: Path
) -> None:
    await filled(open_node)
    damage(tmp_path)
    logs.most_records = N_DOCS // 2
    node = open_node()
    await node.start()
    index = node.indexes["docs"]
    await until(lambda: 0 in index.shards)
    await until(lambda: index.shards[0].watermark.next_offset == N_DOCS // 2)
    assert not index.is_ready
    (reason,) = (str(error) for error in index.failures().values())
    assert "is being rebuilt from the log, 20 of 44 offsets are done" in reason
    assert reason in index.problems()[0]
    assert await index.count(MatchAll()) == 0
    with pytest.raises(ShardFailedError):
        await index.get("k1")
    (refused,) = await index.write([WriteOp(Op.UPSERT, "new", b"{}")])
    assert (refused.status, type(refused.error)) == (503, ShardFailedError)
    source = logs.sources["docs"]
    source.most_records = None
    source.log.grown.set()
    await until(lambda: index.is_ready)
    await check_all(index)
    assert (await index.write([WriteOp(Op.DELETE, "k1")]))[0].status == 200
    await node.stop()


async def test_a_rebuild_that_was_cut_short_goes_on(
    open_node: OpenNode, logs: Logs, tmp_path: Path
) -> None:
    await filled(open_node)
    damaged = damage(tmp_path)
    logs.most_records = N_DOCS // 2
    node = open_node()
    await node.start()
    index = node.indexes["docs"]
    await until(lambda: 0 in index.shards)
    await until(lambda: index.shards[0].watermark.next_offset == N_DOCS // 2)
    await index.flush()
    await node.stop()
    assert shard_path(tmp_path).joinpath(f"{damaged.name}.bad").exists()
    node = open_node()
    await node.start()
    index = node.indexes["docs"]
    await until(lambda: 0 in index.shards)
    assert "is being rebuilt" in str(index.failures()[0])
    await node.stop()
    logs.most_records = None
    node = open_node()
    index = await ready(node)
    await check_all(index)
    await index.flush()
    assert not [*shard_path(tmp_path).glob("*.bad")]
    await node.stop()


async def test_a_shard_whose_log_begins_too_late_fails_alone(
    open_node: OpenNode, logs: Logs, tmp_path: Path
) -> None:
    await filled(open_node, n_shards=2)
    damaged = damage(tmp_path, 1)
    logs.logs["docs"].start = 1
    node = open_node()
    await node.start()
    other = await node.create_index("other")
    index = node.indexes["docs"]
    await until(lambda: len(index.shards) == 2)
    await until(lambda: index.shards[1].state is ShardState.FAILED)
    reason = str(index.failures()[1])
    assert damaged.name in reason
    assert "and the log holds [1, " in reason
    assert "so it cannot be rebuilt: restore" in reason
    assert "from a backup" in reason
    assert not index.is_ready
    assert damaged.exists(), "nothing is set aside"
    # the other shard goes on, and so does the other index
    log = logs.logs["docs"]
    n_here = n_refused = 0
    for n in range(N_DOCS):
        if log.partition_of(b"k%d" % n):
            with pytest.raises(ShardFailedError):
                await index.get(f"k{n}")
            (refused,) = await index.write([WriteOp(Op.UPSERT, f"k{n}", b"{}")])
            assert refused.status == 503
            n_refused += 1
        else:
            assert (await index.get(f"k{n}") is not None) == bool(n % 10)
            n_here += 1
    assert n_here
    assert n_refused
    assert (await other.write([WriteOp(Op.UPSERT, "a", b"{}")]))[0].status == 201
    await node.stop()
    assert damaged.exists()


async def test_a_shard_that_is_ahead_of_its_log_is_not_rebuilt(
    open_node: OpenNode, logs: Logs, tmp_path: Path
) -> None:
    await filled(open_node)
    damaged = damage(tmp_path)
    del logs.logs["docs"].partitions[0][-1]
    node = open_node()
    await node.start()
    index = node.indexes["docs"]
    await until(lambda: 0 in index.shards)
    await until(lambda: "cannot be rebuilt" in str(index.failures().get(0)))
    assert "covers offsets [0, 44) and the log holds [0, 43)" in str(index.failures()[0])
    assert damaged.exists()
    await node.stop()


@pytest.mark.parametrize("start", [0, 1])
async def test_damage_that_opening_does_not_see_is_found_soon_and_healed(
    open_node: OpenNode, logs: Logs, tmp_path: Path, start: int
) -> None:
    await filled(open_node)
    damage(tmp_path)
    logs.logs["docs"].start = start
    node = open_node(index_options=IndexOptions(check_on_open="tables"))
    await node.start()
    index = node.indexes["docs"]
    if start:
        await until(lambda: "cannot be rebuilt" in str(index.failures().get(0)))
        assert index.shards[0].state is ShardState.FAILED
    else:
        await until(lambda: index.is_ready and is_rebuilt(index))
        await check_all(index)
    await node.stop()
