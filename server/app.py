"""The HTTP application: all routes over one node."""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.node import Node
from server.admission import Admission
from server.cat import CatEndpoints
from server.delete_by_query import DeleteByQueryEndpoints
from server.documents import DocumentEndpoints
from server.explanations import ExplainEndpoints
from server.freshness import FreshnessEndpoints
from server.health import HealthEndpoints
from server.indexes import IndexEndpoints
from server.limits import Limits
from server.live import LiveEndpoints
from server.middleware import answer_errors
from server.page import page_routes
from server.routes import Route, add_routes
from server.scrolls import ScrollTable
from server.search import SearchEndpoints
from server.status import StatusEndpoints


def create_app(node: Node, limits: Limits | None = None) -> web.Application:
    """Return the application that serves `node`.

    The node is started and stopped by the caller; when the application shuts down, live sockets
    are closed with 1001 and scrolls are dropped.
    """
    limits = limits or Limits()
    scrolls = ScrollTable(limits, time.monotonic)
    live = LiveEndpoints(node, limits)
    admission = Admission(limits)
    node.telemetry.watch(admission.budget)

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await admission.serve(request, handler)

    app = web.Application(
        middlewares=[admit, answer_errors],
        client_max_size=limits.bulk_bytes,
        # aiohttp takes gzip that is cut off for a whole body: `bodies.Inflater` does not
        handler_args={"auto_decompress": False},
    )
    routes: list[Route] = [
        *SearchEndpoints(node, limits, scrolls).routes(),
        *DocumentEndpoints(node, limits).routes(),
        *ExplainEndpoints(node, limits).routes(),
        *DeleteByQueryEndpoints(node, limits).routes(),
        *live.routes(),
        *HealthEndpoints(node, limits).routes(),
        *StatusEndpoints(node).routes(),
        *FreshnessEndpoints(node, time.monotonic).routes(),
        *CatEndpoints(node).routes(),
        *IndexEndpoints(node, limits).routes(),
        *page_routes(),
    ]
    add_routes(app, routes)

    async def close(_: web.Application) -> None:
        scrolls.close_all()
        await live.close()

    app.on_shutdown.append(close)
    return app
