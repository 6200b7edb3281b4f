"""Kernels for Chinese, Japanese and Korean against the same in plain Python."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from index.analysis import tokenizers
from index.analysis.chinese import chinese_dictionary
from index.analysis.definitions import get_analyzer
from index.analysis.tokenizers import scan_bigrams, spans

CHINESE = "他来到了清华大学研究生命的起源数据库北京一二々𠀀"
MIXED = CHINESE + "ひカーｶﾞ한국abc1 ，。\u3099\ufe0e"


UNKNOWN = 255


def cost(words: list[str]) -> int:
    assert all(word in WEIGHTS or len(word) == 1 for word in words), words
    return sum(WEIGHTS.get(word, UNKNOWN) for word in words)


def _all_weights() -> dict[str, int]:
    """Return every word of the dictionary with its weight."""
    edges: dict[int, list[tuple[str, int, int]]] = {}
    for slot in chinese_dictionary().tolist():
        if slot:
            step = (chr(slot >> 28 & 0xFFFF), slot >> 8 & 0xFFFFF, slot & 0xFF)
            edges.setdefault(slot >> 44, []).append(step)
    found: dict[str, int] = {}
    ends = [("", 0)]
    while ends:
        word, node = ends.pop()
        for char, child, weight in edges.get(node, ()):
            if weight:
                found[word + char] = 255 - weight
            ends.append((word + char, child))
    return found


WEIGHTS = _all_weights()


def best_cost(text: str) -> int:
    """Return the lowest weight of any way to cut a run."""
    best = [0]
    for end in range(1, len(text) + 1):
        ways = [best[end - 1] + UNKNOWN]
        ways += [
            best[begin] + WEIGHTS[text[begin:end]]
            for begin in range(end)
            if text[begin:end] in WEIGHTS
        ]
        best.append(min(ways))
    return best[-1]


def test_the_dictionary_is_whole() -> None:
    assert len(WEIGHTS) > 150_000
    assert 0 < WEIGHTS["的"] < WEIGHTS["清华大学"] < UNKNOWN
    assert "清华大" not in WEIGHTS


@given(st.text(st.sampled_from(CHINESE), max_size=20))
@settings(deadline=None)
def test_a_run_is_cut_in_the_most_probable_way(text: str) -> None:
    words = [text[start:end] for start, end, _ in spans(tokenizers.chinese().scan, text)]  # type: ignore[arg-type]
    assert "".join(words) == text
    assert cost(words) == best_cost(text)


@given(st.text(st.sampled_from(MIXED), max_size=30))
@settings(deadline=None, max_examples=300)
def test_pairs_are_those_of_the_filters(text: str) -> None:
    analyzer = get_analyzer("cjk")
    by_word = [
        (word.text, word.start, word.end) for word in analyzer.words(text) if word.text is not None
    ]
    assert [(t.term.decode(), t.start, t.end) for t in analyzer.tokens(text)] == by_word


@given(st.text(st.sampled_from("漢字ひカー한국a "), max_size=30))
@settings(deadline=None)
def test_a_run_of_n_characters_has_n_minus_1_pairs(text: str) -> None:
    for run in text.replace("a", " ").split():
        assert len(spans(scan_bigrams, run)) == max(1, len(run) - 1)
