"""Who a server is in its consumer groups: the same one after a restart, whatever ended it."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

FILE_NAME = "node.id"


def read_member_id(data: Path) -> str:
    """Return the name by which the groups know the server of this data directory.

    It is made of a file in the directory, of where the directory is and of the host's name: a
    copy of the directory is served by somebody else. Requires: this process has the directory.
    """
    path = data / FILE_NAME
    try:
        stored = path.read_text()
    except FileNotFoundError:
        stored = secrets.token_hex(16)
        temporary = path.with_suffix(".tmp")
        with temporary.open("w") as file:
            file.write(stored)
            file.flush()
            os.fsync(file.fileno())
        # Its name need not be durable: a server that loses it is a new member, and waits.
        temporary.replace(path)
    who = "\n".join((stored, socket.gethostname(), str(path.resolve())))
    return f"tailrace-{hashlib.sha256(who.encode()).hexdigest()[:24]}"
