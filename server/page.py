"""The live search page: four files, held in memory, served with a strict content policy."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from server.answers import body_answer
from server.faults import UnknownRouteError
from server.parameters import Parameters
from server.routes import Route

FOLDER = Path(__file__).parent / "static"
TYPES = {
    "index.html": "text/html",
    "app.js": "text/javascript",
    "style.css": "text/css",
    "favicon.svg": "image/svg+xml",
}
CONTENT_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class PageFile(NamedTuple):
    body: bytes
    content_type: str
    etag: str


@cache
def page_file(name: str) -> PageFile:
    """Return one of the page's files. Raises: UnknownRouteError."""
    if name not in TYPES:
        raise UnknownRouteError(f"no file [{name}]")
    body = (FOLDER / name).read_bytes()
    return PageFile(body, TYPES[name], hashlib.sha256(body).hexdigest()[:32])


def page_routes() -> list[Route]:
    return [
        Route("GET", "/_page/{name}", _serve_file),
        Route("GET", "/favicon.ico", _serve_favicon),
    ]


def is_browser(request: web.Request) -> bool:
    """Return whether the root is asked for by someone who wants to look at it."""
    return "text/html" in request.headers.get("Accept", "")


def page_answer(request: web.Request, name: str) -> web.Response:
    file = page_file(name)
    headers = {**HEADERS, "ETag": f'"{file.etag}"', "Vary": "Accept, Accept-Encoding"}
    if f'"{file.etag}"' in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return body_answer(request, file.body, content_type=file.content_type, headers=headers)


async def _serve_file(request: web.Request, parameters: Parameters) -> web.Response:
    return page_answer(request, request.match_info["name"])


async def _serve_favicon(request: web.Request, parameters: Parameters) -> web.Response:
    return page_answer(request, "favicon.svg")
