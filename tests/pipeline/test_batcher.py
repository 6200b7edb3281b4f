from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batcher import Batch, Batcher
from pipeline.events import Record


def records(first: int, count: int, n_bytes: int = 10) -> list[Record]:
    return [
        Record("t", 0, offset, 0, b"k", b"x" * n_bytes) for offset in range(first, first + count)
    ]


def batcher(max_records: int = 10, max_bytes: int = 1 << 20) -> Batcher:
    return Batcher(max_records=max_records, max_bytes=max_bytes, max_age_s=0.005)


def add(to: Batcher, first: int, count: int, now: float = 0.0) -> None:
    to.add(records(first, count), first + count, now=now, consumed_s=now)


def offsets(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [record.offset for arrival in batch.arrivals for record in arrival.records]


def test_nothing_queued_is_never_due() -> None:
    assert batcher().deadline is None
    assert batcher().take(1.0) is None


def test_a_lone_record_is_due_at_once() -> None:
    queue = batcher()
    add(queue, 0, 1, now=1.0)
    assert queue.is_due(1.0)


def test_a_stream_is_due_once_per_age() -> None:
    queue = batcher()
    add(queue, 0, 1, now=1.0)
    queue.take(1.0)
    add(queue, 1, 1, now=1.001)
    assert not queue.is_due(1.004)
    assert queue.is_due(1.005)


def test_a_full_batch_is_due_whatever_its_age() -> None:
    queue = batcher()
    queue.add([], 1, now=1.0, consumed_s=1.0)
    queue.take(1.0)
    add(queue, 1, 10, now=1.0)
    assert queue.is_due(1.0)


def test_a_full_batch_leaves_the_rest_and_ends_where_that_begins() -> None:
    queue = batcher()
    add(queue, 0, 25)
    batch = queue.take(0.0)
    assert offsets(batch) == list(range(10))
    assert batch is not None
    assert batch.next_offset == 10
    assert queue.n_records == 15


def test_a_hole_behind_the_last_record_is_part_of_the_batch() -> None:
    queue = batcher()
    queue.add(records(0, 2), 9, now=0.0, consumed_s=0.0)
    batch = queue.take(0.0)
    assert batch is not None
    assert batch.next_offset == 9


def test_an_offset_without_records_moves_on_too() -> None:
    queue = batcher()
    queue.add([], 7, now=0.0, consumed_s=0.0)
    batch = queue.take(0.0)
    assert batch is not None
    assert (batch.n_records, batch.next_offset) == (0, 7)


def test_bytes_bound_a_batch_as_well() -> None:
    queue = batcher(max_records=100, max_bytes=1_000)
    for first in range(4):
        queue.add(records(first, 1, n_bytes=600), first + 1, now=0.0, consumed_s=0.0)
    assert queue.is_full
    assert offsets(queue.take(0.0)) == [0, 1]


def test_a_cleared_queue_is_empty() -> None:
    queue = batcher()
    add(queue, 0, 5)
    queue.clear()
    assert (queue.n_records, queue.n_bytes, queue.deadline) == (0, 0, None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=20))
def test_batches_are_the_records_in_order_each_once(steps: list[tuple[int, bool]]) -> None:
    queue = batcher()
    first, taken, position = 0, [], 0
    for count, is_taking in steps:
        add(queue, first, count)
        first += count
        if is_taking and (batch := queue.take(0.0)) is not None:
            taken += offsets(batch)
            position = batch.next_offset
            assert taken == list(range(position))
    while (batch := queue.take(0.0)) is not None:
        taken += offsets(batch)
    assert taken == list(range(first))
    assert (queue.n_records, queue.n_bytes) == (0, 0)
