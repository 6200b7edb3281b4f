"""The one error tree.

ClientError
├── ConnectionFailedError   nobody answers, or the connection broke
├── BulkFailedError         some documents of a bulk were refused
└── ApiError           the server says no: status, type, reason
    ├── BadRequestError     400, 413: fix the request
    ├── NotFoundError       404: no such index or document
    ├── ConflictError       409: the document exists, or has a newer version
    ├── OverloadedError     429, 503: try again later
    ├── TimedOutError       504: not searchable in time
    └── ServerFailedError   any other 5xx
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace_client.answers import BulkItem


class ClientError(Exception):
    """Base of everything this package raises for what happens outside it."""


class ConnectionFailedError(ClientError):
    """Nobody answers at the address, or the connection broke."""


class BulkFailedError(ClientError):
    """Some documents were refused; the others are written."""

    def __init__(self, failed: Sequence[BulkItem]) -> None:
        first = failed[0]
        super().__init__(f"{len(failed)} documents refused, first [{first.id}]: {first.reason}")
        self.failed = failed


class ApiError(ClientError):
    """The server answered with an error."""

    def __init__(self, status: int, type: str, reason: str, body: Any = None) -> None:
        super().__init__(f"{status} {type}: {reason}")
        self.status = status
        self.type = type
        self.reason = reason
        self.body = body


class BadRequestError(ApiError):
    pass


class NotFoundError(ApiError):
    pass


class ConflictError(ApiError):
    pass


class OverloadedError(ApiError):
    pass


class TimedOutError(ApiError):
    pass


class ServerFailedError(ApiError):
    pass


BY_STATUS: Mapping[int, type[ApiError]] = {
    404: NotFoundError,
    409: ConflictError,
    429: OverloadedError,
    503: OverloadedError,
    504: TimedOutError,
}


def to_api_error(status: int, body: bytes) -> ApiError:
    """Return the error that an answer with this status and body stands for."""
    document: Any = None
    kind, reason = "unknown", body[:500].decode(errors="replace").strip()
    try:
        document = json.loads(body)
        error = document["error"]
        kind, reason = str(error["type"]), str(error["reason"])
    except (ValueError, KeyError, TypeError):
        pass  # not of the server's shape, such as a proxy's page: the text is all there is
    return error_class(status)(status, kind, reason, document)


def error_class(status: int) -> type[ApiError]:
    return BY_STATUS.get(status, ServerFailedError if status >= 500 else BadRequestError)
