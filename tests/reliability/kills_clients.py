"""Who writes while servers die: a producer in a process of its own, and clients over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import orjson

from tests.e2e.streams import ROOT
from tests.reliability.kills_journal import Journal, Write, document
from tests.reliability.kills_servers import LOCAL, Member
from tests.reliability.kills_topic import EVENTS

PAUSE_S = 45.0
ANSWER_S = 2.5
N_KEYS = 60
N_OPS = 8
DELETES = 0.2


class ProducerProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, word: str) -> None:
        """Say `pause` or `go`; return when it is so."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n".encode())
        async with asyncio.timeout(PAUSE_S):
            answer = await self._process.stdout.readline()
        assert answer.decode().strip() == word, "the producer has ended"


@asynccontextmanager
async def producing(
    bootstrap: str, journal: Path, seed: int, rate: float
) -> AsyncIterator[ProducerProcess]:
    """Run the producer, paused."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.reliability.kills_producer"),
        *(bootstrap, EVENTS, str(journal), str(seed), str(rate)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield ProducerProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Client:
    """Writes to one server by `_bulk`, to both of its indexes.

    A key whose write was not answered is never written again: nobody knows when the server does.
    """

    def __init__(self, member: Member, number: int, journal: Path, seed: int) -> None:
        self.member = member
        self.local: defaultdict[str, list[Write]] = defaultdict(list)
        """What became of the writes to the index of the server's own, key by key."""
        self.n_acknowledged = 0
        self._number = number
        self._journal = Journal(journal)
        self._chance = Random(seed)
        self._n_writes = 0
        self._n_keys = 0
        self._keys = [self._new_key() for _ in range(N_KEYS)]
        self._running = asyncio.Event()
        self._idle = asyncio.Event()

    def go(self) -> None:
        self._running.set()

    async def pause(self) -> None:
        """Return when no write is under way."""
        self._running.clear()
        async with asyncio.timeout(PAUSE_S):
            await self._idle.wait()

    async def run(self, rate: float) -> None:
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(ANSWER_S),
            connector=aiohttp.TCPConnector(force_close=True),
        ) as session:
            while True:
                self._idle.set()
                await self._running.wait()
                self._idle.clear()
                if self.member.is_alive:
                    await self._write(session)
                await asyncio.sleep(N_OPS / rate)

    async def _write(self, session: aiohttp.ClientSession) -> None:
        places = self._chance.sample(range(N_KEYS), N_OPS)
        index = self._chance.choice((EVENTS, LOCAL))
        ops = [(self._keys[place], self._next_number()) for place in places]
        items = await self._ask(session, index, ops)
        fates = []
        for place, (key, number), item in zip(places, ops, items, strict=True):
            is_acknowledged = is_success(item)
            if not is_acknowledged:
                self._keys[place] = self._new_key()
            fates.append(Write(index, key, number, is_acknowledged))
        self._journal.note(fates)
        self.n_acknowledged += sum(fate.is_acknowledged for fate in fates)
        if index == LOCAL:
            for fate in fates:
                self.local[fate.key].append(fate)

    async def _ask(
        self, session: aiohttp.ClientSession, index: str, ops: list[tuple[str, int | None]]
    ) -> list[dict[str, Any]]:
        lines: list[object] = []
        for key, number in ops:
            lines.append({"delete" if number is None else "index": {"_id": key}})
            lines += [] if number is None else [document(key, number)]
        body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            url = f"{self.member.server.url}/{index}/_bulk"
            async with session.post(url, data=body, headers=headers) as answer:
                told = await answer.json()
                if answer.status == 200:
                    return [next(iter(item.values())) for item in told["items"]]
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            await asyncio.sleep(0.05)
        return [{} for _ in ops]

    def _next_number(self) -> int | None:
        self._n_writes += 1
        return None if self._chance.random() < DELETES else self._n_writes

    def _new_key(self) -> str:
        self._n_keys += 1
        return f"h{self._number}-{self._n_keys}"


def is_success(item: dict[str, Any]) -> bool:
    """Return whether a bulk's answer says that this op is durable in the log."""
    return item.get("status") in (200, 201) or item.get("result") == "not_found"
