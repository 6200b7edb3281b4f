from __future__ import annotations

import re

import pytest
import Stemmer
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from index.analysis import english
from index.analysis.definitions import get_analyzer
from index.kernels.porter import MAX_LETTERS, stem_porter

stem = Stemmer.Stemmer("porter", 0).stemWord
ENDINGS = (
    "s", "es", "ies", "sses", "eed", "ed", "ing", "at", "bl", "iz", "y", "ational", "tional",
    "enci", "anci", "izer", "alli", "entli", "eli", "ousli", "ization", "ation", "ator", "alism",
    "iveness", "fulness", "ousness", "aliti", "iviti", "biliti", "icate", "ative", "alize",
    "iciti", "ical", "ful", "ness", "al", "ance", "ence", "er", "ic", "able", "ible", "ant",
    "ement", "ment", "ent", "sion", "tion", "ou", "ism", "ate", "iti", "ous", "ive", "ize", "e",
    "ll",
)  # fmt: skip
words = st.builds(
    lambda head, tails: head + "".join(tails),
    st.text("abcdeilmnostuyzé", max_size=8),
    st.lists(st.sampled_from(ENDINGS), max_size=3),
)


@given(words)
@settings(deadline=None, max_examples=2_000)
def test_stems_are_those_of_the_algorithm(word: str) -> None:
    # where the author departed from the paper, and where letters are counted
    assume(len(word) > 2 and not re.search("bl[iy]|log[iy]", word))
    # the paper and Lucene undouble these letters, too; Snowball does not
    assume(not re.search(r"([^aeioubdfgmnprtlsz])\1(ed|ing)s?$", word))
    assert stem_porter([word.encode()]) == [stem(word).encode()]


def test_the_departures_from_the_paper() -> None:
    assert stem_porter([b"technology", b"possibly", b"is", b"us", b"sky", b""]) == [
        b"technolog", b"possibl", b"is", b"us", b"sky", b"",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("aééed", "aé"),
        ("aééings", "aé"),
        ("bacced", "bac"),
        ("trekking", "trek"),
        ("aéũed", "aéũ"),
        ("aéaéed", "aéaé"),
        ("aé日ed", "aé日"),
        ("a日日ed", "a日"),
        ("éeed", "éeed"),
        ("aéeed", "aée"),
    ],
)
def test_any_doubled_consonant_is_undoubled(word: str, expected: str) -> None:
    assert stem_porter([word.encode()]) == [expected.encode()]


def test_a_word_beyond_all_measure_stays() -> None:
    long = b"a" * MAX_LETTERS + b"s"
    assert stem_porter([long, b"cats"]) == [long, b"cat"]


@given(st.lists(st.one_of(words, st.text(max_size=6)), max_size=8))
@settings(deadline=None)
def test_a_batch_gives_the_stems_of_its_words(batch: list[str]) -> None:
    data = [word.lower().encode() for word in batch]
    assert stem_porter(data) == [stem_porter([word])[0] for word in data]


@given(st.lists(st.one_of(words, st.text(max_size=6)), max_size=8))
@settings(deadline=None)
def test_english_does_to_a_batch_what_its_filters_do(batch: list[str]) -> None:
    # the scan gives ASCII in lower case
    data = [word.encode().lower() for word in batch if word]
    assert english.stem(data) == get_analyzer("english")._map(data)
