from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.analysis.analyzer import Analyzer, Token
from index.analysis.definitions import Analysis
from index.errors import InvalidQueryError, InvalidRequestError
from index.query.token_graph import in_a_row, is_flat, paths, segments, whole_paths


def analyzer(*rules: str, kind: str = "synonym_graph", **parameters: Any) -> Analyzer:
    synonyms = {"type": kind, "synonyms": list(rules), **parameters}
    return Analysis({}).inline(
        "analyzer", {"tokenizer": "standard", "filter": ["lowercase", synonyms]}
    )


def graph(found: Analyzer, text: str) -> list[str]:
    """Return `term@position`, and `+span` where a token covers several."""
    return [
        f"{token.term.decode()}@{token.position}" + (f"+{token.span}" if token.span > 1 else "")
        for token in found.tokens(text)
    ]


def test_equals_stand_beside_each_other() -> None:
    assert graph(analyzer("Car, automobile"), "A car") == ["a@0", "car@1", "automobile@1"]
    assert graph(analyzer("car, auto", expand=False), "auto car") == ["car@0", "car@1"]


def test_the_right_side_stands_for_the_left() -> None:
    found = analyzer("tele, television => tv, telly", kind="synonym")
    assert graph(found, "my television") == ["my@0", "tv@1", "telly@1"]
    assert graph(analyzer("a => a, b"), "a") == ["a@0", "b@0"]


def test_in_a_graph_several_words_have_positions_of_their_own() -> None:
    found = analyzer("ny, new york city")
    assert graph(found, "in NY now") == [
        "in@0", "ny@1+3", "new@1", "york@2", "city@3", "now@4",
    ]  # fmt: skip
    assert graph(found, "new york city") == ["new@0", "ny@0+3", "york@1", "city@2"]
    assert graph(found, "new york") == ["new@0", "york@1"]


def test_without_a_graph_they_lie_over_what_follows() -> None:
    found = analyzer("ny => new york city", kind="synonym")
    assert graph(found, "ny is big") == ["new@0", "york@1", "is@1", "city@2", "big@2"]
    found = analyzer("new york => ny", kind="synonym")
    assert graph(found, "new york is") == ["ny@0", "is@1"]


def test_the_longest_rule_is_taken() -> None:
    found = analyzer("a b => x", "a b c => y")
    assert graph(found, "a b c a b a") == ["y@0", "x@1", "a@2"]


def test_rules_go_through_the_filters_before() -> None:
    found = Analysis({}).inline(
        "analyzer",
        {
            "tokenizer": "standard",
            "filter": [
                "lowercase",
                "porter_stem",
                {"type": "synonym", "synonyms": ["Dogs => Hounds"]},
            ],
        },
    )
    assert graph(found, "dog") == ["hound@0"]


def test_escapes_and_comments() -> None:
    assert graph(analyzer("# a, b", "", "a\\,b => c"), "a b") == ["c@0"]


@pytest.mark.parametrize("rule", ["a =>", "=> a", "a,,b", "a => b => c", "... => b"])
def test_a_rule_that_says_nothing_is_refused_unless_lenient(rule: str) -> None:
    with pytest.raises(InvalidRequestError, match="line 2"):
        analyzer("x, y", rule)
    assert graph(analyzer("x, y", rule, lenient=True), "x") == ["x@0", "y@0"]


# --- reading a graph in a query ------------------------------------------------------------
def test_a_graph_is_cut_where_no_token_spans() -> None:
    tokens = analyzer("ny, new york").tokens("in ny at ny")
    assert not in_a_row(tokens)
    assert not is_flat(tokens)
    parts = segments(tokens)
    assert [[token.term for token in part] for part in parts] == [
        [b"in"], [b"ny", b"new", b"york"], [b"at"], [b"ny", b"new", b"york"],
    ]  # fmt: skip
    assert [way.places for way in paths(parts[1])] == [
        ((0, b"ny"),), ((0, b"new"), (1, b"york")),
    ]  # fmt: skip
    assert {tuple(term for _, term in way.places) for way in whole_paths(tokens)} == {
        (b"in", *one, b"at", *other)
        for one in ((b"ny",), (b"new", b"york"))
        for other in ((b"ny",), (b"new", b"york"))
    }


def test_a_hole_keeps_words_apart() -> None:
    tokens = [Token(b"a", 0, 0, 1), Token(b"b", 2, 2, 3), Token(b"c", 2, 2, 3)]
    assert [way.places for way in whole_paths(tokens)] == [
        ((0, b"a"), (2, b"b")), ((0, b"a"), (2, b"c")),
    ]  # fmt: skip


def test_too_many_readings_are_an_error() -> None:
    tokens = analyzer("a, b c").tokens("a " * 9)
    with pytest.raises(InvalidQueryError, match="256"):
        whole_paths(tokens)


words = st.sampled_from(["a", "b", "c", "d"])
phrases = st.lists(words, min_size=1, max_size=3).map(" ".join)
rules = st.lists(
    st.one_of(
        st.lists(phrases, min_size=2, max_size=3).map(", ".join),
        st.tuples(phrases, phrases).map(" => ".join),
    ),
    max_size=4,
)


@given(rules, st.lists(words, max_size=6))
@settings(deadline=None, max_examples=300)
def test_every_path_leads_to_the_last_word(lines: list[str], text: list[str]) -> None:
    tokens = analyzer(*lines).tokens(" ".join(text))
    ends = {token.position + token.span for token in tokens}
    starts = {token.position for token in tokens}
    last = max(ends, default=0)
    assert starts <= ends | {0}
    assert ends <= starts | {last}


@given(rules, st.lists(words, max_size=6))
@settings(deadline=None)
def test_the_words_themselves_are_a_path_where_rules_keep_them(
    lines: list[str], text: list[str]
) -> None:
    equals = [line for line in lines if "=>" not in line]
    tokens = analyzer(*equals).tokens(" ".join(text))
    wanted = tuple(word.encode() for word in text)
    open_paths: list[tuple[int, tuple[bytes, ...]]] = [(0, ())]
    found = not wanted
    while open_paths and not found:
        at, path = open_paths.pop()
        found = path == wanted
        open_paths += [
            (token.position + token.span, (*path, token.term))
            for token in tokens
            if token.position == at and wanted[len(path) : len(path) + 1] == (token.term,)
        ]
    assert found
