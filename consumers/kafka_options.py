"""What can be tuned in speaking to Kafka."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """How to speak to the cluster, and as whom."""

    protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""

    ssl_cafile: Path | None = None
    """Certificates to trust; None: those of the system. Host names are always checked."""

    sasl_mechanism: str = "PLAIN"
    """PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""

    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)

    def arguments(self) -> dict[str, Any]:
        """Return what aiokafka's clients take. Raises OSError for an unreadable `ssl_cafile`."""
        arguments: dict[str, Any] = {"security_protocol": self.protocol}
        if self.protocol.endswith("SSL"):
            arguments["ssl_context"] = ssl.create_default_context(cafile=self.ssl_cafile)
        if self.protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.sasl_username
            arguments["sasl_plain_password"] = self.sasl_password
        return arguments


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Options of a Kafka source; times in the unit of the name."""

    client_id: str = "tailrace"

    group_instance_id: str | None = None
    """Static membership: a member that comes back under this name within the session timeout
    keeps its partitions without a rebalance. Must be unique in the group."""

    session_timeout_ms: int = 45_000
    """The group takes the partitions of a member that is silent for this long."""

    heartbeat_interval_ms: int = 3_000

    rebalance_timeout_ms: int = 60_000
    """Longest that a rebalance waits for a member. A third of it is for flushing."""

    fetch_max_wait_ms: int = 10
    """Longest that a broker holds a fetch that finds nothing. While it holds one, new records of
    a partition that the fetch does not name wait, so this bounds freshness. Larger: fewer
    requests when idle."""

    max_partition_fetch_bytes: int = 512 << 10
    fetch_max_bytes: int = 8 << 20

    max_poll_records: int = 1_000
    """Most records taken in one go: bounds how long the event loop is held."""

    max_inflated_bytes: int = 32 << 20
    """Largest batch of records after decompression; a larger one halts its partition. One limit
    per process: the newest source's holds."""

    budget_bytes: int = 64 << 20
    """Pause fetching while this much is delivered and not yet applied, all partitions together."""

    on_data_gap: str = "stop"
    """What to do where retention has passed a shard: `stop` its partition, or `skip` to the
    start of the log and remember what was lost."""

    isolation_level: str = "read_committed"
    """Records of aborted transactions are never seen."""

    metadata_max_age_ms: int = 60_000
    """New topics and partitions are seen within this time."""

    commit_interval_s: float = 1.0
    """How often durable offsets are told to the broker. For lag dashboards alone."""

    probe_interval_s: float = 5.0
    """How often the ends of the partitions are asked for, apart from fetching."""

    stall_s: float = 30.0
    """Start a new consumer when a partition has records and none comes for this long."""

    max_backoff_s: float = 10.0
    """Longest pause before connecting again."""

    security: KafkaSecurity = KafkaSecurity()

    def client_arguments(self) -> dict[str, Any]:
        """Return the arguments that every client of the cluster takes."""
        return {
            "client_id": self.client_id,
            "metadata_max_age_ms": self.metadata_max_age_ms,
            **self.security.arguments(),
        }

    def consumer_arguments(self) -> dict[str, Any]:
        """Return the arguments of the consumer in the group."""
        return {
            **self.client_arguments(),
            "group_instance_id": self.group_instance_id,
            "session_timeout_ms": self.session_timeout_ms,
            "heartbeat_interval_ms": self.heartbeat_interval_ms,
            "rebalance_timeout_ms": self.rebalance_timeout_ms,
            "fetch_max_wait_ms": self.fetch_max_wait_ms,
            "fetch_max_bytes": self.fetch_max_bytes,
            "max_partition_fetch_bytes": self.max_partition_fetch_bytes,
            "isolation_level": self.isolation_level,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            # Opening a large shard may take minutes; the watchdog is ours.
            "max_poll_interval_ms": 3_600_000,
        }
