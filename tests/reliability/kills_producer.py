"""A producer of its own: keyed upserts and deletes, each acknowledgement in a synced file.

Usage: python -m tests.reliability.kills_producer BOOTSTRAP TOPIC JOURNAL SEED RATE
A line on stdin, `pause` or `go`, is answered when it holds. The end of stdin is the end.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.reliability.kills_journal import Journal, Write, document

N_KEYS = 1_200
BATCH = 20
DELETES = 0.15
GIVE_UP_S = 8.0


class Writer:
    def __init__(self, bootstrap: str, topic: str, journal: Journal, chance: Random) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._journal = journal
        self._chance = chance
        self._number = 0
        self._producer: AIOKafkaProducer | None = None

    async def write_batch(self) -> None:
        """Send records of keys that differ; return when the fate of each is in the journal."""
        writes = []
        for key in self._chance.sample(range(N_KEYS), BATCH):
            self._number += 1
            is_delete = self._chance.random() < DELETES
            writes.append((f"p{key}", None if is_delete else self._number))
        fates: list[Write] = []
        try:
            producer = await self._connected()
            sent = [
                await producer.send(self._topic, to_value(key, number), key.encode())
                for key, number in writes
            ]
            answers = await asyncio.gather(*sent, return_exceptions=True)
        except (KafkaError, OSError):
            answers = []
        for (key, number), answer in zip(writes, answers, strict=False):
            is_there = not isinstance(answer, BaseException)
            place = (answer.partition, answer.offset) if is_there else (-1, -1)
            fates.append(Write(self._topic, key, number, is_there, *place))
        self._journal.note(fates)
        if len([fate for fate in fates if fate.is_acknowledged]) < len(writes):
            await self.close()  # its sequence numbers may be broken: a new one begins new ones
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), 2.0)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                enable_idempotence=True,
                linger_ms=2,
                request_timeout_ms=int(GIVE_UP_S * 1000),
                metadata_max_age_ms=2_000,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer


def to_value(key: str, number: int | None) -> bytes | None:
    return None if number is None else orjson.dumps(document(key, number))


async def produce(writer: Writer, rate: float) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    asked = asyncio.create_task(reader.readline())
    is_paused = True
    while True:
        if is_paused or asked.done():
            line = (await asked).decode().strip()
            if not line:
                await writer.close()
                return
            is_paused = line == "pause"
            print(line, flush=True)
            asked = asyncio.create_task(reader.readline())
            continue
        began = loop.time()
        await writer.write_batch()
        await asyncio.sleep(max(BATCH / rate - (loop.time() - began), 0.0))


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    bootstrap, topic, path, seed, rate = sys.argv[1:]
    writer = Writer(bootstrap, topic, Journal(Path(path)), Random(int(seed)))
    asyncio.run(produce(writer, float(rate)))
