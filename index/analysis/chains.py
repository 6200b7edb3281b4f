"""From definitions to analyzers: what a tokenizer, a filter or an analyzer is said to be, made.

A definition is a name from the catalog, or an object: `type`, parameters and, under `_name`, how
errors call it. In that of an analyzer, what it names has been put in.
Raises: InvalidRequestError naming the definition and the parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from index.analysis.analyzer import Analyzer, PartNames
from index.analysis.char_filters import CharFilter
from index.analysis.filter_catalog import FILTERS, NORMALIZING, PLACED_FILTERS, Analyze
from index.analysis.filters import TokenFilter, lowercase, stop
from index.analysis.languages import (
    BUILT_IN,
    LANGUAGES,
    built_in,
    cjk_analyzer,
    english_analyzer,
    language_analyzer,
    standard_analyzer,
    stop_analyzer,
)
from index.analysis.parameters import Parameters
from index.analysis.splitting import pattern
from index.analysis.stop_words import resolve_stop_words
from index.analysis.tokenizer_catalog import (
    CHAR_FILTERS,
    NORMALIZING_CHARS,
    TOKENIZERS,
    max_token_length,
)
from index.analysis.tokenizers import Tokenizer
from index.analysis.word import Word
from index.errors import InvalidRequestError

Definition = str | dict[str, Any]


def _parameters(sort: str, definition: Definition) -> tuple[str, Parameters]:
    """Return the type and the parameters of a definition."""
    if isinstance(definition, str):
        return definition, Parameters(f"{sort} [{definition}]", {})
    given = dict(definition)
    p = Parameters(f"{sort} [{given.pop('_name', given.get('type'))}]", given)
    return p.text("type"), p


def make_tokenizer(definition: Definition) -> Tokenizer:
    kind, p = _parameters("tokenizer", definition)
    make = TOKENIZERS.get(kind)
    if make is None:
        raise InvalidRequestError(f"failed to find tokenizer under name [{kind}]")
    made = make(p)
    p.finish()
    return made


def make_char_filter(definition: Definition) -> CharFilter:
    kind, p = _parameters("char_filter", definition)
    make = CHAR_FILTERS.get(kind)
    if make is None:
        raise InvalidRequestError(f"failed to find char_filter under name [{kind}]")
    made = make(p)
    p.finish()
    return made


def make_filter(definition: Definition, analyze: Analyze) -> TokenFilter:
    """`analyze`: what the chain does up to this filter."""
    kind, p = _parameters("filter", definition)
    if kind in PLACED_FILTERS:
        made = PLACED_FILTERS[kind](p, analyze)
    elif kind in FILTERS:
        made = FILTERS[kind](p)
    else:
        raise InvalidRequestError(f"failed to find filter under name [{kind}]")
    p.finish()
    return made


def make_analyzer(definition: dict[str, Any]) -> Analyzer:
    p = Parameters("analyzer", definition)
    kind = p.text("type", "custom")
    p.ignore("version")
    make = _TYPES.get(kind, _language if kind in LANGUAGES else None)
    if make is not None:
        made = make(kind, p)
    elif kind in BUILT_IN:
        made = built_in(kind)
    else:
        raise InvalidRequestError(f"unknown analyzer type [{kind}]")
    p.finish()
    return made


def make_normalizer(definition: dict[str, Any]) -> Analyzer:
    """Return the analyzer that makes one term of a text, letter by letter."""
    p = Parameters("normalizer", definition)
    if p.text("type", "custom") != "custom":
        raise p.refuse("[type] must be custom")
    char_filters, filters = p.parts("char_filter"), p.parts("filter")
    for sort, parts, allowed in (
        ("char_filter", char_filters, NORMALIZING_CHARS),
        ("filter", filters, NORMALIZING),
    ):
        for part in parts:
            kind = _parameters(sort, part)[0]
            if kind not in allowed:
                raise p.refuse(f"[{kind}] may not be used as a {sort}: it works on whole words")
    p.finish()
    return _chain("normalizer", "keyword", filters, char_filters)


def _chain(
    name: str, tokenizer: Definition, filters: list[Definition], char_filters: list[Definition]
) -> Analyzer:
    before = [make_char_filter(each) for each in char_filters]
    split = make_tokenizer(tokenizer)
    made: list[TokenFilter] = []

    def analyze(text: str) -> list[Word]:
        return reduce(lambda words, each: each.apply(words), made, split.split(text))

    for each in filters:
        made.append(make_filter(each, analyze))
    part_names = PartNames(
        tuple(map(_name, char_filters)), _name(tokenizer), tuple(map(_name, filters))
    )
    return Analyzer(name, split, made, before, part_names=part_names)


def _name(definition: Definition) -> str:
    if isinstance(definition, str):
        return definition
    return str(definition.get("_name", definition.get("type")))


# --- analyzers by type ---------------------------------------------------------------------
def _custom(kind: str, p: Parameters) -> Analyzer:
    if p.number("position_increment_gap", 100) != 100:
        raise p.refuse("[position_increment_gap] is 100 and cannot be changed")
    tokenizer = p.part("tokenizer")
    return _chain(kind, tokenizer, p.parts("filter"), p.parts("char_filter"))


def _stops(p: Parameters) -> frozenset[str] | None:
    return resolve_stop_words(p.words("stopwords")) if p.has("stopwords") else None


def _standard(kind: str, p: Parameters) -> Analyzer:
    return standard_analyzer(kind, _stops(p) or frozenset(), max_token_length(p))


def _stop(kind: str, p: Parameters) -> Analyzer:
    return stop_analyzer(kind, _stops(p))


def _cjk(kind: str, p: Parameters) -> Analyzer:
    return cjk_analyzer(kind, _stops(p))


def _english(kind: str, p: Parameters) -> Analyzer:
    return english_analyzer(kind, _stops(p), p.words("stem_exclusion", []))


def _language(kind: str, p: Parameters) -> Analyzer:
    return language_analyzer(kind, _stops(p), p.words("stem_exclusion", []))


def _pattern(kind: str, p: Parameters) -> Analyzer:
    separator = p.pattern("pattern", r"\W+")
    filters = [lowercase] if p.flag("lowercase", True) else []
    stops = _stops(p)
    return Analyzer(kind, pattern(separator), [*filters, stop(stops)] if stops else filters)


def _fingerprint(kind: str, p: Parameters) -> Analyzer:
    stops = sorted(_stops(p) or ())
    size, separator = p.number("max_output_size", 255, 1), p.text("separator", " ")
    filters: list[Definition] = ["lowercase", "asciifolding"]
    if stops:
        filters.append({"type": "stop", "stopwords": stops})
    filters.append({"type": "fingerprint", "max_output_size": size, "separator": separator})
    return _chain(kind, "standard", filters, [])


_TYPES: dict[str, Callable[[str, Parameters], Analyzer]] = {
    "custom": _custom,
    "standard": _standard,
    "stop": _stop,
    "cjk": _cjk,
    "english": _english,
    "pattern": _pattern,
    "fingerprint": _fingerprint,
}
"""Analyzers with parameters, but those of languages."""
