"""The one error tree.

Every error that a user can cause or must act on derives from `TailraceError` and
carries the OpenSearch `type` and the HTTP `status` that a server answers with, so that
nothing has to be translated twice.

TailraceError
├── InvalidQueryError        400  a query or search body that cannot be understood
├── InvalidRequestError      400  an argument outside its range, an unknown option
├── TooManyBucketsError      400  aggregations that would answer more buckets than is allowed
├── MappingError             400  a value that does not fit its field; a mapping that cannot be
├── IndexExistsError         400  an index of this name is already there
├── IndexNotFoundError       404  no such index
├── DocumentNotFoundError    404  no such document
├── VersionConflictError     409  `create` of a document that exists, or a stale version
├── TimedOutError            504  the watermark did not pass in time
├── OverloadError            429  too much in flight; come back later
├── ShardFailedError         503  the shard that it belongs to has failed
├── SearchFailedError        503  shards that a search needs have failed
└── StorageError             500  the disk said no
    ├── CorruptionError      500  bytes in the directory are not the bytes we wrote
    ├── FencedError          503  another owner has taken the directory over
    ├── ExhaustedError       429  the disk is full, or no more files can be open
    └── UnsettledError       500  an edit that may be durable already
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final


class TailraceError(Exception):
    """Base of every error in this package. `str(error)` is one line, lowercase, no full stop."""

    type: str = "exception"
    status: int = 500
    retry_after_s: int | None = None
    """When the same is worth trying again, where it ever is."""


class InvalidQueryError(TailraceError):
    type = "parsing_exception"
    status = 400


class InvalidRequestError(TailraceError):
    type = "illegal_argument_exception"
    status = 400


class TooManyBucketsError(TailraceError):
    type = "too_many_buckets_exception"
    status = 400

    def __init__(self, n_buckets: int, limit: int) -> None:
        super().__init__(
            "trying to create too many buckets, must be less than or equal to: "
            f"[{limit}] but was [{n_buckets}]"
        )
        self.limit = limit


class MappingError(TailraceError):
    type = "mapper_parsing_exception"
    status = 400


class IndexExistsError(TailraceError):
    type = "resource_already_exists_exception"
    status = 400


class IndexNotFoundError(TailraceError):
    type = "index_not_found_exception"
    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"no such index [{name}]")
        self.index = name


class DocumentNotFoundError(TailraceError):
    type = "document_missing_exception"
    status = 404


class VersionConflictError(TailraceError):
    type = "version_conflict_engine_exception"
    status = 409


class TimedOutError(TailraceError):
    type = "timeout_exception"
    status = 504


class OverloadError(TailraceError):
    type = "rejected_execution_exception"
    status = 429
    retry_after_s = 1


class ShardFailedError(TailraceError):
    type = "unavailable_shards_exception"
    status = 503


class SearchFailedError(TailraceError):
    type = "search_phase_execution_exception"
    status = 503


class StorageError(TailraceError):
    type = "storage_exception"


class CorruptionError(StorageError):
    """Bytes in the directory are not the bytes we wrote."""

    type = "corruption_exception"

    def __init__(self, name: str, offset: int, reason: str) -> None:
        super().__init__(f"{name} at byte {offset}: {reason}")
        self.name = name
        self.offset = offset
        self.reason = reason


class FencedError(StorageError):
    """Another owner has taken the directory over, and what it made must stay as it is: who gets
    this changes nothing there any more."""

    type = "fenced_exception"
    status = 503


class ExhaustedError(StorageError):
    """There is no room, or no more files can be open. Nothing was done, what was half done is
    gone, and the same can be tried again later: nothing is wrong with what the directory holds."""

    type = "rejected_execution_exception"
    status = 429
    retry_after_s = 5


class UnsettledError(StorageError):
    """An edit is in the directory, or may be, and it is not known to be durable. Nothing may be
    promised on it, and no other edit may follow until `Job.commit` has been called again and
    has returned, or the shard is opened again."""


# errno -> what follows from it. Every other one (EIO, EROFS, ...): a StorageError, after which
# the file that was written is dead.
KINDS: Final[Mapping[int, type[StorageError]]] = {
    errno.ENOSPC: ExhaustedError,
    errno.EDQUOT: ExhaustedError,
    errno.EMFILE: ExhaustedError,
    errno.ENFILE: ExhaustedError,
    errno.ENOMEM: ExhaustedError,  # of a map: as many as the system allows are there
}


def storage_error(name: str, error: OSError) -> StorageError:
    """Return what the system said of a file, as an error of its kind."""
    kind = KINDS.get(error.errno or 0, StorageError)
    return kind(f"{name}: {error.strerror or error}")
