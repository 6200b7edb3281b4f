"""The small kernels of queries, each against plain Python or numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.kernels import ranges
from index.kernels.bits import count_bits, list_bits, set_bits
from index.kernels.counting import count_alive
from index.kernels.leaves import dense_next, dense_word
from index.kernels.phrase import count_exact, count_sloppy
from index.kernels.rows import ALL, BITS, LIST, ROW_WIDTH
from index.query.statistics import address
from tests.oracle import phrase_frequency

docs_below_300 = st.sets(st.integers(0, 299)).map(lambda docs: np.array(sorted(docs), np.uint32))


def bits_of(docs: np.ndarray) -> np.ndarray:
    words = np.zeros(5, np.uint64)
    set_bits(docs, words)
    return words


@settings(deadline=None)
@given(docs=docs_below_300)
def test_bits_are_set_counted_and_listed(docs: np.ndarray) -> None:
    words = bits_of(docs)
    out = np.empty(len(docs), np.uint32)
    assert count_bits(words) == len(docs) == list_bits(words, out)
    assert out.tolist() == docs.tolist()


@settings(deadline=None)
@given(lists=st.lists(docs_below_300, max_size=4), alive=docs_below_300)
def test_live_documents_are_counted(lists: list[np.ndarray], alive: np.ndarray) -> None:
    rows = np.zeros((len(lists), ROW_WIDTH), np.int64)
    for row, docs in zip(rows, lists, strict=True):
        row[:4] = (LIST, len(docs), address(docs), 0)
        assert count_alive(row, bits_of(alive)) == len(set(docs) & set(alive))


@settings(deadline=None)
@given(docs=docs_below_300, target=st.integers(0, 310))
def test_dense_leaves_find_the_next_document(docs: np.ndarray, target: int) -> None:
    words = bits_of(docs)
    row = np.zeros(ROW_WIDTH, np.int64)
    row[:4] = (BITS, 300, address(words), len(words))
    assert dense_next(row, target, 300) == min((d for d in docs if d >= target), default=300)
    row[:3] = (ALL, 300, 300)
    assert dense_next(row, target, 300) == min(target, 300)
    assert dense_word(row, 4, 300) == 2**44 - 1


@settings(deadline=None)
@given(
    values=st.lists(st.lists(st.integers(-4, 4), max_size=2), min_size=1, max_size=150),
    low=st.integers(-5, 5),
    high=st.integers(-5, 5),
    kind=st.sampled_from(["i64", "f64", "ord"]),
    is_single=st.booleans(),
)
def test_ranges_over_columns(
    values: list[list[int]], low: int, high: int, kind: str, is_single: bool
) -> None:
    shift = 4 if kind == "ord" else 0
    if is_single:
        values = [each[:1] for each in values]
    dtype = {"i64": np.int64, "f64": np.float64, "ord": np.uint32}[kind]
    counts = np.array([len(each) for each in values])
    present = np.zeros((len(values) + 63) // 64, np.uint64)
    set_bits(np.flatnonzero(counts).astype(np.uint32), present)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
    flat = [v + shift for each in values for v in (each or [0] * is_single)]
    column = np.array(flat, dtype)
    bounds = np.array([low + shift, high + shift], np.float64 if kind == "f64" else np.int64)
    row = np.zeros(ROW_WIDTH, np.int64)
    number = {"i64": ranges.RANGE_I64, "f64": ranges.RANGE_F64, "ord": ranges.RANGE_ORD}[kind]
    row[: ranges.STARTS + 1] = (
        number, len(values), address(column), len(column), *bounds.view(np.int64),
        address(present), 0 if is_single else address(starts),
    )  # fmt: skip
    found = [
        doc
        for doc in range(len(values))
        if int(dense_word(row, doc >> 6, len(values))) >> (doc & 63) & 1
    ]
    expected = [d for d, each in enumerate(values) if any(low <= v <= high for v in each)]
    assert found == expected


places = st.lists(st.sets(st.integers(0, 14), max_size=5).map(sorted), min_size=2, max_size=3)


@settings(deadline=None, max_examples=300)
@given(documents=st.lists(places, min_size=1, max_size=3), slop=st.integers(0, 6))
def test_phrases_are_counted_as_the_oracle_counts(
    documents: list[list[list[int]]], slop: int
) -> None:
    n_terms = min(len(document) for document in documents)
    terms = [f"t{t}" for t in range(n_terms)]
    starts, flat = np.zeros((n_terms, len(documents) + 1), np.int64), []
    for t in range(n_terms):
        starts[t, 0] = len(flat)
        for d, document in enumerate(documents):
            flat += document[t]
            starts[t, d + 1] = len(flat)
    positions = np.array(flat, np.uint32)
    offsets, groups = np.arange(n_terms), np.arange(n_terms)
    found = np.zeros(len(documents), np.float32)
    if slop == 0:
        count_exact(starts, positions, offsets, np.zeros(n_terms, np.int64), found)
    else:
        scratch = np.zeros((3, n_terms), np.int64)
        count_sloppy(starts, positions, offsets, groups, slop, scratch, found)
    expected = [
        phrase_frequency(terms, offsets.tolist(), document[:n_terms], slop)
        for document in documents
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_equal_terms_of_a_phrase_need_positions_of_their_own() -> None:
    starts = np.array([[0, 1], [1, 2]], np.int64)
    offsets, groups = np.array([0, 1]), np.array([0, 0])
    found = np.zeros(1, np.float32)
    scratch = np.zeros((3, 2), np.int64)
    count_sloppy(starts, np.array([4, 4], np.uint32), offsets, groups, 5, scratch, found)
    assert found[0] == 0.0
    starts = np.array([[0, 2], [2, 4]], np.int64)
    positions = np.array([4, 5, 4, 5], np.uint32)
    count_sloppy(starts, positions, offsets, groups, 5, scratch, found)
    assert found[0] > 0.0
