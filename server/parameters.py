"""The part of a URL after `?`: every name is known, every value is of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import web

from index.errors import InvalidRequestError

COMMON = frozenset({"pretty", "human", "error_trace", "filter_path", "source"})
COMMON_UNUSED = frozenset({"source_content_type"})
"""Accepted everywhere, as in OpenSearch."""

INDEX_CHOICE = frozenset({"ignore_unavailable", "allow_no_indices", "expand_wildcards"})
"""How a name that may stand for several indexes is resolved."""

_TIME = re.compile(r"(-?\d{1,12}(?:\.\d{1,6})?)(nanos|micros|ms|s|m|h|d)?")
_SECONDS = {
    "nanos": 1e-9,
    "micros": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_BOOLS = {"": True, "true": True, "false": False}


def parse_time_s(text: str, what: str) -> float:
    """Return the seconds of `500ms`, `1m`, `30s`; a bare number counts milliseconds."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidRequestError(f"failed to parse [{text}] as a time value for [{what}]")
    return float(match[1]) * _SECONDS[match[2] or "ms"]


class Parameters:
    """The parameters of one request.

    Raises: InvalidRequestError when made with a name that the route does not know, and by each
    method for a value that is not of its kind.
    """

    def __init__(self, request: web.Request, known: Iterable[str]) -> None:
        self._query = request.query
        unknown = set(self._query) - COMMON - COMMON_UNUSED - set(known)
        if unknown:
            names = ", ".join(f"[{name}]" for name in sorted(unknown))
            raise InvalidRequestError(
                f"request [{request.path}] contains unrecognized parameter: {names}"
            )

    def __contains__(self, name: str) -> bool:
        return name in self._query

    def text(self, name: str, default: str | None = None) -> str | None:
        return self._query.get(name, default)

    def names(self, name: str) -> list[str] | None:
        """Return the values of a comma-separated list, None where it is absent."""
        value = self._query.get(name)
        return None if value is None else [part for part in value.split(",") if part]

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self._query.get(name)
        if value is None:
            return default
        if value not in _BOOLS:
            raise InvalidRequestError(
                f"failed to parse value [{value}] as only [true] or [false] are allowed "
                f"for [{name}]"
            )
        return _BOOLS[value]

    def integer(self, name: str, default: int | None = None) -> int | None:
        value = self._query.get(name)
        if value is None:
            return default
        if _INTEGER.fullmatch(value) is None:
            raise InvalidRequestError(
                f"failed to parse int parameter [{name}] with value [{value[:100]}]"
            )
        return int(value)

    def time_s(self, name: str, default: float) -> float:
        value = self._query.get(name)
        return default if value is None else parse_time_s(value, name)

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        value = self._query.get(name, default)
        allowed = sorted(choices)
        if value not in allowed:
            names = ", ".join(name for name in allowed if name)
            raise InvalidRequestError(f"[{name}] is [{value}], not one of {names}")
        return value
