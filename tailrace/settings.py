"""The whole configuration of a process, put together from its layers.

The first layer that has a value wins: command-line flags, `TAILRACE_SECTION__KEY` in the
environment, the TOML file, the default. Nothing else in Tailrace reads the environment.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from index.errors import TailraceError
from tailrace.problems import KeyPath, describe_problems
from tailrace.sections import (
    IndexName,
    IndexSection,
    LimitsSection,
    PipelineSection,
    ServerSection,
    StorageSection,
    TelemetrySection,
)

PREFIX = "TAILRACE_"
DELIMITER = "__"
OTLP_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
DEFAULT = "default"

Tree = dict[str, Any]


class ConfigError(TailraceError):
    """A configuration that cannot be used: names file, key and what was expected."""

    type = "illegal_argument_exception"
    status = 400


class Settings(BaseSettings):
    """The sections of the configuration; immutable."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    server: ServerSection = ServerSection()
    storage: StorageSection = StorageSection()  # type: ignore[valid-type]
    pipeline: PipelineSection = PipelineSection()  # type: ignore[valid-type]
    limits: LimitsSection = LimitsSection()  # type: ignore[valid-type]
    telemetry: TelemetrySection = TelemetrySection()
    indexes: dict[IndexName, IndexSection] = {}

    @property
    def data_dir(self) -> Path:
        storage: Any = self.storage  # its class is made from the options
        return Path(storage.data)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Valid settings, and for each value that is no default where it came from."""

    settings: Settings
    origins: Mapping[KeyPath, str]

    def entries(self) -> Iterator[tuple[KeyPath, Any, str]]:
        """Yield (key path, value, origin) of every effective value, in the file's order."""
        for path, value in _leaves_of(self.settings):
            yield path, value, _find_origin(self.origins, path)


@dataclass(frozen=True, slots=True)
class _Layer:
    source: PydanticBaseSettingsSource
    origins: Mapping[KeyPath, str]


def load_settings(
    config: Path | None = None,
    *,
    flags: Mapping[str, tuple[KeyPath, Any]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Read and check all layers. `flags` maps a flag's name to the key it sets and the value.

    Raises: ConfigError, naming file (or variable, or flag), key and expectation.
    """
    variables = dict(os.environ if environ is None else environ)
    layers = [_flag_layer(flags or {}), _variable_layer(variables), _file_layer(config)]
    origins = {path: origin for layer in reversed(layers) for path, origin in layer.origins.items()}
    _refuse_values_as_tables(origins)

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls, *_args: Any, **_sources: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(layer.source for layer in layers)

    try:
        return Loaded(Layered(), origins)
    except ValidationError as error:
        fallback = str(config) if config is not None else "configuration"
        line = describe_problems(
            error, Settings, lambda path: _find_origin(origins, path, fallback)
        )
        raise ConfigError(line) from error


def _flag_layer(flags: Mapping[str, tuple[KeyPath, Any]]) -> _Layer:
    values = {name: (path, value) for name, (path, value) in flags.items() if value is not None}
    tree: Tree = {}
    for path, value in values.values():
        _put(tree, path, value)
    origins = {
        leaf: f"flag {name}"
        for name, (path, value) in values.items()
        for leaf, _ in _leaves_of(value, path)
    }
    return _Layer(InitSettingsSource(Settings, init_kwargs=tree), origins)


def _variable_layer(environ: Mapping[str, str]) -> _Layer:
    """Take `TAILRACE_SECTION__KEY`; a name without `__` is not a setting and is left alone."""
    tree: Tree = {}
    origins: dict[KeyPath, str] = {}
    endpoint = environ.get(OTLP_VARIABLE)
    if endpoint:
        _put(tree, ("telemetry", "otlp_endpoint"), endpoint)
        origins[("telemetry", "otlp_endpoint")] = f"variable {OTLP_VARIABLE}"
    for name in sorted(environ):
        rest = name.removeprefix(PREFIX)
        if rest == name or DELIMITER not in rest:
            continue
        path = tuple(rest.lower().split(DELIMITER))
        _put(tree, path, environ[name])
        origins[path] = f"variable {name}"
    return _Layer(InitSettingsSource(Settings, init_kwargs=tree), origins)


def _file_layer(config: Path | None) -> _Layer:
    if config is None:
        return _Layer(InitSettingsSource(Settings, init_kwargs={}), {})
    if not config.is_file():
        raise ConfigError(f"{config}: no such file")
    try:
        source = TomlConfigSettingsSource(Settings, toml_file=config)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{config}: expected TOML: {str(error).lower()}") from error
    origins = {path: str(config) for path, _ in _leaves_of(source.toml_data)}
    return _Layer(source, origins)


def _refuse_values_as_tables(origins: Mapping[KeyPath, str]) -> None:
    """Raise where one layer gives a value and another a table to the same key."""
    for path, origin in origins.items():
        for end in range(1, len(path)):
            if path[:end] in origins:
                key, value_origin = ".".join(path[:end]), origins[path[:end]]
                raise ConfigError(f"{value_origin}: {key}: {origin} needs a table here")


def _put(tree: Tree, path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        child = tree.setdefault(part, {})
        if not isinstance(child, dict):
            return  # a value stands here; `_refuse_values_as_tables` says so
        tree = child
    tree[path[-1]] = value


def _leaves_of(node: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value below `node`; the mapping and the analyzers of an index
    count as one value each."""
    if isinstance(node, BaseModel):
        node = {name: getattr(node, name) for name in type(node).model_fields}
    is_tree = len(path) == 3 and path[0] == "indexes" and path[2] in ("mapping", "analysis")
    if not isinstance(node, dict) or is_tree or (path and not node):
        yield path, node
        return
    for name, child in node.items():
        yield from _leaves_of(child, (*path, name))


def _find_origin(origins: Mapping[KeyPath, str], path: KeyPath, fallback: str = DEFAULT) -> str:
    """Return where `path`, the nearest table above it, or the first value below it was set."""
    path = tuple(part for part in path if part != "[key]")
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return origins[path[:end]]
    below = (origin for key, origin in origins.items() if path and key[: len(path)] == path)
    return next(below, fallback)


def format_entry(path: KeyPath, value: Any, origin: str) -> str:
    """Return one line of TOML with the origin behind it; what is not set is a comment."""
    key = ".".join(part if re.fullmatch(r"[\w-]+", part) else _format_text(part) for part in path)
    line = f"# {key} is not set" if value is None else f"{key} = {format_value(value)}"
    return f"{line}  # {origin}"


def format_value(value: Any) -> str:
    """Return `value` as TOML writes it; a secret stays hidden."""
    if isinstance(value, SecretStr):
        return '"********"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(format_value(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_format_text(str(key))} = {format_value(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    return _format_text(str(value))


def _format_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
