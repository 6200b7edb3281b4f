from __future__ import annotations

from tests.kafka.brokers import apache_kafka, apache_node, kafka, mock_kafka

__all__ = ["apache_kafka", "apache_node", "kafka", "mock_kafka"]
