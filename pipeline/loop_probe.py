"""Is the event loop on time? A heartbeat in the loop, and a watcher that looks when it is missing.

Everything that is answered waits while the loop is busy with one thing. So the loop is asked for a
sign of life every `BEAT_S`; when it is late, a thread of its own notes where the loop's thread is,
which nobody could say afterwards. A loop that was late because it worked is told apart from one
that had to wait: for the interpreter's lock, or for a processor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Final

from pipeline.telemetry import Telemetry

log = logging.getLogger(__name__)

BEAT_S: Final = 0.05
GRAVE_S: Final = 1.0
"""Later than this is an error: connections and heartbeats suffer."""
WORK_SHARE: Final = 0.5
"""A loop that was late had work where it used a processor for this share of the time."""
N_FRAMES: Final = 6


class LoopProbe:
    """Thread rule: `start` and `stop` belong to the loop's thread.

    Cost: a timer and a wake-up of the watcher every `BEAT_S`, some 20 us together.
    """

    def __init__(self, telemetry: Telemetry, *, late_s: float) -> None:
        self.telemetry = telemetry
        self._late_s = late_s
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: threading.Thread | None = None
        self._ended = threading.Event()
        self._due = 0.0
        """When the next beat should come, by the monotonic clock."""
        self._cpu_s = 0.0
        """What the loop's thread had used at the last beat."""
        self._loop_thread = 0

    def start(self) -> None:
        """Begin to measure the running loop."""
        self._loop_thread = threading.get_ident()
        self._ended.clear()
        self._expect()
        self._watcher = threading.Thread(target=self._watch, name="loop probe", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None

    # --- in the loop -------------------------------------------------------------------------
    def _expect(self) -> None:
        self._cpu_s = time.thread_time()
        self._due = time.monotonic() + BEAT_S
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        late_s = max(time.monotonic() - self._due, 0.0)
        self.telemetry.observe_loop(late_s)
        if late_s > self._late_s:
            worked_s = time.thread_time() - self._cpu_s
            cause = "work" if worked_s >= WORK_SHARE * late_s else "waiting"
            self.telemetry.count_late_loop(cause)
            log.log(
                logging.ERROR if late_s > GRAVE_S else logging.WARNING,
                "event loop was late",
                extra={
                    "late_ms": round(late_s * 1000),
                    "worked_ms": round(worked_s * 1000),
                    "cause": cause,
                },
            )
        self._expect()

    # --- in the watcher ----------------------------------------------------------------------
    def _watch(self) -> None:
        told = 0.0
        while not self._ended.wait(BEAT_S):
            due = self._due
            late_s = time.monotonic() - due
            if late_s > self._late_s and due != told:
                told = due
                frame = sys._current_frames().get(self._loop_thread)
                log.warning("event loop is late", extra={"where": describe_stack(frame)})


def describe_stack(frame: FrameType | None) -> str:
    """Return the innermost calls of a stack, the innermost first."""
    calls: list[str] = []
    while frame is not None and len(calls) < N_FRAMES:
        code = frame.f_code
        path = Path(code.co_filename)
        calls.append(f"{path.parent.name}{os.sep}{path.name}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(calls)
