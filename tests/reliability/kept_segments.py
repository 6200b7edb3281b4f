"""Segments that are read once, whatever disk they lie on.

A segment never changes, so that equal files of thousands of disks may be one segment. It is read,
and looked into by `verify`, when it is first met; a file that differs in a byte is another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from unittest.mock import patch

from index import check
from index.directory import Directory
from index.errors import CorruptionError, StorageError
from index.manifest import SegmentEntry
from index.segment import Check, Segment, SegmentMeta

Place: TypeAlias = tuple[bytes, SegmentMeta]
MOST = 4_000
"""Segments that are kept. Then all are forgotten."""


class _Kept:
    def __init__(self) -> None:
        self._opened: dict[Place, Segment] = {}
        self._sound: dict[Place, Segment] = {}
        self._sound_ids: set[int] = set()
        self._open: Callable[..., Segment] = Segment.open.__func__  # type: ignore[attr-defined]
        self._check_file = check._check_file
        self._check_segment = check.check_segment

    def open(
        self, cls: type[Segment], directory: Directory, meta: SegmentMeta, how: Check = "sections"
    ) -> Segment:
        place = directory.read(meta.name), meta
        segment = self._opened.get(place)
        if segment is None:
            if len(self._opened) >= MOST:
                self._opened.clear()
            segment = self._opened[place] = self._open(cls, directory, meta, "table")
        if how == "sections":
            segment.check(directory)
        return segment

    def check_file(
        self, directory: Directory, entry: SegmentEntry, report: check.Report
    ) -> Segment | None:
        try:
            place = directory.read(entry.meta.name), entry.meta
        except StorageError:
            return self._check_file(directory, entry, report)
        segment = self._sound.get(place)
        if segment is not None:
            return segment
        n_findings = len(report.findings)
        segment = self._check_file(directory, entry, report)
        if (
            segment is not None
            and len(report.findings) == n_findings
            and not [*self._check_segment(segment, lambda n_bytes: None)]
        ):
            if len(self._sound) >= MOST:
                self._sound.clear()
                self._sound_ids.clear()
            self._sound[place] = segment
            self._sound_ids.add(id(segment))
        return segment

    def check_segment(self, segment: Segment, *rest: Any) -> Iterator[CorruptionError]:
        if id(segment) not in self._sound_ids:
            yield from self._check_segment(segment, *rest)


@contextmanager
def kept_segments() -> Iterator[None]:
    """While it is entered, equal files are one segment, and are looked into once."""
    kept = _Kept()

    def opened(
        cls: type[Segment], directory: Directory, meta: SegmentMeta, check: Check = "sections"
    ) -> Segment:
        return kept.open(cls, directory, meta, check)

    with (
        patch.object(Segment, "open", classmethod(opened)),
        patch.object(check, "_check_file", kept.check_file),
        patch.object(check, "check_segment", kept.check_segment),
    ):
        yield
