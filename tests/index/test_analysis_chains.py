"""Every chain says the same word by word, by kernels, and in a memtable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.analysis.analyzer import Analyzer, settled
from index.analysis.definitions import Analysis, get_analyzer
from index.analysis.languages import BUILT_IN
from index.analysis.word import n_positions
from index.kernels.tokenize import POSITION_GAP
from tests.index.analysis_world import corpus, expected, indexed, texts

CHAINS: dict[str, dict[str, Any]] = {
    "folded": {"tokenizer": "standard", "filter": ["lowercase", "asciifolding"]},
    "upper": {"tokenizer": "letter", "filter": ["uppercase", "trim"]},
    "whole": {"tokenizer": "keyword", "filter": ["lowercase", "icu_folding"]},
    "edges": {
        "tokenizer": "standard",
        "filter": ["lowercase", {"type": "edge_ngram", "min_gram": 1, "max_gram": 3}],
    },
    "twice": {
        "tokenizer": "whitespace",
        "filter": [{"type": "asciifolding", "preserve_original": True}, "lowercase", "stop"],
    },
    "parts": {
        "tokenizer": "whitespace",
        "filter": [{"type": "word_delimiter_graph", "catenate_all": True}, "lowercase", "stop"],
    },
    "stems": {
        "tokenizer": "standard",
        "filter": ["lowercase", "keyword_repeat", "porter_stem", "remove_duplicates"],
    },
    "beside": {
        "tokenizer": "standard",
        "filter": ["lowercase", {"type": "synonym", "synonyms": ["the, a", "fox => dog, cat"]}],
    },
    "rows": {
        "tokenizer": "standard",
        "filter": [
            "lowercase",
            {"type": "synonym_graph", "synonyms": ["lazy dogs, sleepers", "ny => new york city"]},
        ],
    },
    "pairs": {"tokenizer": "standard", "filter": ["lowercase", "stop", "shingle"]},
    "stripped": {
        "tokenizer": "standard",
        "char_filter": ["html_strip", {"type": "mapping", "mappings": ["ph => f", "é => ee"]}],
    },
    "codes": {"tokenizer": {"type": "pattern", "pattern": "[,;. ]+"}, "filter": ["reverse"]},
    "grams": {"tokenizer": {"type": "ngram", "min_gram": 2, "max_gram": 3}},
    "chinese words": {"tokenizer": "chinese", "filter": ["lowercase", "icu_folding"]},
}
ANALYZERS: dict[str, Analyzer] = {
    **{name: get_analyzer(name) for name in BUILT_IN},
    **{name: Analysis({}).inline("analyzer", chain) for name, chain in CHAINS.items()},
}


@pytest.mark.parametrize("name", sorted(ANALYZERS))
def test_a_memtable_holds_the_tokens_of_every_analyzer(name: str) -> None:
    analyzer = ANALYZERS[name]
    documents = corpus(8)
    found = indexed(analyzer, [[text] for text in documents])
    for text, terms in zip(documents, found, strict=True):
        assert terms == expected(analyzer, text)


@pytest.mark.parametrize("name", sorted(ANALYZERS))
def test_kernels_find_what_the_filters_find_word_by_word(name: str) -> None:
    analyzer = ANALYZERS[name]
    for text in corpus(2):
        by_word = [
            (term, position, word.start, word.end, word.span)
            for word, term, position in settled(analyzer.words(text))
        ]
        assert list(dict.fromkeys(map(tuple, analyzer.tokens(text)))) == by_word


@given(st.lists(texts, max_size=4), st.sampled_from(sorted(ANALYZERS)))
@settings(deadline=None, max_examples=300)
def test_random_texts_are_tokens_in_a_memtable(documents: list[str], name: str) -> None:
    analyzer = ANALYZERS[name]
    found = indexed(analyzer, [[text] for text in documents])
    assert found == [expected(analyzer, text) for text in documents]


@given(st.lists(texts, min_size=2, max_size=4), st.sampled_from(sorted(ANALYZERS)))
@settings(deadline=None)
def test_values_of_a_field_count_on_after_a_gap(values: list[str], name: str) -> None:
    analyzer = ANALYZERS[name]
    wanted: dict[bytes, list[int]] = {}
    base = 0
    for text in values:
        for term, places in expected(analyzer, text).items():
            wanted.setdefault(term, []).extend(base + place for place in places)
        base += n_positions(analyzer.words(text)) + POSITION_GAP
    wanted = {term: sorted(set(places)) for term, places in wanted.items()}
    assert indexed(analyzer, [values]) == [wanted]


@given(texts, st.sampled_from(sorted(ANALYZERS)))
@settings(deadline=None, max_examples=300)
def test_tokens_lie_within_the_text_in_order(text: str, name: str) -> None:
    tokens = ANALYZERS[name].tokens(text)
    for token in tokens:
        assert 0 <= token.start <= token.end <= len(text)
        assert token.span >= 1
    positions = [token.position for token in tokens]
    assert positions == sorted(positions)
