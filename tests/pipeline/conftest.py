from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from index.options import IndexOptions
from pipeline.node import Index, Node, PipelineOptions
from tests.pipeline.logs import Logs, MemoryLog

OpenNode = Callable[..., Node]


@pytest.fixture
def logs() -> Logs:
    return Logs()


@pytest.fixture
def open_node(tmp_path: Path, logs: Logs) -> OpenNode:
    def make(
        options: PipelineOptions | None = None, index_options: IndexOptions | None = None
    ) -> Node:
        return Node(tmp_path, options, index_options, open_feed=logs.open_feed)

    return make


@pytest.fixture
async def node(open_node: OpenNode) -> AsyncIterator[Node]:
    node = open_node()
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def docs(node: Node) -> Index:
    """An index that reads `log`."""
    return await node.create_index("docs")


@pytest.fixture
def log(docs: Index, logs: Logs) -> MemoryLog:
    return logs.logs["docs"]


async def shards_open(index: Index, count: int) -> None:
    for number in range(count):
        await index.wait_token(f"{number}-0", 5)
