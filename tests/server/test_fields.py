"""What an answer shows of its hits."""

from __future__ import annotations

from typing import Any

import pytest

from index.query.request import FieldRequest, SortKey
from index.schema import Schema
from server.fields import field_values, sort_values
from tests.server.conftest import Client

SCHEMA = Schema.from_mapping(
    {
        "properties": {
            "title": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 5}}},
            "n": {"type": "long"},
            "f": {"type": "double"},
            "d": {"type": "date"},
            "day": {"type": "date", "format": "yyyy/MM/dd"},
            "b": {"type": "boolean"},
            "user": {"properties": {"name": {"type": "keyword"}}},
        }
    }
)
SOURCE: dict[str, Any] = {
    "title": "a title",
    "n": ["7", 8],
    "f": 1,
    "d": 0,
    "day": "2024/02/29",
    "b": "true",
    "user": [{"name": "x"}, {"name": "y"}, {"name": None}],
    "other": {"deep": [1, 2]},
}


@pytest.mark.parametrize(
    ("field", "format", "expected"),
    [
        ("title", None, ["a title"]),
        ("title.raw", None, None),
        ("n", None, [7, 8]),
        ("n", "0.0", ["7.0", "8.0"]),
        ("f", None, [1.0]),
        ("d", None, ["1970-01-01T00:00:00.000Z"]),
        ("d", "epoch_millis", ["0"]),
        ("d", "yyyy", ["1970"]),
        ("day", None, ["2024/02/29"]),
        ("day", "strict_date_optional_time", ["2024-02-29T00:00:00.000Z"]),
        ("b", None, [True]),
        ("user.name", None, ["x", "y"]),
        ("other.deep", None, None),
        ("nope", None, None),
    ],
)
def test_values_are_shown_as_their_type_writes_them(
    field: str, format: str | None, expected: list[Any] | None
) -> None:
    found = field_values(SOURCE, [FieldRequest(field, format)], SCHEMA)
    assert found.get(field) == expected


def test_patterns_name_fields_of_the_mapping_and_others_when_asked() -> None:
    assert set(field_values(SOURCE, [FieldRequest("*")], SCHEMA)) == {
        "title", "n", "f", "d", "day", "b", "user.name",
    }  # fmt: skip
    every = field_values(SOURCE, [FieldRequest("*", with_unmapped=True)], SCHEMA)
    assert every["other.deep"] == [1, 2]


def test_sort_values_have_their_format() -> None:
    keys = [SortKey("d", format="yyyy-MM-dd"), SortKey("d"), SortKey("_score"), SortKey("n")]
    assert sort_values([0, 5, 1.5, None], keys, SCHEMA) == ["1970-01-01", 5, 1.5, None]


DOCUMENTS = {
    "1": {"title": "fox", "n": 1, "d": "2024-01-01", "user": {"name": "ann", "mail": "a@b"}},
    "2": {"title": "fox fox", "n": [5, 1], "d": "2024-01-02"},
    "3": {"title": "dog", "n": [3, 2, 10]},
}


@pytest.fixture
async def things(client: Client) -> Client:
    await client.put("things", DOCUMENTS)
    return client


async def hit_of(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.ok("POST", "/things/_search", {"query": {"ids": {"values": "1"}}, **body})
    [hit] = answer["hits"]["hits"]
    return dict(hit)


async def test_who_names_stored_fields_gets_no_source(things: Client) -> None:
    assert "_source" not in await hit_of(things, {"stored_fields": []})
    hit = await hit_of(things, {"stored_fields": ["n"]})
    assert (hit["fields"], "_source" in hit) == ({"n": [1]}, False)
    assert "_source" in await hit_of(things, {"stored_fields": ["_source"]})
    assert "_source" in await hit_of(things, {"stored_fields": ["n"], "_source": True})
    nothing = await hit_of(things, {"stored_fields": "_none_"})
    assert not {"_source", "_id"} & nothing.keys()


async def test_values_of_columns(things: Client) -> None:
    asked = [{"field": "d", "format": "yyyy"}, "n"]
    hit = await hit_of(things, {"docvalue_fields": asked, "_source": False})
    assert hit["fields"] == {"d": ["2024"], "n": [1]}
    answer = await things.ok(
        "GET", "/things/_search?q=_id:1&docvalue_fields=n&stored_fields=_none_"
    )
    assert answer["hits"]["hits"][0]["fields"] == {"n": [1]}


async def test_parts_of_the_source(things: Client) -> None:
    hit = await hit_of(things, {"_source": {"includes": ["user.*", "n"], "excludes": ["*.mail"]}})
    assert hit["_source"] == {"n": 1, "user": {"name": "ann"}}


async def test_a_sort_by_date_shows_and_takes_its_format(things: Client) -> None:
    sort = [{"d": {"order": "desc", "format": "dd.MM.yyyy"}}]
    body = {"query": {"exists": {"field": "d"}}, "sort": sort, "size": 1}
    answer = await things.ok("POST", "/things/_search", body)
    [hit] = answer["hits"]["hits"]
    assert (hit["_id"], hit["sort"]) == ("2", ["02.01.2024"])
    answer = await things.ok("POST", "/things/_search", {**body, "search_after": hit["sort"]})
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["1"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("min", "123"), ("max", "123"), ("sum", "123"), ("avg", "123"), ("median", "123")],
)
async def test_modes_choose_one_of_several_values(things: Client, mode: str, expected: str) -> None:
    sort = [{"n": {"mode": mode}}, "_doc"]
    answer = await things.ok("POST", "/things/_search", {"sort": sort})
    values = {hit["_id"]: hit["sort"][0] for hit in answer["hits"]["hits"]}
    each = {"min": (1, 1, 2), "max": (1, 5, 10), "sum": (1, 6, 15), "avg": (1, 3, 5)}
    each["median"] = (1, 3, 3)
    assert tuple(values[key] for key in expected) == each[mode]


@pytest.mark.parametrize("key", ["_doc", "_score", "_id", "_shard_doc", "n", "title.keyword"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_search_after_goes_on_whatever_it_is_sorted_by(
    things: Client, key: str, order: str
) -> None:
    body: dict[str, Any] = {
        "query": {"query_string": {"query": "fox dog"}},
        "sort": [{key: {"order": order}}, "_id"],
        "size": 1,
    }
    seen: list[str] = []
    while True:
        hits = (await things.ok("POST", "/things/_search", body))["hits"]["hits"]
        if not hits:
            break
        seen += [hit["_id"] for hit in hits]
        body["search_after"] = hits[-1]["sort"]
    assert sorted(seen) == ["1", "2", "3"]
    del body["search_after"]
    assert seen == await things.found("/things/_search", {**body, "size": 10})


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_search_after_goes_on_behind_sums_that_are_infinite(
    things: Client, order: str
) -> None:
    mapping = {"mappings": {"properties": {"f": {"type": "double"}}}}
    await things.ok("PUT", "/sums", mapping)
    documents = {"1": {"f": [1.7e308] * 2}, "2": {"f": 1.5}, "3": {}, "4": {"f": [-1.7e308] * 2}}
    await things.put("sums", documents)
    body: dict[str, Any] = {"sort": [{"f": {"order": order, "mode": "sum"}}, "_id"], "size": 1}
    seen = []
    while hits := (await things.ok("POST", "/sums/_search", body))["hits"]["hits"]:
        seen.append(hits[0]["sort"])
        body["search_after"] = hits[0]["sort"]
    sums = [["-Infinity", "4"], [1.5, "2"], ["Infinity", "1"]]
    assert seen == [*(sums if order == "asc" else sums[::-1]), [None, "3"]]


async def test_averages_of_integers_are_integers_on_every_page(things: Client) -> None:
    await things.put("others", {"8": {"n": 3}, "9": {"n": [1, 2]}})
    body: dict[str, Any] = {"sort": [{"n": {"order": "desc", "mode": "avg"}}, "_id"], "size": 2}
    seen = []
    while hits := (await things.ok("POST", "/things,others/_search", body))["hits"]["hits"]:
        seen += [hit["sort"] for hit in hits]
        body["search_after"] = hits[-1]["sort"]
    assert seen == [[5, "3"], [3, "2"], [3, "8"], [2, "9"], [1, "1"]]


async def test_missing_values_may_count_as_another(things: Client) -> None:
    sort = [{"d": {"missing": "2024-01-01T12:00:00Z"}}]
    assert await things.found("/things/_search", {"sort": sort}) == ["1", "3", "2"]
    status, answer = await things.call(
        "POST", "/things/_search", {"sort": [{"title.keyword": {"missing": "m"}}]}
    )
    assert status == 400, answer


async def test_one_index_may_count_more(things: Client) -> None:
    await things.put("others", {"9": {"title": "fox"}})
    query = {"match": {"title": "fox"}}
    boosts = [{"oth*": 0.01}, {"*": 1}]
    found = await things.found("/things,others/_search", {"query": query, "indices_boost": boosts})
    assert found[-1] == "9"
    boosts = [{"others": 100}]
    found = await things.found("/things,others/_search", {"query": query, "indices_boost": boosts})
    assert found[0] == "9"
