"""Fuzzy terms: the kernels against a table of all distances, the choice against the whole index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.document import DocumentEvent, Op
from index.fuzzy import FuzzyPattern
from index.kernels.fuzzy_terms import scan_fuzzy
from index.live_bytes import LiveBytes, LiveKeys
from index.memtable_reader import MemtableReader
from index.query.fuzzy import max_edits, read_fuzziness
from index.query.parse_json import parse_search
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from tests.index.search_world import MAPPING, NOW_MS, World, views_of
from tests.index.test_terms import opened
from tests.index.test_vocabulary import filled
from tests.oracle import Oracle, OracleHit, OracleResult, differences, edit_distance

# one, two, three and four bytes; a and é share no byte, é and è do
words = st.text(st.sampled_from("aabcéè漢😀"), max_size=7)
edits = st.integers(1, 2)
prefixes = st.integers(0, 3)


def twin(pattern: str, term: str, most: int, prefix: int, swaps: bool) -> int | None:
    """Return the edits, None where they are too many or the prefix is another."""
    prefix = min(prefix, len(pattern))
    if not term.startswith(pattern[:prefix]):
        return None
    found = edit_distance(pattern[prefix:], term[prefix:], swaps)
    return found if found <= most else None


@settings(deadline=None, max_examples=500)
@given(words, words, edits, prefixes, st.booleans())
def test_edits_are_those_of_the_whole_table(
    word: str, term: str, most: int, prefix: int, swaps: bool
) -> None:
    pattern = FuzzyPattern.of(word.encode(), most, prefix, transposes=swaps)
    assert pattern.edits(term.encode()) == min(edit_distance(word, term, swaps), most + 1)
    accepts = twin(word, term, most, prefix, swaps) is not None
    assert pattern.accepts(term.encode()) == accepts


@settings(deadline=None, max_examples=300)
@given(st.sets(words, max_size=60), words, edits, prefixes, st.booleans(), st.integers(0, 60))
def test_dictionaries_give_all_terms_that_are_near(
    terms: set[str], word: str, most: int, prefix: int, swaps: bool, limit: int
) -> None:
    ordered = sorted(terms, key=str.encode)
    pattern = FuzzyPattern.of(word.encode(), most, prefix, transposes=swaps)
    expected = [
        (term, found, len(term))
        for term in ordered
        if (found := twin(word, term, most, prefix, swaps)) is not None
    ]
    segment = opened([(0, b"a"), *((1, term.encode()) for term in ordered), (2, b"a")])
    ids, found, lengths = segment.fuzzy(1, pattern, 100)
    names = [segment.term_bytes(i).decode() for i in ids.tolist()]
    assert list(zip(names, found.tolist(), lengths.tolist(), strict=True)) == expected
    assert segment.fuzzy(1, pattern, limit).ids.tolist() == ids.tolist()[:limit]
    assert len(segment.fuzzy(3, pattern, 100).ids) == 0

    # a large dictionary is walked, whatever the edits
    walked = np.empty((len(terms), 3), np.int64)
    place, path = segment.fields.get(1), np.empty(segment.longest + 16, np.uint8)
    if place is not None:
        first, end = (i - place.first for i in segment.range_of(1, pattern.prefix))
        span = segment.row, place.first_block, first, end
        n = scan_fuzzy(*span, pattern.characters, most, swaps, path, walked)
        assert (walked[:n, 0] + place.first).tolist() == ids.tolist()
        assert walked[:n, 1].tolist() == found.tolist()

    reader = memtable_of([(1, term.encode()) for term in terms] + [(0, b"a")])
    ids, found, lengths = reader.fuzzy_terms(1, pattern, 100)
    names = [reader.term_bytes(i).decode() for i in ids.tolist()]
    in_memory = zip(names, found.tolist(), lengths.tolist(), strict=True)
    assert sorted(in_memory) == sorted(expected)
    assert len(reader.fuzzy_terms(1, pattern, limit).ids) == min(limit, len(expected))


def memtable_of(terms: list[tuple[int, bytes]]) -> MemtableReader:
    """Return a memtable with one document that has these terms."""
    none = np.zeros(0, np.int64)
    keys, sources = LiveKeys().snapshot(), LiveBytes().snapshot()
    return MemtableReader(1, filled([terms]).terms(), {}, keys, sources, none, none)


@settings(deadline=None, max_examples=200)
@given(st.sets(st.binary(max_size=8), max_size=40), st.binary(max_size=8), edits, prefixes)
def test_bytes_that_are_no_text_are_scanned_alike(
    terms: set[bytes], word: bytes, most: int, prefix: int
) -> None:
    pattern = FuzzyPattern.of(word, most, prefix)
    segment = opened([(1, term) for term in sorted(terms)])
    reader = memtable_of([(1, term) for term in terms])
    expected = sorted(term for term in terms if pattern.accepts(term))
    assert [segment.term_bytes(i) for i in segment.fuzzy(1, pattern, 99).ids.tolist()] == expected
    found = reader.fuzzy_terms(1, pattern, 99).ids.tolist()
    assert sorted(map(reader.term_bytes, found)) == expected


def test_a_long_word_needs_little_room() -> None:
    word = b"a" * 30_000
    pattern = FuzzyPattern.of(word, 2)
    assert pattern.edits(word[:-1]) == 1
    assert opened([(0, word)]).fuzzy(0, pattern, 9).edits.tolist() == [0]


def test_answers_of_a_dictionary_are_kept_and_bounded() -> None:
    segment = opened([(1, b"a"), (1, b"ab"), (2, b"b")])
    search = segment._search(1, segment.fields[1])
    first = search.fuzzy(FuzzyPattern.of(b"a", 1), 0, 2, 9)
    assert search.fuzzy(FuzzyPattern.of(b"a", 1), 0, 2, 9) is first
    others = [
        (FuzzyPattern.of(b"a", 1), 0, 2, 1),
        (FuzzyPattern.of(b"a", 1), 1, 2, 9),
        (FuzzyPattern.of(b"a", 2), 0, 2, 9),
        (FuzzyPattern.of(b"a", 1, 1), 0, 2, 9),
        (FuzzyPattern.of(b"a", 1, transposes=False), 0, 2, 9),
    ]
    assert all(search.fuzzy(*other) is not first for other in others)
    for number in range(1000):
        search.fuzzy(FuzzyPattern.of(b"%d" % number, 1), 0, 2, 9)
    assert len(search._known) <= 256


@pytest.mark.parametrize(
    ("fuzziness", "expected"),
    [
        ("AUTO", [0, 0, 1, 1, 2, 2]),
        ("AUTO:2,4", [0, 1, 1, 2, 2, 2]),
        ("AUTO:0,0", [2, 2, 2, 2, 2, 2]),
        ("1", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_edits_follow_the_number_of_characters(fuzziness: str, expected: list[int]) -> None:
    lengths = [1, 2, 3, 5, 6, 40]
    assert [max_edits(fuzziness, "é" * n) for n in lengths] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", "AUTO"),
        ("Auto: 3, 6", "AUTO:3,6"),
        ("2.0", "2"),
        ("3", None),
        ("AUTO:6,3", None),
        ("", None),
    ],
)
def test_fuzziness_is_read(text: str, expected: str | None) -> None:
    assert read_fuzziness(text) == expected


# --- what is chosen, and how it scores -------------------------------------------------------
Documents = list[tuple[str, dict[str, Any]]]


def search(batches: list[Documents], body: dict[str, Any]) -> list[tuple[bytes, float | None]]:
    views, ref = views_of(*batches)
    searcher = Searcher(views, ref.current, NOW_MS)
    hits = searcher.search(parse_search({"query": body, "size": 40})).hits
    return [(searcher.key(hit), hit.score) for hit in hits]


def test_the_closest_terms_are_taken_and_then_the_first_in_byte_order() -> None:
    words = ["house", "horse", "mouse", "hose", "louse", "houses"]
    documents: Documents = [(word, {"tag": word}) for word in words]
    query = {"fuzzy": {"tag": {"value": "house", "fuzziness": 1, "max_expansions": 4}}}
    found = [key for key, _ in search([documents], query)]
    # `hose` is an edit away too, but one of four characters; all but the word itself score alike
    assert found == [b"house", b"horse", b"louse", b"houses"]


def test_terms_of_dead_documents_take_no_place() -> None:
    old: Documents = [(str(n), {"tag": f"hous{n}"}) for n in range(5)]
    new: Documents = [(str(n), {"tag": "other"}) for n in range(5)]
    query = {"fuzzy": {"tag": {"value": "house", "max_expansions": 1}}}
    found = search([[*old, ("x", {"tag": "housz"})], new], query)
    assert [key for key, _ in found] == [b"x"]


def test_a_rare_misspelling_does_not_score_above_the_word() -> None:
    documents: Documents = [(str(n), {"title": "brown fox"}) for n in range(9)]
    documents.append(("typo", {"title": "brwon fox"}))
    found = search([documents], {"match": {"title": {"query": "brown", "fuzziness": "AUTO"}}})
    assert [key for key, _ in found][-1] == b"typo"
    word, typo = found[0][1], found[-1][1]
    assert word is not None
    assert typo == pytest.approx(word * (1 - 1 / 5))


def test_answers_do_not_depend_on_how_documents_are_split() -> None:
    ref = SchemaRef(Schema.from_mapping(MAPPING))
    oracle = Oracle(ref)
    words = ["quick", "quicker", "quack", "quirk", "quit", "uqick", "qwick", "quic"]
    documents: Documents = [
        (str(n), {"title": f"{words[n % 8]} {words[n * n % 7]} fox"}) for n in range(40)
    ]
    for offset, (key, fields) in enumerate(documents):
        oracle.apply(DocumentEvent(offset, Op.UPSERT, key.encode(), b"", fields))
    for most in (1, 3, 50):
        query = {"fuzzy": {"title": {"value": "quick", "fuzziness": 2, "max_expansions": most}}}
        whole = search([documents], query)
        assert whole == search([documents[:7], documents[7:30], documents[30:]], query)
        expected = oracle.search(parse_search({"query": query, "size": 40}), NOW_MS)
        found = OracleResult([OracleHit(key, score, None) for key, score in whole], len(whole))
        assert differences(expected, found) is None


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_random_searches_give_what_the_oracle_gives(seed: int) -> None:
    world = World(seed)
    for _ in range(10):
        query = world.fuzzy()
        request = parse_search({"query": query, "size": 500})
        expected = world.oracle.search(request, NOW_MS)
        assert differences(expected, world.answer(request)) is None, query


def test_highlights_mark_the_terms_that_are_near() -> None:
    views, ref = views_of([("a", {"title": "the quick fox"})])
    searcher = Searcher(views, ref.current, NOW_MS)
    for query in (
        {"fuzzy": {"title": "qucik"}},
        {"match": {"title": {"query": "Qucik", "fuzziness": 1}}},
    ):
        request = parse_search({"query": query, "highlight": {"fields": {"title": {}}}})
        hit = searcher.search(request).hits[0]
        assert searcher.highlight(request, hit) == {"title": ["the <em>quick</em> fox"]}
