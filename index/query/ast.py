"""What can be asked, as plain immutable values.

Parsers (`parse_json`, `parse_string`) make these trees, `rewrite` turns one into a plan
against a schema. Nothing here knows a schema: a field is the name the user wrote, a value
is what JSON gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from index.automaton.automaton import MAX_STATES, Automaton, regexp
from index.automaton.regexp import Syntax

Scalar: TypeAlias = str | int | float | bool
Operator: TypeAlias = Literal["or", "and"]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all queries. `boost` multiplies the score."""

    boost: float = 1.0


class MatchAll(Query, frozen=True):
    """Every document, score 1."""


class MatchNone(Query, frozen=True):
    """No document."""


class Match(Query, frozen=True):
    """Documents with the tokens of an analysed text; on fields that are not text, the value."""

    field: str
    text: Scalar
    operator: Operator = "or"
    minimum_should_match: str | None = None
    fuzziness: str | None = None
    prefix_length: int = 0
    max_expansions: int = 50
    transpositions: bool = True
    analyzer: str | None = None
    zero_terms: Literal["none", "all"] = "none"
    lenient: bool = False


class MatchPhrase(Query, frozen=True):
    """Documents with the tokens of a text beside each other, at most `slop` moves apart."""

    field: str
    text: Scalar
    slop: int = 0
    analyzer: str | None = None
    zero_terms: Literal["none", "all"] = "none"
    lenient: bool = False


class MatchPhrasePrefix(Query, frozen=True):
    """As `MatchPhrase`, the last token being the beginning of a term."""

    field: str
    text: Scalar
    slop: int = 0
    max_expansions: int = 50
    analyzer: str | None = None
    lenient: bool = False


class Term(Query, frozen=True):
    """Documents with exactly this value: for text, this term of the dictionary."""

    field: str
    value: Scalar
    case_insensitive: bool = False
    lenient: bool = False


class Terms(Query, frozen=True):
    """Documents with one of these values; score 1."""

    field: str
    values: tuple[Scalar, ...]


class Range(Query, frozen=True):
    """Documents with a value between the bounds; None: no bound on that side; score 1."""

    field: str
    gt: Scalar | None = None
    gte: Scalar | None = None
    lt: Scalar | None = None
    lte: Scalar | None = None
    format: str | None = None
    time_zone: str | None = None
    lenient: bool = False

    @classmethod
    def of(cls, field: str, bounds: Mapping[str, Scalar | None]) -> Range:
        """Return the range with these bounds; the keys are gt, gte, lt, lte."""
        return cls(
            field,
            gt=bounds.get("gt"),
            gte=bounds.get("gte"),
            lt=bounds.get("lt"),
            lte=bounds.get("lte"),
        )


class Exists(Query, frozen=True):
    """Documents with a value in the field, or in any field of the object; score 1."""

    field: str


class Ids(Query, frozen=True):
    """Documents with one of these keys; score 1."""

    keys: tuple[str, ...]


class Prefix(Query, frozen=True):
    """Documents with a term that starts so; score 1."""

    field: str
    value: str
    case_insensitive: bool = False
    normalize: bool = False
    """Lower-case the value where the field's analyzer does, as a query string asks."""
    lenient: bool = False


class Wildcard(Query, frozen=True):
    """Documents with a term that matches: `*` any run, `?` one character, `\\` takes the next
    as it is; score 1."""

    field: str
    pattern: str
    case_insensitive: bool = False
    normalize: bool = False
    lenient: bool = False


class Regexp(Query, frozen=True):
    """Documents with a term that all of the pattern matches; score 1.

    `syntax`: which optional operators it has. `max_states`: of its automaton.
    """

    field: str
    pattern: str
    syntax: Syntax = Syntax.ALL
    case_insensitive: bool = False
    max_states: int = MAX_STATES
    lenient: bool = False

    def automaton(self) -> Automaton:
        """Return what accepts the terms that are meant. Raises: InvalidQueryError for a pattern
        that is none or needs too much; a parser asks once."""
        return regexp(
            self.pattern,
            syntax=self.syntax,
            caseless=self.case_insensitive,
            max_states=self.max_states,
        )


class Fuzzy(Query, frozen=True):
    """Documents with a term at most some edits away.

    `fuzziness`: 0, 1, 2, AUTO or AUTO:low,high. `prefix_length` first characters must be the
    same. `transpositions`: swapping two neighbours is one edit.
    """

    field: str
    value: Scalar
    fuzziness: str = "AUTO"
    prefix_length: int = 0
    max_expansions: int = 50
    transpositions: bool = True
    normalize: bool = False
    lenient: bool = False


class Bool(Query, frozen=True):
    """All of `must` and `filter`, none of `must_not`, some of `should`.

    `minimum_should_match` None: none; but one where there is neither `must` nor `filter`.
    """

    must: tuple[Query, ...] = ()
    should: tuple[Query, ...] = ()
    filter: tuple[Query, ...] = ()
    must_not: tuple[Query, ...] = ()
    minimum_should_match: str | None = None


class ConstantScore(Query, frozen=True):
    """What the filter matches, score 1."""

    filter: Query


class DisMax(Query, frozen=True):
    """Documents of any of the queries; the best score, plus `tie_breaker` times the others."""

    queries: tuple[Query, ...]
    tie_breaker: float = 0.0


class FieldPattern(msgspec.Struct, frozen=True):
    """A field name, or a pattern with `*` for several, with its boost: `title^3`."""

    pattern: str
    boost: float = 1.0


ALL_FIELDS = (FieldPattern("*"),)


class OverFields(Query, frozen=True):
    """One leaf query, asked of every field the patterns name.

    The `field` of `query` is not looked at. `combine`: "best" as `DisMax` does, "sum" adds up
    the scores. Patterns with `*` skip fields whose type the query does not suit.
    """

    fields: tuple[FieldPattern, ...]
    query: (
        Match | MatchPhrase | MatchPhrasePrefix | Term | Range | Prefix | Wildcard | Regexp | Fuzzy
    )
    combine: Literal["best", "sum"] = "best"
    tie_breaker: float = 0.0
