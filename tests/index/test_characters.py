from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.analysis import characters as ch
from index.kernels import tokenize


@pytest.mark.parametrize(
    ("character", "kind"),
    [
        ("a", ch.ALETTER), ("é", ch.ALETTER), ("한", ch.ALETTER), ("٣", ch.NUMERIC),
        ("_", ch.EXTEND_NUM_LET), ("カ", ch.KATAKANA), ("ー", ch.KATAKANA), ("א", ch.HEBREW),
        (":", ch.MID_LETTER), (",", ch.MID_NUM), (".", ch.MID_NUM_LET), ("’", ch.MID_NUM_LET),
        ("'", ch.SINGLE_QUOTE), ('"', ch.DOUBLE_QUOTE), ("\u0301", ch.EXTEND),
        ("\u200d", ch.JOINER), ("漢", ch.IDEOGRAPH), ("ひ", ch.HIRAGANA),
        ("ก", ch.SOUTH_EAST_ASIAN), ("😀", ch.EMOJI), ("🇩", ch.REGIONAL), ("-", ch.OTHER),
        (" ", ch.OTHER), ("©", ch.OTHER), ("\u00a0", ch.OTHER), ("\U0010ffff", ch.OTHER),
    ],
)  # fmt: skip
def test_each_class_has_its_characters(character: str, kind: int) -> None:
    assert ch.character_class(character) & ch.CLASS_MASK == kind


@given(st.characters(exclude_categories=["Cs", "Cn"]))
def test_letters_are_unicodes_letters(character: str) -> None:
    is_letter = bool(ch.character_class(character) & ch.IS_LETTER)
    assert is_letter == unicodedata.category(character).startswith("L")


@pytest.mark.parametrize(
    ("character", "is_space"),
    [(" ", True), ("\t", True), ("\u3000", True), ("\u00a0", False), ("a", False)],
)
def test_a_no_break_space_is_no_blank(character: str, is_space: bool) -> None:
    assert bool(ch.character_class(character) & ch.IS_SPACE) == is_space


def test_kernels_count_the_classes_as_the_table_does() -> None:
    names = [name for name, value in vars(ch).items() if name.isupper() and isinstance(value, int)]
    shared = [name for name in names if hasattr(tokenize, name)]
    assert len(shared) == 19
    assert all(getattr(tokenize, name) == getattr(ch, name) for name in shared)
