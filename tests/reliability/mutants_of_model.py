"""Wrong versions of engine, merge and search, each with the short history that finds it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from index import engine, jobs, part
from index.batch import Batch
from index.document import Op
from index.engine import Engine
from index.jobs import FlushJob, MergeJob
from index.memtable_draft import MemtableDraft
from index.merge import MergeDraft
from index.options import IndexOptions
from index.query import sort
from index.query.filter_cache import FilterCache
from index.query.program import Matches
from index.reader import FieldStats
from tests.reliability.model import expected_of, run_steps
from tests.reliability.model_steps import Change, Configuration, Step, Woven
from tests.reliability.mutant import Mutant
from tests.reliability.program import Violation

PLAIN = Configuration(IndexOptions(merge_factor=2), 1, "read", 1 << 20, {})
OWN_KINDS = {"flush", "crash", "keep_a_view", "ask_the_kept", "replay"}
OWN_KINDS |= {"merge_all", "merge_all_begins", "merge_goes_on", "flush_begins", "flush_goes_on"}


def put(*numbers: int, text: str = "fox", version: int | None = None) -> Step:
    fields = {"body": f"the {text}", "tag": text, "n": 1}
    keys = [str(number).encode() for number in numbers]
    return Step("upserts", [Change(Op.UPSERT, key, fields, version) for key in keys])


def delete(number: int, version: int | None = None) -> Step:
    return Step("deletes", [Change(Op.DELETE, b"%d" % number, None, version)])


def ask(query: dict[str, Any], **more: Any) -> Step:
    return Step("ask_all", {"query": query, "size": 10, **more})


FOX = {"match": {"body": "fox"}}
ASK = ask(FOX)
GOT = Step("got")
FILTERED = ask({"bool": {"filter": [{"prefix": {"tag": "fo"}}]}})


def histories(*steps: Step | str) -> None:
    """Run one history. Raises: Violation."""
    life = [step if isinstance(step, Step) else Step(step) for step in steps]
    life = [step._replace(kind="upserts") if step.kind == "deletes" else step for step in life]
    expected = expected_of([step for step in life if step.kind not in OWN_KINDS])
    try:
        run_steps(PLAIN, [Woven(step, 1) for step in life], iter(expected))
    except Exception as error:
        raise Violation("a mutant's history", f"{type(error).__name__}: {error}") from error


MERGED = ("merge_all_begins", *["merge_goes_on"] * 4)
TWO_SEGMENTS = (put(1, 2), "flush", put(3, 4), "flush")


@contextmanager
def both(*patches: AbstractContextManager[Any]) -> Iterator[None]:
    for each in patches:
        each.__enter__()
    try:
        yield
    finally:
        for each in patches:
            each.__exit__(None, None, None)


def replaced(owner: Any, name: str, wrong: Any) -> Callable[[], AbstractContextManager[None]]:
    return lambda: both(patch.object(owner, name, wrong))


def no_carry_over(alive: Any, since: Any, doc_map: Any, out: Any, n_out: int) -> Any:
    return out


def cleared_in_place(words: Any, n_docs: int, doc_ids: Any) -> Any:
    copy = part.full_bitset(n_docs) if words is None else words
    ids = doc_ids.astype(np.uint64)
    one = np.uint64(1)
    np.bitwise_and.at(copy, (ids >> np.uint64(6)).astype(np.int64), ~(one << (ids & np.uint64(63))))
    return copy


def drops_what_is_dead_now(self: MergeJob, *arguments: Any, write: Any) -> None:
    self.living = [each.alive for each in self.inputs]
    write(self, *arguments)


def one_too_far(self: FlushJob, commit: Any) -> None:
    self.checkpoint += 1
    commit(self)


def ties_backwards(self: Matches, ranked: Any) -> Any:
    found = ranked(self)
    return sorted(found, key=lambda each: (-each[2], -each[0], -each[1]))


def with_the_dead(reader: Any, alive: Any, field_no: int) -> FieldStats:
    return reader.field_stats(field_no)  # type: ignore[no-any-return]


def after_or_at(columns: Any, after: Any, after_only: Any) -> Any:
    kept = after_only(columns, after)
    return np.union1d(kept, np.maximum(kept[:1] - 1, 0))


def bound(owner: Any, name: str, wrong: Any, **known: str) -> Any:
    """Return the mutant of a method that goes on with what was there."""
    [(argument, attribute)] = known.items()
    inner = getattr(owner, attribute)

    def method(*arguments: Any) -> Any:
        return wrong(*arguments, **{argument: inner})

    return replaced(owner, name, method)


# fmt: off
MUTANTS: list[Mutant] = [
    Mutant(
        "merge_ignores_deletes",
        "what was deleted while a merge or flush ran is alive again",
        replaced(engine, "carry_over", no_carry_over),
        partial(
            histories,
            *TWO_SEGMENTS, "merge_all_begins", "merge_goes_on", delete(1),
            *["merge_goes_on"] * 3, ASK, GOT,
        ),
    ),
    Mutant(
        "merge_forgets_flushed_deletes",
        "a merge is committed without the deletes that flushes made durable meanwhile",
        replaced(jobs, "carry_over", no_carry_over),
        partial(
            histories,
            *TWO_SEGMENTS, "merge_all_begins", "merge_goes_on", delete(1), "flush",
            *["merge_goes_on"] * 3, "crash", ASK, GOT,
        ),
    ),
    Mutant(
        "merge_drops_the_undurable",
        "a merge drops what only died after the checkpoint",
        bound(MergeJob, "write", drops_what_is_dead_now, write="write"),
        partial(
            histories,
            *TWO_SEGMENTS, Step("update", [Change(Op.UPDATE, b"1", {"n": 7})]), *MERGED,
            "crash", ASK, GOT,
        ),
    ),
    Mutant(
        "tombstone_dropped_by_merge",
        "a merge forgets versioned deletes",
        replaced(MergeDraft, "tombstones", lambda self: {}),
        partial(
            histories,
            put(1, version=3), "flush", delete(1, version=9), put(2), "flush", *MERGED,
            put(1, version=5), ASK,
        ),
    ),
    Mutant(
        "tombstone_dropped_by_flush",
        "a flush forgets versioned deletes",
        replaced(MemtableDraft, "tombstones", lambda self: {}),
        partial(
            histories,
            delete(1, version=9), put(2), "flush", put(1, version=5), ASK,
        ),
    ),
    Mutant(
        "version_forgotten_by_plain_batches",
        "a batch of plain upserts does not look at the versions that are there",
        lambda: both(patch("index.plain_batch._are_newer", lambda offsets, places: True)),
        partial(histories, put(1, version=50), put(1, text="dog"), GOT),
    ),
    Mutant(
        "version_of_the_dead",
        "a document that is not there has version 0",
        replaced(Batch, "_tombstone", lambda self, key: -1),
        partial(histories, delete(1, version=9), put(1, version=5), ASK),
    ),
    Mutant(
        "view_not_a_snapshot",
        "deletes show in views that were handed out before",
        replaced(part, "clear_docs", cleared_in_place),
        partial(
            histories,
            put(1, 2, 3), "flush", delete(1), "keep_a_view", delete(2), "ask_the_kept",
        ),
    ),
    Mutant(
        "filter_of_another_segment",
        "a kept filter is taken for whatever segment comes next",
        lambda: both(
            patch.object(FilterCache, "_is_of", lambda self, reader: True),
            patch("index.query.filter_cache.id", lambda reader: 0, create=True),
        ),
        partial(
            histories,
            put(1, 2), put(3, text="dog"), "flush",
            FILTERED,
            put(4, text="dog"), put(5, 6, 7), "flush",
            FILTERED,
        ),
    ),
    Mutant(
        "ties_backwards",
        "of hits with one score the newest comes first",
        bound(Matches, "ranked", ties_backwards, ranked="ranked"),
        partial(
            histories, put(1, 2, 3), Step("pages_of_the_whole", {"term": {"n": 1}})
        ),
    ),
    Mutant(
        "checkpoint_one_too_far",
        "a flush commits the offset after the next record",
        bound(FlushJob, "commit", one_too_far, commit="commit"),
        partial(histories, put(1), "flush", put(2, 3), "crash", ASK, GOT),
    ),
    Mutant(
        "scores_count_the_dead",
        "documents that are deleted count until they are merged away",
        replaced(part, "live_stats", with_the_dead),
        partial(
            histories,
            put(1, text="fox fox fox fox"), put(2), "flush", delete(1), "flush", "crash", ASK,
        ),
    ),
    Mutant(
        "replay_applies_again",
        "events below the next offset are applied again",
        bound(Engine, "_decide", lambda self, *a, decide: _decided_again(self, a, decide),
              decide="_decide"),
        partial(histories, put(1), put(2), "flush", "replay", GOT),
    ),
    Mutant(
        "page_repeats_its_end",
        "a page begins with the last hit of the one before",
        bound(sort, "_after", after_or_at, after_only="_after"),
        partial(
            histories,
            put(1, 2, 3, 4),
            Step("walked", {"query": FOX, "size": 2, "sort": ["n", {"_id": "asc"}]}),
        ),
    ),
]
# fmt: on


def _decided_again(self: Engine, arguments: Any, decide: Any) -> Any:
    kept, self._next_offset = self._next_offset, -1
    try:
        return decide(self, *arguments)
    finally:
        self._next_offset = kept
