from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.bm25 import length_table
from index.draft import TermChunk
from index.errors import StorageError
from index.format import Sections, SegmentFile
from index.kernels.postings import fill_blocks, seek_blocks
from index.kernels.rows import BLOCK, BLOCKS, CURSOR_WIDTH, LIST, ROW_WIDTH
from index.postings import Postings, PostingsWriter
from tests.index import storage_world as world

N_DOCS = 2**32 - 1


def opened(
    chunks: list[TermChunk],
    n_docs: int = N_DOCS,
    norms: dict[int, np.ndarray] | None = None,
    averages: dict[int, float] | None = None,
) -> Postings:
    writer = PostingsWriter(n_docs, norms or {}, averages or {}, io.BytesIO)
    for chunk in chunks:
        writer.add(chunk)
    data = b"".join(bytes(memoryview(part)) for part in SegmentFile().chunks(writer.sections()))
    sections = Sections("1.seg", np.frombuffer(bytearray(data), np.uint8))
    return Postings(sections, sum(len(chunk.field_nos) for chunk in chunks))


def drain(row: np.ndarray, cursor: np.ndarray) -> list[tuple[int, int]]:
    docs, tfs = np.zeros((2, BLOCK), np.uint32)
    found: list[tuple[int, int]] = []
    while n := fill_blocks(row, cursor, docs, tfs):
        found += zip(docs[:n].tolist(), tfs[:n].tolist(), strict=True)
    return found


def postings_from(gaps: list[int], tfs: list[int], positions: list[int]) -> world.Postings:
    docs = (np.cumsum(np.array(gaps) + 1) - 1).tolist()
    return {
        doc: sorted(positions[i % len(positions)] + 3 * k for k in range(tf))
        for i, (doc, tf) in enumerate(zip(docs, tfs, strict=True))
    }


big = st.one_of(st.integers(0, 3), st.integers(0, 2**20))
terms = st.lists(
    st.integers(1, 300).flatmap(
        lambda n: st.builds(
            postings_from,
            st.lists(big, min_size=n, max_size=n),
            st.lists(st.one_of(st.just(1), st.integers(1, 9)), min_size=n, max_size=n),
            st.lists(st.integers(0, 2**31 - 100), min_size=1, max_size=20),
        )
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=60)
@given(terms, st.booleans())
def test_postings_come_back_as_they_were_written(
    terms: list[world.Postings], in_one_chunk: bool
) -> None:
    named = [((1, b"%d" % i), postings) for i, postings in enumerate(terms)]
    groups = [named] if in_one_chunk else [[term] for term in named]
    postings = opened([world.chunk_of(group) for group in groups])
    for term_id, expected in enumerate(terms):
        row = np.zeros(ROW_WIDTH, np.int64)
        postings.leaf(term_id, row)
        assert row[1] == postings.doc_freq(term_id) == len(expected)
        if row[0] == BLOCKS:
            found = drain(row, np.zeros(CURSOR_WIDTH, np.int64))
            assert found == [(doc, len(positions)) for doc, positions in expected.items()]
        starts, positions = postings.positions(term_id, np.array(list(expected), np.uint32))
        assert starts.tolist() == world.starts([len(p) for p in expected.values()]).tolist()
        assert positions.tolist() == [p for of_doc in expected.values() for p in of_doc]


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.integers(0, 5_000), min_size=2, max_size=900),
    st.lists(st.integers(0, 5_200), min_size=1, max_size=8),
)
def test_seeking_never_passes_the_first_document_from_the_target_on(
    docs: set[int], targets: list[int]
) -> None:
    ordered = sorted(docs)
    postings = opened([world.chunk_of([((0, b"t"), {doc: [0] for doc in ordered})])])
    row, cursor = np.zeros(ROW_WIDTH, np.int64), np.zeros(CURSOR_WIDTH, np.int64)
    postings.leaf(0, row)
    for target in sorted(targets):
        seek_blocks(row, cursor, target)
        rest = [doc for doc, _ in drain(row, cursor.copy())]
        from_target = [doc for doc in ordered if doc >= target]
        assert rest[len(rest) - len(from_target) :] == from_target
        assert len(rest) - len(from_target) < BLOCK


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.integers(0, 2_000), min_size=1, max_size=400),
    st.sets(st.integers(0, 2_000), max_size=50),
)
def test_positions_are_those_of_the_documents_asked_for(docs: set[int], wanted: set[int]) -> None:
    expected = {doc: [doc % 7, doc % 7 + 2] for doc in sorted(docs)}
    postings = opened([world.chunk_of([((0, b"t"), expected)])])
    asked = sorted(wanted)
    starts, positions = postings.positions(0, np.array(asked, np.uint32))
    for at, doc in enumerate(asked):
        assert positions[starts[at] : starts[at + 1]].tolist() == expected.get(doc, [])


def test_a_single_posting_is_a_list_in_the_mapped_records() -> None:
    postings = opened([world.chunk_of([((0, b"a"), {70_000: [5]}), ((0, b"b"), {3: []})])])
    row = np.zeros(ROW_WIDTH, np.int64)
    postings.leaf(0, row)
    assert row[:2].tolist() == [LIST, 1]
    assert postings.positions(0, np.array([3, 70_000], np.uint32))[1].tolist() == [5]
    starts, positions = postings.positions(1, np.array([3], np.uint32))
    assert (starts.tolist(), positions.tolist()) == ([0, 0], [])


def test_the_widest_values_fit() -> None:
    expected = {0: [2**32 - 1], N_DOCS - 1: [0, 2**32 - 1]}
    postings = opened([world.chunk_of([((0, b"t"), expected)])])
    row = np.zeros(ROW_WIDTH, np.int64)
    postings.leaf(0, row)
    assert drain(row, np.zeros(CURSOR_WIDTH, np.int64)) == [(0, 1), (N_DOCS - 1, 2)]
    docs = np.array(list(expected), np.uint32)
    assert postings.positions(0, docs)[1].tolist() == [2**32 - 1, 0, 2**32 - 1]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 120)), min_size=2, max_size=300),
    st.floats(1.0, 200.0),
)
def test_a_block_knows_the_document_with_the_greatest_part(
    documents: list[tuple[int, int]], average: float
) -> None:
    norms = np.array([norm for _, norm in documents], np.uint8)
    expected = {doc: list(range(tf)) for doc, (tf, _) in enumerate(documents)}
    chunk = world.chunk_of([((2, b"t"), expected)])
    postings = opened([chunk], n_docs=len(documents), norms={2: norms}, averages={2: average})
    table = length_table(average)
    for block, meta in enumerate(postings._owners[2].tolist()):
        own = documents[block * 128 : block * 128 + 128]
        parts = [np.float32(tf) / (np.float32(tf) + table[norm]) for tf, norm in own]
        norm, tf = (meta >> 46) & 255, (meta >> 54) & 255
        best = [pair for pair, part in zip(own, parts, strict=True) if part == max(parts)]
        assert (tf, norm) in {(min(each, 255), n) for each, n in best}
        dominant = (max(tf for tf, _ in own), min(norm for _, norm in own))
        assert bool(meta >> 62 & 1) == (dominant in own)


@pytest.mark.parametrize(
    "broken",
    [
        {"docs": [2, 2], "tfs": [1, 1], "positions": [0, 0]},
        {"docs": [2, 1], "tfs": [1, 1], "positions": [0, 0]},
        {"docs": [1, 9], "tfs": [1, 1], "positions": [0, 0]},
        {"docs": [1, 2], "tfs": [1, 0], "positions": [0]},
        {"docs": [1, 2], "tfs": [1, 2], "positions": [0, 1]},
        {"docs": [1, 2], "tfs": [1, 2], "positions": [0, 2, 1]},
        {"docs": [], "tfs": [], "positions": []},
    ],
)
def test_unsound_postings_are_refused(broken: dict[str, list[int]]) -> None:
    chunk = TermChunk(
        field_nos=np.zeros(1, np.uint32),
        term_starts=np.array([0, 1]),
        blob=np.zeros(1, np.uint8),
        posting_starts=np.array([0, len(broken["docs"])]),
        docs=np.array(broken["docs"], np.uint32),
        tfs=np.array(broken["tfs"], np.uint32),
        position_starts=np.array([0, len(broken["positions"])]),
        positions=np.array(broken["positions"], np.uint32),
    )
    with pytest.raises(StorageError, match="unsound postings"):
        opened([chunk], n_docs=9)


def test_damaged_metadata_does_not_read_outside_the_data() -> None:
    postings = opened([world.chunk_of([((0, b"t"), {doc: [0, 5] for doc in range(300)})])])
    row = np.zeros(ROW_WIDTH, np.int64)
    postings.leaf(0, row)
    postings._owners[1][1] |= np.uint64(1 << 39)
    assert len(drain(row, np.zeros(CURSOR_WIDTH, np.int64))) == BLOCK
    postings._owners[2][0] |= np.uint64(1 << 39)
    assert postings.positions(0, np.arange(3, dtype=np.uint32))[1].tolist() == []
    postings._records[0] |= np.uint64(1 << 30)
    postings.leaf(0, row)
    assert row[1] == 0


def test_an_unknown_term_is_an_error() -> None:
    with pytest.raises(IndexError):
        opened([world.chunk_of([((0, b"t"), {0: [0]})])]).doc_freq(1)


def test_the_worked_bytes_of_the_format_page() -> None:
    postings = opened([world.chunk_of([((0, b"t"), {2: [0, 3], 9: [1]})])])
    last_docs, _, _, data, positions = postings._owners
    assert postings._records.tolist() == [0x0000000200000000]
    assert last_docs.tolist() == [9]
    assert data.tobytes() == bytes.fromhex("02 01") + bytes(8)
    assert positions.tobytes() == bytes.fromhex("1c") + bytes(8)
