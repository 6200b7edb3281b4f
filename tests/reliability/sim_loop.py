"""An event loop that is a function of a seed: its clock is virtual, it has no threads, no I/O.

All nodes of a simulation share one loop. Whose callback runs next is the seed's choice; the
callbacks of one node keep the order in which they became ready, because that is what asyncio
promises. Time stands still while anything is ready and then jumps to the next timer. A node may
be paused, as by SIGSTOP: its callbacks wait, its timers come late, the clock goes on. And it may
be killed: nothing of it ever runs again.

Which node a callback belongs to is in its context: what a node starts is the node's.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
import warnings
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

NODE: contextvars.ContextVar[str] = contextvars.ContextVar("node", default="world")
"""The node that the running code belongs to; the world's is everything outside of them."""

BEGINNING_S = 1_000.0
"""What the clock shows at first."""
MAX_STEPS_AT_ONCE = 50_000
"""Callbacks at one moment: past it, something spins."""


class DeadlockError(Exception):
    """Nothing is ready and no timer is set, but what was waited for has not come."""


class TooManyStepsError(Exception):
    """The simulation goes on and on."""


class SimHandle:
    """A callback to be run; the same to tasks and futures as `asyncio.TimerHandle`."""

    __slots__ = ("_args", "_callback", "_context", "_is_cancelled", "_when", "node")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
        when: float,
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._is_cancelled = False
        self._when = when
        self.node: str = context.get(NODE, "world")

    def cancel(self) -> None:
        self._is_cancelled = True
        self._args = ()

    def cancelled(self) -> bool:
        return self._is_cancelled

    def when(self) -> float:
        return self._when

    def run(self) -> None:
        self._context.run(self._callback, *self._args)


class SimLoop(asyncio.AbstractEventLoop):
    def __init__(self, rng: random.Random, *, max_steps: int = 2_000_000) -> None:
        self.rng = rng
        self.n_steps = 0
        self.errors: list[BaseException] = []
        """What no task and no caller took: a bug, in the product or here."""
        self._max_steps = max_steps
        self._steps_until = min(max_steps, MAX_STEPS_AT_ONCE)
        self._now = BEGINNING_S
        self._queues: dict[str, deque[SimHandle]] = {}
        self._active: list[str] = []
        """Nodes with something ready, but for those paused."""
        self._timers: list[tuple[float, float, int, SimHandle]] = []
        self._n_timers = 0
        self._paused: set[str] = set()
        self._dead: set[str] = set()
        self._tasks: list[asyncio.Task[Any]] = []

    # --- what a simulation does ------------------------------------------------------------
    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Raises: DeadlockError, TooManyStepsError."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            while not is_done():
                self._step()
        finally:
            events._set_running_loop(before)

    def run_until_complete(self, future: Any) -> Any:
        """Run a coroutine to its end; return its result."""
        if asyncio.iscoroutine(future):
            future = self.create_task(future)
        self.run_until(future.done)
        return future.result()

    def spawn(self, node: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task that belongs to a node."""
        context = contextvars.copy_context()
        context.run(NODE.set, node)
        return self.create_task(work, name=f"{node} main", context=context)

    def pause(self, node: str) -> None:
        """Let nothing of this node run until `go_on`."""
        self._paused.add(node)
        if node in self._active:
            self._active.remove(node)

    def go_on(self, node: str) -> None:
        self._paused.discard(node)
        if self._queues.get(node) and node not in self._active and node not in self._dead:
            self._active.append(node)

    def kill(self, node: str) -> None:
        """Let nothing of this node ever run again, whatever is set up for it."""
        self._dead.add(node)
        self._queues.pop(node, None)
        if node in self._active:
            self._active.remove(node)

    def is_paused(self, node: str) -> bool:
        return node in self._paused

    def close(self) -> None:
        """Take all coroutines apart that are not at their end; what they then do has no effect."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of coroutines that were never begun
                for task in self._tasks:
                    if not task.done():
                        task._log_destroy_pending = False  # type: ignore[attr-defined]
                        _take_apart(task.get_coro())
                self._tasks.clear()
        finally:
            events._set_running_loop(before)
        self._timers.clear()
        self._queues.clear()
        self._active.clear()

    def _step(self) -> None:
        active = self._active
        if not active:
            self._wake_timers()
            return
        place = 0 if len(active) == 1 else int(self.rng.random() * len(active))
        node = active[place]
        queue = self._queues[node]
        handle = queue.popleft()
        if not queue:
            # The order within `active` is nobody's promise.
            active[place] = active[-1]
            active.pop()
        if handle._is_cancelled:
            return
        self.n_steps += 1
        if self.n_steps >= self._steps_until:
            raise TooManyStepsError(f"{self.n_steps} callbacks by {self._now:.3f} s")
        try:
            handle.run()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.errors.append(error)

    def _wake_timers(self) -> None:
        timers = self._timers
        while timers:
            when, _, _, handle = heapq.heappop(timers)
            if handle._is_cancelled or handle.node in self._dead:
                continue
            if when > self._now:
                self._now = when
                self._steps_until = min(self._max_steps, self.n_steps + MAX_STEPS_AT_ONCE)
            self._put(handle)
            if self._active:
                return
        raise DeadlockError(f"nothing is ready and no timer is set at {self._now:.3f} s")

    def _put(self, handle: SimHandle) -> None:
        node = handle.node
        queue = self._queues.get(node)
        if queue is None:
            if node in self._dead:
                return
            queue = self._queues[node] = deque()
        if not queue and node not in self._paused:
            self._active.append(node)
        queue.append(handle)

    # --- what asyncio asks for ---------------------------------------------------------------
    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        if context is None:  # an empty one is false
            context = contextvars.copy_context()
        handle = SimHandle(callback, args, context, self._now)
        self._put(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        if context is None:
            context = contextvars.copy_context()
        handle = SimHandle(callback, args, context, when)
        self._n_timers += 1
        # What is due at the same moment comes in any order.
        entry = (max(when, self._now), self.rng.random(), self._n_timers, handle)
        heapq.heappush(self._timers, entry)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        # Kept to the end: were it collected, its `finally` blocks would run at any moment.
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> Any:
        """Run it here and now; its result comes like that of another thread."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None:
            self.errors.append(error)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: Any) -> None:
        pass


def _take_apart(coro: Any) -> None:
    for _ in range(100):
        try:
            coro.close()
        except RuntimeError:  # it awaits in a `finally`: once more, from there
            continue
        except BaseException:
            pass
        return
