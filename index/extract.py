"""From a parsed JSON object to the values of fields: what the mapping makes of a document."""

from __future__ import annotations

from typing import Any

import msgspec

from index.convert import MAX_TERM_BYTES, Convert, converters, nothing
from index.dates import looks_like_date
from index.errors import MappingError
from index.field import Field, check_field_name, check_top_name
from index.options import IndexOptions
from index.schema import Schema, SchemaRef

DYNAMIC_IGNORE_ABOVE = 256
"""Of the keyword that dynamic mapping puts beside each text."""

Value = bytes | int | float | list[bytes] | list[int] | list[float]


class ParsedDocument(msgspec.Struct, frozen=True, gc=False):
    """The values of one document by field number.

    Text and keyword: UTF-8 bytes; integers, dates (epoch ms) and booleans (0, 1): int; floats:
    float. A list where a field has two values or more; those of a keyword differ.
    """

    values: dict[int, Value]


_ALL_STRINGS = {str}


class _Leaf:
    """How one field reads JSON values: a converter for each type it takes."""

    __slots__ = ("by_type", "is_set", "name", "no", "normalizes", "subs", "twin_bytes")

    def __init__(self, field: Field, no: int, options: IndexOptions, schema: Schema) -> None:
        self.no = no
        self.name = field.name
        self.is_set = field.is_keyword
        self.normalizes = field.normalizer is not None
        self.by_type: dict[type, Convert] = {
            **converters(field, options, schema.index_analyzer(field)),
            list: self.many,
            type(None): nothing,
        }
        self.subs: list[_Leaf] = []
        self.twin_bytes = -1

    def add_sub(self, sub: _Leaf, field: Field, options: IndexOptions) -> None:
        """Add a multi-field. The only one, a keyword of a text, is its twin: a value of at most
        `twin_bytes` has the same bytes in both, and is converted once."""
        self.subs.append(sub)
        is_twin = sub.is_set and not sub.normalizes and self.by_type[str] is str.encode
        if len(self.subs) == 1 and is_twin:
            self.twin_bytes = min(options.max_term_bytes, MAX_TERM_BYTES)
            if field.ignore_above is not None:
                self.twin_bytes = min(self.twin_bytes, field.ignore_above)
        else:
            self.twin_bytes = -1

    def many(self, values: list[Any]) -> Any:
        """Convert an array: None, one value, or a list of values."""
        if set(map(type, values)) == _ALL_STRINGS:
            return self.joined([v for v in map(self.by_type[str], values) if v is not None])
        out: list[Any] = []
        for value in values:
            one = self.convert(value)
            if type(one) is list:
                out += one
            elif one is not None:
                out.append(one)
        return self.joined(out)

    def joined(self, values: list[Any]) -> Any:
        """Return converted values as a document holds them: None, one, or a list."""
        if len(values) > 1 and self.is_set:
            values = list(dict.fromkeys(values))
        if len(values) > 1:
            return values
        return values[0] if values else None

    def convert(self, value: Any) -> Any:
        converter = self.by_type.get(type(value))
        if converter is None:
            raise MappingError(
                f"failed to parse field [{self.name}]: "
                f"found {'an object' if isinstance(value, dict) else type(value).__name__}"
            )
        return converter(value)

    def put_subs(self, value: Any, converted: Any, values: dict[int, Any]) -> None:
        """Convert for the multi-fields, none of which has a value yet. `converted`: our own."""
        kind = type(converted)
        twin_bytes = self.twin_bytes
        if kind is bytes and len(converted) <= twin_bytes:
            values[self.subs[0].no] = converted
        elif kind is list and twin_bytes >= 0 and max(map(len, converted)) <= twin_bytes:
            values[self.subs[0].no] = self.subs[0].joined(converted)
        else:
            for sub in self.subs:
                sub_converted = sub.convert(value)
                if sub_converted is not None:
                    values[sub.no] = sub_converted

    def put(self, value: Any, values: dict[int, Any]) -> None:
        """Convert, and add to what the field has already."""
        for leaf in (self, *self.subs):
            more = leaf.convert(value)
            if more is None:
                continue
            have = values.get(leaf.no)
            values[leaf.no] = more if have is None else leaf.joined(_listed(have) + _listed(more))


def _listed(value: Any) -> list[Any]:
    return value if type(value) is list else [value]


class _Leaves:
    """The leaves of one schema."""

    __slots__ = ("by_name", "schema", "tops")

    def __init__(self, schema: Schema, options: IndexOptions) -> None:
        self.schema = schema
        self.by_name: dict[str, _Leaf] = {}
        for field in schema.fields:
            leaf = _Leaf(field, field.no, options, schema)
            if field.parent is None:
                self.by_name[field.name] = leaf
            else:
                self.by_name[field.parent].add_sub(leaf, field, options)
        self.tops = {name: leaf for name, leaf in self.by_name.items() if "." not in name}


class Extractor:
    """Thread rule: `parse` on the apply thread only; `check` on any."""

    def __init__(self, schema_ref: SchemaRef, options: IndexOptions) -> None:
        self._ref = schema_ref
        self._options = options
        self._leaves = _Leaves(schema_ref.current, options)

    def parse(self, fields: dict[str, Any]) -> ParsedDocument:
        """Return the document's values; new fields are added to the schema as its mapping says.

        Raises: MappingError; then nothing has changed.
        """
        values, walk = self._read(fields)
        if walk is not None and walk.has_grown:
            self._ref.current = walk.grown_schema()
        return ParsedDocument(values)

    def check(self, fields: dict[str, Any]) -> None:
        """Raises: MappingError where `parse` would. Changes nothing."""
        _, walk = self._read(fields)
        if walk is not None and walk.has_grown:
            walk.grown_schema()

    def convert(self, name: str, value: Any) -> Any:
        """Return what the field `name` makes of one value that is no array: as in
        `ParsedDocument.values`, or None for nothing. Raises: MappingError where `parse` would."""
        return self._current_leaves().by_name[name].convert(value)

    def _current_leaves(self) -> _Leaves:
        if self._leaves.schema is not self._ref.current:
            self._leaves = _Leaves(self._ref.current, self._options)
        return self._leaves

    def _read(self, fields: dict[str, Any]) -> tuple[dict[int, Any], _Walk | None]:
        leaves = self._current_leaves()
        values: dict[int, Any] = {}
        rest: list[tuple[str, Any]] = []
        tops = leaves.tops
        name = ""
        try:
            for name, value in fields.items():
                leaf = tops.get(name)
                if leaf is None:
                    rest.append((name, value))
                    continue
                converter = leaf.by_type.get(type(value))
                if converter is None:
                    leaf.convert(value)  # raises
                    continue
                converted = converter(value)
                if converted is not None:
                    values[leaf.no] = converted
                if leaf.subs:
                    leaf.put_subs(value, converted, values)
            if not rest:
                return values, None
            walk = _Walk(leaves, self._options, values)
            for name, value in rest:
                check_top_name(name)
                walk.member("", name, value, 1)
        except UnicodeEncodeError as error:
            raise MappingError(f"field [{name}] holds a half surrogate pair") from error
        except RecursionError as error:
            raise MappingError(f"field [{name}] holds arrays nested too deep") from error
        return values, walk


class _Walk:
    """One document's way through objects and unknown fields."""

    __slots__ = ("_leaves", "_new_fields", "_new_objects", "_options", "_schema", "_values")

    def __init__(self, leaves: _Leaves, options: IndexOptions, values: dict[int, Any]) -> None:
        self._schema = leaves.schema
        self._leaves = leaves.by_name
        self._options = options
        self._values = values
        self._new_fields: list[Field] = []
        self._new_objects: list[str] = []

    @property
    def has_grown(self) -> bool:
        return bool(self._new_fields or self._new_objects)

    def grown_schema(self) -> Schema:
        return self._schema.with_fields(
            self._new_fields, self._new_objects, self._options.max_fields
        )

    def member(self, path: str, name: str, value: Any, depth: int) -> None:
        """Take one member of the object at `path`."""
        full = f"{path}.{name}" if path else name
        leaf = self._leaves.get(full)
        if leaf is not None:
            leaf.put(value, self._values)
        elif self._is_object(full):
            self._object(full, value, depth)
        elif not _is_empty(value):
            self._unknown(path, name, value, depth)

    def _object(self, path: str, value: Any, depth: int) -> None:
        if path in self._schema.disabled:
            return
        if depth >= self._options.max_depth:
            raise MappingError(f"the depth of [{path}] exceeds the limit of {depth}")
        if type(value) is dict:
            for name, member in value.items():
                self.member(path, name, member, depth + 1)
        elif type(value) is list:
            for element in value:
                self._object(path, element, depth)
        elif value is not None:
            raise MappingError(
                f"object mapping for [{path}] tried to parse field [{path}] as object, "
                "but found a concrete value"
            )

    def _unknown(self, path: str, name: str, value: Any, depth: int) -> None:
        full = f"{path}.{name}" if path else name
        check_field_name(full)
        first, dot, others = name.partition(".")
        if dot and not self._is_prefix_leaf(path, first):
            self._dotted(path, first, others, value, depth)
            return
        dynamic = self._schema.dynamic_at(path)
        if dynamic == "false":
            return
        if dynamic == "strict":
            raise MappingError(
                f"mapping set to strict, dynamic introduction of [{name}] within "
                f"[{path or '_doc'}] is not allowed"
            )
        sample = _first(value)
        if type(sample) is dict:
            self._new_objects.append(full)
            self._object(full, value, depth)
            return
        self._add(full, sample)
        self._leaves[full].put(value, self._values)

    def _dotted(self, path: str, first: str, others: str, value: Any, depth: int) -> None:
        """Take `a.b` as the member b of the object a."""
        full = f"{path}.{first}" if path else first
        if not self._is_object(full):
            if self._schema.dynamic_at(path) == "true":
                self._new_objects.append(full)
            elif self._schema.dynamic_at(path) == "false":
                return
        if full in self._schema.disabled:
            return
        if depth >= self._options.max_depth:
            raise MappingError(f"the depth of [{full}] exceeds the limit of {depth}")
        self.member(full, others, value, depth + 1)

    def _is_prefix_leaf(self, path: str, first: str) -> bool:
        full = f"{path}.{first}" if path else first
        if full in self._leaves:
            raise MappingError(f"cannot add a member to [{full}], which is a field, not an object")
        return False

    def _is_object(self, path: str) -> bool:
        return self._schema.is_object(path) or path in self._new_objects

    def _add(self, name: str, sample: Any) -> None:
        """Add the field that `sample` asks for, with the leaf that reads it."""
        fields = _guess(name, sample, self._schema)
        no = len(self._schema.fields) + len(self._new_fields)
        if no + len(fields) > self._options.max_fields:
            raise MappingError(
                f"limit of total fields [{self._options.max_fields}] has been exceeded"
            )
        if not self._new_fields:
            self._leaves = dict(self._leaves)
        leaf = _Leaf(fields[0], no, self._options, self._schema)
        for sub_no, sub in enumerate(fields[1:], no + 1):
            sub_leaf = _Leaf(sub, sub_no, self._options, self._schema)
            leaf.add_sub(sub_leaf, sub, self._options)
        self._leaves[name] = leaf
        self._new_fields += fields


def _is_empty(value: Any) -> bool:
    """Return whether there is nothing to map in it: null, or an array of such."""
    return value is None or (type(value) is list and all(map(_is_empty, value)))


def _first(value: Any) -> Any:
    """Return the first value that is no array and no null. Requires: there is one."""
    while type(value) is list:
        value = next(element for element in value if not _is_empty(element))
    return value


def _guess(name: str, sample: Any, schema: Schema) -> list[Field]:
    """Return the field that OpenSearch would make for a JSON value, and its multi-field."""
    match sample:
        case bool():
            return [Field(no=-1, name=name, type="boolean")]
        case int():
            return [Field(no=-1, name=name, type="long")]
        case float():
            return [Field(no=-1, name=name, type="float")]
        case str() if schema.date_detection and looks_like_date(sample):
            return [Field(no=-1, name=name, type="date")]
        case str():
            keyword = Field(
                no=-1,
                name=f"{name}.keyword",
                type="keyword",
                ignore_above=DYNAMIC_IGNORE_ABOVE,
                parent=name,
            )
            text = Field(no=-1, name=name, type="text", analyzer=schema.default_analyzer)
            return [text, keyword]
    raise MappingError(f"field [{name}] holds a {type(sample).__name__}, which is no JSON value")
