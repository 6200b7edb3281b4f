"""Liveness: bits are copied before they are cleared, and what died meanwhile is carried over."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from index.part import carry_over, clear_docs, count_set, full_bitset, grow_bitset, is_set, set_docs


@given(st.integers(0, 300))
def test_a_full_bitset_has_exactly_the_documents(n_docs: int) -> None:
    assert set_docs(full_bitset(n_docs)).tolist() == list(range(n_docs))


@given(st.integers(1, 300), st.data())
def test_clearing_leaves_the_original_untouched(n_docs: int, data: st.DataObject) -> None:
    dead = data.draw(st.sets(st.integers(0, n_docs - 1)))
    before = full_bitset(n_docs)
    after = clear_docs(before, n_docs, np.array(sorted(dead), np.uint32))
    assert count_set(before) == n_docs
    assert set(set_docs(after).tolist()) == set(range(n_docs)) - dead
    assert all(is_set(after, doc) == (doc not in dead) for doc in range(n_docs))


@given(st.integers(1, 200), st.integers(0, 200), st.data())
def test_a_grown_bitset_keeps_the_dead_and_adds_the_living(
    old: int, more: int, data: st.DataObject
) -> None:
    dead = data.draw(st.sets(st.integers(0, old - 1)))
    words = clear_docs(None, old, np.array(sorted(dead), np.uint32))
    grown = grow_bitset(words, old, old + more)
    assert set(set_docs(grown).tolist()) == set(range(old + more)) - dead


def test_only_what_died_since_is_carried_over() -> None:
    since = clear_docs(None, 6, np.array([0], np.uint32))
    now = clear_docs(since, 6, np.array([3, 5], np.uint32))
    doc_map = np.array([-1, 0, 1, 2, 3, 4], np.int64)
    out = carry_over(now, since, doc_map, None, 5)
    assert out is not None
    assert set_docs(out).tolist() == [0, 1, 3]
    assert carry_over(since, since, doc_map, None, 5) is None
