from __future__ import annotations

from typing import Any

import pytest

from index.errors import MappingError
from index.schema import Schema

FULL: dict[str, Any] = {
    "dynamic": "strict",
    "date_detection": False,
    "_meta": {"owner": "me"},
    "properties": {
        "title": {
            "type": "text",
            "analyzer": "english",
            "fields": {"raw": {"type": "keyword", "ignore_above": 64}},
        },
        "when": {"type": "date", "format": "yyyy-MM-dd||epoch_millis"},
        "author": {
            "dynamic": "false",
            "properties": {"name": {"type": "keyword", "doc_values": True}},
        },
        "blob": {"type": "object", "enabled": False},
        "n": {"type": "half_float", "index": False},
    },
}


def mapping(**properties: Any) -> dict[str, Any]:
    return {"properties": properties}


def test_a_mapping_comes_back_as_it_was() -> None:
    assert Schema.from_mapping(FULL).to_mapping() == FULL


def test_json_keeps_everything() -> None:
    schema = Schema.from_mapping(FULL)
    assert Schema.from_json(schema.to_json()) == schema


def test_numbers_never_change() -> None:
    schema = Schema.from_mapping(mapping(b={"type": "long"}, a={"type": "text"}))
    grown = schema.merged(mapping(c={"type": "date"}, a={"type": "text"}))
    assert [(field.no, field.name) for field in grown.fields] == [(0, "b"), (1, "a"), (2, "c")]
    assert [grown.by_no(no).no for no in range(3)] == [0, 1, 2]
    assert len(schema.fields) == 2


def test_multi_fields_and_objects_have_dotted_names() -> None:
    schema = Schema.from_mapping(FULL)
    raw, name = schema.field("title.raw"), schema.field("author.name")
    assert raw is not None
    assert (raw.parent, raw.is_keyword, raw.ignore_above) == ("title", True, 64)
    assert name is not None
    assert name.parent is None
    assert schema.is_object("author")
    assert schema.field("author") is None


def test_a_name_with_dots_makes_the_objects() -> None:
    schema = Schema.from_mapping({"properties": {"a.b.c": {"type": "long"}}})
    assert schema.to_mapping() == mapping(
        a={"properties": {"b": {"properties": {"c": {"type": "long"}}}}}
    )


def test_dynamic_is_inherited() -> None:
    schema = Schema.from_mapping(FULL)
    assert [schema.dynamic_at(path) for path in ("", "author", "author.x", "other")] == [
        "strict", "false", "false", "strict",
    ]  # fmt: skip


def test_match_fields_finds_text_and_keyword() -> None:
    schema = Schema.from_mapping(FULL)

    def names(pattern: str) -> list[str]:
        return [field.name for field in schema.match_fields(pattern)]

    assert names("*") == ["title", "title.raw", "author.name"]
    assert names("title.*") == ["title.raw"]
    assert names("when") == ["when"]
    assert names("[t]itle*") == []
    assert names("nothing") == []


def test_a_query_is_analyzed_as_the_mapping_says() -> None:
    schema = Schema.from_mapping(
        mapping(
            a={"type": "text", "analyzer": "english"},
            b={"type": "text", "analyzer": "english", "search_analyzer": "standard"},
        )
    )
    names = [schema.search_analyzer(field).name for field in schema.fields]
    assert names == ["english", "standard"]


@pytest.mark.parametrize(
    "body",
    [
        {"properties": {"a": {"type": "nested"}}},
        {"properties": {"a": {"type": 5}}},
        {"properties": {"a": "text"}},
        {"properties": ["a"]},
        {"properties": {"": {"type": "text"}}},
        {"properties": {"a..b": {"type": "text"}}},
        {"properties": {"a": {"type": "text", "analyzer": "klingon"}}},
        {"properties": {"a": {"type": "long", "analyzer": "standard"}}},
        {"properties": {"a": {"type": "keyword", "ignore_above": "many"}}},
        {"properties": {"a": {"type": "date", "format": "qqqq"}}},
        mapping(a={"type": "text", "fields": {"b": {"type": "text", "fields": {"c": {}}}}}),
        {"properties": {"a": {"type": "text", "fields": ["b"]}}},
        {"properties": {"a": {"type": "text"}, "a.b": {"type": "text"}}},
        {"dynamic": "perhaps"},
        {"runtime": {}},
        {"_source": {"enabled": False}},
        ["properties"],
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_is_an_error(body: Any) -> None:
    with pytest.raises(MappingError):
        Schema.from_mapping(body)


@pytest.mark.parametrize(
    "change",
    [
        {"title": {"type": "keyword"}},
        {"title": {"type": "text", "analyzer": "standard"}},
        {"title": {"properties": {"x": {"type": "long"}}}},
        {"author": {"type": "text"}},
        {"when": {"type": "date"}},
        {"blob": {"type": "object", "enabled": True}},
        {"title": {"type": "text", "analyzer": "english", "fields": {"raw": {"type": "long"}}}},
    ],
)
def test_what_documents_were_indexed_by_cannot_change(change: dict[str, Any]) -> None:
    schema = Schema.from_mapping(FULL)
    with pytest.raises(MappingError):
        schema.merged({"properties": change})


def test_merging_the_same_again_changes_nothing() -> None:
    schema = Schema.from_mapping(FULL)
    assert schema.merged(FULL) == schema


def test_too_many_fields_are_an_error() -> None:
    body = mapping(**{f"f{i}": {"type": "long"} for i in range(11)})
    assert len(Schema.from_mapping(body, max_fields=11).fields) == 11
    with pytest.raises(MappingError, match="limit of total fields"):
        Schema.from_mapping(body, max_fields=10)
