"""The demo's producer: replays the bundled corpora into Kafka for ever, in a process of its own.

    python -m tailrace.replay --bootstrap HOST:PORT --rate DOCS_PER_S

`packages` comes in a shuffled order and round after round, and now and then loses one to a
delete; `advisories` is a real history of upserts and deletes, replayed from the start when it
ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import stat
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from index.errors import TailraceError
from pipeline.events import NewRecord
from tailrace.ndjson import NdjsonFile

DATA = Path(__file__).parent / "data"
PACKAGES = "packages"
ADVISORIES = "advisories"
TICK_S = 0.05
MAX_BEHIND_S = 1.0
"""A producer that was held up catches up at most this much."""

DELETE_SHARE = 0.02


class Change(NamedTuple):
    """One record to come: the document as JSON, None for a delete."""

    topic: str
    key: str
    document: dict[str, Any] | None


def replay_packages(documents: list[dict[str, Any]], chance: random.Random) -> Iterator[Change]:
    """Yield upserts for ever, in a new order each round; a deleted package is back in the next."""
    order = list(documents)
    while True:
        chance.shuffle(order)
        for number, document in enumerate(order):
            yield Change(PACKAGES, document["id"], document)
            if number and chance.random() < DELETE_SHARE:
                yield Change(PACKAGES, order[chance.randrange(number)]["id"], None)


def replay_advisories(path: Path) -> Iterator[Change]:
    """Yield the history in its order, for ever."""
    while True:
        for line in NdjsonFile(str(path)).lines():
            event = line.document or {}
            is_delete = event.pop("op") == "delete"
            yield Change(ADVISORIES, event["id"], None if is_delete else event)


def interleave(data: Path = DATA, seed: int = 7400) -> Iterator[Change]:
    """Yield one change of each stream in turn."""
    lines = NdjsonFile(str(data / "packages.ndjson.zst")).lines()
    documents = [line.document for line in lines if line.document is not None]
    packages = replay_packages(documents, random.Random(seed))
    for advisory in replay_advisories(data / "advisories.ndjson.zst"):
        yield next(packages)
        yield advisory


def to_record(change: Change) -> NewRecord:
    """Return the record of a change; a document gets the time it was sent as `seen`."""
    if change.document is None:
        return NewRecord(change.key.encode(), None)
    seen = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return NewRecord(change.key.encode(), orjson.dumps({**change.document, "seen": seen}))


async def produce(bootstrap: str, rate: float) -> None:
    """Send `rate` changes a second until cancelled."""
    from consumers.kafka import KafkaLog

    logs = {topic: KafkaLog(bootstrap, topic) for topic in (PACKAGES, ADVISORIES)}
    changes = interleave()
    due_s = time.monotonic()
    n_owed = 0.0
    try:
        while True:
            now = time.monotonic()
            n_owed += min(now - due_s, MAX_BEHIND_S) * rate
            due_s = now
            batches: dict[str, list[NewRecord]] = {topic: [] for topic in logs}
            while n_owed >= 1.0:
                n_owed -= 1.0
                change = next(changes)
                batches[change.topic].append(to_record(change))
            await asyncio.gather(*(logs[t].append(records) for t, records in batches.items()))
            await asyncio.sleep(TICK_S)
    finally:
        for log in logs.values():
            await log.close()


async def _run(bootstrap: str, rate: float) -> None:
    task = asyncio.ensure_future(produce(bootstrap, rate))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        # Nobody writes there: readable is the end of it, and of the process that started us.
        loop.add_reader(0, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--rate", type=float, required=True)
    arguments = parser.parse_args()
    try:
        asyncio.run(_run(arguments.bootstrap, arguments.rate))
    except TailraceError as error:
        print(f"tailrace: producer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
