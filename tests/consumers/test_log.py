from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumers.log import EmbeddedLog, LogOptions
from consumers.log_file import FILE_HEADER, StoredRecord, file_name
from consumers.log_partition import PartitionFiles
from consumers.log_seal import NAME
from consumers.partition import partition_of
from consumers.source import LogError, NewRecord
from index.directory import FsDirectory
from index.errors import CorruptionError, InvalidRequestError, OverloadError, StorageError
from tests.index.storage_world import MemoryDirectory, MemoryFile

SMALL_FILES = LogOptions(file_bytes=256)


def new(*values: bytes, key: bytes | None = None, partition: int | None = None) -> list[NewRecord]:
    return [NewRecord(key, value, (), partition) for value in values]


def read_all(log: EmbeddedLog, partition: int = 0, offset: int = 0) -> list[bytes | None]:
    reader = log.reader(partition, offset)
    values: list[bytes | None] = []
    while records := reader.read(1 << 20):
        values += [record.value for record in records]
    reader.close()
    return values


def open_log(path: Path, n_partitions: int = 1, options: LogOptions | None = None) -> EmbeddedLog:
    return EmbeddedLog(path, n_partitions, topic="t", options=options)


def crashed(path: Path) -> None:
    """Leave a log that was closed as a crash would have."""
    for seal in path.rglob(NAME):
        seal.unlink()


def log_files(path: Path, partition: int = 0) -> list[Path]:
    return sorted((path / str(partition)).glob("*.log"))


async def test_appends_get_consecutive_offsets(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert await log.append(new(b"a", b"b")) == [(0, 0), (0, 1)]
    assert await log.append(new(b"c")) == [(0, 2)]
    assert read_all(log) == [b"a", b"b", b"c"]
    await log.close()


async def test_keys_choose_partitions_as_kafka_does(tmp_path: Path) -> None:
    log = open_log(tmp_path, 4)
    records = [NewRecord(b"key%d" % i, b"v") for i in range(20)]
    places = await log.append(records)
    assert [p for p, _ in places] == [partition_of(r.key or b"", 4) for r in records]
    await log.close()


async def test_a_named_partition_wins_over_the_key(tmp_path: Path) -> None:
    log = open_log(tmp_path, 4)
    assert await log.append(new(b"v", key=b"k", partition=3)) == [(3, 0)]
    with pytest.raises(InvalidRequestError, match="partition 4"):
        await log.append(new(b"v", partition=4))
    await log.close()


async def test_everything_of_a_record_comes_back(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, topic="t", clock=lambda: 12.5)
    await log.append([NewRecord(b"k", None, (("op", b"delete"), ("x", None)))])
    (record,) = log.reader(0, 0).read(1 << 20)
    assert (record.timestamp_ms, record.key, record.value) == (12_500, b"k", None)
    assert record.headers == (("op", b"delete"), ("x", None))
    await log.close()


async def test_a_reopened_log_holds_all_and_goes_on(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=SMALL_FILES)
    for i in range(50):
        await log.append(new(b"%d" % i))
    await log.close()
    log = open_log(tmp_path, options=SMALL_FILES)
    assert await log.append(new(b"50")) == [(0, 50)]
    assert read_all(log) == [b"%d" % i for i in range(51)]
    assert len(log_files(tmp_path)) > 5
    await log.close()


async def test_concurrent_appends_share_few_fsyncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_syncs = 0

    def fdatasync(fd: int) -> None:
        nonlocal n_syncs
        n_syncs += 1

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    log = open_log(tmp_path)
    places = await asyncio.gather(*[log.append(new(b"%d" % i)) for i in range(500)])
    assert sorted(offset for ((_, offset),) in places) == list(range(500))
    assert n_syncs <= 3
    await log.close()


async def test_any_offset_can_be_read_from(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=SMALL_FILES)
    await log.append(new(*[b"%d" % i for i in range(10)]))
    for i in range(10, 40):
        await log.append(new(b"%d" % i))
    for offset in range(41):
        assert read_all(log, offset=offset) == [b"%d" % i for i in range(offset, 40)]
    await log.close()


async def test_only_whole_files_behind_the_checkpoint_go(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=SMALL_FILES)
    for i in range(30):
        await log.append(new(b"%d" % i))
    log.cut_behind(0, 17)
    await log.close()
    log = open_log(tmp_path, options=SMALL_FILES)
    start = log.start_offset(0)
    assert 17 - 6 <= start <= 17
    assert read_all(log, offset=start) == [b"%d" % i for i in range(start, 30)]
    with pytest.raises(StorageError, match="gone"):
        read_all(log, offset=start - 1)
    await log.close()


async def test_cutting_behind_everything_keeps_the_offsets(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=SMALL_FILES)
    for i in range(30):
        await log.append(new(b"%d" % i))
    log.cut_behind(0, 30)
    await log.close()
    log = open_log(tmp_path, options=SMALL_FILES)
    assert await log.append(new(b"30")) == [(0, 30)]
    assert len(log_files(tmp_path)) <= 2
    await log.close()


async def test_a_reader_goes_on_while_files_behind_it_go(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=SMALL_FILES)
    for i in range(20):
        await log.append(new(b"%d" % i))
    reader = log.reader(0, 0)
    values = [r.value for r in reader.read(1)]
    while len(values) < 20:
        log.cut_behind(0, reader.next_offset)
        await log.append(new(b"more"))
        values += [r.value for r in reader.read(1)]
    assert values == [b"%d" % i for i in range(20)]
    reader.close()
    await log.close()


async def test_torn_end_is_cut_and_overwritten(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    await log.append(new(b"one"))
    await log.append(new(b"two"))
    await log.close()
    crashed(tmp_path)
    (file,) = log_files(tmp_path)
    os.truncate(file, file.stat().st_size - 1)
    log = open_log(tmp_path)
    assert await log.append(new(b"three")) == [(0, 1)]
    assert read_all(log) == [b"one", b"three"]
    await log.close()


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"FRAM" * 40, os.urandom(3000)])
async def test_garbage_behind_the_end_is_cut(tmp_path: Path, tail: bytes) -> None:
    log = open_log(tmp_path)
    await log.append(new(b"one"))
    await log.close()
    crashed(tmp_path)
    (file,) = log_files(tmp_path)
    file.write_bytes(file.read_bytes() + tail)
    log = open_log(tmp_path)
    assert read_all(log) == [b"one"]
    await log.close()


async def test_a_new_file_without_its_header_is_empty(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=SMALL_FILES)
    for i in range(10):
        await log.append(new(b"%d" % i))
    await log.close()
    crashed(tmp_path)
    (tmp_path / "0" / f"{10:020d}.log").write_bytes(b"\0" * FILE_HEADER.size)
    log = open_log(tmp_path, options=SMALL_FILES)
    assert await log.append(new(b"10")) == [(0, 10)]
    assert read_all(log) == [b"%d" % i for i in range(11)]
    await log.close()


async def test_damage_before_durable_frames_is_an_error_naming_file_and_byte(
    tmp_path: Path,
) -> None:
    log = open_log(tmp_path)
    for value in (b"one", b"two", b"three"):
        await log.append(new(value))
    await log.close()
    (file,) = log_files(tmp_path)
    data = bytearray(file.read_bytes())
    data[FILE_HEADER.size + 40] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptionError, match=rf"{file.name} at byte {FILE_HEADER.size}"):
        open_log(tmp_path)


async def test_damage_in_an_older_file_is_found_when_it_is_read(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=SMALL_FILES)
    for i in range(20):
        await log.append(new(b"%d" % i))
    await log.close()
    file = log_files(tmp_path)[0]
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    log = open_log(tmp_path, options=SMALL_FILES)
    with pytest.raises(CorruptionError, match=file.name):
        read_all(log)
    await log.close()


async def test_a_missing_file_is_never_skipped(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=SMALL_FILES)
    for i in range(20):
        await log.append(new(b"%d" % i))
    await log.close()
    log_files(tmp_path)[1].unlink()
    log = open_log(tmp_path, options=SMALL_FILES)
    with pytest.raises(CorruptionError, match="the next begins at"):
        read_all(log)
    await log.close()


async def test_a_full_disk_refuses_the_append_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    await log.append(new(b"one"))
    pwrite = os.pwrite

    def half(fd: int, data: memoryview, position: int) -> int:
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return pwrite(fd, data[: len(data) // 2], position)

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(StorageError, match="No space left"):
        await log.append(new(b"two"))
    monkeypatch.undo()
    assert await log.append(new(b"three")) == [(0, 1)]
    assert read_all(log) == [b"one", b"three"]
    await log.close()


async def test_after_a_failed_fsync_nothing_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)

    def fdatasync(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with pytest.raises(StorageError, match="cannot sync"):
        await log.append(new(b"one"))
    monkeypatch.undo()
    with pytest.raises(StorageError, match="cannot sync"):
        await log.append(new(b"two"))
    assert read_all(log) == []
    await log.close()


async def test_too_much_in_flight_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path, options=LogOptions(max_pending_bytes=1000))
    first = asyncio.ensure_future(log.append(new(b"x" * 2000)))
    second = asyncio.ensure_future(log.append(new(b"x" * 2000)))
    await asyncio.wait([first, second])
    assert first.result() == [(0, 0)]
    assert isinstance(second.exception(), OverloadError)
    await log.close()


async def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append = asyncio.ensure_future(log.append(new(b"under way")))
    await asyncio.sleep(0)
    await log.close()
    assert await append == [(0, 0)]
    with pytest.raises(LogError, match="closed"):
        await log.append(new(b"late"))


async def test_waiting_for_an_offset_ends_when_it_is_durable(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    waiter = asyncio.ensure_future(log.wait_past(0, 1))
    await log.append(new(b"0"))
    assert not waiter.done()
    await log.append(new(b"1"))
    async with asyncio.timeout(5):
        await waiter
    await log.close()


def test_the_folder_of_a_new_partition_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}"))
    )
    PartitionFiles(FsDirectory(tmp_path / "log" / "0"), 1_000).close()
    assert synced[1:3] == [str(tmp_path), str(tmp_path / "log")]


async def test_a_log_is_open_once(tmp_path: Path) -> None:
    log = open_log(tmp_path, 2)
    with pytest.raises(StorageError, match=r"0/0+\.log is in use by this process"):
        open_log(tmp_path, 2)
    await log.append(new(b"a", partition=1))
    await log.close()
    again = open_log(tmp_path, 2)
    assert read_all(again, 1) == [b"a"]
    await again.close()


async def test_a_log_that_cannot_be_opened_whole_lets_go_of_its_parts(tmp_path: Path) -> None:
    other = EmbeddedLog(tmp_path / "x", 1, topic="t")
    (tmp_path / "1").symlink_to(tmp_path / "x" / "0")
    with pytest.raises(StorageError, match="in use"):
        open_log(tmp_path, 2)
    await other.close()
    log = open_log(tmp_path, 2)
    await log.close()


def stored(*values: bytes) -> list[StoredRecord]:
    return [StoredRecord(0, None, value) for value in values]


def test_whoever_gets_a_file_that_is_not_the_newest_any_more_takes_the_newest() -> None:
    """Its owner begins another between the look at the names and the lock."""

    class Late(MemoryDirectory):
        before_lock: Callable[[], None] | None = None

        def append_file(self, name: str) -> MemoryFile:
            act, self.before_lock = self.before_lock, None
            if act is not None:
                act()
            return super().append_file(name)

    def grow_and_end() -> None:
        owner.append(stored(b"b"))
        owner.close()

    disk = Late()
    owner = PartitionFiles(disk, 10)
    owner.append(stored(b"a"))
    disk.before_lock = grow_and_end
    # The owner's own `append_file` comes first in `grow_and_end`, then this one's.
    files = PartitionFiles(disk, 10)
    assert files.next_offset == 2
    files.append(stored(b"c"))
    assert [record.value for record in files.reader(1).read(1 << 20)] == [b"b"]
    assert list(disk.locks) == [file_name(2)]


def test_a_new_file_whose_name_cannot_be_made_durable_is_not_used() -> None:
    class Failing(MemoryDirectory):
        fails = False

        def sync(self) -> None:
            super().sync()
            if self.fails:
                raise StorageError("input/output error")

    disk = Failing()
    files = PartitionFiles(disk, 10)
    files.append(stored(b"a"))
    disk.fails = True
    with pytest.raises(StorageError, match="input/output"):
        files.append(stored(b"b"))
    assert disk.list() == [file_name(0)]
    disk.fails = False
    assert files.append(stored(b"b")) == 1
    assert disk.list() == [file_name(0), file_name(1)]


def test_names_are_durable_before_anything_is_taken_on() -> None:
    """A process that died after it made a file may have left its name volatile."""
    disk = MemoryDirectory()
    PartitionFiles(disk, 10).close()
    disk.calls.clear()
    PartitionFiles(disk, 10)
    assert disk.calls[-1] == ("sync",)


def test_files_behind_the_checkpoint_go_one_after_the_other() -> None:
    disk = MemoryDirectory()
    files = PartitionFiles(disk, 10)
    for value in (b"a", b"b", b"c"):
        files.append(stored(value))
    disk.calls.clear()
    files.cut_behind(2)
    assert disk.calls == [("delete", file_name(0)), ("sync",), ("delete", file_name(1)), ("sync",)]


def test_a_write_that_cannot_be_taken_back_ends_the_partition() -> None:
    class Broken(MemoryFile):
        def write(self, position: int, data: Any) -> None:
            raise StorageError("no space left on device")

        def truncate(self, n_bytes: int) -> None:
            raise StorageError("input/output error")

    files = PartitionFiles(MemoryDirectory(), 1 << 20)
    files._active = Broken(MemoryDirectory({"f": b""}), "f")
    for _ in range(2):
        with pytest.raises(StorageError, match="no space left"):
            files.append(stored(b"a"))
    assert files.next_offset == 0
