from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from index.analysis import terms
from index.analysis.catalog import CHAR_FILTERS, FILTERS, PLACED_FILTERS, TOKENIZERS
from index.analysis.definitions import Analysis, read_settings
from index.analysis.languages import BUILT_IN
from index.analysis.terms import TermMap
from index.errors import InvalidRequestError, MappingError
from index.schema import Schema

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
