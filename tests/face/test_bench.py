"""What the benchmarks measure with; the measuring itself is `make bench`."""

from __future__ import annotations

import orjson
import pytest

from bench.corpus import Corpus
from bench.tables import Table, percentile, verdict


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(None, 40_000)


def test_every_document_has_an_id_of_its_own(corpus: Corpus) -> None:
    assert len({item.key for item in corpus.items()}) == 40_000


def test_later_rounds_have_the_same_words_in_another_order(corpus: Corpus) -> None:
    first = next(corpus.items(0, 1))
    again = next(item for item in corpus.items(15_000, 17_000) if item.key == first.key + b"#1")
    assert sorted(again.fields["text"].split()) == sorted(first.fields["text"].split())
    assert again.fields["text"] != first.fields["text"]


def test_the_source_is_the_json_of_the_fields(corpus: Corpus) -> None:
    for item in corpus.items(0, 50):
        assert orjson.loads(item.source) == item.fields


def test_the_same_arguments_give_the_same_documents(corpus: Corpus) -> None:
    assert list(corpus.items(16_000, 16_100)) == list(Corpus(None, 40_000).items(16_000, 16_100))


def test_queries_are_plain_words(corpus: Corpus) -> None:
    queries = corpus.queries(30)
    assert queries == corpus.queries(30)
    assert {len(query.split()) for query in queries} == {1, 2, 3}
    assert all(word.isascii() and word.isalpha() for query in queries for word in query.split())


def test_a_table_is_markdown() -> None:
    table = Table("Title", "Note.", ["", "p50"])
    table.add("Tailrace", "1 ms")
    assert table.to_markdown() == (
        "## Title\n\nNote.\n\n|  | p50 |\n| --- | --- |\n| Tailrace | 1 ms |\n"
    )


@pytest.mark.parametrize(
    ("value", "at_least", "said"),
    [(1.2, True, "met"), (0.8, True, "missed"), (0.8, False, "met"), (1.2, False, "missed")],
)
def test_a_verdict_says_whether_the_goal_is_reached(
    value: float, at_least: bool, said: str
) -> None:
    assert said in verdict(value, 1.0, at_least=at_least)


def test_a_percentile_lies_between() -> None:
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
