"""What must hold when all is quiet: what was acknowledged is there, once, and the newest of it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from index.errors import CorruptionError
from index.manifest import decode_manifest, generation_of
from tailrace.verify import NothingToCheckError, check_directory
from tests.e2e.servers import check_same
from tests.e2e.streams import Fields
from tests.reliability.kills_journal import Write
from tests.reliability.kills_servers import EVENTS, LOCAL, Member

GROUP = f"tailrace-{EVENTS}"
READ_S = 60.0


class Topic:
    """The topic itself, read beside the servers: what they hold must be what it says."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.live: dict[str, Fields] = {}
        """The newest document of each key."""
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
            self.live.pop(id, None)
        else:
            self.live[id] = fields

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


async def check_union(members: list[Member], expected: dict[str, Fields]) -> int:
    """Fail where the members together do not hold each document once, as the topic has it."""
    found = await asyncio.gather(*(member.server.documents(EVENTS) for member in members))
    union = {id: fields for each in found for id, fields in each.items()}
    assert len(union) == sum(map(len, found)), "two servers hold the same document"
    check_same(union, expected)
    return len(union)


async def check_local(member: Member, fates: dict[str, list[Write]]) -> int:
    """Fail where the server's own index is not what its clients were told."""
    found = await member.server.documents(LOCAL)
    wrong = []
    for key, writes in fates.items():
        number = found.pop(key)["n"] if key in found else None
        if number not in possible_numbers(writes):
            wrong.append(f"{key} is at {number}, not at one of {possible_numbers(writes)}")
    assert not wrong, f"{member}: {len(wrong)} wrong, {wrong[:5]}"
    assert not found, f"{member}: documents that nobody wrote: {[*found][:5]}"
    return len(fates)


def possible_numbers(writes: list[Write]) -> set[int | None]:
    """Return what a key may be at: its newest acknowledged write, or one after it that was not."""
    possible: set[int | None] = {None}
    for write in writes:
        possible = {write.number} if write.is_acknowledged else possible | {write.number}
    return possible


def check_sound(data: Path) -> int:
    """Fail where `tailrace verify` would find something; return the documents of the directory.

    Requires: no server has it.
    """
    try:
        checked = check_directory(data)
    except NothingToCheckError:
        return 0  # killed before there was anything
    assert not checked.findings, "; ".join(str(finding) for finding in checked.findings)
    return checked.n_docs


def checkpoints(data: Path) -> dict[int, int]:
    """Return the checkpoint of each shard of the Kafka index, read beside a running server."""
    found = {}
    for shard in (data / "indexes" / EVENTS / "shards").glob("[0-9]*"):
        for path in sorted(shard.glob("manifest-*.json"), reverse=True):
            if generation_of(path.name) is None:
                continue
            try:
                found[int(shard.name)] = decode_manifest(path.name, path.read_bytes()).next_offset
                break
            except (OSError, CorruptionError):
                continue  # gone meanwhile
    return found


def check_hints(committed: dict[int, int], directories: list[Path]) -> None:
    """Fail where the broker was told more than any manifest holds. Read after `committed` was."""
    best: Counter[int] = Counter()
    for data in directories:
        best |= Counter(checkpoints(data))
    ahead = {number: at for number, at in committed.items() if at > best[number]}
    assert not ahead, f"committed {ahead}, the newest manifests are at {dict(best)}"
