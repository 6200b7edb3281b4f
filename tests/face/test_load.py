from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tailrace import load
from tailrace.load import LoadPlan, run_load
from tailrace.remote import UnreachableError

Answer = Callable[[int, list[tuple[dict[str, Any], dict[str, Any]]]], web.Response]


class BulkServer:
    """Takes bulks; `answer` may refuse one by its number."""

    def __init__(self) -> None:
        self.url = ""
        self.bulks: list[list[tuple[str | None, dict[str, Any]]]] = []
        self.refuse: dict[int, web.Response] = {}
        self.bad_ids: set[str] = set()
        self.n_calls = 0

    async def bulk(self, request: web.Request) -> web.Response:
        self.n_calls += 1
        if self.n_calls in self.refuse:
            return self.refuse[self.n_calls]
        lines = [json.loads(line) for line in (await request.read()).splitlines()]
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        self.bulks.append([(action["index"].get("_id"), doc) for action, doc in pairs])
        items = [self._item(action["index"].get("_id")) for action, _ in pairs]
        return web.json_response({"items": items})

    def _item(self, key: str | None) -> dict[str, Any]:
        if key in self.bad_ids:
            error = {"type": "mapper_parsing_exception", "reason": "no number"}
            return {"index": {"_id": key, "status": 400, "error": error}}
        return {"index": {"_id": key, "status": 201}}


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[BulkServer]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(load, "FIRST_PAUSE_S", 0.0)
    bulks = BulkServer()
    app = web.Application()
    app.router.add_post("/articles/_bulk", bulks.bulk)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bulks.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield bulks
    await runner.cleanup()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "articles.ndjson"
    path.write_text("".join(json.dumps({"_id": str(n), "n": n}) + "\n" for n in range(5)))
    return path


async def run(server: BulkServer, file: Path, **options: Any) -> int:
    plan = LoadPlan(
        index="articles",
        files=(str(file),),
        id_field=options.get("id_field"),
        batch_docs=options.get("batch_docs", 2),
        is_restart=options.get("is_restart", False),
    )
    return await asyncio.to_thread(run_load, server.url, plan)


async def test_documents_go_in_batches_and_the_id_is_no_field(
    server: BulkServer, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(server, file) == 0
    assert [len(bulk) for bulk in server.bulks] == [2, 2, 1]
    assert server.bulks[0] == [("0", {"n": 0}), ("1", {"n": 1})]
    assert capsys.readouterr().out.startswith("5 documents in ")


async def test_a_document_without_id_is_named_by_file_and_line(
    server: BulkServer, tmp_path: Path
) -> None:
    file = tmp_path / "notes.ndjson"
    file.write_text('{"a": 1}\n{"id": 7, "a": 2}\n')
    await run(server, file)
    assert server.bulks == [[("notes.ndjson:1", {"a": 1}), ("7", {"id": 7, "a": 2})]]


async def test_a_field_can_be_named_as_the_id(server: BulkServer, tmp_path: Path) -> None:
    file = tmp_path / "notes.ndjson"
    file.write_text('{"isbn": "x", "_id": "y"}\n')
    await run(server, file, id_field="isbn")
    assert server.bulks[0][0][0] == "x"


async def test_an_interrupted_load_goes_on_where_it_stopped(server: BulkServer, file: Path) -> None:
    server.refuse[2] = web.Response(status=500, text="broken")
    with pytest.raises(Exception, match="500"):
        await run(server, file)
    assert await run(server, file) == 0
    assert [bulk[0][0] for bulk in server.bulks] == ["0", "2", "4"]


async def test_a_finished_load_begins_anew(server: BulkServer, file: Path) -> None:
    await run(server, file)
    await run(server, file)
    assert [bulk[0][0] for bulk in server.bulks] == ["0", "2", "4"] * 2


def append(file: Path, line: str) -> None:
    with file.open("a") as opened:
        opened.write(line)


async def test_a_changed_file_is_not_resumed(server: BulkServer, file: Path) -> None:
    server.refuse[2] = web.Response(status=500)
    with pytest.raises(Exception, match="500"):
        await run(server, file)
    await asyncio.to_thread(append, file, '{"_id": "5"}\n')
    await run(server, file)
    assert server.bulks[1][0][0] == "0"


async def test_restart_begins_at_the_top(server: BulkServer, file: Path) -> None:
    server.refuse[2] = web.Response(status=500)
    with pytest.raises(Exception, match="500"):
        await run(server, file)
    await run(server, file, is_restart=True)
    assert [bulk[0][0] for bulk in server.bulks] == ["0", "0", "2", "4"]


async def test_refused_documents_and_bad_lines_are_told_and_fail(
    server: BulkServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.ndjson"
    file.write_text('{"_id": "a"}\n{broken\n{"_id": "b"}\n')
    server.bad_ids = {"b"}
    assert await run(server, file) == 1
    captured = capsys.readouterr()
    assert "notes.ndjson:2: not JSON" in captured.err
    assert "notes.ndjson:3: mapper_parsing_exception: no number" in captured.err
    assert "1 documents" in captured.out
    assert "2 failures" in captured.out


async def test_a_bulk_that_finds_no_room_is_sent_again(server: BulkServer, file: Path) -> None:
    error = {"type": "cluster_block_exception", "reason": "the disk is 96.0% full"}
    refused = {"index": {"_id": "1", "status": 429, "error": error}}
    server.refuse[1] = web.json_response({"items": [refused] * 5})
    assert await run(server, file) == 0
    assert sum(len(bulk) for bulk in server.bulks) == 5


async def test_a_busy_server_is_asked_again(server: BulkServer, file: Path) -> None:
    server.refuse[1] = web.Response(status=429)
    assert await run(server, file) == 0
    assert sum(len(bulk) for bulk in server.bulks) == 5


async def test_an_absent_server_is_given_up_with_a_hint(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(load, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    nowhere = BulkServer()
    nowhere.url = "http://127.0.0.1:1"
    with pytest.raises(UnreachableError, match="the same command again"):
        await run(nowhere, file)
