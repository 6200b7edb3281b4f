"""`_analyze`: what an analyzer makes of texts, all at once or step by step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from index.analysis.analyzer import Analyzer
from index.analysis.char_filters import Filtered, filtered, unfiltered
from index.analysis.word import Word, n_positions, present
from index.errors import InvalidRequestError
from index.kernels.tokenize import POSITION_GAP
from index.schema import Schema
from server.faults import UnsupportedError

MAX_TOKENS = 10_000
_KNOWN = frozenset(
    {
        "text", "analyzer", "field", "normalizer", "tokenizer", "filter", "char_filter", "explain",
        "attributes",
    }
)  # fmt: skip
_CHAIN = ("tokenizer", "filter", "char_filter")


def answer(body: dict[str, Any], schema: Schema, *, has_index: bool) -> dict[str, Any]:
    """Return the answer to a request; `schema`: that of the index, or an empty one.

    Raises: InvalidRequestError, MappingError, UnsupportedError.
    """
    unknown = set(body) - _KNOWN
    if unknown:
        raise UnsupportedError(f"[_analyze] does not support [{min(unknown)}]")
    texts = body.get("text")
    texts = texts if isinstance(texts, list) else [texts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequestError("[_analyze] needs [text], a string or several")
    analyzer = _chosen(body, schema, has_index=has_index)
    explains = body.get("explain", False)
    if explains not in (True, False, "true", "false"):
        raise InvalidRequestError(f"[explain] must be true or false, not [{explains}]")
    if explains in (True, "true"):
        return {"detail": _explained(analyzer, texts)}
    return {"tokens": _tokens([analyzer.words(text) for text in texts], texts)}


def _chosen(body: dict[str, Any], schema: Schema, *, has_index: bool) -> Analyzer:
    named = [key for key in ("analyzer", "field", "normalizer") if body.get(key) is not None]
    chain = {key: body[key] for key in _CHAIN if body.get(key) is not None}
    if len(named) + bool(chain) > 1:
        also = named[1] if len(named) > 1 else min(chain)
        raise InvalidRequestError(f"[{named[0]}] and [{also}] cannot be given together")
    if chain:
        return schema.inline_analyzer("analyzer", {"tokenizer": "keyword", **chain})
    if not named:
        return schema.analyzer(schema.default_analyzer)
    key, name = named[0], body[named[0]]
    if not isinstance(name, str):
        raise InvalidRequestError(f"[{key}] is not a string")
    if key == "analyzer":
        return schema.analyzer(name)
    if not has_index:
        raise InvalidRequestError(f"[{key}] needs the name of an index in the path")
    if key == "normalizer":
        return schema.normalizer_named(name)
    field = schema.field(name)
    return schema.analyzer("keyword") if field is None else schema.index_analyzer(field)


def _tokens(
    words_of: Sequence[list[Word]], texts: Sequence[str], *, in_detail: bool = False
) -> list[dict[str, Any]]:
    """Return the tokens of several values of one field."""
    tokens: list[dict[str, Any]] = []
    base_position = base_offset = 0
    for words, text in zip(words_of, texts, strict=True):
        for word, position in present(words):
            if word.text:
                token = {
                    "token": word.text,
                    "start_offset": base_offset + word.start,
                    "end_offset": base_offset + word.end,
                    "type": word.kind,
                    "position": base_position + position,
                }
                if word.span > 1 or in_detail:
                    token["positionLength"] = word.span
                if in_detail:
                    data = word.text.encode("utf-8", "replace")
                    token["bytes"] = f"[{data.hex(' ')}]"
                    token["keyword"] = word.is_protected
                tokens.append(token)
        base_position += n_positions(words) + POSITION_GAP
        base_offset += len(text) + 1
    if len(tokens) > MAX_TOKENS:
        raise InvalidRequestError(
            "the number of tokens produced by calling _analyze has exceeded the allowed maximum "
            f"of [{MAX_TOKENS}]"
        )
    return tokens


def _explained(analyzer: Analyzer, texts: Sequence[str]) -> dict[str, Any]:
    names = analyzer.part_names
    if names is None:
        tokens = _tokens([analyzer.words(text) for text in texts], texts, in_detail=True)
        return {"custom_analyzer": False, "analyzer": {"name": analyzer.name, "tokens": tokens}}
    sources = [unfiltered(text) for text in texts]
    char_filters = []
    for name, change in zip(names.char_filters, analyzer.char_filters, strict=True):
        sources = [filtered(source, change) for source in sources]
        texts_now = [source.text for source in sources]
        char_filters.append({"name": name, "filtered_text": texts_now})
    words_of = [analyzer.tokenizer.split(source.text) for source in sources]
    steps = [{"name": names.tokenizer, "tokens": _in_place(words_of, sources, texts)}]
    for upto, name in enumerate(names.filters, start=1):
        words_of = [
            reduce(
                lambda words, each: each.apply(words),
                analyzer.filters[:upto],
                analyzer.tokenizer.split(source.text),
            )
            for source in sources
        ]
        steps.append({"name": name, "tokens": _in_place(words_of, sources, texts)})
    return {
        "custom_analyzer": True,
        "charfilters": char_filters,
        "tokenizer": steps[0],
        "tokenfilters": steps[1:],
    }


def _in_place(
    words_of: Sequence[list[Word]], sources: Sequence[Filtered], texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the tokens, with the offsets that they have in the texts as given."""
    for words, source in zip(words_of, sources, strict=True):
        for word in words:
            word.start, word.end = source.span(word.start, word.end)
    return _tokens(words_of, texts, in_detail=True)
