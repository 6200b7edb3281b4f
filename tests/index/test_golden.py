"""What was written by an earlier version can still be read, byte by byte."""

from __future__ import annotations

import numpy as np
import pytest

from index.check_segment import check_segment
from index.directory import FsDirectory
from index.format import VERSION, Kind
from index.lengths import encode_length
from index.segment import Segment
from tests.index import golden_world
from tests.index import storage_world as world

VERSIONS = [2]
COMPRESSED = (Kind.SOURCES, Kind.SOURCE_BLOCKS)
"""Their bytes are those of the zstandard library."""


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest) -> golden_world.Golden:
    return golden_world.load(request.param)


def opened(golden: golden_world.Golden) -> Segment:
    return Segment.open(FsDirectory(golden_world.FOLDER), golden.meta)


def test_the_newest_version_has_a_golden_segment() -> None:
    assert VERSIONS[-1] == VERSION


def test_a_golden_segment_reads_as_it_was_written(golden: golden_world.Golden) -> None:
    segment, docs = opened(golden), golden.docs()
    assert segment.n_docs == len(docs) == 150
    assert world.read_postings(segment) == world.postings_of(docs)
    for doc_id, doc in enumerate(docs):
        assert segment.key(doc_id) == doc.key
        assert segment.find_key(doc.key) == doc_id
        assert segment.source(doc_id) == doc.source
        assert segment.version(doc_id) == doc.version
        assert segment.offset(doc_id) == golden_world.FIRST_OFFSET + 10 * doc_id
    for no in world.TEXTS:
        lengths = [len(doc.texts.get(no, [])) for doc in docs]
        assert np.array_equal(segment.lengths(no), lengths)
        assert np.array_equal(segment.norms(no), [encode_length(length) for length in lengths])
    for no in world.KINDS:
        for doc_id, doc in enumerate(docs):
            assert world.values_of(segment, no, doc_id) == doc.values.get(no, [])
    expected = {key.encode(): version for key, version in golden.tombstones.items()}
    assert segment.tombstones() == expected


def test_a_golden_segment_is_sound_and_has_every_kind_of_section(
    golden: golden_world.Golden,
) -> None:
    segment = opened(golden)
    assert list(check_segment(segment, lambda n_bytes: None)) == []
    assert {kind for kind, _ in segment.sections._entries} == set(Kind)


def test_the_same_documents_are_written_as_the_same_bytes() -> None:
    golden = golden_world.load(VERSION)
    written = world.write_and_open(golden.draft())
    parts = [
        {
            (kind, field): segment.sections.array(Kind(kind), np.uint8, field).tobytes()
            for kind, field in segment.sections._entries
            if kind not in COMPRESSED
        }
        for segment in (opened(golden), written)
    ]
    assert parts[0] == parts[1]
