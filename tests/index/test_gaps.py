from __future__ import annotations

import msgspec
import pytest

from index.check import verify
from index.errors import CorruptionError
from index.gaps import MAX_GAPS, Gap, gaps_of, with_gap, with_log
from index.manifest import Manifest, decode_manifest, encode_manifest, manifest_name
from tests.index.storage_world import MemoryDirectory

EMPTY = Manifest(generation=1, epoch=1, next_offset=0)


def test_gaps_and_topic_come_back_from_a_manifest() -> None:
    gaps = with_gap((), Gap(3, 7, 99))
    manifest = with_log(EMPTY, "c0ffee", gaps)
    again = decode_manifest(manifest_name(1), encode_manifest(manifest))
    assert gaps_of(again) == gaps
    assert again.topic_id == "c0ffee"


def test_a_manifest_without_gaps_says_nothing_of_them() -> None:
    assert with_log(EMPTY, "", ()).extra == {}
    assert gaps_of(EMPTY) == ()


def test_a_gap_found_again_after_a_crash_is_one_gap() -> None:
    gaps = with_gap(with_gap((), Gap(3, 7, 99)), Gap(3, 9, 100))
    assert gaps == (Gap(3, 9, 100),)


def test_the_oldest_of_many_gaps_are_forgotten() -> None:
    gaps: tuple[Gap, ...] = ()
    for n in range(MAX_GAPS + 5):
        gaps = with_gap(gaps, Gap(10 * n, 10 * n + 5, 0))
    assert len(gaps) == MAX_GAPS
    assert gaps[0].first == 50


def test_gaps_of_another_form_are_corruption() -> None:
    forged = msgspec.structs.replace(EMPTY, extra={"gaps": [{"first": "x"}]})
    with pytest.raises(CorruptionError, match="gaps"):
        gaps_of(forged)


@pytest.mark.parametrize(("gaps", "is_sound"), [([Gap(3, 7, 99)], True), ([7], False)])
def test_verify_tells_gaps(gaps: list[object], is_sound: bool) -> None:
    extra = {"gaps": msgspec.to_builtins(gaps)}
    manifest = msgspec.structs.replace(EMPTY, extra=extra)
    directory = MemoryDirectory({manifest_name(1): encode_manifest(manifest)})
    report = verify(directory)
    assert report.is_sound is is_sound
    assert any("offsets 3 to 7 are lost" in note for note in report.notes) is is_sound
