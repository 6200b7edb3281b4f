from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.kernels.chains import fill_chain, find_positions, seek_chain
from index.kernels.rows import BLOCK, CURSOR_WIDTH
from tests.index.chain_world import Postings, chain_of, drain, row_of

# document -> positions; few documents with many positions, many with few
postings = st.dictionaries(
    st.integers(0, 2_000),
    st.one_of(st.integers(1, 3), st.integers(1, 700)).map(lambda n: list(range(0, 2 * n, 2))),
    max_size=40,
).map(lambda found: dict(sorted(found.items())))


@given(postings, st.integers(0, 2_001))
@settings(deadline=None)
def test_a_chain_gives_back_what_was_appended(found: Postings, n_docs: int) -> None:
    row = row_of(chain_of(found), n_docs)
    assert drain(row) == [(d, len(p)) for d, p in found.items() if d < n_docs]


@given(postings, st.integers(0, 2_001), st.integers(0, 2_001))
@settings(deadline=None)
def test_a_seek_loses_nothing_from_its_target_on(found: Postings, first: int, second: int) -> None:
    row = row_of(chain_of(found), 2_001)
    cursor = np.zeros(CURSOR_WIDTH, np.int64)
    seek_chain(row, cursor, min(first, second))
    seek_chain(row, cursor, max(first, second))
    rest = drain(row, cursor)
    expected = [(d, len(p)) for d, p in found.items()]
    assert rest == expected[len(expected) - len(rest) :]
    assert [entry for entry in rest if entry[0] >= max(first, second)] == [
        entry for entry in expected if entry[0] >= max(first, second)
    ]


@given(postings, st.sets(st.integers(0, 2_000), max_size=20))
@settings(deadline=None)
def test_positions_of_the_asked_documents(found: Postings, asked: set[int]) -> None:
    wanted = np.array(sorted(asked | set(list(found)[::2])), np.uint32)
    row = row_of(chain_of(found), 2_001)
    starts = np.zeros(len(wanted) + 1, np.int64)
    n = find_positions(row, wanted, starts, np.empty(0, np.uint32))
    out = np.empty(n, np.uint32)
    find_positions(row, wanted, starts, out)
    for i, doc in enumerate(wanted.tolist()):
        assert out[starts[i] : starts[i + 1]].tolist() == found.get(doc, [])


@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_a_fill_gives_at_most_a_block(n: int) -> None:
    row = row_of(chain_of({doc: [0] for doc in range(n)}), n)
    cursor = np.zeros(CURSOR_WIDTH, np.int64)
    docs, tfs = np.zeros(BLOCK, np.uint32), np.zeros(BLOCK, np.uint32)
    assert fill_chain(row, cursor, docs, tfs) == min(n, BLOCK)
    assert fill_chain(row, cursor, docs, tfs) == n - min(n, BLOCK)
    assert fill_chain(row, cursor, docs, tfs) == 0


def test_a_seek_skips_whole_blocks() -> None:
    row = row_of(chain_of({doc: [0] for doc in range(5_000)}), 5_000)
    cursor = np.zeros(CURSOR_WIDTH, np.int64)
    seek_chain(row, cursor, 4_000)
    assert drain(row, cursor)[0][0] > 3_800
