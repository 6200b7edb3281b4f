"""The socket that a server listens on, taken before anything that takes long."""

from __future__ import annotations

import os
import socket

from index.errors import TailraceError

BACKLOG = 1024


class PortTakenError(TailraceError):
    """Another process listens there."""


class NoSuchHostError(TailraceError):
    """A host that is no address, and no name of one."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; who connects early waits.

    Raises: PortTakenError, NoSuchHostError.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise NoSuchHostError(f"cannot listen at {host}:{port}: {reason}") from error
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two processes may be bound with SO_REUSEADDR; only one can listen.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno or 0).lower()
        raise PortTakenError(
            f"cannot listen at {host}:{port}: {reason}; choose another port with --port or "
            "TAILRACE_SERVER__PORT"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
