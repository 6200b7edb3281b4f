"""The servers of a group: each has a data directory and a port, and a process now and then."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from tests.e2e.servers import Server
from tests.face.process import Running, free_port
from tests.reliability.kills_launch import Launch, Process
from tests.reliability.kills_points import ORDER_VARIABLE
from tests.reliability.kills_topic import EVENTS, Topic
from tests.reliability.program import Violation

LOCAL = "local"
"""The index on an embedded log, which every server has for itself."""

BUSY = {
    "TAILRACE_PIPELINE__FLUSH_AGE_S": "0.6",
    "TAILRACE_STORAGE__MEMTABLE_DOCS": "60",
    "TAILRACE_STORAGE__MERGE_FACTOR": "2",
    "TAILRACE_INDEXES__EVENTS__SOURCE__METADATA_MAX_AGE_S": "2",
}
"""Flushes and merges are under way all the time, so that kills hit them."""

WITH_LOCAL = {
    "TAILRACE_INDEXES__LOCAL__SOURCE__TYPE": "log",
    "TAILRACE_INDEXES__LOCAL__SOURCE__PARTITIONS": "1",
}

ANSWER_S = 60.0
END_S = 20.0


def state_of(pid: int) -> str:
    """Return the letter that the system has for what a process does: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Member:
    """One server of the group. Calls that block are made in threads."""

    def __init__(
        self,
        name: str,
        folder: Path,
        launch: Launch,
        bootstrap: str,
        *,
        data: Path | None = None,
        **variables: str,
    ) -> None:
        """`data`: None for a directory of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.folder = folder
        self.data = data or folder / "data"
        self.log = folder / "stderr.txt"
        self.order = folder / "order"
        self.port = free_port()
        self.process: Process | None = None
        self.is_stopped = False
        """Whether SIGSTOP holds it."""
        self._launch = launch
        self._bootstrap = bootstrap
        self._variables = {**BUSY, ORDER_VARIABLE: str(self.order), "TMPDIR": str(folder)}
        self._variables |= variables

    def __str__(self) -> str:
        return self.name

    @property
    def server(self) -> Server:
        assert self.process is not None
        return Server(Running(cast(Any, self.process), self.port, self.log), self.data)

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, order: str = "") -> None:
        """Start it; `order` says where it has to end again, see kills_points.py."""
        assert not self.is_alive
        self.order.unlink(missing_ok=True)
        if order:
            self.order.write_text(order)
        arguments = ["serve", "--data", str(self.data), "--port", str(self.port)]
        arguments += ["--kafka", self._bootstrap, "--topic", EVENTS]
        self.process = self._launch(arguments, self.log, self._variables)

    def give_order(self, order: str) -> None:
        self.order.write_text(order)

    def send(self, number: int) -> None:
        if self.is_alive:
            assert self.process is not None
            self.process.send_signal(number)
            self.is_stopped = number == signal.SIGSTOP

    async def wait_end(self, timeout_s: float) -> int | None:
        """Return how it ended, None where it has not."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return self.process.poll()

    async def wait_held(self, timeout_s: float) -> bool:
        """Return whether it has stopped itself at a place."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_s
        while self.is_alive and time.monotonic() < deadline:
            if state_of(self.process.pid) == "T":
                self.is_stopped = True
                return True
            await asyncio.sleep(0.02)
        return False

    async def kill(self) -> None:
        if self.process is None:
            return
        self.send(signal.SIGKILL)
        await self.wait_end(END_S)
        self.is_stopped = False

    async def wait_answer(self) -> float | None:
        """Return how many seconds pass until it answers a count over its shards; None where it
        ends before."""
        process, began = self.process, time.monotonic()
        while process is self.process and self.is_alive:
            try:
                answer = await self.server.call("GET", f"/{EVENTS}/_count")
                if answer["_shards"]["total"]:
                    return time.monotonic() - began
            except OSError:
                pass
            if time.monotonic() - began > ANSWER_S and not self.is_stopped:
                raise AssertionError(f"{self} does not answer: {self.errors()}")
            await asyncio.sleep(0.05)
        return None

    def stats(self) -> dict[str, Any] | None:
        """Return the stats of its Kafka index, None where it does not answer. Blocks."""
        try:
            return self.server.stats(EVENTS)
        except OSError:
            return None

    def stats_when_ready(self) -> dict[str, Any] | None:
        """Return its stats, None where an index of it has not caught up. Blocks."""
        try:
            self.server.running.text("/readyz")
        except OSError:
            return None
        return self.stats()

    def errors(self) -> str:
        return self.log.read_text()[-6_000:] if self.log.exists() else ""


class Group:
    """The members, and what is asked of them together."""

    def __init__(self, members: list[Member], case: Callable[[], str]) -> None:
        self.members = members
        self._case = case

    def check_alive(self) -> None:
        """Raises: Violation, where one has ended that nobody ended."""
        for member in self.members:
            if member.process is not None and member.process.poll() is not None:
                reason = f"{member} ended with {member.process.poll()}: {member.errors()}"
                raise Violation(self._case(), reason)

    async def wait_quiet(self, topic: Topic, n_partitions: int, within_s: float) -> None:
        """Return when the members own each partition once and have applied all that there is.

        A write that nobody waited for may still come. Raises: Violation.
        """
        deadline = time.monotonic() + within_s
        while True:
            self.check_alive()
            await topic.read_on(n_partitions)
            stats = await asyncio.gather(
                *(asyncio.to_thread(member.stats_when_ready) for member in self.members)
            )
            known = [each for each in stats if each is not None]
            owned = [each["n_shards"] for each in known]
            applied = sum(each["tailrace"]["next_offset"] for each in known)
            expected = sum(topic.next.values())
            if len(known) == len(stats) and sum(owned) == n_partitions and applied == expected:
                return
            if time.monotonic() > deadline:
                errors = "\n".join(f"{member}: {member.errors()}" for member in self.members)
                raise Violation(
                    self._case(),
                    f"not caught up within {within_s:.0f} s: {owned} of {n_partitions} "
                    f"partitions, {applied} of {expected} offsets\n{errors}",
                )
            await asyncio.sleep(0.1)

    async def end(self) -> None:
        for member in self.members:
            await member.kill()
