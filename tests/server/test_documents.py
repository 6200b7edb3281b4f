from __future__ import annotations

import gzip

import orjson

from tests.server.conftest import Client


async def test_a_document_is_made_read_replaced_and_deleted(client: Client) -> None:
    status, made = await client.call("PUT", "/books/_doc/1", {"title": "one"})
    assert (status, made["result"], made["_id"], made["_index"]) == (201, "created", "1", "books")
    found = await client.ok("GET", "/books/_doc/1")
    assert found["found"] is True
    assert found["_source"] == {"title": "one"}
    assert found["_version"] == made["_version"]
    status, changed = await client.call("PUT", "/books/_doc/1", {"title": "two"})
    assert (status, changed["result"]) == (200, "updated")
    assert changed["_version"] > made["_version"]
    assert await client.ok("GET", "/books/_source/1") == {"title": "two"}
    assert (await client.ok("DELETE", "/books/_doc/1"))["result"] == "deleted"
    status, gone = await client.call("GET", "/books/_doc/1")
    assert (status, gone) == (404, {"_index": "books", "_id": "1", "found": False})
    status, again = await client.call("DELETE", "/books/_doc/1")
    assert (status, again["result"]) == (404, "not_found")


async def test_head_answers_without_a_body(client: Client) -> None:
    await client.put("books", {"1": {"a": 1}})
    assert (await client.http.head("/books/_doc/1")).status == 200
    assert (await client.http.head("/books/_doc/2")).status == 404
    assert (await client.http.head("/books/_source/1")).status == 200


async def test_a_document_without_an_id_gets_one(client: Client) -> None:
    status, made = await client.call("POST", "/books/_doc", {"title": "one"})
    assert status == 201
    assert (await client.ok("GET", f"/books/_doc/{made['_id']}"))["found"]


async def test_ids_may_hold_any_character(client: Client) -> None:
    status, made = await client.call("PUT", "/books/_doc/a%2Fb%20%C3%A9%3F", {"a": 1})
    assert (status, made["_id"]) == (201, "a/b é?")
    assert (await client.ok("GET", "/books/_doc/a%2Fb%20%C3%A9%3F"))["_id"] == "a/b é?"
    assert (await client.ok("PUT", "/books/_doc/_bulk", {"a": 1}))["_id"] == "_bulk"


async def test_create_refuses_a_document_that_exists(client: Client) -> None:
    assert (await client.call("PUT", "/books/_create/1", {"a": 1}))[0] == 201
    for path in ("/books/_create/1", "/books/_doc/1?op_type=create"):
        status, answer = await client.call("PUT", path, {"a": 2})
        assert status == 409
        assert answer["error"]["type"] == "version_conflict_engine_exception"
    assert await client.ok("GET", "/books/_source/1") == {"a": 1}


async def test_an_older_external_version_loses(client: Client) -> None:
    path = "/books/_doc/1?version_type=external&version="
    assert (await client.call("PUT", path + "10", {"a": 10}))[0] == 201
    assert (await client.call("PUT", path + "9", {"a": 9}))[0] == 409
    answer = await client.ok("GET", "/books/_doc/1")
    assert (answer["_source"], answer["_version"]) == ({"a": 10}, 10)


async def test_an_update_merges_and_an_upsert_makes(client: Client) -> None:
    status, answer = await client.call("POST", "/books/_update/1", {"doc": {"a": 1}})
    assert (status, answer["error"]["type"]) == (404, "document_missing_exception")
    body = {"doc": {"a": {"x": 1}}, "doc_as_upsert": True}
    assert (await client.call("POST", "/books/_update/1", body))[0] == 201
    assert (await client.ok("POST", "/books/_update/1", {"doc": {"a": {"y": 2}}}))["result"] == (
        "updated"
    )
    assert await client.ok("GET", "/books/_source/1") == {"a": {"x": 1, "y": 2}}
    same = await client.ok("POST", "/books/_update/1", {"doc": {"a": {"y": 2}}})
    assert same["result"] == "noop"
    body = {"doc": {"b": 1}, "upsert": {"b": 0}}
    assert (await client.call("POST", "/books/_update/2", body))[0] == 201
    assert await client.ok("GET", "/books/_source/2") == {"b": 0}


async def test_bulk_answers_each_action_in_order(client: Client) -> None:
    await client.put("books", {"1": {"n": 1}, "2": {"n": 2}})
    lines = [
        {"index": {"_id": "3"}},
        {"n": 3},
        {"create": {"_id": "1"}},
        {"n": 0},
        {"update": {"_id": "2"}},
        {"doc": {"m": 1}},
        {"delete": {"_id": "1"}},
        {"delete": {"_id": "9"}},
        {"index": {"_id": "4"}},
        {"n": "no number"},
        {"update": {"_id": "8"}},
        {"doc": {"m": 1}},
    ]
    body = b"\n".join(map(orjson.dumps, lines)) + b"\n"
    answer = await client.ok("POST", "/books/_bulk", body)
    assert answer["errors"] is True
    seen = [(name, item["status"]) for entry in answer["items"] for name, item in entry.items()]
    assert seen == [
        ("index", 201),
        ("create", 409),
        ("update", 200),
        ("delete", 200),
        ("delete", 404),
        ("index", 400),
        ("update", 404),
    ]
    assert answer["items"][5]["index"]["error"]["type"] == "mapper_parsing_exception"
    found = await client.ok("GET", "/books/_mget", {"ids": ["1", "2", "3", "4"]})
    assert [doc.get("_source") for doc in found["docs"]] == [None, {"n": 2, "m": 1}, {"n": 3}, None]


async def test_bulk_writes_to_several_indexes_and_its_token_covers_them(client: Client) -> None:
    lines = [{"index": {"_index": "a", "_id": "1"}}, {"n": 1}]
    lines += [{"index": {"_index": "b", "_id": "2"}}, {"n": 2}]
    lines += [{"index": {"_index": "NO", "_id": "3"}}, {"n": 3}]
    answer = await client.ok("POST", "/_bulk", b"\n".join(map(orjson.dumps, lines)))
    assert [item["index"]["status"] for item in answer["items"]] == [201, 201, 400]
    assert "invalid index name" in answer["items"][2]["index"]["error"]["reason"]
    token = answer["_token"]
    assert sorted(await client.found(f"/a,b/_search?after={token.replace(';', '%3B')}")) == [
        "1",
        "2",
    ]


async def test_a_large_bulk_goes_in_parts_and_comes_back_whole(client: Client) -> None:
    n_docs = 12_000
    lines = [b'{"index":{"_id":"%d"}}\n{"n":%d}\n' % (n, n) for n in range(n_docs)]
    body = gzip.compress(b"".join(lines))
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"}
    answer = await client.ok("POST", "/books/_bulk?refresh=wait_for", body, headers=headers)
    assert answer["errors"] is False
    assert [item["index"]["_id"] for item in answer["items"][::1000]] == [
        str(n) for n in range(0, n_docs, 1000)
    ]
    assert (await client.ok("GET", "/books/_count"))["count"] == n_docs


async def test_mget_answers_in_order_and_names_what_is_missing(client: Client) -> None:
    await client.put("a", {"1": {"x": 1, "y": 2}})
    body = {
        "docs": [
            {"_index": "nowhere", "_id": "1"},
            {"_index": "a", "_id": "2"},
            {"_index": "a", "_id": 1, "_source": ["x"]},
            {"_index": "a", "_id": "1", "_source": False},
        ]
    }
    docs = (await client.ok("POST", "/_mget", body))["docs"]
    assert docs[0]["error"]["type"] == "index_not_found_exception"
    assert docs[1]["found"] is False
    assert docs[2]["_source"] == {"x": 1}
    assert docs[3]["found"] is True
    assert "_source" not in docs[3]


async def test_source_parameters_choose_fields(client: Client) -> None:
    await client.put("a", {"1": {"x": 1, "y": {"z": 2, "w": 3}, "list": [{"z": 1}, {"q": 2}]}})
    get = "/a/_source/1?"
    assert await client.ok("GET", get + "_source_includes=y.z") == {"y": {"z": 2}}
    assert await client.ok("GET", get + "_source_excludes=y,list") == {"x": 1}
    assert await client.ok("GET", get + "_source=x,list.z") == {"x": 1, "list": [{"z": 1}]}


async def test_a_write_answers_with_a_token_that_a_search_can_wait_for(client: Client) -> None:
    for number in range(20):
        made = await client.ok("PUT", f"/books/_doc/{number}", {"n": number})
        path = f"/books/_search?q=n:{number}&after={made['_token']}"
        assert await client.found(path) == [str(number)]
    ahead = "/books/_search?after=0-999&timeout=50ms"
    status, answer = await client.call("GET", ahead)
    assert (status, answer["error"]["type"]) == (504, "timeout_exception")
    status, answer = await client.call("GET", "/books/_search?after=nonsense")
    assert (status, answer["error"]["type"]) == (400, "illegal_argument_exception")
    assert await client.ok("GET", "/books/_search?after=books:0:5")


async def test_delete_by_query_deletes_what_it_finds(client: Client) -> None:
    await client.put("a", {str(n): {"n": n} for n in range(2_500)})
    body = {"query": {"range": {"n": {"gte": 100}}}}
    answer = await client.ok("POST", "/a/_delete_by_query?refresh=true", body)
    assert (answer["total"], answer["deleted"], answer["failures"]) == (2_400, 2_400, [])
    assert (await client.ok("GET", "/a/_count"))["count"] == 100


async def test_a_delete_makes_no_index(client: Client) -> None:
    assert (await client.call("DELETE", "/nowhere/_doc/1"))[0] == 404
    bulk = b'{"delete":{"_index":"nowhere","_id":"1"}}\n'
    [item] = (await client.ok("POST", "/_bulk", bulk))["items"]
    assert item["delete"]["error"]["type"] == "index_not_found_exception"
    assert (await client.call("GET", "/nowhere"))[0] == 404
    # one that is to be remembered does
    path = "/nowhere/_doc/1?version=5&version_type=external"
    assert (await client.call("DELETE", path))[0] == 404
    assert (await client.call("GET", "/nowhere"))[0] == 200


async def test_a_metadata_field_within_a_document_is_refused(client: Client) -> None:
    status, answer = await client.call("PUT", "/books/_doc/1", {"_id": "2", "title": "a"})
    assert status == 400
    assert "[_id] is a metadata field" in answer["error"]["reason"]
    lines = b'{"index":{"_id":"1"}}\n{"_source":{}}\n{"index":{"_id":"2"}}\n{"title":"a"}\n'
    answer = await client.ok("POST", "/books/_bulk", lines)
    assert [item["index"]["status"] for item in answer["items"]] == [400, 201]
