"""Two nodes on one directory: its lock file was taken away while the first one still lives."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from index.directory import FsDirectory
from index.errors import FencedError, StorageError
from index.manifest import generation_of
from pipeline.node import Index, Node
from pipeline.node_lock import FILE_NAME, NodeLock
from pipeline.shard import ShardState
from tests.pipeline import embedded
from tests.pipeline.conftest import OpenNode
from tests.pipeline.logs import Logs, index_json
from tests.pipeline.test_maintenance import upserts


async def hand_over(open_node: OpenNode, tmp_path: Path) -> Node:
    """Start a second node where the first one is."""
    (tmp_path / FILE_NAME).unlink()
    second = open_node()
    await second.start()
    await second.indexes["docs"].wait_open()
    return second


def files(tmp_path: Path) -> dict[str, bytes]:
    shard = tmp_path / "indexes" / "docs" / "shards" / "0"
    return {path.name: path.read_bytes() for path in shard.iterdir()}


async def fenced(node: Node) -> FencedError:
    async with asyncio.timeout(10):
        return await node.wait_fenced()


async def test_the_first_node_finds_out_by_itself(
    docs: Index, node: Node, open_node: OpenNode, tmp_path: Path
) -> None:
    second = await hand_over(open_node, tmp_path)
    assert "taken over by another process" in str(await fenced(node))
    assert not node.is_ready
    await second.stop()


async def test_a_removed_lock_file_is_no_lock(docs: Index, node: Node, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).unlink()
    assert "may have another owner" in str(await fenced(node))


async def test_a_shard_refuses_the_first_node_before_it_has_looked(
    docs: Index, node: Node, open_node: OpenNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NodeLock, "require", lambda self: None)
    await docs.write(upserts(0, 3))
    second = await hand_over(open_node, tmp_path)
    await second.indexes["docs"].wait_token("0-3", 5)
    await second.indexes["docs"].flush()
    before = files(tmp_path)
    with pytest.raises(StorageError, match="has another owner"):
        await docs.flush()
    assert docs.shards[0].state is ShardState.FAILED
    assert isinstance(await fenced(node), FencedError)
    await node.stop()
    assert files(tmp_path).items() >= before.items()
    await second.indexes["docs"].write(upserts(3, 3))
    await second.indexes["docs"].flush()
    assert second.indexes["docs"].stats().n_docs == 6
    assert second.fenced is None
    await second.stop()


async def test_a_fenced_node_flushes_nothing_when_it_stops(
    docs: Index, node: Node, open_node: OpenNode, tmp_path: Path
) -> None:
    await docs.write(upserts(0, 3))
    second = await hand_over(open_node, tmp_path)
    await fenced(node)
    before = files(tmp_path)
    await node.stop()
    assert files(tmp_path) == before
    await second.stop()


async def test_a_fenced_node_opens_no_shard_again(
    docs: Index, node: Node, open_node: OpenNode, tmp_path: Path
) -> None:
    """To open one would take it from its owner."""
    second = await hand_over(open_node, tmp_path)
    epoch = second.indexes["docs"].shards[0].engine.manifest.epoch
    await docs.close_partition(0, flush=False)
    with pytest.raises(FencedError):
        await docs.open_partition(0)
    newest = max(filter(None, map(generation_of, files(tmp_path))))
    assert newest == second.indexes["docs"].shards[0].engine.manifest.generation == epoch
    await second.stop()


async def test_a_node_that_is_stopped_while_it_opens_a_shard_takes_it_from_nobody(
    docs: Index, open_node: OpenNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked at its lock, and lists what the next owner made."""
    await docs.close_partition(0, flush=False)
    names = FsDirectory.list

    def list_late(self: FsDirectory) -> list[str]:
        (tmp_path / FILE_NAME).unlink(missing_ok=True)
        return names(self)

    before = files(tmp_path)
    monkeypatch.setattr(FsDirectory, "list", list_late)
    with pytest.raises(FencedError):
        await docs.open_partition(0)
    assert files(tmp_path) == before


async def test_a_fenced_node_changes_no_mapping_and_deletes_no_index(
    docs: Index, node: Node, open_node: OpenNode, tmp_path: Path
) -> None:
    second = await hand_over(open_node, tmp_path)
    before = index_json(tmp_path, "docs").read_bytes()
    with pytest.raises(FencedError):
        await docs.put_mapping({"properties": {"late": {"type": "long"}}})
    with pytest.raises(FencedError):
        await node.delete_index("docs")
    assert index_json(tmp_path, "docs").read_bytes() == before
    await second.stop()


async def test_a_node_that_is_stopped_before_the_rename_changes_no_mapping(
    docs: Index, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file = FsDirectory.write_file

    def write_and_lose(self: FsDirectory, name: str, chunks: Any) -> int:
        n_bytes = write_file(self, name, chunks)
        (tmp_path / FILE_NAME).unlink(missing_ok=True)
        return n_bytes

    monkeypatch.setattr(FsDirectory, "write_file", write_and_lose)
    before = index_json(tmp_path, "docs").read_bytes()
    with pytest.raises(FencedError):
        await docs.put_mapping({"properties": {"late": {"type": "long"}}})
    assert index_json(tmp_path, "docs").read_bytes() == before


async def test_an_embedded_log_lets_no_second_node_in(tmp_path: Path) -> None:
    first = Node(tmp_path, open_feed=embedded.open_feed)
    await first.start()
    index = await first.create_index("docs")
    (tmp_path / FILE_NAME).unlink()
    second = Node(tmp_path, open_feed=embedded.open_feed)
    with pytest.raises(StorageError, match=r"\.log is in use by this process"):
        await second.start()
    assert index.shards[0].engine.manifest.epoch == 1
    await first.stop()
    await second.start()
    await second.stop()


async def test_many_idle_shards_are_taken_over_with_one_file_each(
    open_node: OpenNode, logs: Logs, tmp_path: Path
) -> None:
    node = open_node()
    await node.start()
    await node.create_index("docs", {"settings": {"number_of_shards": 50}})
    await node.stop()
    again = open_node()
    await again.start()
    await again.indexes["docs"].wait_open()
    for number in range(50):
        folder = tmp_path / "indexes" / "docs" / "shards" / str(number)
        assert sorted(path.name for path in folder.iterdir()) == [
            "manifest-000000000001.json",
            "manifest-000000000002.json",
        ]
    await again.stop()
