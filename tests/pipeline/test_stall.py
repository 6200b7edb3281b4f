from __future__ import annotations

import asyncio
import logging

import pytest

from index.document import Op
from index.options import IndexOptions
from pipeline.applier import Applier
from pipeline.node import PipelineOptions, WriteOp
from pipeline.stall import LONGEST_DELAY_S, Stall, delay_s, stall_of
from tests.pipeline.conftest import OpenNode

OPTIONS = PipelineOptions(slow_segments=4, max_segments=8)


def test_documents_are_slowed_and_then_paused() -> None:
    stalls = [stall_of(n, OPTIONS) for n in range(10)]
    assert stalls == [Stall.NONE] * 4 + [Stall.SLOWED] * 4 + [Stall.PAUSED] * 2


def test_the_delay_rises_with_the_segments() -> None:
    delays = [delay_s(n, OPTIONS) for n in range(9)]
    assert delays[:4] == [0.0] * 4
    assert delays[4:8] == sorted(delays[4:8])
    assert 0.0 < delays[4] < delays[7] == LONGEST_DELAY_S


async def test_ingestion_waits_for_merges_and_goes_on_when_they_are_done(
    open_node: OpenNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    node = open_node(PipelineOptions(slow_segments=2, max_segments=3), IndexOptions(merge_factor=2))
    await node.start()
    index = await node.create_index("docs")
    writes = [[WriteOp(Op.UPSERT, f"{n}-{i}", b"{}") for i in range(9)] for n in range(4)]
    async with asyncio.timeout(20):
        with monkeypatch.context() as held:
            held.setattr(Applier, "plan_merge", lambda applier: None)
            for some in writes[:3]:
                await index.write(some)
                await index.flush()
            assert index.shards[0].stall is Stall.PAUSED
            writing = asyncio.ensure_future(index.write(writes[3]))
            await asyncio.sleep(0.05)
            assert index.stats().n_stalled == 1
            assert not writing.done()
        assert {result.status for result in await writing} == {201}
    stats = index.stats()
    assert stats.n_docs == 36
    assert stats.shards[0].n_merges > 0
    assert stats.write_amplification > 1.0
    messages = [record.getMessage() for record in caplog.records]
    assert "ingestion paused" in messages
    assert "ingestion goes on" in messages
    await node.stop()
