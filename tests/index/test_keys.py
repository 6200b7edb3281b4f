from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import CorruptionError
from index.format import Sections, SegmentFile
from index.keys import Keys, encode_keys, join_bytes


def opened(keys: list[bytes]) -> Keys:
    parts = SegmentFile().chunks(encode_keys(*join_bytes(keys)))
    data = b"".join(bytes(memoryview(part)) for part in parts)
    return Keys(Sections("1.seg", np.frombuffer(bytearray(data), np.uint8)), len(keys))


some_keys = st.lists(st.one_of(st.binary(max_size=3), st.binary(max_size=40)), max_size=200)


@settings(deadline=None, max_examples=100)
@given(some_keys, some_keys)
def test_the_newest_document_of_a_key_is_found(keys: list[bytes], others: list[bytes]) -> None:
    opened_keys = opened(keys)
    newest = {key: doc_id for doc_id, key in enumerate(keys)}
    wanted = keys + others
    assert opened_keys.find(wanted).tolist() == [newest.get(key, -1) for key in wanted]
    assert [opened_keys.key(doc_id) for doc_id in range(len(keys))] == keys


@settings(deadline=None, max_examples=50)
@given(some_keys.filter(bool), st.data())
def test_damaged_slots_and_starts_do_not_lead_outside(
    keys: list[bytes], data: st.DataObject
) -> None:
    opened_keys = opened(keys)
    array = data.draw(st.sampled_from([opened_keys._slots, opened_keys._starts._data]))
    at = data.draw(st.integers(0, len(array) - 1))
    array[at] ^= array.dtype.type(data.draw(st.integers(1, np.iinfo(array.dtype).max)))
    found = opened_keys.find(keys)
    assert all(-1 <= doc_id < len(keys) for doc_id in found)


def test_no_document_is_found_among_none() -> None:
    assert opened([]).find([b"", b"a"]).tolist() == [-1, -1]


def test_no_more_than_two_thirds_of_the_slots_are_used() -> None:
    for n_docs in range(1, 200):
        slots = opened([b"%d" % i for i in range(n_docs)])._slots
        assert n_docs <= 2 / 3 * len(slots)


def test_keys_whose_starts_are_damaged_are_not_handed_out() -> None:
    opened_keys = opened([b"a", b"bc", b"d"])
    opened_keys._starts._data[0] ^= 1
    with pytest.raises(CorruptionError, match="keys do not follow each other"):
        opened_keys.all()


def test_a_document_that_is_not_there_has_no_key() -> None:
    with pytest.raises(IndexError):
        opened([b"a"]).key(1)
