from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index.directory import FsDirectory
from index.errors import CorruptionError, StorageError


@pytest.fixture
def directory(tmp_path: Path) -> FsDirectory:
    return FsDirectory(tmp_path / "a" / "b")


def test_a_file_is_written_from_bytes_and_arrays(directory: FsDirectory) -> None:
    assert directory.write_file("f", [b"ab", np.array([1, 2], np.uint16), b""]) == 6
    assert directory.read("f") == b"ab\x01\x00\x02\x00"
    assert directory.map("f").tobytes() == b"ab\x01\x00\x02\x00"
    assert directory.size("f") == 6
    assert directory.list() == ["f"]


def test_a_file_is_never_overwritten(directory: FsDirectory) -> None:
    directory.write_file("f", [b"old"])
    with pytest.raises(StorageError, match="f: File exists"):
        directory.write_file("f", [b"new"])
    assert directory.read("f") == b"old"


def test_a_file_whose_source_fails_is_gone(directory: FsDirectory) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"some"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        directory.write_file("f", chunks())
    assert directory.list() == []


def test_a_failed_fsync_is_not_tried_again(
    directory: FsDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fail(file: int) -> None:
        calls.append(file)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="f: Input/output error"):
        directory.write_file("f", [b"x"])
    assert len(calls) == 1
    assert directory.list() == []


def test_a_short_write_is_continued(
    directory: FsDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    assert directory.write_file("f", [b"0123456789"]) == 10
    assert directory.read("f") == b"0123456789"


def test_a_full_disk_is_a_storage_error(
    directory: FsDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="f: No space left on device"):
        directory.write_file("f", [b"x"])
    assert directory.list() == []


def test_a_mapped_file_stays_after_its_name_is_gone(directory: FsDirectory) -> None:
    directory.write_file("f", [b"x" * 10_000])
    data = directory.map("f")
    directory.delete("f")
    assert directory.list() == []
    assert data.tobytes() == b"x" * 10_000


def test_a_mapped_file_cannot_be_changed_through_its_array(directory: FsDirectory) -> None:
    directory.write_file("f", [b"xxx"])
    directory.map("f")[0] = 0
    assert directory.read("f") == b"xxx"


def test_an_empty_file_can_be_mapped(directory: FsDirectory) -> None:
    directory.write_file("f", [])
    assert len(directory.map("f")) == 0


@pytest.mark.parametrize("call", ["map", "read", "size", "delete"])
def test_a_file_that_is_not_there_is_corruption(directory: FsDirectory, call: str) -> None:
    with pytest.raises(CorruptionError, match="f at byte 0: the file is not there"):
        getattr(directory, call)("f")


def test_a_rename_replaces_and_sync_makes_it_durable(directory: FsDirectory) -> None:
    directory.write_file("f", [b"1"])
    directory.write_file("g", [b"2"])
    directory.rename("f", "g")
    directory.sync()
    assert directory.list() == ["g"]
    assert directory.read("g") == b"1"


def test_a_scratch_file_has_no_name(directory: FsDirectory) -> None:
    with directory.scratch() as file:
        file.write(b"abc")
        file.seek(0)
        assert file.read() == b"abc"
        assert directory.list() == []


def test_a_new_folder_is_durable_with_all_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}"))
    )
    FsDirectory(tmp_path / "a" / "b")
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    FsDirectory(tmp_path / "a" / "b")
    assert len(synced) == 2
