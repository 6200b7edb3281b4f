from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.analysis import terms
from index.analysis.definitions import Analysis, read_settings
from index.analysis.filter_catalog import FILTERS, PLACED_FILTERS
from index.analysis.languages import BUILT_IN, LANGUAGES
from index.analysis.terms import TermMap
from index.analysis.tokenizer_catalog import CHAR_FILTERS, TOKENIZERS
from index.errors import InvalidRequestError, MappingError
from index.schema import Schema
from tests.index.analysis_world import indexed, texts

STEMS: dict[str, Any] = {"tokenizer": "standard", "filter": ["lowercase", "mine"]}


def own(**filters: Any) -> dict[str, Any]:
    return {"analyzer": {"a": STEMS, "b": STEMS}, "filter": {"mine": filters or {"type": "trim"}}}


def test_equal_definitions_are_one_analyzer() -> None:
    one, other = Analysis(own()), Analysis(own())
    assert one.analyzer("a") is one.analyzer("b")
    assert one.analyzer("a") is other.analyzer("a")
    assert one.analyzer("a") is not Analysis(own(type="reverse")).analyzer("a")


def test_an_index_may_define_a_name_that_every_index_has() -> None:
    settings = read_settings({"analyzer": {"english": {"type": "whitespace"}}})
    tokens = Analysis(settings).analyzer("english").tokens("The Dogs")
    assert [token.term for token in tokens] == [b"The", b"Dogs"]


def test_a_schema_finds_its_own_analyzers_before_and_after_it_is_stored() -> None:
    mapping = {"properties": {"t": {"type": "text", "analyzer": "a"}}}
    schema = Schema.from_mapping(mapping, analysis=read_settings(own(type="reverse")))
    for each in (schema, Schema.from_json(schema.to_json()), schema.merged({"properties": {}})):
        field = each.field("t")
        assert field is not None
        for analyzer in (each.index_analyzer(field), each.search_analyzer(field)):
            assert [token.term for token in analyzer.tokens("Abc")] == [b"cba"]
    with pytest.raises(MappingError, match=r"\[a\] has not been configured"):
        Schema.from_mapping(mapping)


def test_a_search_analyzer_stands_before_the_default_one_and_that_before_the_fields() -> None:
    settings = {
        "default_search": {"type": "whitespace"},
        "default": {"type": "simple"},
        "mine": {"type": "stop"},
    }
    mapping = {
        "properties": {
            "plain": {"type": "text"},
            "named": {"type": "text", "analyzer": "mine"},
            "both": {"type": "text", "analyzer": "mine", "search_analyzer": "keyword"},
        }
    }
    schema = Schema.from_mapping(mapping, analysis=read_settings({"analyzer": settings}))
    names = {
        field.name: (schema.index_analyzer(field).name, schema.search_analyzer(field).name)
        for field in schema.fields
    }
    assert names == {
        "plain": ("simple", "whitespace"),
        "named": ("stop", "whitespace"),
        "both": ("stop", "keyword"),
    }
    assert schema.to_mapping() == mapping


def test_definitions_are_bounded_in_number() -> None:
    filters = {f"f{number}": {"type": "trim"} for number in range(1_001)}
    with pytest.raises(InvalidRequestError, match="1000"):
        read_settings({"filter": filters})


def test_all_memos_together_begin_anew_when_they_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "_maps", type(terms._maps)())
    monkeypatch.setattr(terms, "MAX_REMEMBERED", 3)
    asked: list[bytes] = []

    def same(spellings: Any) -> list[bytes]:
        asked.extend(spellings)
        return list(spellings)

    one, other = TermMap(same), TermMap(same)
    assert one.lookup([b"a", b"b"]) == [b"a", b"b"]
    assert other.lookup([b"c"]) == [b"c"]
    assert one.lookup([b"a"]) == [b"a"]
    assert asked == [b"a", b"b", b"c"]
    assert other.lookup([b"d"]) == [b"d"]
    assert one.lookup([b"a"]) == [b"a"]
    assert asked == [b"a", b"b", b"c", b"d", b"a"]


def test_a_long_spelling_is_not_remembered() -> None:
    asked: list[bytes] = []

    def same(spellings: Any) -> list[bytes]:
        asked.extend(spellings)
        return list(spellings)

    memo = TermMap(same)
    long = b"x" * (terms.MAX_REMEMBERED_BYTES + 1)
    assert memo.lookup([long, b"a"]) == [long, b"a"]
    assert memo.lookup([long, b"a"]) == [long, b"a"]
    assert asked == [long, b"a", long]


def test_the_page_names_all_that_there_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")
    named = set(re.findall("`([A-Za-z_]+)`", page))
    aliases = {"nGram", "edgeNGram"}
    there = BUILT_IN | set(CHAR_FILTERS) | set(FILTERS) | set(PLACED_FILTERS) | set(TOKENIZERS)
    assert there - aliases <= named


NAMES = (
    "language", "stopwords", "ignore_case", "min", "max", "length", "min_gram", "max_gram", "side",
    "preserve_original", "synonyms", "expand", "pattern", "replacement", "flags", "group", "all",
    "mappings", "escaped_tags", "articles", "keywords", "rules", "token_chars", "delimiter", "skip",
    "reverse", "min_shingle_size", "max_shingle_size", "output_unigrams", "catenate_all", "type",
    "max_token_count", "keep_words", "ignored_scripts", "max_token_length", "format", "separator",
)  # fmt: skip
values = st.one_of(
    st.sampled_from([True, False, None, "true", 0, 1, 2, 3, -1, 10**12, 1.5, "2", "", "a", [], {}]),
    st.sampled_from(
        ["a, b", "a => b", ["a => b", "c, a b"], ["a", "_french_"], "french", "French"]
    ),
    st.sampled_from(["\\W+", "(a", "(a+)+", "[^a]", "front", "back", "letter", ["han"], ["digit"]]),
    st.recursive(st.integers() | st.text(max_size=4), st.lists, max_leaves=3),
)
given_parameters = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)
KINDS = [
    *(("filter", kind) for kind in (*FILTERS, *PLACED_FILTERS)),
    *(("tokenizer", kind) for kind in TOKENIZERS),
    *(("char_filter", kind) for kind in CHAR_FILTERS),
    *(("analyzer", kind) for kind in ("custom", "pattern", "stop", *BUILT_IN, *LANGUAGES)),
]


@given(st.sampled_from(KINDS), given_parameters, texts)
@settings(deadline=None, max_examples=500)
def test_any_definition_is_refused_in_words_or_works(
    kind: tuple[str, str], parameters: dict[str, Any], text: str
) -> None:
    sort, name = kind
    chain: dict[str, Any] = {"tokenizer": "standard"}
    chain[sort] = "mine" if sort == "tokenizer" else ["mine"]
    definition = {"type": name, **parameters}
    own = {"analyzer": {"mine": definition}}
    if sort != "analyzer":
        own = {sort: {"mine": definition}, "analyzer": {"mine": chain}}
    try:
        analyzer = Analysis(read_settings(own)).analyzer("mine")
    except InvalidRequestError:
        return
    found = {token.term for token in analyzer.tokens(text)}
    assert set(indexed(analyzer, [[text]])[0]) == found
