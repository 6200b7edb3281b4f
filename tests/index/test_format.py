from __future__ import annotations

import io

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import CorruptionError
from index.format import Kind, Section, Sections, SegmentFile, Spool, checksum, section


def container(sections: list[Section]) -> tuple[np.ndarray, SegmentFile]:
    file = SegmentFile()
    data = b"".join(bytes(memoryview(part)) for part in file.chunks(sections))
    assert len(data) == file.n_bytes
    return np.frombuffer(bytearray(data), np.uint8), file


def sample() -> tuple[np.ndarray, SegmentFile]:
    return container(
        [
            section(Kind.META, b"{}"),
            section(Kind.LENGTHS, np.arange(20, dtype=np.uint32), field=3),
            Section(Kind.TERMS, 0, iter([b"abc", np.zeros(2, np.uint8), b"d"])),
            section(Kind.KEYS, b""),
        ]
    )


def test_sections_come_back_as_views_of_the_file() -> None:
    data, file = sample()
    sections = Sections("1.seg", data, file.crc)
    sections.verify()
    assert sections.array(Kind.META, np.uint8).tobytes() == b"{}"
    assert sections.array(Kind.LENGTHS, np.uint32, 3, n=20).tolist() == list(range(20))
    assert sections.array(Kind.TERMS, np.uint8, 0).tobytes() == b"abc\x00\x00d"
    assert len(sections.array(Kind.KEYS, np.uint8)) == 0
    assert np.shares_memory(sections.array(Kind.META, np.uint8), data)
    assert sections.offset(Kind.LENGTHS, 3) % 64 == 0
    assert (sections.has(Kind.KEYS), sections.has(Kind.LENGTHS)) == (True, False)


def test_each_flipped_bit_is_found() -> None:
    data, file = sample()
    for at in range(len(data)):
        data[at] ^= 1 << (at % 8)
        with pytest.raises(CorruptionError, match=r"^1\.seg at byte \d+: "):
            Sections("1.seg", data, file.crc).verify()
        data[at] ^= 1 << (at % 8)


def test_each_truncation_is_found() -> None:
    data, file = sample()
    for n_bytes in range(len(data)):
        with pytest.raises(CorruptionError):
            Sections("1.seg", data[:n_bytes], file.crc)


def test_a_damaged_section_is_named_with_its_place() -> None:
    data, file = sample()
    at = Sections("1.seg", data).offset(Kind.LENGTHS, 3)
    data[at + 7] ^= 1
    sections = Sections("1.seg", data, file.crc)
    assert [str(damage) for damage in sections.damages()] == [
        f"1.seg at byte {at}: checksum of lengths of field 3 is wrong"
    ]


def test_another_segment_under_the_name_is_found() -> None:
    _, file = sample()
    other, _ = container([section(Kind.META, b"[]")])
    with pytest.raises(CorruptionError, match="not the segment that the manifest names"):
        Sections("1.seg", other, file.crc)


@pytest.mark.parametrize(
    ("kind", "dtype", "n"), [(Kind.LENGTHS, np.uint32, 21), (Kind.TERMS, np.uint32, None)]
)
def test_a_section_of_another_length_is_refused(kind: Kind, dtype: type, n: int | None) -> None:
    sections = Sections("1.seg", sample()[0])
    with pytest.raises(CorruptionError, match="bytes"):
        sections.array(kind, dtype, 3 if kind == Kind.LENGTHS else 0, n=n)


def test_a_section_that_is_not_there_is_refused() -> None:
    with pytest.raises(CorruptionError, match="there is no section norms"):
        Sections("1.seg", sample()[0]).array(Kind.NORMS, np.uint8)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=6))
def test_a_checksum_goes_on_where_it_stopped(parts: list[bytes]) -> None:
    value = 0
    for part in parts:
        value = checksum(np.frombuffer(part, np.uint8), value)
    assert value == checksum(b"".join(parts)) == google_crc32c.value(b"".join(parts))


def test_a_spool_spills_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "LIMIT", 100)
    files: list[io.BytesIO] = []
    spool = Spool(lambda: files.append(io.BytesIO()) or files[-1])
    parts = [bytes([i]) * 30 for i in range(20)]
    for part in parts:
        spool.write(np.frombuffer(part, np.uint8))
    assert spool.n_bytes == 600
    assert len(files) == 1
    assert b"".join(spool.chunks()) == b"".join(parts)
    assert files[0].closed
