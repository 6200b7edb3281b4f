"""What tantivy does in threads of its own after a call has returned."""

from __future__ import annotations

import time
from pathlib import Path

PREFIXES = ("merge", "docstore")
QUIET_S = 0.15
"""Threads that used no CPU for so long have nothing to do."""


def merge_threads() -> dict[str, float]:
    """Return the CPU seconds of each living thread in which tantivy merges or writes sources."""
    seconds = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            if (task / "comm").read_text().startswith(PREFIXES):
                seconds[task.name] = int((task / "schedstat").read_text().split()[0]) * 1e-9
        except FileNotFoundError:
            continue
    return seconds


def wait_until_quiet() -> None:
    """Wait until tantivy merges nothing any more."""
    before = merge_threads()
    while True:
        time.sleep(QUIET_S)
        now = merge_threads()
        if now == before:
            return
        before = now
