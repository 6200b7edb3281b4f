from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as peer
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.partition import murmur2, partition_of

# From the tests of Apache Kafka's org.apache.kafka.common.utils.Utils, there as signed integers.
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", KNOWN)
def test_hash_is_that_of_the_java_client(key: bytes) -> None:
    assert murmur2(key) == KNOWN[key] & 0xFFFFFFFF


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_hash_is_that_of_another_client(key: bytes) -> None:
    assert murmur2(key) == peer(key) & 0xFFFFFFFF


@given(st.binary(), st.integers(1, 100))
def test_partition_is_within_range(key: bytes, n: int) -> None:
    assert 0 <= partition_of(key, n) < n
