"""The producing side of the Kafka benchmarks, in a process of its own.

    python -m bench.producer BOOTSTRAP TOPIC N_DOCS RATE [FOLDER]

RATE 0 is as fast as it goes. Prints a line when all is produced. Each record carries the wall
clock of its sending in the header `sent`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path

from bench.corpus import Corpus, Item
from consumers.kafka import KafkaLog
from pipeline.events import NewRecord

BULK_DOCS = 1_000
TICK_S = 0.005
IN_FLIGHT = 8


def to_record(item: Item) -> NewRecord:
    return NewRecord(item.key, item.source, (("sent", repr(time.time()).encode()),))


async def produce_all(log: KafkaLog, items: list[Item]) -> None:
    """Send everything, with a bounded number of appends under way."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def send(batch: list[Item]) -> None:
        async with slots:
            await log.append([to_record(item) for item in batch])

    async with asyncio.TaskGroup() as tasks:
        for first in range(0, len(items), BULK_DOCS):
            tasks.create_task(send(items[first : first + BULK_DOCS]))


async def produce_steadily(log: KafkaLog, items: list[Item], rate: float) -> None:
    """Send `rate` documents a second, in small portions, whether or not the broker keeps up."""
    began = time.monotonic()
    waiting: set[asyncio.Task[object]] = set()
    source = iter(items)
    n_sent = 0
    while True:
        n_due = int((time.monotonic() - began) * rate) - n_sent
        batch = [to_record(item) for item in itertools.islice(source, n_due)]
        if n_due and not batch:
            break
        if batch:
            n_sent += len(batch)
            task: asyncio.Task[object] = asyncio.create_task(log.append(batch))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.sleep(TICK_S)
    await asyncio.gather(*waiting)


async def _run(bootstrap: str, topic: str, items: list[Item], rate: float) -> None:
    log = KafkaLog(bootstrap, topic)
    if rate:
        await produce_steadily(log, items, rate)
    else:
        await produce_all(log, items)
    await log.close()


def main() -> None:
    bootstrap, topic, n_docs, rate, *rest = sys.argv[1:]
    items = list(Corpus(Path(rest[0]) if rest else None, int(n_docs)).items())
    print("ready", flush=True)
    asyncio.run(_run(bootstrap, topic, items, float(rate)))
    print("produced", flush=True)


if __name__ == "__main__":
    main()
