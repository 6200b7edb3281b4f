"""Documents out of NDJSON files: plain, .gz, .zst, or `-` for stdin."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson
import zstandard

BUFFER_BYTES = 1 << 20


class Line(NamedTuple):
    """One line of a file, counted from 1, with the error that makes it no document."""

    number: int
    document: dict[str, Any] | None
    error: str | None


class NdjsonFile:
    """Lines of one file. `position` tells how many of its `n_bytes` on disk have been read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_stdin = name == "-"
        self.n_bytes = None if self.is_stdin else Path(name).stat().st_size
        self._raw: IO[bytes] | None = None

    @property
    def position(self) -> int:
        if self._raw is None or self._raw.closed:
            return self.n_bytes or 0
        return 0 if self.is_stdin else self._raw.tell()

    def lines(self, *, after: int = 0) -> Iterator[Line]:
        """Yield the lines past number `after`; blank ones are passed over.

        Raises: OSError, EOFError, zstandard.ZstdError where the file cannot be read on.
        """
        with self._open() as file:
            for number, raw in enumerate(file, start=1):
                if number > after and not raw.isspace():
                    yield _parse(number, raw)

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self.is_stdin:
            self._raw = sys.stdin.buffer
            yield self._raw
            return
        with open(self.name, "rb") as raw:
            self._raw = raw
            yield self._decompress(raw)

    def _decompress(self, raw: IO[bytes]) -> IO[bytes]:
        if self.name.endswith(".gz"):
            return gzip.open(raw)  # type: ignore[return-value]
        if self.name.endswith(".zst"):
            reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            return io.BufferedReader(reader, BUFFER_BYTES)
        return raw


def _parse(number: int, raw: bytes) -> Line:
    try:
        document = orjson.loads(raw)
    except ValueError as error:
        return Line(number, None, f"not JSON: {error}")
    if not isinstance(document, dict):
        return Line(number, None, "not a JSON object")
    return Line(number, document, None)
