from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index.directory import FsDirectory
from index.errors import CorruptionError, FencedError, StorageError
from tests.index.storage_world import MemoryDirectory


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
    assert synced == [str(tmp_path.parent), str(tmp_path), str(tmp_path / "a")]
    synced.clear()
    FsDirectory(tmp_path / "a" / "b")
    assert synced == [str(tmp_path / "a")], "whoever made it may have ended before that"


def test_a_name_is_published_once(directory: FsDirectory) -> None:
    directory.write_file("a.tmp", [b"first"])
    directory.write_file("b.tmp", [b"second"])
    directory.publish("a.tmp", "f")
    with pytest.raises(FencedError, match="f is there already"):
        directory.publish("b.tmp", "f")
    assert directory.list() == ["b.tmp", "f"]
    assert directory.read("f") == b"first"


def test_a_publish_is_not_undone_by_a_leftover(
    directory: FsDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    directory.write_file("a.tmp", [b"x"])
    monkeypatch.setattr(Path, "unlink", fail)
    directory.publish("a.tmp", "f")
    assert directory.read("f") == b"x"


@pytest.fixture(params=["disk", "memory"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> FsDirectory | MemoryDirectory:
    return FsDirectory(tmp_path) if request.param == "disk" else MemoryDirectory()


Either = FsDirectory | MemoryDirectory


def test_a_file_grows_is_cut_and_goes_on(either: Either) -> None:
    file = either.append_file("f")
    file.write(0, b"0123")
    file.write(4, b"4567")
    file.truncate(6)
    file.sync()
    assert (file.n_bytes, file.read(0, 100), file.read(2, 3)) == (6, b"012345", b"234")
    file.close()
    again = either.append_file("f")
    again.write(6, b"6")
    assert either.read("f") == b"0123456"
    again.close()


def test_a_growing_file_is_open_once(either: Either) -> None:
    file = either.append_file("f")
    with pytest.raises(StorageError, match="f is in use by this process"):
        either.append_file("f")
    file.close()
    either.append_file("f").close()


def test_a_file_is_read_while_it_grows_and_after_it_is_gone(either: Either) -> None:
    file = either.append_file("f")
    reader = either.open_file("f")
    file.write(0, b"abc")
    assert (reader.n_bytes, reader.read(1, 9)) == (3, b"bc")
    either.delete("f")
    assert reader.read(0, 9) == b"abc"
    reader.close()
    file.close()
    with pytest.raises(CorruptionError, match="the file is not there"):
        either.open_file("f")


def test_who_has_a_file_open_is_told(directory: FsDirectory) -> None:
    script = (
        "import fcntl, sys\n"
        f"file = open({str(directory.path / 'f')!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(StorageError, match=f"f is in use by process {child.pid}"):
            directory.append_file("f")
        child.kill()
    directory.append_file("f").close()


def test_what_is_free_is_less_than_all(either: Either) -> None:
    assert 0 < either.free_bytes() <= either.total_bytes()
