"""A point-in-time snapshot over the views of one or several shards, and what can be asked of it.

Thread rule: any thread. A searcher is immutable; it is cheap to make, so make one a request.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from index.kernels.bits import count_bits, list_bits
from index.part import full_bitset
from index.query import ast
from index.query.ast import Scalar
from index.query.best import best_hits
from index.query.describe import describe_plan, describe_query
from index.query.early import run_until
from index.query.explain import Explainer, Explanation
from index.query.filter_cache import FilterCache
from index.query.highlight import Highlighter
from index.query.leaves import DocsLeaf
from index.query.plan import NOTHING, Every, Plan
from index.query.profile import Clock, Profile, profile_plan
from index.query.program import NO_LIMIT, Program
from index.query.request import SearchRequest, SortKey
from index.query.rewrite import Notes, Rewriter
from index.query.sort import sort_matches
from index.query.sort_keys import make_key
from index.query.statistics import Statistics
from index.query.stop import NEVER, Stop, StoppedError, check_stop
from index.query.terms_search import Question, ask, question_of
from index.reader import U32, U64, View
from index.schema import Field, Schema

_SCORE_FALLING = SortKey("_score", "desc")


class Hit(msgspec.Struct, frozen=True, gc=False):
    view_no: int
    doc_id: int
    score: float | None
    """None where the search is sorted by fields and does not track scores."""
    sort: tuple[Scalar | None, ...] | None


class SearchResult(msgspec.Struct, frozen=True, gc=False):
    total: int
    relation: Literal["eq", "gte"]
    """gte: there are more than `total`, counting stopped at `track_total_hits`."""
    max_score: float | None
    hits: list[Hit]
    timed_out: bool = False
    """The search was told to stop: this is what it had found."""
    terminated_early: bool = False
    """It ended because it had found `terminate_after` documents."""


class Searcher:
    """Answers over `views`; `now_ms` is what date math calls now."""

    def __init__(
        self,
        views: tuple[View, ...],
        schema: Schema,
        now_ms: int,
        filters: FilterCache | None = None,
    ) -> None:
        """`filters`: what is kept of filters from one search to the next."""
        self._filters = filters
        self.views = views
        self.schema = schema
        self.now_ms = now_ms
        self._statistics = Statistics.of(views)

    # --- search --------------------------------------------------------------------------
    def search(self, request: SearchRequest, stop: Stop = NEVER) -> SearchResult:
        """Return the total, and the hits `from_` .. `from_ + size`; once `stop` is set, what was
        found by then.

        Raises: InvalidQueryError, InvalidRequestError.
        """
        try:
            result = self._search(request, stop)
        except StoppedError:
            return SearchResult(0, "gte", None, [], timed_out=True)
        if stop is NEVER or not stop[0]:
            return result
        return msgspec.structs.replace(result, timed_out=True, relation="gte")

    def _search(self, request: SearchRequest, stop: Stop) -> SearchResult:
        if request.is_plain:
            if stop is not NEVER:
                check_stop(stop)
            found = question_of(request.query, self.schema)
            if found is not None:
                return self._best_of_terms(*found, request, stop)
        plan = self._plan(request.query, stop=stop)
        if request.post_filter is not None:
            only = self._plan(request.post_filter, stop=stop)
            is_empty = plan is NOTHING or only is NOTHING
            plan = NOTHING if is_empty else Every(((plan, True), (only, False)))
        is_by_score = request.search_after is None and (
            not request.sort or (len(request.sort) == 1 and request.sort[0] == _SCORE_FALLING)
        )
        by = self._by_score if is_by_score else self._by_keys
        return by(plan, request, stop)

    def _best_of_terms(
        self, field: Field, question: Question, request: SearchRequest, stop: Stop
    ) -> SearchResult:
        wanted = request.track_total_hits
        limit = (NO_LIMIT if wanted else -1) if isinstance(wanted, bool) else wanted
        k = min(request.from_ + request.size, self._statistics.n_docs) if request.size else 0
        boost = request.query.boost
        total, scores, docs = ask(field, question, self._statistics, boost, k, limit, stop)
        hits = [
            Hit(doc >> 32, doc & 0xFFFFFFFF, score, None)
            for doc, score in zip(docs, scores, strict=True)
        ]
        if request.from_:
            del hits[: request.from_]
        best = scores[0] if scores else None
        if 0 <= limit < total:
            return SearchResult(limit, "gte", best, hits)
        return SearchResult(total, "eq", best, hits)

    def _plan(self, query: ast.Query, within: DocsLeaf | None = None, stop: Stop = NEVER) -> Plan:
        return Rewriter(
            self.schema, self._statistics, self.now_ms, within, stop=stop, filters=self._filters
        ).plan(query)

    def _by_score(self, plan: Plan, request: SearchRequest, stop: Stop) -> SearchResult:
        k = min(request.from_ + request.size, self._statistics.n_docs) if request.size else 0
        min_score = -np.inf if request.min_score is None else request.min_score
        limit = request.terminate_after
        is_early = False
        if limit or request.min_score is not None:
            program = Program(plan, scored=k > 0 or request.min_score is not None)
            if limit:
                matches, is_early = run_until(
                    program, self._statistics, limit, k=k, min_score=min_score, stop=stop
                )
            else:
                every_view = range(len(self.views))
                matches = program.run(
                    self._statistics, every_view, k=k, min_score=min_score, stop=stop
                )
        else:
            tracked = request.track_total_hits
            total_limit = (NO_LIMIT if tracked else -1) if isinstance(tracked, bool) else tracked
            matches = best_hits(plan, self._statistics, k=k, limit=total_limit, stop=stop)
        ranked = matches.ranked()
        has_sort = bool(request.sort)
        hits = [
            Hit(view_no, doc_id, score, (score,) if has_sort else None)
            for view_no, doc_id, score in ranked[request.from_ :]
        ]
        result = _result(matches.total, ranked[0][2] if ranked else None, hits, request)
        return msgspec.structs.replace(result, terminated_early=True) if is_early else result

    def _by_keys(self, plan: Plan, request: SearchRequest, stop: Stop) -> SearchResult:
        keys = [make_key(key, self.schema, stop) for key in request.sort]
        needs_scores = (
            request.track_scores
            or request.min_score is not None
            or any(key.field == "_score" for key in request.sort)
        )
        total, matches = self._all_matches(plan, needs_scores, request.min_score, stop)
        k = request.from_ + request.size
        best = sort_matches(self.views, matches, keys, request.search_after, k, stop) if k else []
        scored = request.track_scores or any(key.field == "_score" for key in request.sort)
        hits = [
            Hit(doc.view_no, doc.doc_id, doc.score if scored else None, doc.values)
            for doc in best[request.from_ :]
        ]
        max_score = None
        if scored:
            max_score = max((float(s.max()) for _, s in matches if len(s)), default=None)
        return _result(total, max_score, hits, request)

    def _all_matches(
        self, plan: Plan, scored: bool, min_score: float | None, stop: Stop
    ) -> tuple[int, list[tuple[np.ndarray, np.ndarray]]]:
        """Return the total, and of each view (doc ids rising, scores; empty if not `scored`)."""
        n_words = [(view.reader.n_docs + 63) >> 6 for view in self.views]
        mask = np.zeros(sum(n_words), np.uint64)
        scores = np.zeros(len(mask) * 64 if scored else 0, np.float32)
        found = Program(plan, scored=scored).run(
            self._statistics,
            range(len(self.views)),
            min_score=-np.inf if min_score is None else min_score,
            stop=stop,
            out_mask=mask,
            out_scores=scores,
        )
        matches = []
        first = 0
        for n in n_words:
            words = mask[first : first + n]
            docs = np.empty(count_bits(words), np.uint32)
            list_bits(words, docs)
            own = scores[first * 64 : (first + n) * 64]
            matches.append((docs, own[docs] if scored else own))
            first += n
        return found.total, matches

    def count(self, query: ast.Query) -> int:
        """Return how many live documents match."""
        if isinstance(query, ast.MatchAll):
            return sum(view.n_alive for view in self.views)
        return (
            Program(self._plan(query), scored=False)
            .run(self._statistics, range(len(self.views)))
            .total
        )

    def matching(
        self, query: ast.Query, min_score: float | None = None, stop: Stop = NEVER
    ) -> list[U64]:
        """Return, of each view, the bitset of the live documents that match.

        Raises: StoppedError, InvalidQueryError, InvalidRequestError.
        """
        views = self.views
        if isinstance(query, ast.MatchAll) and min_score is None:
            return [v.alive if v.alive is not None else full_bitset(v.reader.n_docs) for v in views]
        n_words = [(view.reader.n_docs + 63) >> 6 for view in views]
        mask = np.zeros(sum(n_words), np.uint64)
        Program(self._plan(query, stop=stop), scored=min_score is not None).run(
            self._statistics,
            range(len(views)),
            min_score=-np.inf if min_score is None else min_score,
            stop=stop,
            out_mask=mask,
        )
        ends = np.cumsum(n_words).tolist()
        return [mask[end - n : end] for end, n in zip(ends, n_words, strict=True)]

    def match_docs(
        self, query: ast.Query, view_no: int, doc_ids: U32
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """Return which of some documents of a view match, and their scores (0 where not).

        Requires: doc_ids rising. Dead documents do not match.
        """
        within = DocsLeaf(view_no, doc_ids)
        plan = self._plan(query, DocsLeaf(view_no, doc_ids))
        is_match = np.zeros(len(doc_ids), bool)
        scores = np.zeros(len(doc_ids), np.float32)
        if plan is NOTHING or not len(doc_ids):
            return is_match, scores
        program = Program(Every(((within, False), (plan, True))), scored=True)
        matches = program.run(self._statistics, range(view_no, view_no + 1), k=len(doc_ids))
        at = np.searchsorted(doc_ids, (matches.docs & 0xFFFFFFFF).astype(doc_ids.dtype))
        is_match[at] = True
        scores[at] = matches.scores
        return is_match, scores

    def explain(self, query: ast.Query, view_no: int, doc_id: int) -> Explanation:
        """Return why a live document has its score, or does not match."""
        explainer = Explainer(self.schema, self._statistics, self.now_ms, view_no, doc_id)
        return explainer.explain(query)

    def rewritten(self, query: ast.Query) -> str:
        """Return what is left of a query here, as text. Raises: InvalidQueryError."""
        notes: Notes = {}
        plan = Rewriter(self.schema, self._statistics, self.now_ms, notes=notes).plan(query)
        return describe_plan(plan, self.schema, notes)

    def profile(self, query: ast.Query, clock: Clock, stop: Stop = NEVER) -> Profile:
        """Return what the query becomes here, and what each part of that costs."""
        notes: Notes = {}
        began = clock()
        rewriter = Rewriter(
            self.schema, self._statistics, self.now_ms, notes=notes, filters=self._filters
        )
        plan = rewriter.plan(query)
        rewrite_ns = clock() - began
        part = profile_plan(plan, self.schema, notes, self._statistics, clock, stop)
        return Profile(describe_query(query, self.schema), part.description, rewrite_ns, part)

    # --- documents -----------------------------------------------------------------------
    def get(self, key: bytes) -> tuple[View, int] | None:
        """Return the newest live document with this key."""
        for view in reversed(self.views):
            doc_id = view.reader.find_key(key)
            if doc_id >= 0 and _is_alive(view, doc_id):
                return view, doc_id
        return None

    def key(self, hit: Hit) -> bytes:
        return self.views[hit.view_no].reader.key(hit.doc_id)

    def source(self, hit: Hit) -> bytes:
        """Return the document as it came, JSON text."""
        return self.views[hit.view_no].reader.source(hit.doc_id)

    def version(self, hit: Hit) -> int:
        return self.views[hit.view_no].reader.version(hit.doc_id)

    def offset(self, hit: Hit) -> int:
        return self.views[hit.view_no].reader.offset(hit.doc_id)

    def highlight(self, request: SearchRequest, hit: Hit) -> dict[str, list[str]]:
        """Return, of each field to highlight that has a match, its fragments."""
        if request.highlight is None:
            return {}
        return Highlighter(request, self.schema).fragments(self.source(hit))


def _result(
    total: int, max_score: float | None, hits: list[Hit], request: SearchRequest
) -> SearchResult:
    limit: Any = request.track_total_hits
    if isinstance(limit, bool) or total <= limit:
        return SearchResult(total, "eq", max_score, hits)
    return SearchResult(limit, "gte", max_score, hits)


def _is_alive(view: View, doc_id: int) -> bool:
    if view.alive is None:
        return True
    return bool((int(view.alive[doc_id >> 6]) >> (doc_id & 63)) & 1)
