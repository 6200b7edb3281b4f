"""What can be wrong with a request before the index has seen it.

Branches of the one error tree (`index.errors`) that only HTTP knows, and how any exception
becomes an answer.
"""

from __future__ import annotations

from typing import Any

from index.errors import (
    IndexNotFoundError,
    InvalidRequestError,
    TailraceError,
    TooManyBucketsError,
)


class MalformedBodyError(InvalidRequestError):
    """The body is not the JSON, NDJSON or gzip that it should be."""

    type = "parse_exception"


class TooLargeError(TailraceError):
    type = "content_too_long_exception"
    status = 413


class BodyTimeoutError(TailraceError):
    type = "timeout_exception"
    status = 408


class UnsupportedBodyError(TailraceError):
    type = "media_type_header_exception"
    status = 415


class UnknownRouteError(InvalidRequestError):
    """Nothing lives at this path; OpenSearch answers 400 here, not 404."""


class WrongMethodError(TailraceError):
    type = "method_not_allowed_exception"
    status = 405


class UnsupportedError(InvalidRequestError):
    """A feature of OpenSearch that Tailrace does not have."""


class ScrollNotFoundError(TailraceError):
    type = "search_context_missing_exception"
    status = 404


class UnavailableError(TailraceError):
    type = "node_not_ready_exception"
    status = 503


def error_cause(error: TailraceError) -> dict[str, Any]:
    """Return the part of an answer that says what went wrong."""
    cause: dict[str, Any] = {"type": error.type, "reason": str(error)}
    if isinstance(error, IndexNotFoundError):
        cause |= {"index": error.index, "resource.id": error.index}
        cause |= {"resource.type": "index_or_alias", "index_uuid": "_na_"}
    if isinstance(error, TooManyBucketsError):
        cause["max_buckets"] = error.limit
    return cause


def error_body(error: TailraceError) -> dict[str, Any]:
    """Return the whole body of an error answer."""
    cause = error_cause(error)
    return {"error": {"root_cause": [cause], **cause}, "status": error.status}
