"""The budget of a merge: how much of a processor and of the disk it may take beside searches.

A merge works in pieces of a few hundredths of a second and tells after each what it did. While
searches run, it then rests: so long that it computes no more than its share of the time, and
writes no more than its bytes a second. Where no search ran since the last piece, or where
ingestion waits for merges, it goes on at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from index.errors import StorageError
from pipeline.options import PipelineOptions

LONGEST_REST_S = 0.25
"""A rest is no longer, so that a merge hears soon that it must end or hurry."""


class MergeStoppedError(StorageError):
    """The shard of a merge is closing, or the disk fills up: nothing was wrong."""


class Pacer:
    """Of one merge. Thread rule: the thread of the merge; its arguments are asked there."""

    def __init__(
        self,
        options: PipelineOptions,
        *,
        is_stopped: Callable[[], bool],
        is_urgent: Callable[[], bool],
        n_searches: Callable[[], int],
        cpu_time: Callable[[], float] = time.thread_time,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] | None = None,
    ) -> None:
        self._share = options.merge_cpu_share
        self._bytes_per_s = options.merge_bytes_per_s
        self._is_stopped = is_stopped
        self._is_urgent = is_urgent
        self._n_searches = n_searches
        self._cpu_time = cpu_time
        self._clock = clock
        self._rest = rest or threading.Event().wait
        self._seen = n_searches()
        self._cpu_s: float | None = None
        self._began_s = 0.0
        self.rested_s = 0.0

    def __call__(self, n_bytes: int) -> None:
        """Rest as the last piece of work asks for. Raises: MergeStoppedError."""
        if self._is_stopped():
            raise MergeStoppedError("the merge ends: its shard is closing, or there is no room")
        if self._cpu_s is not None:
            self._pause(n_bytes)
        self._cpu_s, self._began_s = self._cpu_time(), self._clock()

    def _pause(self, n_bytes: int) -> None:
        assert self._cpu_s is not None
        seen = self._n_searches()
        is_alone, self._seen = seen == self._seen, seen
        if is_alone or self._is_urgent():
            return
        used_s = self._cpu_time() - self._cpu_s
        for_cpu = used_s * (1.0 / self._share - 1.0)
        for_disk = n_bytes / self._bytes_per_s - (self._clock() - self._began_s)
        rest_s = min(max(for_cpu, for_disk), LONGEST_REST_S)
        if rest_s > 0.0:
            self._rest(rest_s)
            self.rested_s += rest_s
