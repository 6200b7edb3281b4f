"""Analyzers of an index's own, over HTTP: defined, refused, searched with, kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError

from pipeline.node import Node
from server.app import create_app
from server.limits import Limits
from tests.server.conftest import Client, open_feed

ANALYSIS: dict[str, Any] = {
    "char_filter": {"and": {"type": "mapping", "mappings": ["& => and"]}},
    "tokenizer": {"codes": {"type": "pattern", "pattern": "[,;]\\s*"}},
    "filter": {
        "prefixes": {"type": "edge_ngram", "min_gram": 2, "max_gram": 8},
        "cities": {
            "type": "synonym_graph",
            "synonyms": ["nyc, new york city", "la => los angeles"],
        },
    },
    "analyzer": {
        "typed": {"tokenizer": "standard", "filter": ["lowercase", "prefixes"]},
        "html": {
            "type": "custom",
            "char_filter": ["html_strip", "and"],
            "tokenizer": "standard",
            "filter": ["lowercase", "asciifolding"],
        },
        "codes": {"tokenizer": "codes", "filter": ["lowercase"]},
        "places": {"tokenizer": "standard", "filter": ["lowercase", "cities"]},
        "plain": {"type": "standard", "stopwords": "_french_"},
    },
    "normalizer": {"folded": {"filter": ["lowercase", "asciifolding"]}},
}
MAPPINGS: dict[str, Any] = {
    "properties": {
        "name": {"type": "text", "analyzer": "typed", "search_analyzer": "standard"},
        "body": {"type": "text", "analyzer": "html"},
        "codes": {"type": "text", "analyzer": "codes"},
        "place": {"type": "text", "search_analyzer": "places"},
        "tag": {"type": "keyword", "normalizer": "folded"},
        "fr": {"type": "text", "analyzer": "french"},
        "zh": {"type": "text", "analyzer": "chinese", "fields": {
            "cjk": {"type": "text", "analyzer": "cjk"},
        }},
    }
}  # fmt: skip
DOCS: dict[str, dict[str, Any]] = {
    "1": {
        "name": "Wireless Keyboard",
        "body": "<p>Caf&eacute; <b>Salt &amp; Pepper</b></p>",
        "codes": "AB 1; CD 2",
        "place": "a flight to New York City today",
        "tag": "ÉCOLE",
        "fr": "L'amitié des chevaux",
        "zh": "他来到清华大学",
    },
    "2": {"name": "Wire", "place": "los angeles", "tag": ["Zoo", "école"], "zh": "大学生"},
}


async def made(client: Client) -> Client:
    body = {"settings": {"index": {"analysis": ANALYSIS}}, "mappings": MAPPINGS}
    await client.ok("PUT", "/things", body)
    await client.put("things", DOCS)
    return client


async def find(client: Client, query: dict[str, Any]) -> list[str]:
    return sorted(await client.found("/things/_search", {"query": query}))


async def test_fields_are_searched_as_their_analyzers_say(client: Client) -> None:
    await made(client)
    assert await find(client, {"match": {"name": "wire"}}) == ["1", "2"]
    assert await find(client, {"match": {"name": "wirel"}}) == ["1"]
    assert await find(client, {"match": {"body": "cafe"}}) == ["1"]
    assert await find(client, {"match_phrase": {"body": "salt and pepper"}}) == ["1"]
    assert await find(client, {"match": {"codes": "cd 2"}}) == ["1"]
    assert await find(client, {"match": {"codes": "cd"}}) == []
    assert await find(client, {"match": {"fr": "cheval amitiés"}}) == ["1"]
    assert await find(client, {"match": {"zh": "清华大学"}}) == ["1"]
    assert await find(client, {"match": {"zh": "华大"}}) == []
    assert await find(client, {"match": {"zh.cjk": "华大"}}) == ["1"]


async def test_a_synonym_of_several_words_matches_them_in_a_row(client: Client) -> None:
    await made(client)
    assert await find(client, {"match": {"place": "nyc"}}) == ["1"]
    assert await find(client, {"match": {"place": {"query": "flight nyc", "operator": "and"}}}) == [
        "1"
    ]
    assert await find(client, {"match_phrase": {"place": "to nyc today"}}) == ["1"]
    assert await find(client, {"match_phrase": {"place": "nyc to"}}) == []
    assert await find(client, {"match": {"place": "la"}}) == ["2"]
    assert await find(client, {"match": {"place": "york"}}) == ["1"]


async def test_a_query_may_name_an_analyzer_of_the_index(client: Client) -> None:
    await made(client)
    query = {"match": {"place": {"query": "nyc", "analyzer": "standard"}}}
    assert await find(client, query) == []
    query = {"match": {"name": {"query": "wirel", "analyzer": "nobody"}}}
    status, answer = await client.call("POST", "/things/_search", {"query": query})
    assert (status, "nobody" in answer["error"]["reason"]) == (400, True)


async def test_keywords_are_normalized_in_documents_and_queries(client: Client) -> None:
    await made(client)
    assert await find(client, {"term": {"tag": "Ecole"}}) == ["1", "2"]
    assert await find(client, {"terms": {"tag": ["ZOO"]}}) == ["2"]
    assert await find(client, {"prefix": {"tag": "ÉC"}}) == ["1", "2"]
    assert await find(client, {"wildcard": {"tag": "É*E"}}) == ["1", "2"]
    assert await find(client, {"range": {"tag": {"gte": "ZO"}}}) == ["2"]
    assert await find(client, {"match": {"tag": "ecolE"}}) == ["1", "2"]
    answer = await client.ok("POST", "/things/_search", {"sort": [{"tag": "desc"}]})
    assert [hit["sort"] for hit in answer["hits"]["hits"]] == [["zoo"], ["ecole"]]


async def test_marks_stand_in_the_text_as_it_was_given(client: Client) -> None:
    await made(client)
    body = {
        "query": {"match": {"body": "cafe and"}},
        "highlight": {"fields": {"body": {"number_of_fragments": 0}}},
    }
    answer = await client.ok("POST", "/things/_search", body)
    assert answer["hits"]["hits"][0]["highlight"]["body"] == [
        "<p><em>Caf&eacute;</em> <b>Salt <em>&amp;</em> Pepper</b></p>"
    ]
    body = {
        "query": {"match": {"place": "nyc"}},
        "highlight": {"fields": {"place": {}}},
    }
    answer = await client.ok("POST", "/things/_search", body)
    assert answer["hits"]["hits"][0]["highlight"]["place"] == [
        "a flight to <em>New</em> <em>York</em> <em>City</em> today"
    ]


async def test_settings_are_given_back_as_text(client: Client) -> None:
    await made(client)
    answer = await client.ok("GET", "/things/_settings")
    analysis = answer["things"]["settings"]["index"]["analysis"]
    assert analysis["filter"]["prefixes"] == {
        "type": "edge_ngram", "min_gram": "2", "max_gram": "8",
    }  # fmt: skip
    assert analysis["analyzer"]["codes"] == {"tokenizer": "codes", "filter": ["lowercase"]}
    mapping = await client.ok("GET", "/things/_mapping")
    properties = mapping["things"]["mappings"]["properties"]
    assert properties["name"] == MAPPINGS["properties"]["name"]
    assert properties["tag"] == MAPPINGS["properties"]["tag"]


async def test_a_default_analyzer_is_that_of_every_text(client: Client) -> None:
    analyzer = {"default": {"type": "english"}, "default_search": {"type": "whitespace"}}
    await client.ok("PUT", "/things", {"settings": {"analysis.analyzer.default.type": "english"}})
    await client.put("things", {"1": {"t": "Running dogs"}})
    assert await find(client, {"match": {"t": "dog runs"}}) == ["1"]
    await client.ok("DELETE", "/things")
    await client.ok("PUT", "/things", {"settings": {"analysis": {"analyzer": analyzer}}})
    await client.put("things", {"1": {"t": "Running dogs"}})
    assert await find(client, {"match": {"t": "dogs"}}) == []
    assert await find(client, {"match": {"t": "dog"}}) == ["1"]


def chain(**parts: Any) -> dict[str, Any]:
    return {"analyzer": {"mine": {"tokenizer": "standard", **parts}}}


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        (chain(filter=["lowercas"]), ["analyzer [mine]", "filter under name [lowercas]"]),
        (chain(tokenizer="nope"), ["analyzer [mine]", "tokenizer under name [nope]"]),
        (chain(char_filter=["nope"]), ["char_filter under name [nope]"]),
        (chain(filters=["lowercase"]), ["analyzer [mine]", "unknown parameter [filters]"]),
        ({"analyzer": {"mine": {}}}, ["[tokenizer] must be set"]),
        ({"analyzer": {"mine": {"type": "klingon"}}}, ["unknown analyzer type [klingon]"]),
        ({"filter": {"f": {"type": "stop", "stopwords": "_elvish_"}}}, ["_elvish_"]),
        ({"filter": {"f": {"type": "stop", "stopword": "a"}}}, ["filter [f]", "[stopword]"]),
        ({"filter": {"f": {"type": "edge_ngram", "min_gram": 3, "max_gram": 2}}}, ["[min_gram]"]),
        ({"filter": {"f": {"type": "ngram", "min_gram": 1, "max_gram": 30}}}, ["at most 20"]),
        ({"tokenizer": {"t": {"type": "pattern", "pattern": "(a+)+b"}}}, ["repetition"]),
        ({"filter": {"f": {"type": "ngram", "min_gram": "x"}}}, ["[min_gram] must be an integer"]),
        ({"filter": {"f": {"type": "synonym", "synonyms": ["a => => b"]}}}, ["line 1"]),
        ({"filter": {"f": {"type": "stemmer", "language": "klingon"}}}, ["klingon"]),
        ({"filter": {"f": {"stopwords": "a"}}}, ["filter [f]", "[type] must be set"]),
        ({"tokenizer": {"t": {"type": "pattern", "pattern": "("}}}, ["tokenizer [t]", "[pattern]"]),
        ({"char_filter": {"c": {"type": "mapping", "mappings": ["ab"]}}}, ["char_filter [c]"]),
        ({"normalizer": {"n": {"filter": ["stop"]}}}, ["normalizer [n]", "[stop]"]),
        ({"stemmer": {"n": {"type": "x"}}}, ["index.analysis.stemmer"]),
        ({"analyzer": "x"}, ["index.analysis.analyzer"]),
        ({"analyzer": {"a": 3}}, ["index.analysis.analyzer.a"]),
    ],
)
async def test_settings_that_cannot_be_are_refused_by_name(
    client: Client, analysis: dict[str, Any], words: list[str]
) -> None:
    status, answer = await client.call("PUT", "/things", {"settings": {"analysis": analysis}})
    assert status == 400, answer
    assert answer["error"]["type"] == "illegal_argument_exception"
    for word in words:
        assert word in answer["error"]["reason"]
    assert (await client.call("GET", "/things"))[0] == 404


async def test_a_mapping_cannot_name_what_is_not_there(client: Client) -> None:
    for definition in (
        {"type": "text", "analyzer": "mine"},
        {"type": "text", "search_analyzer": "mine"},
        {"type": "keyword", "normalizer": "mine"},
    ):
        body = {"mappings": {"properties": {"a": definition}}}
        status, answer = await client.call("PUT", "/things", body)
        assert (status, "mine" in answer["error"]["reason"]) == (400, True)


def use_the_client(client: OpenSearch) -> None:
    body = {"settings": {"analysis": ANALYSIS}, "mappings": MAPPINGS}
    client.indices.create(index="things", body=body)
    client.index(index="things", id="1", body=DOCS["1"], refresh=True)
    text = {"analyzer": "typed", "text": "Fox"}
    answer = client.indices.analyze(index="things", body=text)
    assert [token["token"] for token in answer["tokens"]] == ["fo", "fox"]
    found = client.search(index="things", body={"query": {"match": {"place": "nyc"}}})
    assert found["hits"]["total"]["value"] == 1
    with pytest.raises(RequestError):
        client.indices.create(
            index="other", body={"settings": {"analysis": chain(filter=["nope"])}}
        )


async def test_opensearch_py_defines_and_uses_analyzers(server: TestServer) -> None:
    url = f"http://{server.host}:{server.port}"
    await asyncio.to_thread(use_the_client, OpenSearch(url))


async def test_analyzers_are_there_after_a_restart(tmp_path: Path) -> None:
    for is_first in (True, False):
        node = Node(tmp_path, open_feed=open_feed)
        await node.start()
        async with TestClient(TestServer(create_app(node, Limits()))) as http:
            client = Client(http)
            if is_first:
                await made(client)
            else:
                await client.put("things", {"3": {"name": "Wires", "tag": "École"}})
                assert await find(client, {"match": {"name": "wirel"}}) == ["1"]
                assert await find(client, {"match": {"name": "wires"}}) == ["3"]
                assert await find(client, {"term": {"tag": "ecole"}}) == ["1", "2", "3"]
                assert await find(client, {"match": {"place": "nyc"}}) == ["1"]
        await node.stop()


# --- _analyze ------------------------------------------------------------------------------
async def tokens(client: Client, path: str, body: dict[str, Any]) -> list[str]:
    answer = await client.ok("POST", path, body)
    return [token["token"] for token in answer["tokens"]]


async def test_a_chain_can_stand_in_the_request(client: Client) -> None:
    body = {
        "tokenizer": "whitespace",
        "filter": ["lowercase", {"type": "stop", "stopwords": ["is"]}],
        "char_filter": ["html_strip"],
        "text": "<i>This</i> is IT",
    }
    assert await tokens(client, "/_analyze", body) == ["this", "it"]
    assert await tokens(client, "/_analyze", {"filter": ["uppercase"], "text": "a b"}) == ["A B"]
    await made(client)
    body = {"tokenizer": "codes", "filter": ["prefixes"], "text": "abc;d"}
    assert await tokens(client, "/things/_analyze", body) == ["ab", "abc"]
    assert await tokens(client, "/things/_analyze", {"field": "tag", "text": "É"}) == ["e"]
    assert await tokens(client, "/things/_analyze", {"normalizer": "folded", "text": "É"}) == ["e"]


async def test_tokens_say_where_they_are(client: Client) -> None:
    body = {"analyzer": "english", "text": ["the Foxes 12", "北京"]}
    answer = await client.ok("POST", "/_analyze", body)
    assert answer["tokens"][:2] == [
        {"token": "fox", "start_offset": 4, "end_offset": 9, "type": "<ALPHANUM>", "position": 1},
        {"token": "12", "start_offset": 10, "end_offset": 12, "type": "<NUM>", "position": 2},
    ]
    assert answer["tokens"][2] == {
        "token": "北", "start_offset": 13, "end_offset": 14, "type": "<IDEOGRAPHIC>",
        "position": 103,
    }  # fmt: skip


async def test_explain_shows_every_step(client: Client) -> None:
    await made(client)
    body = {"analyzer": "html", "text": "<b>É</b>", "explain": True}
    detail = (await client.ok("POST", "/things/_analyze", body))["detail"]
    assert detail["custom_analyzer"] is True
    assert [step["name"] for step in detail["charfilters"]] == ["html_strip", "and"]
    assert detail["charfilters"][0]["filtered_text"] == ["É"]
    assert detail["tokenizer"]["tokens"][0]["token"] == "É"
    assert [step["tokens"][0]["token"] for step in detail["tokenfilters"]] == ["é", "e"]
    assert detail["tokenfilters"][1]["tokens"][0]["start_offset"] == 3
    body = {"analyzer": "english", "text": "foxes", "explain": True}
    detail = (await client.ok("POST", "/_analyze", body))["detail"]
    assert detail["analyzer"]["tokens"][0]["token"] == "fox"


@pytest.mark.parametrize(
    "body",
    [
        {"text": 3},
        {"text": []},
        {"text": "x", "analyzer": "nope"},
        {"text": "x", "analyzer": 3},
        {"text": "x", "tokenizer": "nope"},
        {"text": "x", "tokenizer": 3},
        {"text": "x", "tokenizer": "standard", "filter": [3]},
        {"text": "x", "tokenizer": "standard", "filter": [{"type": ["a"]}]},
        {"text": "x", "tokenizer": {"type": {}}},
        {"text": "x", "analyzer": "standard", "tokenizer": "standard"},
        {"text": "x", "field": "f"},
        {"text": "x", "explain": "maybe"},
        {"text": "x", "frob": 1},
        {"text": "a " * 10_001},
    ],
)
async def test_bad_requests_to_analyze_are_400(client: Client, body: dict[str, Any]) -> None:
    status, answer = await client.call("POST", "/_analyze", body)
    assert status == 400, answer
