"""Measured times, and the tables they are printed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from resource import RUSAGE_THREAD, getrusage
from typing import Any

import numpy as np

TRIES = 4
LONG_S = 0.005
"""What takes longer will hardly ever have a core for itself on a busy machine."""


@dataclass
class Clock:
    """Wall and CPU seconds of everything that ran inside `running()`, all threads."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall_s += time.perf_counter() - wall
        self.cpu_s += time.process_time() - cpu


def seconds_of(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def undisturbed_s(work: Callable[[], Any]) -> float:
    """Return how long `work` takes; taken again where the scheduler gave its core to another."""
    seconds = 0.0
    for _ in range(TRIES):
        before = getrusage(RUSAGE_THREAD).ru_nivcsw
        seconds = seconds_of(work)
        if getrusage(RUSAGE_THREAD).ru_nivcsw == before or seconds > LONG_S:
            break
    return seconds


@dataclass
class Table:
    """Rows under a heading, printed as Markdown."""

    title: str
    note: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def to_markdown(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"## {self.title}\n\n{self.note}\n\n{table}\n"


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(np.array(values), share * 100))


def in_ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def per_second(count: float, seconds: float) -> str:
    return f"{count / seconds:,.0f}/s"


def median(values: Sequence[float]) -> float:
    return float(np.median(np.array(values)))


def in_us(seconds: float) -> str:
    micros = seconds * 1e6
    return f"{micros:,.0f} us" if micros >= 100 else f"{micros:.1f} us"


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(np.array(values)))))
