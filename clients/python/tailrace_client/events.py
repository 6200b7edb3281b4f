"""What a live query tells, and the sans-IO half of following one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tailrace_client.answers import Hit, to_hit
from tailrace_client.errors import ApiError, error_class

SUBSCRIPTION = "live"
REMEMBERED = 10_000
"""Events kept to tell a repeated one; a connection repeats far fewer when it resumes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The best hits at one moment: at the beginning if asked for, and after a gap.

    With `is_after_gap` events were lost because this reader was too slow or away too long: what
    it knows of the result should be replaced by these hits.
    """

    kind: ClassVar[str] = "snapshot"
    hits: list[Hit]
    total: int
    token: str
    is_after_gap: bool


@dataclass(frozen=True, slots=True)
class Entered:
    """A document came into the result, or changed within it."""

    kind: ClassVar[str] = "hit"
    id: str
    score: float | None
    source: dict[str, Any]
    token: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Left:
    """A document left the result: changed, or deleted."""

    kind: ClassVar[str] = "leave"
    id: str
    token: str


Event = Snapshot | Entered | Left


class LiveState:
    """Follows one live query over any number of connections.

    `request()` is what to send on a new connection; `take()` turns a message into an event, or
    None for one that was given out before or tells nothing.
    """

    def __init__(
        self, query: Mapping[str, Any], *, index: str = "", snapshot: int, after: str | None
    ) -> None:
        self._query = query
        self._index = index
        self._snapshot = snapshot
        self._token = after
        self._is_wanted = snapshot > 0
        self._is_gap = False
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    @property
    def token(self) -> str | None:
        return self._token

    def request(self) -> dict[str, Any]:
        request = {
            "op": "subscribe",
            "id": SUBSCRIPTION,
            "query": self._query,
            "snapshot": self._snapshot,
        }
        if self._token is not None:
            request["after"] = self._token
        return request

    def take(self, message: Mapping[str, Any]) -> Event | None:
        """Raises: ApiError where the server refuses the subscription."""
        kind = message.get("type")
        if kind == "error":
            status = int(message.get("status", 500))
            raise _to_error(status, message)
        token = str(message.get("token", self._token or ""))
        event = self._to_event(kind, message, token)
        self._token = token or None
        return event

    def _to_event(self, kind: Any, message: Mapping[str, Any], token: str) -> Event | None:
        if kind == "gap":
            self._is_gap = True
        if kind == "snapshot":
            return self._take_snapshot(message, token)
        if kind == "hit" and self._is_new(kind, message, token):
            source = message.get("_source") or {}
            return Entered(str(message["_id"]), message.get("_score"), source, token, message)
        if kind == "leave" and self._is_new(kind, message, token):
            return Left(str(message["_id"]), token)
        return None

    def _take_snapshot(self, message: Mapping[str, Any], token: str) -> Snapshot | None:
        is_wanted, self._is_wanted = self._is_wanted, False
        is_gap, self._is_gap = self._is_gap, False
        if not (is_wanted or is_gap):
            return None
        hits = [to_hit({"_index": self._index, **hit}) for hit in message["hits"]]
        return Snapshot(hits, _to_total(message.get("total")), token, is_gap)

    def _is_new(self, kind: str, message: Mapping[str, Any], token: str) -> bool:
        key = (kind, str(message["_id"]), token)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _to_error(status: int, message: Mapping[str, Any]) -> ApiError:
    kind = str(message.get("error_type", "live_query_exception"))
    return error_class(status)(status, kind, str(message.get("reason")), message)


def _to_total(total: Any) -> int:
    return int(total["value"]) if isinstance(total, Mapping) else int(total or 0)
