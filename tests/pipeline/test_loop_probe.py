from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator

import pytest

from pipeline.loop_probe import LoopProbe
from pipeline.telemetry import Telemetry
from tests.pipeline.test_telemetry import value

LATE_S = 0.1
STALLS = 'tailrace_loop_stalls_total{{cause="{}"}} '


def messages(caplog: pytest.LogCaptureFixture, text: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == text]


async def first_late_beat(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    async with asyncio.timeout(10):
        while not (told := messages(caplog, "event loop was late")):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return told[0]


@pytest.fixture
async def probe() -> AsyncIterator[LoopProbe]:
    probe = LoopProbe(Telemetry(), late_s=LATE_S)
    probe.start()
    yield probe
    probe.stop()


def work_until_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """Keep the processor busy in the loop's thread."""
    end = time.monotonic() + 10
    while not messages(caplog, "event loop is late") and time.monotonic() < end:
        sum(range(1_000))


async def test_who_keeps_the_loop_busy_is_named_while_it_lasts(
    probe: LoopProbe, caplog: pytest.LogCaptureFixture
) -> None:
    work_until_noticed(caplog)
    late = await first_late_beat(caplog)
    told = messages(caplog, "event loop is late")[0]
    assert "work_until_noticed" in told.where  # type: ignore[attr-defined]
    assert late.worked_ms > 0  # type: ignore[attr-defined]
    assert value(probe.telemetry, STALLS.format(late.cause)) >= 1  # type: ignore[attr-defined]


async def test_a_loop_that_has_to_wait_is_told_apart(
    probe: LoopProbe, caplog: pytest.LogCaptureFixture
) -> None:
    end = time.monotonic() + 10
    while not messages(caplog, "event loop is late") and time.monotonic() < end:
        threading.Event().wait(LATE_S)
    late = await first_late_beat(caplog)
    assert late.cause == "waiting"  # type: ignore[attr-defined]


async def test_every_beat_is_counted_and_none_after_the_stop(probe: LoopProbe) -> None:
    count = "tailrace_loop_late_seconds_count "
    while value(probe.telemetry, count) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    probe.stop()
    n_beats = value(probe.telemetry, count)
    assert not [t for t in threading.enumerate() if t.name == "loop probe"]
    assert value(probe.telemetry, count) == n_beats
