from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import term_walk
from index.errors import CorruptionError
from index.format import Kind
from index.merge import MergeDraft
from index.segment import Segment
from tests.index import storage_world as world
from tests.index.storage_world import Document, ListDraft, MemoryDirectory

drawn_segments = st.lists(
    st.lists(st.tuples(world.documents, st.booleans() | st.just(True)), max_size=8),
    min_size=1,
    max_size=5,
)


class Offsets(ListDraft):
    """A draft whose documents are at given offsets."""

    def __init__(self, docs: list[Document], offsets: list[int], **more: Any) -> None:
        super().__init__(docs, **more)
        self._offsets = offsets

    def offsets(self) -> np.ndarray:
        return np.array(self._offsets, np.int64)


def contents(segment: Segment) -> dict[tuple[int, int], bytes]:
    """Return the bytes of every section, but for how sources are cut into blocks."""
    blocks = (Kind.SOURCES, Kind.SOURCE_BLOCKS, Kind.SOURCE_DOCS)
    return {
        (kind, field): segment.sections.data[entry.offset : entry.offset + entry.length].tobytes()
        for (kind, field), entry in segment.sections._entries.items()
        if kind not in blocks
    }


@settings(deadline=None, max_examples=150)
@given(drawn_segments, st.sampled_from([1, 2, 1 << 15]))
def test_a_merge_is_the_segment_of_all_kept_documents(
    drawn: list[list[tuple[Document, bool]]], room: int
) -> None:
    directory = MemoryDirectory()
    segments, kept, offsets, keep = [], [], [], []
    at = 0
    for number, of_segment in enumerate(drawn):
        docs = [doc for doc, _ in of_segment]
        meta = world.write(directory, f"{number}.seg", ListDraft(docs, first_offset=at))
        segments.append(Segment.open(directory, meta))
        flags = [flag for _, flag in of_segment]
        keep.append(None if all(flags) else world.bits(flags))
        kept += [doc for doc, flag in of_segment if flag]
        offsets += [at + 10 * i for i, flag in enumerate(flags) if flag]
        at += 1000
    draft = MergeDraft(segments, keep)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CHUNK_TERMS", "CHUNK_BLOCKS", "CHUNK_BYTES", "WAITING_POSITIONS"):
            patch.setattr(term_walk, name, room)
        patch.setattr(term_walk, "CHUNK_DATA", room << 10)
        merged = Segment.open(directory, world.write(directory, "merged.seg", draft))
    direct = world.write(directory, "direct.seg", Offsets(kept, offsets))
    assert contents(merged) == contents(Segment.open(directory, direct))
    assert list(merged.stored.all()) == [doc.source for doc in kept]
    maps = [doc_id for doc_map in draft.doc_maps for doc_id in doc_map.tolist()]
    assert [doc_id for doc_id in maps if doc_id >= 0] == list(range(len(kept)))
    assert [doc_id >= 0 for doc_id in maps] == [flag for s in drawn for _, flag in s]


def test_long_postings_merge_block_by_block() -> None:
    rng = np.random.default_rng(1)
    directory = MemoryDirectory()
    docs = [
        Document(b"%d" % i, i, b"", {0: [b"a"] * int(rng.integers(1, 5))}, {3: [b"t%d" % (i % 5)]})
        for i in range(900)
    ]
    segments = [
        Segment.open(
            directory,
            world.write(
                directory, f"{at}.seg", ListDraft(docs[at : at + 300], first_offset=10 * at)
            ),
        )
        for at in (0, 300, 600)
    ]
    flags = (rng.random(300) < 0.7).tolist()
    draft = MergeDraft(segments, [None, world.bits(flags), None])
    merged = Segment.open(directory, world.write(directory, "m.seg", draft))
    kept = [i for i in range(900) if not 300 <= i < 600 or flags[i - 300]]
    expected = Offsets([docs[i] for i in kept], [10 * i for i in kept])
    direct = Segment.open(directory, world.write(directory, "d.seg", expected))
    assert contents(merged) == contents(direct)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 4), max_size=3),
            st.dictionaries(st.integers(0, 4), st.integers(0, 50), max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_of_each_key_the_newest_tombstone_stays(
    drawn: list[tuple[list[int], dict[int, int]]],
) -> None:
    segments = []
    for number, (keys, tombstones) in enumerate(drawn):
        docs = [Document(b"k%d" % key, 0, b"") for key in keys]
        draft = ListDraft(docs, 1000 * number, {b"k%d" % k: v for k, v in tombstones.items()})
        segments.append(world.write_and_open(draft, f"{number}.seg"))
    expected: dict[bytes, int] = {}
    for _, tombstones in drawn:
        expected.update((b"k%d" % key, version) for key, version in tombstones.items())
    assert MergeDraft(segments, [None] * len(segments)).tombstones() == expected


def test_a_merge_of_damaged_postings_stops() -> None:
    docs = [Document(b"%d" % i, i, b"", {0: [b"a", b"b"]}) for i in range(300)]
    segment = world.write_and_open(ListDraft(docs))
    segment.postings._owners[1][1] |= np.uint64(1 << 39)
    with pytest.raises(CorruptionError, match="cannot be read"):
        list(MergeDraft([segment], [None]).encoded_terms(np.zeros((2, 0), np.int64)))
