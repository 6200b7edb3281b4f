"""What a manifest tells of the log that its shard was read from: whose it is, what it lacked."""

from __future__ import annotations

from typing import Final

import msgspec

from index.errors import CorruptionError
from index.manifest import Manifest, manifest_name

GAPS: Final = "gaps"
"""Key of `Manifest.extra`: the gaps, oldest first; absent where there is none."""
MAX_GAPS: Final = 100
"""Kept of a shard; the oldest are forgotten."""


class Gap(msgspec.Struct, frozen=True):
    """Offsets `[first, end)` that the log had dropped before the shard read them."""

    first: int
    end: int
    at_ms: int
    """When that was found out (epoch milliseconds)."""


def gaps_of(manifest: Manifest) -> tuple[Gap, ...]:
    """Raises: CorruptionError."""
    try:
        return msgspec.convert(manifest.extra.get(GAPS, []), tuple[Gap, ...])
    except msgspec.ValidationError as error:
        raise CorruptionError(manifest_name(manifest.generation), 0, f"gaps: {error}") from None


def with_gap(gaps: tuple[Gap, ...], gap: Gap) -> tuple[Gap, ...]:
    """Return the gaps with one more. What was noted from its first offset on was noted by one
    who crashed before the checkpoint passed it."""
    known = tuple(old for old in gaps if old.first < gap.first)
    return (*known, gap)[-MAX_GAPS:]


def with_log(manifest: Manifest, topic_id: str, gaps: tuple[Gap, ...]) -> Manifest:
    """Return the manifest with what is known of the log."""
    extra = manifest.extra
    if gaps:
        extra = {**extra, GAPS: [msgspec.to_builtins(gap) for gap in gaps]}
    return msgspec.structs.replace(manifest, topic_id=topic_id, extra=extra)
