"""Random lives of an index: what is written, what is asked, and what its engine does meanwhile.

A history is what the log and the searchers see: writes and questions. It is woven with what one
configuration does on its own, at moments of its own: flushes, merges, crashes, old views. Every
step is plain data that holds all it needs, so that steps can be left out and the rest runs again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from index.document import Op
from index.options import IndexOptions
from tests.index.random_aggregations import RandomAggregations
from tests.index.random_queries import DATES, KINDS, WORDS, RandomQueries

BAD_VALUES: dict[str, Any] = {"n": "no number", "d": "never", "b": "maybe"}
"""Of a mapped field, a value that it does not take."""
SORT_FIELDS = ["n", "f", "d", "tag", "o.x", "b"]
ADDED_FIELDS: dict[str, str] = {"p0": "keyword", "p1": "long", "p2": "text"}
"""Fields that a change of the mapping adds, with their types."""

Body = dict[str, Any]


class Step(NamedTuple):
    kind: str
    what: Any = None


class Change(NamedTuple):
    """One event before it has a place in the log."""

    op: Op
    key: bytes
    fields: Body | None = None
    version: int | None = None
    upsert: Body | None = None


def fits(source: Body) -> bool:
    """Return whether the mapping takes a document."""
    return all(source.get(name) != value for name, value in BAD_VALUES.items())


class RandomSteps:
    """Makes the steps of one history."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self.ask = RandomQueries(source)
        self._aggregations = RandomAggregations(self.ask)
        self._n_keys = source.choice([2, 6, 15, 40])

    def history(self, n: int) -> list[Step]:
        """Return `n` writes and questions, the first a write."""
        weights = {kind: weight for kind, (weight, _) in LOGICAL.items()}
        kinds = self.random.choices(list(weights), list(weights.values()), k=n)
        return [self.of(kind) for kind in ["upserts", *kinds[1:]]]

    def of(self, kind: str) -> Step:
        return Step(kind, LOGICAL[kind][1](self))

    # --- writes --------------------------------------------------------------------------
    def key(self) -> bytes:
        return str(self.random.randrange(self._n_keys)).encode()

    def document(self) -> Body:
        r, words = self.random, self.ask.words
        whole: Body = {
            "title": r.choice([words(6), "", [words(), words()], None]),
            "body": words(r.choice([3, 12])),
            "tag": r.choice([r.choice(WORDS), r.choices(WORDS, k=3)]),
            "n": r.choice([r.randint(-3, 9), [r.randint(-3, 9), r.randint(-3, 9)], None]),
            "f": r.choice([0.5, -1.25, 2.0, 3.75]),
            "d": r.choice(DATES),
            "b": r.random() < 0.5,
            "o": {"x": r.choice(WORDS), "y": r.randint(0, 4)},
        }
        return {name: value for name, value in whole.items() if r.random() < 0.6}

    def part(self) -> Body:
        """Return a partial document."""
        whole = self.document()
        names = self.random.sample(sorted(whole), k=min(len(whole), 2))
        return {name: whole[name] for name in names}

    def unmapped(self) -> Body:
        """Return a document with fields that the mapping has to grow for, or has grown for."""
        r = self.random
        new: Body = {f"w{r.randrange(3)}": f"so {self.ask.words()}", f"m{r.randrange(3)}": 7}
        return self.document() | r.choice([new, {"deep": {f"w{r.randrange(2)}": "so it is"}}])

    def bad(self) -> Body:
        name = self.random.choice(sorted(BAD_VALUES))
        return self.document() | {name: BAD_VALUES[name]}

    def _version(self) -> int:
        return self.random.randint(1, 90)

    def _upserts(self) -> list[Change]:
        n = self.random.choice([2, 4, 8, 16])
        return [Change(Op.UPSERT, self.key(), self.document()) for _ in range(n)]

    def _deletes(self) -> list[Change]:
        keys = {self.key() for _ in range(self.random.randint(1, 3))}
        return [Change(Op.DELETE, key) for key in sorted(keys)]

    def _update_or(self) -> list[Change]:
        part = self.part()
        upsert = self.random.choice([part, self.document()])
        return [Change(Op.UPDATE, self.key(), part, upsert=upsert)]

    def _bulk(self) -> list[Change]:
        """Return a bit of everything, some of it refused by the mapping."""
        r = self.random
        made: list[Callable[[], list[Change]]] = [
            lambda: [Change(Op.UPSERT, self.key(), self.document())],
            lambda: [Change(Op.UPSERT, self.key(), self.bad())],
            lambda: [Change(Op.CREATE, self.key(), self.document())],
            lambda: [Change(Op.UPDATE, self.key(), r.choice([self.part(), self.bad()]))],
            lambda: [Change(Op.UPSERT, self.key(), self.document(), self._version())],
            self._deletes,
            self._update_or,
        ]
        return [change for _ in range(r.randint(2, 6)) for change in r.choice(made)()]

    # --- questions -----------------------------------------------------------------------
    def search(self, query: Body) -> Body:
        size = self.random.choice([0, 3, 10, 500])
        return {"query": query, "size": size, "from": self.random.choice([0, 0, 2])}

    def _sorted(self) -> Body:
        r = self.random
        keys = [self.ask.sort_key() for _ in range(r.randint(1, 2))]
        return {**self.search(self.ask.query(2)), "sort": keys, "track_scores": r.random() < 0.3}

    def _walk(self) -> Body:
        r = self.random
        field = {r.choice(SORT_FIELDS): {"order": r.choice(["asc", "desc"])}}
        sort = [field, {"_id": r.choice(["asc", "desc"])}]
        return {"query": self.ask.query(2), "size": r.choice([1, 3, 7]), "sort": sort}

    def _scroll(self) -> Body:
        return {**self._walk(), "size": 2, "from": 0}

    def _restricted(self) -> Body:
        body = self.search(self.ask.query(1))
        return body | self.random.choice([{"min_score": 0.5}, {"post_filter": self.ask.query(3)}])

    def _limited(self) -> Body:
        limit = self.random.choice([False, 0, 2])
        return {"query": self.ask.query(2), "size": 3, "track_total_hits": limit}

    def _shown(self) -> Body:
        """Return a search that asks for all that can be shown of a hit."""
        r = self.random
        shown = {
            "highlight": {"fields": {"*": {}}, "require_field_match": r.random() < 0.5},
            "fields": ["o.*", "n"],
            "_source": r.choice([True, {"excludes": ["t*", "o.x"]}]),
            "version": True,
            "seq_no_primary_term": True,
        }
        sort = [{"_id": "asc"}]
        return {"query": self.ask.query(2), "size": 20, "sort": sort, **shown}

    def _aggregated(self) -> Body:
        query = self.random.choice([{"match_all": {}}, self.ask.query(2)])
        return {"query": query, "size": 0, "aggs": self._aggregations.aggs(1)}

    def _unmapped_query(self) -> Body:
        r = self.random
        query = r.choice(
            [
                {"match": {f"w{r.randrange(3)}": self.ask.words()}},
                {"prefix": {f"w{r.randrange(3)}.keyword": "so"}},
                {"range": {f"m{r.randrange(3)}": {"gte": r.randint(6, 8)}}},
                {"exists": {"field": r.choice(["w*", "deep.w0", "m1", "p0"])}},
                {"match": {"deep.w1": "so"}},
            ]
        )
        return self.search(query)

    def pair(self) -> tuple[Body, Body]:
        return self.ask.query(1), self.ask.query(1)


def _one(op: Op, make: Callable[[RandomSteps], Body]) -> Callable[[RandomSteps], list[Change]]:
    return lambda steps: [Change(op, steps.key(), make(steps))]


def _asked(kind: str) -> Callable[[RandomSteps], Body]:
    return lambda steps: steps.search(steps.ask.of(kind, 1))


Make = Callable[[RandomSteps], Any]

WRITES: dict[str, tuple[float, Make]] = {
    "upserts": (5, RandomSteps._upserts),
    "upsert": (2, _one(Op.UPSERT, RandomSteps.document)),
    "upsert_of_new_fields": (1.5, _one(Op.UPSERT, RandomSteps.unmapped)),
    "create": (1, _one(Op.CREATE, RandomSteps.document)),
    "update": (2, _one(Op.UPDATE, RandomSteps.part)),
    "update_of_new_fields": (0.5, _one(Op.UPDATE, RandomSteps.unmapped)),
    "update_or_insert": (1, RandomSteps._update_or),
    "delete": (3, RandomSteps._deletes),
    "versioned_upsert": (
        1.5,
        lambda s: [Change(Op.UPSERT, s.key(), s.document(), s._version()) for _ in range(2)],
    ),
    "versioned_delete": (
        1,
        lambda s: [Change(Op.DELETE, s.key(), None, s._version()) for _ in range(2)],
    ),
    "bulk_with_rejects": (3, RandomSteps._bulk),
    "written_again": (1, lambda s: s.random.randrange(1 << 30)),
    "hole_in_the_log": (0.5, lambda s: s.random.randint(1, 3)),
    "field_added": (0.5, lambda s: s.random.choice(sorted(ADDED_FIELDS))),
}
"""Kind -> how often, and what makes it."""
QUESTIONS: dict[str, tuple[float, Make]] = {
    **{f"ask_{kind}": (0.5, _asked(kind)) for kind in KINDS},
    "ask_new_fields": (1, RandomSteps._unmapped_query),
    "sorted": (2, RandomSteps._sorted),
    "restricted": (1, RandomSteps._restricted),
    "limited": (1, RandomSteps._limited),
    "walked": (1, RandomSteps._walk),
    "scroll_begins": (0.7, RandomSteps._scroll),
    "scroll_goes_on": (1, lambda s: None),
    "shown": (1, RandomSteps._shown),
    "aggregated": (2, RandomSteps._aggregated),
    "counted": (0.5, lambda s: s.ask.query(1)),
    "got": (1, lambda s: None),
    "explained": (0.3, lambda s: s.ask.query(2)),
}
RELATIONS: dict[str, tuple[float, Make]] = {
    "and_or_not": (0.7, RandomSteps.pair),
    "phrase_within_and": (0.5, lambda s: (s.ask.words(), s.ask.text_field())),
    "prefix_is_its_terms": (0.5, lambda s: s.random.choice(["q", "ru", "fo", "", "日"])),
    "filter_before_or_after": (0.7, RandomSteps.pair),
    "pages_of_the_whole": (0.7, lambda s: s.ask.query(1)),
    "standing_query": (1, lambda s: s.ask.query(1)),
    "boost_scales": (0.3, lambda s: s.ask.query(1)),
}
LOGICAL = WRITES | QUESTIONS | RELATIONS

PHYSICAL: dict[str, float] = {
    "flush": 6,
    "flush_begins": 4,
    "flush_goes_on": 4,
    "flush_given_up": 0.3,
    "merge": 2,
    "merge_begins": 3,
    "merge_all_begins": 2,
    "merge_goes_on": 5,
    "merge_given_up": 0.3,
    "merge_all": 1,
    "merge_to_two": 0.5,
    "expunge": 1,
    "crash": 1.5,
    "reopen": 0.7,
    "replay": 1,
    "keep_a_view": 1,
    "ask_the_kept": 1.5,
    "verify": 0.3,
}
"""Kind -> how often."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run a history; all must give the same answers."""

    options: IndexOptions
    n_shards: int
    form: str
    """How events come: `read` by the kernel from their JSON, `parsed` before, or `mixed`."""
    filter_bytes: int | None
    """None: no filters are kept."""
    kinds: dict[str, float]
    """How often what happens."""


def random_configuration(r: random.Random) -> Configuration:
    options = IndexOptions(
        memtable_docs=r.choice([4, 15, 1_000]),
        merge_factor=r.choice([2, 2, 3, 8]),
        max_merged_bytes=r.choice([4 << 30, 4 << 30, 8 << 10]),
        stored_block_bytes=r.choice([64, 256, 16 << 10]),
        zstd_level=r.choice([1, 1, 3]),
    )
    return Configuration(
        options=options,
        n_shards=r.choice([1, 1, 1, 2]),
        form=r.choice(["read", "read", "parsed", "mixed"]),
        filter_bytes=r.choice([None, 1 << 20, 2 << 10]),
        kinds={kind: weight * r.choice([0.1, 1, 1, 3]) for kind, weight in PHYSICAL.items()},
    )


class Woven(NamedTuple):
    """A step of one configuration: one of the history, or one of its own."""

    step: Step
    seed: int
    """What the step decides by: where batches are cut, which shard, ..."""


def weave(history: list[Step], chosen: Configuration, n: int, r: random.Random) -> list[Woven]:
    """Return `n` steps: the history's in their order, and what the configuration does between."""
    own = r.choices(list(chosen.kinds), list(chosen.kinds.values()), k=n - len(history))
    is_own = [False] * (len(history) - 1) + [True] * len(own)
    r.shuffle(is_own)
    of_history, of_own = iter(history), iter(own)
    woven = [Woven(next(of_history), r.getrandbits(32))]
    for mine in is_own:
        step = Step(next(of_own)) if mine else next(of_history)
        woven.append(Woven(step, r.getrandbits(32)))
    return woven
