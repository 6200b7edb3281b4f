"""A field of an index: its type, and what follows from the type."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from index.errors import MappingError

MAX_FIELDS = 65_536
"""A field number has 16 bits in a term of the memtable."""

INTEGER_RANGES: dict[str, tuple[int, int]] = {
    "long": (-(2**63), 2**63 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "short": (-(2**15), 2**15 - 1),
    "byte": (-(2**7), 2**7 - 1),
}
FLOAT_LIMITS: dict[str, float] = {
    "double": 1.7976931348623157e308,
    "float": 3.4028234663852886e38,
    "half_float": 65504.0,
}
"""Floats are kept as 64 bits; these are the largest values each type takes."""

COLUMN_KINDS: dict[str, Literal["i64", "f64", "ord"]] = {
    "keyword": "ord",
    "date": "i64",
    "boolean": "i64",
    **dict.fromkeys(INTEGER_RANGES, "i64"),
    **dict.fromkeys(FLOAT_LIMITS, "f64"),
}
TYPES = frozenset({"text", *COLUMN_KINDS})

DEFAULT_ANALYZER = "default"
"""An index's own analyzer of this name is that of the text fields which name none."""


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field. `name` is the dotted path; a multi-field is named `parent.name`."""

    no: int
    name: str
    type: str
    analyzer: str = "standard"
    search_analyzer: str | None = None
    """None: the same as `analyzer`."""
    normalizer: str | None = None
    """Of a keyword; None: values stay as they are."""
    ignore_above: int | None = None
    """Keywords of more characters are not indexed."""
    format: str | None = None
    """Of a date; None: strict_date_optional_time||epoch_millis."""
    index: bool = True
    """False: not searchable; a number, date or keyword can still be sorted by."""
    parent: str | None = None
    """The field that this one is a multi-field of."""
    inert: dict[str, Any] = {}
    """Parameters that are given back and change nothing."""

    @property
    def is_text(self) -> bool:
        return self.type == "text"

    @property
    def is_keyword(self) -> bool:
        return self.type == "keyword"

    @property
    def is_numeric(self) -> bool:
        """True for all that has a column of numbers: integers, floats, dates, booleans."""
        return self.column_kind in ("i64", "f64")

    @property
    def column_kind(self) -> Literal["i64", "f64", "ord"] | None:
        """The `Column.kind` of the field; None for text."""
        return COLUMN_KINDS.get(self.type)

    def to_mapping(self) -> dict[str, Any]:
        """Return the field as OpenSearch writes it, multi-fields left out."""
        mapping: dict[str, Any] = {"type": self.type}
        if self.is_text and self.analyzer not in ("standard", DEFAULT_ANALYZER):
            mapping["analyzer"] = self.analyzer
        for name in ("search_analyzer", "normalizer", "ignore_above", "format"):
            if getattr(self, name) is not None:
                mapping[name] = getattr(self, name)
        if not self.index:
            mapping["index"] = False
        return {**mapping, **self.inert}


METADATA_FIELDS = frozenset(
    {
        "_doc_count", "_field_names", "_id", "_ignored", "_index", "_nested_path", "_primary_term",
        "_routing", "_score", "_seq_no", "_size", "_source", "_type", "_version",
    }
)  # fmt: skip
"""Names that stand beside a document and cannot stand at its top."""


def check_top_name(name: str) -> None:
    """Raises: MappingError if no field at the top of a document can be named so."""
    first = name.partition(".")[0]
    if first in METADATA_FIELDS:
        raise MappingError(
            f"field [{first}] is a metadata field and cannot be added inside a document"
        )


def check_field_name(name: str) -> None:
    """Raises: MappingError if a field cannot be named so."""
    if not name or not all(part.strip() for part in name.split(".")):
        raise MappingError(f"field name [{name}] has an empty part")
