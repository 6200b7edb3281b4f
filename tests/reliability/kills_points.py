"""Places in a server where it kills itself when told to: random moments rarely hit them.

Loaded into the servers of the kills program alone, before anything of the product. While no order
is given a place costs a look at a file; the order is one line, `NAME WHEN NTH`: end at the nth
time from now that the named function is about to run (`before`) or has returned (`after`). With a
fourth word, `hold`, it stops there until somebody sends SIGCONT.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

MUTANT_VARIABLE = "KILLS_MUTANT"
ORDER_VARIABLE = "KILLS_ORDER_FILE"

SLOW_LEADER_VARIABLE = "KILLS_SLOW_LEADER"
ASSIGNMENT = ("aiokafka.consumer.group_coordinator", "GroupCoordinator._perform_assignment")
"""Let followers be first, where a broker refuses those that sync after the leader."""

POINTS: dict[str, tuple[str, str]] = {
    "poll": ("consumers.kafka_fetch", "FetchLoop._poll_rest"),
    "deliver": ("pipeline.shard", "Shard.deliver"),
    "apply": ("index.engine", "Engine.apply"),
    "write_file": ("index.directory", "FsDirectory.write_file"),
    "sync_names": ("index.directory", "FsDirectory.sync"),
    "write_manifest": ("index.ownership", "write_manifest"),
    "install": ("index.engine", "Engine.take"),
    "merge": ("index.jobs", "MergeJob.write"),
    "sweep": ("index.engine", "Engine.sweep"),
    "remove_orphans": ("index.ownership", "remove_orphans"),
    "publish": ("index.directory", "FsDirectory.publish"),
    "delete": ("index.directory", "FsDirectory.delete"),
    "require_owned": ("pipeline.node_lock", "NodeLock.require"),
    "take_over": ("index.ownership", "take_over"),
    "open_engine": ("index.engine", "Engine.open"),
    "save_schema": ("pipeline.index_store", "IndexStore.save_schema"),
    "append": ("consumers.log_partition", "PartitionFiles.append"),
    "cut_log": ("consumers.log_partition", "PartitionFiles.cut_behind"),
    "send": ("consumers.kafka_log", "KafkaLog.append"),
    "commit_hints": ("consumers.kafka_session", "Session._commit_hints"),
    "on_revoked": ("consumers.kafka_session", "Session.on_partitions_revoked"),
    "on_assigned": ("consumers.kafka_session", "Session.on_partitions_assigned"),
}
"""Name -> module and function."""

WHEN = ("before", "after")


class Order:
    """What the order file says, read again when it changes; threads share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._text = ""
        self._left = 0

    def pass_point(self, name: str, when: str) -> None:
        try:
            text = self._path.read_text()
        except OSError:
            return
        with self._lock:
            if text != self._text:
                self._text, self._left = text, int(text.split()[2])
            if text.split()[:2] != [name, when]:
                return
            self._left -= 1
            is_due = self._left == 0
        if is_due:
            is_hold = text.split()[3:] == ["hold"]
            os.kill(os.getpid(), signal.SIGSTOP if is_hold else signal.SIGKILL)


def install() -> None:
    """Put the places in, where the environment names an order file."""
    if SLOW_LEADER_VARIABLE in os.environ:
        replace(*ASSIGNMENT, _delayed)
    if MUTANT_VARIABLE in os.environ:
        from tests.reliability import kills_mutants

        kills_mutants.install(os.environ[MUTANT_VARIABLE])
    path = os.environ.get(ORDER_VARIABLE)
    if path is None:
        return
    order = Order(Path(path))
    for name, (module, function) in POINTS.items():
        replace(module, function, functools.partial(_watched, order, name))


def replace(module_name: str, path: str, make: Callable[[Any], Any]) -> None:
    """Put `make(function)` in the place of a function or method, also where it was imported."""
    module = import_module(module_name)
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, module)
    found = inspect.getattr_static(owner, name)
    if isinstance(found, classmethod | staticmethod):
        setattr(owner, name, type(found)(make(found.__func__)))
        return
    made = make(found)
    setattr(owner, name, made)
    for other in [*sys.modules.values()]:
        if getattr(other, name, None) is found:
            setattr(other, name, made)


def _watched(order: Order, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wait(*arguments: Any, **named: Any) -> Any:
            order.pass_point(name, "before")
            result = await function(*arguments, **named)
            order.pass_point(name, "after")
            return result

        return wait

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        order.pass_point(name, "before")
        result = function(*arguments, **named)
        order.pass_point(name, "after")
        return result

    return call


def _delayed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wait(*arguments: Any, **named: Any) -> Any:
        await asyncio.sleep(0.1)
        return await function(*arguments, **named)

    return wait
