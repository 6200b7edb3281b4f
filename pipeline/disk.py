"""How full the disk is, and what follows from it. `next_state` and `wants_reserve` are pure.

Theory of operation: the node looks once a second. Past the first mark merges stop, because they
need room before they give any back. Past the second partitions pause: what is delivered waits in
the backlog, whose bound makes the source wait, and writes to a log on this very disk are refused.
Past the third every write is refused. Flushes go on in each state, as long as they can: behind
them the embedded log lets go of what it holds. Each state is left only well below its mark, so
that little does not make it swing.

A reserve file keeps some room back. It is removed when there is no other room, so that the small
files an edit needs (a manifest, `index.json`) can still be written, and is made again later.

Thread rule: the event loop's thread, but for `poll`, which blocks and may run in any one thread,
and `state`, which any thread may read.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Final

from index.directory import Directory, FsDirectory, OpenDirectory
from index.errors import StorageError, TailraceError
from pipeline.options import PipelineOptions

log = logging.getLogger(__name__)

RESERVE: Final = "reserve"
RESERVE_CHUNK: Final = 1 << 18
QUIET_S: Final = 30.0
"""The reserve is not made again while the disk was full within this time."""


class DiskState(IntEnum):
    """What the disk allows, each state less than the one before."""

    OPEN = 0
    NO_MERGES = 1
    PAUSED = 2
    READ_ONLY = 3


# state -> what stops in it, all that stopped before included
STOPS: Final[dict[DiskState, str]] = {
    DiskState.OPEN: "nothing",
    DiskState.NO_MERGES: "merges",
    DiskState.PAUSED: "partitions, and writes to a log on this disk",
    DiskState.READ_ONLY: "every write",
}


class DiskFullError(TailraceError):
    """The disk is so full that this is not done. It will be again when there is room."""

    type = "cluster_block_exception"
    status = 429
    retry_after_s = 10


def next_state(
    state: DiskState, used_share: float, free_bytes: int, options: PipelineOptions
) -> DiskState:
    """Return the state after the disk was seen `used_share` full: up at a mark, down only
    `disk_hysteresis_share` below it."""
    if free_bytes >= options.disk_headroom_bytes:
        return DiskState.OPEN
    marks = (0.0, options.disk_merge_share, options.disk_pause_share, options.disk_read_only_share)
    reached = max(above for above in DiskState if used_share >= marks[above])
    while state > reached and used_share < marks[state] - options.disk_hysteresis_share:
        state = DiskState(state - 1)
    return max(state, reached)


def wants_reserve(
    is_held: bool, state: DiskState, free_bytes: int, options: PipelineOptions
) -> bool:
    """Return whether the reserve is to be there: until less than its size is free beside it, and
    again once there is room to spare."""
    if is_held:
        return free_bytes >= options.disk_reserve_bytes
    return state < DiskState.PAUSED and free_bytes >= 4 * options.disk_reserve_bytes


class Disk:
    """The disk of a node, as far as the node has looked."""

    def __init__(
        self,
        path: Path,
        options: PipelineOptions,
        *,
        open_directory: OpenDirectory = FsDirectory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = DiskState.OPEN
        self.used_share = 0.0
        self.free_bytes = 0
        self.n_full = 0
        """How often something found no room."""
        self._path = path
        self._open_directory = open_directory
        self._directory: Directory | None = None
        self._options = options
        self._clock = clock
        self._full_at = -QUIET_S
        self._is_held = False

    @property
    def has_reserve(self) -> bool:
        return self._is_held

    def start(self) -> None:
        """Open the directory. Take over the reserve that an earlier process made; free it where
        the disk is full: to open shards is to write. Blocks. Raises: StorageError."""
        self._directory = self._open_directory(self._path)
        self._is_held = RESERVE in self._directory.list()
        self.look()
        if not wants_reserve(self._is_held, self.state, self.free_bytes, self._options):
            self._free_reserve()

    def poll(self) -> None:
        """Look, and make or free the reserve. Blocks."""
        try:
            self.look()
        except StorageError as error:  # an unreadable gauge must not stop what works
            log.warning("disk not measured", extra={"reason": str(error)})
            return
        wanted = wants_reserve(self._is_held, self.state, self.free_bytes, self._options)
        if not wanted:
            self._free_reserve()
        elif not self._is_held and self._clock() - self._full_at >= QUIET_S:
            self._make_reserve()

    def look(self) -> None:
        """Measure, and tell once where that changes the state. Raises: StorageError."""
        directory = self._directory
        if directory is None:
            return
        free, total = directory.free_bytes(), directory.total_bytes()
        self.free_bytes = free
        self.used_share = 1.0 - free / total if total > 0 else 0.0
        state = next_state(self.state, self.used_share, free, self._options)
        if state is not self.state:
            self._note(state)

    def note_full(self) -> None:
        """Something found no room: what is kept back is given now. Any thread."""
        self.n_full += 1
        self._full_at = self._clock()
        self._free_reserve()

    def require_merges(self) -> None:
        """Raises: DiskFullError."""
        self._require(DiskState.NO_MERGES)

    def require_local_writes(self) -> None:
        """Raises: DiskFullError."""
        self._require(DiskState.PAUSED)

    def require_writes(self) -> None:
        """Raises: DiskFullError."""
        self._require(DiskState.READ_ONLY)

    def _require(self, stop: DiskState) -> None:
        if self.state >= stop:
            raise DiskFullError(
                f"the disk is {self.used_share:.1%} full, {self.free_bytes} bytes are free: "
                f"{STOPS[self.state]} must wait for room"
            )

    def _note(self, state: DiskState) -> None:
        is_worse, self.state = state > self.state, state
        log.log(
            logging.WARNING if is_worse else logging.INFO,
            "the disk fills up" if is_worse else "the disk has room again",
            extra={
                "state": state.name.lower(),
                "stopped": STOPS[state],
                "used_share": round(self.used_share, 4),
                "free_bytes": self.free_bytes,
            },
        )

    def _free_reserve(self) -> None:
        if not self._is_held or self._directory is None:
            return
        self._is_held = False
        with suppress(StorageError):
            self._directory.delete(RESERVE)

    def _make_reserve(self) -> None:
        assert self._directory is not None, "polled before it was started"
        n_chunks = -(-self._options.disk_reserve_bytes // RESERVE_CHUNK)
        # Not zeros: some file systems keep no room for those.
        chunk = os.urandom(min(RESERVE_CHUNK, self._options.disk_reserve_bytes))
        with suppress(StorageError):  # usually not there: one that could not be removed
            self._directory.delete(RESERVE)
        try:
            self._directory.write_file(RESERVE, [chunk] * n_chunks)
        except StorageError:  # then it is not there, and there is no room after all
            self._full_at = self._clock()
        else:
            self._is_held = True
