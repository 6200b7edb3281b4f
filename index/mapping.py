"""Reading an OpenSearch mapping: what it adds to the fields that are there."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

from index.dates import check_format
from index.errors import MappingError
from index.field import TYPES, Field, check_field_name, check_top_name

Dynamic = Literal["true", "false", "strict"]

# Parameters that change what we do, by type; then those taken and given back that change nothing.
_PARAMETERS: dict[str, frozenset[str]] = {
    "text": frozenset({"analyzer", "search_analyzer"}),
    "keyword": frozenset({"ignore_above", "normalizer"}),
    "date": frozenset({"format"}),
}
_INERT = frozenset(
    {
        "boost", "coerce", "doc_values", "eager_global_ordinals", "fielddata", "index_options",
        "index_phrases", "index_prefixes", "locale", "meta", "norms", "similarity",
        "split_queries_on_whitespace", "store", "term_vector",
    }
)  # fmt: skip
_ROOT_PARAMETERS = frozenset({"properties", "dynamic", "date_detection", "_meta", "_source"})


class Known(Protocol):
    """What a mapping is added to: a schema."""

    @property
    def dynamic(self) -> Dynamic: ...
    @property
    def dynamic_of(self) -> dict[str, Dynamic]: ...
    @property
    def disabled(self) -> tuple[str, ...]: ...
    @property
    def date_detection(self) -> bool: ...
    @property
    def meta(self) -> dict[str, Any]: ...
    @property
    def default_analyzer(self) -> str: ...
    def has_analyzer(self, name: str) -> bool: ...
    def has_normalizer(self, name: str) -> bool: ...
    def field(self, name: str) -> Field | None: ...
    def is_object(self, path: str) -> bool: ...


class Additions(NamedTuple):
    """What a mapping says. Fields have no number yet; the last four replace what was there."""

    fields: list[Field]
    objects: list[str]
    disabled: list[str]
    dynamic: Dynamic
    dynamic_of: dict[str, Dynamic]
    date_detection: bool
    meta: dict[str, Any]


def read_mapping(body: dict[str, Any], known: Known) -> Additions:
    """Return what `body` adds. Raises: MappingError if a field would change, or cannot be."""
    return _Reading(known).root(body)


class _Reading:
    """One walk through a mapping, collecting what is new."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._fields: list[Field] = []
        self._objects: list[str] = []
        self._disabled: list[str] = []
        self._dynamic_of = dict(known.dynamic_of)

    def root(self, body: dict[str, Any]) -> Additions:
        if not isinstance(body, dict):
            raise MappingError(f"a mapping must be an object, not {type(body).__name__}")
        unknown = sorted(set(body) - _ROOT_PARAMETERS)
        if unknown:
            raise MappingError(f"root mapping definition has unsupported parameters: {unknown}")
        if body.get("_source", {}) not in ({}, {"enabled": True}):
            raise MappingError("[_source] cannot be filtered or disabled: it is always kept")
        known = self._known
        self._properties(body.get("properties", {}), "")
        return Additions(
            fields=self._fields,
            objects=self._objects,
            disabled=self._disabled,
            dynamic=_dynamic(body["dynamic"], "root") if "dynamic" in body else known.dynamic,
            dynamic_of=self._dynamic_of,
            date_detection=_boolean(
                body.get("date_detection", known.date_detection), "date_detection"
            ),
            meta=body.get("_meta", known.meta),
        )

    def _properties(self, properties: Any, path: str) -> None:
        if not isinstance(properties, dict):
            raise MappingError(f"[properties] of [{path or 'root'}] must be an object")
        for name, definition in properties.items():
            full = f"{path}.{name}" if path else name
            check_field_name(full)
            if self._find(full) is None:  # one that is stored already can be given again
                check_top_name(full)
            if not isinstance(definition, dict):
                raise MappingError(f"expected an object for the definition of [{full}]")
            parent, _, leaf = full.rpartition(".")
            self._parents(parent)
            if definition.get("type", "object") == "object":
                self._object(full, definition)
            else:
                self._field(full, leaf, definition, None)

    def _parents(self, path: str) -> None:
        """Make the objects above a name that was given with dots."""
        if path and path not in self._objects and not self._known.is_object(path):
            self._parents(path.rpartition(".")[0])
            self._refuse_field(path)
            self._objects.append(path)

    def _object(self, path: str, definition: dict[str, Any]) -> None:
        unknown = sorted(set(definition) - {"type", "properties", "dynamic", "enabled"})
        if unknown:
            raise MappingError(f"mapping definition for [{path}] has unsupported {unknown}")
        self._parents(path)
        if "dynamic" in definition:
            self._dynamic_of[path] = _dynamic(definition["dynamic"], path)
        enabled = _boolean(definition.get("enabled", True), "enabled")
        if not enabled and path in self._objects:
            self._disabled.append(path)
        elif "enabled" in definition and enabled == (path in self._known.disabled):
            raise MappingError(f"the [enabled] parameter of [{path}] cannot be changed")
        self._properties(definition.get("properties", {}), path)

    def _field(self, name: str, leaf: str, definition: dict[str, Any], parent: str | None) -> None:
        if self._known.is_object(name) or name in self._objects:
            raise MappingError(f"can't merge a field with the object [{name}]")
        new = self._read(name, definition, parent)
        old = self._find(name)
        if old is None:
            self._fields.append(new)
        elif _identity(old) != _identity(new):
            raise MappingError(
                f"mapper [{name}] cannot be changed from type [{old.type}] to [{new.type}]"
                if old.type != new.type
                else f"mapper [{name}] cannot change its parameters"
            )
        subs = definition.get("fields", {})
        if not isinstance(subs, dict) or (subs and parent is not None):
            raise MappingError(f"[fields] of [{name}] must be an object of fields without [fields]")
        for sub, sub_definition in subs.items():
            check_field_name(sub)
            if not isinstance(sub_definition, dict):
                raise MappingError(f"expected an object for the definition of [{name}.{sub}]")
            self._field(f"{name}.{sub}", sub, sub_definition, name)

    def _read(self, name: str, definition: dict[str, Any], parent: str | None) -> Field:
        kind = definition.get("type")
        if not isinstance(kind, str) or kind not in TYPES:
            raise MappingError(f"no handler for type [{kind}] declared on field [{name}]")
        known = _PARAMETERS.get(kind, frozenset())
        given = {key: value for key, value in definition.items() if key not in ("type", "fields")}
        unknown = sorted(set(given) - known - _INERT - {"index"})
        if unknown:
            raise MappingError(f"unknown parameter {unknown} on mapper [{name}] of type [{kind}]")
        return Field(
            no=-1,
            name=name,
            type=kind,
            analyzer=self._analyzer(given.get("analyzer")) or self._known.default_analyzer,
            search_analyzer=self._analyzer(given.get("search_analyzer")),
            normalizer=self._normalizer(given.get("normalizer"), name),
            ignore_above=_positive(given.get("ignore_above"), f"ignore_above of [{name}]"),
            format=check_format(given.get("format")),
            index=_boolean(given.get("index", True), f"index of [{name}]"),
            parent=parent,
            inert={key: value for key, value in given.items() if key in _INERT},
        )

    def _analyzer(self, name: Any) -> str | None:
        if name is None or (isinstance(name, str) and self._known.has_analyzer(name)):
            return name
        raise MappingError(f"analyzer [{name}] has not been configured in mappings")

    def _normalizer(self, name: Any, field: str) -> str | None:
        if name is None or (isinstance(name, str) and self._known.has_normalizer(name)):
            return name
        raise MappingError(f"normalizer [{name}] not found for field [{field}]")

    def _find(self, name: str) -> Field | None:
        added = next((field for field in self._fields if field.name == name), None)
        return added or self._known.field(name)

    def _refuse_field(self, path: str) -> None:
        if self._find(path) is not None:
            raise MappingError(f"can't merge the object [{path}] with a field of that name")


def _identity(field: Field) -> tuple[Any, ...]:
    """Return what a field must keep for good, because documents were indexed by it."""
    return (
        field.type, field.analyzer, field.normalizer, field.format, field.index, field.parent,
    )  # fmt: skip


def _dynamic(value: Any, where: str) -> Dynamic:
    text = str(value).lower()
    if text == "true":
        return "true"
    if text == "false":
        return "false"
    if text == "strict":
        return "strict"
    raise MappingError(f"[dynamic] of [{where}] must be true, false or strict, not [{value}]")


def _boolean(value: Any, what: str) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise MappingError(f"[{what}] must be true or false, not [{value}]")


def _positive(value: Any, what: str) -> int | None:
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise MappingError(f"{what} must be a number from 0 on, not [{value}]")
    return number
