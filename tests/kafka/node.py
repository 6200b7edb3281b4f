"""One node of Apache Kafka (KRaft), started from the jars in .kafka/libs on free ports."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

LIBS = Path(__file__).parents[2] / ".kafka" / "libs"
START_S = 60.0
STOP_S = 20.0

PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={directory}/logs
num.partitions=4
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.backoff.ms=100
num.network.threads=2
num.io.threads=2
"""

LOGGING = """\
status = error
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c %m%n
"""


def missing() -> str | None:
    """Return why no node can be started here, with the line that mends it; None where one can."""
    if shutil.which("java") is None:
        return "no Java: apt-get install openjdk-17-jre-headless"
    if not any(LIBS.glob("kafka_*.jar")):
        return "no Apache Kafka in .kafka/libs: run .ci/fetch-kafka"
    return None


class KafkaNode:
    """Requires: `missing()` is None. `start` and `stop` block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self._controller_port = _free_ports(2)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log_text(self) -> str:
        return (self.directory / "node.log").read_text(errors="replace")

    def start(self) -> None:
        """Start the node and wait until it listens; formats its directory the first time."""
        if not (self.directory / "server.properties").exists():
            self._format()
        with (self.directory / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", "server.properties"),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while not _is_listening(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Apache Kafka did not start:\n{self.log_text[-4000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order, by force after some seconds; idempotent."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send_signal(self, number: int) -> None:
        """Hold it with SIGSTOP, let it go on with SIGCONT."""
        if self._process is not None:
            self._process.send_signal(number)

    def _format(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "log4j2.properties").write_text(LOGGING)
        properties = PROPERTIES.format(
            port=self.port, controller_port=self._controller_port, directory=self.directory
        )
        (self.directory / "server.properties").write_text(properties)
        tool = "kafka.tools.StorageTool"
        cluster_id = subprocess.run(
            self._java(tool, "random-uuid"), cwd=self.directory, check=True, capture_output=True
        ).stdout.decode()
        formatted = subprocess.run(
            self._java(tool, "format", "-t", cluster_id.strip(), "-c", "server.properties"),
            cwd=self.directory,
            capture_output=True,
            text=True,
        )
        if formatted.returncode != 0:
            raise RuntimeError(f"Apache Kafka's directory not formatted:\n{formatted.stderr}")

    def _java(self, *arguments: str) -> list[str]:
        return [
            "java",
            "-Xms128m",
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dlog4j2.configurationFile=log4j2.properties",
            "-cp",
            f"{LIBS}/*",
            *arguments,
        ]


def _free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
