"""The real embedded log around a node, as the composition root makes it."""

from __future__ import annotations

from functools import partial

from consumers.log import EmbeddedLog
from consumers.log_source import EmbeddedSource
from pipeline.feed import Feed, FeedRequest


async def open_feed(request: FeedRequest) -> Feed:
    open_log = partial(EmbeddedLog, open_directory=request.open_directory)
    log = open_log(request.path / "log", request.n_shards, topic=request.index)
    letters = open_log(request.path / "dlq", 1, topic=f"{request.index}.dlq")
    return Feed(log=log, dead_letters=letters, source=EmbeddedSource(log), topics=(request.index,))
