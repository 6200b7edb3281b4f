from __future__ import annotations

import orjson
import pytest

from index.errors import InvalidRequestError, TailraceError
from server.bulk import parse_bulk, parse_update
from server.limits import Limits

LIMITS = Limits()


def parse(text: str, index: str | None = "books") -> list[tuple[object, ...]]:
    actions = parse_bulk(text.encode(), index, LIMITS)
    return [(a.name, a.index, a.key, a.version, a.source) for a in actions]


def test_all_four_actions_are_read_in_order() -> None:
    text = """{"index":{"_id":"1"}}\n{"a":1}\n{"create":{"_index":"other"}}\n{"a":2}\r
{"delete":{"_id":7}}\n\n{"update":{"_id":"3"}}\n{"doc":{}}"""
    assert parse(text) == [
        ("index", "books", "1", None, b'{"a":1}'),
        ("create", "other", None, None, b'{"a":2}'),
        ("delete", "books", "7", None, None),
        ("update", "books", "3", None, b'{"doc":{}}'),
    ]


def test_an_external_version_is_kept() -> None:
    meta = '{"index":{"_id":"1","version":5,"version_type":"external"}}\n{}\n'
    assert parse(meta)[0][3] == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"index":{}}\n', "line 1: .index. has no document"),
        ('{"index":{}}\n{}\nnonsense\n', "action line 3 is not valid json"),
        ('{"frobnicate":{}}\n', "line .1., expected one of"),
        ('{"index":{},"create":{}}\n', "line .1."),
        ('{"index":3}\n', "line .1."),
        ('{"index":{"_id":true}}\n{}\n', "neither a string nor a number"),
        ('{"index":{"colour":1}}\n{}\n', "unknown parameter .colour."),
        ('{"index":{"if_seq_no":1}}\n{}\n', "not supported"),
        ('{"index":{"version":1}}\n{}\n', "version_type external"),
        ('{"index":{"version":-1,"version_type":"external"}}\n{}\n', "not an integer from 0"),
        ("[" * 100 + "\n", "nested deeper"),
    ],
)
def test_a_malformed_line_refuses_the_whole_text_and_is_named(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        parse(text)


def test_an_action_without_an_index_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="line 1: an index is missing"):
        parse('{"delete":{"_id":"1"}}\n', index=None)


def test_doc_as_upsert_is_its_own_upsert() -> None:
    update = parse_update(orjson.dumps({"doc": {"a": 1}, "doc_as_upsert": True}), LIMITS)
    assert update.source == update.upsert == b'{"a":1}'


@pytest.mark.parametrize(
    "body", [{}, {"doc": 1}, {"script": "x"}, {"doc": {}, "upsert": []}, {"doc": {}, "x": 1}, []]
)
def test_an_update_that_would_not_do_what_it_says_is_refused(body: object) -> None:
    with pytest.raises(TailraceError):
        parse_update(orjson.dumps(body), LIMITS)
