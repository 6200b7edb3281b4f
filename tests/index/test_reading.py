"""The kernel that reads documents against the path that parses them: the same values, or none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from index.errors import MappingError
from index.extract import Extractor
from index.options import IndexOptions
from index.reading import DocumentReader, Reading
from index.schema import Schema, SchemaRef
from index.source import parse_object

MAPPING: dict[str, Any] = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 5}}},
        "whole": {"type": "text", "analyzer": "keyword"},
        "hidden": {"type": "text", "index": False},
        "tag": {"type": "keyword"},
        "tag_of_a_long_name": {"type": "keyword"},
        "n": {"type": "long", "fields": {"raw": {"type": "keyword"}}},
        "long": {"type": "long"},
        "byte": {"type": "byte"},
        "f": {"type": "double"},
        "half": {"type": "half_float"},
        "d": {"type": "date"},
        "year": {"type": "date", "format": "yyyy"},
        "b": {"type": "boolean"},
        "é": {"type": "keyword"},
        "small": {"type": "keyword", "normalizer": "lowercase"},
        "o": {
            "properties": {"x": {"type": "keyword"}, "p": {"properties": {"y": {"type": "long"}}}}
        },
        "off": {"enabled": False, "type": "object"},
    }
}
OPTIONS = IndexOptions(max_term_bytes=12, max_depth=4)
NAMES = [*MAPPING["properties"], "o.x", "o.p.y", "o.p", "x", "p", "y", "new", "_id", "", "a.b"]

strings = st.one_of(
    st.text(max_size=12),
    st.text("aé漢😀\"\\\n/\x00\x7f", max_size=14),
    st.sampled_from(
        [
            "2024-02-29", "2024-02-29T13:14:15Z", "2023-02-29", "2024-02-29T13:14:15.678Z", "12",
            "0000-01-01", "9999-12-31T23:59:59.999Z", "2024-13-01", "1999", "true", "1.5", "x" * 13,
        ]
    ),
)  # fmt: skip
numbers = st.one_of(
    st.integers(-130, 130),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1000, 1000).map(lambda value: round(value, 3)),
    st.sampled_from([-0.0, 65504, 65504.5, 1e22, 1e23, 253402300799999, 2**53, 2**53 + 1]),
)
scalars = st.none() | st.booleans() | numbers | strings
leaves = scalars | st.lists(scalars, max_size=4) | st.lists(strings, max_size=3)
objects = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), leaves, max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(NAMES), leaves | inner | st.lists(inner, max_size=2), max_size=4
    ),
    max_leaves=6,
)
literals = st.sampled_from(
    [
        "-0", "01", "1.", "1e400", "-", "1E5", "1e-5", "0.1e1", "123456789012345678901", "nul",
        '"\\ud83d"', '"\\ud83d\\ude00"', '"\\u00e9"', '"\\u0000"', '"\\x"', "[1,]", "[[1],2]", "{}",
        "1.7976931348623157e308", "9007199254740993", '"a', "NaN", "00", "+1", ".5", "1e5", "1e+5",
    ]
)  # fmt: skip


@st.composite
def sources(draw: st.DrawFn) -> bytes:
    """JSON objects in many spellings, some with a part that is spelled wrongly or twice."""
    document = draw(objects)
    text = json.dumps(
        document,
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])),
    )
    if draw(st.integers(0, 3)) == 0 and text != "{}":
        name = draw(st.sampled_from(NAMES))
        text = text[:-1] + f', "{name}":{draw(literals)}' + "}"
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]
    return data


def reader_of(mapping: dict[str, Any] = MAPPING) -> tuple[DocumentReader, Extractor]:
    ref = SchemaRef(Schema.from_mapping(mapping))
    extractor = Extractor(ref, OPTIONS)
    return DocumentReader(ref, OPTIONS, extractor), extractor


def found_in(reading: Reading, schema: Schema, number: int) -> dict[int, list[Any]]:
    """Return the values of one document as the rows have them."""
    text, rows = reading.values
    values: dict[int, list[Any]] = {}
    for _, no, first, second in rows[rows[:, 0] == number].tolist():
        kind = schema.by_no(no).column_kind
        if kind == "f64":
            one: Any = np.array(first).view(np.float64).tobytes()
        elif kind == "i64":
            one = first
        else:
            one = text[first : first + second].tobytes()
        own = values.setdefault(no, [])
        if kind != "ord" or one not in own:  # the memtable takes a keyword once
            own.append(one)
    return values


def parsed(extractor: Extractor, source: bytes) -> dict[int, list[Any]] | None:
    """Return the values by the path that parses; None where there is no document."""
    try:
        document = extractor.parse(parse_object(source)).values
    except MappingError:
        return None
    return {
        no: [
            np.float64(one).tobytes() if type(one) is float else one
            for one in (value if isinstance(value, list) else [value])
        ]
        for no, value in document.items()
    }


@given(st.lists(sources(), max_size=6))
@example([b'{"title":"a"', b'{"f":1}'])
@settings(deadline=None, max_examples=600)
def test_what_is_found_is_what_parsing_gives(batch: list[bytes]) -> None:
    reader, extractor = reader_of()
    schema = extractor._ref.current
    reading = reader.read(batch)
    for number, source in enumerate(batch):
        if reading.is_found[number]:
            _, fresh = reader_of()
            assert found_in(reading, schema, number) == parsed(fresh, source)
            assert fresh._ref.current == schema
        else:
            assert not len(reading.values.rows[reading.values.rows[:, 0] == number])


@pytest.mark.parametrize(
    "source",
    [
        b'{"title":"a \\"b\\" \\u00e9\\n", "tag":["x","y","x"], "long": -5, "f": 1.25, "b":true}',
        '{"é":"漢字","d":"2024-02-29T13:14:15.678Z","o":{"x":"k","p":{"y":[1,null,2]}}}'.encode(),
        b' { "off" : {"any":[{"thing":{"deep":[1,2,{"a":null}]}}]} , "byte" : -128 } \n',
        b'{"o.x":"k","o.p":{"y":1},"f":[0.1,17.5,1e3,5],"half":65504,"d":1700000000000}',
        b'{"tag":5,"whole":"abc","hidden":"anything at all","title":true,"tag_of_a_long_name":"v"}',
        b'{"small":["A \\n B","a",7,"A"],"title":"B"}',
        b'{"f":0.30000000000000004,"d":"2024-02","long":"17","b":"false","year":"1999"}',
        b"{}",
    ],
)
def test_usual_documents_are_found(source: bytes) -> None:
    reader, extractor = reader_of()
    reading = reader.read([source])
    assert reading.is_whole
    assert found_in(reading, extractor._ref.current, 0) == parsed(extractor, source)


@pytest.mark.parametrize(
    "source",
    [
        b"", b"[]", b'{"a":1}', b'{"tag":"a","tag":"b"}', b'{"o":{"x":"a"},"o":{}}',
        b'{"long":1.5e}',
        b'{"o.x":"a","o":{"x":"b"}}', b'{"tag":"0123456789abc"}', b'{"long":9223372036854775808}',
        b'{"tag":{"a":1}}', b'{"o":[{"x":"a"}]}', b'{"tag":"\xed\xa0\x80"}', b'{"off":{"a":1]}',
        b'{"tag":"a"} x', b'{"tag":"a",}', b'{"n":1}', b'{"d":"never"}', b'{"byte":128}',
        b'{"tag":"\xff"}', b'{"tag":"a\nb"}', b'{"o":{"p":{"y":1}}', b'{"tag":1.0}',
    ],
)  # fmt: skip
def test_the_rest_is_left(source: bytes) -> None:
    reader, _ = reader_of()
    assert not reader.read([source]).is_whole


def test_what_has_new_fields_is_read_once_they_are_there() -> None:
    ref = SchemaRef(Schema())
    extractor = Extractor(ref, OPTIONS)
    reader = DocumentReader(ref, OPTIONS, extractor)
    batch = [b'{"t":"one","n":1}', b'{"t":"two"}', b'{"n":2}', b'{"other":3}']
    reading = reader.read(batch)
    assert reading.is_found.tolist() == [0, 0, 0, 0]
    extractor.parse(orjson.loads(batch[0]))
    reading.read_again(1)
    assert reading.is_found.tolist() == [0, 1, 1, 0]
    assert found_in(reading, ref.current, 1) == parsed(extractor, batch[1])
    assert found_in(reading, ref.current, 2) == parsed(extractor, batch[2])


def test_many_documents_need_many_rows() -> None:
    reader, extractor = reader_of()
    batch = [orjson.dumps({"tag": [f"{i}-{k}" for k in range(50)]}) for i in range(300)]
    reading = reader.read(batch)
    assert reading.is_whole
    for number in (0, 137, 299):
        found = found_in(reading, extractor._ref.current, number)
        assert found == parsed(extractor, batch[number])
