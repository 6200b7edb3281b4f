"""Asks the group's coordinator which partitions have no owner.

A static member that comes back is given what it had, without a rebalance. Where it led the group
it does not learn that it still does (KIP-814; aiokafka speaks an older version), so that nobody
looks for partitions that are added to a topic from then on: they would be nobody's for ever.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.admin import DescribeGroupsRequest

STABLE = "Stable"


async def find_unowned(
    client: AIOKafkaClient,
    coordinator_id: int | None,
    group: str,
    member_id: str,
    topics: Collection[str],
) -> set[TopicPartition]:
    """Return the partitions of `topics` that a stable group has given to nobody, to the one of
    the members with this one's client id that has the least id; nothing to the others: one of
    them is enough to do something about it.

    Raises: KafkaError.
    """
    if coordinator_id is None:
        return set()
    try:
        answer: Any = await client.send(coordinator_id, DescribeGroupsRequest([group]))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return set()
    error_code, _, state, _, _, members = answer.groups[0][:6]
    alike = {id: client_id for id, client_id, *_ in members}
    if error_code or state != STABLE or member_id not in alike:
        return set()
    if member_id != min(id for id, client_id in alike.items() if client_id == alike[member_id]):
        return set()
    owned: set[TopicPartition] = set()
    for *_, assignment in members:
        owned |= {*ConsumerProtocolMemberAssignment.decode(assignment).partitions()}
    return {
        TopicPartition(topic, number)
        for topic in topics
        for number in client.cluster.partitions_for_topic(topic) or ()
    } - owned
