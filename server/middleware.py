"""What surrounds every request: a stranger's page is kept out, an error becomes an answer."""

from __future__ import annotations

import logging
from urllib.parse import unquote_to_bytes, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from index.errors import InvalidRequestError, TailraceError
from server.answers import error_answer
from server.faults import TooLargeError, UnknownRouteError, WrongMethodError

log = logging.getLogger(__name__)

READS = frozenset({"GET", "HEAD"})


class ForeignOriginError(TailraceError):
    """A page of another site may not act through its visitor's browser."""

    type = "security_exception"
    status = 403


class InternalError(TailraceError):
    """Our fault. What it was stands in the log, never in the answer."""


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into OpenSearch's error shape; never show a traceback."""
    response = await _answer(request, handler)
    if response.status >= 400 and not request.content.is_eof():
        # what is left of the body is not worth reading, or cannot be: tell the client
        response.force_close()
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        check_url(request)
        check_origin(request)
        return await handler(request)
    except TailraceError as error:
        if error.status >= 500:
            log.warning("request failed", extra={"path": request.path, "reason": str(error)})
        return error_answer(request, error)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        wrong = WrongMethodError(
            f"incorrect http method for uri [{request.path}] and method [{request.method}], "
            f"allowed: [{allowed}]"
        )
        return error_answer(request, wrong, {"Allow": allowed})
    except web.HTTPNotFound:
        unknown = UnknownRouteError(
            f"no handler found for uri [{request.path}] and method [{request.method}]"
        )
        return error_answer(request, unknown)
    except web.HTTPRequestEntityTooLarge as error:
        return error_answer(request, TooLargeError(str(error.text or error.reason).lower()))
    except web.HTTPException:
        raise
    except ConnectionError:
        raise
    except Exception:
        log.exception("unexpected error", extra={"path": request.path})
        return error_answer(request, InternalError("internal error, the server's log has it"))


def check_url(request: web.Request) -> None:
    """Refuse what is not UTF-8: `%ff` would be taken as the three characters that it is written
    with, and be the same id as `%25ff`.

    Raises: InvalidRequestError.
    """
    if "%" not in request.raw_path:
        return
    try:
        unquote_to_bytes(request.raw_path).decode()
    except UnicodeError as error:
        raise InvalidRequestError("the url is not utf-8") from error


def check_origin(request: web.Request) -> None:
    """Refuse a write or a socket from a page of another origin.

    There is no login to steal, but a browser on this machine could be made to write.
    Raises: ForeignOriginError.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return
    is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
    if request.method in READS and not is_socket:
        return
    if urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower():
        raise ForeignOriginError(f"requests from pages of [{origin}] are not taken")
