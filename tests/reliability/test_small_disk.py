"""A real file system that is full, and a process that may open no more files."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from index.document import Op
from index.errors import ExhaustedError, TailraceError
from index.options import IndexOptions
from pipeline import maintenance
from pipeline import node as node_module
from pipeline.disk import DiskFullError
from pipeline.node import Index, Node, PipelineOptions, WriteOp
from pipeline.shard import ShardState
from tests.pipeline.embedded import open_feed

PATIENCE_S = 60
MANY = 200_000
NO_MARKS = {"disk_merge_share": 2.0, "disk_pause_share": 2.0, "disk_read_only_share": 2.0}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no file system can be mounted: {error}")
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def enlarge(path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(path)], check=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "TICK_S", 0.02)
    monkeypatch.setattr(maintenance, "FLUSH_RETRY_S", 0.02)
    monkeypatch.setattr(maintenance, "LONGEST_RETRY_S", 0.2)


def node_on(path: Path, **options: float) -> Node:
    pipeline = PipelineOptions(
        flush_age_s=0.5,
        disk_reserve_bytes=64 << 10,
        slow_segments=1_000,  # merges stop, and are not waited for
        max_segments=2_000,
        write_timeout_s=0.5,
        **options,  # type: ignore[arg-type]
    )
    return Node(path, pipeline, IndexOptions(memtable_docs=300), open_feed=open_feed)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def documents(first: int) -> list[WriteOp]:
    # Nothing that compresses well.
    texts = [os.urandom(500).hex() for _ in range(20)]
    return [
        WriteOp(Op.UPSERT, f"k{first + n}", b'{"text":"%s"}' % text.encode())
        for n, text in enumerate(texts)
    ]


async def fill(index: Index, node: Node) -> tuple[int, TailraceError]:
    """Write until a write is refused; return how many documents were taken, and why no more."""
    n_taken = 0
    async with asyncio.timeout(PATIENCE_S):
        while n_taken < MANY:
            try:
                results = await index.write(documents(n_taken))
            except TailraceError as error:
                return n_taken, error
            assert {result.status for result in results} <= {200, 201}
            n_taken += len(results)
            node.disk.poll()  # not up to a second later: it fills up in no time
    raise AssertionError("the disk does not become full")


@pytest.mark.parametrize(
    ("options", "refusals"),
    [
        # A flush may take the rest of the room before anybody looks.
        ({}, (DiskFullError, ExhaustedError)),
        (NO_MARKS, (ExhaustedError,)),
    ],
)
async def test_a_full_disk_refuses_writes_and_all_goes_on_when_there_is_room(
    small_disk: Path, options: dict[str, float], refusals: tuple[type[TailraceError], ...]
) -> None:
    node = node_on(small_disk, **options)
    await node.start()
    index = await node.create_index("docs")
    n_taken, error = await fill(index, node)
    assert isinstance(error, refusals)
    assert error.status == 429
    assert index.shards[0].state is ShardState.SERVING
    assert await index.get("k0") is not None
    enlarge(small_disk)
    await until(lambda: node.disk.state == 0)
    results = await index.write(documents(n_taken))
    assert {result.status for result in results} == {201}
    await until(lambda: index.stats().shards[0].durable_offset == n_taken + 20)
    assert index.stats().n_docs == n_taken + 20
    await node.stop()
    again = node_on(small_disk)
    await again.start()
    await again.indexes["docs"].wait_token(f"0-{n_taken + 20}", PATIENCE_S)
    assert again.indexes["docs"].stats().n_docs == n_taken + 20
    await again.stop()


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    node = node_on(tmp_path)
    await node.start()
    yield await node.create_index("docs")
    await node.stop()


async def test_without_open_files_a_flush_waits_and_its_shard_goes_on(index: Index) -> None:
    await index.write(documents(0))
    await index.flush()
    await index.write(documents(20))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(ExhaustedError, match="open files"):
            await index.flush()
        results = await index.write(documents(40))
        found = await index.get("k41")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {result.status for result in results} == {201}
    assert found is not None
    assert index.shards[0].state is ShardState.SERVING
    await until(lambda: index.stats().shards[0].durable_offset == 60)
