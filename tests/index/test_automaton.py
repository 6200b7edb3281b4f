"""Patterns: what they accept against Python's expressions and against sets of all short strings,
and how they are looked for against asking term by term."""

from __future__ import annotations

import itertools
import re
import time
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.automaton.automaton import Automaton, prefix, regexp, wildcard, word
from index.automaton.nfa import byte_runs
from index.automaton.regexp import Syntax, read_syntax
from index.errors import InvalidQueryError
from index.live_bytes import LiveBytes, LiveKeys
from index.memtable_reader import MemtableReader
from index.terms import Terms
from tests.index.test_terms import opened
from tests.index.test_vocabulary import filled

UNLIMITED = 1 << 40
LETTERS = "abé漢😀"
texts = st.text(st.sampled_from(LETTERS), max_size=6)


def twin(automaton: Automaton, term: bytes) -> bool:
    """Walk the program byte by byte."""
    program, n_classes = automaton.program.tolist(), len(automaton.class_lows)
    class_of = automaton.class_of.tolist()
    state = n_classes + 1
    for byte in term:
        state = program[state + class_of[byte]]
        if state == 0:
            return False
    return program[state + n_classes] != 0


# --- syntax --------------------------------------------------------------------------------
atoms = st.sampled_from(
    ["a", "b", "é", "漢", "😀", ".", "[ab]", "[^a]", "[^é]", "[a-漢]", "[b-é😀]", "()", "\\."]
)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    counts = st.sampled_from(["?", "*", "+", "{2}", "{1,}", "{0,2}", "{2,3}"])
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, counts).map(lambda pair: f"({pair[0]}){pair[1]}"),
    )


expressions = st.recursive(atoms, grown, max_leaves=6)


@settings(deadline=None, max_examples=300)
@given(expressions, st.lists(texts, max_size=8))
def test_expressions_accept_what_those_of_python_match(pattern: str, found: list[str]) -> None:
    automaton = regexp(pattern)
    matches = re.compile(pattern, re.DOTALL).fullmatch
    for text in [*found, ""]:
        assert automaton.accepts(text.encode()) == (matches(text) is not None)
        assert twin(automaton, text.encode()) == automaton.accepts(text.encode())


SHORT = ["".join(chars) for n in range(4) for chars in itertools.product("abé", repeat=n)]
SETS = {
    "a": {"a"},
    "é.": {"éa", "éb", "éé"},
    "(a|b)*": {text for text in SHORT if set(text) <= {"a", "b"}},
    ".*é": {text for text in SHORT if text.endswith("é")},
    "@": set(SHORT),
    "#": set(),
    "()": {""},
}


@lru_cache
def operators(depth: int) -> st.SearchStrategy[tuple[str, frozenset[str]]]:
    """Patterns with the operators that Python lacks, and the short strings they should accept."""
    plain = st.sampled_from([(f"({p})" if p != "()" else p, frozenset(s)) for p, s in SETS.items()])
    if depth == 0:
        return plain
    inner = operators(depth - 1)
    pairs = st.tuples(inner, inner)
    return st.one_of(
        plain,
        inner.map(lambda one: (f"~({one[0]})", frozenset(SHORT) - one[1])),
        pairs.map(lambda two: (f"({two[0][0]}&{two[1][0]})", two[0][1] & two[1][1])),
        pairs.map(lambda two: (f"({two[0][0]}|{two[1][0]})", two[0][1] | two[1][1])),
        pairs.map(lambda two: (f"({two[0][0]}{two[1][0]})", joined(two[0][1], two[1][1]))),
    )


def joined(first: frozenset[str], second: frozenset[str]) -> frozenset[str]:
    """Return the short strings that are one of each, one after the other."""
    return frozenset(
        text
        for text in SHORT
        if any(text[:i] in first and text[i:] in second for i in range(len(text) + 1))
    )


@settings(deadline=None, max_examples=200)
@given(operators(3))
def test_complements_and_intersections_are_those_of_sets(case: tuple[str, frozenset[str]]) -> None:
    pattern, expected = case
    automaton = regexp(pattern)
    assert {text for text in SHORT if automaton.accepts(text.encode())} == expected


@pytest.mark.parametrize(
    ("pattern", "accepted", "refused"),
    [
        ("<1-12>", ["1", "9", "12", "007", "0012"], ["0", "13", "", "1a"]),
        ("<01-12>", ["01", "12"], ["1", "13", "00", "001"]),
        ("<12-1>", ["1", "12"], ["13"]),
        ("<0-999>", ["0", "000", "12", "999", "00999"], ["1000", ""]),
        ("<7-1234>", ["7", "99", "1234", "01000"], ["6", "1235", "9999"]),
        ("a||b", ["a", "|b"], ["b", ""]),
        ("*a", ["*a"], ["a"]),
        ("[*.]+", ["*.", "."], ["a"]),
        ("[]a]", ["]", "a"], []),
        ("[-a]", ["-", "a"], ["b"]),
        ('"a.b*"', ["a.b*"], ["axb"]),
        ("\\\"a", ['"a'], []),
        (r"\d+\s\w\W", ["12 a-", "7\n_é"], ["a a-", "1 aa"]),
        (r"[\d_]\D\S", ["_ax", "1-y"], ["a11", "1a "]),
        ("ab?", ["a", "ab"], ["abb", ""]),
        ("\N{SPACE}", [" "], [""]),
        (".", ["\n", "\0", "\U0010ffff"], ["", "ab"]),
        ("", [""], ["a"]),
    ],
)  # fmt: skip
def test_the_syntax_is_that_of_lucene(
    pattern: str, accepted: list[str], refused: list[str]
) -> None:
    automaton = regexp(pattern)
    assert [text for text in accepted if not automaton.accepts(text.encode())] == []
    assert [text for text in refused if automaton.accepts(text.encode())] == []


def test_operators_that_are_not_wanted_are_characters() -> None:
    assert regexp("~a&b@#<1-2>", syntax=Syntax.NONE).accepts(b"~a&b@#<1-2>")
    assert regexp("<1-2>&~a", syntax=Syntax.INTERVAL).accepts(b"1&~a")
    assert read_syntax("interval|COMPLEMENT") == Syntax.INTERVAL | Syntax.COMPLEMENT
    assert read_syntax("ALL") == Syntax.ALL
    assert read_syntax("INTERVALS") is None


def test_cases_of_letters() -> None:
    assert regexp("straße[a-c]É", caseless=True).accepts("STRAßEBé".encode())
    assert not regexp("é").accepts("É".encode())
    assert wildcard("*Ab?", caseless=True).accepts(b"xxaBc")
    assert word("Éa", caseless=True).accepts("éA".encode())
    assert prefix("aÉ", caseless=True).accepts("Aéx".encode())


ranges = st.tuples(st.integers(0, 0x10FFFF), st.integers(0, 3000)).map(
    lambda pair: (pair[0], min(pair[0] + pair[1], 0x10FFFF))
)


@settings(deadline=None, max_examples=100)
@given(st.one_of(ranges, st.tuples(st.integers(0, 0x900), st.integers(0x900, 0x1000))))
def test_byte_runs_are_those_of_utf_8(span: tuple[int, int]) -> None:
    low, high = span
    found = sorted(
        bytes(chosen)
        for run in byte_runs((span,))
        for chosen in itertools.product(*(range(a, b + 1) for a, b in run))
    )
    assert found == [chr(char).encode("utf-8", "surrogatepass") for char in range(low, high + 1)]


# --- errors --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", "at character 2: expected [)]"),
        ("a)", "at character 1: unexpected [)]"),
        ("[a", "at character 2: expected []]"),
        ('"a', 'at character 1: a ["] is missing'),
        ("a{", "at character 2: expected a number"),
        ("a{3,2}", "at character 2: the repetition ends at 2"),
        ("a{1234567890}", "more than 9 digits"),
        ("[b-a]", "at character 1: the range ends at [a]"),
        ("ab\\", "at character 3: the pattern ends too soon"),
        ("<1-", "a [>] is missing"),
        ("<name>", "at character 1: expected numbers"),
        ("(" * 900, "50 deep at most"),
        ("~" * 900 + "a", "50 deep at most"),
        ("a" + "*" * 900, "50 deep at most"),
        ("a" * 1001, "1000 characters at most but has 1001"),
        ("a{1,100000}", "more than 10000 places"),
        ("((a{1,99}){1,99}){1,99}", "more than 10000 places"),
        (".*a.{14}", "more than 10000 states"),
        ("(.{0,30}a){20}", "too long to build"),
        ("~a" * 400, "too long to build"),
        ("a&" * 400 + "a", "too long to build"),
        ("~(.*a.{9})&~(.*b.{9})", "more than 10000 states"),
    ],
)
def test_a_bad_pattern_is_refused_with_its_reason(pattern: str, reason: str) -> None:
    with pytest.raises(InvalidQueryError) as caught:
        regexp(pattern)
    assert reason in str(caught.value)


def test_a_limit_of_states_may_be_asked_for() -> None:
    regexp("[ab]{20}", max_states=50)
    with pytest.raises(InvalidQueryError, match="more than 5 states"):
        regexp("[ab]{40}", max_states=5)


hostile = st.lists(
    st.sampled_from([*'ab.?*+|()[]{}~&<>@#"\\-^,019é\ud800', "{2,9}", ".*", "(.*", "[^"]),
    max_size=40,
).map("".join)


@settings(deadline=None, max_examples=500)
@given(hostile)
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    before = time.process_time()
    try:
        automaton = regexp(pattern)
    except InvalidQueryError as error:
        str(error).encode()
    else:
        assert automaton.program.nbytes < 64 << 20
        automaton.accepts(b"ab")
    assert time.process_time() - before < 5


# --- looking for terms ---------------------------------------------------------------------
wildcards = st.lists(
    st.sampled_from(["a", "b", "é", "*", "?", "\\*", "漢"]), max_size=6
).map("".join)  # fmt: skip


def sought(pattern: str) -> str:
    return re.sub(
        r"\\(.)|(\*)|(\?)|(.)",
        lambda m: ".*" if m[2] else "." if m[3] else re.escape(m[1] or m[4]),
        pattern,
        flags=re.DOTALL,
    )


@settings(deadline=None, max_examples=300)
@given(wildcards, st.lists(st.text(st.sampled_from("abé漢*"), max_size=8), max_size=8))
def test_wildcards_accept_what_their_expression_does(pattern: str, found: list[str]) -> None:
    automaton = wildcard(pattern)
    for text in found:
        expected = re.fullmatch(sought(pattern), text, re.DOTALL) is not None
        assert automaton.accepts(text.encode()) == expected


def memtable_of(terms: list[tuple[int, bytes]]) -> MemtableReader:
    none = np.zeros(0, np.int64)
    keys, sources = LiveKeys().snapshot(), LiveBytes().snapshot()
    return MemtableReader(1, filled([terms]).terms(), {}, keys, sources, none, none)


long_texts = st.tuples(st.sampled_from(["", "a" * 14, "ab" * 130]), texts).map("".join)
either = st.one_of(expressions.map(regexp), wildcards.map(wildcard))


@settings(deadline=None, max_examples=300)
@given(st.sets(long_texts, max_size=120), either, st.integers(0, 120))
def test_all_terms_are_found_that_are_accepted(
    found: set[str], automaton: Automaton, limit: int
) -> None:
    ordered = sorted(text.encode() for text in found)
    segment = opened([(0, b"a"), *((1, term) for term in ordered), (2, b"a")])
    expected = [term for term in ordered if automaton.accepts(term)]
    ids = segment.matching(1, automaton, UNLIMITED)
    assert segment.names(ids, 1) == expected
    assert segment.matching(1, automaton, limit).tolist() == ids.tolist()[:limit]
    assert len(segment.matching(3, automaton, UNLIMITED)) == 0
    memtable = memtable_of([(0, b"a"), *((1, term) for term in found_bytes(found))])
    in_memory = memtable.matching_terms(1, automaton, UNLIMITED)
    assert sorted(memtable.term_names(in_memory, 1)) == expected
    assert len(memtable.matching_terms(1, automaton, limit)) == min(limit, len(expected))


def found_bytes(found: set[str]) -> list[bytes]:
    return [text.encode() for text in found]


@pytest.fixture(scope="module")
def many() -> tuple[list[bytes], Terms]:
    """A dictionary of thousands of terms, in which whole blocks are passed over."""
    stems = ["".join(chars) for chars in itertools.product("abcdeé", repeat=4)]
    terms = sorted({(stem + tail).encode() for stem in stems for tail in ("", "ing", "Sx", "漢")})
    return terms, opened([(1, term) for term in terms], 5000)


@pytest.mark.parametrize(
    "pattern",
    [".*ing", ".*b.*c.*x", "a.*", "a[b-d].?e.*", "..é[a-c]ing", "(ab|cd|éé).*x", ".*[cd]{3}.*",
     "~(.*a.*)", ".*dé.*&.*漢", "[^ab].*", "e{4}ing", "dddé(ing)?", ".*ddddi.*", "cb.*g"],
)  # fmt: skip
@pytest.mark.parametrize("caseless", [False, True])
def test_terms_of_a_large_dictionary_are_found(
    many: tuple[list[bytes], Terms], pattern: str, caseless: bool
) -> None:
    terms, dictionary = many
    automaton = regexp(pattern, caseless=caseless)
    expected = [term for term in terms if automaton.accepts(term)]
    assert expected
    assert dictionary.names(dictionary.matching(1, automaton, UNLIMITED), 1) == expected
    assert automaton.roams == (pattern[:2] == ".*" or (pattern[0] in "~[" and pattern[1] != "b"))


@settings(deadline=None, max_examples=200)
@given(
    st.sets(st.binary(max_size=5), max_size=60),
    st.none() | st.binary(max_size=4),
    st.none() | st.binary(max_size=4),
)
def test_terms_between_two(found: set[bytes], low: bytes | None, high: bytes | None) -> None:
    expected = [
        term
        for term in sorted(found)
        if (low is None or term >= low) and (high is None or term < high)
    ]
    segment = opened([(1, term) for term in sorted(found)])
    assert segment.names(segment.between(1, low, high), 1) == expected if found else True
    memtable = memtable_of([(1, term) for term in found])
    ids = memtable.terms_between(1, low, high)
    assert sorted(memtable.term_names(ids, 1)) == expected
