from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import MappingError
from index.extract import Extractor
from index.options import IndexOptions
from index.schema import Schema, SchemaRef

Document = dict[str, Any]


_scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text("abé", max_size=5)
json_leaf_values = _scalars | st.lists(_scalars | st.lists(_scalars, max_size=2), max_size=4)


def extractor_of(mapping: dict[str, Any] | None = None, **options: int) -> Extractor:
    return Extractor(SchemaRef(Schema.from_mapping(mapping or {})), IndexOptions(**options))


def parse(extractor: Extractor, document: Document) -> dict[str, Any]:
    """Return the values by field name."""
    values = extractor.parse(document).values
    schema = extractor._ref.current
    return {schema.by_no(no).name: value for no, value in values.items()}


def typed(kind: str, **more: Any) -> Extractor:
    return extractor_of({"properties": {"f": {"type": kind, **more}}})


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text", "héllo", "héllo".encode()), ("text", 5, b"5"), ("text", True, b"true"),
        ("text", ["a", "b"], [b"a", b"b"]), ("text", ["a"], b"a"), ("text", "", b""),
        ("keyword", "x", b"x"), ("keyword", 1.0, b"1.0"),
        ("keyword", ["b", "a", "b"], [b"b", b"a"]),
        ("keyword", [["a"], [None, "b"]], [b"a", b"b"]),
        ("long", 5, 5), ("long", "5", 5), ("long", 5.9, 5), ("long", "-5.9", -5),
        ("long", [1, 1], [1, 1]), ("long", 2**63 - 1, 2**63 - 1), ("byte", -128, -128),
        ("double", 5, 5.0), ("double", "1e3", 1000.0), ("float", 0.1, 0.1),
        ("boolean", True, 1), ("boolean", "false", 0), ("boolean", "", 0),
        ("date", "1970-01-02", 86_400_000), ("date", 7, 7),
    ],
)  # fmt: skip
def test_values_are_coerced_as_in_opensearch(kind: str, value: Any, expected: Any) -> None:
    assert parse(typed(kind), {"f": value}) == {"f": expected}


@pytest.mark.parametrize("kind", ["text", "keyword", "long", "double", "boolean", "date"])
@pytest.mark.parametrize("value", [None, [], [None], [[]]])
def test_nothing_gives_nothing(kind: str, value: Any) -> None:
    assert parse(typed(kind), {"f": value}) == {}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", {"a": 1}), ("text", "\ud800"), ("keyword", "x" * 40_000), ("keyword", [{"a": 1}]),
        ("long", "abc"), ("long", 2**63), ("long", True), ("long", "nan"), ("byte", 128),
        ("short", 40_000), ("integer", 2**31), ("double", "x"), ("double", "inf"),
        ("double", True),
        ("half_float", 70_000), ("boolean", 1), ("boolean", "yes"),
        ("date", "soon"), ("date", True),
        ("double", 10**400), ("long", 1e400), ("long", float(-(2**63) - 1)), ("long", "1_000"),
        ("double", "1_0.5"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_named(kind: str, value: Any) -> None:
    with pytest.raises(MappingError, match=r"\[f\]") as error:
        typed(kind).parse({"f": value})
    assert "\n" not in str(error.value)


def test_a_long_keyword_is_left_out_where_the_mapping_says_so() -> None:
    extractor = typed("keyword", ignore_above=3)
    assert parse(extractor, {"f": ["éàü", "abcd"]}) == {"f": "éàü".encode()}
    assert parse(extractor, {"f": "x" * 50_000}) == {}


def test_multi_fields_get_the_same_value() -> None:
    extractor = typed("text", fields={"raw": {"type": "keyword"}, "len": {"type": "long"}})
    assert parse(extractor, {"f": "12"}) == {"f": b"12", "f.raw": b"12", "f.len": 12}


@given(json_leaf_values, st.sampled_from([None, 3]), st.sampled_from(["keyword", "text"]))
@settings(deadline=None)
def test_a_multi_field_reads_as_a_field_of_its_own(
    value: Any, ignore_above: int | None, kind: str
) -> None:
    definition = {"type": kind}
    if kind == "keyword" and ignore_above is not None:
        definition["ignore_above"] = ignore_above
    both = extractor_of({"properties": {"f": {"type": "text", "fields": {"sub": definition}}}})
    alone = extractor_of({"properties": {"f": definition}})
    assert parse(both, {"f": value}).get("f.sub") == parse(alone, {"f": value}).get("f")


def test_objects_are_flattened() -> None:
    extractor = extractor_of()
    document = {"a": {"b": {"c": 1}}, "l": [{"x": "p"}, {"x": ["q", "p"], "y": True}]}
    assert parse(extractor, document) == {
        "a.b.c": 1,
        "l.x": [b"p", b"q", b"p"],
        "l.x.keyword": [b"p", b"q"],
        "l.y": 1,
    }


def test_dots_in_a_name_are_objects() -> None:
    extractor = extractor_of()
    assert parse(extractor, {"a.b": 1, "a": {"b": 2, "c.d": 3}}) == {"a.b": [1, 2], "a.c.d": 3}
    assert extractor._ref.current.is_object("a.c")


def test_new_fields_are_guessed_as_in_opensearch() -> None:
    extractor = extractor_of()
    extractor.parse(
        {"s": "x", "i": 1, "f": 1.5, "b": True, "d": "2024-01-01", "n": "2024",
         "o": {"p": [None, [2]]}, "nothing": None, "empty": [[]]}
    )  # fmt: skip
    text = {
        "type": "text",
        "fields": {"keyword": {"type": "keyword", "ignore_above": 256}},
    }
    assert extractor._ref.current.to_mapping() == {
        "properties": {
            "s": text,
            "i": {"type": "long"},
            "f": {"type": "float"},
            "b": {"type": "boolean"},
            "d": {"type": "date"},
            "n": text,
            "o": {"properties": {"p": {"type": "long"}}},
        }
    }


def test_without_date_detection_a_date_is_text() -> None:
    extractor = extractor_of({"date_detection": False})
    extractor.parse({"d": "2024-01-01"})
    assert extractor._ref.current.field("d").type == "text"


def test_dynamic_false_ignores_and_strict_refuses() -> None:
    ignoring = extractor_of({"dynamic": False, "properties": {"a": {"type": "long"}}})
    assert parse(ignoring, {"a": 1, "b": 2, "c": {"d": 3}, "e.f": 4}) == {"a": 1}
    refusing = extractor_of({"dynamic": "strict"})
    assert parse(refusing, {"b": None}) == {}
    with pytest.raises(MappingError, match="strict"):
        refusing.parse({"b": 2})
    with pytest.raises(MappingError, match="strict"):
        refusing.parse({"b": {"c": 2}})


def test_a_disabled_object_is_not_looked_into() -> None:
    extractor = extractor_of({"properties": {"o": {"type": "object", "enabled": False}}})
    assert parse(extractor, {"o": {"a": 1}}) == parse(extractor, {"o": 5}) == {}
    assert parse(extractor, {"o.a": 1}) == {}


@pytest.mark.parametrize(
    "document",
    [
        {"known": 1, "new": "x", "bad": {"a": 1, "": 2}},
        {"new": [1, "x"]},
        {"new": {"a": 1}, "new.a": "x"},
        {"known": {"a": 1}},
        {"known.sub": 1},
        {"object": 1},
        {"new": 2**70},
        {"new": {1, 2}},
        {" ": 1},
        {".a": 1},
        {"a.": 1},
    ],
)
def test_a_bad_document_changes_nothing(document: Document) -> None:
    extractor = extractor_of(
        {"properties": {"known": {"type": "long"}, "object": {"properties": {}}}}
    )
    before = extractor._ref.current
    for attempt in (extractor.check, extractor.parse):
        with pytest.raises(MappingError):
            attempt(document)
        assert extractor._ref.current is before


def test_check_grows_nothing() -> None:
    extractor = extractor_of()
    before = extractor._ref.current
    extractor.check({"new": 1, "o": {"p": "x"}})
    assert extractor._ref.current is before


def test_the_number_of_fields_is_bounded() -> None:
    extractor = extractor_of(max_fields=3)
    extractor.parse({"a": "x", "b": 1})
    with pytest.raises(MappingError, match="limit of total fields"):
        extractor.parse({"c": 1})


def test_the_depth_is_bounded() -> None:
    deep: Any = 1
    for _ in range(20):
        deep = {"a": deep}
    extractor = extractor_of(max_depth=20)
    with pytest.raises(MappingError, match="depth"):
        extractor.parse({"a": deep})
    extractor.check(deep)
    with pytest.raises(MappingError, match="depth"):
        extractor.parse({".".join("b" * 22): 1})


@pytest.mark.parametrize("name", ["known", "new"])
def test_arrays_nested_without_end_are_a_mapping_error(name: str) -> None:
    value: Any = 1
    for _ in range(2_000):
        value = [value]
    with pytest.raises(MappingError, match="deep"):
        extractor_of({"properties": {"known": {"type": "long"}}}).parse({name: value})


def test_a_schema_changed_elsewhere_is_used() -> None:
    ref = SchemaRef(Schema())
    one, other = Extractor(ref, IndexOptions()), Extractor(ref, IndexOptions())
    one.parse({"n": 1})
    with pytest.raises(MappingError):
        other.parse({"n": "x"})


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text("ab.", max_size=3), json_values, max_size=4), max_size=4))
@settings(deadline=None, max_examples=300)
def test_any_json_is_values_or_a_mapping_error(documents: list[Document]) -> None:
    extractor = extractor_of()
    for document in documents:
        before = extractor._ref.current
        try:
            extractor.check(document)
        except MappingError:
            with pytest.raises(MappingError):
                extractor.parse(document)
            assert extractor._ref.current is before
            continue
        values = extractor.parse(document).values
        schema = extractor._ref.current
        assert set(values) <= set(range(len(schema.fields)))
        assert Schema.from_mapping(schema.to_mapping()).to_mapping() == schema.to_mapping()


@pytest.mark.parametrize("name", ["_id", "_source", "_score", "_index", "_version", "_id.x"])
def test_a_metadata_field_at_the_top_is_refused(name: str) -> None:
    ref = SchemaRef(Schema.from_mapping({}))
    extractor = Extractor(ref, IndexOptions())
    with pytest.raises(MappingError, match="is a metadata field and cannot be added inside a doc"):
        extractor.parse({"title": "a", name: 1})
    assert ref.current.fields == ()
    extractor.parse({"user": {name: "deeper is fine"}})
    with pytest.raises(MappingError, match="is a metadata field"):
        Schema.from_mapping({"properties": {name: {"type": "keyword"}}})
