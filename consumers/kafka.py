"""Feeds an index from Kafka topics, as a member of a consumer group."""

from __future__ import annotations

import asyncio
import logging
import random

from aiokafka.errors import KafkaError

from consumers import codecs
from consumers.kafka_client import AIOKAFKA, KafkaClients
from consumers.kafka_fetch import SinkError
from consumers.kafka_log import KafkaLog
from consumers.kafka_options import KafkaOptions, KafkaSecurity
from consumers.kafka_positions import FetchCounts
from consumers.kafka_session import Session, StalledError
from consumers.source import Sink, shard_no

__all__ = ["KafkaLog", "KafkaOptions", "KafkaSecurity", "KafkaSource"]

log = logging.getLogger(__name__)


class KafkaSource:
    """A source over topics of a cluster; see `consumers.source.Source`.

    Where each shard begins is the sink's word alone; the offsets committed to the group are
    hints for lag dashboards. Troubles of the broker end a session and begin another, with
    pauses that grow; errors of the sink end `run`. Making one raises OSError for certificates
    that cannot be read.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: tuple[str, ...] | list[str],
        group: str,
        *,
        options: KafkaOptions | None = None,
        clients: KafkaClients = AIOKAFKA,
        rng: random.Random | None = None,
    ) -> None:
        self.bootstrap = bootstrap
        self.topics = tuple(topics)
        self.group = group
        self.options = options or KafkaOptions()
        self._clients = clients
        self._rng = rng or random.Random()
        self.options.security.arguments()  # what cannot be read is said at once
        self.counts = FetchCounts()
        self.n_sessions = 0
        self.last_error: str | None = None
        """Why the newest session ended, None while all is well."""
        self._hints: dict[int, int] = {}
        self._session: Session | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    async def run(self, sink: Sink) -> None:
        codecs.install(self.options.max_inflated_bytes)
        self._ended.clear()
        n_failures = 0
        try:
            while not self._stopping.is_set():
                n_records = self.counts.records
                try:
                    await self._run_session(sink)
                except (KafkaError, OSError, StalledError) as error:
                    n_failures = 1 if self.counts.records > n_records else n_failures + 1
                    self.last_error = f"{type(error).__name__}: {error}"
                    log.warning("consumer restarts", extra={"reason": self.last_error})
                    await self._pause(n_failures)
        except SinkError as error:
            raise (error.__cause__ or error) from None
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._stopping.set()
        await self._ended.wait()

    def reopen(self, partition: int) -> None:
        if self._session is not None:
            self._session.restart(f"shard {partition} is damaged")

    def commit_hint(self, partition: int, next_offset: int) -> None:
        self._hints[partition] = max(next_offset, self._hints.get(partition, 0))

    def lag(self) -> dict[int, int]:
        if self._session is None:
            return {}
        return self._session.lag()

    def is_caught_up(self) -> bool:
        if self._session is None or not self._session.was_assigned:
            return False
        positions = self._session.positions
        return positions.gate.is_set() and all(
            next_offset >= positions.first_ends[tp] for tp, next_offset in positions.next.items()
        )

    def shard_no(self, topic: str, partition: int) -> int:
        """Return the shard that a partition of one of the topics feeds."""
        return shard_no(self.topics, topic, partition)

    async def _run_session(self, sink: Sink) -> None:
        self.n_sessions += 1
        self._session = Session(
            self.bootstrap,
            self.group,
            self.topics,
            sink,
            self._hints,
            self.options,
            self.counts,
            clients=self._clients,
        )
        try:
            await self._session.run(self._stopping)
        finally:
            self._session = None

    async def _pause(self, n_failures: int) -> None:
        pause_s = min(self.options.max_backoff_s, 0.1 * 2 ** min(n_failures, 10))
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s * self._rng.uniform(0.5, 1))
        except TimeoutError:
            return
