"""A Kafka cluster in memory.

It is of one broker, which may go away and come back, be slow, forget who coordinates a group,
refuse requests. Its clients (fake_clients.py) behave as aiokafka's do; that they do is held by
test_conformance.py, which asks the same of real brokers. Everything happens on the running loop,
on its clock; what the broker does by itself belongs to no node.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from tests.reliability.fake_group import FakeGroup
from tests.reliability.fake_log import FakePartition, FakeTopic

LATENCY_S = 0.0005


class CanHang(Protocol):
    def hang(self) -> None: ...


class FakeCluster:
    """Thread rule: the event loop's thread."""

    def __init__(
        self,
        *,
        make_tp: Callable[[str, int], TopicPartition] = TopicPartition,
        initial_delay_s: float = 0.0,
    ) -> None:
        self.topics: dict[str, FakeTopic] = {}
        self.groups: dict[str, FakeGroup] = {}
        self.consumers: list[CanHang] = []
        """Those in a group that were not stopped; of dead nodes, too."""
        self.is_down = False
        self.max_message_bytes = 1 << 20
        self.latency_s: Callable[[str], float] = lambda api: LATENCY_S
        """How long a request of this kind is under way, there and back."""
        self.on_commit: Callable[[str, dict[TopicPartition, int]], None] = lambda *_: None
        """Told of every commit that is taken: the group's name, and the offsets."""
        self.fetch_size: Callable[[], int] = lambda: 500
        """Most records of a partition in an answer."""
        self.timestamp_ms: Callable[[], int] = lambda: 1_700_000_000_000
        self._make_tp = make_tp
        self._initial_delay_s = initial_delay_s
        self._errors: defaultdict[str, list[KafkaError]] = defaultdict(list)
        self._world = contextvars.copy_context()
        self._n_incarnations = 0
        self._came_up: list[asyncio.Future[None]] = []

    # --- what it has ---------------------------------------------------------------------------
    def create_topic(self, name: str, n_partitions: int) -> FakeTopic:
        """Make a topic; one that is there stays as it is."""
        if name not in self.topics:
            self._n_incarnations += 1
            topic = self.topics[name] = FakeTopic(name, self._n_incarnations)
            self.add_partitions(topic, n_partitions)
        return self.topics[name]

    def add_partitions(self, topic: FakeTopic, n_partitions: int) -> None:
        """Have so many partitions at least; members learn of it as after a refresh."""
        for number in range(len(topic.partitions), n_partitions):
            topic.partitions.append(FakePartition(self._make_tp(topic.name, number)))
        for group in self.groups.values():
            group.rebalance()

    def partition(self, tp: TopicPartition) -> FakePartition:
        """Raises: UnknownTopicOrPartitionError."""
        topic = self.topics.get(tp.topic)
        if topic is None or tp.partition >= len(topic.partitions):
            raise UnknownTopicOrPartitionError(tp)
        return topic.partitions[tp.partition]

    def group(self, name: str) -> FakeGroup:
        if name not in self.groups:
            self.groups[name] = FakeGroup(
                now=lambda: asyncio.get_running_loop().time(),
                later=self.later,
                partitions_of=self._partitions_of,
                initial_delay_s=self._initial_delay_s,
            )
        return self.groups[name]

    def _partitions_of(self, topic: str) -> list[TopicPartition]:
        return [p.tp for p in self.topics[topic].partitions] if topic in self.topics else []

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do something later, as the broker: it belongs to no node."""
        asyncio.get_running_loop().call_later(delay_s, work, context=self._world.copy())

    # --- what clients ask ------------------------------------------------------------------------
    async def reach(self, api: str) -> None:
        """Go the way of a request. Raises: KafkaConnectionError, or what was pushed for it."""
        await asyncio.sleep(self.latency_s(api))
        self.check(api)

    def check(self, api: str) -> None:
        """Raises: KafkaConnectionError, or what was pushed for it."""
        if self.is_down:
            raise KafkaConnectionError("the broker is away")
        if errors := self._errors.get(api):
            raise errors.pop(0)

    # --- what happens to it -----------------------------------------------------------------------
    def push_errors(self, api: str, *errors: KafkaError) -> None:
        """Answer the next requests of one kind so: metadata, fetch, offsets, produce (also
        "produce TOPIC"), join, heartbeat, commit, committed."""
        self._errors[api] += errors

    def forgive(self) -> None:
        """Take back what was pushed and not met."""
        self._errors.clear()

    def recreate(self, topic: FakeTopic) -> None:
        """Have the topic deleted and made anew: another id, empty logs."""
        self._n_incarnations += 1
        topic.incarnation = self._n_incarnations
        for partition in topic.partitions:
            partition.recreate()

    def go_down(self) -> None:
        """Close all connections and refuse new ones."""
        self.is_down = True
        for group in self.groups.values():
            group.go_away()
            group.drop_connections(KafkaConnectionError("the broker went away"))
        self._wake_fetches()

    def come_up(self) -> None:
        self.consumers: list[CanHang] = []
        """Those in a group that were not stopped; of dead nodes, too."""
        self.is_down = False
        for group in self.groups.values():
            group.come_back()

    def move_coordinators(self, error: KafkaError) -> None:
        """Answer every join that waits with `error`; the groups stay as they are."""
        for group in self.groups.values():
            group.drop_connections(error)

    def _wake_fetches(self) -> None:
        for topic in self.topics.values():
            for partition in topic.partitions:
                partition.wake()
