"""The name of a server in its consumer groups."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from tailrace.member import read_member_id


def test_a_directory_is_the_same_member_at_every_start(tmp_path: Path) -> None:
    assert read_member_id(tmp_path) == read_member_id(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["node.id"]


def test_a_copy_is_somebody_else_here_and_on_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    name = read_member_id(first)
    copy = shutil.copytree(first, tmp_path / "copy")
    assert read_member_id(copy) != name
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert read_member_id(first) != name


def test_a_half_written_name_of_a_crash_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "node.tmp").write_text("half")
    assert len(read_member_id(tmp_path)) == len("tailrace-") + 24
