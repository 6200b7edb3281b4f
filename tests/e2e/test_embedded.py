"""Writes over HTTP into the embedded log, and a server that is killed again and again."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tailrace_client import AsyncClient, ClientError
from tests.e2e.servers import BUSY, serving, verify

N_KILLS = 5
N_WRITERS = 3
N_IDS = 400
BULK = 20
INDEX = "notes"

Possible = set[int | None]


class Writer:
    """Writes, overwrites and deletes ids of its own, and knows what each may hold."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self._number = number
        self._chance = chance
        self._next = 0
        self.possible: defaultdict[str, Possible] = defaultdict(lambda: {None})
        """Id -> the value acknowledged last and those sent after it; None is no document."""
        self.n_acknowledged = 0

    async def write_until_killed(self, client: AsyncClient) -> None:
        while True:
            documents = self._documents()
            for document in documents:
                self.possible[document["_id"]].add(document.get("n"))
            try:
                result = await client.bulk(INDEX, documents)
            except ClientError:
                return
            assert not result.failed
            for document in documents:
                self.possible[document["_id"]] = {document.get("n")}
            self.n_acknowledged += len(documents)

    def _documents(self) -> list[dict[str, Any]]:
        documents = []
        for number in self._chance.sample(range(N_IDS), BULK):
            self._next += 1
            id = f"{self._number}-{number}"
            if self._chance.random() < 0.2:
                documents.append({"_op": "delete", "_id": id})
            else:
                text = f"note {self._next} of writer {self._number}"
                documents.append({"_id": id, "id": id, "n": self._next, "text": text})
        return documents

    def check(self, found: dict[str, dict[str, Any]]) -> None:
        """Fail where an acknowledged write is not there; what is there is the truth from now on."""
        mine = {id for id in found if id.startswith(f"{self._number}-")}
        assert mine <= self.possible.keys()
        for id, possible in self.possible.items():
            value = found[id]["n"] if id in found else None
            assert value in possible, f"{id} holds {value}, expected one of {possible}"
            self.possible[id] = {value}


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_acknowledged_is_there_once_after_kills(tmp_path: Path, seed: int) -> None:
    chance, data = random.Random(seed), tmp_path / "data"
    writers = [Writer(number, random.Random(f"{seed} {number}")) for number in range(N_WRITERS)]
    async with serving(data, **BUSY) as server, AsyncClient(server.url) as client:
        await server.wait_ready()
        await client.create_index(INDEX, settings={"number_of_shards": 2})
        await server.stop()
    for _ in range(N_KILLS):
        async with serving(data, **BUSY) as server, AsyncClient(server.url) as client:
            await server.wait_ready()
            found = await server.documents(INDEX)
            for writer in writers:
                writer.check(found)
            async with asyncio.TaskGroup() as tasks:
                for writer in writers:
                    tasks.create_task(writer.write_until_killed(client))
                await asyncio.sleep(0.1 + chance.random())
                await server.kill()
    assert all(writer.n_acknowledged for writer in writers), f"seed {seed}"
    async with serving(data, **BUSY) as server:
        await server.wait_ready()
        found = await server.documents(INDEX)
        for writer in writers:
            writer.check(found)
        await server.stop()
    assert await verify(data) == len(found)
