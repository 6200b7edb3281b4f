from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.document import Op
from index.options import IndexOptions
from pipeline.disk import QUIET_S, RESERVE, Disk, DiskFullError, DiskState, next_state
from pipeline.node import Index, Node, PipelineOptions, WriteOp
from tests.index.storage_world import MemoryDirectory
from tests.pipeline.conftest import OpenNode
from tests.pipeline.logs import Logs

OPTIONS = PipelineOptions(disk_reserve_bytes=100, disk_headroom_bytes=1 << 40)
OPEN, NO_MERGES, PAUSED, READ_ONLY = DiskState


class Gauge(MemoryDirectory):
    """A disk of 1,000 bytes, of which others have taken some."""

    def __init__(self) -> None:
        super().__init__()
        self.capacity = 1_000
        self.n_taken = 0

    def free_bytes(self) -> int:
        return super().free_bytes() - self.n_taken


class Stand:
    def __init__(self, options: PipelineOptions = OPTIONS) -> None:
        self.gauge = Gauge()
        self.now = 100.0
        self.disk = Disk(
            Path(), options, open_directory=lambda path: self.gauge, clock=lambda: self.now
        )
        self.disk.start()

    def take(self, n_taken: int) -> DiskState:
        self.gauge.n_taken = n_taken - sum(map(len, self.gauge.files.values()))
        self.disk.poll()
        return self.disk.state


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.mark.parametrize(
    ("before", "used_share", "after"),
    [
        (OPEN, 0.8499, OPEN),
        (OPEN, 0.85, NO_MERGES),
        (OPEN, 0.90, PAUSED),
        (OPEN, 0.95, READ_ONLY),
        (READ_ONLY, 0.94, READ_ONLY),
        (READ_ONLY, 0.93, READ_ONLY),
        (READ_ONLY, 0.9299, PAUSED),
        (READ_ONLY, 0.88, PAUSED),
        (READ_ONLY, 0.8799, NO_MERGES),
        (PAUSED, 0.84, NO_MERGES),
        (PAUSED, 0.8299, OPEN),
        (NO_MERGES, 0.5, OPEN),
        (NO_MERGES, 0.97, READ_ONLY),
    ],
)
def test_a_state_is_entered_at_its_mark_and_left_below_it(
    before: DiskState, used_share: float, after: DiskState
) -> None:
    assert next_state(before, used_share, 1, OPTIONS) is after


@given(st.sampled_from(DiskState), st.floats(0, 1), st.floats(0, 1))
def test_more_used_never_allows_more(before: DiskState, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert next_state(before, low, 1, OPTIONS) <= next_state(before, high, 1, OPTIONS)


@given(st.sampled_from(DiskState), st.floats(0, 1))
def test_a_second_look_at_the_same_disk_changes_nothing(before: DiskState, used: float) -> None:
    after = next_state(before, used, 1, OPTIONS)
    assert next_state(after, used, 1, OPTIONS) is after


def test_a_large_disk_with_much_free_is_open_however_full() -> None:
    assert next_state(READ_ONLY, 0.99, 1 << 40, OPTIONS) is OPEN


def test_each_state_refuses_what_the_one_before_did_and_more(stand: Stand) -> None:
    requires = (
        stand.disk.require_merges,
        stand.disk.require_local_writes,
        stand.disk.require_writes,
    )
    for n_taken, n_refused in ((500, 0), (860, 1), (910, 2), (960, 3), (100, 0)):
        stand.take(n_taken)
        for number, require in enumerate(requires):
            if number < n_refused:
                with pytest.raises(DiskFullError, match="full"):
                    require()
            else:
                require()


def test_each_change_is_told_once(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for n_taken in (910, 910, 905, 100, 100):
            stand.take(n_taken)
    told = [(record.message, record.levelname, record.state) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [
        ("the disk fills up", "WARNING", "paused"),
        ("the disk has room again", "INFO", "open"),
    ]


def test_the_reserve_is_given_when_there_is_no_other_room_and_made_again_later(
    stand: Stand,
) -> None:
    stand.take(0)
    assert len(stand.gauge.files[RESERVE]) == 100
    stand.take(950)
    assert RESERVE not in stand.gauge.files
    stand.take(700)
    assert RESERVE not in stand.gauge.files, "no room to spare yet"
    stand.take(100)
    assert RESERVE in stand.gauge.files


def test_the_reserve_is_given_at_once_to_who_finds_no_room(stand: Stand) -> None:
    stand.take(0)
    stand.disk.note_full()
    assert RESERVE not in stand.gauge.files
    stand.disk.poll()
    assert RESERVE not in stand.gauge.files, "a quota may be full where the disk is not"
    stand.now += QUIET_S
    stand.disk.poll()
    assert RESERVE in stand.gauge.files


def test_a_reserve_of_an_earlier_process_is_taken_over(stand: Stand) -> None:
    stand.take(0)
    again = Disk(Path(), OPTIONS, open_directory=lambda path: stand.gauge)
    again.start()
    assert again.has_reserve
    stand.gauge.n_taken = 850
    third = Disk(Path(), OPTIONS, open_directory=lambda path: stand.gauge)
    third.start()
    assert not third.has_reserve, "what is opened writes too"
    assert RESERVE not in stand.gauge.files


# --- in a node -------------------------------------------------------------------------------
def upserts(first: int, count: int) -> list[WriteOp]:
    return [WriteOp(Op.UPSERT, f"k{n}", b'{"n":%d}' % n) for n in range(first, first + count)]


def put_in(node: Node, state: DiskState) -> None:
    node.disk.state = state


async def test_while_partitions_pause_records_wait_and_are_applied_afterwards(
    docs: Index, node: Node, logs: Logs
) -> None:
    await docs.write(upserts(0, 3))
    put_in(node, PAUSED)
    writing = asyncio.ensure_future(docs.write(upserts(3, 3)))  # its log is not on this disk
    while docs.stats().backlog_bytes == 0:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    assert docs.stats().n_docs == 3
    put_in(node, OPEN)
    assert {result.status for result in await writing} == {201}
    assert docs.stats().n_docs == 6


async def test_a_read_only_disk_refuses_writes_mappings_and_new_indexes_and_goes_on_searching(
    docs: Index, node: Node
) -> None:
    await docs.write(upserts(0, 3))
    put_in(node, READ_ONLY)
    with pytest.raises(DiskFullError):
        await docs.write(upserts(3, 3))
    with pytest.raises(DiskFullError):
        await docs.put_mapping({"properties": {"colour": {"type": "keyword"}}})
    with pytest.raises(DiskFullError):
        await node.create_index("other")
    assert await docs.get("k1") is not None
    await docs.flush()
    put_in(node, OPEN)
    await docs.write(upserts(3, 3))
    assert docs.stats().n_docs == 6


async def test_merges_wait_for_room_and_then_begin_by_themselves(open_node: OpenNode) -> None:
    node = open_node(index_options=IndexOptions(merge_factor=2))
    await node.start()
    docs = await node.create_index("docs")
    put_in(node, NO_MERGES)
    for first in range(0, 8, 2):
        await docs.write(upserts(first, 2))
        await docs.flush()
        docs._maintenance.consider_merge(docs.shards[0])
    with pytest.raises(DiskFullError):
        await docs.force_merge()
    assert len(docs.stats().shards[0].segments) == 4
    put_in(node, OPEN)
    async with asyncio.timeout(10):
        while docs.stats().bytes_merged == 0:
            docs.tick()
            await asyncio.sleep(0.001)
    await node.stop()
