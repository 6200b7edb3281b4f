"""Aggregations of a search, parsed: a tree of what to compute over the matching documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from index.query.ast import Query, Scalar

if TYPE_CHECKING:
    from index.query.request import SearchRequest

MAX_BUCKETS = 65_535
"""Buckets of one answer, those of all levels together."""
MAX_DEPTH = 20
MAX_AGGREGATIONS = 1_024
MAX_TOP_HITS = 100

MetricName: TypeAlias = Literal[
    "min", "max", "avg", "sum", "stats", "extended_stats", "value_count"
]
CalendarUnit: TypeAlias = Literal[
    "second", "minute", "hour", "day", "week", "month", "quarter", "year"
]


@dataclass(frozen=True, slots=True)
class Order:
    """One key to order buckets by: `_count`, `_key`, or the path of a sub-aggregation's number."""

    path: str
    is_ascending: bool


BY_COUNT = (Order("_count", False),)
BY_KEY = (Order("_key", True),)


@dataclass(frozen=True, slots=True)
class TermFilter:
    """Which terms become buckets: those of a list, or those that a pattern matches whole."""

    values: tuple[Scalar, ...] = ()
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """A bucket for each value."""

    field: str
    size: int = 10
    min_doc_count: int = 1
    order: tuple[Order, ...] = BY_COUNT
    missing: Scalar | None = None
    include: TermFilter | None = None
    exclude: TermFilter | None = None
    format: str | None = None
    shows_errors: bool = False


@dataclass(frozen=True, slots=True)
class RangeSpec:
    """`from_` is in, `to` is not; None: no bound."""

    key: str | None
    from_: Scalar | None
    to: Scalar | None


@dataclass(frozen=True, slots=True)
class Ranges:
    field: str
    ranges: tuple[RangeSpec, ...]
    keyed: bool = False
    missing: Scalar | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class DateRanges:
    field: str
    ranges: tuple[RangeSpec, ...]
    keyed: bool = False
    missing: Scalar | None = None
    format: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Both ends are in; None: no bound."""

    min: Scalar | None
    max: Scalar | None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Buckets `interval` wide, the first from `offset`."""

    field: str
    interval: float
    offset: float = 0.0
    min_doc_count: int = 0
    order: tuple[Order, ...] = BY_KEY
    extended_bounds: Bounds | None = None
    hard_bounds: Bounds | None = None
    keyed: bool = False
    missing: Scalar | None = None


@dataclass(frozen=True, slots=True)
class DateHistogram:
    """Buckets of a calendar unit, or of a fixed number of milliseconds."""

    field: str
    interval: CalendarUnit | int
    time_zone: str | None = None
    offset_ms: int = 0
    min_doc_count: int = 0
    order: tuple[Order, ...] = BY_KEY
    extended_bounds: Bounds | None = None
    hard_bounds: Bounds | None = None
    keyed: bool = False
    missing: Scalar | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    name: MetricName
    field: str
    missing: Scalar | None = None
    sigma: float = 2.0


@dataclass(frozen=True, slots=True)
class Cardinality:
    """How many different values there are."""

    field: str
    missing: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The values below which so many percent of all values lie."""

    field: str
    percents: tuple[float, ...] = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
    keyed: bool = True
    missing: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    query: Query


@dataclass(frozen=True, slots=True)
class Filters:
    """A bucket for each query, and one for what none matches if `other_key` is given."""

    queries: tuple[Query, ...]
    keys: tuple[str, ...] | None = None
    """None: the buckets have no names."""
    other_key: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """The documents without a value."""

    field: str


@dataclass(frozen=True, slots=True)
class Global:
    """All documents, whatever the query matched."""


@dataclass(frozen=True, slots=True)
class TopHits:
    """The best hits of each bucket; of the request all but the query counts."""

    request: SearchRequest


Kind: TypeAlias = (
    Terms
    | Ranges
    | DateRanges
    | Histogram
    | DateHistogram
    | Metric
    | Cardinality
    | Percentiles
    | Filter
    | Filters
    | Missing
    | Global
    | TopHits
)


@dataclass(frozen=True, slots=True)
class Aggregation:
    name: str
    kind: Kind
    subs: tuple[Aggregation, ...] = ()
    meta: dict[str, Any] | None = field(default=None, hash=False)
