"""The parameters of a URL that say what to search for and what to show of it."""

from __future__ import annotations

from typing import Any

from server.parameters import INDEX_CHOICE, Parameters

QUERY = frozenset({"q", "df", "default_operator", "analyze_wildcard", "lenient", "analyzer"})
CHOICE = INDEX_CHOICE | {"preference", "routing", "after", "timeout", "ignore_throttled"}


def query_of(body: dict[str, Any], parameters: Parameters) -> Any:
    """Return the query that `q` or the body asks, None: neither does."""
    text = parameters.text("q")
    if text is None:
        return body.get("query")
    return {"query_string": _query_string(text, parameters)}


def _query_string(text: str, parameters: Parameters) -> dict[str, Any]:
    query: dict[str, Any] = {"query": text}
    if "df" in parameters:
        query["default_field"] = parameters.text("df")
    if "default_operator" in parameters:
        query["default_operator"] = (parameters.text("default_operator") or "").lower()
    if "lenient" in parameters:
        query["lenient"] = parameters.flag("lenient")
    if "analyze_wildcard" in parameters:
        query["analyze_wildcard"] = parameters.flag("analyze_wildcard")
    if "analyzer" in parameters:
        query["analyzer"] = parameters.text("analyzer")
    return query


def put_source(body: dict[str, Any], parameters: Parameters) -> None:
    """Put what `_source`, `_source_includes` and `_source_excludes` say into a search body."""
    value = parameters.text("_source")
    includes = parameters.names("_source_includes") or []
    excludes = parameters.names("_source_excludes") or []
    if value in {"true", "false"}:
        body["_source"] = value == "true"
    elif value:
        includes = [*includes, *value.split(",")]
    if includes or excludes:
        body["_source"] = {"includes": includes, "excludes": excludes}
