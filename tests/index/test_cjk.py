"""Kernels for Chinese, Japanese and Korean against the same in plain Python."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from index.analysis import tokenizers
from index.analysis.chinese import UNKNOWN, chinese_dictionary
from index.analysis.definitions import get_analyzer
from index.analysis.tokenizers import scan_bigrams, spans
from index.kernels.cjk import ABSENT

CHINESE = "他来到了清华大学研究生命的起源数据库北京一二々𠀀"
MIXED = CHINESE + "ひカーｶﾞ한국abc1 ，。\u3099\ufe0e"


def cost(words: list[str]) -> float:
    assert all(word in WEIGHTS or len(word) == 1 for word in words), words
    return sum(WEIGHTS.get(word, UNKNOWN) for word in words)


def _all_weights() -> dict[str, float]:
    """Return every word of the dictionary with its weight."""
    tree = chinese_dictionary()
    edges: dict[int, list[tuple[str, int]]] = {}
    for slot, child in zip(tree.slots.tolist(), tree.children.tolist(), strict=True):
        if slot:
            edges.setdefault((slot - 1) >> 16, []).append((chr((slot - 1) & 0xFFFF), child))
    weights = tree.weights.tolist()
    found, ends = {}, [("", 0)]
    while ends:
        word, node = ends.pop()
        if weights[node] > float(ABSENT):
            found[word] = weights[node]
        ends += [(word + char, child) for char, child in edges.get(node, ())]
    return found


WEIGHTS = _all_weights()


def best_cost(text: str) -> float:
    """Return the highest weight of any way to cut a run."""
    best = [0.0]
    for end in range(1, len(text) + 1):
        ways = [best[end - 1] + UNKNOWN]
        ways += [
            best[begin] + WEIGHTS[text[begin:end]]
            for begin in range(end)
            if text[begin:end] in WEIGHTS
        ]
        best.append(max(ways))
    return best[-1]


def test_the_dictionary_is_whole() -> None:
    assert len(WEIGHTS) > 150_000
    assert WEIGHTS["清华大学"] > UNKNOWN
    assert "清华大" not in WEIGHTS


@given(st.text(st.sampled_from(CHINESE), max_size=20))
@settings(deadline=None)
def test_a_run_is_cut_in_the_most_probable_way(text: str) -> None:
    words = [text[start:end] for start, end, _ in spans(tokenizers.chinese().scan, text)]  # type: ignore[arg-type]
    assert "".join(words) == text
    assert abs(cost(words) - best_cost(text)) < 1e-3


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
