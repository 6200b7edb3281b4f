from __future__ import annotations

from bench.corpus import LEAN, Corpus


def test_fewer_documents_are_the_beginning_of_more() -> None:
    few, many = Corpus(None, 18_000, LEAN), Corpus(None, 70_000, LEAN)
    for first in (0, 17_990):
        assert list(few.items(first, first + 10)) == list(many.items(first, first + 10))


def test_no_two_documents_are_alike() -> None:
    corpus = Corpus(None, 40_000, LEAN)
    items = list(corpus.items(30_000, 31_000))
    assert len({item.key for item in items}) == len({item.source for item in items}) == 1_000
    first_pass = {item.key for item in corpus.items(0, 1_000)}
    assert not first_pass & {item.key for item in items}
