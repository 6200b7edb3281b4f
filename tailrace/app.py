"""The composition root: builds everything from the settings, runs it, and takes it down again."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import fields
from typing import Any, TypeVar

import uvloop
from aiohttp import web

from index.options import IndexOptions
from pipeline.node import Node
from pipeline.options import PipelineOptions
from server.app import create_app
from server.connections import start_listening
from server.limits import Limits
from tailrace.feeds import Feeds
from tailrace.listener import BACKLOG, address_of
from tailrace.logs import set_up_logging
from tailrace.sections import IndexSection
from tailrace.settings import Settings

log = logging.getLogger(__name__)

REQUESTS_SHARE = 0.2
"""Share of the drain that open requests may take; the rest is for the node."""

EXIT_FENCED = 1
EXIT_MARGIN_S = 0.8
"""What is left of the contract's ten seconds when the drain has used all of its own."""

Options = TypeVar("Options")
Ready = Callable[[str], Awaitable[None]]


def serve(settings: Settings, listener: socket.socket, on_ready: Ready | None = None) -> int:
    """Serve at `listener` until SIGTERM or SIGINT; return the exit code.

    `on_ready` is told the address when requests are answered. A second signal ends the process
    at once. Raises: StorageError, CorruptionError, MappingError; FencedError where another
    process takes the data directory over: then nothing is flushed.
    """
    set_up_logging(settings.telemetry.log_level)
    gc.collect()  # what loading left; later it would hold the loop up
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listener, on_ready or print_address))
    return 0


async def print_address(url: str) -> None:
    print(f"tailrace listens at {url}", flush=True)


async def _serve(settings: Settings, listener: socket.socket, on_ready: Ready) -> None:
    exit_s = settings.server.drain_s + EXIT_MARGIN_S
    stop = _catch_signals(exit_s)
    requests_s = settings.server.drain_s * REQUESTS_SHARE
    node = make_node(settings, drain_s=settings.server.drain_s - requests_s)
    starting = asyncio.create_task(_start(node, settings))
    fencing = asyncio.create_task(node.wait_fenced())
    runner: web.AppRunner | None = None
    server: asyncio.Server | None = None
    try:
        if not await _ended_before(starting, stop):
            return
        limits = take_options(Limits, settings.limits)
        app = create_app(node, limits)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=requests_s)
        await runner.setup()
        server = await start_listening(runner, listener, most=limits.connections, backlog=BACKLOG)
        # Modules and kernels stay for good: a collection need not look at them (41 ms a time).
        gc.freeze()
        await on_ready(address_of(listener))
        if await _ended_before(fencing, stop):
            end_in(exit_s, EXIT_FENCED)
            raise fencing.result()
        log.info("draining")
    finally:
        if server is not None:
            server.close()
        if runner is not None:
            await runner.cleanup()
        listener.close()
        await node.stop()


def make_node(settings: Settings, *, drain_s: float) -> Node:
    """Build the node; nothing is opened or started."""
    options = take_options(
        PipelineOptions,
        settings.pipeline,
        drain_s=drain_s,
        otlp_endpoint=settings.telemetry.otlp_endpoint,
        sample_ratio=settings.telemetry.sample_ratio,
    )
    feeds = Feeds(settings.indexes, settings.data_dir, max_backlog_bytes=options.max_backlog_bytes)
    index_options = take_options(IndexOptions, settings.storage)
    return Node(settings.data_dir, options, index_options, open_feed=feeds.open)


def take_options(kind: type[Options], section: Any, **more: Any) -> Options:
    """Return the frozen options that a section of the configuration holds."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    values = {name: value for name, value in section.model_dump().items() if name in names}
    return kind(**values, **more)


async def _start(node: Node, settings: Settings) -> None:
    """Open what the data directory holds, then what the configuration names."""
    await node.start()
    for name, section in settings.indexes.items():
        if name in node.indexes:
            if section.mapping:
                await node.indexes[name].put_mapping(section.mapping)
        else:
            await node.create_index(name, index_body(section))


def index_body(section: IndexSection) -> dict[str, Any]:
    """Return the body of `PUT /{index}` that makes the index as configured."""
    return {
        "settings": {
            "number_of_shards": section.source.partitions,
            "analysis": section.analysis,
        },
        "mappings": section.mapping,
    }


def _catch_signals(exit_s: float) -> asyncio.Event:
    """Return the event that the first signal sets; the second ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def take(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        end_in(exit_s, 0)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, take, number)
    return stop


def end_in(seconds: float, code: int) -> None:
    """End the process after that time, whatever it does then: a merge in a thread cannot be
    interrupted, and has nothing to lose."""
    end = threading.Timer(seconds, os._exit, [code])
    end.daemon = True
    end.start()


async def _ended_before(task: asyncio.Task[Any], stop: asyncio.Event) -> bool:
    """Wait for the task; return False, with it cancelled, if `stop` comes first."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return False
    task.result()
    return True
