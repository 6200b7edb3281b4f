from __future__ import annotations

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from index.analysis import characters as ch
from index.analysis.analyzer import Analyzer
from index.analysis.definitions import get_analyzer
from index.analysis.tokenizers import MAX_TOKEN_CHARS, PADDING
from index.kernels.tokenize import POSITION_GAP, scan_words
from index.keys import join_bytes
from tests.index.word_rules import words

# Every class of the table, so that random texts meet every rule.
TRICKY = "aZ9_:.,;'\"- \n·’é\u0301\u00ad\u200d漢々ひカーאבก่ำ한😀👩🇩🇪①٣\u2019\u05f4"
texts = st.one_of(
    st.text(st.sampled_from(TRICKY), max_size=40),
    st.text(max_size=40),
    st.text(st.characters(max_codepoint=127), max_size=80),
)
standard = get_analyzer("standard")


def scan(data: list[bytes], continues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    text, starts = join_bytes([*data, PADDING])
    return standard.scan_text(text, starts[: len(data) + 1].copy(), continues)


def spans(analyzer: Analyzer, text: str) -> list[tuple[int, int]]:
    return [(token.start, token.end) for token in analyzer.tokens(text)]


@given(texts)
@settings(deadline=None, max_examples=500)
def test_words_are_those_of_the_standard(text: str) -> None:
    assert spans(standard, text) == words(text)


pieces = st.sampled_from(
    [
        "a",
        "B9",
        "_",
        "__",
        ".",
        "'",
        ":",
        ",",
        ";",
        " ",
        "1",
        "é",
        "漢",
        "\u0301",
        "x" * 30,
        "7" * 61,
    ]
)
long_texts = st.lists(pieces, max_size=150).map("".join)


@given(long_texts | st.integers(200, 252).map(lambda n: "a" * n + ".b"))
@settings(deadline=None, max_examples=500)
def test_words_do_not_depend_on_where_blocks_end(text: str) -> None:
    expected = words(text)
    assume(all(end - begin <= MAX_TOKEN_CHARS for begin, end in expected))
    assert spans(standard, text) == expected


@given(st.integers(200, 900), st.sampled_from(["", " ", "é", ".b", "_"]))
@example(255, "_")
def test_long_words_are_split(n: int, tail: str) -> None:
    found = spans(standard, "a" * n + tail)
    wanted = words("a" * n + tail)
    assert found[0] == (0, min(n + len(tail.strip()), wanted[0][1], MAX_TOKEN_CHARS)) or n < 255
    # what is left of a split word is no word where it is an underscore alone
    is_dropped = tail == "_" and n % MAX_TOKEN_CHARS == 0
    assert found[-1][1] == (n if is_dropped else wanted[-1][1])
    assert all(end - begin <= MAX_TOKEN_CHARS for begin, end in found)


@given(st.lists(texts, max_size=8))
@settings(deadline=None)
def test_a_batch_gives_the_tokens_of_its_texts(batch: list[str]) -> None:
    data = [text.encode() for text in batch]
    scanned, rows = scan(data, np.zeros(len(data), np.uint8))
    found: list[list[tuple[bytes, int]]] = [[] for _ in batch]
    for begin, size, text, position in rows.tolist():
        found[text].append((scanned[begin : begin + (size >> 1)].tobytes(), position))
    for text, tokens in zip(data, found, strict=True):
        assert tokens == [
            (text.lower()[len(head) : len(head) + len(word)], position)
            for position, (head, word) in enumerate(
                (text.decode()[:start].encode(), text.decode()[start:end].encode())
                for start, end in words(text.decode())
            )
        ]


@given(texts)
@settings(deadline=None)
def test_letters_and_blanks_split_as_java_does(text: str) -> None:
    def runs(wanted: int, flag: int) -> list[tuple[int, int]]:
        marks = [ch.character_class(c) & flag == wanted for c in text]
        edges = [
            i
            for i in range(len(text) + 1)
            if (i > 0 and marks[i - 1]) != (i < len(text) and marks[i])
        ]
        return list(zip(edges[::2], edges[1::2], strict=True))

    assert spans(get_analyzer("simple"), text) == runs(ch.IS_LETTER, ch.IS_LETTER)
    assert spans(get_analyzer("whitespace"), text) == runs(0, ch.IS_SPACE)


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=300)
def test_bytes_that_are_no_text_do_no_harm(data: bytes) -> None:
    table = ch.character_table()
    tokens = np.empty((len(data) // 2 + 2, 4), np.uint32)
    starts = np.array([0, len(data)], np.int64)
    text = np.frombuffer(bytearray(data) + PADDING, np.uint8)
    n = scan_words(
        text, starts, np.zeros(1, np.uint8), table.pages, table.classes, 255,
        np.uint32(0), np.uint32(1), tokens,
    )  # fmt: skip
    assert 0 <= n <= len(tokens)
    assert all(begin + (size >> 1) <= len(data) for begin, size, _, _ in tokens[:n].tolist())


def test_a_long_word_is_split_at_255_characters() -> None:
    assert spans(standard, "é" * 600) == [(0, 255), (255, 510), (510, 600)]
    assert spans(get_analyzer("whitespace"), "x" * 256) == [(0, 255), (255, 256)]
    assert spans(standard, "a" * 254 + ".b") == [(0, 254), (255, 256)]


def test_a_further_value_counts_on_after_a_gap() -> None:
    continues = np.array([0, 1, 0], np.uint8)
    _, rows = scan([b"a b", b"c", b"d"], continues)
    assert rows[:, 3].tolist() == [0, 1, 2 + POSITION_GAP, 0]


def test_a_full_output_is_told() -> None:
    table = ch.character_table()
    text = np.frombuffer(bytearray(b"a b") + bytes(16), np.uint8)
    n = scan_words(
        text, np.array([0, 3], np.int64), np.zeros(1, np.uint8), table.pages, table.classes, 255,
        np.uint32(0), np.uint32(1), np.empty((1, 4), np.uint32),
    )  # fmt: skip
    assert n == -1
