"""Where searches run: the node's query pool, which never makes the event loop wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.node import Node

T = TypeVar("T")


async def in_query_pool(node: Node, work: Callable[[], T]) -> T:
    """Run something short that only reads; many searches make one wait for another."""
    return await node._threads.query(work)
