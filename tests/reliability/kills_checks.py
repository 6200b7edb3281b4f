"""What must hold when all is quiet: what was acknowledged is there, once, and the newest of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from index.errors import CorruptionError
from index.manifest import decode_manifest, generation_of
from tailrace.verify import NothingToCheckError, check_directory
from tests.e2e.streams import Fields
from tests.reliability.kills_journal import Write
from tests.reliability.kills_servers import LOCAL, Member
from tests.reliability.kills_topic import EVENTS

PAGE = 1_000


async def check_union(members: list[Member], expected: Iterable[Fields]) -> int:
    """Fail where the members together do not hold each document once, as the topic has it."""
    found: Counter[bytes] = Counter()
    for documents in await asyncio.gather(*(read_all(member, EVENTS) for member in members)):
        found.update(map(orjson.dumps, documents))
    wanted = Counter(map(orjson.dumps, expected))
    missing, extra = wanted - found, found - wanted
    assert not missing + extra, (
        f"{missing.total()} missing, such as {[*missing][:3]}; {extra.total()} too many or not the "
        f"newest, such as {[*extra][:3]}"
    )
    return found.total()


async def check_local(member: Member, fates: dict[str, list[Write]]) -> int:
    """Fail where the server's own index is not what its clients were told."""
    documents = await read_all(member, LOCAL)
    found = {str(fields["id"]): fields["n"] for fields in documents}
    assert len(found) == len(documents), f"{member}: an id is there twice"
    wrong = []
    for key, writes in fates.items():
        number = found.pop(key, None)
        if number not in possible_numbers(writes):
            wrong.append(f"{key} is at {number}, not at one of {possible_numbers(writes)}")
    assert not wrong, f"{member}: {len(wrong)} wrong, {wrong[:5]}"
    assert not found, f"{member}: documents that nobody wrote: {[*found][:5]}"
    return len(fates)


async def read_all(member: Member, index: str) -> list[Fields]:
    """Return every document that a server holds, page by page."""
    found: list[Fields] = []
    body: dict[str, Any] = {
        "query": {"match_all": {}},
        "size": PAGE,
        "sort": [
            {"id.keyword": {"order": "asc", "unmapped_type": "keyword"}},
            {"n": {"order": "asc", "unmapped_type": "long"}},
        ],
    }
    while True:
        answer = (await member.server.call("POST", f"/{index}/_search", body))["hits"]
        found += [hit["_source"] for hit in answer["hits"]]
        if not answer["hits"]:
            assert len(found) == answer["total"]["value"], f"{member}: {index} changes"
            return found
        body["search_after"] = answer["hits"][-1]["sort"]


def possible_numbers(writes: list[Write]) -> set[int | None]:
    """Return what a key may be at: its newest acknowledged write, or one after it that was not."""
    possible: set[int | None] = {None}
    for write in writes:
        possible = {write.number} if write.is_acknowledged else possible | {write.number}
    return possible


def check_sound(data: Path) -> int:
    """Fail where `tailrace verify` would find something; return the documents of the directory.

    Requires: no server has it.
    """
    try:
        checked = check_directory(data)
    except NothingToCheckError:
        return 0  # killed before there was anything
    assert not checked.findings, "; ".join(str(finding) for finding in checked.findings)
    return checked.n_docs


def checkpoints(data: Path) -> dict[int, int]:
    """Return the checkpoint of each shard of the Kafka index, read beside a running server."""
    found = {}
    for shard in (data / "indexes" / EVENTS / "shards").glob("[0-9]*"):
        for path in sorted(shard.glob("manifest-*.json"), reverse=True):
            if generation_of(path.name) is None:
                continue
            try:
                found[int(shard.name)] = decode_manifest(path.name, path.read_bytes()).next_offset
                break
            except (OSError, CorruptionError):
                continue  # gone meanwhile
    return found


def check_hints(committed: dict[int, int], directories: list[Path]) -> None:
    """Fail where the broker was told more than any manifest holds. Read after `committed` was."""
    best: Counter[int] = Counter()
    for data in directories:
        best |= Counter(checkpoints(data))
    ahead = {number: at for number, at in committed.items() if at > best[number]}
    assert not ahead, f"committed {ahead}, the newest manifests are at {dict(best)}"
