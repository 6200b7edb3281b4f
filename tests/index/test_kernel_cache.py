"""The folders of compiled kernels: which sources count, and what a shipped one must prove."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.kernels import cache


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three kernel modules: top imports middle, middle imports bottom."""
    here = tmp_path / "kernels"
    here.mkdir()
    (here / "bottom.py").write_text("X = 1\n")
    (here / "middle.py").write_text("from index.kernels.bottom import X\n")
    (here / "top.py").write_text("from index.kernels import middle\nimport numpy\n")
    (here / "other.py").write_text("Y = 1\n")
    monkeypatch.setattr(cache, "_HERE", here)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    _forget()
    yield here
    _forget()


def _forget() -> None:
    cache._imports.cache_clear()
    cache.source_hash.cache_clear()
    cache.cache_folder.cache_clear()


def _hashes() -> dict[str, str]:
    _forget()
    return {name: cache.source_hash(name) for name in ("bottom", "middle", "top", "other")}


def test_a_change_counts_for_every_module_that_depends_on_it(kernels: Path) -> None:
    before = _hashes()
    (kernels / "bottom.py").write_text("X = 2\n")
    after = _hashes()
    assert {name for name in before if before[name] != after[name]} == {"bottom", "middle", "top"}


def test_the_folder_beside_the_sources_comes_first(kernels: Path) -> None:
    assert cache.cache_folder("top").parent == kernels / "compiled"


def test_a_folder_that_cannot_be_written_is_used_only_where_it_is_complete(
    kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mark_complete("top")
    monkeypatch.setattr(cache, "_is_writable", lambda folder: kernels not in folder.parents)
    _forget()
    assert cache.cache_folder("top").parent == kernels / "compiled"
    assert cache.cache_folder("other").parent == tmp_path / "home" / ".cache" / "tailrace"
    (cache.cache_folder("top") / "complete").write_text("another processor")
    _forget()
    assert cache.cache_folder("top").parent == tmp_path / "home" / ".cache" / "tailrace"
