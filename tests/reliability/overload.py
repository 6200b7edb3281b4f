"""A server under more load than it can take: it refuses, its memory stays, it loses nothing.

A case is a second of load, against a real process with small bounds on loopback. Every answer
must be 200, 429 with `Retry-After`, or 503; memory of the second half may be little above the
first; what was acknowledged is there afterwards; and then it takes everything again.
"""

from __future__ import annotations

import asyncio
import re
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from tests.face.process import Running, start
from tests.reliability.overload_load import INDEX, Load, Memory, Seen
from tests.reliability.program import Program, Run, Tally, Violation

BOUNDS = {
    "TAILRACE_STORAGE__MEMTABLE_BYTES": str(4 << 20),
    "TAILRACE_PIPELINE__MAX_WAITING_SEARCHES": "16",
    "TAILRACE_PIPELINE__MAX_WRITE_BYTES": str(1 << 20),
    "TAILRACE_PIPELINE__MAX_BACKLOG_BYTES": str(2 << 20),
    "TAILRACE_PIPELINE__MAX_LIVE_BYTES": str(2 << 20),
    "TAILRACE_LIMITS__IN_FLIGHT_BYTES": str(12 << 20),
    "TAILRACE_LIMITS__REQUESTS": "48",
    "TAILRACE_LIMITS__STUCK_S": "3",
    "MALLOC_ARENA_MAX": "2",
}
WARM_UP = 0.3
GROWTH = 1.1
GROWTH_BYTES = 48 << 20
"""What the second half may take more: caches fill, and merges are as large as they come."""
RECOVERY_S = 15.0
LATE_TEXT = "event loop was late"
LATE = re.compile(rf"ERROR .*{LATE_TEXT}.*late_ms=(\d+) worked_ms=(\d+) cause=work")


def overload(seconds: float, seed: int) -> dict[str, Any]:
    """Load a server of its own; return what is worth telling. Raises: AssertionError."""
    with tempfile.TemporaryDirectory(prefix="tailrace-overload-") as folder:
        arguments = ("serve", "--data", f"{folder}/data")
        with start(*arguments, cwd=Path(folder), **BOUNDS) as server:
            server.wait_ready()
            server.call("PUT", f"/{INDEX}")
            load, memory = Load(server.url, seed), Memory(server.process.pid)
            asyncio.run(_load(load, memory, seconds))
            told = check_answers(load.seen) | check_memory(memory)
            wait_recovered(server)
            check_acknowledged(server, load.seen)
            told |= check_log(server)
            assert server.stop(signal.SIGTERM) == 0, f"ended badly: {server.errors()}"
    return told


async def _load(load: Load, memory: Memory, seconds: float) -> None:
    watching = asyncio.create_task(memory.watch())
    await load.run(seconds)
    watching.cancel()


def check_answers(seen: Seen) -> dict[str, Any]:
    assert not seen.wrong, f"{len(seen.wrong)} wrong answers: {seen.wrong[:5]}"
    assert seen.statuses[200], f"nothing was answered: {seen.statuses}"
    assert seen.statuses[429], f"nothing was refused, this is no overload: {seen.statuses}"
    return {f"answers {status}": n for status, n in sorted(seen.statuses.items())}


def check_memory(memory: Memory) -> dict[str, Any]:
    first, second = memory.halves(WARM_UP)
    most = first * GROWTH + GROWTH_BYTES
    assert second <= most, f"memory grew from {first >> 20} to {second >> 20} MiB"
    return {"MiB of the first half": first >> 20, "MiB of the second half": second >> 20}


def wait_recovered(server: Running) -> None:
    """The load has ended: everything is taken again, and nothing is held any more."""
    deadline = time.monotonic() + RECOVERY_S
    while not is_idle(server):
        assert time.monotonic() < deadline, f"not recovered: {in_flight(server)}"
        time.sleep(0.1)
    server.call("POST", f"/{INDEX}/_refresh")
    server.call("PUT", f"/{INDEX}/_doc/afterwards?refresh=true", {"n": -1})
    assert server.call("GET", f"/{INDEX}/_doc/afterwards")["found"]


def in_flight(server: Running) -> dict[str, float]:
    wanted = ("tailrace_in_flight_bytes", "tailrace_waiting_searches", "tailrace_backlog_bytes")
    lines = [line for line in server.text("/metrics").splitlines() if line.startswith(wanted)]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def is_idle(server: Running) -> bool:
    return not any(in_flight(server).values())


def check_acknowledged(server: Running, seen: Seen) -> None:
    keys = sorted(seen.acknowledged)
    for first in range(0, len(keys), 500):
        page = keys[first : first + 500]
        answer = server.call("POST", f"/{INDEX}/_mget", {"ids": page})
        for key, document in zip(page, answer["docs"], strict=True):
            assert document["found"], f"{key} was acknowledged and is not there"
            n, promised = document["_source"]["n"], seen.acknowledged[key]
            assert n >= promised, f"{key} holds {n}, but {promised} was acknowledged"
    total = server.call("GET", f"/{INDEX}/_count")["count"]
    assert total >= len(keys), f"{total} documents are searchable, {len(keys)} were acknowledged"


def check_log(server: Running) -> dict[str, Any]:
    """Return how often the event loop was late. Raises: AssertionError where it was for long, or
    where anything else went wrong."""
    stalls = {
        line.partition('cause="')[2].partition('"')[0]: int(float(line.rsplit(" ", 1)[1]))
        for line in server.text("/metrics").splitlines()
        if line.startswith("tailrace_loop_stalls_total")
    }
    log = server.log_text()
    grave = LATE.findall(log)
    assert not grave, f"the event loop was busy with one thing: (late ms, worked ms) {grave}"
    errors = [line for line in log.splitlines() if " ERROR " in line and LATE_TEXT not in line]
    assert not errors, f"{len(errors)} errors were logged: {errors[:3]}"
    return {f"loop late by {cause}": n for cause, n in stalls.items()}


def replay(case: str) -> None:
    """`case`: SEED.SECONDS. Raises: Violation."""
    seed, seconds = map(int, case.split("."))
    try:
        overload(seconds, seed)
    except AssertionError as error:
        raise Violation(case, str(error)) from error


def run(asked: Run) -> Tally:
    tally = Tally()
    try:
        tally.notes |= overload(asked.size, asked.seed)
    except AssertionError as error:
        raise Violation(f"{asked.seed}.{asked.size}", str(error)) from error
    tally.n_cases = asked.size
    return tally


PROGRAM = Program(
    name="overload",
    counts="seconds of load",
    fast=0,
    deep=600,
    run=run,
    replay=replay,
    deep_parts=1,
)

if __name__ == "__main__":
    print(orjson.dumps(overload(20, 1)).decode())
