from __future__ import annotations

import gzip
import time
import zlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.bodies import Inflater, check_depth, parse_json, parse_object
from server.faults import MalformedBodyError, TooLargeError
from server.limits import Limits

LIMITS = Limits()
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def depth_of(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


@settings(deadline=None)
@given(values, st.integers(0, 5))
def test_depth_is_what_a_parser_would_count(value: object, allowed: int) -> None:
    data = orjson.dumps(value)
    if depth_of(value) <= allowed:
        check_depth(data, allowed, where="body")
    else:
        with pytest.raises(MalformedBodyError, match="deeper"):
            check_depth(data, allowed, where="body")


def test_brackets_within_strings_do_not_nest() -> None:
    assert parse_json(orjson.dumps("[" * 100 + '\\"{' * 100), LIMITS) != ""


@pytest.mark.parametrize("unit", [b'"\\', b'\\"', b'"', b"\\", b'"\\"'])
def test_looking_for_depth_is_linear_in_broken_strings(unit: bytes) -> None:
    began = time.perf_counter()
    check_depth(b"[]" * 40 + unit * 400_000, 32, where="body")
    assert time.perf_counter() - began < 5.0


@pytest.mark.parametrize("data", [b"{", b"nonsense", b'{"a":"\xff"}', b"\xff", b'{"a":1}{"b":2}'])
def test_what_is_not_json_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(MalformedBodyError, match="body is not valid json"):
        parse_json(data, LIMITS)


def test_an_empty_body_stands_for_an_empty_object() -> None:
    assert parse_object(b" \n", LIMITS) == {}


@pytest.mark.parametrize(("data", "kind"), [(b"[]", "array"), (b"1", "number"), (b"null", "null")])
def test_a_body_that_is_no_object_is_refused_with_its_kind(data: bytes, kind: str) -> None:
    with pytest.raises(MalformedBodyError, match=kind):
        parse_object(data, LIMITS)


def inflate(encoding: str, data: bytes, step: int, *, most: int = 1 << 20) -> bytes:
    inflater = Inflater(encoding, most, 100)
    parts = [inflater.feed(data[at : at + step]) for at in range(0, len(data), step)]
    inflater.finish()
    return b"".join(parts)


@settings(deadline=None)
@given(st.binary(max_size=5_000), st.integers(1, 500))
def test_what_was_compressed_comes_back_in_any_pieces(data: bytes, step: int) -> None:
    assert inflate("gzip", gzip.compress(data), step) == data
    assert inflate("gzip", gzip.compress(data) + gzip.compress(data), step) == data + data
    assert inflate("deflate", zlib.compress(data), step) == data
    assert inflate("", data, step) == data


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_compressed_body_that_is_cut_anywhere_is_refused(
    data: bytes, more: st.DataObject
) -> None:
    whole = gzip.compress(data)
    cut = whole[: more.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(MalformedBodyError):
        inflate("gzip", cut, 100)


def test_a_body_that_grows_too_much_is_refused_before_it_is_built() -> None:
    bomb = gzip.compress(b" " * (50 << 20))
    with pytest.raises(TooLargeError):
        inflate("gzip", bomb, 1 << 20, most=1 << 30)
    with pytest.raises(TooLargeError):
        inflate("gzip", bomb, 1 << 20, most=2 << 20)
