"""Makes the feed of each index: its log, its source and its dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.events import NewRecord
from pipeline.feed import Feed, FeedRequest, Log
from tailrace.member import read_member_id
from tailrace.sections import IndexSection, SourceSection

if TYPE_CHECKING:
    from consumers.kafka_options import KafkaOptions

DEAD_LETTERS = ".dlq"
SOURCE_TOPIC = "tailrace.source.topic"
HEARTBEATS_PER_SESSION = 15


class Feeds:
    """Opens feeds as the configuration has them; an index it does not name gets a log of its own.

    Thread rule: the event loop's thread.
    """

    def __init__(
        self, sections: Mapping[str, IndexSection], data: Path, *, max_backlog_bytes: int
    ) -> None:
        self._sections = sections
        self._data = data
        self._max_backlog_bytes = max_backlog_bytes

    async def open(self, request: FeedRequest) -> Feed:
        """Return the feed of one index. Raises: CorruptionError, StorageError, OSError."""
        section = self._sections.get(request.index)
        if section is None or section.source.type == "log":
            return await self._open_embedded(request)
        return self._open_kafka(request, section.source)

    async def _open_embedded(self, request: FeedRequest) -> Feed:
        from consumers.log import EmbeddedLog, EmbeddedSource

        open_log = partial(EmbeddedLog, open_directory=request.open_directory)
        log = await asyncio.to_thread(
            open_log, request.path / "log", request.n_shards, topic=request.index
        )
        name = f"{request.index}{DEAD_LETTERS}"
        try:
            dead_letters = await asyncio.to_thread(open_log, request.path / "dlq", 1, topic=name)
        except BaseException:
            await log.close()
            raise
        source = EmbeddedSource(log, budget_bytes=self._max_backlog_bytes)
        return Feed(
            log=log,
            dead_letters=dead_letters,
            source=source,
            topics=(request.index,),
            is_local=True,
        )

    def _open_kafka(self, request: FeedRequest, source: SourceSection) -> Feed:
        from consumers.kafka import KafkaLog, KafkaSource

        topics = tuple(source.topics or [request.index])
        options = kafka_options(
            source, self._max_backlog_bytes, group_instance_id=read_member_id(self._data)
        )
        letters = {
            topic: KafkaLog(source.bootstrap, f"{topic}{DEAD_LETTERS}", options=options)
            for topic in topics
        }
        group = source.group or f"tailrace-{request.index}"
        return Feed(
            log=KafkaLog(source.bootstrap, topics[0], options=options),
            dead_letters=DeadLetters(letters),
            source=KafkaSource(source.bootstrap, topics, group, options=options),
            topics=topics,
            is_shared=True,
        )


def kafka_options(
    source: SourceSection, budget_bytes: int, *, group_instance_id: str | None = None
) -> KafkaOptions:
    """Return what the section says about speaking to Kafka."""
    from consumers.kafka_options import KafkaOptions, KafkaSecurity

    password = source.sasl_password
    security = KafkaSecurity(
        protocol=source.security_protocol,
        ssl_cafile=source.ssl_cafile,
        sasl_mechanism=source.sasl_mechanism,
        sasl_username=source.sasl_username,
        sasl_password=password.get_secret_value() if password is not None else None,
    )
    session_ms = round(source.session_timeout_s * 1000)
    return KafkaOptions(
        security=security,
        on_data_gap=source.on_data_gap,
        budget_bytes=budget_bytes,
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // HEARTBEATS_PER_SESSION,
        metadata_max_age_ms=round(source.metadata_max_age_s * 1000),
        group_instance_id=group_instance_id,
    )


class DeadLetters:
    """A log that puts each dead letter into the one of the topic it came from."""

    def __init__(self, logs: Mapping[str, Log]) -> None:
        self._logs = logs

    @property
    def n_partitions(self) -> int:
        return 1

    def partition_of(self, key: bytes) -> None:
        """Return None: the topic that a letter came from decides."""

    async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        """Return the places in the order of `records`, all durable."""
        groups: dict[str, list[int]] = {}
        for number, record in enumerate(records):
            groups.setdefault(self._topic_of(record), []).append(number)
        places: dict[int, tuple[int, int]] = {}
        for topic, numbers in groups.items():
            appended = await self._logs[topic].append([records[number] for number in numbers])
            places.update(zip(numbers, appended, strict=True))
        return [places[number] for number in range(len(records))]

    async def close(self) -> None:
        await asyncio.gather(*(log.close() for log in self._logs.values()))

    def _topic_of(self, record: NewRecord) -> str:
        # Ours are the last: a dead letter may have been sent again.
        for name, value in reversed(record.headers):
            if name == SOURCE_TOPIC and value is not None and value.decode() in self._logs:
                return value.decode()
        return next(iter(self._logs))
