"""Which tokenizers and filters settings can name, and what their parameters make of them."""

from __future__ import annotations

from collections.abc import Callable

from index.analysis import char_filters, filters, folding, grams, stemming, tokenizers
from index.analysis.char_filters import CharFilter
from index.analysis.delimiter import Delimiting, word_delimiter
from index.analysis.filters import TokenFilter, each
from index.analysis.languages import (
    ARTICLES,
    decimal_digit,
    greek_lowercase,
    irish_lowercase,
    turkish_lowercase,
)
from index.analysis.normalization import FILTERS as NORMALIZATIONS
from index.analysis.parameters import Parameters
from index.analysis.stop_words import resolve_stop_words
from index.analysis.synonyms import parse_rules, synonyms
from index.analysis.tokenizers import MAX_TOKEN_CHARS, Tokenizer
from index.analysis.word import Word

MAX_TOKEN_LENGTH = 8_000
MAX_GRAM = 1_000
MAX_NGRAM_DIFF = 20
MAX_SHINGLE_DIFF = 10
"""Above the defaults of OpenSearch, and not to be set: these multiply the size of an index."""

Analyze = Callable[[str], list[Word]]
"""A text through the tokenizer and the filters that stand before the one that is made."""


# --- tokenizers ----------------------------------------------------------------------------
def max_token_length(p: Parameters) -> int:
    return p.number("max_token_length", MAX_TOKEN_CHARS, 1, MAX_TOKEN_LENGTH)


def _gram_sizes(p: Parameters, *, is_edge: bool) -> tuple[int, int]:
    low = p.number("min_gram", 1, 1, MAX_GRAM)
    high = p.number("max_gram", max(2, low), 1, MAX_GRAM)
    if low > high:
        raise p.refuse(f"[min_gram] of {low} is above [max_gram] of {high}")
    if not is_edge and high - low > MAX_NGRAM_DIFF:
        raise p.refuse(
            f"the difference between [max_gram] and [min_gram] must be at most {MAX_NGRAM_DIFF}, "
            f"not {high - low}"
        )
    return low, high


def _gram_tokenizer(is_edge: bool) -> Callable[[Parameters], Tokenizer]:
    def make(p: Parameters) -> Tokenizer:
        least, most = _gram_sizes(p, is_edge=is_edge)
        classes = p.words("token_chars", [])
        for name in classes:
            if name not in tokenizers.CHARACTER_CLASSES:
                raise p.refuse(f"unknown class [{name}] in [token_chars]")
        custom = p.text("custom_token_chars", "")
        return tokenizers.grams(least, most, is_edge=is_edge, classes=classes, custom=custom)

    return make


def _pattern_tokenizer(p: Parameters) -> Tokenizer:
    pattern = p.pattern("pattern", r"\W+")
    group = p.number("group", -1, -1, 99)
    if group > pattern.groups:
        raise p.refuse(f"[pattern] has no group {group}")
    return tokenizers.pattern(pattern, group)


def _path_hierarchy(p: Parameters) -> Tokenizer:
    delimiter = p.char("delimiter", "/")
    p.ignore("buffer_size")
    return tokenizers.path_hierarchy(
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
    "uax_url_email": lambda p: tokenizers.uax_url_email(max_token_length(p)),
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


# --- token filters -------------------------------------------------------------------------
_LOWER = {
    "": filters.lowercase,
    "turkish": turkish_lowercase,
    "greek": greek_lowercase,
    "irish": irish_lowercase,
}


def _stop(p: Parameters) -> TokenFilter:
    p.ignore("remove_trailing")
    words = resolve_stop_words(p.words("stopwords", ["_english_"]))
    return filters.stop(words, ignores_case=p.flag("ignore_case", False))


def _length(p: Parameters) -> TokenFilter:
    return filters.length(p.number("min", 0), p.number("max", 2**31 - 1, 0, 2**31 - 1))


def _elision(p: Parameters) -> TokenFilter:
    articles = p.words("articles", list(ARTICLES["french"]))
    return filters.elision(articles, ignores_case=p.flag("articles_case", not p.has("articles")))


def _keyword_marker(p: Parameters) -> TokenFilter:
    ignores_case = p.flag("ignore_case", False)
    if p.has("keywords_pattern"):
        matches = p.pattern("keywords_pattern").fullmatch
        return filters.protect(lambda text: matches(text) is not None)
    words = p.words("keywords")
    if ignores_case:
        lowered = frozenset(word.lower() for word in words)
        return filters.protect(lambda text: text.lower() in lowered, caseless=True)
    kept = frozenset(words)
    return filters.protect(lambda text: text in kept)


def _stemmer_override(p: Parameters) -> TokenFilter:
    stems = {}
    for rule in p.lines("rules"):
        left, arrow, stem = rule.partition("=>")
        words = [word.strip() for word in left.split(",")]
        if not arrow or not all(words) or not stem.strip():
            raise p.refuse(f"invalid rule [{rule}]")
        stems.update(dict.fromkeys(words, stem.strip()))
    return filters.override(stems, ignores_case=p.flag("ignore_case", False))


def _stemmer(p: Parameters) -> TokenFilter:
    return stemming.stemmer_named(p.text("language" if p.has("language") else "name", "english"))


def _snowball(p: Parameters) -> TokenFilter:
    return stemming.stem(p.choice("language", "English", stemming.SNOWBALL))


def _asciifolding(p: Parameters) -> TokenFilter:
    if p.flag("preserve_original", False):
        return filters.with_original(folding.fold_ascii)
    return folding.asciifolding


def _grams(edge: bool) -> Callable[[Parameters], TokenFilter]:
    def make(p: Parameters) -> TokenFilter:
        least, most = _gram_sizes(p, is_edge=edge)
        side = p.choice("side", "front", {"front": "front", "back": "back"}) if edge else None
        keeps = p.flag("preserve_original", False)
        return grams.grams(least, most, edge=side, keeps_original=keeps)

    return make


def _shingle(p: Parameters) -> TokenFilter:
    least = p.number("min_shingle_size", 2, 2, 100)
    most = p.number("max_shingle_size", max(2, least), 2, 100)
    if least > most:
        raise p.refuse(f"[min_shingle_size] of {least} is above [max_shingle_size] of {most}")
    if most - least > MAX_SHINGLE_DIFF:
        raise p.refuse(
            f"the difference between [max_shingle_size] and [min_shingle_size] must be at most "
            f"{MAX_SHINGLE_DIFF}, not {most - least}"
        )
    unigrams = "always" if p.flag("output_unigrams", True) else "never"
    if p.flag("output_unigrams_if_no_shingles", False) and unigrams == "never":
        unigrams = "alone"
    return grams.shingles(
        least,
        most,
        separator=p.text("token_separator", " "),
        filler=p.text("filler_token", "_"),
        unigrams=unigrams,
    )


def _cjk_bigram(p: Parameters) -> TokenFilter:
    ignored = p.words("ignored_scripts", [])
    for script in ignored:
        if script not in grams.CJK_KINDS:
            raise p.refuse(f"unknown script [{script}] in [ignored_scripts]")
    kinds = frozenset(kind for script, kind in grams.CJK_KINDS.items() if script not in ignored)
    return grams.cjk_bigrams(kinds, unigrams=p.flag("output_unigrams", False))


def _unique(p: Parameters) -> TokenFilter:
    if p.flag("only_on_same_position", False):
        return TokenFilter(filters.remove_duplicates, "spelling")
    return TokenFilter(grams.unique, "stream")


def _limit(p: Parameters) -> TokenFilter:
    p.ignore("consume_all_tokens")
    return grams.limit(p.number("max_token_count", 1, 1))


def _keep(p: Parameters) -> TokenFilter:
    return filters.keep(p.words("keep_words"), ignores_case=p.flag("keep_words_case", False))


def _pattern_replace(p: Parameters) -> TokenFilter:
    pattern = p.pattern("pattern")
    replacement = p.replacement("replacement", "", pattern)
    return filters.pattern_replace(pattern, replacement, replaces_all=p.flag("all", True))


def _fingerprint(p: Parameters) -> TokenFilter:
    return grams.fingerprint(p.number("max_output_size", 255, 1), p.text("separator", " "))


def _as_is(made: TokenFilter) -> Callable[[Parameters], TokenFilter]:
    return lambda p: made


def _word_delimiter(is_graph: bool) -> Callable[[Parameters], TokenFilter]:
    def make(p: Parameters) -> TokenFilter:
        defaults = Delimiting()._asdict()
        options = Delimiting(**{name: p.flag(name, value) for name, value in defaults.items()})
        p.ignore("adjust_offsets", "ignore_keywords")
        protected = frozenset(p.words("protected_words", []))
        return word_delimiter(options, protected, is_graph=is_graph)

    return make


FILTERS: dict[str, Callable[[Parameters], TokenFilter]] = {
    "lowercase": lambda p: p.choice("language", "", _LOWER),
    "uppercase": lambda p: filters.uppercase,
    "trim": lambda p: filters.trim,
    "reverse": lambda p: filters.reverse,
    "length": _length,
    "truncate": lambda p: filters.truncate(p.number("length", 10, 1)),
    "limit": _limit,
    "unique": _unique,
    "remove_duplicates": lambda p: TokenFilter(filters.remove_duplicates, "spelling"),
    "stop": _stop,
    "keep": _keep,
    "elision": _elision,
    "apostrophe": lambda p: each(filters.apostrophe, caseless=True),
    "classic": lambda p: each(filters.classic, caseless=True),
    "asciifolding": _asciifolding,
    "icu_folding": lambda p: folding.icu_folding,
    "cjk_width": lambda p: folding.cjk_width,
    "cjk_bigram": _cjk_bigram,
    "decimal_digit": lambda p: decimal_digit,
    "stemmer": _stemmer,
    "porter_stem": lambda p: stemming.stem("porter"),
    "snowball": _snowball,
    "keyword_marker": _keyword_marker,
    "keyword_repeat": lambda p: TokenFilter(filters.repeat_keywords, "spelling", caseless=True),
    "stemmer_override": _stemmer_override,
    "ngram": _grams(False),
    "nGram": _grams(False),
    "edge_ngram": _grams(True),
    "edgeNGram": _grams(True),
    "shingle": _shingle,
    "fingerprint": _fingerprint,
    "pattern_replace": _pattern_replace,
    "word_delimiter": _word_delimiter(False),
    "word_delimiter_graph": _word_delimiter(True),
    "flatten_graph": lambda p: grams.flatten_graph,
    **{name: _as_is(made) for name, made in NORMALIZATIONS.items()},
}


def _synonyms(is_graph: bool) -> Callable[[Parameters, Analyze], TokenFilter]:
    def make(p: Parameters, analyze: Analyze) -> TokenFilter:
        p.choice("format", "solr", {"solr": None})
        p.ignore("updateable")
        rules = parse_rules(
            p.lines("synonyms"),
            analyze,
            expand=p.flag("expand", True),
            lenient=p.flag("lenient", False),
        )
        return synonyms(rules, is_graph=is_graph)

    return make


PLACED_FILTERS: dict[str, Callable[[Parameters, Analyze], TokenFilter]] = {
    "synonym": _synonyms(False),
    "synonym_graph": _synonyms(True),
}
"""Filters whose words go through what stands before them in the chain."""

NORMALIZING = frozenset(
    {
        "lowercase", "uppercase", "trim", "asciifolding", "icu_folding", "cjk_width",
        "decimal_digit", "elision", "pattern_replace", "truncate", "reverse", *NORMALIZATIONS,
    }
)  # fmt: skip
"""Filters that a normalizer may have: they work letter by letter."""
NORMALIZING_CHARS = frozenset({"mapping", "pattern_replace"})
"""Character filters that it may have."""
