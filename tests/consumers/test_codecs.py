from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterator

import aiokafka.codec as peer
import cramjam
import pytest
import zstandard
from aiokafka.record import default_records
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers import codecs

PAIRS: list[tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = [
    (peer.gzip_encode, codecs.decode_gzip),
    (peer.zstd_encode, codecs.decode_zstd),
    (peer.lz4_encode, codecs.decode_lz4),
    (peer.snappy_encode, codecs.decode_snappy),
    (lambda data: peer.snappy_encode(data, xerial_compatible=False), codecs.decode_snappy),
]
NAMES = ["gzip", "zstd", "lz4", "xerial snappy", "snappy"]


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    codecs.install(1 << 20)
    yield
    codecs.install(32 << 20)


@pytest.mark.parametrize(("encode", "decode"), PAIRS, ids=NAMES)
@settings(deadline=None, max_examples=40)
@given(data=st.binary(max_size=100_000))
def test_what_was_compressed_comes_back(
    encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes], data: bytes
) -> None:
    assert decode(encode(data)) == data


@pytest.mark.parametrize(("encode", "decode"), PAIRS, ids=NAMES)
def test_exactly_the_limit_is_allowed(
    encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes]
) -> None:
    assert len(decode(encode(b"a" * (1 << 20)))) == 1 << 20


@pytest.mark.parametrize(("encode", "decode"), PAIRS, ids=NAMES)
def test_more_than_the_limit_is_refused(
    encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(codecs.InflationError, match="1048576"):
        decode(encode(b"a" * ((1 << 20) + 1)))


@pytest.mark.parametrize(("encode", "decode"), PAIRS, ids=NAMES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_damage_is_an_error_or_other_bytes_but_never_a_crash(
    encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    good = bytearray(encode(b"some words " * 50))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(codecs.InflationError):
        decode(bytes(good[: data.draw(st.integers(1, len(good)))]))


def test_frames_one_after_another_are_all_read() -> None:
    assert codecs.decode_gzip(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    assert codecs.decode_zstd(zstandard.compress(b"a") + zstandard.compress(b"b")) == b"ab"


def test_the_client_uses_them() -> None:
    builder = default_records.DefaultRecordBatchBuilder(
        magic=2,
        compression_type=4,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 25,
    )
    builder.append(0, 0, b"k", b"a" * (2 << 20), [])
    batch = default_records.DefaultRecordBatch(bytes(builder.build()))
    with pytest.raises(codecs.InflationError):
        list(batch)
    assert cramjam.__version__
