"""A Kafka-protocol broker without Kafka: librdkafka's, for demos and tests.

It speaks the protocol over loopback TCP and keeps everything in memory, at most 5 MiB or
100,000 batches per partition: the oldest are dropped. What it lacks: transactions, lookups by
time, the admin protocol, and a group whose members join at the same moment.

`python -m consumers.mock_kafka --topic docs:4` runs one in a process of its own, prints its
bootstrap servers in one line, and ends with SIGTERM, SIGINT, or when the parent closes the pipe
that is its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from typing import Any, Final

START_S: Final = 30.0
STOP_S: Final = 5.0
REPLICAS: Final = 1

_POINTER = ctypes.c_void_p
_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        [_POINTER, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_new": (
        _POINTER,
        [ctypes.c_int, _POINTER, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_mock_topic_create": (
        ctypes.c_int,
        [_POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    ),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [_POINTER, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_partition_set_leader": (
        ctypes.c_int,
        [_POINTER, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32],
    ),
}


def _load_library() -> ctypes.CDLL:
    """Load the librdkafka that confluent-kafka brings along, and declare what is used of it."""
    import confluent_kafka  # noqa: F401  maps the library into this process

    with open("/proc/self/maps", encoding="utf-8") as maps:
        found = re.search(r"(/\S*librdkafka\S*\.so\S*)", maps.read())
    if found is None:
        raise RuntimeError("confluent-kafka has no librdkafka of its own here")
    library = ctypes.CDLL(found.group(1))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockBroker:
    """One cluster in this process; its threads are librdkafka's own."""

    def __init__(self, topics: dict[str, int] | None = None, *, n_brokers: int = 1) -> None:
        """Start at once. `topics` gives the partitions of each topic to make."""
        self._library = _load_library()
        reason = ctypes.create_string_buffer(512)
        configuration = self._library.rd_kafka_conf_new()
        # It would warn that it has no cluster to connect to: it is the cluster.
        self._library.rd_kafka_conf_set(configuration, b"log_level", b"0", reason, len(reason))
        producer = 0
        self._client = self._library.rd_kafka_new(producer, configuration, reason, len(reason))
        if not self._client:
            raise RuntimeError(f"librdkafka: {reason.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, n_brokers)
        self._n_replicas = min(REPLICAS, n_brokers)
        # A group would wait three seconds for more members.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        for topic, n_partitions in (topics or {}).items():
            self.create_topic(topic, n_partitions)

    @property
    def bootstrap(self) -> str:
        servers: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return servers.decode()

    def create_topic(self, topic: str, n_partitions: int) -> None:
        """Make a topic. One that nobody made gets 4 partitions when it is first asked for."""
        failed = self._library.rd_kafka_mock_topic_create(
            self._cluster, topic.encode(), n_partitions, self._n_replicas
        )
        if failed:
            raise RuntimeError(f"topic {topic} not made: librdkafka error {failed}")

    def push_errors(self, api_key: int, *errors: int) -> None:
        """Answer the next requests of one kind with these error codes; -195 drops the connection.

        Keys: 0 produce, 1 fetch, 2 list offsets, 3 metadata, 8 commit, 9 committed,
        10 coordinator, 11 join, 12 heartbeat, 14 sync.
        """
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, api_key, len(errors), codes
        )

    def set_down(self) -> None:
        """Close all connections and refuse new ones."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, -1)

    def set_up(self) -> None:
        self._library.rd_kafka_mock_broker_set_up(self._cluster, -1)

    def close(self) -> None:
        """End the cluster and its threads; idempotent."""
        cluster, self._cluster = self._cluster, None
        if cluster:
            self._library.rd_kafka_mock_cluster_destroy(cluster)
            self._library.rd_kafka_destroy(self._client)


class MockBrokerProcess:
    """A `MockBroker` in a process of its own, which ends with this one."""

    def __init__(self, process: asyncio.subprocess.Process, bootstrap: str) -> None:
        self._process = process
        self.bootstrap = bootstrap

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, topics: dict[str, int]) -> MockBrokerProcess:
        """Start it and wait until it listens. Raises: RuntimeError, TimeoutError."""
        arguments = [f"--topic={topic}:{n}" for topic, n in topics.items()]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "consumers.mock_kafka",
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # the terminal's Ctrl-C is for us; we end it in our order
        )
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_S)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if not line:
            raise RuntimeError(f"the broker's process ended with {await process.wait()}")
        return cls(process, line.decode().strip())

    async def stop(self) -> None:
        """End the process and wait for it, by force after some seconds; idempotent."""
        if self._process.returncode is not None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def main(arguments: list[str] | None = None) -> int:
    """Run a broker until told to end."""
    parser = argparse.ArgumentParser(prog="python -m consumers.mock_kafka", description=__doc__)
    parser.add_argument("--topic", action="append", default=[], metavar="NAME:PARTITIONS")
    options = parser.parse_args(arguments)
    topics: dict[str, int] = {}
    for topic in options.topic:
        name, _, n_partitions = topic.partition(":")
        if not name or not (n_partitions or "1").isdecimal():
            parser.error(f"--topic takes NAME:PARTITIONS, not {topic!r}")
        topics[name] = int(n_partitions or 1)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    broker = MockBroker(topics)
    sys.stdout.write(broker.bootstrap + "\n")
    sys.stdout.flush()
    if _has_parent_at_input():
        threading.Thread(target=_wait_for_end_of_input, args=(ended,), daemon=True).start()
    while not ended.wait(1.0):
        pass
    broker.close()
    return 0


def _has_parent_at_input() -> bool:
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _wait_for_end_of_input(ended: threading.Event) -> None:
    """The parent holds the other end of the pipe, so that its death is the end of ours."""
    while os.read(0, 4096):
        pass
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
