"""Ask everything of segments with flipped bytes whose checksums nobody looks at.

    python -m tests.index.hostile_child SEED SEGMENTS

prints what was raised that is no error of ours, one a line; a read outside an array would end
the process, or with NUMBA_BOUNDSCHECK=1 be an IndexError.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from index.aggregate.run import aggregate
from index.errors import TailraceError
from index.format import Sections
from index.manifest import SegmentMeta
from index.part import Part
from index.query.parse_json import parse_search
from index.reader import View
from index.schema import Schema
from index.searcher import Searcher
from index.segment import Segment
from tests.index.random_aggregations import RandomAggregations
from tests.index.search_world import NOW_MS, World
from tests.index.test_aggregate_oracle import no_hits

SEARCHES = 12
N_DOCS = 400


def a_segment(world: World) -> tuple[SegmentMeta, bytes]:
    """Return the largest segment of the world's shard."""
    entries = world._engine.manifest.segments
    meta = max((entry.meta for entry in entries), key=lambda meta: meta.n_docs)
    return meta, world._disk.files[meta.name]


def damaged(data: bytes, name: str, chance: random.Random) -> np.ndarray:
    """Return the bytes with some of one section changed."""
    out = np.frombuffer(bytearray(data), np.uint8)
    entries = [entry for entry in Sections(name, out)._entries.values() if entry.length]
    entry = chance.choice(entries)
    for _ in range(chance.choice([1, 1, 3, 20])):
        at = entry.offset + chance.randrange(entry.length)
        out[at] = chance.choice([0, 255, 127, 128, int(out[at]) ^ 1 << chance.randrange(8)])
    return out


def alive_of(n_docs: int, chance: random.Random) -> np.ndarray | None:
    if chance.random() < 0.5:
        return None
    flags = np.array([chance.random() < 0.8 for _ in range(n_docs)])
    words = np.zeros((n_docs + 63) // 64, np.uint64)
    words.view(np.uint8)[: (n_docs + 7) // 8] = np.packbits(flags, bitorder="little")
    return words


def ask_everything(segment: Segment, schema: Schema, world: World, found: list[str]) -> None:
    chance = world.random
    part: list[Part] = []

    def open_part() -> None:
        alive = alive_of(segment.n_docs, chance)
        part.append(Part(segment, name="1.seg", shard=0, alive=alive))

    attempt(open_part, found)
    requests = RandomAggregations(world.ask)
    for _ in range(SEARCHES if part else 0):
        attempt(lambda: search(part[0].view, schema, world.body()), found)
        attempt(lambda: group(part[0].view, schema, requests.aggs(0)), found)


def search(view: View, schema: Schema, body: dict[str, Any]) -> None:
    searcher = Searcher((view,), schema, NOW_MS)
    request = parse_search(body | {"highlight": {"fields": {"*": {}}}})
    result = searcher.search(request)
    for hit in result.hits:
        view.reader.source(hit.doc_id)
        view.reader.key(hit.doc_id)
        view.reader.version(hit.doc_id)


def group(view: View, schema: Schema, aggs: dict[str, Any]) -> None:
    aggregate([Searcher((view,), schema, NOW_MS)], parse_search({"aggs": aggs}), no_hits)


def attempt(work: Callable[[], None], found: list[str]) -> None:
    try:
        work()
    except TailraceError:
        pass
    except Exception:
        found.append(traceback.format_exc(limit=-3))


def main(seed: int, n_segments: int) -> int:
    world = World(seed, N_DOCS)
    world.flush()
    meta, data = a_segment(world)
    found: list[str] = []
    for number in range(n_segments):
        world.random.seed(seed * 100_003 + number)
        bytes_ = damaged(data, meta.name, world.random)
        try:
            segment = Segment(Sections(meta.name, bytes_), meta)
        except TailraceError:
            continue
        ask_everything(segment, world.schema, world, found)
    for text in found:
        sys.stdout.write(text + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
