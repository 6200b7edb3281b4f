"""A node that writes without end and prints each key that was acknowledged; made to be killed.

Usage: python crash_child.py DATA FIRST
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from index.document import Op
from index.options import IndexOptions
from pipeline.node import Node, PipelineOptions, WriteOp
from tests.pipeline.embedded import open_feed

BULK = 20


async def write_without_end(data: Path, first: int) -> None:
    options = PipelineOptions(flush_age_s=0.5)
    # Small, so that flushes and merges are always under way when the end comes.
    index_options = IndexOptions(memtable_docs=100, merge_factor=2)
    node = Node(data, options, index_options, open_feed=open_feed)
    await node.start()
    index = await node.get_or_create("docs", {"settings": {"number_of_shards": 2}})
    number = first
    while True:
        ops = [WriteOp(Op.UPSERT, f"k{n}", b'{"n":%d}' % n) for n in range(number, number + BULK)]
        results = await index.write(ops)
        assert all(result.error is None for result in results), results
        number += BULK
        print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(write_without_end(Path(sys.argv[1]), int(sys.argv[2])))
