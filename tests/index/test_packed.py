from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import CorruptionError
from index.format import Kind, Sections, SegmentFile, section
from index.packed import Packed, encode_packed, pack

LEAST, MOST = -(2**63), 2**63 - 1


def opened(values: list[int]) -> Packed:
    parts = SegmentFile().chunks([encode_packed(Kind.OFFSETS, np.array(values, np.int64))])
    data = b"".join(bytes(memoryview(part)) for part in parts)
    sections = Sections("1.seg", np.frombuffer(bytearray(data), np.uint8))
    return Packed(sections, Kind.OFFSETS, len(values))


any_numbers = st.one_of(
    st.lists(st.integers(LEAST, MOST), max_size=300),
    st.lists(st.integers(0, 40), max_size=300),
    st.lists(st.sampled_from([LEAST, -1, 0, 1, 2**56, 2**57, 2**62, MOST]), max_size=300),
    st.lists(st.integers(0, 2**40), max_size=300).map(sorted),
)


@settings(deadline=None)
@given(any_numbers, st.data())
def test_numbers_come_back(values: list[int], data: st.DataObject) -> None:
    packed = opened(values)
    assert packed.all().tolist() == values
    assert [packed[i] for i in range(len(values))] == values
    if values:
        places = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=20))
        assert packed.at(np.array(places, np.int64)).tolist() == [values[i] for i in places]


def test_numbers_on_a_line_take_no_bits() -> None:
    assert len(pack(np.arange(10**9, 10**9 + 12_800, dtype=np.int64))) == 100 * 24 + 8
    assert len(pack(np.full(12_800, -7, np.int64))) == 100 * 24 + 8


def test_numbers_take_the_bits_of_their_range() -> None:
    values = np.random.default_rng(0).integers(1000, 1008, 12_800)
    assert len(pack(values)) == 100 * 24 + 12_800 * 3 // 8 + 8


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=300), st.data())
def test_a_damaged_header_does_not_lead_outside(values: list[int], data: st.DataObject) -> None:
    packed = opened(values)
    n_headers = -(-len(values) // 128)
    where = packed._data[: 24 * n_headers].view(np.uint64)[2::3]
    where[data.draw(st.integers(0, n_headers - 1))] = data.draw(st.integers(0, 2**64 - 1))
    with contextlib.suppress(CorruptionError):
        assert len(packed.all()) == len(values)
    assert isinstance(packed[len(values) - 1], int)


def test_a_place_that_is_not_there_is_refused() -> None:
    packed = opened([1, 2, 3])
    for place in (-1, 3):
        with pytest.raises(IndexError):
            packed[place]
        with pytest.raises(IndexError):
            packed.at(np.array([place], np.int64))


def test_a_section_too_short_is_refused() -> None:
    parts = SegmentFile().chunks([section(Kind.OFFSETS, bytes(31))])
    data = b"".join(bytes(memoryview(part)) for part in parts)
    sections = Sections("1.seg", np.frombuffer(bytearray(data), np.uint8))
    with pytest.raises(CorruptionError, match="does not hold its numbers"):
        Packed(sections, Kind.OFFSETS, 1)
