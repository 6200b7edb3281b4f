"""Is a partition of the embedded log sound? Reads everything and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from consumers.log_file import (
    FILE_HEADER,
    BadFrameError,
    base_offset_of,
    check_header,
    decode_records,
    file_name,
    is_known_durable,
    read_frames,
)
from consumers.log_seal import Seal, read_seal
from index.directory import Directory, OpenFile
from index.errors import CorruptionError


class LogHeld(NamedTuple):
    """The offsets [start, end) that a partition holds, and what is wrong with it."""

    start: int
    end: int
    torn: CorruptionError | None
    """Where the end of the newest file is torn, as a crash leaves it: no damage by itself."""
    damages: list[CorruptionError]


def check_log(
    directory: Directory, pace: Callable[[int], None] = lambda n_bytes: None
) -> LogHeld | None:
    """Read every frame of every file up to the first that is damaged; None: there is no file.

    `pace` is called with the bytes that were read since its last call. Raises: StorageError.
    """
    found = (base_offset_of(name) for name in directory.list())
    bases = sorted(base for base in found if base is not None)
    if not bases:
        return None
    seal = read_seal(directory)
    start = end = bases[0]
    torn: CorruptionError | None = None
    damages: list[CorruptionError] = []
    for base in bases:
        name, is_last = file_name(base), base == bases[-1]
        if base != end:
            reason = f"begins at offset {base}, the file before it ends at {end}"
            damages.append(CorruptionError(name, 0, reason))
        try:
            file = directory.open_file(name)
            try:
                if is_last and seal is not None:
                    seal.check(name, base, file.n_bytes)
                end, torn = _check_file(name, file, base, seal) if is_last else (
                    _check_whole(name, file, base), None
                )  # fmt: skip
                pace(file.n_bytes)
            finally:
                file.close()
        except CorruptionError as error:
            damages.append(error)
            break
    return LogHeld(start, end, torn, damages)


def _check_whole(name: str, file: OpenFile, base_offset: int) -> int:
    """Return the offset behind the last record. Raises: CorruptionError."""
    end, bad = _read(name, file, base_offset)
    if bad is not None:
        raise CorruptionError(name, bad.position, bad.reason)
    return end


def _check_file(
    name: str, file: OpenFile, base_offset: int, seal: Seal | None
) -> tuple[int, CorruptionError | None]:
    """As `_check_whole`, of the newest file, whose end a crash may have torn."""
    if file.n_bytes <= FILE_HEADER.size and seal is None:
        return base_offset, None  # nothing was acknowledged from it; its header may be torn
    end, bad = _read(name, file, base_offset)
    if bad is None:
        return end, None
    error = CorruptionError(name, bad.position, bad.reason)
    if seal is not None or is_known_durable(file, bad.position, file.n_bytes):
        raise error
    return end, error


def _read(name: str, file: OpenFile, base_offset: int) -> tuple[int, BadFrameError | None]:
    """Read all frames; return the offset behind the last, and why there is no other."""
    check_header(name, file, base_offset)
    next_offset = base_offset
    try:
        for frame in read_frames(file, FILE_HEADER.size, file.n_bytes):
            if frame.base_offset != next_offset:
                reason = f"offset {next_offset} is missing, {frame.base_offset} follows"
                raise CorruptionError(name, frame.position, reason)
            decode_records(name, frame)
            next_offset = frame.next_offset
    except BadFrameError as error:
        return next_offset, error
    return next_offset, None
