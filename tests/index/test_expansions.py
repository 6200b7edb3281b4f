from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index.analysis import tokenizers
from index.analysis.analyzer import Analyzer
from index.analysis.filters import lowercase
from index.analysis.stemming import stem
from index.analysis.terms import Expansion, Mapped
from index.kernels.chains import find_positions
from index.kernels.rows import CHAIN, KIND, ROW_WIDTH
from index.kernels.term_table import fill_table_leaf, find_table_term
from index.kernels.tokenize import POSITION_GAP
from index.vocabulary import Terms, Vocabulary
from tests.index.memtable_world import spans_of

WORDS = ("wifi", "fi", "new", "gone", "york", "hole", "nyc", "abc")
MAPPED: dict[bytes, Mapped] = {
    b"wifi": Expansion(((b"wifi", 0), (b"wi", 0), (b"fi", 1))),
    b"nyc": Expansion(((b"nyc", 0), (b"new", 0), (b"york", 1), (b"city", 2))),
    b"abc": Expansion(((b"a", 0), (b"b", 1), (b"c", 2), (b"c", 2)), advance=3),
    b"gone": None,
    b"hole": Expansion((), advance=0),
    b"york": b"jork",
}


class Expanding(Analyzer):
    """A scan that marks every token, with a table for a map."""

    def __init__(self) -> None:
        super().__init__("test", tokenizers.standard(), [lowercase, stem("porter")])

    def lookup(self, spellings: Sequence[bytes]) -> list[Mapped]:
        return [MAPPED.get(spelling, spelling) for spelling in spellings]


documents = st.lists(st.lists(st.lists(st.sampled_from(WORDS), max_size=5), max_size=3), max_size=5)
Positions = dict[bytes, dict[int, list[int]]]


def expected(batch: list[list[list[str]]], first: int) -> tuple[Positions, list[int]]:
    found: Positions = {}
    lengths: list[int] = []
    for doc, texts in enumerate(batch, first):
        base = 0
        for number, words in enumerate(texts):
            # the gap counts from the spellings of the text before, as the scan gives them
            position = base + POSITION_GAP if number else 0
            lengths.append(0)
            for word in words:
                mapped = MAPPED.get(word.encode(), word.encode())
                if mapped is None:
                    mapped = Expansion(())
                elif isinstance(mapped, bytes):
                    mapped = Expansion(((mapped, 0),))
                for term, offset in mapped.terms:
                    found.setdefault(term, {}).setdefault(doc, []).append(position + offset)
                lengths[-1] += len({at for _, at in mapped.terms if at < mapped.advance})
                position += mapped.advance
            base = position
    return {
        term: {doc: sorted(set(at)) for doc, at in docs.items()} for term, docs in found.items()
    }, lengths


def positions_of(terms: Terms, term: bytes, n_docs: int) -> dict[int, list[int]]:
    row, leaf = terms.table_row(n_docs), np.zeros(ROW_WIDTH, np.int64)
    text = np.frombuffer(bytearray(b"<" + term + b">"), np.uint8)
    term_id = find_table_term(row, text, 1, len(term), 1)
    assert term_id == terms.find(1, term)
    if term_id < 0:
        return {}
    fill_table_leaf(row, term_id, leaf)
    assert leaf[KIND] == CHAIN
    docs = np.arange(n_docs, dtype=np.uint32)
    starts, out = np.zeros(n_docs + 1, np.int64), np.empty(1000, np.uint32)
    find_positions(leaf, docs, starts, out)
    found = {doc: out[starts[doc] : starts[doc + 1]].tolist() for doc in range(n_docs)}
    return {doc: at for doc, at in found.items() if at}


@given(st.lists(documents, max_size=3))
@settings(deadline=None)
def test_a_token_may_stand_for_several_terms_at_positions_of_their_own(
    batches: list[list[list[list[str]]]],
) -> None:
    vocabulary, analyzer = Vocabulary(), Expanding()
    n_docs = 0
    wanted: Positions = {}
    for batch in batches:
        docs = [doc for doc, texts in enumerate(batch, n_docs) for _ in texts]
        texts = [" ".join(words).encode() for texts in batch for words in texts]
        lengths = vocabulary.add_texts(analyzer, spans_of(texts, docs, [1] * len(docs)))
        found, expected_lengths = expected(batch, n_docs)
        assert lengths.tolist() == expected_lengths
        for term, places in found.items():
            wanted.setdefault(term, {}).update(places)
        n_docs += len(batch)
    terms = vocabulary.terms()
    for term in {*wanted, *(word.encode() for word in WORDS)}:
        assert positions_of(terms, term, n_docs) == wanted.get(term, {})


def test_a_spelling_is_asked_for_once_a_memtable() -> None:
    asked: list[bytes] = []

    class Counting(Expanding):
        def lookup(self, spellings: Sequence[bytes]) -> list[Mapped]:
            asked.extend(spellings)
            return super().lookup(spellings)

    vocabulary, analyzer = Vocabulary(), Counting()
    for doc in range(3):
        vocabulary.add_texts(analyzer, spans_of([b"wifi new wifi nyc york"], [doc], [1]))
    assert [(word, len(list(same))) for word, same in groupby(sorted(asked))] == [
        (b"new", 1), (b"nyc", 1), (b"wifi", 1), (b"york", 1),
    ]  # fmt: skip
