"""Which token filters settings can name, and what their parameters make of them."""

from __future__ import annotations

from collections.abc import Callable

from index.analysis import filters, folding, grams, stemming
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
from index.analysis.parameters import Parameters, gram_sizes
from index.analysis.stop_words import resolve_stop_words
from index.analysis.synonyms import parse_rules, synonyms
from index.analysis.word import Word

MAX_SHINGLE_DIFF = 10
"""Above the default of OpenSearch, and not to be set: it multiplies the size of an index."""

Analyze = Callable[[str], list[Word]]
"""A text through the tokenizer and the filters that stand before the one that is made."""


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
        least, most = gram_sizes(p, is_edge=edge)
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
