from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.queries import HIGH, LOW, MID, WORD, Words, band_of, choose_words, make_classes

TEXT = (
    "alphabet brother cathedral daughter elephant forever gardener however island journey "
    "kingdom language mountain number orange planet question river summer teacher"
)
WORDS = TEXT.split()
FREQUENCIES = {word: 10_000 >> (number % 12) for number, word in enumerate(WORDS)}
N_DOCS = 20_000


def make_words() -> Words:
    return choose_words([TEXT], list(range(100)), N_DOCS, lambda word: FREQUENCIES[word])


def test_the_bands_are_of_document_frequency() -> None:
    assert band_of(201, 10_000) == HIGH
    assert [band_of(200, 10_000), band_of(11, 10_000)] == [MID, MID]
    assert band_of(10, 10_000) == LOW
    assert band_of(9, 10_000) is None


@given(st.integers(0, 1_000_000), st.integers(1, 1_000_000))
def test_more_documents_never_make_a_word_rarer(doc_freq: int, n_docs: int) -> None:
    ranks = {None: 0, LOW: 1, MID: 2, HIGH: 3}
    assert ranks[band_of(doc_freq, n_docs)] <= ranks[band_of(doc_freq + 1, n_docs)]


def test_every_word_is_in_the_band_of_its_frequency() -> None:
    for band, words in make_words().bands.items():
        assert words
        assert {band_of(FREQUENCIES[word], N_DOCS) for word in words} == {band}


def test_the_same_words_make_the_same_classes_of_different_queries() -> None:
    classes, again = make_classes(make_words(), 20), make_classes(make_words(), 20)
    assert classes == again
    for query_class in classes:
        assert query_class.queries, query_class.name
        assert len(set(query_class.queries)) == len(query_class.queries)


def test_queries_are_of_the_shape_their_class_names() -> None:
    classes = {each.name: each.queries for each in make_classes(make_words(), 20)}
    assert all(len(query.words) == 5 for query in classes["or h+h+m+m+l"])
    assert all(" ".join(query.words) in TEXT for query in classes["phrase 3"])
    assert all(len(query.words[0]) == 3 for query in classes["prefix 3"])
    assert all(WORD.fullmatch(query.words[0][1:]) for query in classes["wildcard suffix"])
    assert all(query.edits == 2 for query in classes["fuzzy 2"])
    assert all(high - low == 10 for low, high in (q.bounds for q in classes["range + term mid"]))
