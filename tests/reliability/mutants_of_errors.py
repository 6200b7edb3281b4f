"""Wrong ways of dealing with a disk that fails, each of which the errors program must find out."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

from consumers import log_partition
from consumers.log_seal import Seal
from index.engine import Engine
from index.errors import KINDS, CorruptionError, StorageError, UnsettledError
from index.jobs import FlushJob, Job, Pace
from index.ownership import remove_orphans
from pipeline import disk, maintenance
from pipeline.applier import Applier
from pipeline.disk import Disk, DiskState
from pipeline.maintenance import Maintenance, Remedy
from pipeline.options import PipelineOptions
from pipeline.shard import Shard
from tests.reliability import errors_engine, errors_log, errors_shard
from tests.reliability.mutant import Mutant

Switched = AbstractContextManager[None]


def searching(
    cases: Callable[[str], Iterator[str]], letters: str, *parts: str
) -> Callable[[], None]:
    """Return a search through the cases of a workload that have one of `parts` in their name."""
    replays = {errors_log.cases_of: errors_log.replay, errors_shard.cases_of: errors_shard.replay}

    def search() -> None:
        for case in [*cases(letters)]:
            if any(part in case for part in parts):
                replays.get(cases, errors_engine.replay)(case)

    return search


def _tides(letters: str) -> Iterator[str]:
    return (f"tide.{letters}.{seed}" for seed in range(12))


def search_tides() -> None:
    for case in _tides("uuuuaduudu"):
        errors_shard.replay(case)


def search_slow() -> None:
    for delay in errors_shard.DELAYS_MS:
        errors_shard.replay(f"slow.uuaduudu.{delay}")


def search_reserve() -> None:
    errors_shard.replay("reserve.uuadu.1")


search_seals = searching(errors_log.cases_of, "abraa", "EIO")
search_log = searching(errors_log.cases_of, "aab", "EIO.once")
_filled = partial(errors_engine.cases_of, "filled")
search_flush = searching(_filled, "uf", "EIO.once", "ENOSPC.sticky")
search_renewed = searching(partial(errors_engine.cases_of, "empty"), "ufaf", "ENOSPC.once")
search_files = searching(_filled, "uf", "EMFILE")
search_names = searching(errors_shard.cases_of, "uuadu", "EIO.once")
search_shard_files = searching(errors_shard.cases_of, "uuadu", "EMFILE.once")


# --- the wrong versions ----------------------------------------------------------------------
@contextmanager
def _patched(*patches: Any) -> Iterator[None]:
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def sync_retried_in_the_log() -> Switched:
    def sync(files: Any) -> None:
        try:
            files._active.sync()
        except StorageError:
            files._active.sync()

    return _patched(patch.object(log_partition.PartitionFiles, "_sync", sync))


def log_tail_trusted() -> Switched:
    really = log_partition.read_frames

    def read_frames(*arguments: Any) -> Iterator[Any]:
        for frame in really(*arguments):
            yield frame._replace(durable_end=frame.end)

    return _patched(patch.object(log_partition, "read_frames", read_frames))


def stale_seal_believed() -> Switched:
    def sealed_end(seal: Seal, name: str, base_offset: int, n_bytes: int) -> int:
        seal.check(name, base_offset, n_bytes)
        return n_bytes

    return _patched(patch.object(Seal, "sealed_end", sealed_end))


def sync_of_names_retried() -> Switched:
    return _patched(patch.object(maintenance, "ExhaustedError", StorageError))


def unsettled_edit_promised() -> Switched:
    async def commit(self: Any, shard: Shard, job: Job) -> None:
        try:
            await self._threads.maintain(job.commit)
        except UnsettledError:
            job.is_unsettled = False
        await self._threads.apply(lambda: shard.applier.install(job))

    return _patched(patch.object(Maintenance, "_commit", commit))


def failed_segment_committed() -> Switched:
    really = FlushJob.write

    def write(job: FlushJob, pace: Pace = lambda n_bytes: None) -> None:
        try:
            really(job, pace)
        except StorageError:
            job.doc_map = None

    return _patched(patch.object(FlushJob, "write", write))


def abandoned_flush_forgotten() -> Switched:
    really = Engine.abandon

    def abandon(engine: Engine, job: Job) -> None:
        really(engine, job)
        if engine._abandoned is not None:
            engine._abandoned = engine._frozen = engine._frozen_memtable = None

    return _patched(patch.object(Engine, "abandon", abandon))


class _DamageError(CorruptionError):
    def __init__(self, text: str) -> None:
        super().__init__("manifest", 0, text)


def no_room_taken_for_damage() -> Switched:
    return _patched(patch.dict(KINDS, {errno.EMFILE: _DamageError}))


def no_room_fails_the_shard() -> Switched:
    return _patched(patch.object(maintenance, "remedy_of", lambda error: Remedy.FAIL))


def cleaning_fails_the_commit() -> Switched:
    really = FlushJob.commit

    def commit(job: FlushJob) -> None:
        really(job)
        assert job.manifest is not None
        remove_orphans(job.directory, job.manifest, lambda: {job.segment_name})

    return _patched(patch.object(FlushJob, "commit", commit))


def renewed_flush_takes_later_deletes() -> Switched:
    really = FlushJob.again

    def again(job: FlushJob, *arguments: Any) -> FlushJob:
        renewed = really(job, *arguments)
        renewed._alive = renewed.frozen.alive if renewed.frozen is not None else None
        return renewed

    return _patched(patch.object(FlushJob, "again", again))


def cleaning_in_the_apply_thread() -> Switched:
    def install(applier: Applier, job: Job) -> None:
        applier.engine.install(job)
        applier._publish()

    return _patched(patch.object(Applier, "install", install))


def no_reserve() -> Switched:
    return _patched(patch.object(Disk, "_make_reserve", lambda self: None))


def reserve_never_given() -> Switched:
    return _patched(patch.object(Disk, "_free_reserve", lambda self: None))


def _marks(change: Callable[[PipelineOptions], PipelineOptions]) -> Switched:
    really = disk.next_state

    def next_state(state: DiskState, used: float, free: int, options: PipelineOptions) -> DiskState:
        return really(state, used, free, change(options))

    return _patched(patch.object(disk, "next_state", next_state))


def marks_in_another_order() -> Switched:
    return _marks(lambda options: replace(options, disk_merge_share=0.90, disk_pause_share=0.85))


def no_hysteresis() -> Switched:
    return _marks(lambda options: replace(options, disk_hysteresis_share=0.0))


MUTANTS: list[Mutant] = [
    Mutant(
        "log_sync_retried",
        "a failed fsync of the log is tried again on the same file",
        sync_retried_in_the_log,
        search_log,
    ),
    Mutant(
        "log_tail_trusted",
        "what a failed fsync left in memory counts as durable when the log is opened",
        log_tail_trusted,
        search_log,
    ),
    Mutant(
        "stale_seal_believed",
        "a seal whose removal was not durable says that the log behind it is damage",
        stale_seal_believed,
        search_seals,
    ),
    Mutant(
        "names_sync_retried",
        "a failed fsync of the folder is tried again",
        sync_of_names_retried,
        search_names,
    ),
    Mutant(
        "unsettled_edit_promised",
        "an edit that may not be durable is promised",
        unsettled_edit_promised,
        search_names,
    ),
    Mutant(
        "failed_segment_committed",
        "the checkpoint passes documents whose segment could not be written",
        failed_segment_committed,
        search_flush,
    ),
    Mutant(
        "abandoned_flush_forgotten",
        "what an abandoned flush had frozen is dropped, and the next checkpoint passes it",
        abandoned_flush_forgotten,
        search_flush,
    ),
    Mutant(
        "renewed_flush_takes_later_deletes",
        "a flush that is planned again leaves out what died behind its checkpoint",
        renewed_flush_takes_later_deletes,
        search_renewed,
    ),
    Mutant(
        "no_room_taken_for_damage",
        "a manifest that cannot be opened for want of files is set aside",
        no_room_taken_for_damage,
        search_files,
    ),
    Mutant(
        "no_room_fails_the_shard",
        "a shard fails for want of room",
        no_room_fails_the_shard,
        search_shard_files,
    ),
    Mutant(
        "cleaning_fails_the_commit",
        "files that cannot be removed fail an edit that is durable",
        cleaning_fails_the_commit,
        search_shard_files,
    ),
    Mutant(
        "cleaning_in_the_apply_thread",
        "documents wait while files are removed",
        cleaning_in_the_apply_thread,
        search_slow,
    ),
    Mutant("no_reserve", "nothing is kept back of the disk", no_reserve, search_reserve),
    Mutant(
        "reserve_never_given",
        "what is kept back is not given when there is no room",
        reserve_never_given,
        search_reserve,
    ),
    Mutant(
        "disk_marks_swapped",
        "partitions pause before merges stop",
        marks_in_another_order,
        search_tides,
    ),
    Mutant("no_disk_hysteresis", "a state is left right at its mark", no_hysteresis, search_tides),
]
