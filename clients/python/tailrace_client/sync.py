"""The synchronous client: the asynchronous one, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from tailrace_client.aio import AsyncClient, Query
from tailrace_client.answers import BulkResult, Document, SearchResult, Written
from tailrace_client.events import Event

T = TypeVar("T")


class ClosedError(RuntimeError):
    """The client was closed before, or is being closed."""


class Client:
    """Talks to one server; any thread may call. Use it as a context manager, or `close()` it."""

    def __init__(self, url: str = "http://127.0.0.1:7400", *, timeout_s: float = 30.0) -> None:
        self._client = AsyncClient(url, timeout_s=timeout_s)
        self._loop = asyncio.new_event_loop()
        self._is_closed = False
        self._lock = threading.RLock()
        """Held to schedule work, so that none comes after the last: it would wait for ever."""
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="tailrace-client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every live query of this client and the thread. Safe to call twice."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            ending = asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop)
        ending.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def info(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        return self._wait(self._client.info())

    def search(
        self,
        index: str,
        query: Query | None = None,
        *,
        size: int = 10,
        from_: int = 0,
        sort: Sequence[Any] | None = None,
        after: str | None = None,
        **body: Any,
    ) -> SearchResult:
        """Search once; see `AsyncClient.search`."""
        return self._wait(
            self._client.search(
                index, query, size=size, from_=from_, sort=sort, after=after, **body
            )
        )

    def count(self, index: str, query: Query | None = None) -> int:
        return self._wait(self._client.count(index, query))

    def get(self, index: str, id: str) -> Document | None:
        """Return the newest version of a document, None where there is none."""
        return self._wait(self._client.get(index, id))

    def index(
        self,
        index: str,
        document: Mapping[str, Any],
        *,
        id: str | None = None,
        refresh: str | None = None,
        create: bool = False,
    ) -> Written:
        """Write a document; see `AsyncClient.index`."""
        return self._wait(
            self._client.index(index, document, id=id, refresh=refresh, create=create)
        )

    def delete(self, index: str, id: str, *, refresh: str | None = None) -> Written:
        """Delete a document. Raises: NotFoundError where there is none."""
        return self._wait(self._client.delete(index, id, refresh=refresh))

    def bulk(
        self,
        index: str,
        documents: Iterable[Mapping[str, Any]],
        *,
        refresh: str | None = None,
        raise_on_failure: bool = True,
    ) -> BulkResult:
        """Write many documents in one call; see `AsyncClient.bulk`."""
        return self._wait(
            self._client.bulk(
                index, list(documents), refresh=refresh, raise_on_failure=raise_on_failure
            )
        )

    def create_index(self, index: str, **body: Any) -> None:
        """Create an index; `mappings=` and `settings=` as OpenSearch writes them."""
        self._wait(self._client.create_index(index, **body))

    def delete_index(self, index: str) -> None:
        self._wait(self._client.delete_index(index))

    def live(
        self, index: str, query: Query, *, snapshot: int = 0, after: str | None = None
    ) -> Iterator[Event]:
        """Yield what enters and leaves the result; see `AsyncClient.live`.

        The subscription ends when the iterator is closed or the loop over it is left.
        """
        events = self._client.live(index, query, snapshot=snapshot, after=after)
        try:
            while True:
                event = self._wait(_next(events))
                if event is None:
                    return
                yield event
        except CancelledError:
            return  # the client was closed by another thread
        finally:
            # A forgotten iterator may be collected in any thread; the loop's must not wait.
            if threading.current_thread() is not self._thread:
                with suppress(ClosedError, CancelledError):
                    self._wait(_close(events))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the client's loop. An interrupt of the caller cancels it."""
        with self._lock:
            if self._is_closed:
                work.close()
                raise ClosedError("the client is closed")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _shut_down(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._client.close()


async def _next(events: AsyncGenerator[Event, None]) -> Event | None:
    return await anext(events, None)


async def _close(events: AsyncGenerator[Event, None]) -> None:
    await events.aclose()
