"""What an index is, on disk: `index.json` in its folder, and how a request to create one reads.

The schema in the file is never behind any segment: it is written before a manifest that needs
it. Thread rule: `IndexStore` may be used by any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from index.analysis.definitions import read_settings
from index.directory import FsDirectory, OpenDirectory
from index.errors import CorruptionError, InvalidRequestError, StorageError
from index.format import checksum
from index.schema import Schema, SchemaRef

FILE_NAME: Final = "index.json"
TEMPORARY: Final = ".tmp"
FORMAT: Final = 2
"""2: with a checksum. 1 is read too."""
CHECKSUM: Final = "crc32c"
MAX_NAME_BYTES: Final = 255
MAX_SHARDS: Final = 1_024
FORBIDDEN: Final = frozenset('\\/*?"<>|, #:')


class InvalidIndexNameError(InvalidRequestError):
    type = "invalid_index_name_exception"


class IndexMeta(msgspec.Struct, frozen=True):
    """Everything about an index but its documents."""

    name: str
    uuid: str
    created_ms: int
    settings: dict[str, Any]
    schema: msgspec.Raw
    """`Schema.to_json()`."""
    format: int = FORMAT


def check_index_name(name: str) -> str:
    """Return `name`. Raises: InvalidIndexNameError, by the rules of OpenSearch."""
    problem = _name_problem(name)
    if problem is not None:
        raise InvalidIndexNameError(f"invalid index name [{name[:100]}], {problem}")
    return name


def _name_problem(name: str) -> str | None:
    if not name:
        return "must not be empty"
    if name in (".", ".."):
        return "must not be '.' or '..'"
    if name != name.lower():
        return "must be lowercase"
    if name[0] in "_-+.":
        return "must not start with '_', '-', '+' or '.'"
    bad = sorted(FORBIDDEN.intersection(name))
    if bad:
        return f"must not contain {bad[0]!r}"
    if not name.isprintable():
        return "must not contain control characters"
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        return f"must not be longer than {MAX_NAME_BYTES} bytes"
    return None


class IndexBody(msgspec.Struct, frozen=True):
    """The body of `PUT /{index}`, understood."""

    settings: dict[str, Any]
    """Flat: `number_of_shards` (int), `number_of_replicas`, `refresh_interval`."""
    mappings: dict[str, Any]
    analysis: dict[str, dict[str, dict[str, Any]]]
    """What of the settings defines analyzers; see index/analysis/definitions.py."""


def parse_index_body(body: Mapping[str, Any] | None) -> IndexBody:
    """Read settings and mappings; anything that would not have its effect is refused.

    Raises: InvalidRequestError.
    """
    body = dict(body or {})
    settings = _object(body.pop("settings", None), "settings")
    mappings = _object(body.pop("mappings", None), "mappings")
    if body.pop("aliases", None):
        raise InvalidRequestError("aliases are not supported")
    if body:
        raise InvalidRequestError(
            f"unknown key [{next(iter(body))}] for create index; expected settings, mappings"
        )
    flat = _flat(settings)
    analysis = read_settings(_take_analysis(flat))
    return IndexBody(_parse_settings(flat), mappings, analysis)


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequestError(f"[{what}] must be an object")
    return value


def _flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        dotted = f"{path}{name}"
        if isinstance(value, dict) and (value or "analysis." not in path):
            flat.update(_flat(value, f"{dotted}."))
        else:
            flat[dotted.removeprefix("index.")] = value
    return flat


def _take_analysis(flat: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Take `analysis.SORT.NAME.PARAMETER` out of flat settings, and return it as a tree."""
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for name in [name for name in flat if name.startswith("analysis.")]:
        value = flat.pop(name)
        parts = name.split(".")
        if value == {} and len(parts) > 2:  # a definition of nothing
            parts.append("type")
            value = None
        if len(parts) < 4:
            raise InvalidRequestError(f"[index.{name}] must be an object")
        _, sort, *middle, parameter = parts
        tree.setdefault(sort, {}).setdefault(".".join(middle), {})[parameter] = value
    return tree


def _parse_settings(flat: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {"number_of_shards": 1}
    for name, value in flat.items():
        if name == "number_of_shards":
            settings[name] = _whole(value, name, 1, MAX_SHARDS)
        elif name == "number_of_replicas":
            settings[name] = _whole(value, name, 0, MAX_SHARDS)
        elif name in ("max_ngram_diff", "max_shingle_diff"):
            # accepted: what they allow is allowed up to a limit that is not set
            settings[name] = _whole(value, name, 0, MAX_SHARDS)
        elif name == "refresh_interval":
            settings[name] = value  # accepted: documents are searchable without any refresh
        else:
            raise InvalidRequestError(
                f"unknown setting [index.{name}]; expected number_of_shards, "
                "number_of_replicas, refresh_interval, analysis"
            )
    return settings


def _whole(value: Any, name: str, least: int, most: int) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and value.isascii() and value.isdigit()):
        raise InvalidRequestError(f"[index.{name}] must be an integer")
    number = int(value)
    if not least <= number <= most:
        raise InvalidRequestError(f"[index.{name}] must be between {least} and {most}")
    return number


class IndexStore:
    """The folder of one index: `index.json`, `shards/<n>/`, `log/`."""

    def __init__(self, path: Path, open_directory: OpenDirectory = FsDirectory) -> None:
        self.path = path
        self._open_directory = open_directory
        self._lock = threading.Lock()
        self._persisted: Schema | None = None
        self._is_closed = False

    @property
    def log_path(self) -> Path:
        return self.path / "log"

    def shard_path(self, number: int) -> Path:
        return self.path / "shards" / str(number)

    def load(self) -> tuple[IndexMeta, Schema] | None:
        """Return what `index.json` says; None where there is none.

        Its name is durable then, for the process before may have ended before its sync. Its bytes
        need not be, where that process could not sync them: so that `save_schema` writes them
        again. Raises: CorruptionError, StorageError.
        """
        file = self.path / FILE_NAME
        directory = self._open_directory(self.path)
        if FILE_NAME not in directory.list():
            return None
        data = directory.read(FILE_NAME)
        try:
            meta = msgspec.json.decode(data, type=IndexMeta)
            schema = Schema.from_json(bytes(meta.schema))
            is_sound = meta.format == 1 or _is_checked(data)
        except (msgspec.DecodeError, ValueError) as error:
            raise CorruptionError(str(file), 0, str(error)) from error
        if not 1 <= meta.format <= FORMAT:
            raise StorageError(f"{file}: format {meta.format}, this version reads {FORMAT}")
        if not is_sound:
            raise CorruptionError(str(file), 0, "checksum is wrong")
        directory.sync()
        return meta, schema

    def holds_documents(self) -> bool:
        """Return whether the folder has a file of a shard or of a log that is not empty."""
        return any(
            file.is_file() and file.stat().st_size > 0
            for folder in (self.path / "shards", self.log_path)
            for file in folder.glob("**/*")
        )

    def save(self, meta: IndexMeta, schema: Schema) -> None:
        """Write `index.json`, durable with its name and its folder's name when it returns.

        Raises: StorageError.
        """
        with self._lock:
            self._write(meta, schema)

    def save_schema(self, meta: IndexMeta, schema_ref: SchemaRef) -> None:
        """Write `index.json` unless this very schema was written here before.

        Raises: StorageError, also once it is closed.
        """
        with self._lock:
            # Looked up only now: who waited must not put an old schema over a newer one.
            schema = schema_ref.current
            if schema is self._persisted:
                return
            if self._is_closed:
                raise StorageError(f"index [{meta.name}] is closed")
            self._write(meta, schema)

    def close(self) -> None:
        """Write nothing any more: the folder may be deleted, or be another index's by now."""
        with self._lock:
            self._is_closed = True

    def _write(self, meta: IndexMeta, schema: Schema) -> None:
        raw = msgspec.Raw(schema.to_json())
        written = msgspec.structs.replace(meta, schema=raw, format=FORMAT)
        body = orjson.loads(msgspec.json.encode(written))
        body[CHECKSUM] = _checksum_of(body)
        data = orjson.dumps(body, option=orjson.OPT_INDENT_2)
        self._replace_file(data)
        self._persisted = schema

    def _replace_file(self, data: bytes) -> None:
        directory = self._open_directory(self.path)
        temporary = f"{FILE_NAME}{TEMPORARY}"
        if temporary in directory.list():
            directory.delete(temporary)
        directory.write_file(temporary, (data,))
        directory.list()  # who is not the owner of the directory any more hears of it here
        directory.rename(temporary, FILE_NAME)
        directory.sync()


def _checksum_of(body: dict[str, Any]) -> str:
    """Return the checksum of what is said, however it is laid out."""
    return f"{checksum(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)):08x}"


def _is_checked(data: bytes) -> bool:
    """Raises: ValueError where it is not JSON as we write it."""
    body = orjson.loads(data)
    return bool(body.pop(CHECKSUM, None) == _checksum_of(body))
