"""How much of a query is Python: a clock around every call of a compiled kernel."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher

REPEATS = 20
N_FIRST = 50


class PythonCost(NamedTuple):
    """Medians over the queries, each the median of its repeats."""

    total_s: float
    kernel_s: float
    n_calls: float
    again_s: float
    """Of a query that was just asked."""
    first_s: float
    """Of the first search of a moment, which finds nothing worked out."""


class _Clocked:
    """A kernel with a clock around it."""

    def __init__(self, kernel: Callable[..., Any]) -> None:
        self.kernel = kernel
        self.ns = 0
        self.n_calls = 0

    def __call__(self, *arguments: Any) -> Any:
        began = time.perf_counter_ns()
        result = self.kernel(*arguments)
        self.ns += time.perf_counter_ns() - began
        self.n_calls += 1
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kernel, name)


@contextmanager
def clocked_kernels() -> Iterator[list[_Clocked]]:
    """Replace every kernel by one that is clocked, wherever Python would find it.

    Kernels that call each other were linked when they were compiled and stay as they are.
    """
    clocks: dict[int, _Clocked] = {}
    replaced = []
    for module_name, module in list(sys.modules.items()):
        if not module_name.startswith("index."):
            continue
        for name, value in list(vars(module).items()):
            if isinstance(value, Dispatcher):
                clock = clocks.setdefault(id(value), _Clocked(value))
                replaced.append((module, name, value))
                setattr(module, name, clock)
    try:
        yield list(clocks.values())
    finally:
        for module, name, value in replaced:
            setattr(module, name, value)


def python_cost(works: list[Callable[[], Any]], forget: Callable[[], None]) -> PythonCost:
    """`forget` is called between the repeats, so that no repeat profits from the one before."""
    totals = np.zeros((REPEATS, len(works)))
    again, kernels, calls = (np.zeros_like(totals) for _ in range(3))
    for repeat in range(REPEATS):
        forget()
        for number, work in enumerate(works):
            totals[repeat, number] = _ns_of(work)
            again[repeat, number] = _ns_of(work)
    first = np.zeros((1, min(len(works), N_FIRST)))
    for number, work in enumerate(works[:N_FIRST]):
        forget()
        first[0, number] = _ns_of(work)
    with clocked_kernels() as clocks:
        empty = _empty_clock_ns()
        for repeat in range(REPEATS):
            forget()
            for number, work in enumerate(works):
                for clock in clocks:
                    clock.ns = clock.n_calls = 0
                work()
                n_calls = sum(clock.n_calls for clock in clocks)
                kernels[repeat, number] = sum(clock.ns for clock in clocks) - n_calls * empty
                calls[repeat, number] = n_calls
    seconds = [_middle_s(each) for each in (totals, kernels, again, first)]
    return PythonCost(seconds[0], seconds[1], float(np.median(calls)), *seconds[2:])


def _middle_s(ns: np.ndarray) -> float:
    return float(np.median(np.median(ns, axis=0))) * 1e-9


def _ns_of(work: Callable[[], Any]) -> int:
    began = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - began


def _empty_clock_ns() -> float:
    """Return what a clock reads around nothing."""
    times = []
    for _ in range(1_000):
        began = time.perf_counter_ns()
        times.append(time.perf_counter_ns() - began)
    return float(np.median(times))
