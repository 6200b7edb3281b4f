"""What fields an index has: OpenSearch's mapping, with a number for each field.

Numbers are dense, in order of arrival, and never change within an index: segments on disk
refer to fields by them. A schema is immutable; `merged` and `with_fields` return another.
"""

from __future__ import annotations

import fnmatch
import re
from functools import cached_property
from typing import Any

import msgspec

from index.analysis.analyzer import Analyzer
from index.analysis.definitions import Analysis
from index.errors import MappingError
from index.field import DEFAULT_ANALYZER, MAX_FIELDS
from index.field import Field as Field
from index.mapping import Dynamic, read_mapping

_DEFAULT_SEARCH = "default_search"
"""An index's own analyzer of this name is for the queries of fields without `search_analyzer`."""


class Schema(msgspec.Struct, frozen=True, dict=True, omit_defaults=True):
    """All fields of an index. Thread rule: any thread."""

    fields: tuple[Field, ...] = ()
    """Ordered by number: `fields[no].no == no`."""
    objects: tuple[str, ...] = ()
    """Dotted paths that hold objects, with or without fields in them yet."""
    disabled: tuple[str, ...] = ()
    """Objects with `enabled: false`: kept in the source, not looked into."""
    dynamic: Dynamic = "true"
    dynamic_of: dict[str, Dynamic] = {}
    """`dynamic` of single objects, where they name one."""
    date_detection: bool = True
    meta: dict[str, Any] = {}
    analysis: dict[str, dict[str, dict[str, Any]]] = {}
    """The index's settings of that name; see analysis/definitions.py. They never change."""

    @classmethod
    def from_mapping(
        cls,
        body: dict[str, Any],
        max_fields: int = 1_000,
        analysis: dict[str, dict[str, dict[str, Any]]] | None = None,
    ) -> Schema:
        """Read an OpenSearch mapping. Raises: MappingError."""
        return cls(analysis=analysis or {}).merged(body, max_fields)

    @classmethod
    def from_json(cls, data: bytes | str) -> Schema:
        return msgspec.json.decode(data, type=cls)

    def to_json(self) -> bytes:
        """Return the schema with its numbers, for `from_json`."""
        return msgspec.json.encode(self)

    # --- look up -----------------------------------------------------------------------
    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def _objects(self) -> frozenset[str]:
        return frozenset(self.objects)

    @cached_property
    def multi_fields(self) -> dict[str, tuple[Field, ...]]:
        """The multi-fields of each field that has some."""
        of: dict[str, tuple[Field, ...]] = {}
        for field in self.fields:
            if field.parent is not None:
                of[field.parent] = (*of.get(field.parent, ()), field)
        return of

    def field(self, name: str) -> Field | None:
        return self._by_name.get(name)

    def by_no(self, no: int) -> Field:
        return self.fields[no]

    def is_object(self, path: str) -> bool:
        return path in self._objects

    def dynamic_at(self, path: str) -> Dynamic:
        """Return what happens to an unknown field in the object at `path` ("" = the root)."""
        while path:
            if path in self.dynamic_of:
                return self.dynamic_of[path]
            path = path.rpartition(".")[0]
        return self.dynamic

    def match_fields(self, pattern: str) -> list[Field]:
        """Return the text and keyword fields whose name matches (`*` any run of characters).

        A name without `*` gives the field of that name, whatever its type, or nothing.
        """
        if "*" not in pattern:
            field = self.field(pattern)
            return [field] if field is not None else []
        matches = re.compile(fnmatch.translate(re.sub(r"([\[?])", r"[\1]", pattern))).match
        return [
            field
            for field in self.fields
            if (field.is_text or field.is_keyword) and field.index and matches(field.name)
        ]

    # --- analyzers ---------------------------------------------------------------------
    @cached_property
    def _analysis(self) -> Analysis:
        return Analysis(self.analysis)

    @property
    def default_analyzer(self) -> str:
        """The analyzer of a text field that names none."""
        own = self.analysis.get("analyzer", {})
        return DEFAULT_ANALYZER if DEFAULT_ANALYZER in own else "standard"

    def has_analyzer(self, name: str) -> bool:
        return self._analysis.has_analyzer(name)

    def has_normalizer(self, name: str) -> bool:
        return self._analysis.has_normalizer(name)

    def analyzer(self, name: str) -> Analyzer:
        """Raises: MappingError if there is none of this name."""
        return self._analysis.analyzer(name)

    def inline_analyzer(self, sort: str, definition: dict[str, Any]) -> Analyzer:
        """Return the analyzer of a chain that stands in a request. Raises: InvalidRequestError."""
        return self._analysis.inline(sort, definition)

    def index_analyzer(self, field: Field) -> Analyzer:
        """Return what the texts of a field go through; the values of a keyword: its normalizer."""
        if field.is_text:
            return self._analysis.analyzer(field.analyzer)
        return self.normalizer(field) or self._analysis.analyzer("keyword")

    def search_analyzer(self, field: Field) -> Analyzer:
        """Return what query texts for a field go through where the query names no analyzer."""
        known = self._search_analyzers.get(field.no)
        if known is None:
            known = self._search_analyzers[field.no] = self._search_analyzer(field)
        return known

    @cached_property
    def _search_analyzers(self) -> dict[int, Analyzer]:
        return {}

    def _search_analyzer(self, field: Field) -> Analyzer:
        if not field.is_text:
            return self.index_analyzer(field)
        name = field.search_analyzer
        if name is None and _DEFAULT_SEARCH in self.analysis.get("analyzer", {}):
            name = _DEFAULT_SEARCH
        return self._analysis.analyzer(name or field.analyzer)

    def normalizer_named(self, name: str) -> Analyzer:
        """Raises: MappingError if there is none of this name."""
        return self._analysis.normalizer(name)

    def normalizer(self, field: Field) -> Analyzer | None:
        return None if field.normalizer is None else self._analysis.normalizer(field.normalizer)

    # --- grow --------------------------------------------------------------------------
    def merged(self, body: dict[str, Any], max_fields: int = 1_000) -> Schema:
        """Return the schema with the fields of a mapping added.

        Raises: MappingError if a field would change its type or analyzer, or cannot be.
        """
        added = read_mapping(body, self)
        grown = self.with_fields(added.fields, added.objects, max_fields)
        return msgspec.structs.replace(
            grown,
            disabled=(*self.disabled, *added.disabled),
            dynamic=added.dynamic,
            dynamic_of=added.dynamic_of,
            date_detection=added.date_detection,
            meta=added.meta,
        )

    def with_fields(
        self, fields: list[Field], objects: list[str], max_fields: int = 1_000
    ) -> Schema:
        """Return the schema with new fields, numbered on from here, and new objects.

        Requires: none of them is there, and no name is both a field and an object.
        Raises: MappingError if that is too many fields.
        """
        n = len(self.fields)
        if n + len(fields) > min(max_fields, MAX_FIELDS):
            raise MappingError(f"limit of total fields [{max_fields}] has been exceeded")
        numbered = [
            msgspec.structs.replace(field, no=no) for no, field in enumerate(fields, start=n)
        ]
        return msgspec.structs.replace(
            self, fields=(*self.fields, *numbered), objects=(*self.objects, *objects)
        )

    # --- give back ---------------------------------------------------------------------
    def to_mapping(self) -> dict[str, Any]:
        """Return the mapping in OpenSearch's shape."""
        root: dict[str, Any] = {}
        if self.dynamic != "true":
            root["dynamic"] = self.dynamic
        if not self.date_detection:
            root["date_detection"] = False
        if self.meta:
            root["_meta"] = self.meta
        nodes: dict[str, dict[str, Any]] = {"": root}
        for path in self.objects:
            node: dict[str, Any] = {}
            if path in self.dynamic_of:
                node["dynamic"] = self.dynamic_of[path]
            if path in self.disabled:
                node = {"type": "object", "enabled": False}
            self._place(nodes, path, node)
        for field in self.fields:
            if field.parent is None:
                self._place(nodes, field.name, field.to_mapping())
            else:
                leaf = field.name[len(field.parent) + 1 :]
                nodes[field.parent].setdefault("fields", {})[leaf] = field.to_mapping()
        return root

    @staticmethod
    def _place(nodes: dict[str, dict[str, Any]], path: str, node: dict[str, Any]) -> None:
        parent, _, leaf = path.rpartition(".")
        nodes[path] = node
        nodes[parent].setdefault("properties", {})[leaf] = node


class SchemaRef:
    """The schema that all shards of an index share: the one mutable cell.

    Thread rule: only the apply thread sets `current`; any thread reads it.
    """

    __slots__ = ("current",)

    def __init__(self, current: Schema | None = None) -> None:
        self.current = current if current is not None else Schema()
