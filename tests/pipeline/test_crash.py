"""A node on the real embedded log, killed in the middle: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from index.document import Op
from index.query.ast import MatchAll
from pipeline.node import Index, Node, WriteOp
from tests.pipeline.embedded import open_feed

ROOT = Path(__file__).parents[2]
CRASHES = 3


@asynccontextmanager
async def running(data: Path) -> AsyncIterator[Node]:
    node = Node(data, open_feed=open_feed)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


async def write_and_die(data: Path, first: int, bulks: int) -> int:
    """Let a child write; kill it after some bulks. Return the first key not acknowledged."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.pipeline.crash_child", str(data), str(first)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert child.stdout is not None
    lines = [await child.stdout.readline() for _ in range(bulks)]
    child.kill()
    rest = await child.stdout.read()
    await child.wait()
    assert all(lines), "the child ended by itself"
    return int((rest.split() or [lines[-1]])[-1])


async def caught_up(index: Index) -> None:
    async with asyncio.timeout(20):
        while not index.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await index.refresh()


async def test_no_acknowledged_document_is_lost_by_kills(tmp_path: Path) -> None:
    n_acknowledged = 0
    for _ in range(CRASHES):
        n_acknowledged = await write_and_die(tmp_path, n_acknowledged, 25)
    async with running(tmp_path) as node:
        index = node.indexes["docs"]
        await caught_up(index)
        found = await index.get_many([f"k{n}" for n in range(n_acknowledged)])
        assert [orjson.loads(f.source)["n"] if f else None for f in found] == list(
            range(n_acknowledged)
        )
        assert await index.count(MatchAll()) >= n_acknowledged


async def test_a_clean_stop_needs_no_replay(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        index = await node.create_index("docs")
        await index.write([WriteOp(Op.UPSERT, f"k{n}", b"{}") for n in range(10)])
    async with running(tmp_path) as node:
        await caught_up(node.indexes["docs"])
        stats = node.indexes["docs"].stats().shards[0]
        assert (stats.n_docs, stats.memtable_docs, stats.durable_offset) == (10, 0, 10)


async def test_a_damaged_segment_is_made_anew_from_the_log(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        index = await node.create_index("docs")
        await index.write([WriteOp(Op.UPSERT, f"k{n}", b"{}") for n in range(10)])
    [segment] = (tmp_path / "indexes" / "docs" / "shards" / "0").glob("*.seg")
    damaged = bytearray(segment.read_bytes())
    damaged[-5] ^= 1
    segment.write_bytes(damaged)
    async with running(tmp_path) as node:
        index = node.indexes["docs"]
        await caught_up(index)
        assert await index.count(MatchAll()) == 10
        assert index.shards[0].engine.rebuild is not None
    async with running(tmp_path) as node:
        index = node.indexes["docs"]
        await caught_up(index)
        assert await index.count(MatchAll()) == 10
        assert index.shards[0].engine.rebuild is None
