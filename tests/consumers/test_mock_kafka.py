from __future__ import annotations

import asyncio
import os
import signal

import pytest

from consumers.kafka import KafkaLog
from consumers.mock_kafka import MockBroker, MockBrokerProcess, main
from consumers.source import NewRecord


async def test_topics_have_the_partitions_asked_for() -> None:
    broker = MockBroker({"docs": 6})
    log = KafkaLog(broker.bootstrap, "docs")
    await log.start()
    assert log.n_partitions == 6
    await log.close()
    broker.close()
    broker.close()


async def test_a_broker_in_its_own_process_serves_and_ends() -> None:
    process = await MockBrokerProcess.start({"docs": 2})
    log = KafkaLog(process.bootstrap, "docs")
    assert await log.append([NewRecord(b"k", b"v", (), 1)]) == [(1, 0)]
    await log.close()
    await process.stop()
    await process.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_the_process_ends_when_its_parent_lets_go_of_the_pipe() -> None:
    process = await MockBrokerProcess.start({})
    assert process._process.stdin is not None
    process._process.stdin.close()
    async with asyncio.timeout(10):
        assert await process._process.wait() == 0


async def test_a_signal_ends_the_process_cleanly() -> None:
    process = await MockBrokerProcess.start({})
    os.kill(process.pid, signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await process._process.wait() == 0


@pytest.mark.parametrize("topic", [":4", "docs:many"])
def test_a_bad_topic_is_a_usage_error(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--topic", topic])
    assert ended.value.code == 2
    assert "NAME:PARTITIONS" in capsys.readouterr().err
