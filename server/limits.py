"""What one request may cost, each limit with its effect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on everything that comes in from outside."""

    body_bytes: int = 10 << 20
    """Largest body on the wire, `_bulk` apart."""

    bulk_bytes: int = 100 << 20
    """Largest `_bulk` body on the wire."""

    inflated_bytes: int = 50 << 20
    """Largest body after gzip; for `_bulk` it is `bulk_bytes` where that is more."""

    inflate_ratio: int = 100
    """A gzip body above 1 MiB may not grow by more than this."""

    json_depth: int = 32
    """Deepest nesting of any JSON that comes in."""

    bulk_chunk_docs: int = 5_000
    """A `_bulk` is written to the log in parts of this many actions."""

    bulk_chunk_bytes: int = 8 << 20
    """... or of this many bytes, whichever comes first."""

    bulk_actions: int = 250_000
    """Most actions in one `_bulk`: each is answered, and kept until all are."""

    requests: int = 1_000
    """Most requests under way at once, live connections apart; past it, one is refused with
    429."""

    in_flight_bytes: int = 256 << 20
    """Bodies and large answers of all requests under way; past it, a request is refused with 429.
    While it is worked on, a request takes up to four times its body."""

    connections: int = 10_000
    """Most connections open at once; another one is closed with 503."""

    msearch_requests: int = 1_000
    """Most searches in one `_msearch`."""

    mget_docs: int = 10_000
    """Most documents in one `_mget`."""

    wait_s: float = 30.0
    """How long a write with `refresh` or a search with `after` waits for the watermark."""

    search_s: float = 10.0
    """A search that names no `timeout` ends after this, with what it has found by then."""

    max_search_s: float = 60.0
    """Longest `timeout` of a search; one that asks for more gets this."""

    scrolls: int = 500
    """Most scrolls open at once; each keeps a snapshot of the index."""

    scroll_s: float = 300.0
    """Longest time a scroll is kept without being asked."""

    socket_frame_bytes: int = 64 << 10
    """Largest frame a live socket takes."""

    socket_frames_per_s: int = 20
    """Frames a live socket takes a second, over a burst of as many; a client above it waits."""

    socket_subscriptions: int = 100
    """Most subscriptions and searches at once on one live socket."""

    sockets: int = 1_000
    """Most live sockets and event streams at once."""

    ping_s: float = 20.0
    """Time between pings of a live socket; one that does not answer is closed."""

    stuck_s: float = 30.0
    """An event stream, or a large answer, of which nothing is taken for this long is ended; so is
    a request whose body does not come. A socket is ended by its subscription."""
