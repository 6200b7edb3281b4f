from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.analysis.analyzer import Token
from index.analysis.definitions import get_analyzer
from index.analysis.languages import BUILT_IN
from index.analysis.terms import TermMap
from index.errors import MappingError


def terms(name: str, text: str) -> list[str]:
    return [token.term.decode() for token in get_analyzer(name).tokens(text)]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("standard", "The Quick-Brown fox's U.S.A.", ["the", "quick", "brown", "fox's", "u.s.a"]),
        ("standard", "ÄRGER Straße ΟΔΟΣ", ["ärger", "straße", "οδος"]),
        ("standard", "東京タワー", ["東", "京", "タワー"]),
        ("simple", "It's 2 o'clock", ["it", "s", "o", "clock"]),
        ("whitespace", " Foo-Bar  baz ", ["Foo-Bar", "baz"]),
        ("keyword", "New York ", ["New York "]),
        ("stop", "The Quick fox of it", ["quick", "fox"]),
        ("english", "The dogs’ dog's running", ["dog", "dog", "run"]),
        ("english", "Generalizations", ["gener"]),
    ],
)  # fmt: skip
def test_analyzers_give_opensearchs_terms(name: str, text: str, expected: list[str]) -> None:
    assert terms(name, text) == expected


def test_a_removed_word_leaves_its_position() -> None:
    assert get_analyzer("english").tokens("to Be or naïve") == [Token("naïv".encode(), 3, 9, 14)]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_name_a_mapping_may_give_is_an_analyzer(name: str) -> None:
    assert get_analyzer(name).name == name
    assert terms(name, "") in ([], [""])


def test_an_unknown_analyzer_is_a_mapping_error() -> None:
    with pytest.raises(MappingError, match="klingon"):
        get_analyzer("klingon")


@given(st.text(max_size=60), st.sampled_from(sorted(BUILT_IN)))
@settings(deadline=None)
def test_offsets_point_at_the_spelling(text: str, name: str) -> None:
    for token in get_analyzer(name).tokens(text):
        if name in ("standard", "simple"):
            assert text[token.start : token.end].lower() == token.term.decode()
        elif name in ("whitespace", "keyword"):
            assert text[token.start : token.end] == token.term.decode()
        else:
            assert 0 <= token.start <= token.end <= len(text)


def test_a_map_works_out_a_spelling_once() -> None:
    asked: list[bytes] = []

    def upper(spellings: object) -> list[bytes | None]:
        asked.extend(spellings)  # type: ignore[call-overload]
        return [None if spelling == b"x" else spelling.upper() for spelling in spellings]  # type: ignore[attr-defined]

    terms = TermMap(upper)
    assert terms.lookup([b"a", b"x"]) == [b"A", None]
    assert terms.lookup([b"x", b"b", b"a"]) == [None, b"B", b"A"]
    assert asked == [b"a", b"x", b"b"]
