from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from pipeline.node import Node
from server.app import create_app
from tests.server.conftest import Client, open_feed


async def test_a_node_that_is_not_ready_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path, open_feed=open_feed)
    async with TestClient(TestServer(create_app(node))) as http:
        client = Client(http)
        assert await client.call("GET", "/livez") == (200, "ok\n")
        assert await client.call("GET", "/readyz") == (503, "not ready\n")
        path = "/_cluster/health?wait_for_status=green&timeout=20ms"
        status, answer = await client.call("GET", path)
        assert (status, answer["status"], answer["timed_out"]) == (408, "yellow", True)
    await node.stop()


async def test_our_own_faults_are_logged_and_never_shown(
    client: Client, node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(expression: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(node, "resolve", break_down)
    status, answer = await client.call("GET", "/books/_search")
    assert status == answer["status"] == 500
    assert "secret" not in str(answer)
    assert "secret detail" in caplog.text


async def test_the_root_names_a_version_that_clients_of_opensearch_know(client: Client) -> None:
    info = await client.ok("GET", "/")
    assert info["version"]["distribution"] == "opensearch"
    assert info["version"]["number"].startswith("2.")
    assert info["tailrace"]["version"]


async def test_documents_survive_a_restart_of_the_node(tmp_path: Path) -> None:
    for number in range(3):
        node = Node(tmp_path, open_feed=open_feed)
        await node.start()
        async with TestClient(TestServer(create_app(node))) as http:
            client = Client(http)
            token = await client.put("books", {str(number): {"n": number}})
            found = await client.found(f"/books/_search?sort=n&after={token}")
            assert found == [str(n) for n in range(number + 1)]
        await node.stop()
