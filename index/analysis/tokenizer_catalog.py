"""Which tokenizers and character filters settings can name, and what parameters make of them."""

from __future__ import annotations

from collections.abc import Callable

from index.analysis import char_filters, splitting, tokenizers
from index.analysis.char_filters import CharFilter
from index.analysis.parameters import Parameters, gram_sizes
from index.analysis.tokenizers import MAX_TOKEN_CHARS, Tokenizer

MAX_TOKEN_LENGTH = 8_000


def max_token_length(p: Parameters) -> int:
    return p.number("max_token_length", MAX_TOKEN_CHARS, 1, MAX_TOKEN_LENGTH)


def _gram_tokenizer(is_edge: bool) -> Callable[[Parameters], Tokenizer]:
    def make(p: Parameters) -> Tokenizer:
        least, most = gram_sizes(p, is_edge=is_edge)
        classes = p.words("token_chars", [])
        for name in classes:
            if name not in splitting.CHARACTER_CLASSES:
                raise p.refuse(f"unknown class [{name}] in [token_chars]")
        custom = p.text("custom_token_chars", "")
        return splitting.grams(least, most, is_edge=is_edge, classes=classes, custom=custom)

    return make


def _pattern_tokenizer(p: Parameters) -> Tokenizer:
    pattern = p.pattern("pattern", r"\W+")
    group = p.number("group", -1, -1, 99)
    if group > pattern.groups:
        raise p.refuse(f"[pattern] has no group {group}")
    return splitting.pattern(pattern, group)


def _path_hierarchy(p: Parameters) -> Tokenizer:
    delimiter = p.char("delimiter", "/")
    p.ignore("buffer_size")
    return splitting.path_hierarchy(
        delimiter,
        p.char("replacement", delimiter),
        skip=p.number("skip", 0),
        is_reversed=p.flag("reverse", False),
    )


def _keyword(p: Parameters) -> Tokenizer:
    p.ignore("buffer_size")
    return tokenizers.keyword


TOKENIZERS: dict[str, Callable[[Parameters], Tokenizer]] = {
    "standard": lambda p: tokenizers.standard(max_token_length(p)),
    "letter": lambda p: tokenizers.letters(),
    "lowercase": lambda p: tokenizers.lowercased(tokenizers.letters()),
    "whitespace": lambda p: tokenizers.whitespace(max_token_length(p)),
    "keyword": _keyword,
    "pattern": _pattern_tokenizer,
    "ngram": _gram_tokenizer(False),
    "nGram": _gram_tokenizer(False),
    "edge_ngram": _gram_tokenizer(True),
    "edgeNGram": _gram_tokenizer(True),
    "path_hierarchy": _path_hierarchy,
    "uax_url_email": lambda p: splitting.uax_url_email(max_token_length(p)),
    "chinese": lambda p: tokenizers.chinese(),
    "smartcn_tokenizer": lambda p: tokenizers.chinese(),
}


# --- character filters ---------------------------------------------------------------------
def _mapping(p: Parameters) -> CharFilter:
    rules = {}
    for rule in p.words("mappings"):
        key, arrow, value = rule.partition("=>")
        key, value = (_unescaped(side.strip()) for side in (key, value))
        if not arrow or not key:
            raise p.refuse(f"invalid mapping rule [{rule}]")
        rules[key] = value
    return char_filters.mapping(rules)


_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\b": "\b", "\\f": "\f", "\\\\": "\\"}


def _unescaped(text: str) -> str:
    out, at = "", 0
    while at < len(text):
        if text[at] != "\\":
            out += text[at]
            at += 1
        elif text[at : at + 2] == "\\u" and len(text) >= at + 6:
            digits = text[at + 2 : at + 6]
            out += chr(int(digits, 16)) if digits.isalnum() and digits.isascii() else digits
            at += 6
        else:
            out += _ESCAPES.get(text[at : at + 2], text[at + 1 : at + 2])
            at += 2
    return out


def _pattern_replace_chars(p: Parameters) -> CharFilter:
    pattern = p.pattern("pattern")
    return char_filters.pattern_replace(pattern, p.replacement("replacement", "", pattern))


CHAR_FILTERS: dict[str, Callable[[Parameters], CharFilter]] = {
    "html_strip": lambda p: char_filters.html_strip(p.words("escaped_tags", [])),
    "mapping": _mapping,
    "pattern_replace": _pattern_replace_chars,
}
NORMALIZING_CHARS = frozenset({"mapping", "pattern_replace"})
"""Character filters that a normalizer may have."""
