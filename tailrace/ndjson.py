"""Documents out of NDJSON files: plain, .gz, .zst, or `-` for stdin."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson
import zstandard

from index.errors import TailraceError

BUFFER_BYTES = 1 << 20
CHUNK_BYTES = 32 << 10


class UnreadableError(TailraceError):
    """A file that cannot be read, or not to its end."""


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

        Raises: UnreadableError where the file cannot be read on.
        """
        number = 0
        try:
            with self._open() as file:
                for number, raw in enumerate(file, start=1):
                    if number > after and not raw.isspace():
                        yield _parse(number, raw)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            place = f" behind line {number}" if number else ""
            raise UnreadableError(f"{self.name}: {_reason_of(error)}{place}") from error

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
            return io.BufferedReader(_ZstdReader(raw), BUFFER_BYTES)
        return raw


class _ZstdReader(io.RawIOBase):
    """The content of all frames of a file. One that is cut off is an error, not an end:
    `stream_reader` would not tell."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: Any = None
        self._out = memoryview(b"")
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises: EOFError where the last frame is cut off; zstandard.ZstdError."""
        while not self._out:
            if not self._input:
                self._input = self._raw.read(CHUNK_BYTES)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the file is cut off")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._out = memoryview(self._frame.decompress(self._input))
            self._input = b""
            if self._frame.eof:
                self._input, self._frame = self._frame.unused_data, None
        n_bytes = min(len(buffer), len(self._out))
        buffer[:n_bytes] = self._out[:n_bytes]
        self._out = self._out[n_bytes:]
        return n_bytes


def _reason_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return " ".join(str(error).split()).lower()


def _parse(number: int, raw: bytes) -> Line:
    try:
        document = orjson.loads(raw)
    except ValueError as error:
        return Line(number, None, f"not JSON: {error}")
    if not isinstance(document, dict):
        return Line(number, None, "not a JSON object")
    return Line(number, document, None)
