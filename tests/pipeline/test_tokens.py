from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import InvalidRequestError
from pipeline.tokens import encode_token, parse_token

vectors = st.dictionaries(st.integers(0, 1 << 20), st.integers(1, (1 << 63) - 1), max_size=5)


@given(vectors)
def test_a_token_reads_back(vector: dict[int, int]) -> None:
    assert parse_token(encode_token(vector)) == vector


def test_a_token_needs_no_escaping_in_a_url() -> None:
    assert encode_token({1: 20, 0: 15, 2: 0}) == "0-15.1-20"
    assert encode_token({}) == "-"


def test_a_place_in_a_topic_means_past_its_record() -> None:
    assert parse_token("docs.v1:3:17") == {3: 18}


def test_partitions_of_a_second_topic_have_shards_of_their_own() -> None:
    assert parse_token("b:3:17", ("a", "b")) == {65_536 + 3: 18}


@pytest.mark.parametrize("token", ["", "x", "1-", "1-2.", "a:b:1", "1-2-3", "9" * 40 + "-1"])
def test_nonsense_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_token(token)


def test_a_foreign_topic_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        parse_token("other:0:1", ("docs",))
