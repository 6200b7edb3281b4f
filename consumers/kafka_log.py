"""Writes records to a Kafka topic; what it answers is durable there."""

from __future__ import annotations

import asyncio
import logging
from itertools import count

from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from consumers.kafka_client import AIOKAFKA, KafkaClients, Producer
from consumers.kafka_options import KafkaOptions
from consumers.partition import partition_of
from consumers.source import LogError, NewRecord
from index.errors import InvalidRequestError, OverloadError

log = logging.getLogger(__name__)

METADATA_S = 10.0
STOP_S = 5.0


class KafkaLog:
    """A log over one topic: acks=all, idempotent, zstd. Thread rule: the event loop's thread.

    After an error that an idempotent producer cannot get over, the next append makes a new one;
    records of the failed append may or may not be in the topic, which `LogError` says.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        options: KafkaOptions | None = None,
        linger_ms: int = 2,
        max_record_bytes: int = 1 << 20,
        max_pending_bytes: int = 64 << 20,
        clients: KafkaClients = AIOKAFKA,
    ) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self._options = options or KafkaOptions()
        self._clients = clients
        self._linger_ms = linger_ms
        self._max_record_bytes = max_record_bytes
        self._max_pending_bytes = max_pending_bytes
        self._pending_bytes = 0
        self._n_partitions = 0
        self._turn = count()
        self._producer: Producer | None = None
        self._starting = asyncio.Lock()
        self._is_closed = False

    @property
    def n_partitions(self) -> int:
        """Return how many partitions the topic has; 0 until `start`, or a first append."""
        return self._n_partitions

    def partition_of(self, key: bytes) -> int | None:
        """Return the partition of the records of this key; None until `start`, or an append."""
        return partition_of(key, self._n_partitions) if self._n_partitions else None

    async def start(self, *, n_partitions: int = 1) -> None:
        """Connect; make the topic with `n_partitions` where it is not there yet.

        Raises: LogError.
        """
        async with self._starting:
            if self._producer is None:
                await self._connect(n_partitions)

    async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        """Return (partition, offset) of each record once all replicas have all; see `Log`."""
        if self._is_closed:
            raise LogError(f"the log [{self.topic}] is closed")
        n_bytes = self._check_sizes(records)
        if self._pending_bytes and self._pending_bytes + n_bytes > self._max_pending_bytes:
            raise OverloadError(f"the log [{self.topic}] has {self._pending_bytes} bytes under way")
        await self.start()
        self._pending_bytes += n_bytes
        try:
            return await self._send(records)
        finally:
            self._pending_bytes -= n_bytes

    async def close(self) -> None:
        """Send what is under way and leave, at most some seconds."""
        self._is_closed = True
        await self._drop_producer(self._producer)

    def _check_sizes(self, records: list[NewRecord]) -> int:
        total = 0
        for record in records:
            n_bytes = len(record.key or b"") + len(record.value or b"") + 64
            if n_bytes > self._max_record_bytes:
                raise InvalidRequestError(
                    f"record of {n_bytes} bytes, at most {self._max_record_bytes} are allowed"
                )
            total += n_bytes
        return total

    async def _send(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        producer = self._producer
        assert producer is not None
        sent: list[asyncio.Future[RecordMetadata]] = []
        try:
            for record, partition in zip(records, self._places(records), strict=True):
                # aiokafka takes no record with neither key nor value
                empty = record.key is None and record.value is None
                sent.append(
                    await producer.send(
                        self.topic,
                        b"" if empty else record.value,
                        record.key,
                        partition,
                        headers=list(record.headers),
                    )
                )
            answers = await asyncio.gather(*sent)
        except MessageSizeTooLargeError as error:
            raise InvalidRequestError(f"record too large for the topic [{self.topic}]") from error
        except (KafkaError, OSError) as error:
            await asyncio.gather(*sent, return_exceptions=True)
            # Its sequence numbers may be broken for good: a new producer begins new ones.
            await self._drop_producer(producer)
            raise LogError(f"the log [{self.topic}] did not take a write: {error!r}") from error
        return [(answer.partition, answer.offset) for answer in answers]

    def _places(self, records: list[NewRecord]) -> list[int]:
        assert self._producer is not None
        known = self._producer.known_partitions(self.topic)
        n_partitions = self._n_partitions = len(known) or self._n_partitions
        turn = next(self._turn) % n_partitions
        places = []
        for record in records:
            if record.partition is not None:
                if not 0 <= record.partition < n_partitions:
                    raise InvalidRequestError(
                        f"partition {record.partition} of the log [{self.topic}] does not exist"
                    )
                places.append(record.partition)
            elif record.key is not None:
                places.append(partition_of(record.key, n_partitions))
            else:
                places.append(turn)
        return places

    async def _connect(self, n_partitions: int) -> None:
        producer = self._clients.producer(
            self.bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            linger_ms=self._linger_ms,
            max_batch_size=256 << 10,
            max_request_size=self._max_record_bytes + (64 << 10),
            **self._options.client_arguments(),
        )
        try:
            await producer.start()
            partitions = await self._find_partitions(producer, n_partitions)
        except (KafkaError, OSError) as error:
            await self._drop_producer(producer)
            raise LogError(f"cannot reach the log [{self.topic}]: {error!r}") from error
        if self._is_closed:  # meanwhile: nobody would close this one
            await self._drop_producer(producer)
            raise LogError(f"the log [{self.topic}] is closed")
        self._producer, self._n_partitions = producer, len(partitions)

    async def _find_partitions(self, producer: Producer, n_partitions: int) -> set[int]:
        """Ask for the topic; asking makes it on most brokers, on the others it is made here."""
        try:
            return set(await asyncio.wait_for(producer.partitions_for(self.topic), METADATA_S))
        except (KafkaError, TimeoutError) as error:
            log.info("topic not found", extra={"topic": self.topic, "reason": repr(error)})
        await self._clients.create_topic(
            self.bootstrap, self.topic, n_partitions, **self._options.client_arguments()
        )
        return set(await asyncio.wait_for(producer.partitions_for(self.topic), METADATA_S))

    async def _drop_producer(self, producer: Producer | None) -> None:
        if self._producer is producer:
            self._producer = None
        if producer is None:
            return
        try:
            await asyncio.wait_for(producer.stop(), STOP_S)
        except (KafkaError, OSError) as error:
            log.info("producer not ended cleanly", extra={"reason": repr(error)})
