from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import stored as stored_module
from index.errors import CorruptionError, StorageError
from index.format import Sections, SegmentFile
from index.stored import CACHED_BLOCKS, Frames, Stored, encode_sources


def opened(sources: list[bytes | Frames], n_docs: int, block_bytes: int = 50) -> Stored:
    parts = SegmentFile().chunks(encode_sources(sources, n_docs, block_bytes, 3))
    data = b"".join(bytes(memoryview(part)) for part in parts)
    return Stored(Sections("1.seg", np.frombuffer(bytearray(data), np.uint8)), n_docs)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=60), max_size=60), st.data())
def test_sources_come_back_in_any_order(sources: list[bytes], data: st.DataObject) -> None:
    stored = opened(list(sources), len(sources))
    for doc_id in data.draw(st.permutations(range(len(sources)))):
        assert stored.source(doc_id) == sources[doc_id]
    assert list(stored.all()) == sources


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 6_000), st.booleans()), max_size=40),
    st.integers(1, 20_000),
)
def test_copied_frames_hold_the_documents_that_are_kept(
    drawn: list[tuple[int, bool]], block_bytes: int
) -> None:
    sources: list[bytes | Frames] = [bytes([i]) * size for i, (size, _) in enumerate(drawn)]
    kept = np.array([flag for _, flag in drawn], np.bool_)
    packed = list(opened(sources, len(sources), block_bytes).packed(kept))
    copy = opened(packed, int(kept.sum()), block_bytes)
    assert list(copy.all()) == [source for source, flag in zip(sources, kept, strict=True) if flag]


def test_whole_blocks_are_copied_without_unpacking() -> None:
    sources: list[bytes | Frames] = [bytes([i]) * 10_000 for i in range(4)]
    stored = opened(sources, 4, block_bytes=10_000)
    first, second = stored.packed(np.array([True, False, True, True]))
    assert isinstance(first, Frames)
    assert isinstance(second, Frames)
    assert (first.n_docs.tolist(), second.n_docs.tolist()) == ([1], [1, 1])


def test_frames_are_copied_in_runs_of_bounded_length(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    sources: list[bytes | Frames] = [chance.bytes(10_000) for _ in range(7)]
    stored = opened(sources, 7, block_bytes=10_000)
    monkeypatch.setattr(stored_module, "LARGEST_RUN", 30_100)
    runs = list(stored.packed(np.ones(7, np.bool_)))
    assert [len(run.n_docs) for run in runs if isinstance(run, Frames)] == [3, 3, 1]
    assert list(opened(runs, 7).all()) == sources


def test_the_number_of_sources_must_be_that_of_the_documents() -> None:
    with pytest.raises(StorageError, match="1 sources for 2 documents"):
        opened([b"a"], 2)


def test_a_document_that_is_not_there_has_no_source() -> None:
    with pytest.raises(IndexError):
        opened([b"a"], 1).source(1)


def test_few_blocks_are_kept_unpacked() -> None:
    stored = opened([b"x" * 60] * 40, 40)
    for doc_id in range(40):
        stored.source(doc_id)
    assert stored._unpack.cache_info().currsize == CACHED_BLOCKS


def test_a_large_source_is_not_kept_unpacked() -> None:
    large = np.random.default_rng(1).bytes(100_000)
    stored = opened([b"small" * 20, large], 2)
    assert stored.source(1) == large
    assert stored._unpack.cache_info().currsize == 0
    assert stored.source(0) == b"small" * 20
    assert stored._unpack.cache_info().currsize == 1


def test_the_last_reference_frees_the_sources_at_once() -> None:
    stored = opened([b"x" * 60] * 40, 40)
    stored.source(3)
    gc.disable()
    try:
        gone = weakref.ref(stored)
        del stored
        assert gone() is None
    finally:
        gc.enable()


def test_a_damaged_frame_is_told_with_its_place() -> None:
    stored = opened([b"some source, some more of it"] * 9, 9)
    stored._frames[int(stored._starts[1]) + 1] ^= 0xFF
    assert stored.source(0) == b"some source, some more of it"
    with pytest.raises(CorruptionError, match=r"1\.seg at byte \d+: a block of sources") as raised:
        stored.source(2)
    assert raised.value.offset == 64 + int(stored._starts[1])


@pytest.mark.parametrize("size", [0, 200, 300, 8_180, 8_190, 65_000, 65_700, 70_000])
def test_small_blocks_are_packed_again(size: int) -> None:
    stored = opened([b"x" * size], 1, block_bytes=1)
    (part,) = stored.packed(np.ones(1, np.bool_))
    is_large = size + 8 >= stored_module.SMALLEST_COPIED
    assert isinstance(part, Frames) == is_large
