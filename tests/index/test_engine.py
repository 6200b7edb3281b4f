"""The engine of one shard: what an event does, and what survives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from index.check import verify
from index.directory import FsDirectory
from index.document import DocumentEvent, Op, Outcome
from index.engine import Engine
from index.errors import CorruptionError, StorageError
from index.options import IndexOptions
from index.schema import Schema, SchemaRef
from index.searcher import Searcher

OPTIONS = IndexOptions(merge_factor=2)


class Log:
    """Every event of a test, at its offset."""

    def __init__(self, path: Path, options: IndexOptions = OPTIONS) -> None:
        self.path = path
        self.options = options
        self.schema = SchemaRef(Schema.from_mapping({}))
        self.events: list[DocumentEvent] = []
        self.engine = self.open()

    def open(self) -> Engine:
        return Engine.open(FsDirectory(self.path), self.schema, self.options)

    def send(self, op: Op, key: str, fields: Any = None, **more: Any) -> Outcome:
        source = None if fields is None else orjson.dumps(fields)
        event = DocumentEvent(len(self.events), op, key.encode(), source, fields, **more)
        self.events.append(event)
        return self.engine.apply([event], len(self.events)).outcomes[0]

    def flush(self) -> None:
        self.finish(self.engine.plan_flush())

    def merge(self) -> None:
        self.finish(self.engine.plan_full_merge())

    def finish(self, job: Any) -> None:
        assert job is not None
        job.run()
        self.engine.install(job)

    def crash(self) -> None:
        """Open what is durable and read the log on."""
        self.engine = self.open()
        start = max(self.engine.next_offset, 0)
        self.engine.apply(self.events[start:], len(self.events))

    def get(self, key: str) -> Any:
        searcher = Searcher(self.engine.views(), self.schema.current, 0)
        found = searcher.get(key.encode())
        return None if found is None else orjson.loads(found[0].reader.source(found[1]))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_the_later_version_of_a_key_wins_wherever_the_older_lies(log: Log) -> None:
    assert log.send(Op.UPSERT, "a", {"n": 1}) is Outcome.CREATED
    assert log.send(Op.UPSERT, "a", {"n": 2}) is Outcome.UPDATED
    log.flush()
    assert log.send(Op.UPSERT, "a", {"n": 3}) is Outcome.UPDATED
    assert log.get("a") == {"n": 3}
    log.crash()
    assert log.get("a") == {"n": 3}
    assert sum(view.n_alive for view in log.engine.views()) == 1


def test_a_higher_version_wins_over_a_later_record(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"n": 9}, version=900)
    assert log.send(Op.UPSERT, "a", {"n": 8}, version=800) is Outcome.CONFLICT
    assert log.get("a") == {"n": 9}


def test_a_versioned_delete_is_remembered_through_flush_and_merge(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"n": 1}, version=5)
    log.flush()
    log.send(Op.DELETE, "a", version=7)
    log.flush()
    log.merge()
    log.crash()
    assert log.send(Op.UPSERT, "a", {"n": 1}, version=6) is Outcome.CONFLICT
    assert log.send(Op.UPSERT, "a", {"n": 2}, version=8) is Outcome.CREATED


def test_a_partial_update_is_replayed_onto_the_version_it_changed(log: Log) -> None:
    """A merge after the update, but before the update is durable, must keep the older version."""
    log.send(Op.UPSERT, "a", {"keep": 1, "n": 1})
    log.flush()
    log.send(Op.UPSERT, "b", {"n": 1})
    log.flush()
    log.send(Op.UPDATE, "a", {"n": 2})
    log.merge()
    assert log.get("a") == {"keep": 1, "n": 2}
    log.crash()
    assert log.get("a") == {"keep": 1, "n": 2}


def test_an_update_of_nothing_changes_nothing_unless_it_brings_a_document(log: Log) -> None:
    assert log.send(Op.UPDATE, "a", {"n": 1}) is Outcome.NOT_FOUND
    assert log.get("a") is None
    assert log.send(Op.UPDATE, "a", {"n": 1}, upsert={"fresh": True}) is Outcome.CREATED
    assert log.get("a") == {"fresh": True}
    assert log.send(Op.UPDATE, "a", {"fresh": True}) is Outcome.NOOP


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0.0, -0.0)])
def test_an_update_to_an_equal_value_of_another_kind_is_no_noop(
    log: Log, before: Any, after: Any
) -> None:
    log.send(Op.UPSERT, "a", {"o": [before], "n": 1})
    assert log.send(Op.UPDATE, "a", {"o": [after]}) is not Outcome.NOOP


def abandon_a_flush(log: Log) -> None:
    job = log.engine.plan_flush()
    assert job is not None
    job.write()
    log.engine.abandon(job)


def test_after_an_abandoned_flush_the_next_one_goes_to_the_same_checkpoint(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"n": 1})
    abandon_a_flush(log)
    log.send(Op.UPSERT, "b", {"n": 1})
    assert log.engine.durable_offset == -1
    log.flush()
    assert log.engine.durable_offset == 1
    log.crash()
    assert log.get("a") == log.get("b") == {"n": 1}


def test_an_abandoned_flush_leaves_no_file_and_its_name_is_not_used_again(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"n": 1})
    abandon_a_flush(log)
    assert not [name for name in FsDirectory(log.path).list() if name.endswith(".seg")]
    job = log.engine.plan_flush()
    assert job is not None
    assert job.segment_name.endswith("02.seg")


def test_what_changed_behind_an_abandoned_flush_is_not_in_its_segment(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"keep": 1, "n": 1})
    abandon_a_flush(log)
    log.send(Op.UPDATE, "a", {"n": 2})
    log.flush()
    log.crash()
    assert log.get("a") == {"keep": 1, "n": 2}


def test_a_merge_between_an_abandoned_flush_and_the_next_keeps_what_died_before_the_freeze(
    log: Log,
) -> None:
    for key in "abc":
        log.send(Op.UPSERT, key, {"n": 1})
        log.flush()
    log.send(Op.DELETE, "a")
    log.send(Op.UPSERT, "d", {"n": 1})
    abandon_a_flush(log)
    log.send(Op.DELETE, "b")
    log.merge()
    log.flush()
    assert [log.get(key) for key in "abcd"] == [None, None, {"n": 1}, {"n": 1}]
    assert log.engine.durable_offset == 5
    log.engine = log.open()
    assert [log.get(key) for key in "abcd"] == [None, {"n": 1}, {"n": 1}, {"n": 1}]
    log.crash()
    assert [log.get(key) for key in "abcd"] == [None, None, {"n": 1}, {"n": 1}]
    assert verify(FsDirectory(log.path)).is_sound


def test_a_create_of_a_key_that_exists_is_a_conflict(log: Log) -> None:
    log.send(Op.CREATE, "a", {"n": 1})
    assert log.send(Op.CREATE, "a", {"n": 2}) is Outcome.CONFLICT
    log.send(Op.DELETE, "a")
    assert log.send(Op.CREATE, "a", {"n": 3}) is Outcome.CREATED


def test_a_document_that_does_not_fit_is_rejected_and_the_rest_of_the_batch_goes_on(
    log: Log,
) -> None:
    good = {"n": 1}
    events = [
        DocumentEvent(0, Op.UPSERT, b"a", orjson.dumps(good), good),
        DocumentEvent(1, Op.UPSERT, b"b", b'{"n":"many"}', {"n": "many"}),
        DocumentEvent(2, Op.UPSERT, b"c", orjson.dumps(good), good),
    ]
    applied = log.engine.apply(events, 3)
    assert applied.outcomes == [Outcome.CREATED, Outcome.REJECTED, Outcome.CREATED]
    assert applied.rejected[0][0] == 1
    assert "[n]" in applied.rejected[0][1]


def test_a_replayed_event_changes_nothing(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"n": 1})
    log.send(Op.DELETE, "a")
    assert log.engine.apply(log.events[:1], 1).outcomes == [Outcome.NOOP]
    assert log.get("a") is None


def test_changes_are_the_difference_of_two_searches(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"n": 1})
    fields = {"n": 2}
    source = orjson.dumps(fields)
    events = [
        DocumentEvent(1, Op.UPSERT, b"b", source, fields),
        DocumentEvent(2, Op.DELETE, b"b", None, None),
        DocumentEvent(3, Op.UPSERT, b"a", source, fields),
        DocumentEvent(4, Op.UPSERT, b"c", source, fields),
    ]
    before = log.engine.views()
    changes = log.engine.apply(events, 5).changes
    assert [change.key for change in changes] == [b"a", b"c"]
    assert changes[0].old == (before[-1], 0)
    assert changes[1].old is None
    reader = log.engine.views()[-1].reader
    assert [reader.key(change.new_doc) for change in changes] == [b"a", b"c"]


def test_deletes_that_come_while_a_job_runs_reach_its_output(log: Log) -> None:
    for key in "abc":
        log.send(Op.UPSERT, key, {"n": 1})
    job = log.engine.plan_flush()
    assert job is not None
    log.send(Op.DELETE, "b")
    job.run()
    log.send(Op.UPSERT, "c", {"n": 2})
    log.engine.install(job)
    assert (log.get("a"), log.get("b"), log.get("c")) == ({"n": 1}, None, {"n": 2})
    log.crash()
    assert (log.get("a"), log.get("b"), log.get("c")) == ({"n": 1}, None, {"n": 2})


def test_the_checkpoint_moves_even_when_nothing_was_indexed(log: Log) -> None:
    log.send(Op.DELETE, "nobody")
    log.flush()
    log.crash()
    assert log.engine.durable_offset == 1


def test_a_damaged_segment_is_refused_by_name_and_byte(log: Log, tmp_path: Path) -> None:
    log.send(Op.UPSERT, "a", {"n": 1})
    log.flush()
    (segment,) = tmp_path.glob("*.seg")
    damaged = bytearray(segment.read_bytes())
    damaged[-20] ^= 0xFF
    segment.write_bytes(damaged)
    with pytest.raises(CorruptionError) as caught:
        Engine.open(FsDirectory(tmp_path), log.schema, OPTIONS)
    assert segment.name in str(caught.value)


def test_segments_without_a_manifest_are_not_taken_for_an_empty_shard(
    log: Log, tmp_path: Path
) -> None:
    log.send(Op.UPSERT, "a", {"n": 1})
    log.flush()
    for manifest in tmp_path.glob("manifest-*"):
        manifest.unlink()
    with pytest.raises(StorageError, match="no readable manifest"):
        Engine.open(FsDirectory(tmp_path), log.schema, OPTIONS)


@pytest.mark.parametrize("merges", [False, True])
def test_a_merge_changes_no_later_outcome(log: Log, merges: bool) -> None:
    log.send(Op.DELETE, "a", version=1)
    log.flush()
    log.send(Op.UPSERT, "a", {"n": 1}, version=2)
    log.flush()
    if merges:
        log.merge()
    assert log.send(Op.DELETE, "a") is Outcome.DELETED
    assert log.send(Op.UPSERT, "a", {"n": 2}, version=1) is Outcome.CONFLICT


def test_a_flush_goes_on_while_a_merge_writes(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"n": 1})
    log.send(Op.UPSERT, "b", {"n": 1})
    log.flush()
    log.send(Op.UPSERT, "c", {"n": 1})
    log.flush()
    merge = log.engine.plan_full_merge()
    assert merge is not None
    merge.write()
    log.send(Op.DELETE, "a")
    log.send(Op.UPSERT, "c", {"n": 2})
    log.flush()
    log.send(Op.DELETE, "b")
    assert log.engine.plan_full_merge() is None
    log.engine.settle(merge)
    merge.commit()
    log.engine.install(merge)
    for _ in range(2):
        assert [log.get(key) for key in "abc"] == [None, None, {"n": 2}]
        assert sum(view.n_alive for view in log.engine.views()) == 1
        log.crash()
    assert [segment.n_docs for segment in log.engine.stats().segments] == [3, 1]


def test_what_a_merge_is_writing_is_no_orphan(log: Log) -> None:
    for key in "abc":
        log.send(Op.UPSERT, key, {"n": 1})
        log.flush()
    merge = log.engine.plan_full_merge()
    assert merge is not None
    merge.write()
    log.send(Op.UPSERT, "d", {"n": 1})
    log.flush()
    assert (log.path / merge.segment_name).exists()
    log.engine.abandon(merge)
    log.send(Op.UPSERT, "e", {"n": 1})
    log.flush()
    assert not (log.path / merge.segment_name).exists()


def test_a_merge_of_everything_that_died_leaves_nothing(log: Log) -> None:
    log.send(Op.UPSERT, "a", {"n": 1})
    log.flush()
    log.send(Op.UPSERT, "b", {"n": 1})
    log.send(Op.UPSERT, "a", {"n": 2})
    log.flush()
    job = log.engine.plan_merge()
    assert job is not None
    assert [part.name for part in job.inputs] == [log.engine.stats().segments[0].name]
    log.finish(job)
    assert len(log.engine.stats().segments) == 1
    assert log.get("a") == {"n": 2}


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[64] ^= 0xFF
    file.write_bytes(data)


def test_no_byte_is_served_before_it_was_checked(log: Log, tmp_path: Path) -> None:
    for key in "ab":
        log.send(Op.UPSERT, key, {"text": "some words"})
        log.flush()
    _, second = sorted(tmp_path.glob("*.seg"))
    damage(second)
    with pytest.raises(CorruptionError, match=second.name):
        log.crash()


def test_bytes_that_opening_does_not_read_are_checked_afterwards(tmp_path: Path) -> None:
    log = Log(tmp_path, replace(OPTIONS, check_on_open="tables"))
    for key in "ab":
        log.send(Op.UPSERT, key, {"text": "some words"})
        log.flush()
    log.crash()
    log.engine.check()
    first, second = sorted(tmp_path.glob("*.seg"))
    damage(second)
    log.crash()
    with pytest.raises(CorruptionError, match=second.name):
        log.engine.check()
    job = log.engine.plan_full_merge()
    assert job is not None
    with pytest.raises(CorruptionError, match=second.name):
        job.write()
    assert sorted(tmp_path.glob("*.seg")) == [first, second]


def test_a_rejected_event_that_comes_again_is_not_rejected_twice(log: Log) -> None:
    bad = DocumentEvent(0, Op.UPSERT, b"a", b"[1]", None)
    assert log.engine.apply([bad], 1).outcomes == [Outcome.REJECTED]
    again = log.engine.apply([bad], 1)
    assert again.outcomes == [Outcome.NOOP]
    assert again.rejected == []
