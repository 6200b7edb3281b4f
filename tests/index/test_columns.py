from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.columns import bits_of, canonical, mask_of
from index.kernels.columns import renumber
from index.reader import Column
from tests.index.storage_world import bits, bits_set, starts


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=200))
def test_a_mask_and_its_bitset_are_the_same_documents(flags: list[bool]) -> None:
    words = bits_of(np.array(flags, np.bool_))
    assert words.tolist() == bits(flags).tolist()
    assert mask_of(words, len(flags)).tolist() == flags


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=70))
def test_equal_columns_have_one_form(values: list[list[int]]) -> None:
    flat = np.array([v for of_doc in values for v in of_doc], np.int64)
    many = canonical(
        Column("i64", flat, None, starts([len(v) for v in values], np.uint32)), len(values)
    )
    assert bits_set(many.present, len(values)) == [bool(of_doc) for of_doc in values]
    if any(len(of_doc) > 1 for of_doc in values):
        assert many.starts is not None
        assert many.values.tolist() == flat.tolist()
        return
    filled = [of_doc[0] if of_doc else 7 for of_doc in values]
    one = Column("i64", np.array(filled, np.int64), bits([bool(v) for v in values]), None)
    form = canonical(one, len(values))
    assert many.starts is form.starts is None
    assert many.values.tolist() == form.values.tolist()
    assert many.values.tolist() == [of_doc[0] if of_doc else 0 for of_doc in values]


@pytest.mark.parametrize(("values", "bad"), [([0, 2], -1), ([0, 1], 1), ([3], 0)])
def test_new_numbers_replace_old_ones(values: list[int], bad: int) -> None:
    array: Any = np.array(values, np.uint32)
    numbers = np.array([5, 0xFFFFFFFF, 6], np.uint32)
    assert renumber(array, numbers) == bad
    if bad < 0:
        assert array.tolist() == [5, 6]
