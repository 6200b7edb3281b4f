from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.events import Headers, Record
from pipeline.refusals import FindRefused, find_refused, refuse_by_answer
from tests.pipeline.test_shard import Stand


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    stand = Stand(tmp_path)
    yield stand
    await stand.end()


def record(offset: int, key: bytes, *headers: tuple[str, bytes]) -> Record:
    return Record("docs", 0, offset, 1_000, key, b'{"n":%d}' % offset, headers)


RECORDS = [
    record(0, b"a"),
    record(1, b"a", ("op", b"create")),
    record(2, b"b", ("op", b"update")),
    record(3, b"a", ("version", b"9")),
    record(4, b"a", ("version", b"8")),
    record(5, b"c", ("op", b"create")),
    record(6, b"d", ("op", b"delete")),
]


async def letters(stand: Stand, find: FindRefused) -> list[tuple[bytes | None, Headers]]:
    stand.shard._find_refused = find
    await stand.shard.open()
    await stand.shard.deliver(RECORDS, len(RECORDS))
    await stand.shard.drain()
    assert sum(view.n_alive for view in stand.shard.visible.views) == 2
    return [(letter.value, letter.headers) for letter in stand.letters.partitions[0]]


async def test_a_refused_create_or_update_is_a_dead_letter_with_its_reason(stand: Stand) -> None:
    found = await letters(stand, find_refused)
    assert [value for value, _ in found] == [b'{"n":1}', b'{"n":2}']
    create, update = (dict(headers) for _, headers in found)
    assert create["op"] == b"create"
    assert create["tailrace.error.type"] == b"version_conflict_engine_exception"
    assert create["tailrace.error.reason"] == b"[a]: version conflict, document already exists"
    assert update["tailrace.error.type"] == b"document_missing_exception"
    assert update["tailrace.source.offset"] == b"2"


async def test_it_is_none_where_the_writer_has_the_answer(stand: Stand) -> None:
    assert await letters(stand, refuse_by_answer) == []
