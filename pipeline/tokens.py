"""Tokens: how much of the log a reader has seen, as text that survives a URL.

A token is a map shard -> next offset, written `0-15.1-20`; an empty map is `-`. A place in a
Kafka topic, `topic:partition:offset`, is understood too: it means "past that record".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from index.errors import InvalidRequestError

Vector = dict[int, int]
"""Shard -> offset after the last one seen."""

NOTHING = "-"
"""The token of who has seen nothing."""
SHARDS_PER_TOPIC = 65_536
"""Shard number = place of the topic * this + partition."""

_PART = re.compile(r"(\d{1,10})-(\d{1,19})", re.ASCII)
_PLACE = re.compile(r"([A-Za-z0-9._-]{1,255}):(\d{1,10}):(\d{1,19})", re.ASCII)


def encode_token(vector: Mapping[int, int]) -> str:
    """Return the vector as text; shards that have seen nothing are left out."""
    parts = [f"{shard}-{offset}" for shard, offset in sorted(vector.items()) if offset > 0]
    return ".".join(parts) or NOTHING


def parse_token(token: str, topics: Sequence[str] = ()) -> Vector:
    """Return the vector that a token or a `topic:partition:offset` stands for.

    `topics`: those of the index in their order, whose partitions are numbered one topic after
    the other; empty: whatever topic is named, its partitions are the shards.
    Raises: InvalidRequestError.
    """
    if token == NOTHING:
        return {}
    place = _PLACE.fullmatch(token)
    if place is not None:
        first = _first_shard(place[1], topics)
        return {first + int(place[2]): int(place[3]) + 1}
    vector: Vector = {}
    for part in token.split("."):
        match = _PART.fullmatch(part)
        if match is None:
            raise InvalidRequestError(f"not a token or topic:partition:offset: {token[:80]!r}")
        vector[int(match[1])] = int(match[2])
    return vector


def _first_shard(topic: str, topics: Sequence[str]) -> int:
    if topics and topic not in topics:
        raise InvalidRequestError(f"topic {topic!r} does not feed this index")
    return topics.index(topic) * SHARDS_PER_TOPIC if topics else 0
