from __future__ import annotations

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.document import DocumentEvent, Op
from index.source import MAX_JSON_DEPTH, is_nested_deeper
from pipeline.events import (
    Headers,
    Record,
    Rejected,
    dead_letter,
    decode,
    decode_wholly,
    find_traceparent,
    is_sampled,
    is_traceparent,
)

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def record(
    value: bytes | None = b'{"a":1}', key: bytes | None = b"k", headers: Headers = ()
) -> Record:
    return Record("docs", 3, 17, 1_000, key, value, headers)


def rejected(given_: Record) -> Rejected:
    found = decode_wholly(given_)
    assert isinstance(found, Rejected)
    return found


def event(given_: Record) -> DocumentEvent:
    found = decode_wholly(given_)
    assert isinstance(found, DocumentEvent)
    return found


def test_a_value_is_an_upsert() -> None:
    assert event(record()) == DocumentEvent(17, Op.UPSERT, b"k", b'{"a":1}', {"a": 1})


def test_a_record_without_key_is_named_by_its_place() -> None:
    assert event(record(key=None)).key == b"docs-3-17"


def test_a_null_value_is_a_delete() -> None:
    assert event(record(value=None)) == DocumentEvent(17, Op.DELETE, b"k", None, None)


def test_op_delete_ignores_its_value() -> None:
    assert event(record(headers=(("op", b"delete"),))).source is None


@pytest.mark.parametrize("op", list(Op))
def test_the_header_names_the_op(op: Op) -> None:
    assert event(record(headers=(("op", op.name.lower().encode()),))).op is op


def test_the_header_names_the_version() -> None:
    assert event(record(headers=(("version", b"42"),))).version == 42


def test_an_update_may_upsert_another_document() -> None:
    found = event(record(headers=(("op", b"update"), ("upsert", b'{"b":2}'))))
    assert (found.fields, found.upsert) == ({"a": 1}, {"b": 2})


def test_an_update_may_upsert_its_own_document() -> None:
    found = event(record(headers=(("op", b"update"), ("upsert", b"true"))))
    assert found.upsert == {"a": 1}


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        (record(b"{"), "not json"),
        (record(b""), "not json"),
        (record(b'{"a":NaN}'), "not json"),
        (record(b'{"a":"\xff"}'), "not json"),
        (record(b'{"a":"\\ud800"}'), "not json"),
        (record(b"[1]"), "not a json object"),
        (record(b"null"), "not a json object"),
        (record(b'{"a":' * 40 + b"1" + b"}" * 40), "nested deeper than 32"),
        (record(b"[" * 100_000), "nested deeper than 32"),
        (record(b'{"a":"' + b"x" * (16 << 20) + b'"}'), "bytes, at most"),
        (record(key=b"\xff"), "not utf-8 at byte 0"),
        (record(key=b""), "id is empty"),
        (record(key=b"x" * 513), "513 bytes, at most 512"),
        (record(headers=(("op", b"replace"),)), "header op is 'replace'"),
        (record(headers=(("op", None),)), "header op is ''"),
        (record(headers=(("version", b"-1"),)), "header version is '-1'"),
        (record(headers=(("version", b"9" * 19),)), "header version"),
        (record(headers=(("version", "²".encode()),)), "header version"),
        (record(value=None, headers=(("op", b"create"),)), "op create without a document"),
        (record(value=None, key=None), "delete without a document id"),
        (record(headers=(("op", b"update"), ("upsert", b"[]"))), "not a json object"),
    ],
)
def test_what_cannot_be_a_document_is_rejected_with_the_reason(given_: Record, reason: str) -> None:
    assert reason in rejected(given_).reason
    assert rejected(given_).record is given_


@settings(deadline=None)
@given(st.binary(max_size=60), st.none() | st.binary(max_size=10))
def test_no_bytes_make_decode_raise(value: bytes, key: bytes | None) -> None:
    wholly = decode_wholly(record(value, key))
    assert isinstance(wholly, DocumentEvent | Rejected)
    # The document's JSON aside, decode says the same.
    found = decode(record(value, key))
    if isinstance(found, DocumentEvent) and isinstance(wholly, DocumentEvent):
        assert found == msgspec.structs.replace(wholly, fields=found.fields)
    assert isinstance(wholly, Rejected) or not isinstance(found, Rejected)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.text(alphabet='[{"\\}]a', max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=30,
    )
)
def test_the_depth_of_json_agrees_with_the_parsed_value(value: object) -> None:
    def depth(of: object) -> int:
        if isinstance(of, dict):
            return 1 + max(map(depth, of.values()), default=0)
        if isinstance(of, list):
            return 1 + max(map(depth, of), default=0)
        return 0

    data = orjson.dumps(value)
    assert not is_nested_deeper(data, depth(value))
    assert is_nested_deeper(data, depth(value) - 1) or depth(value) == 0


def test_looking_for_depth_is_linear_in_hostile_text() -> None:
    assert not is_nested_deeper(b"[]" * 40 + b'"' + b'\\"' * 400_000, 32)


def test_brackets_within_strings_do_not_count_as_depth() -> None:
    value = orjson.dumps({"code": "[" * 10 * MAX_JSON_DEPTH})
    assert isinstance(decode_wholly(record(value)), DocumentEvent)


def test_a_dead_letter_is_the_record_unchanged_with_headers_saying_why() -> None:
    given_ = record(b"{", headers=(("x", b"y"),))
    letter = dead_letter(rejected(given_))
    assert (letter.key, letter.value) == (given_.key, given_.value)
    headers = dict(letter.headers)
    assert headers.pop("tailrace.error.reason") is not None
    assert headers == {
        "x": b"y",
        "tailrace.error.type": b"mapper_parsing_exception",
        "tailrace.source.topic": b"docs",
        "tailrace.source.partition": b"3",
        "tailrace.source.offset": b"17",
    }


def test_only_the_sampled_bit_decides_whether_a_trace_is_wanted() -> None:
    assert is_sampled(TRACEPARENT)
    assert is_sampled(TRACEPARENT[:-2] + b"03")
    assert not is_sampled(TRACEPARENT[:-2] + b"00")


@pytest.mark.parametrize(
    "value",
    [b"", b"00", TRACEPARENT.upper(), b"ff" + TRACEPARENT[2:], TRACEPARENT.replace(b"-", b"_")],
)
def test_a_bad_traceparent_is_seen(value: bytes) -> None:
    assert is_traceparent(TRACEPARENT)
    assert not is_traceparent(value)


def test_a_bad_traceparent_does_not_reject_the_record() -> None:
    given_ = record(headers=(("traceparent", b"nonsense"),))
    assert isinstance(decode(given_), DocumentEvent)
    assert find_traceparent(given_) == b"nonsense"
