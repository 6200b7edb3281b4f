"""What can be tuned in the index, each with its effect and when to change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

CheckOnOpen: TypeAlias = Literal["all", "tables"]


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """Options of one index; all of its shards share them."""

    memtable_bytes: int = 64 << 20
    """Flush when the memtable holds this much. Larger: fewer, bigger segments and faster bulk
    loads; slower recovery and more memory. Raise it for imports."""

    memtable_docs: int = 100_000
    """Flush when the memtable holds this many documents: a chain walk costs more with each."""

    merge_factor: int = 8
    """Merge this many neighbouring segments, or more, that are alike in size. Smaller: fewer
    segments to search, more bytes rewritten."""

    max_merged_bytes: int = 4 << 30
    """Never merge into a segment larger than this."""

    stored_block_bytes: int = 16 << 10
    """Sources are compressed in blocks of this size. Larger: smaller files, slower fetches."""

    zstd_level: int = 1
    """Of stored sources. 3 makes them some 2 % smaller and takes a quarter more time."""

    check_on_open: CheckOnOpen = "all"
    """What is compared with its checksums before a shard serves: every byte, some gigabytes a
    second of processor time, or as fast as the disk can be read; or the tables of its files alone,
    and the rest beside the first searches, which may then meet damage before it is found. Tables
    are for shards that cannot be read in the time that a start may take."""

    max_fields: int = 1_000
    """Most fields a mapping may grow to; the next new field is a mapping error."""

    max_depth: int = 20
    """Deepest nesting of objects in a document."""

    max_term_bytes: int = 32_766
    """A longer keyword is a mapping error (as in Lucene); a longer token of a text is split."""

    max_key_bytes: int = 512
    """Longest document id in bytes, as in OpenSearch."""
