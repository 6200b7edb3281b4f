"""The embedded log against a model, with crashes between any two operations."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.log_file import FILE_HEADER, StoredRecord, read_frames
from consumers.log_partition import PartitionFiles
from consumers.log_seal import NAME
from index.directory import FsDirectory
from index.errors import CorruptionError
from index.fs_file import FsFile

FILE_BYTES = 400

sizes = st.lists(st.integers(0, 150), min_size=1, max_size=6)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), sizes),
        st.tuples(st.just("reopen"), st.none()),
        st.tuples(st.just("cut"), st.floats(0, 1)),
        st.tuples(st.just("truncate"), st.floats(0, 1)),
        st.tuples(st.just("garbage"), st.binary(min_size=1, max_size=80)),
        st.tuples(st.just("half-append"), st.tuples(sizes, st.floats(0, 1))),
    ),
    max_size=25,
)


class Model:
    """A log in a directory, and beside it the records that it must hold."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = PartitionFiles(FsDirectory(directory), FILE_BYTES)
        self.records: list[StoredRecord] = []
        self.start = 0

    def append(self, n_bytes: list[int]) -> None:
        new = [StoredRecord(i, b"k%d" % i, b"v" * n) for i, n in enumerate(n_bytes)]
        assert self.log.append(new) == len(self.records)
        self.records += new

    def crash(self) -> None:
        """Open it anew as a crash left it: without a seal."""
        self.log.close()
        (self.directory / NAME).unlink()
        self._open()

    def reopen(self, _: None = None) -> None:
        self.log.close()
        self._open()

    def _open(self) -> None:
        self.log = PartitionFiles(FsDirectory(self.directory), FILE_BYTES)
        self.start = self.log.start_offset

    def cut(self, fraction: float) -> None:
        offset = int(fraction * len(self.records))
        self.log.cut_behind(offset)
        assert self.start <= self.log.start_offset <= max(offset, self.start)
        self.start = self.log.start_offset

    def truncate(self, fraction: float) -> None:
        """Lose the end of the newest file, at any byte: whole frames before it survive."""
        path = self.newest()
        size = int(fraction * path.stat().st_size)
        self.records = self.records[: self.sound_end(path, size)]
        os.truncate(path, size)
        self.crash()

    def garbage(self, tail: bytes) -> None:
        with self.newest().open("ab") as file:
            file.write(tail)
        self.crash()

    def half_append(self, args: tuple[list[int], float]) -> None:
        """Crash within an append: any part of what it wrote may be there, in whole frames."""
        before = self.newest().stat().st_size
        n_files = len(list(self.directory.iterdir()))
        self.append(args[0])
        path = self.newest()
        if len(list(self.directory.iterdir())) > n_files:
            before = FILE_HEADER.size
        size = before + int(args[1] * (path.stat().st_size - before))
        self.records = self.records[: self.sound_end(path, size)]
        os.truncate(path, size)
        self.crash()

    def newest(self) -> Path:
        return max(self.directory.glob("*.log"))

    def sound_end(self, path: Path, size: int) -> int:
        end = int(path.stem)
        file = FsFile.open(path)
        for frame in read_frames(file, FILE_HEADER.size, path.stat().st_size):
            if frame.end <= size:
                end = frame.next_offset
        file.close()
        return end

    def check(self, from_: int) -> None:
        assert self.log.next_offset == len(self.records)
        offset = min(max(from_, self.start), len(self.records))
        reader = self.log.reader(offset)
        found: list[StoredRecord] = []
        while part := reader.read(100):
            found += part
        reader.close()
        assert found == self.records[offset:]
        assert reader.next_offset == len(self.records)


@pytest.fixture(scope="module", autouse=True)
def _no_fsync() -> Iterator[None]:
    """Spare the disk: the crashes here are made by hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        patch.setattr(os, "fdatasync", lambda fd: None)
        yield


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(operations, st.integers(0, 60))
def test_log_is_the_model_whatever_crashes(steps: list[tuple[str, object]], from_: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        model = Model(Path(directory))
        for name, argument in steps:
            getattr(model, name.replace("-", "_"))(argument)
            model.check(from_)
        model.reopen()
        model.check(from_)
        model.log.close()


@settings(deadline=None, max_examples=100)
@given(st.lists(sizes, min_size=3, max_size=6), st.floats(0, 1), st.integers(0, 7))
def test_a_flipped_bit_never_changes_what_is_read(
    appends: list[list[int]], where: float, bit: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        model = Model(Path(directory))
        for n_bytes in appends:
            model.append(n_bytes)
        model.log.close()
        paths = sorted(Path(directory).glob("*.log"))
        path = paths[int(where * 7) % len(paths)]
        data = bytearray(path.read_bytes())
        data[min(int(where * len(data)), len(data) - 1)] ^= 1 << bit
        path.write_bytes(data)
        found, blamed = read_survivors(Path(directory))
        assert found == model.records[: len(found)]
        assert blamed in (None, path.name)
        if blamed is None:
            assert found == model.records


@settings(deadline=None, max_examples=60)
@given(st.lists(sizes, min_size=1, max_size=6), st.floats(0, 0.9999))
def test_what_is_cut_off_a_log_that_was_closed_is_missed(
    appends: list[list[int]], where: float
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        model = Model(Path(directory))
        for n_bytes in appends:
            model.append(n_bytes)
        model.log.close()
        path = model.newest()
        os.truncate(path, int(where * path.stat().st_size))
        with pytest.raises(CorruptionError, match=path.name):
            PartitionFiles(FsDirectory(directory), FILE_BYTES)
        path.unlink()
        with pytest.raises(CorruptionError):
            PartitionFiles(FsDirectory(directory), FILE_BYTES)


def test_a_seal_that_a_crash_has_torn_is_none(tmp_path: Path) -> None:
    model = Model(tmp_path)
    model.append([1, 2, 3])
    model.log.close()
    seal = tmp_path / NAME
    for length in range(seal.stat().st_size):
        os.truncate(seal, length)
        model._open()
        model.check(0)
        model.log.close()


def test_after_a_crash_the_last_append_may_go_missing_but_no_other(tmp_path: Path) -> None:
    model = Model(tmp_path)
    model.append([5, 5])
    model.append([7])
    path = model.newest()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    del model.records[-1:]
    model.crash()
    model.check(0)
    model.log.close()


def read_survivors(directory: Path) -> tuple[list[StoredRecord], str | None]:
    """Return what can be read from the start on, and the file that an error names."""
    found: list[StoredRecord] = []
    try:
        log = PartitionFiles(FsDirectory(directory), FILE_BYTES)
    except CorruptionError as error:
        return found, error.name
    reader = log.reader(0)
    try:
        while part := reader.read(1):
            found += part
    except CorruptionError as error:
        return found, error.name
    finally:
        reader.close()
        log.close()
    return found, None
