"""The world of one seed: a cluster, some nodes, clients that write, and the checks."""

from __future__ import annotations

import asyncio
import random
import zlib
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition

from consumers.kafka import KafkaLog
from consumers.source import LogError
from index.errors import TailraceError
from pipeline.applied import AppliedBatch
from pipeline.events import NewRecord
from pipeline.shard import Shard, ShardState
from tests.reliability.fake_broker import LATENCY_S, FakeCluster
from tests.reliability.fake_clients import FakeClients
from tests.reliability.fake_log import FakePartition, Kind
from tests.reliability.sim_checks import BrokenError, Checks
from tests.reliability.sim_disk import SimDisk, SimFolder
from tests.reliability.sim_loop import BEGINNING_S, NODE, SimLoop
from tests.reliability.sim_node import DEAD, KAFKA, TOPIC, SimNode

N_NODES = 3
N_CLIENTS = 2
N_KEYS = 14
STATE_SHARE = 0.15
"""Share of the batches after which the whole shard is compared."""
CLIENT_PAUSE_S = 0.4


class _Place(TopicPartition):  # type: ignore[misc]
    """Hashes alike in every process, so that sets of them are walked alike."""

    __slots__ = ()

    def __hash__(self) -> int:
        return int(self[1]) * 31 + len(self[0])


class World:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.loop = SimLoop(random.Random(self.rng.random()))
        self.lines: list[str] = []
        self.n_faults = 0
        self.acked: list[tuple[FakePartition, int, bytes | None]] = []
        self.broken: BrokenError | None = None
        self.job_delay_s = 0.0
        """Longest that a job takes: more on a slow disk."""
        self.latency_s = LATENCY_S
        self.wall_offset_s = 0.0
        self.is_producing = True
        self._crc = 0
        self._serial = 0
        self.cluster = cluster = FakeCluster(make_tp=_Place, initial_delay_s=0.1)
        cluster.latency_s = self._latency_s
        cluster.fetch_size = lambda: self.rng.randint(1, 30)
        cluster.timestamp_ms = lambda: int(self.wall_s() * 1000)
        cluster.on_commit = self._check_commit
        n_partitions = self.rng.choice((1, 2, 2, 3))
        self.topic = cluster.create_topic(TOPIC, n_partitions)
        letters = cluster.create_topic(DEAD, 1).partitions[0]
        self.checks = Checks(self.topic.partitions, letters)
        self.is_shared = self.rng.random() < 0.35
        """Whether all nodes have one disk, as with a network volume that moves about."""
        self.is_skipping_gaps = self.rng.random() < 0.3
        self.is_static = self.rng.random() < 0.25
        shared = SimDisk("shared", self._note_manifest)
        self.nodes = [
            SimNode(
                self,
                f"n{number}",
                shared if self.is_shared else SimDisk(f"n{number}", self._note_manifest),
            )
            for number in range(N_NODES)
        ]

    # --- time, chance, trace -------------------------------------------------------------------
    def trace(self, line: str) -> None:
        line = f"{self.loop.time() - BEGINNING_S:.4f} {line}"
        self._crc = zlib.crc32(line.encode(), self._crc)
        self.lines.append(line)

    @property
    def trace_hash(self) -> str:
        return f"{self._crc:08x}-{self.loop.n_steps}"

    def wall_s(self) -> float:
        return 1_700_000_000.0 + self.loop.time() + self.wall_offset_s

    def job_s(self, pool: str) -> float:
        """Return how long a job takes."""
        if self.job_delay_s == 0.0:
            return 0.0 if self.rng.random() < 0.7 else 0.002
        return self.rng.random() * self.job_delay_s

    def _latency_s(self, api: str) -> float:
        return self.latency_s * (0.5 + self.rng.random())

    def kafka_options(self, node: str) -> dict[str, Any]:
        return {
            "group_instance_id": node if self.is_static else None,
            "on_data_gap": "skip" if self.is_skipping_gaps else "stop",
        }

    # --- checks ----------------------------------------------------------------------------------
    def check_open(self, node: SimNode, life: str, shard: Shard) -> None:
        with self._checking():
            self.trace(f"{life} opens {shard.number} at {shard.engine.next_offset}")
            folder = node.disk.folder(Path(str(shard.number)))
            self.checks.shard_opened(life, folder, shard.number, shard.engine)
            self.checks.state(life, "opening", shard.engine, shard.visible)

    def check_batch(self, node: SimNode, life: str, done: AppliedBatch) -> None:
        with self._checking():
            self.trace(f"{life} applies {done.shard} to {done.visible.next_offset}")
            assert node.index is not None
            self.checks.batch_applied(life, done)
            if self.rng.random() < STATE_SHARE:
                engine = node.index.shards[done.shard].engine
                self.checks.state(life, "applying", engine, done.visible)

    def _check_commit(self, group: str, offsets: dict[TopicPartition, int]) -> None:
        with self._checking():
            life = NODE.get()
            node = next((node for node in self.nodes if node.life == life), None)
            if node is None:
                return
            for tp, offset in offsets.items():
                self.trace(f"{life} commits {tp.partition} at {offset}")
                self.checks.committed(node.disk.folder(Path(str(tp.partition))), offset)

    def _note_manifest(self, folder: SimFolder, name: str, data: bytes) -> None:
        with self._checking():
            self.trace(f"{NODE.get()} publishes {folder.name} {name}")
            self.checks.manifest_published(folder, NODE.get(), name, data)

    def _checking(self) -> _Keeping:
        return _Keeping(self)

    def start_later(self, node: SimNode, delay_s: float) -> None:
        self.cluster.later(delay_s, lambda: None if node.is_up else node.start())

    # --- what clients do ---
    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for number in range(N_CLIENTS):
            self.loop.spawn(f"client{number}", self._write_forever())

    async def _write_forever(self) -> None:
        log = KafkaLog("sim", TOPIC, options=KAFKA, clients=FakeClients(self.cluster))
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / CLIENT_PAUSE_S))
            if not self.is_producing:
                await log.close()
                return
            records = [self._record() for _ in range(self.rng.choice((1, 1, 2, 5)))]
            try:
                places = await log.append(records)
            except (LogError, TailraceError) as error:
                self.trace(f"not written: {type(error).__name__}")
                continue
            for record, (partition, offset) in zip(records, places, strict=True):
                self.acked.append((self.topic.partitions[partition], offset, record.value))
            if self.rng.random() < 0.2:
                self._add_what_nobody_reads()

    def _record(self) -> NewRecord:
        """Make one write; most are upserts."""
        self._serial += 1
        key = f"k{self.rng.randrange(N_KEYS)}"
        self.checks.keys.add(key)
        chance = self.rng.random()
        value: bytes | None = b'{"n":%d,"t":"w%d"}' % (self._serial, self._serial % 7)
        headers: tuple[tuple[str, bytes | None], ...] = ()
        if chance < 0.12:
            value = None
        elif chance < 0.24:
            value, headers = b'{"n":%d}' % self._serial, (("op", b"update"),)
        elif chance < 0.30:
            headers = (("op", b"create"),)
        elif chance < 0.33:
            value = b'{"n":%d' % self._serial
        elif chance < 0.35:
            value = b'{"n":"word %d"}' % self._serial
        return NewRecord(key.encode(), value, headers)

    def _add_what_nobody_reads(self) -> None:
        partition = self.rng.choice(self.topic.partitions)
        if partition.is_frozen or partition.past:
            return  # a hole where a checkpoint rests on a record hides that the log was cut
        kind = self.rng.randrange(3)
        if kind == 0:
            partition.append(None, None, kind=Kind.MARKER)
        elif kind == 1:
            partition.append(b"k0", b'{"n":-1}', kind=Kind.ABORTED)
            partition.append(None, None, kind=Kind.MARKER)
        else:
            partition.leave_hole(self.rng.randint(1, 5))
            partition.append(b"k1", b'{"n":%d}' % -self._serial)
            self.checks.keys.add("k1")

    # --- the end ---
    def is_quiet(self) -> bool:
        """Return whether every partition is served by one node, up to the end of its log."""
        for number, partition in enumerate(self.topic.partitions):
            owners = [
                shard
                for node in self.nodes
                if node.index is not None
                for shard in [node.index.shards.get(number)]
                if shard is not None and shard.state is ShardState.SERVING
            ]
            if len(owners) != 1 or owners[0].watermark.next_offset < partition.end:
                return False
        return True

    def check_end(self) -> None:
        """Check what must hold once all is quiet. Raises: BrokenError."""
        for node in self.nodes:
            if node.index is None:
                continue
            for shard in node.index.shards.values():
                if shard.state is not ShardState.SERVING:
                    continue  # it closes, its partition is another node's
                self.checks.state(node.life, "at the end", shard.engine, shard.visible)
        for partition, offset, value in self.acked:
            if partition.past or offset < partition.start:
                continue
            entry = partition.at(offset)
            if entry is None or entry.value != value:
                raise BrokenError(f"{partition.tp} has not at {offset} what was acknowledged")


class _Keeping:
    """The first broken promise ends the simulation, wherever it was found."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if not isinstance(error, BrokenError):
            return False
        self._world.broken = self._world.broken or error
        return True
