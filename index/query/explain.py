"""Why a document has its score, or does not match: a tree in the shape and words of Lucene's.

The tree follows the query as it was asked. Compound queries are put together here from their
clauses; what a single clause gives is asked of the same kernels that a search runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from index.bm25 import K1, B, average_length, idf
from index.lengths import LENGTH_OF_NORM
from index.query import ast
from index.query.analysis import normalized
from index.query.asked import pattern_of
from index.query.boosts import multiplied
from index.query.describe import boosted, describe_plan, describe_query
from index.query.leaves import AllLeaf, DocsLeaf, TermLeaf
from index.query.phrase import PhraseLeaf
from index.query.plan import NOTHING, Best, Constant, Every, Plan, Some
from index.query.program import Program
from index.query.rewrite import Notes, Rewriter, n_needed
from index.query.source_filter import values_at
from index.query.statistics import Statistics
from index.query.values import keyword_text
from index.schema import Schema

_MOST_EXPANSIONS = 16
_N = "n, number of documents containing term"
_TOTAL = "N, total number of documents with field"
_IDF = "idf, computed as log(1 + (N - n + 0.5) / (n + 0.5)) from:"
_FREQS = {
    "freq": "freq, occurrences of term within document",
    "phraseFreq": "phraseFreq={:g}",
}
_TF = "tf, computed as freq / (freq + k1 * (1 - b + b * dl / avgdl)) from:"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One node: what it is worth, why, and what that is made of."""

    value: float | int
    description: str
    details: tuple[Explanation, ...] = ()
    is_match: bool = True

    def body(self) -> dict[str, Any]:
        """Return the node as answers show it."""
        details = [detail.body() for detail in self.details]
        return {"value": self.value, "description": self.description, "details": details}


def no_match(description: str, details: Iterable[Explanation] = ()) -> Explanation:
    return Explanation(0.0, description, tuple(details), is_match=False)


class Explainer:
    """Explains one document of one view."""

    def __init__(
        self, schema: Schema, statistics: Statistics, now_ms: int, view_no: int, doc_id: int
    ) -> None:
        self._schema = schema
        self._statistics = statistics
        self._now_ms = now_ms
        self._view_no = view_no
        self._doc_id = doc_id
        self._docs = np.array([doc_id], np.uint32)
        self._notes: Notes = {}

    def explain(self, query: ast.Query, boost: float = 1.0) -> Explanation:
        """Return the explanation; its value is the document's score. Raises: InvalidQueryError."""
        inner = multiplied(boost, query.boost)
        if isinstance(query, ast.Bool) and (
            query.must or query.should or query.filter or query.must_not
        ):
            return self._bool(query, inner)
        if isinstance(query, ast.DisMax):
            return self._dis_max(query, inner)
        if isinstance(query, ast.ConstantScore):
            return self._constant(query, inner)
        within = DocsLeaf(self._view_no, self._docs)
        rewriter = Rewriter(self._schema, self._statistics, self._now_ms, within, self._notes)
        return self._part(rewriter.plan(query, boost), self._text(query))

    def _score(self, plan: Plan) -> float | None:
        """Return the score that a search gives the document, None: it does not match."""
        if plan is NOTHING:
            return None
        only = DocsLeaf(self._view_no, self._docs)
        program = Program(Every(((only, False), (plan, True))), scored=True)
        views = range(self._view_no, self._view_no + 1)
        matches = program.run(self._statistics, views, k=1)
        return float(matches.scores[0]) if matches.total else None

    def _text(self, query: ast.Query) -> str:
        return describe_query(query, self._schema)

    # --- compound queries ----------------------------------------------------------------
    def _bool(self, query: ast.Bool, boost: float) -> Explanation:
        found: list[Explanation] = []
        failed: list[Explanation] = []
        for part in query.must:
            clause = self.explain(part, boost)
            if clause.is_match:
                found.append(clause)
            else:
                failed.append(self._missing(part, clause))
        for part in query.filter:
            clause = self.explain(part)
            if clause.is_match:
                sign = Explanation(0.0, f"# clause ({self._text(part)})")
                about = "match on required clause, product of:"
                found.append(Explanation(0.0, about, (sign, clause)))
            else:
                failed.append(self._missing(part, clause))
        n_optional = 0
        for part in query.should:
            clause = self.explain(part, boost)
            if clause.is_match:
                found.append(clause)
                n_optional += 1
        for part in query.must_not:
            clause = self.explain(part)
            if clause.is_match:
                failed.append(
                    no_match(f"match on prohibited clause ({self._text(part)})", [clause])
                )
        if failed:
            return no_match(
                "Failure to meet condition(s) of required/prohibited clause(s)", found + failed
            )
        at_least = n_needed(query)
        if n_optional < at_least:
            return no_match(
                f"Failure to match minimum number of optional clauses: {at_least}", found
            )
        if not found:
            found = [Explanation(0.0, "match on no clause but prohibited ones")]
        return _sum(found, at_least)

    def _missing(self, query: ast.Query, clause: Explanation) -> Explanation:
        return no_match(f"no match on required clause ({self._text(query)})", [clause])

    def _dis_max(self, query: ast.DisMax, boost: float) -> Explanation:
        each = [self.explain(part, boost) for part in query.queries]
        found = [part for part in each if part.is_match]
        return _best(found, query.tie_breaker) if found else no_match("No matching clause", each)

    def _constant(self, query: ast.ConstantScore, boost: float) -> Explanation:
        about = f"ConstantScore({self._text(query.filter)})"
        inner = self.explain(query.filter)
        if not inner.is_match:
            return no_match(f"{about} doesn't match id {self._doc_id}", [inner])
        return Explanation(_f32(boost), boosted(about, boost))

    # --- parts of a plan -----------------------------------------------------------------
    def _part(self, plan: Plan, asked: str | None = None) -> Explanation:
        """Explain a part; `asked` is what it stands for, None: a part of another."""
        value = self._score(plan)
        if value is None:
            return no_match(f"no matching term: {asked or self._describe(plan)}")
        if isinstance(plan, Every):
            parts = [self._part(part) for part, scores in plan.required if scores]
            return replace(_sum(parts), value=value)
        if isinstance(plan, Some):
            return replace(_sum(self._matching(plan.parts), plan.at_least), value=value)
        if isinstance(plan, Best):
            return replace(_best(self._matching(plan.parts), plan.tie_breaker), value=value)
        if isinstance(plan, TermLeaf):
            return self._term(plan, value)
        if isinstance(plan, PhraseLeaf):
            return self._phrase(plan, value)
        about = self._describe(plan)
        if isinstance(plan, Constant | AllLeaf):
            return Explanation(value, about)
        return Explanation(value, f"ConstantScore({about})", tuple(self._expansions(plan, value)))

    def _expansions(self, plan: Plan, value: float) -> Iterator[Explanation]:
        """Yield the terms of the document that a pattern stands for."""
        noted = self._notes.get(id(plan))
        query = None if noted is None else noted[1]
        field = self._schema.field(getattr(query, "field", ""))
        accept = (
            None
            if query is None or field is None
            else pattern_of(normalized(query, field, self._schema))
        )
        if accept is None or field is None:
            return
        source = self._statistics.views[self._view_no].reader.source(self._doc_id)
        values = values_at(msgspec.json.decode(source), field.parent or field.name)
        analyzer = self._schema.index_analyzer(field)
        found = {token.term for value in values for token in analyzer.tokens(keyword_text(value))}
        for term in sorted(filter(accept, found))[:_MOST_EXPANSIONS]:
            name = term.decode("utf-8", "replace")
            yield Explanation(value, f"{field.name}:{name}, one of the terms that it stands for")

    def _matching(self, parts: Iterable[Plan]) -> list[Explanation]:
        return [found for found in map(self._part, parts) if found.is_match]

    def _describe(self, plan: Plan) -> str:
        return describe_plan(plan, self._schema, self._notes)

    # --- BM25 ----------------------------------------------------------------------------
    def _term(self, leaf: TermLeaf, value: float) -> Explanation:
        stats = self._statistics.field(leaf.field_no)
        n_docs = stats.n_docs
        field = self._schema.by_no(leaf.field_no)
        weight = Explanation(
            _f32(idf(leaf.scored_doc_freq, n_docs)),
            _IDF,
            (Explanation(leaf.scored_doc_freq, _N), Explanation(n_docs, _TOTAL)),
        )
        freq = float(self._freq(leaf)) if field.is_text else 1.0
        about = self._describe(leaf)
        return self._bm25(leaf.field_no, about, value, leaf.boost, weight, freq, "freq")

    def _freq(self, leaf: TermLeaf) -> int:
        reader = self._statistics.views[self._view_no].reader
        term_id = reader.find_term(leaf.field_no, leaf.term)
        starts, _ = reader.positions(term_id, self._docs)
        return int(starts[1] - starts[0])

    def _phrase(self, leaf: PhraseLeaf, value: float) -> Explanation:
        n_docs = self._statistics.field(leaf.field_no).n_docs
        each = []
        for place in leaf.terms:
            for term in place.terms:
                n = self._statistics.term(leaf.field_no, term).doc_freq
                if n > 0:
                    details = (Explanation(n, _N), Explanation(n_docs, _TOTAL))
                    each.append(Explanation(_f32(idf(n, n_docs)), _IDF, details))
        total = sum(part.value for part in each)
        weight = Explanation(_f32(total), "idf, sum of:", tuple(each))
        about = self._describe(leaf)
        # The frequency is what the score says: tf = freq / (freq + length part).
        top = leaf.boost * total
        freq = self._length_part(leaf.field_no) * value / (top - value) if top > value else 0.0
        freq = float(f"{freq:.6g}")
        return self._bm25(leaf.field_no, about, value, leaf.boost, weight, freq, "phraseFreq")

    def _length(self, field_no: int) -> float:
        norms = self._statistics.views[self._view_no].reader.norms(field_no)
        return 1.0 if norms is None else float(LENGTH_OF_NORM[norms[self._doc_id]])

    def _length_part(self, field_no: int) -> float:
        average = average_length(self._statistics.field(field_no))
        return K1 * (1 - B + B * self._length(field_no) / average)

    def _bm25(
        self,
        field_no: int,
        about: str,
        value: float,
        boost: float,
        weight: Explanation,
        freq: float,
        freq_name: str,
    ) -> Explanation:
        average = average_length(self._statistics.field(field_no))
        tf = freq / (freq + self._length_part(field_no))
        details = [weight, Explanation(_f32(tf), _TF, (
            Explanation(freq, _FREQS[freq_name].format(freq)),
            Explanation(K1, "k1, term saturation parameter"),
            Explanation(B, "b, length normalization parameter"),
            Explanation(self._length(field_no), "dl, length of field"),
            Explanation(_f32(average), "avgdl, average length of field"),
        ))]  # fmt: skip
        if boost != 1.0:
            details.insert(0, Explanation(boost, "boost"))
        score = Explanation(
            value,
            f"score({freq_name}={freq:g}), computed as boost * idf * tf from:",
            tuple(details),
        )
        return Explanation(value, f"weight({about} in {self._doc_id}) [BM25], result of:", (score,))


def _sum(parts: list[Explanation], at_least: int = 1) -> Explanation:
    if len(parts) == 1 and at_least <= 1:
        return parts[0]
    value = float(np.array([part.value for part in parts], np.float32).sum(dtype=np.float32))
    needed = f", at least {at_least} optional clauses matching," if at_least > 1 else ""
    return Explanation(value, f"sum{needed} of:", tuple(parts))


def _best(parts: list[Explanation], tie_breaker: float) -> Explanation:
    if len(parts) == 1:
        return parts[0]
    best = max(part.value for part in parts)
    value = best + tie_breaker * (sum(part.value for part in parts) - best)
    about = f"max plus {tie_breaker:g} times others of:" if tie_breaker else "max of:"
    return Explanation(_f32(value), about, tuple(parts))


def _f32(value: float) -> float:
    return float(np.float32(value))
