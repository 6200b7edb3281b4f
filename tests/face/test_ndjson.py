from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tailrace.ndjson import NdjsonFile, UnreadableError

TEXT = b'{"a": 1}\n\n[1]\n{"a": \n{"a": 2}'


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("x.ndjson", bytes),
        ("x.ndjson.gz", gzip.compress),
        ("x.ndjson.zst", zstandard.compress),
        ("x.zst", lambda raw: zstandard.compress(raw[:9]) + zstandard.compress(raw[9:])),
    ],
)
def test_documents_and_errors_come_with_their_line(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(TEXT))
    lines = list(NdjsonFile(str(path)).lines())
    assert [(line.number, line.document) for line in lines] == [
        (1, {"a": 1}),
        (3, None),
        (4, None),
        (5, {"a": 2}),
    ]
    assert lines[1].error == "not a JSON object"
    assert lines[2].error is not None
    assert lines[2].error.startswith("not JSON: ")


def test_lines_that_were_read_before_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(TEXT)
    assert [line.number for line in NdjsonFile(str(path)).lines(after=3)] == [4, 5]


def test_position_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson.zst"
    path.write_bytes(zstandard.compress(TEXT))
    file = NdjsonFile(str(path))
    for _line in file.lines():
        assert 0 <= file.position <= path.stat().st_size
    assert file.position == file.n_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("name", "pack"), [("x.ndjson.gz", gzip.compress), ("x.ndjson.zst", zstandard.compress)]
)
@pytest.mark.parametrize("n_lost", [1, 9, 20])
def test_a_torn_archive_is_an_error_that_names_the_file(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], n_lost: int
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(TEXT * 100)[:-n_lost])
    with pytest.raises(UnreadableError, match=name):
        list(NdjsonFile(str(path)).lines())


@pytest.mark.parametrize("name", ["x.gz", "x.zst"])
def test_what_is_no_archive_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(TEXT)
    with pytest.raises(UnreadableError, match=name):
        list(NdjsonFile(str(path)).lines())


def test_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="is a directory"):
        list(NdjsonFile(str(tmp_path)).lines())
