from __future__ import annotations

import json

import pytest

from tailrace_client import (
    ApiError,
    AsyncClient,
    BadRequestError,
    BulkFailedError,
    ClientError,
    ConflictError,
    ConnectionFailedError,
    NotFoundError,
    OverloadedError,
    Q,
    ServerFailedError,
    TimedOutError,
)
from tests.clients.fake import FakeServer

EMPTY = {"took": 1, "hits": {"total": {"value": 0, "relation": "eq"}, "hits": []}}


def error_body(kind: str, reason: str) -> dict[str, object]:
    return {"error": {"root_cause": [], "type": kind, "reason": reason}}


async def test_search_sends_the_body_and_reads_the_hits(server: FakeServer) -> None:
    found = {"_index": "a", "_id": "1", "_score": 2.5, "_source": {"t": "x"}, "sort": [3, "1"]}
    server.answers["POST", "/a,b*/_search"] = (
        200,
        {
            "took": 3,
            "hits": {
                "total": {"value": 10000, "relation": "gte"},
                "max_score": 2.5,
                "hits": [found],
            },
        },
    )
    async with AsyncClient(server.url) as client:
        result = await client.search(
            "a,b*", Q.match("t", "x"), size=3, sort=["_score"], after="0-7", min_score=1
        )
    assert [(hit.id, hit.score, hit.source, hit.sort) for hit in result] == [
        ("1", 2.5, {"t": "x"}, (3, "1"))
    ]
    assert (result.total, result.is_exact, result.took_ms) == (10000, False, 3)
    _, _, parameters, body = server.requests[0]
    assert parameters == {"after": "0-7"}
    assert json.loads(body) == {
        "query": {"match": {"t": {"query": "x"}}},
        "size": 3,
        "from": 0,
        "sort": ["_score"],
        "min_score": 1,
    }


async def test_bulk_is_ndjson_with_ids_and_operations(server: FakeServer) -> None:
    server.answers["POST", "/a/_bulk"] = (200, {"took": 1, "items": [], "_token": "0-4"})
    async with AsyncClient(server.url) as client:
        result = await client.bulk(
            "a",
            [
                {"_id": 1, "t": "x"},
                {"t": "no id"},
                {"_op": "update", "_id": "2", "t": "y"},
                {"_op": "delete", "_id": "3"},
            ],
            refresh="wait_for",
        )
    _, _, parameters, body = server.requests[0]
    assert parameters == {"refresh": "wait_for"}
    assert [json.loads(line) for line in body.splitlines()] == [
        {"index": {"_id": "1"}},
        {"t": "x"},
        {"index": {}},
        {"t": "no id"},
        {"update": {"_id": "2"}},
        {"doc": {"t": "y"}},
        {"delete": {"_id": "3"}},
    ]
    assert body.endswith(b"\n")
    assert result.token == "0-4"


async def test_refused_documents_of_a_bulk_raise_or_are_returned(server: FakeServer) -> None:
    refused = {"type": "mapper_parsing_exception", "reason": "no number"}
    server.answers["POST", "/a/_bulk"] = (
        200,
        {
            "took": 1,
            "errors": True,
            "items": [
                {"index": {"_index": "a", "_id": "1", "status": 201, "result": "created"}},
                {"index": {"_index": "a", "_id": "2", "status": 400, "error": refused}},
                {"delete": {"_index": "a", "_id": "3", "status": 404, "result": "not_found"}},
            ],
        },
    )
    async with AsyncClient(server.url) as client:
        with pytest.raises(BulkFailedError, match=r"1 documents refused, first \[2\]: no number"):
            await client.bulk("a", [{"_id": "1"}])
        result = await client.bulk("a", [{"_id": "1"}], raise_on_failure=False)
    assert [item.id for item in result.failed] == ["2"]


@pytest.mark.parametrize("op", ["update", "delete"])
async def test_a_bulk_operation_without_its_id_is_refused_before_sending(
    server: FakeServer, op: str
) -> None:
    async with AsyncClient(server.url) as client:
        with pytest.raises(ValueError, match="needs an _id"):
            await client.bulk("a", [{"_op": op}])
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, BadRequestError),
        (429, OverloadedError),
        (500, ServerFailedError),
        (503, OverloadedError),
        (504, TimedOutError),
    ],
)
async def test_an_error_has_the_class_of_its_status(
    server: FakeServer, status: int, kind: type[ApiError]
) -> None:
    server.answers["POST", "/a/_search"] = (status, error_body("some_exception", "because"))
    async with AsyncClient(server.url) as client:
        with pytest.raises(kind) as caught:
            await client.search("a")
    assert (caught.value.status, caught.value.type) == (status, "some_exception")
    assert caught.value.reason == "because"


async def test_an_error_page_that_is_no_json_keeps_its_text(server: FakeServer) -> None:
    server.answers["POST", "/a/_search"] = (502, b"<h1>bad gateway</h1>")
    async with AsyncClient(server.url) as client:
        with pytest.raises(ServerFailedError, match="bad gateway"):
            await client.search("a")


async def test_nobody_listening_is_a_failed_connection() -> None:
    async with AsyncClient("http://127.0.0.1:1") as client:
        with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1"):
            await client.info()


async def test_get_tells_a_missing_document_from_a_missing_index(server: FakeServer) -> None:
    server.answers["GET", "/a/_doc/1"] = (404, {"_index": "a", "_id": "1", "found": False})
    server.answers["GET", "/b/_doc/1"] = (404, error_body("index_not_found_exception", "no b"))
    async with AsyncClient(server.url) as client:
        assert await client.get("a", "1") is None
        with pytest.raises(NotFoundError, match="no b"):
            await client.get("b", "1")


async def test_an_id_with_slashes_and_blanks_is_one_part_of_the_path(server: FakeServer) -> None:
    answer = {"_index": "a", "_id": "x/y z?", "result": "created", "_version": 1, "_token": "0-1"}
    server.answers["PUT", "/a/_doc/x/y z?"] = (201, answer)
    async with AsyncClient(server.url) as client:
        written = await client.index("a", {"t": 1}, id="x/y z?")
    assert (written.id, written.token) == ("x/y z?", "0-1")


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_would_change_the_path_is_refused(name: str) -> None:
    async with AsyncClient() as client:
        with pytest.raises(ValueError, match="not a name"):
            await client.delete("a", name)


def test_every_error_is_a_client_error() -> None:
    assert issubclass(ApiError, ClientError)
    assert issubclass(ConnectionFailedError, ClientError)
    assert issubclass(BulkFailedError, ClientError)


async def test_search_without_an_exact_total_says_so(server: FakeServer) -> None:
    server.answers["POST", "/a/_search"] = (200, {"took": 1, "hits": {"hits": []}})
    async with AsyncClient(server.url) as client:
        result = await client.search("a")
    assert (result.total, result.is_exact) == (0, False)
