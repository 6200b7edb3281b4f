"""The table of routes: method, path, handler, and the parameters that the path knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from aiohttp import web

from server.parameters import Parameters

Handler = Callable[[web.Request, Parameters], Awaitable[web.StreamResponse]]

INDEX = "{index:[^_/][^/]*|_all}"
"""One name, several with commas, with wildcards, or `_all`; none begins with an underscore."""

ID = "{id:[^/]+}"


class Route(NamedTuple):
    """One line of the table. `methods` are separated by blanks; GET brings HEAD along."""

    methods: str
    path: str
    handler: Handler
    known: frozenset[str] = frozenset()


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Make `app` serve the routes. The first lines are found fastest."""
    for route in routes:
        handler = _checked(route)
        resource = app.router.add_resource(route.path)
        for method in route.methods.split():
            resource.add_route(method, handler)
            if method == "GET":
                resource.add_route("HEAD", handler)


def _checked(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await route.handler(request, Parameters(request, route.known))

    return serve
