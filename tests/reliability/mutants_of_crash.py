"""Wrong write orders, wrong checksums, wrong merges and replays, for the crash program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

import index.engine
import index.jobs
import index.manifest
from index.check import verify
from index.directory import FsDirectory
from index.engine import Engine
from index.format import Sections
from index.fs_file import FsAppendFile, write_all
from index.jobs import FlushJob, MergeJob
from index.manifest import Manifest, encode_manifest, generation_of, manifest_name
from index.merge import MergeDraft
from tests.reliability import log_life
from tests.reliability.crash import FILLED, scene, speeded_up
from tests.reliability.crash_disk import CrashDisk
from tests.reliability.explorer import Explorer, OsScene, Scene
from tests.reliability.mutant import Mutant
from tests.reliability.program import Violation
from tests.reliability.shard_life import ShardLife
from tests.reliability.short_workloads import LETTERS

WORKLOADS = (
    ("filled", "dufmc"),
    ("filled", "ufmufr"),
    ("filled-spread", "umdfu"),
    ("filled-spread", "mdfuf"),
    ("filled-spread", "dfmuufm"),
)
SYSTEM_WORKLOAD = FILLED + "m"


# --- the searches --------------------------------------------------------------------------
def search_orders() -> None:
    """Crash a few workloads of shards."""
    with speeded_up():
        for name, letters in WORKLOADS:
            Explorer(scene(name)).crash(letters)


def search_recoveries() -> None:
    """End the process at each step of a workload, and crash what the next one does."""
    with speeded_up():
        Explorer(scene("empty")).crash_twice("ucc", Random(1), 10_000)


def search_system_calls() -> None:
    """Crash a workload of a shard, and one of the log, on files of the system."""
    with speeded_up():
        Explorer(OsScene("system", LETTERS, ShardLife)).crash(SYSTEM_WORKLOAD)
        Explorer(OsScene("system-log", log_life.LETTERS, log_life.LogLife)).crash("sbmbs")


def search_flips() -> None:
    """Flip bits of a shard's files; `verify` must find each."""
    life, _ = Scene("flips", LETTERS, ShardLife).live(FILLED)
    files = life.disk.files
    for path in sorted(files):
        for at in range(0, len(files[path]), 5):
            data = bytearray(files[path])
            data[at] ^= 1 << at % 8
            if verify(CrashDisk(files | {path: bytes(data)}).folder()).is_sound:
                raise Violation(f"{path}.{at}", "a bit flipped, and all is sound")


# --- what is wrong -------------------------------------------------------------------------
class Unsynced:
    """A directory whose names never become durable."""

    def __init__(self, directory: Any) -> None:
        self._directory = directory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._directory, name)

    def sync(self) -> None:
        pass


def write_file_without_fsync(suffix: str) -> Callable[[FsDirectory, str, Iterable[Any]], int]:
    really = FsDirectory.write_file

    def write_file(self: FsDirectory, name: str, chunks: Iterable[Any]) -> int:
        if not name.endswith(suffix):
            return really(self, name, chunks)
        file = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            return write_all(file, chunks)
        finally:
            os.close(file)

    return write_file


@contextmanager
def one_dir_sync() -> Iterator[None]:
    def unsynced(really: Any) -> Any:
        def write(job: Any, *rest: Any) -> None:
            directory = job.directory
            job.directory = Unsynced(directory)
            try:
                really(job, *rest)
            finally:
                job.directory = directory

        return write

    with (
        patch.object(FlushJob, "write", unsynced(FlushJob.write)),
        patch.object(MergeJob, "write", unsynced(MergeJob.write)),
    ):
        yield


@contextmanager
def no_final_sync() -> Iterator[None]:
    really = index.jobs.write_manifest
    with patch.object(index.jobs, "write_manifest", lambda d, m: really(Unsynced(d), m)):
        yield


@contextmanager
def takeover_not_synced() -> Iterator[None]:
    really = index.engine.take_over
    with patch.object(index.engine, "take_over", lambda d, *rest: really(Unsynced(d), *rest)):
        yield


@contextmanager
def in_place_manifest() -> Iterator[None]:
    def write_manifest(directory: Any, manifest: Manifest) -> None:
        before = max(name for name in directory.list() if generation_of(name) is not None)
        data = encode_manifest(manifest)
        file = directory.append_file(before)
        file.write(0, data)
        file.truncate(len(data))
        file.sync()
        file.close()
        directory.rename(before, manifest_name(manifest.generation))
        directory.sync()

    with patch.object(index.jobs, "write_manifest", write_manifest):
        yield


@contextmanager
def acknowledged_first() -> Iterator[None]:
    really, install = index.jobs.write_manifest, Engine.install
    waiting: list[tuple[Any, Manifest]] = []

    def write_and_install(engine: Engine, job: Any) -> None:
        while waiting:
            really(*waiting.pop(0))
        install(engine, job)

    with (
        patch.object(index.jobs, "write_manifest", lambda d, m: waiting.append((d, m))),
        patch.object(Engine, "install", write_and_install),
    ):
        yield


@contextmanager
def deleted_before_manifest() -> Iterator[None]:
    really = MergeJob.commit

    def commit(job: MergeJob) -> None:
        for part in job.inputs:
            job.directory.delete(part.name)
        really(job)

    with (
        patch.object(MergeJob, "commit", commit),
        patch.object(index.engine, "remove_orphans", lambda *rest: []),
    ):
        yield


@contextmanager
def applied_again() -> Iterator[None]:
    plan, batch = index.engine.plan_plain, index.engine.Batch
    with (
        patch.object(index.engine, "plan_plain", lambda *most: plan(*most[:-1], -1)),
        patch.object(index.engine, "Batch", lambda *most: batch(*most[:-1], -1)),
    ):
        yield


@contextmanager
def checkpoint_ahead() -> Iterator[None]:
    really = Engine.plan_flush

    def plan_flush(engine: Engine, *rest: Any) -> FlushJob | None:
        job = really(engine, *rest)
        if job is not None:
            job.checkpoint += 1
        return job

    with patch.object(Engine, "plan_flush", plan_flush):
        yield


@contextmanager
def orphans_taken_early() -> Iterator[None]:
    really = index.engine.remove_orphans
    with patch.object(index.engine, "remove_orphans", lambda d, m, writing=(): really(d, m)):
        yield


@contextmanager
def short_checksums() -> Iterator[None]:
    really = index.manifest.checksum
    with patch.object(index.manifest, "checksum", lambda body: really(body[: len(body) // 2])):
        yield


def patched(owner: Any, name: str, replaced: Any) -> Callable[[], AbstractContextManager[Any]]:
    return partial(patch.object, owner, name, replaced)


def no_fsync(suffix: str) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(FsDirectory, "write_file", write_file_without_fsync(suffix))


MUTANTS = [
    Mutant(
        "no_segment_fsync", "a segment is not synced",
        no_fsync(".seg"), search_system_calls,
    ),
    Mutant(
        "no_manifest_fsync", "a manifest is not synced before it gets its name",
        no_fsync(".tmp"), search_system_calls,
    ),
    Mutant(
        "no_folder_fsync", "names are never made durable",
        patched(FsDirectory, "sync", lambda directory: None), search_system_calls,
    ),
    Mutant(
        "no_log_fsync", "a file of the log is not synced",
        patched(FsAppendFile, "sync", lambda file: None), search_system_calls,
    ),
    Mutant(
        "one_dir_sync", "a segment's name is not durable before the manifest has its own",
        one_dir_sync, search_orders,
    ),
    Mutant(
        "no_final_sync", "an edit is promised before its name is durable",
        no_final_sync, search_orders,
    ),
    Mutant(
        "takeover_not_synced", "who opens a shard promises what may not be durable yet",
        takeover_not_synced, search_recoveries,
    ),
    Mutant(
        "in_place_manifest", "an edit is written over the one before",
        in_place_manifest, search_orders,
    ),
    Mutant(
        "acknowledged_first", "an edit is promised, then written",
        acknowledged_first, search_orders,
    ),
    Mutant(
        "deleted_before_manifest", "what a merge read is deleted before its edit is durable",
        deleted_before_manifest, search_orders,
    ),
    Mutant(
        "deletes_during_a_merge_lost", "what died while a merge wrote is alive in its edit",
        patched(index.jobs, "carry_over", lambda alive, since, doc_map, out, n_out: out),
        search_orders,
    ),
    Mutant(
        "tombstones_dropped", "a merge forgets deletes",
        patched(MergeDraft, "tombstones", lambda draft: {}), search_orders,
    ),
    Mutant(
        "applied_again", "an event below the checkpoint is applied once more",
        applied_again, search_orders,
    ),
    Mutant(
        "checkpoint_ahead", "the checkpoint covers an event that is in no segment",
        checkpoint_ahead, search_orders,
    ),
    Mutant(
        "orphans_taken_early", "a segment that a merge is writing counts as an orphan",
        orphans_taken_early, search_orders,
    ),
    Mutant(
        "checksums_not_looked_at", "sections are read whatever their checksum",
        patched(Sections, "damages", lambda sections, *rest: iter(())), search_flips,
    ),
    Mutant(
        "short_checksums", "a manifest's checksum covers its first half",
        short_checksums, search_flips,
    ),
]  # fmt: skip
