"""Make the corpora that ship with the package from the full ones.

    python -m bench.make_demo_data FOLDER [TARGET]

FOLDER holds debian-en.ndjson.zst and stream-pypa-advisories.ndjson.zst; TARGET is
tailrace/data unless told. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

PACKAGE_FIELDS = ("id", "title", "text", "section", "tags", "version", "size", "homepage")
ADVISORY_FIELDS = ("id", "op", "ts", "dir", "title", "text")
KEEP_ONE_PACKAGE_IN = 4
LEVEL = 19
LIMIT_BYTES = 3_000_000

Document = dict[str, Any]


def read_documents(path: Path) -> Iterator[Document]:
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def choose_packages(documents: Iterator[Document]) -> Iterator[Document]:
    """Keep every n-th package by a hash of its id, and of it what a search page shows."""
    for document in documents:
        digest = hashlib.sha256(document["id"].encode()).digest()
        if digest[0] % KEEP_ONE_PACKAGE_IN == 0:
            yield {name: document[name] for name in PACKAGE_FIELDS if document.get(name)}


def choose_advisories(events: Iterator[Document]) -> Iterator[Document]:
    """Keep every event: a stream with holes would end in another state than the real one."""
    for event in events:
        yield {name: event[name] for name in ADVISORY_FIELDS if name in event}


def write_documents(path: Path, documents: Iterator[Document]) -> int:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, window_log=25, enable_ldm=True
    )
    lines = [json.dumps(document, ensure_ascii=False).encode() for document in documents]
    raw = b"\n".join(lines) + b"\n"
    path.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(raw))
    print(f"{path}: {len(lines)} lines, {len(raw)} bytes, {path.stat().st_size} compressed")
    return path.stat().st_size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path, nargs="?", default=Path("tailrace/data"))
    arguments = parser.parse_args()
    packages = read_documents(arguments.folder / "debian-en.ndjson.zst")
    advisories = read_documents(arguments.folder / "stream-pypa-advisories.ndjson.zst")
    total = write_documents(
        arguments.target / "packages.ndjson.zst", choose_packages(packages)
    ) + write_documents(arguments.target / "advisories.ndjson.zst", choose_advisories(advisories))
    if total > LIMIT_BYTES:
        print(f"{total} bytes are more than {LIMIT_BYTES}: keep fewer packages", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
