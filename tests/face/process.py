"""`tailrace` as its users run it: a process of its own, on a free port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_S = 120.0
"""The first start of an installation compiles the kernels."""

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tailrace", *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=START_S,
    )


class Running:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process = process
        self._log = log
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return str(answer.read().decode())

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition of the outside; fail loudly when it never holds."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.errors()}")
            try:
                if holds():
                    return
            except OSError:  # not listening yet, or not answering yet, or not ready
                pass
            time.sleep(0.05)
        raise AssertionError(f"waited in vain: {self.errors()}")

    def errors(self) -> str:
        """Return the end of what it wrote to stderr."""
        return self._log.read_text()[-4_000:]

    def log_text(self) -> str:
        """Return all that it wrote to stderr."""
        return self._log.read_text()

    def wait_ready(self) -> None:
        self.wait_until(lambda: self.text("/readyz") is not None)

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=15)


@contextmanager
def start(
    *arguments: str, cwd: Path, port: int | None = None, **variables: str
) -> Iterator[Running]:
    """Start a server and leave nothing of it, whatever the test does."""
    port = port or free_port()
    log = cwd / f"stderr-{port}.txt"
    with log.open("a") as errors:
        process = subprocess.Popen(
            command(*arguments, "--port", str(port)),
            cwd=cwd,
            env=environment(TMPDIR=str(cwd), **variables),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield Running(process, port, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
