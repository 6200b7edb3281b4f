"""More than a server can take, from clients of every bad habit, and what they were promised."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

INDEX = "docs"
WORDS = [f"w{number}" for number in range(200)]
N_KEYS = 400
"""Of one writer: the index does not grow for ever, so memory must not either."""
BULK_DOCS = 200
PAUSE_S = 0.02
"""After a refusal: far less than `Retry-After` asks for."""

ALLOWED = frozenset({200, 201, 429, 503})


@dataclass(slots=True)
class Seen:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    """Key -> the number that was acknowledged last."""
    n_acknowledged: int = 0

    def note(self, what: str, response: aiohttp.ClientResponse) -> None:
        status = response.status
        self.statuses[status] += 1
        if status not in ALLOWED:
            self.wrong.append(f"{what} was answered {status}")
        if status == 429 and not response.headers.get("Retry-After", "").isdigit():
            self.wrong.append(f"{what}: 429 without Retry-After")


class Load:
    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._port = int(url.rpartition(":")[2])
        self._random = random.Random(seed)
        self.seen = Seen()
        self._n_written = 0

    async def run(self, seconds: float) -> None:
        """Load the server for so long."""
        timeout = aiohttp.ClientTimeout(total=60)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self._url, connector=connector, timeout=timeout) as http:
            clients: list[Coroutine[Any, Any, None]] = [
                *(self._write(http, number) for number in range(12)),
                *(self._search(http) for _ in range(32)),
                *(self._stare(http) for _ in range(8)),
                *(self._ask_and_go_deaf() for _ in range(4)),
                *(self._send_half_a_body() for _ in range(4)),
            ]
            tasks = [asyncio.create_task(client) for client in clients]
            done, _ = await asyncio.wait(tasks, timeout=seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                self.seen.wrong.append(f"a client ended: {task.exception()!r}")

    # --- clients that behave -----------------------------------------------------------------
    async def _write(self, http: aiohttp.ClientSession, number: int) -> None:
        while True:
            documents = {
                f"{number}-{self._random.randrange(N_KEYS)}": self._n_written + place
                for place in range(BULK_DOCS)
            }
            self._n_written += BULK_DOCS
            lines = []
            for key, n in documents.items():
                text = " ".join(self._random.choices(WORDS, k=60))
                lines += [{"index": {"_id": key}}, {"n": n, "text": text, "tag": WORDS[n % 200]}]
            body = b"\n".join(map(orjson.dumps, lines)) + b"\n"
            answer = await self._post(http, f"/{INDEX}/_bulk", body)
            if answer is None:
                await asyncio.sleep(PAUSE_S)
                continue
            for (key, n), item in zip(documents.items(), answer["items"], strict=True):
                status = item["index"]["status"]
                if status in (200, 201):
                    self.seen.acknowledged[key] = n
                    self.seen.n_acknowledged += 1
                elif status not in ALLOWED:
                    self.seen.wrong.append(f"a bulk's item was answered {item}")

    async def _search(self, http: aiohttp.ClientSession) -> None:
        while True:
            word, other = self._random.sample(WORDS, 2)
            body = {
                "query": {"match": {"text": f"{word} {other}"}},
                "size": self._random.choice([10, 200]),
                "aggs": {"tags": {"terms": {"field": "tag.keyword", "size": 50}}},
                "highlight": {"fields": {"text": {}}},
            }
            if await self._post(http, f"/{INDEX}/_search", orjson.dumps(body)) is None:
                await asyncio.sleep(PAUSE_S)

    async def _post(self, http: aiohttp.ClientSession, path: str, body: bytes) -> Any:
        """Return the answer, None where it was refused."""
        headers = {"Content-Type": "application/json"}
        try:
            async with http.post(path, data=body, headers=headers) as response:
                self.seen.note(f"POST {path}", response)
                data = await response.read()
        except (aiohttp.ClientConnectionError, ConnectionError):
            # refused while the body was still on its way, and the connection closed
            self.seen.statuses[0] += 1
            return None
        return orjson.loads(data) if response.status == 200 else None

    # --- clients that do not -----------------------------------------------------------------
    async def _stare(self, http: aiohttp.ClientSession) -> None:
        """Subscribe to everything, again and again, and read nothing."""
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1)
            try:
                writer.write(UPGRADE % (INDEX.encode(), self._port))
                frames = [{"op": "subscribe", "id": f"s{number}"} for number in range(5)]
                body = {"query": {"match_all": {}}, "size": 500}
                frames += [{"op": "search", "id": f"a{n}", "body": body} for n in range(10)]
                for frame in frames:
                    writer.write(text_frame(orjson.dumps(frame)))
                await asyncio.sleep(8)
            finally:
                await hang_up(writer)

    async def _ask_and_go_deaf(self) -> None:
        """Ask for much, and read nothing of it."""
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1)
            try:
                body = orjson.dumps({"query": {"match_all": {}}, "size": 3_000})
                writer.write(post_head(f"/{INDEX}/_search", len(body)) + body)
                await asyncio.sleep(6)
            finally:
                await hang_up(writer)

    async def _send_half_a_body(self) -> None:
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                n_bytes = 2 << 20
                writer.write(post_head(f"/{INDEX}/_bulk", n_bytes) + b" " * (n_bytes // 2))
                await asyncio.sleep(4)
            finally:
                await hang_up(writer)


UPGRADE = (
    b"GET /%b/_live HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


def post_head(path: str, n_bytes: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {n_bytes}\r\n\r\n"
    ).encode()


def text_frame(data: bytes) -> bytes:
    """Return one masked frame of a client; the mask is zeros. Requires: less than 64 KiB."""
    if len(data) < 126:
        return bytes([0x81, 0x80 | len(data)]) + bytes(4) + data
    return bytes([0x81, 0x80 | 126]) + len(data).to_bytes(2, "big") + bytes(4) + data


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(ConnectionError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 5)


@dataclass(slots=True)
class Memory:
    """Resident memory of a process over time."""

    pid: int
    samples: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since the first, bytes)"""

    async def watch(self) -> None:
        began = time.monotonic()
        while True:
            self.samples.append((time.monotonic() - began, resident_bytes(self.pid)))
            await asyncio.sleep(0.25)

    def halves(self, warm_up: float) -> tuple[int, int]:
        """Return the most in the first and in the second half of what comes after a share."""
        end = self.samples[-1][0]
        rest = [(at, n) for at, n in self.samples if at >= end * warm_up]
        middle = end * (1 + warm_up) / 2
        return (
            max(n for at, n in rest if at <= middle),
            max(n for at, n in rest if at > middle),
        )


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        [line] = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1]) << 10
