"""Client of Tailrace: search, bulk writes, and live queries that resume."""

from tailrace_client.aio import AsyncClient
from tailrace_client.answers import BulkItem, BulkResult, Document, Hit, SearchResult, Written
from tailrace_client.errors import (
    ApiError,
    BadRequestError,
    BulkFailedError,
    ClientError,
    ConflictError,
    ConnectionFailedError,
    NotFoundError,
    OverloadedError,
    ServerFailedError,
    TimedOutError,
)
from tailrace_client.events import Entered, Event, Left, Snapshot
from tailrace_client.query import Q
from tailrace_client.sync import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadRequestError",
    "BulkFailedError",
    "BulkItem",
    "BulkResult",
    "Client",
    "ClientError",
    "ConflictError",
    "ConnectionFailedError",
    "Document",
    "Entered",
    "Event",
    "Hit",
    "Left",
    "NotFoundError",
    "OverloadedError",
    "Q",
    "SearchResult",
    "ServerFailedError",
    "Snapshot",
    "TimedOutError",
    "Written",
]
