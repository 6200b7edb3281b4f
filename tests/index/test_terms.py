from __future__ import annotations

import fnmatch
import io
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.automaton.automaton import wildcard
from index.errors import StorageError
from index.format import Sections, SegmentFile
from index.fuzzy import FuzzyPattern
from index.kernels import grams
from index.kernels.automaton_terms import scan_terms
from index.kernels.fuzzy_terms import scan_fuzzy
from index.kernels.terms import check_terms
from index.terms import Terms, TermsWriter
from tests.index.storage_world import chunk_of

Names = list[tuple[int, bytes]]


def opened(names: Names, chunk_terms: int = 5) -> Terms:
    writer = TermsWriter(io.BytesIO)
    for at in range(0, len(names), chunk_terms):
        writer.add(chunk_of([(name, {0: []}) for name in names[at : at + chunk_terms]]))
    data = b"".join(bytes(memoryview(part)) for part in SegmentFile().chunks(writer.sections()))
    sections = Sections("1.seg", np.frombuffer(bytearray(data), np.uint8))
    return Terms(sections, writer.counts, writer.longest)


pieces = st.sampled_from([b"", b"a", b"b", b"ab", b"\x00", b"\xff", b"\xc3\xa9", b"q" * 254])
term_bytes = st.one_of(
    st.lists(pieces, max_size=4).map(b"".join), st.binary(max_size=12), st.binary(max_size=3)
)
names = st.sets(st.tuples(st.sampled_from([0, 3, 70_000]), term_bytes), max_size=120).map(sorted)


@settings(deadline=None, max_examples=150)
@given(names, st.lists(st.tuples(st.integers(0, 3), term_bytes), max_size=20))
def test_every_term_is_found_and_no_other(names: Names, others: Names) -> None:
    terms = opened(names)
    assert [terms.term_bytes(i) for i in range(len(names))] == [term for _, term in names]
    for i, (field_no, term) in enumerate(names):
        assert terms.find(field_no, term) == i
        assert terms.ord_term(field_no, i - terms.fields[field_no].first) == term
    for field_no, term in others:
        expected = names.index((field_no, term)) if (field_no, term) in names else -1
        assert terms.find(field_no, term) == expected


@settings(deadline=None, max_examples=150)
@given(names, term_bytes, st.integers(0, 10))
def test_prefix_terms_are_a_range(names: Names, prefix: bytes, limit: int) -> None:
    terms = opened(names)
    for field_no in (0, 1, 3):
        expected = [
            i for i, (no, term) in enumerate(names) if no == field_no and term.startswith(prefix)
        ]
        assert terms.prefix(field_no, prefix, 1000).tolist() == expected
        assert terms.prefix(field_no, prefix, limit).tolist() == expected[:limit]


@settings(deadline=None, max_examples=100)
@given(
    st.sets(st.text("abé*?", max_size=6), max_size=60),
    st.text("ab*?é", max_size=5),
    st.integers(0, 60),
)
def test_wildcards_match_as_fnmatch_does(found: set[str], pattern: str, limit: int) -> None:
    ordered = sorted(text.encode() for text in found)
    terms = opened([(1, term) for term in ordered])
    matches = re.compile(fnmatch.translate(pattern)).match
    expected = [i for i, term in enumerate(ordered) if matches(term.decode())]
    assert terms.matching(1, wildcard(pattern), limit).tolist() == expected[:limit]
    assert terms.matching(0, wildcard(pattern), limit).tolist() == []


def test_a_backslash_takes_the_next_byte_as_it_is() -> None:
    terms = opened([(0, b"a*"), (0, b"ab")])
    assert terms.matching(0, wildcard("a\\*"), 9).tolist() == [0]


@pytest.mark.parametrize(
    "names",
    [
        [(0, b"b"), (0, b"a")],
        [(0, b"ab"), (0, b"a")],
        [(0, b"a"), (0, b"a")],
        [(1, b"a"), (0, b"b")],
        [(0, b"x" * 300 + b"b"), (0, b"x" * 300 + b"a")],
    ],
)
@pytest.mark.parametrize("chunk_terms", [1, 2])
def test_terms_out_of_order_are_refused(names: Names, chunk_terms: int) -> None:
    with pytest.raises(StorageError, match="out of order"):
        opened(names, chunk_terms)


@settings(deadline=None, max_examples=100)
@given(names.filter(bool), st.data())
def test_the_check_finds_any_order_that_a_flipped_bit_breaks(
    names: Names, data: st.DataObject
) -> None:
    terms = opened(names)
    entries = terms._owners[0]
    at = data.draw(st.integers(0, len(entries) - 1))
    entries[at] ^= 1 << data.draw(st.integers(0, 7))
    last = np.empty(terms.longest, np.uint8)
    is_sound = all(
        check_terms(terms.row, place.first_block, place.n_terms, last) == -1
        for place in terms.fields.values()
    )
    for field_no in terms.fields:  # may find anything, must not leave the arrays
        for automaton in (wildcard("*b*q"), wildcard("a*"), wildcard("?q*")):
            terms.matching(field_no, automaton, 99)
        for edits in (1, 2):
            terms.fuzzy(field_no, FuzzyPattern.of(b"ab\xc3\xa9", edits), 99)
        for scan in (scan_fuzzy, scan_terms, grams.scan_blocks):
            look_anyway(terms, field_no, scan)
    for i, (field_no, term) in enumerate(names):
        terms.find(field_no, term)  # the same
        if is_sound:
            found = terms.term_bytes(i)
            assert terms.find(field_no, found) == i


def test_an_unknown_term_id_is_an_error() -> None:
    terms = opened([(0, b"a")])
    with pytest.raises(IndexError):
        terms.term_bytes(1)
    with pytest.raises(IndexError):
        terms.ord_term(0, 1)


def test_the_worked_bytes_of_the_format_page() -> None:
    entries, starts, prefixes = opened([(0, b"apple"), (0, b"apply"), (0, b"bee")])._owners
    assert entries.tobytes() == bytes.fromhex("00 05 61 70 70 6c 65  04 01 79  00 03 62 65 65")
    assert starts.tolist() == [0, 15]
    assert prefixes.tolist() == [0x6170706C65000000]


def look_anyway(terms: Terms, field_no: int, scan: Any) -> None:
    """Run a scan that so small a dictionary would be spared."""
    place = terms.fields[field_no]
    span = terms.row, place.first_block, 0, place.n_terms
    automaton, out = wildcard("*b*"), np.empty(place.n_terms, np.int64)
    program = automaton.program, automaton.class_of
    if scan is scan_terms:
        scan(*span, *program, automaton.class_lows, out)
    elif scan is grams.scan_blocks:
        marks = np.zeros((grams.N_KINDS, place.n_terms // 1024 + 1), np.uint64)
        grams.mark_grams(terms.row, place.first_block, place.n_terms, marks)
        wanted = np.full(marks.shape[1], np.iinfo(np.uint64).max, np.uint64)
        scan(*span, wanted, *program, len(automaton.class_lows), out)
    else:
        pattern, found = FuzzyPattern.of(b"abq", 2), np.empty((place.n_terms, 3), np.int64)
        path = np.empty(terms.longest + 16, np.uint8)
        scan(*span, pattern.characters, 2, True, path, found)
