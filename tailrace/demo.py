"""`tailrace demo`: a broker, a producer and a server, each a process, all gone at the end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from index.errors import TailraceError
from tailrace.children import run_module
from tailrace.listener import listen
from tailrace.replay import ADVISORIES, PACKAGES
from tailrace.settings import Loaded, load_settings

PARTITIONS = 2
FIRST_WORD = "python"

MAPPINGS: dict[str, dict[str, Any]] = {
    PACKAGES: {
        "properties": {
            "title": {"type": "text", "analyzer": "english"},
            "text": {"type": "text", "analyzer": "english"},
            "section": {"type": "keyword"},
            "tags": {"type": "keyword"},
            "size": {"type": "long"},
            "seen": {"type": "date"},
        }
    },
    ADVISORIES: {
        "properties": {
            "title": {"type": "text", "analyzer": "english"},
            "text": {"type": "text", "analyzer": "english"},
            "dir": {"type": "keyword"},
            "ts": {"type": "date"},
            "seen": {"type": "date"},
        }
    },
}

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class DemoError(TailraceError):
    """A part of the demo did not start, or ended by itself."""


def run_demo(*, port: str | None, rate: float) -> int:
    """Run until interrupted; return the exit code.

    Raises: ConfigError, PortTakenError, DemoError.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # An interrupt between making the folder and owning it would leave it behind.
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        with tempfile.TemporaryDirectory(prefix="tailrace-demo-") as data:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
            return _run(Path(data), port, rate)
    except KeyboardInterrupt:
        return 0  # before the server took over the signals; everything is undone all the same


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(data: Path, port: str | None, rate: float) -> int:
    server = configure(data, port, bootstrap="127.0.0.1:1").settings.server
    with ExitStack() as stack:
        listener = stack.enter_context(listen(server.host, server.port))
        topics = [part for topic in MAPPINGS for part in ("--topic", f"{topic}:{PARTITIONS}")]
        broker = stack.enter_context(run_module("consumers.mock_kafka", topics))
        from tailrace.warm import warm_kernels

        warm_kernels()
        from tailrace.app import serve

        bootstrap = read_bootstrap(broker)
        producing = ["--bootstrap", bootstrap, "--rate", str(rate)]
        producer = stack.enter_context(run_module("tailrace.replay", producing))
        watched = {"broker": broker, "producer": producer}

        async def on_ready(url: str) -> None:
            print(describe(url, bootstrap, rate), flush=True)
            watch = asyncio.create_task(_watch(watched))
            stack.callback(watch.cancel)

        return serve(configure(data, port, bootstrap).settings, listener, on_ready)


def configure(data: Path, port: str | None, bootstrap: str) -> Loaded:
    """Return the settings of the demo's server; the environment may say more."""
    flags: dict[str, tuple[tuple[str, ...], Any]] = {
        "--port": (("server", "port"), port),
        "demo data": (("storage", "data"), str(data)),
        "demo log level": (("telemetry", "log_level"), "warning"),
    }
    for topic, mapping in MAPPINGS.items():
        source = {"type": "kafka", "bootstrap": bootstrap, "topics": [topic]}
        flags[f"demo source {topic}"] = (("indexes", topic, "source"), source)
        flags[f"demo mapping {topic}"] = (("indexes", topic, "mapping"), mapping)
    return load_settings(flags=flags)


def read_bootstrap(broker: subprocess.Popen[str]) -> str:
    """Return the address that the broker prints when it is ready."""
    assert broker.stdout is not None
    line = broker.stdout.readline().strip()
    if not line:
        raise DemoError(f"the broker ended with {broker.wait()} before it was ready")
    return line.split()[-1]


def describe(url: str, bootstrap: str, rate: float) -> str:
    """Return what to try, one line each."""
    return "\n".join(
        [
            "",
            f"  Tailrace reads {rate:g} changes a second from Kafka at {bootstrap.split(',')[0]}.",
            "",
            f"  the page   {url}/",
            f"  one search curl '{url}/{PACKAGES}/_search?q={FIRST_WORD}&size=3&pretty'",
            f"  live       {program()} tail --url {url} {PACKAGES} {FIRST_WORD}",
            "",
            "  Ctrl-C ends it and leaves nothing behind.",
            "",
        ]
    )


def program() -> str:
    """Return how this program was called, so that the printed line works as it stands."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m tailrace"
    return str(called) if called.name == "tailrace" else "tailrace"


async def _watch(children: dict[str, subprocess.Popen[str]]) -> None:
    """Say it when a child ends by itself; the server goes on with what it has."""
    while children:
        await asyncio.sleep(0.5)
        for name in list(children):
            if children[name].poll() is not None:
                code = children.pop(name).returncode
                print(f"tailrace: the demo's {name} ended with {code}", file=sys.stderr)
