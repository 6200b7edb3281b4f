"""Wrong embedded logs, and mappings that are not durable in time, for the crash program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any
from unittest.mock import patch

import consumers.log_file
import consumers.log_partition
from consumers.log_file import FRAME_HEADER, Frame
from consumers.log_partition import Extent, LogFile, PartitionFiles
from index.directory import AppendFile
from index.engine import Engine
from pipeline.index_store import IndexStore
from pipeline.maintenance import Maintenance
from tests.reliability.crash import scene, speeded_up
from tests.reliability.explorer import Explorer
from tests.reliability.mutant import Mutant
from tests.reliability.mutants_of_crash import Unsynced


# --- the searches --------------------------------------------------------------------------
def search_logs() -> None:
    """Crash workloads of a partition of the log, and a recovery."""
    with speeded_up():
        explorer = Explorer(scene("log"))
        for letters in ("ssmbr", "smcbmsc", "bbbbbbbbc"):
            explorer.crash(letters)
            explorer.crash_twice(letters, Random(1), explorer.n_states + 300)


def search_indexes() -> None:
    """Crash workloads of an index whose mapping grows."""
    with speeded_up():
        explorer = Explorer(scene("index"))
        explorer.crash("pnpfm")
        explorer.crash_twice("np", Random(1), 10_000)


# --- what is wrong -------------------------------------------------------------------------
@contextmanager
def schema_after_segment() -> Iterator[None]:
    install = Engine.install
    waiting: list[Callable[[], None]] = []

    def write(maintenance: Maintenance, job: Any, pace: Any) -> None:
        waiting.append(maintenance._persist_schema)
        job.write(pace)

    def persist_and_install(engine: Engine, job: Any) -> None:
        while waiting:
            waiting.pop()()
        install(engine, job)

    with (
        patch.object(Maintenance, "_write", write),
        patch.object(Engine, "install", persist_and_install),
    ):
        yield


@contextmanager
def unsynced_in(method: str) -> Iterator[None]:
    """Of what the folder of an index is asked for in this method, nothing is synced."""
    really = getattr(IndexStore, method)

    def replaced(store: IndexStore, *rest: Any) -> Any:
        opened = store._open_directory
        store._open_directory = lambda path: Unsynced(opened(path))
        try:
            return really(store, *rest)
        finally:
            store._open_directory = opened

    with patch.object(IndexStore, method, replaced):
        yield


@contextmanager
def frames_not_checked() -> Iterator[None]:
    def check_frame(data: bytes, position: int) -> Frame:
        _, _, _n_bytes, n_records, base_offset, _ = FRAME_HEADER.unpack_from(data)
        body = data[FRAME_HEADER.size :]
        return Frame(position, position + len(data), base_offset, n_records, body)

    with patch.object(consumers.log_file, "_check_frame", check_frame):
        yield


@contextmanager
def unnamed_log_file() -> Iterator[None]:
    really = consumers.log_partition._create
    with patch.object(
        consumers.log_partition, "_create", lambda d, offset: really(Unsynced(d), offset)
    ):
        yield


@contextmanager
def newest_cut_first() -> Iterator[None]:
    def cut_behind(files: PartitionFiles, offset: int) -> None:
        dead = [file for file, after in pairwise(files._files) if after.base_offset <= offset]
        files._files = files._files[len(dead) :]
        for file in reversed(dead):
            files.directory.delete(file.name)
        files.directory.sync()

    with patch.object(PartitionFiles, "cut_behind", cut_behind):
        yield


@contextmanager
def unsynced_log() -> Iterator[None]:
    """What is appended is acknowledged, and synced only with the next append."""
    with patch.object(PartitionFiles, "_sync", lambda files: None):
        yield


@contextmanager
def torn_end_kept() -> Iterator[None]:
    really = consumers.log_partition._recover

    class Uncut:
        def __init__(self, file: AppendFile) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def truncate(self, n_bytes: int) -> None:
            pass

    def recover(file: LogFile, opened: AppendFile) -> Extent:
        size = opened.n_bytes
        found = really(file, Uncut(opened))
        return found._replace(end=max(size, found.end))

    with patch.object(consumers.log_partition, "_recover", recover):
        yield


MUTANTS = [
    Mutant(
        "schema_after_segment", "a segment is in a manifest before index.json has its fields",
        schema_after_segment, search_indexes,
    ),
    Mutant(
        "mapping_not_synced", "a mapping is acknowledged before index.json is durable",
        partial(unsynced_in, "_replace_file"), search_indexes,
    ),
    Mutant(
        "mapping_read_not_synced", "a mapping that was read counts as durable",
        partial(unsynced_in, "load"), search_indexes,
    ),
    Mutant(
        "log_not_synced", "the log acknowledges what is not synced",
        unsynced_log, search_logs,
    ),
    Mutant(
        "torn_end_kept", "the log goes on behind a torn end",
        torn_end_kept, search_logs,
    ),
    Mutant(
        "log_checksums_not_looked_at", "a frame of the log is read whatever its checksum",
        frames_not_checked, search_logs,
    ),
    Mutant(
        "newest_cut_first", "of the files behind the checkpoint the newest are deleted first",
        newest_cut_first, search_logs,
    ),
    Mutant(
        "log_file_not_named", "a new file of the log takes records before its name is durable",
        unnamed_log_file, search_logs,
    ),
]  # fmt: skip
