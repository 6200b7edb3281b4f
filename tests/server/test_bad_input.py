"""Whatever comes in, the answer is a clear error in the contract's shape, never a 500."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from server.limits import Limits
from tests.server.conftest import Client


def assert_error(answer: Any, status: int) -> None:
    error = answer["error"]
    assert answer["status"] == status
    assert error["root_cause"][0]["type"] == error["type"]
    assert error["reason"]
    assert "\n" not in error["reason"]
    assert "Traceback" not in json.dumps(answer)


DEEP = b'{"query":' * 50 + b"{}" + b"}" * 50


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/a/_search", b"{", 400),
        ("POST", "/a/_search", b'{"query":{"match":{"x":"\xff"}}}', 400),
        ("POST", "/a/_search", b"[1]", 400),
        ("POST", "/a/_search", DEEP, 400),
        ("POST", "/a/_search", b'{"query":{"frobnicate":{}}}', 400),
        ("POST", "/a/_search", b'{"query":{"regexp":{"x":"(a"}}}', 400),
        ("POST", "/a/_search", b'{"query":{"regexp":{"nowhere":"(a{1,99}){1,999}"}}}', 400),
        ("POST", "/a/_search", b'{"query":{"regexp":{"x":{"value":"a","flags":"SOME"}}}}', 400),
        ("GET", "/a/_search?q=/(a/", None, 400),
        ("POST", "/a/_search", b'{"colour":1}', 400),
        ("POST", "/a/_search", b'{"size":-1}', 400),
        ("POST", "/a/_search", b'{"from":9999,"size":100}', 400),
        ("POST", "/a/_search", b'{"sort":[{"n":"sideways"}]}', 400),
        ("GET", "/a/_search?q=(unclosed", None, 400),
        ("GET", "/a/_search?size=x", None, 400),
        ("GET", "/a/_search?colour=red", None, 400),
        ("GET", "/a/_search?track_scores=perhaps", None, 400),
        ("GET", "/a/_search?scroll=forever", None, 400),
        ("GET", "/nowhere/_search", None, 404),
        ("GET", "/nowhere/_doc/1", None, 404),
        ("GET", "/nowhere/_mapping", None, 404),
        ("DELETE", "/nowhere/_doc/1", None, 404),
        ("PUT", "/a/_doc/%ff", b"{}", 400),
        ("GET", "/a/_search?q=%c3", None, 400),
        ("GET", "/a/_source/1", None, 404),
        ("PUT", "/a/_doc/1", b"", 400),
        ("PUT", "/a/_doc/1", b"[1]", 400),
        ("PUT", "/a/_doc/1", b'{"n":"\xff"}', 400),
        ("PUT", "/a/_doc/1", b"{" * 40 + b"}" * 40, 400),
        ("PUT", "/a/_doc/1", b'{"n":"not a number"}', 400),
        ("PUT", f"/a/_doc/{'k' * 600}", b"{}", 400),
        ("PUT", "/a/_doc/1?op_type=replace", b"{}", 400),
        ("PUT", "/a/_doc/1?refresh=soon", b"{}", 400),
        ("PUT", "/a/_doc/1?version=1", b"{}", 400),
        ("PUT", "/a/_doc/1?if_seq_no=1", b"{}", 400),
        ("PUT", "/A/_doc/1", b"{}", 400),
        ("PUT", "/A", b"{}", 400),
        ("PUT", "/b", b'{"mappings":{"properties":{"x":{"type":"colour"}}}}', 400),
        ("PUT", "/b", b'{"colour":1}', 400),
        ("PUT", "/b", b'{"aliases":{"x":{}}}', 400),
        ("PUT", "/b", b'{"settings":{"number_of_shards":0}}', 400),
        ("POST", "/a/_update/1", b'{"script":"x"}', 400),
        ("POST", "/a/_bulk", b"", 400),
        ("POST", "/a/_bulk", b"nonsense\n", 400),
        ("POST", "/_bulk", b'{"index":{}}\n{}\n', 400),
        ("POST", "/_mget", b"{}", 400),
        ("POST", "/a/_msearch", b"{}\n", 400),
        ("POST", "/_search/scroll", b"{}", 400),
        ("POST", "/_search/scroll", b'{"scroll_id":"x"}', 404),
        ("GET", "/a/_live", None, 400),
        ("GET", "/_nothing/here", None, 400),
        ("GET", "/a/b/c/d", None, 400),
        ("PATCH", "/a/_search", None, 405),
        ("DELETE", "/a/_search", None, 405),
        ("POST", "/_cat/indices", None, 405),
        ("GET", "/_page/%2e%2e%2fapp.py", None, 400),
    ],
)
async def test_bad_input_is_a_clear_error(
    client: Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    await client.put("a", {"0": {"n": 1}})
    seen, answer = await client.call(method, path, body)
    assert seen == status, answer
    assert_error(answer, status)


async def test_a_wrong_method_names_those_that_work(client: Client) -> None:
    async with client.http.delete("/_search") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD, POST"


class TestLimits:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(body_bytes=5_000, bulk_bytes=20_000, inflated_bytes=2 << 20)

    async def test_a_body_above_the_limit_is_refused(self, client: Client) -> None:
        big = json.dumps({"query": {"match": {"x": "y" * 6_000}}}).encode()
        status, answer = await client.call("POST", "/_search", big)
        assert status == 413
        assert_error(answer, 413)

    async def test_so_is_one_that_does_not_say_how_large_it_is(self, server: TestServer) -> None:
        chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
        head = b"POST /_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await _raw(server, head + chunk * 10)
        assert b" 413 " in answer.split(b"\r\n")[0]

    async def test_a_bulk_has_a_limit_of_its_own(self, client: Client) -> None:
        action = b'{"index":{"_id":"1"}}\n{"x":"%s"}\n'
        assert (await client.call("POST", "/a/_bulk", action % (b"y" * 10_000)))[0] == 200
        assert (await client.call("POST", "/a/_bulk", action % (b"y" * 30_000)))[0] == 413

    async def test_a_gzip_bomb_is_stopped_while_it_grows(self, client: Client) -> None:
        bomb = gzip.compress(b" " * (4 << 20))
        assert len(bomb) < 5_000
        headers = {"Content-Encoding": "gzip"}
        status, answer = await client.call("POST", "/_search", bomb, headers=headers)
        assert status == 413
        assert_error(answer, 413)


async def test_broken_and_unknown_encodings_are_refused(client: Client) -> None:
    headers = {"Content-Encoding": "gzip"}
    status, _ = await client.call("POST", "/_search", b"this is no gzip", headers=headers)
    assert status == 400
    cut = gzip.compress(b'{"query":{"match_all":{}}}' * 50)[:-20]
    status, _ = await client.call("POST", "/_search", cut, headers=headers)
    assert status == 400
    status, answer = await client.call(
        "POST", "/_search", b"{}", headers={"Content-Encoding": "snappy"}
    )
    assert status == 415
    assert_error(answer, 415)


async def test_gzip_goes_in_and_comes_out(client: Client) -> None:
    await client.put("a", {str(n): {"text": "word " * 20} for n in range(50)})
    body = gzip.compress(b'{"query":{"match_all":{}},"size":50}')
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    async with client.http.post("/a/_search", data=body, headers=headers) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert len((await response.json())["hits"]["hits"]) == 50


async def test_pages_of_other_origins_may_read_but_not_write(client: Client) -> None:
    headers = {"Origin": "https://evil.example"}
    status, answer = await client.call("POST", "/a/_doc", {"a": 1}, headers=headers)
    assert status == 403
    assert_error(answer, 403)
    status, _ = await client.call("GET", "/", headers=headers)
    assert status == 200
    own = {"Origin": f"http://{client.http.host}:{client.http.port}"}
    assert (await client.call("POST", "/a/_doc", {"a": 1}, headers=own))[0] == 201


async def test_what_is_no_http_is_answered_with_400(server: TestServer) -> None:
    answer = await _raw(server, b"nonsense\r\n\r\n")
    assert b" 400 " in answer.split(b"\r\n")[0]


async def _raw(server: TestServer, data: bytes) -> bytes:
    import asyncio

    def talk() -> bytes:
        with socket.create_connection((server.host, server.port), timeout=10) as connection:
            connection.sendall(data)
            return connection.recv(65536)

    return await asyncio.to_thread(talk)
