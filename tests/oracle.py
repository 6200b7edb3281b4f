"""A naive index: the live documents in a dict, every query by brute force, scores in float64.

It shares with the engine the schema, the analyzers, the dates and the query's AST, and no
other code, so that where both agree both are likely right. `differences` compares answers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cmp_to_key, lru_cache
from typing import Any, NamedTuple

import orjson
from msgspec.structs import replace

from index.analysis.definitions import get_analyzer
from index.dates import parse_date, resolve_date, resolve_date_up
from index.document import DocumentEvent, Op, Outcome
from index.query import ast
from index.query.request import SearchRequest, SortKey
from index.schema import Field, Schema, SchemaRef

K1, B = 1.2, 0.75
FLOATS = {"double", "float", "half_float"}
NO_TERMS: Counter[str] = Counter()


class OracleHit(NamedTuple):
    key: bytes
    score: float | None
    sort: tuple[Any, ...] | None


class OracleResult(NamedTuple):
    hits: list[OracleHit]
    total: int


@dataclass
class Document:
    key: bytes
    version: int
    source: dict[str, Any]
    number: int
    """Place in the log among all documents ever."""
    tokens: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Of text fields: (term, position)."""
    values: dict[str, list[Any]] = field(default_factory=dict)
    """Of other fields: keywords as str, numbers, dates as milliseconds."""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Of text and keyword fields: term -> frequency."""
    read_with: Schema | None = None


def norm_length(length: int) -> int:
    """Return what is left of a length after it was kept in one byte (24 free, 4-bit floats)."""
    if length < 24:
        return length
    rest = length - 24
    shift = max(0, rest.bit_length() - 4)
    return 24 + (rest >> shift << shift)


def values_at(value: Any, path: str) -> Iterator[Any]:
    if isinstance(value, list):
        for inner in value:
            yield from values_at(inner, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name == path:
                yield from values_at(inner, "")
            elif path.startswith(name + "."):
                yield from values_at(inner, path[len(name) + 1 :])


class Oracle:
    """An index of one shard. Where events come that the mapping refuses, `fits` must say so;
    `schema` may be the cell that dynamic mapping grows."""

    def __init__(self, schema: Schema | SchemaRef) -> None:
        self._ref = schema if isinstance(schema, SchemaRef) else SchemaRef(schema)
        self.now_ms = 0
        self.live: dict[bytes, Document] = {}
        self.tombstones: dict[bytes, int] = {}
        self._count = 0
        self._stats: dict[Any, Any] = {}
        self._counted: tuple[Any, ...] = ()
        """What `_stats` was counted over."""
        self._asked: dict[int, list[tuple[ast.Query, float]]] = {}
        """Of the search under way, each `OverFields` field by field."""

    @property
    def schema(self) -> Schema:
        return self._ref.current

    # --- writes --------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.live)

    def apply(self, event: DocumentEvent) -> Outcome:
        """Take one event of the log, and say what came of it."""
        old = self.live.get(event.key)
        version = event.offset if event.version is None else event.version
        newest = self.tombstones.get(event.key, -1) if old is None else old.version
        if version < newest or (version == newest and event.version is not None):
            return Outcome.CONFLICT
        if event.op is Op.DELETE:
            if event.version is not None:
                self.tombstones[event.key] = version
            return Outcome.NOT_FOUND if self.live.pop(event.key, None) is None else Outcome.DELETED
        if event.op is Op.CREATE and old is not None:
            return Outcome.CONFLICT
        source = event.fields
        if event.op is Op.UPDATE:
            if old is None:
                source = event.upsert
                if source is None:
                    return Outcome.NOT_FOUND
            else:
                source = merged(old.source, event.fields or {})
                # as JSON: to Python 1, 1.0 and true are equal
                if source == old.source and orjson.dumps(source) == orjson.dumps(old.source):
                    return Outcome.NOOP
        assert source is not None
        if not self.fits(source):
            return Outcome.REJECTED
        self.live.pop(event.key, None)
        self.live[event.key] = Document(event.key, version, source, self._count)
        self._count += 1
        return Outcome.CREATED if old is None else Outcome.UPDATED

    def fits(self, source: dict[str, Any]) -> bool:
        """Return whether the mapping takes a document."""
        return True

    # --- what a document holds -----------------------------------------------------------
    def _read(self, document: Document) -> None:
        """Read all fields the schema has by now."""
        if document.read_with is self.schema:
            return
        document.tokens, document.values, document.read_with = {}, {}, self.schema
        for each in self.schema.fields:
            found = list(values_at(document.source, each.parent or each.name))
            if not found:
                continue
            if each.is_text:
                document.tokens[each.name] = self._tokens(each, found)
            else:
                values = [
                    value for value in (self._value(each, v) for v in found) if value is not None
                ]
                if values:
                    document.values[each.name] = values
            if each.is_text or each.is_keyword:
                document.counts[each.name] = self._count_terms(document, each)

    def _tokens(self, each: Field, found: list[Any]) -> list[tuple[str, int]]:
        tokens: list[tuple[str, int]] = []
        base = 0
        for value in found:
            for token in get_analyzer(each.analyzer).tokens(as_text(value)):
                tokens.append((token.term.decode(), base + token.position))
            base = (tokens[-1][1] if tokens else -1) + 1 + 100
        return tokens

    def _value(self, each: Field, value: Any) -> Any:
        if each.is_keyword:
            text = as_text(value)
            return None if each.ignore_above is not None and len(text) > each.ignore_above else text
        if each.type == "date":
            return parse_date(value, each.format)
        if each.type == "boolean":
            return truth(value)
        return number(value) if each.type in FLOATS else int(number(value))

    def _read_all(self) -> None:
        for document in self.live.values():
            self._read(document)
        documents = (self._count, len(self.live), self.schema)
        if documents != self._counted:
            self._stats, self._counted = {}, documents

    # --- statistics ----------------------------------------------------------------------
    def _has(self, document: Document, each: Field) -> bool:
        if each.is_text:
            return each.name in document.tokens
        return each.name in document.values

    def _count_terms(self, document: Document, each: Field) -> Counter[str]:
        if each.is_text:
            return Counter(term for term, _ in document.tokens.get(each.name, ()))
        return Counter(set(document.values.get(each.name, ())))

    def _frequencies(self, document: Document, each: Field) -> Counter[str]:
        """Return the terms of a text or keyword field with their frequencies."""
        return document.counts.get(each.name, NO_TERMS)

    def _length(self, document: Document, each: Field) -> int:
        if each.is_text:
            return len(document.tokens.get(each.name, ()))
        return len(set(document.values.get(each.name, ())))

    def _field_stats(self, each: Field) -> tuple[int, float]:
        """Return (documents with the field, average length)."""
        if each.name not in self._stats:
            lengths = [n for d in self.live.values() if (n := self._length(d, each)) > 0]
            self._stats[each.name] = (len(lengths), sum(lengths) / len(lengths) if lengths else 1.0)
        return self._stats[each.name]

    def _idf(self, each: Field, term: str) -> float:
        at = (each.name, term)
        if at not in self._stats:
            n = self._field_stats(each)[0]
            df = sum(term in self._frequencies(d, each) for d in self.live.values())
            self._stats[at] = rarity(n, df)
        return self._stats[at]

    def _bm25(self, document: Document, each: Field, idf: float, tf: float) -> float:
        length = norm_length(self._length(document, each)) if each.is_text else 1
        average = self._field_stats(each)[1]
        return idf * tf / (tf + K1 * (1 - B + B * length / average))

    # --- queries: a document's score, None where it does not match -------------------------
    def score(self, query: ast.Query, document: Document) -> float | None:
        found = getattr(self, f"_{type(query).__name__.lower()}")(query, document)
        return None if found is None else found * query.boost

    def _matchall(self, query: ast.MatchAll, document: Document) -> float | None:
        return 1.0

    def _matchnone(self, query: ast.MatchNone, document: Document) -> float | None:
        return None

    def _field(self, query: Any) -> Field | None:
        return self.schema.field(query.field)

    def _term_score(self, document: Document, each: Field, term: str) -> float | None:
        tf = self._frequencies(document, each)[term]
        return self._bm25(document, each, self._idf(each, term), tf) if tf else None

    def _exact(self, document: Document, each: Field, value: Any) -> float | None:
        if each.is_text or each.is_keyword:
            return self._term_score(document, each, as_text(value))
        own = document.values.get(each.name, ())
        if each.type == "date":
            low = resolve_date(value, now_ms=self.now_ms, format=each.format)
            high = resolve_date_up(value, now_ms=self.now_ms, format=each.format)
            return 1.0 if any(low <= v <= high for v in own) else None
        wanted = truth(value) if each.type == "boolean" else number(value)
        return 1.0 if wanted in own else None

    def _term(self, query: ast.Term, document: Document) -> float | None:
        each = self._field(query)
        if each is None:
            return None
        if query.case_insensitive:
            wanted = as_text(query.value).lower()
            return (
                1.0 if any(t.lower() == wanted for t in self._frequencies(document, each)) else None
            )
        return self._lenient(query, lambda: self._exact(document, each, query.value))

    def _lenient(self, query: Any, run: Any) -> float | None:
        try:
            return run()
        except Exception:
            if getattr(query, "lenient", False):
                return None
            raise

    def _terms(self, query: ast.Terms, document: Document) -> float | None:
        each = self._field(query)
        if each is None:
            return None
        hits = [self._exact(document, each, value) for value in query.values]
        return 1.0 if any(hit is not None for hit in hits) else None

    def _match(self, query: ast.Match, document: Document) -> float | None:
        each = self._field(query)
        if each is None:
            return None
        if not each.is_text:
            if each.is_keyword and query.fuzziness is not None:
                return self._near(query, document, each, as_text(query.text))
            return self._lenient(query, lambda: self._exact(document, each, query.text))
        terms = [token.term.decode() for token in asked_tokens(query, each)]
        if not terms:
            return 1.0 if query.zero_terms == "all" else None
        if query.fuzziness is None:
            found = [self._term_score(document, each, term) for term in terms]
        else:
            found = [self._near(query, document, each, term) for term in terms]
        at_least = len(terms) if query.operator == "and" else 1
        if query.minimum_should_match is not None and query.operator == "or":
            at_least = max(1, needed(query.minimum_should_match, len(terms)))
        return total(found, at_least)

    def _matchphrase(self, query: ast.MatchPhrase, document: Document) -> float | None:
        each = self._field(query)
        if each is None:
            return None
        if not each.is_text:
            return self._lenient(query, lambda: self._exact(document, each, query.text))
        tokens = asked_tokens(query, each)
        if not tokens:
            return 1.0 if query.zero_terms == "all" else None
        terms = [token.term.decode() for token in tokens]
        if len(terms) == 1:
            return self._term_score(document, each, terms[0])
        offsets = [token.position - tokens[0].position for token in tokens]
        places = [
            [position for term, position in document.tokens.get(each.name, ()) if term == wanted]
            for wanted in terms
        ]
        frequency = phrase_frequency(terms, offsets, places, query.slop)
        if frequency == 0:
            return None
        return self._bm25(document, each, sum(self._idf(each, t) for t in terms), frequency)

    def _matchphraseprefix(self, query: ast.MatchPhrasePrefix, document: Document) -> float | None:
        each = self._field(query)
        if each is None or (query.lenient and not each.is_text):
            return None
        tokens = asked_tokens(query, each)
        if not tokens:
            return None
        terms = [token.term.decode() for token in tokens]
        if len(terms) == 1:
            own = self._frequencies(document, each)
            return 1.0 if any(term.startswith(terms[0]) for term in own) else None
        last = self._first_terms(each, terms.pop(), query.max_expansions)
        offsets = [token.position - tokens[0].position for token in tokens]
        own_tokens = document.tokens.get(each.name, ())
        places = [[p for term, p in own_tokens if term == wanted] for wanted in terms]
        places.append([p for term, p in own_tokens if term in last])
        names = [*terms, "\0".join(last)]
        frequency = phrase_frequency(names, offsets, places, query.slop)
        if frequency == 0:
            return None
        idf = sum(self._idf(each, term) for term in [*terms, *last])
        return self._bm25(document, each, idf, frequency)

    def _first_terms(self, each: Field, prefix: str, most: int) -> list[str]:
        """Return the first live terms in byte order that begin so."""
        at = ("terms", each.name)
        if at not in self._stats:
            terms = {t for d in self.live.values() for t in self._frequencies(d, each)}
            self._stats[at] = sorted(terms, key=str.encode)
        return [term for term in self._stats[at] if term.startswith(prefix)][:most]

    def _range(self, query: ast.Range, document: Document) -> float | None:
        each = self._field(query)
        return (
            None
            if each is None
            else self._lenient(query, lambda: self._in_range(query, each, document))
        )

    def _in_range(self, query: ast.Range, each: Field, document: Document) -> float | None:
        if each.is_text or each.is_keyword:
            own: Iterable[Any] = [t.encode() for t in self._frequencies(document, each)]
            gt, gte, lt, lte = (
                None if v is None else as_text(v).encode()
                for v in (query.gt, query.gte, query.lt, query.lte)
            )
        else:
            own = document.values.get(each.name, ())
            gt, lte = (self._bound(each, query, v, True) for v in (query.gt, query.lte))
            gte, lt = (self._bound(each, query, v, False) for v in (query.gte, query.lt))
        inside = any(
            (gt is None or v > gt) and (gte is None or v >= gte)
            and (lt is None or v < lt) and (lte is None or v <= lte)
            for v in own
        )  # fmt: skip
        return 1.0 if inside else None

    def _bound(self, each: Field, query: ast.Range, value: Any, is_up: bool) -> Any:
        if value is None:
            return None
        if each.type == "date":
            resolve = resolve_date_up if is_up else resolve_date
            form, zone = query.format or each.format, query.time_zone
            return resolve(value, now_ms=self.now_ms, format=form, time_zone=zone)
        return truth(value) if each.type == "boolean" else number(value)

    def _exists(self, query: ast.Exists, document: Document) -> float | None:
        each = self.schema.field(query.field)
        under = [f for f in self.schema.fields if f.name.startswith(query.field + ".")]
        if "*" in query.field:
            regex = re.compile(".*".join(map(re.escape, query.field.split("*"))))
            under = [f for f in self.schema.fields if regex.fullmatch(f.name)]
        found = [each] if each is not None else under
        return 1.0 if any(self._has(document, f) for f in found) else None

    def _ids(self, query: ast.Ids, document: Document) -> float | None:
        return 1.0 if document.key.decode() in query.keys else None

    def _prefix(self, query: ast.Prefix, document: Document) -> float | None:
        return self._by_pattern(query, re.escape(self._normal(query, query.value)) + ".*", document)

    def _wildcard(self, query: ast.Wildcard, document: Document) -> float | None:
        pattern = re.sub(
            r"\\(.)|([*?])|(.)",
            lambda m: {"*": ".*", "?": "."}.get(m[2], re.escape(m[1] or m[3] or "")),
            self._normal(query, query.pattern),
            flags=re.DOTALL,
        )
        return self._by_pattern(query, pattern, document)

    def _regexp(self, query: ast.Regexp, document: Document) -> float | None:
        """Hand in only what Python's expressions mean too."""
        return self._by_pattern(query, query.pattern, document)

    def _normal(self, query: Any, text: str) -> str:
        each = self._field(query)
        lowers = (
            each is not None and each.is_text and each.analyzer not in ("keyword", "whitespace")
        )
        return text.lower() if query.normalize and lowers else text

    def _by_pattern(self, query: Any, pattern: str, document: Document) -> float | None:
        each = self._field(query)
        if each is None or not (each.is_text or each.is_keyword):
            return None
        flags = re.DOTALL | (re.IGNORECASE if query.case_insensitive else 0)
        matches = re.compile(pattern, flags).fullmatch
        return 1.0 if any(matches(t) for t in self._frequencies(document, each)) else None

    def _fuzzy(self, query: ast.Fuzzy, document: Document) -> float | None:
        each = self._field(query)
        if each is None or not (each.is_text or each.is_keyword):
            return None
        return self._near(query, document, each, self._normal(query, as_text(query.value)))

    def _near(
        self, query: ast.Fuzzy | ast.Match, document: Document, each: Field, word: str
    ) -> float | None:
        """Score the terms near `word`: each by its closeness, all as rare as the commonest."""
        edits = allowed_edits(query.fuzziness or "0", word)
        options = (query.prefix_length, query.max_expansions, query.transpositions)
        at = ("near", each.name, word, edits, options)
        if at not in self._stats:
            self._stats[at] = self._expand(each, word, edits, *options)
        closeness, idf = self._stats[at]
        found = [
            close * self._bm25(document, each, idf, tf)
            for term, tf in self._frequencies(document, each).items()
            if (close := closeness.get(term)) is not None
        ]
        return sum(found) if found else None

    def _expand(
        self, each: Field, word: str, edits: int, prefix: int, most: int, swaps: bool
    ) -> tuple[dict[str, float], float]:
        counts = Counter(t for d in self.live.values() for t in self._frequencies(d, each))
        near: list[tuple[float, bytes, str]] = []
        prefix = min(prefix, len(word))
        for term in counts:
            if not term.startswith(word[:prefix]):
                continue
            far = edit_distance(word[prefix:], term[prefix:], swaps)
            if far <= edits:
                shorter = min(len(word), len(term))
                less = 0.0 if far == 0 else far / shorter if shorter else math.inf
                near.append((less - 1, term.encode(), term))
        chosen = sorted(near)[:most]
        df = max((counts[term] for _, _, term in chosen), default=0)
        closeness = {term: max(0.0, -less) for less, _, term in chosen}
        return closeness, rarity(self._field_stats(each)[0], df)

    def _bool(self, query: ast.Bool, document: Document) -> float | None:
        if any(self.score(part, document) is not None for part in query.must_not):
            return None
        if any(self.score(part, document) is None for part in query.filter):
            return None
        must = [self.score(part, document) for part in query.must]
        should = [self.score(part, document) for part in query.should]
        if not (must or should or query.filter or query.must_not):
            return 1.0
        at_least = 1 if should and not query.must and not query.filter else 0
        if query.minimum_should_match is not None:
            at_least = max(at_least, needed(query.minimum_should_match, len(should)))
        optional = total(should, at_least)
        if None in must or optional is None:
            return None
        return sum(s for s in must if s is not None) + optional

    def _constantscore(self, query: ast.ConstantScore, document: Document) -> float | None:
        return None if self.score(query.filter, document) is None else 1.0

    def _dismax(self, query: ast.DisMax, document: Document) -> float | None:
        return best([self.score(part, document) for part in query.queries], query.tie_breaker)

    def _overfields(self, query: ast.OverFields, document: Document) -> float | None:
        if id(query) not in self._asked:
            self._asked[id(query)] = list(self._over_each(query))
        found = [
            None if (score := self.score(leaf, document)) is None else score * boost
            for leaf, boost in self._asked[id(query)]
        ]
        if query.combine == "sum":
            return total(found, 1)
        return best(found, query.tie_breaker)

    def _over_each(self, query: ast.OverFields) -> Iterator[tuple[ast.Query, float]]:
        for pattern in query.fields:
            is_pattern = "*" in pattern.pattern
            regex = re.compile(".*".join(map(re.escape, pattern.pattern.split("*"))))
            for each in self.schema.fields:
                if regex.fullmatch(each.name):
                    more = {"lenient": True} if is_pattern else {}
                    yield replace(query.query, field=each.name, **more), pattern.boost

    # --- search --------------------------------------------------------------------------
    def search(self, request: SearchRequest, now_ms: int = 0) -> OracleResult:
        """Return the hits that the request asks for, and how many documents match."""
        self.now_ms = now_ms
        self._asked = {}
        found: list[tuple[Document, float]] = []
        self._read_all()
        for document in self.live.values():
            score = self.score(request.query, document)
            if score is None or (request.min_score is not None and score < request.min_score):
                continue
            if (
                request.post_filter is not None
                and self.score(request.post_filter, document) is None
            ):
                continue
            found.append((document, score))
        ranked = self._sorted(found, request)
        return OracleResult(ranked[request.from_ : request.from_ + request.size], len(found))

    def _sorted(
        self, found: list[tuple[Document, float]], request: SearchRequest
    ) -> list[OracleHit]:
        if not request.sort:
            found.sort(key=lambda pair: (-pair[1], pair[0].number))
            return [OracleHit(document.key, score, None) for document, score in found]
        shows = request.track_scores or any(key.field == "_score" for key in request.sort)
        rows = [
            (tuple(self._sort_value(key, d, s) for key in request.sort), d, s) for d, s in found
        ]

        def compare(a: Any, b: Any) -> int:
            return compare_values(request.sort, a[0], b[0]) or a[1].number - b[1].number

        rows.sort(key=cmp_to_key(compare))
        if request.search_after is not None:
            after = request.search_after
            rows = [row for row in rows if compare_values(request.sort, row[0], after) > 0]
        return [OracleHit(d.key, s if shows else None, values) for values, d, s in rows]

    def _sort_value(self, key: SortKey, document: Document, score: float) -> Any:
        if key.field == "_score":
            return score
        if key.field == "_doc":
            return document.number
        if key.field == "_id":
            return document.key.decode()
        values = document.values.get(key.field)
        each = self.schema.field(key.field)
        is_float = each is not None and each.type in FLOATS
        if not values:
            if isinstance(key.missing, str):
                return None
            return key.missing if is_float else int(key.missing)
        mode = key.mode or ("min" if key.order == "asc" else "max")
        if mode in ("min", "max"):
            order = (lambda v: v.encode()) if isinstance(values[0], str) else None
            return {"min": min, "max": max}[mode](values, key=order)
        values = sorted(values)
        if mode == "median":
            low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
            if is_float:
                return (low + high) / 2
            return low if len(values) % 2 else nearest((float(low) + float(high)) / 2)
        if is_float:
            return sum(values) / (len(values) if mode == "avg" else 1)
        wrapped = (sum(values) + 2**63) % 2**64 - 2**63
        if mode == "sum" or len(values) == 1:
            return wrapped
        return nearest(float(wrapped) / len(values))


def asked_tokens(query: Any, each: Field) -> tuple[Any, ...]:
    analyzer = query.analyzer or each.search_analyzer or each.analyzer
    return analyzed(analyzer, as_text(query.text))


@lru_cache(maxsize=4096)
def analyzed(analyzer: str, text: str) -> tuple[Any, ...]:
    return tuple(get_analyzer(analyzer).tokens(text))


def rarity(n: int, df: int) -> float:
    return math.log(1 + (n - df + 0.5) / (df + 0.5)) if df else 0.0


def allowed_edits(fuzziness: str, word: str) -> int:
    name, _, bounds = fuzziness.partition(":")
    if name != "AUTO":
        return int(fuzziness)
    low, high = map(int, bounds.split(",")) if bounds else (3, 6)
    if len(word) < low:
        return 0
    return 1 if len(word) < high else 2


def edit_distance(a: str, b: str, swaps: bool) -> int:
    """Return the optimal string alignment distance; without `swaps` Levenshtein's."""
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
        steps = [
            table[i - 1, j] + 1,
            table[i, j - 1] + 1,
            table[i - 1, j - 1] + (a[i - 1] != b[j - 1]),
        ]
        if swaps and i > 1 and j > 1 and a[i - 2 : i] == b[j - 2 : j][::-1]:
            steps.append(table[i - 2, j - 2] + 1)
        table[i, j] = min(steps)
    return table[len(a), len(b)]


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def truth(value: Any) -> int:
    return {True: 1, False: 0, "true": 1, "false": 0, "": 0}[value]


def number(value: Any) -> Any:
    """Return an int exactly, anything else as a float."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value)
    return value


def nearest(value: float) -> int:
    """Return the nearest integer of 64 bits, halves up."""
    return min(math.floor(Fraction(value) + Fraction(1, 2)), 2**63 - 1)


def merged(current: dict[str, Any], partial: dict[str, Any]) -> dict[str, Any]:
    out = dict(current)
    for name, value in partial.items():
        both = isinstance(out.get(name), dict) and isinstance(value, dict)
        out[name] = merged(out[name], value) if both else value
    return out


def total(scores: list[float | None], at_least: int) -> float | None:
    given = [score for score in scores if score is not None]
    return sum(given) if len(given) >= at_least else None


def best(scores: list[float | None], tie_breaker: float) -> float | None:
    given = [score for score in scores if score is not None]
    return max(given) + tie_breaker * (sum(given) - max(given)) if given else None


def needed(spec: str, n: int) -> int:
    """Return what a minimum_should_match asks of `n` clauses."""
    if "<" in spec:
        chosen = None
        for part in spec.split():
            above, rest = part.split("<")
            if n > int(above):
                chosen = rest
        return n if chosen is None else needed(chosen, n)
    number = int(spec.rstrip("%"))
    if spec.endswith("%"):
        share = int(n * abs(number) / 100)
        return share if number >= 0 else n - share
    return number if number >= 0 else max(0, n + number)


def compare_values(keys: tuple[SortKey, ...], a: tuple[Any, ...], b: tuple[Any, ...]) -> int:
    for key, x, y in zip(keys, a, b, strict=True):
        if (x is None) != (y is None):
            return (1 if x is None else -1) * (-1 if key.missing == "_first" else 1)
        if x is None:
            continue
        x, y = (v.encode() if isinstance(v, str) else v for v in (x, y))
        if x != y:
            return (1 if x > y else -1) * (-1 if key.order == "desc" else 1)
    return 0


def phrase_frequency(
    terms: list[str], offsets: list[int], places: list[list[int]], slop: int
) -> float:
    """Return how often the phrase stands there: matches, each worth 1 / (1 + its moves)."""
    if slop == 0:
        rest = list(zip(offsets[1:], map(set, places[1:]), strict=True))
        starts = [place - offsets[0] for place in places[0]]
        return float(sum(all(start + o in s for o, s in rest) for start in starts))
    if len(set(terms)) < len(terms):
        return repeated_frequency(terms, offsets, places, slop)
    if not all(places):
        return 0.0
    # sweep all (place minus offset) in order: at each point the window is the latest of each
    heads = [0] * len(terms)
    moved = [[p - o for p in own] for own, o in zip(places, offsets, strict=True)]
    frequency = 0.0
    while True:
        now = [own[head] for own, head in zip(moved, heads, strict=True)]
        lowest = min(range(len(now)), key=lambda t: (now[t], t))
        others = min(p for t, p in enumerate(now) if t != lowest)
        width = max(now) - now[lowest]
        while True:  # the lowest moves on until it is past the next one
            heads[lowest] += 1
            if heads[lowest] == len(moved[lowest]):
                return frequency + (1 / (1 + width) if width <= slop else 0.0)
            now[lowest] = moved[lowest][heads[lowest]]
            if now[lowest] > others:
                break
            width = min(width, max(now) - now[lowest])
        if width <= slop:
            frequency += 1 / (1 + width)


def repeated_frequency(
    terms: list[str], offsets: list[int], places: list[list[int]], slop: int
) -> float:
    """Return the frequency of a phrase with a word twice: equal words never share a position.

    The one that stands first moves on, as above; where it lands on its twin's position, the
    lesser of the two moves on again.
    """
    heads = [terms[:t].count(term) for t, term in enumerate(terms)]
    if any(head >= len(own) for head, own in zip(heads, places, strict=True)):
        return 0.0

    def at(t: int) -> int:
        return places[t][heads[t]] - offsets[t]

    every = range(len(terms))
    frequency = 0.0
    end = max(map(at, every))
    moving = min(every, key=at)
    after = min(at(t) for t in every if t != moving)
    width = end - at(moving)
    while True:
        last = moving
        while True:
            heads[last] += 1
            if heads[last] == len(places[last]):
                return frequency + (1 / (1 + width) if width <= slop else 0.0)
            end = max(end, at(last))
            here = places[last][heads[last]]
            twins = [t for t in every if t != last and terms[t] == terms[last]]
            hit = next((t for t in twins if places[t][heads[t]] == here), None)
            if hit is None:
                break
            last = min(last, hit, key=lambda t: (at(t), t))
        if at(moving) > after or last != moving:
            frequency += 1 / (1 + width) if width <= slop else 0.0
            moving = min(every, key=at)
            after = min(at(t) for t in every if t != moving)
            width = end - at(moving)
        else:
            width = min(width, end - at(moving))


def differences(
    expected: OracleResult,
    found: OracleResult,
    *,
    tolerance: float = 1e-5,
) -> str | None:
    """Say how two answers differ, None if they agree.

    Scores may differ by `tolerance` of their size, and documents with scores that close may
    change places or, at the end of the list, be others.
    """
    if expected.total != found.total:
        return f"total {found.total}, expected {expected.total}"
    hits, others = expected.hits, found.hits
    if len(hits) != len(others):
        return f"{len(others)} hits, expected {len(hits)}"
    for rank, (hit, other) in enumerate(zip(hits, others, strict=True)):
        if not _close(hit.score, other.score, tolerance):
            return f"score {other.score} at {rank}, expected {hit.score}"
        pairs = zip(hit.sort or (), other.sort or (), strict=True)
        if not all(_close(a, b, tolerance) for a, b in pairs):
            return f"sort {other.sort} at {rank}, expected {hit.sort}"
    has_scores = bool(hits) and (hits[0].score is not None)
    groups = itertools.groupby(range(len(hits)), key=_group_of(hits, tolerance))
    for _, group in groups:
        ranks = list(group)
        keys = [hits[rank].key for rank in ranks]
        other_keys = [others[rank].key for rank in ranks]
        is_cut = has_scores and ranks[-1] == len(hits) - 1
        if keys != other_keys and not is_cut and (not has_scores or set(keys) != set(other_keys)):
            return f"keys {other_keys} at {ranks[0]}, expected {keys}"
    return None


def _group_of(hits: list[OracleHit], tolerance: float) -> Any:
    """Return a function rank -> number of its run of scores that are nearly equal."""
    numbers = [0]
    for before, hit in itertools.pairwise(hits):
        is_same = before.score is not None and _close(before.score, hit.score, 2 * tolerance)
        numbers.append(numbers[-1] if is_same else numbers[-1] + 1)
    return numbers.__getitem__


def _close(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-9)
    return bool(a == b)
