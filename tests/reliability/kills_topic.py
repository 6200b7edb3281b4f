"""The topic itself, read beside the servers: what they hold must be what it says."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.e2e.streams import Fields
from tests.reliability.kills_journal import Write

EVENTS = "events"
"""The topic, and the index that is fed by it."""
GROUP = f"tailrace-{EVENTS}"
READ_S = 60.0


class Topic:
    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.live: dict[tuple[int, str], Fields] = {}
        """The newest document of each partition and key. A key gets another partition when there
        are more of them, and its old document stays in the old one: so it is with Kafka."""
        self.writes: defaultdict[str, Counter[int | None]] = defaultdict(Counter)
        self.places: dict[tuple[int, int], tuple[str, int | None]] = {}
        self.next: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        """What the group told the broker."""

    async def read_on(self, n_partitions: int) -> None:
        """Read to the end, and ask what the group has committed."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=20,
        )
        tps = [TopicPartition(EVENTS, number) for number in range(n_partitions)]
        async with asyncio.timeout(READ_S):
            await consumer.start()
            try:
                consumer.assign(tps)
                await self._read(consumer, tps)
                for tp in tps:
                    committed = await consumer.committed(tp)
                    if committed is not None:
                        self.committed[tp.partition] = committed
            finally:
                await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer, tps: list[TopicPartition]) -> None:
        for tp in tps:
            consumer.seek(tp, self.next.setdefault(tp.partition, 0))
        ends = await consumer.end_offsets(tps)
        while any(self.next[tp.partition] < end for tp, end in ends.items()):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    self._take(tp.partition, record.offset, record.key, record.value)
                self.next[tp.partition] = records[-1].offset + 1

    def _take(self, partition: int, offset: int, key: bytes, value: bytes | None) -> None:
        id = key.decode()
        fields = None if value is None else orjson.loads(value)
        number = None if fields is None else fields["n"]
        self.writes[id][number] += 1
        self.places[partition, offset] = id, number
        if fields is None:
            self.live.pop((partition, id), None)
        else:
            self.live[partition, id] = fields

    def check_acknowledged(self, writes: Iterable[Write]) -> int:
        """Fail where a write that was acknowledged is not in the topic; return how many were."""
        n_acknowledged = 0
        wanted: defaultdict[str, Counter[int | None]] = defaultdict(Counter)
        for write in writes:
            if not write.is_acknowledged or write.index != EVENTS:
                continue
            n_acknowledged += 1
            wanted[write.key][write.number] += 1
            if write.offset >= 0:
                found = self.places.get((write.partition, write.offset))
                assert found == (write.key, write.number), f"{write} is not there, but {found}"
        for key, numbers in wanted.items():
            missing = numbers - self.writes[key]
            assert not missing, f"acknowledged, and not in the topic: {key} {missing}"
        return n_acknowledged
