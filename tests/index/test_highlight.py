"""Highlights mark what the query asks for, where it stands."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from index.errors import InvalidQueryError
from index.query.highlight import Highlighter
from index.query.parse_json import parse_search
from index.schema import Schema
from tests.index.search_world import World
from tests.oracle import phrase_frequency

SCHEMA = Schema.from_mapping(
    {
        "properties": {
            "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
            "body": {"type": "text", "analyzer": "english"},
            "n": {"type": "long"},
        }
    }
)


def highlight(source: dict[str, Any], query: dict[str, Any], **options: Any) -> dict[str, Any]:
    body = {"query": query, "highlight": {"fields": {"*": {}}, **options}}
    return Highlighter(parse_search(body), SCHEMA).fragments(orjson.dumps(source))


def marked(text: str, query: dict[str, Any], **options: Any) -> list[str]:
    return highlight({"title": text}, query, **options).get("title", [])


def phrase(text: str, slop: int = 0) -> dict[str, Any]:
    return {"match_phrase": {"title": {"query": text, "slop": slop}}}


# --- what is marked --------------------------------------------------------------------------
def test_the_tokens_that_the_query_asks_are_marked() -> None:
    assert marked("The Fox & the dog", {"match": {"title": "fox cat"}}) == [
        "The <em>Fox</em> & the dog"
    ]


def test_an_empty_keyword_that_matches_has_nothing_to_mark() -> None:
    anything = {"prefix": {"title.raw": {"value": "", "case_insensitive": True}}}
    assert highlight({"title": ""}, anything, require_field_match=False) == {}
    found = highlight({"title": ["", "fox"]}, {"wildcard": {"title.raw": "*"}})
    assert found == {"title.raw": ["<em>fox</em>"]}


def test_stemmed_words_are_marked_as_they_stand() -> None:
    found = highlight({"body": "he runs, running"}, {"match": {"body": "run"}})
    assert found == {"body": ["he <em>runs</em>, <em>running</em>"]}


def test_what_the_query_forbids_is_not_marked() -> None:
    query = {"bool": {"must": {"match": {"title": "a"}}, "must_not": {"match": {"title": "b"}}}}
    assert marked("a b", query) == ["<em>a</em> b"]


def test_other_fields_are_marked_only_if_asked() -> None:
    source, query = {"title": "fox", "body": "fox"}, {"match": {"body": "fox"}}
    assert set(highlight(source, query)) == {"body"}
    every = {"title", "title.raw", "body"}
    assert set(highlight(source, query, require_field_match=False)) == every


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"prefix": {"title": "fo"}}, "a <em>foxes</em> Den"),
        ({"prefix": {"title": {"value": "FO", "case_insensitive": True}}}, "a <em>foxes</em> Den"),
        ({"wildcard": {"title": "*x*s"}}, "a <em>foxes</em> Den"),
        ({"fuzzy": {"title": "fixes"}}, "a <em>foxes</em> Den"),
        ({"terms": {"title": ["a", "den"]}}, "<em>a</em> foxes <em>Den</em>"),
        ({"term": {"title": {"value": "DEN", "case_insensitive": True}}}, "a foxes <em>Den</em>"),
        ({"query_string": {"query": "title:FO* -den"}}, "a <em>foxes</em> Den"),
        ({"multi_match": {"query": "den", "fields": ["t*"]}}, "a foxes <em>Den</em>"),
    ],
)
def test_terms_by_pattern_are_marked(query: dict[str, Any], expected: str) -> None:
    assert marked("a foxes Den", query) == [expected]


def test_a_keyword_is_marked_whole() -> None:
    found = highlight({"title": "a fox"}, {"wildcard": {"title.raw": "*fox"}})
    assert found == {"title.raw": ["<em>a fox</em>"]}


def test_the_words_of_a_phrase_are_marked_only_where_they_stand_as_one() -> None:
    text = "quick dogs and a brown fox, quick brown fox"
    assert marked(text, phrase("quick brown")) == [
        "quick dogs and a brown fox, <em>quick</em> <em>brown</em> fox"
    ]


def test_the_words_of_a_sloppy_phrase_are_marked_where_they_are_near_enough() -> None:
    text = "fox one brown two three four five brown"
    assert marked(text, phrase("brown fox", 3)) == [
        "<em>fox</em> one <em>brown</em> two three four five brown"
    ]
    assert marked(text, phrase("brown fox", 1)) == []


def test_a_word_twice_in_a_phrase_takes_two_places() -> None:
    assert marked("fox den", phrase("fox fox", 5)) == []
    assert marked("fox fox", phrase("fox fox")) == ["<em>fox</em> <em>fox</em>"]
    assert marked("den fox fox", phrase("fox den fox", 4)) == [
        "<em>den</em> <em>fox</em> <em>fox</em>"
    ]
    assert marked("den fox", phrase("fox den fox", 4)) == []
    assert marked("fox fox fox", phrase("fox fox")) == ["<em>fox</em> <em>fox</em> <em>fox</em>"]


few_words = st.lists(st.sampled_from("abcd"), min_size=2, max_size=4)


@settings(deadline=None, max_examples=300)
@given(
    asked=few_words, text=st.lists(st.sampled_from("abcde"), max_size=14), slop=st.integers(0, 8)
)
@example(asked=["a", "b", "a"], text=["b", "c", "c", "a", "c", "a"], slop=20)
def test_a_phrase_is_marked_where_the_oracle_counts_it(
    asked: list[str], text: list[str], slop: int
) -> None:
    places = [[at for at, word in enumerate(text) if word == term] for term in asked]
    frequency = phrase_frequency(asked, [*range(len(asked))], places, slop)
    found = marked(" ".join(text), phrase(" ".join(asked), slop))
    assert bool(found) == (frequency > 0)
    if slop == 0:
        starts = [at for at in range(len(text)) if text[at : at + len(asked)] == asked]
        chosen = {at + k for at in starts for k in range(len(asked))}
        whole = [f"<em>{word}</em>" if at in chosen else word for at, word in enumerate(text)]
        assert found == ([" ".join(whole)] if starts else [])


def test_the_end_of_a_phrase_may_be_a_prefix() -> None:
    query = {"match_phrase_prefix": {"title": "quick br"}}
    assert marked("brown bread, quick bread", query) == [
        "brown bread, <em>quick</em> <em>bread</em>"
    ]
    sloppy = {"match_phrase_prefix": {"title": {"query": "bread br", "slop": 2}}}
    assert marked("bread", sloppy) == ["<em>bread</em>"]  # a prefix is no word's equal


def test_another_query_may_say_what_to_mark() -> None:
    other = {"match": {"title": "dog"}}
    found = marked("fox dog", {"match": {"title": "fox"}}, highlight_query=other)
    assert found == ["fox <em>dog</em>"]


def test_a_field_may_show_what_others_matched() -> None:
    source, query = {"title": "runs", "body": "runs"}, {"match": {"title": "runs"}}
    fields = {"body": {"matched_fields": ["title", "body"]}}
    body = {"query": {"match": {"title": "run"}}, "highlight": {"fields": fields}}
    assert Highlighter(parse_search(body), SCHEMA).fragments(orjson.dumps(source)) == {
        "body": ["<em>runs</em>"]
    }
    assert highlight(source, query) == {"title": ["<em>runs</em>"]}


@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
@example(seed=266849)  # a word twice in a sloppy phrase
def test_just_the_documents_that_match_have_something_marked(seed: int) -> None:
    world = World(seed)
    kinds = ["phrase", "prefix", "wildcard", "fuzzy"]
    for _ in range(10):
        query = world.ask.of(world.random.choice(kinds))
        if "match" in query or "title.raw" in str(query) or "'*'" in str(query):
            continue  # a `match` may want several; a keyword past no word has nothing to mark
        request = parse_search({"query": query, "highlight": {"fields": {"*": {}}}, "size": 9999})
        searcher = world.searcher()
        hits = {searcher.key(hit): hit for hit in searcher.search(request).hits}
        highlighter = Highlighter(request, world.schema)
        for key, document in world.oracle.live.items():
            shown = highlighter.fragments(orjson.dumps(document.source))
            if key in hits:
                assert shown, (query, document.source)
            elif "fuzzy" not in query:  # of many near terms only the nearest are looked for
                assert not shown, (query, document.source)


# --- fragments -------------------------------------------------------------------------------
FOX = {"match": {"title": "fox"}}
LONG = "word " * 40 + "fox " + "word " * 40 + "fox fox"


def test_long_texts_give_fragments_around_matches() -> None:
    found = marked(LONG, FOX, fragment_size=50)
    assert [fragment.count("<em>") for fragment in found] == [1, 2]
    assert all(len(fragment) < 80 for fragment in found)


def test_no_fragments_means_the_whole_text() -> None:
    assert marked(LONG, FOX, number_of_fragments=0) == [LONG.replace("fox", "<em>fox</em>")]


def test_fragments_are_sentences() -> None:
    text = "One is here. A fox is there! Two. Another fox; and so on. The end."
    assert marked(text, FOX, fragment_size=19) == [
        "A <em>fox</em> is there!",
        "Another <em>fox</em>; and so",
    ]
    assert marked(text, FOX, fragment_size=35) == [
        "A <em>fox</em> is there! Two.",
        "Another <em>fox</em>; and so on. The end.",
    ]


def test_the_best_fragments_are_chosen_and_come_in_order() -> None:
    text = "A fox. Some dog. A quick brown fox. A quick dog."
    query = {"match": {"title": "quick brown fox"}}
    found = marked(text, query, fragment_size=19, number_of_fragments=2)
    assert found == [
        "A <em>fox</em>. Some dog.",
        "A <em>quick</em> <em>brown</em> <em>fox</em>.",
    ]
    by_score = marked(text, query, fragment_size=20, number_of_fragments=2, order="score")
    assert by_score[0] == "A <em>quick</em> <em>brown</em> <em>fox</em>."


@pytest.mark.parametrize("kind", ["unified", "plain", "fvh"])
@pytest.mark.parametrize("scanner", [None, "sentence", "word", "chars"])
@given(
    words=st.lists(
        st.sampled_from(["fox", "fox.", "word", "a", "日本", "x" * 70, "\n\n", "!"]), max_size=60
    ),
    size=st.integers(0, 60),
    number=st.integers(0, 4),
)
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
def test_fragments_are_parts_of_the_text_with_all_their_marks(
    kind: str, scanner: str | None, words: list[str], size: int, number: int
) -> None:
    text = " ".join(words)
    more = {} if scanner is None else {"boundary_scanner": scanner}
    found = marked(text, FOX, type=kind, fragment_size=size, number_of_fragments=number, **more)
    assert bool(found) == ("fox" in text)
    for fragment in found:
        plain = fragment.replace("<em>", "").replace("</em>", "")
        assert plain in text
        assert plain.count("fox") == fragment.count("<em>fox</em>")
    if number == 0 or len(found) < number:
        total = sum(fragment.count("<em>fox</em>") for fragment in found)
        assert total == text.count("fox")


# --- how it is shown -------------------------------------------------------------------------
def test_html_is_escaped_when_asked() -> None:
    assert marked("<b> fox", FOX, encoder="html") == ["&lt;b&gt; <em>fox</em>"]


def test_a_field_without_match_shows_its_beginning_when_asked() -> None:
    assert marked("some text here", {"match": {"title": "x"}}, no_match_size=11) == ["some text"]


def test_tags_are_those_that_are_asked() -> None:
    found = marked("fox", FOX, pre_tags=["<b>"], post_tags=["</b>"])
    assert found == ["<b>fox</b>"]
    found = marked("quick fox", {"match": {"title": "fox quick"}}, tags_schema="styled")
    assert found == ['<em class="hlt1">quick</em> <em class="hlt2">fox</em>']


def test_options_of_a_field_win() -> None:
    fields = {"title": {"pre_tags": ["<i>"]}, "body": {}}
    body = {
        "query": {"multi_match": {"query": "fox", "fields": ["title", "body"]}},
        "highlight": {"pre_tags": ["<b>"], "post_tags": [""], "fields": fields},
    }
    shown = Highlighter(parse_search(body), SCHEMA).fragments(b'{"title":"fox","body":"fox"}')
    assert shown == {"title": ["<i>fox"], "body": ["<b>fox"]}


def test_an_array_is_highlighted_value_by_value() -> None:
    source = {"title": ["a fox", "nothing", "two fox"]}
    found = highlight(source, FOX, number_of_fragments=0)["title"]
    assert found == ["a <em>fox</em>", "two <em>fox</em>"]


@pytest.mark.parametrize(
    "options", [{"type": "nonsense"}, {"boundary_chars": ""}, {"fragment_size": -1}, {"what": 1}]
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidQueryError):
        parse_search({"highlight": {"fields": {"title": options}}})


# --- the words of a text ---------------------------------------------------------------------
@pytest.mark.parametrize("name", ["standard", "english", "whitespace", "keyword", "cjk", "german"])
@given(texts=st.lists(st.text("aAbBéß runing's日本語.-_ \t", max_size=30), max_size=4))
@settings(deadline=None, max_examples=30)
def test_the_tokens_among_all_are_those_that_are_wanted(name: str, texts: list[str]) -> None:
    analyzer = SCHEMA.analyzer(name)
    known: dict[str, bytes | None] = {}
    for text in [*texts, *texts]:
        found = analyzer.tokens_among(text, known, lambda term: b"a" in term)
        assert found == [token for token in analyzer.tokens(text) if b"a" in token.term]
