"""The `analysis` settings of an index: what users define, checked, and the analyzers by name.

Equal definitions are one analyzer in the process, whatever the indexes they are of, so that
they share what they remember.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from index.analysis import chains
from index.analysis.analyzer import Analyzer
from index.analysis.languages import BUILT_IN, built_in
from index.errors import InvalidRequestError, MappingError

Definitions = Mapping[str, Mapping[str, Any]]
Settings = Mapping[str, Definitions]
"""Sort of definition -> name -> parameters."""
SORTS = ("analyzer", "tokenizer", "filter", "char_filter", "normalizer")
MAX_DEFINITIONS = 1_000
_PARTS = ("tokenizer", "filter", "char_filter")
_LOWERCASE = {"filter": ["lowercase"]}


class Analysis:
    """The analyzers of one index, its own and those that every index has. Thread rule: any."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._analyzers = settings.get("analyzer", {})
        self._normalizers: Definitions = {
            "lowercase": _LOWERCASE,
            **settings.get("normalizer", {}),
        }
        self._known: dict[tuple[str, str], Analyzer] = {}

    def has_analyzer(self, name: str) -> bool:
        return name in self._analyzers or name in BUILT_IN

    def has_normalizer(self, name: str) -> bool:
        return name in self._normalizers

    def analyzer(self, name: str) -> Analyzer:
        """Raises: MappingError if there is none of this name."""
        if name in self._analyzers:
            return self._own("analyzer", name, self._analyzers[name])
        if name not in BUILT_IN:
            raise MappingError(f"analyzer [{name}] has not been configured in mappings")
        return built_in(name)

    def normalizer(self, name: str) -> Analyzer:
        """Return what makes one term of a text. Raises: MappingError if there is none."""
        if name not in self._normalizers:
            raise MappingError(f"normalizer [{name}] not found")
        return self._own("normalizer", name, self._normalizers[name])

    def inline(self, sort: str, definition: Mapping[str, Any]) -> Analyzer:
        """Return the analyzer, or normalizer, of a chain that stands in a request.

        Raises: InvalidRequestError.
        """
        return self._made(sort, "_anonymous_", definition)

    def _own(self, sort: str, name: str, definition: Mapping[str, Any]) -> Analyzer:
        known = self._known.get((sort, name))
        if known is None:
            known = self._known[sort, name] = self._made(sort, name, definition)
        return known

    def _made(self, sort: str, name: str, definition: Mapping[str, Any]) -> Analyzer:
        put_in = {
            key: self._put_in(key, value) if key in _PARTS else value
            for key, value in definition.items()
        }
        try:
            return _shared(msgspec.json.encode([sort, put_in], order="deterministic"))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{sort} [{name}]: {error}") from error

    def _put_in(self, sort: str, named: Any) -> Any:
        """Return the definitions of what an analyzer names."""
        if isinstance(named, list):
            return [self._put_in(sort, name) for name in named]
        if isinstance(named, dict):
            return {"_name": "_anonymous_", **named}
        if isinstance(named, str) and "," in named:
            return [self._put_in(sort, name.strip()) for name in named.split(",")]
        own = self._settings.get(sort, {}).get(str(named))
        return named if own is None else {**own, "_name": str(named)}


@lru_cache(maxsize=256)
def _shared(key: bytes) -> Analyzer:
    sort, definition = msgspec.json.decode(key)
    if sort == "normalizer":
        return chains.make_normalizer(definition)
    return chains.make_analyzer(definition)


def get_analyzer(name: str) -> Analyzer:
    """Return an analyzer that every index has. Raises: MappingError if there is none so named."""
    return Analysis({}).analyzer(name)


# --- what a request defines ----------------------------------------------------------------
def read_settings(given: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the settings of `analysis` as an index keeps them; all are made once, to see that
    they can be.

    Raises: InvalidRequestError naming the definition and the parameter.
    """
    settings: dict[str, dict[str, dict[str, Any]]] = {}
    for sort, definitions in _object(given, "analysis").items():
        if sort not in SORTS:
            raise InvalidRequestError(
                f"unknown setting [index.analysis.{sort}]; expected {', '.join(SORTS)}"
            )
        place = f"analysis.{sort}"
        settings[sort] = {
            name: _object(definition, f"{place}.{name}")
            for name, definition in _object(definitions, place).items()
        }
    if sum(map(len, settings.values())) > MAX_DEFINITIONS:
        raise InvalidRequestError(f"more than {MAX_DEFINITIONS} definitions in [index.analysis]")
    _check(settings)
    return {sort: definitions for sort, definitions in settings.items() if definitions}


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"[index.{place}] must be an object")
    return value


def _check(settings: Settings) -> None:
    words = built_in("standard").words
    for name, definition in settings.get("tokenizer", {}).items():
        chains.make_tokenizer({**definition, "_name": name})
    for name, definition in settings.get("char_filter", {}).items():
        chains.make_char_filter({**definition, "_name": name})
    for name, definition in settings.get("filter", {}).items():
        chains.make_filter({**definition, "_name": name}, words)
    analysis = Analysis(settings)
    for name in settings.get("analyzer", {}):
        if name.startswith("_"):
            raise InvalidRequestError(f"analyzer name must not start with '_', got [{name}]")
        analysis.analyzer(name)
    for name in settings.get("normalizer", {}):
        analysis.normalizer(name)
