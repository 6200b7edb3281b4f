"""Scrolls: a search that is read page by page over one snapshot.

A scroll keeps the searchers it began with, and goes on after the last hit it gave out, so a
page far behind costs as little as the first. The table is bounded, and what is not asked for
in time is dropped. Thread rule: the event loop's thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from index.errors import OverloadError
from index.query.request import SearchRequest, SortKey
from server.faults import ScrollNotFoundError
from server.gather import After, Target
from server.limits import Limits


@dataclass(slots=True)
class Scroll:
    """One scroll: what to search next, and until when it is kept."""

    targets: list[Target]
    request: SearchRequest
    """In a total order."""
    n_added_keys: int
    """How many of the sort's last keys nobody asked for."""
    keep_s: float
    expires: float
    afters: list[After]
    is_busy: bool = False
    """A page is being read; a second reader at once would get it twice."""


class ScrollTable:
    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._scrolls: dict[str, Scroll] = {}

    def __len__(self) -> int:
        return len(self._scrolls)

    def open(
        self, targets: list[Target], request: SearchRequest, keep_s: float
    ) -> tuple[str, Scroll]:
        """Return (id, scroll). The request gets a total order, so that pages do not overlap.

        Raises: OverloadError where too many are open.
        """
        self.drop_expired()
        if len(self._scrolls) >= self._limits.scrolls:
            raise OverloadError(f"{len(self._scrolls)} scrolls are open, close some")
        ordered, n_added = with_total_order(request)
        keep_s = min(keep_s, self._limits.scroll_s)
        expires = self._clock() + keep_s
        scroll = Scroll(targets, ordered, n_added, keep_s, expires, [None] * len(targets))
        name = secrets.token_urlsafe(24)
        self._scrolls[name] = scroll
        return name, scroll

    def find(self, name: str, keep_s: float | None) -> Scroll:
        """Return an open scroll, kept for another while. Raises: ScrollNotFoundError."""
        self.drop_expired()
        scroll = self._scrolls.get(name)
        if scroll is None:
            raise ScrollNotFoundError(f"no search context found for id [{name[:60]}]")
        if keep_s is not None:
            scroll.keep_s = min(keep_s, self._limits.scroll_s)
        scroll.expires = self._clock() + scroll.keep_s
        return scroll

    def close(self, name: str) -> bool:
        return self._scrolls.pop(name, None) is not None

    def close_all(self) -> int:
        n_open = len(self._scrolls)
        self._scrolls.clear()
        return n_open

    def drop_expired(self) -> None:
        now = self._clock()
        for name in [name for name, scroll in self._scrolls.items() if scroll.expires < now]:
            del self._scrolls[name]


def with_total_order(request: SearchRequest) -> tuple[SearchRequest, int]:
    """Return the request sorted so that no two hits are equal, and how many keys that added."""
    keys = request.sort or (SortKey("_score", "desc"),)
    if keys[-1].field not in {"_doc", "_id"}:
        keys = (*keys, SortKey("_doc"))
    return replace(request, sort=keys), len(keys) - len(request.sort)
