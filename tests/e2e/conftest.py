from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.brokers import ApacheBroker, Broker, MockBroker, run_mock_broker
from tests.kafka.brokers import apache_node
from tests.kafka.node import KafkaNode

__all__ = ["apache_node"]


@pytest.fixture
def mock_broker() -> Iterator[MockBroker]:
    """librdkafka's broker, in a process of its own."""
    with run_mock_broker() as mock:
        yield mock


@pytest.fixture
def apache_broker(apache_node: KafkaNode) -> ApacheBroker:
    return ApacheBroker(apache_node)


@pytest.fixture(params=["mock", "apache"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each of the two brokers."""
    found: Broker = request.getfixturevalue(f"{request.param}_broker")
    return found
