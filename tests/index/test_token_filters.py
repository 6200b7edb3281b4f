"""What each tokenizer and filter makes of a text: checked once against Lucene 9.12."""

from __future__ import annotations

import re
from typing import Any

import pytest

from index.analysis.definitions import Analysis, get_analyzer
from index.analysis.java_regex import as_python
from index.errors import InvalidRequestError


def run(text: str, **chain: Any) -> str:
    """Return the words of a chain, `|` between positions, `_` where one is empty."""
    analyzer = Analysis({}).inline("analyzer", {"tokenizer": "standard", **chain})
    at: dict[int, list[str]] = {}
    for token in analyzer.tokens(text):
        at.setdefault(token.position, []).append(token.term.decode())
    return "|".join(" ".join(at.get(place, ["_"])) for place in range(max(at, default=-1) + 1))


def made(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"type": kind, **parameters}


@pytest.mark.parametrize(
    ("tokenizer", "text", "expected"),
    [
        ("standard", "Wi-Fi 3.5 o'clock 日本", "Wi|Fi|3.5|o'clock|日|本"),
        (made("standard", max_token_length=3), "abcdefg hi", "abc|def|g|hi"),
        ("letter", "it's 2 late", "it|s|late"),
        ("lowercase", "It's 2 LATE", "it|s|late"),
        ("whitespace", "a-b  c,d", "a-b|c,d"),
        ("keyword", "New York", "New York"),
        ("pattern", "one, two;three", "one|two|three"),
        (made("pattern", pattern=", *"), "a b, c", "a b|c"),
        (made("pattern", pattern="'([^']*)'", group=1), "say 'a b' or 'c'", "a b|c"),
        (made("pattern", pattern=r"[\p{L}\d]+", group=0), "né1, x", "né1|x"),
        (made("pattern", pattern="X", flags="CASE_INSENSITIVE"), "axbXc", "a|b|c"),
        (made("ngram", min_gram=2, max_gram=3), "abcd", "ab|abc|bc|bcd|cd"),
        (made("ngram", token_chars=["letter"]), "ab1c", "a|ab|b|c"),
        (made("edge_ngram", min_gram=1, max_gram=3), "abcd", "a|ab|abc"),
        (made("edge_ngram", max_gram=9, token_chars="letter,digit"), "ab c1", "a|ab|c|c1"),
        (made("edge_ngram", token_chars=["custom"], custom_token_chars="+-"), "a+-b", "+|+-"),
        ("path_hierarchy", "/usr/local/bin", "/usr /usr/local /usr/local/bin"),
        (made("path_hierarchy", reverse=True), "a/b/c", "a/b/c b/c c"),
        (made("path_hierarchy", delimiter="-", replacement="/", skip=1), "a-b-c", "/b /b/c"),
        ("uax_url_email", "see https://a.io/b?c=1, or me@b.org!", "see|https://a.io/b?c=1|or|me@b.org"),
        ("chinese", "他来到清华大学 ok", "他|来到|清华大学|ok"),
    ],
)  # fmt: skip
def test_tokenizers(tokenizer: Any, text: str, expected: str) -> None:
    assert run(text, tokenizer=tokenizer) == expected


@pytest.mark.parametrize(
    ("filter", "text", "expected"),
    [
        ("lowercase", "ÀB c", "àb|c"),
        (made("lowercase", language="turkish"), "ISPARTA İzmir", "ısparta|izmir"),
        (made("lowercase", language="greek"), "ΟΔΌΣ", "οδοσ"),
        (made("lowercase", language="irish"), "nAthair tÚll Nathair", "n-athair|t-úll|nathair"),
        ("uppercase", "straße a", "STRASSE|A"),
        ("asciifolding", "Ærøskøbing déjà Ⅻ", "AEroskobing|deja|Ⅻ"),
        (made("asciifolding", preserve_original=True), "né a", "ne né|a"),
        ("icu_folding", "ΆΛΦΑ Straße ﬁne", "αλφα|strasse|fine"),
        ("cjk_width", "ＡＢ１ ｶﾞ", "AB1|ガ"),
        ("decimal_digit", "٣۴५", "345"),
        ("stop", "this is a fox", "_|_|_|fox"),
        (made("stop", stopwords=["Fox"], ignore_case=True), "a fOX b", "a|_|b"),
        (made("stop", stopwords="_none_"), "the fox", "the|fox"),
        (made("stop", stopwords=["_german_", "x"]), "und x y", "_|_|y"),
        (made("keep", keep_words=["fox"]), "a fox b", "_|fox"),
        (made("length", min=2, max=3), "a ab abc abcd", "_|ab|abc"),
        (made("truncate", length=3), "abcdef ab", "abc|ab"),
        (made("limit", max_token_count=2), "a b c", "a|b"),
        ("unique", "a b a c", "a|b|_|c"),
        ("reverse", "abc né", "cba|én"),
        ("elision", "l'avion d’été qu'il", "avion|été|il"),
        (made("elision", articles=["x"]), "x'a l'b", "a|l'b"),
        ("apostrophe", "Ankara'ya gel", "Ankara|gel"),
        ("porter_stem", "running technologies us", "run|technolog|us"),
        ("stemmer", "horses", "hors"),
        (made("stemmer", language="german"), "häuser", "haus"),
        (made("stemmer", language="possessive_english"), "dog's", "dog"),
        (made("snowball", language="French"), "chevaux", "cheval"),
        ("snowball", "generously", "generous"),
        (made("edge_ngram", min_gram=2, max_gram=3), "abcd a", "ab abc"),
        (made("edge_ngram", max_gram=2, side="back"), "abc", "c bc"),
        (made("edge_ngram", min_gram=2, max_gram=3, preserve_original=True), "abcd", "ab abc abcd"),
        (made("ngram", min_gram=1, max_gram=2), "abc", "a ab b bc c"),
        ("shingle", "a b c", "a a b|b b c|c"),
        (made("shingle", max_shingle_size=3, output_unigrams=False), "a b c", "a b a b c|b c"),
        (made("shingle", token_separator=""), "a b", "a ab|b"),
        (made("shingle", min_shingle_size=3, max_shingle_size=3, output_unigrams=False,
              output_unigrams_if_no_shingles=True), "a b", "a|b"),
        ("cjk_bigram", "東京タ tokyo 京", "東京|京タ|tokyo|京"),
        (made("cjk_bigram", output_unigrams=True), "東京", "東 東京|京"),
        (made("cjk_bigram", ignored_scripts=["katakana"]), "東京タ", "東京|タ"),
        ("fingerprint", "b a b", "a b"),
        (made("pattern_replace", pattern="(\\d)(\\d)", replacement="$2$1"), "12a34", "21a43"),
        (made("pattern_replace", pattern="a", replacement="\\$", all=False), "aa", "$a"),
        ("german_normalization", "maerz über", "marz|uber"),
        ("scandinavian_folding", "blåbærsyltetöj", "blabarsyltetoj"),
        ("scandinavian_normalization", "räksmörgås", "ræksmørgås"),
        ("arabic_normalization", "أحمدة", "احمده"),
        ("persian_normalization", "کتاب", "كتاب"),
        ("word_delimiter_graph", "PowerShot's WiFi-802", "Power|Shot|Wi|Fi|802"),
        (made("word_delimiter_graph", catenate_all=True), "WiFi-4", "WiFi4 Wi|Fi|4"),
        (made("word_delimiter", preserve_original=True), "PowerShot", "PowerShot Power|Shot"),
    ],
)  # fmt: skip
def test_filters(filter: Any, text: str, expected: str) -> None:
    tokenizer = "whitespace" if "word_delimiter" in str(filter) else "standard"
    assert run(text, tokenizer=tokenizer, filter=[filter]) == expected


def test_a_word_that_is_protected_is_not_stemmed() -> None:
    stems = ["lowercase", made("keyword_marker", keywords=["running"]), "porter_stem"]
    assert run("Running dogs", filter=stems) == "running|dog"
    stems = [made("keyword_marker", keywords_pattern="d.*"), "porter_stem"]
    assert run("running dogs", filter=stems) == "run|dogs"
    stems = [made("stemmer_override", rules=["mice, mouses => mouse"]), "porter_stem"]
    assert run("mice cats", filter=stems) == "mouse|cat"
    stems = ["keyword_repeat", "porter_stem", "remove_duplicates"]
    assert run("jumping cat", filter=stems) == "jumping jump|cat"


@pytest.mark.parametrize(
    ("char_filter", "text", "expected"),
    [
        ("html_strip", "<p>I&apos;m <b>so</b> h<i>app</i>y<br>now</p>", "I'm|so|happy|now"),
        ("html_strip", "a <!-- b --> c <script>d<e</script>f 1<2 x", "a|c|f|1|2|x"),
        (made("html_strip", escaped_tags=["b"]), "<b>x</b>", "b|x|b"),
        (made("mapping", mappings=["ph => f", "p => b", "\\u0041 => z"]), "phone pA", "fone|bz"),
        (made("pattern_replace", pattern="(\\d+)-(?=\\d)", replacement="$1_"), "1-2 x", "1_2|x"),
    ],
)  # fmt: skip
def test_char_filters(char_filter: Any, text: str, expected: str) -> None:
    assert run(text, char_filter=[char_filter]) == expected


def test_offsets_are_those_of_the_text_before_char_filters() -> None:
    filters = ["html_strip", made("mapping", mappings=["ae => ä"])]
    definition = {"tokenizer": "standard", "char_filter": filters}
    text = "<p>M<b>aer</b>z &amp;c</p>"
    spans = [
        text[token.start : token.end]
        for token in Analysis({}).inline("analyzer", definition).tokens(text)
    ]
    assert spans == ["M<b>aer</b>z", "c"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("arabic", "الكتب في المدرسة", "كتب|_|مدرس"),
        ("catalan", "L'home i cases", "hom|_|case"),
        ("chinese", "研究生命起源 AI", "研究|生命|起源|ai"),
        ("cjk", "東京タワーへ行く the", "東京|京タ|タワ|ワー|ーへ|へ行|行く"),
        ("dutch", "de kinderen fietsen", "_|kinder|fiets"),
        ("french", "l'amitié des chevaux", "amiti|_|cheval"),
        ("german", "die Häuser", "_|haus"),
        ("greek", "ΟΙ ΟΔΟΣ", "_|οδ"),
        ("hindi", "किताबें में", "किताब|_"),
        ("irish", "an nAthair", "_|athair"),
        ("italian", "dell'Italia", "ital"),
        ("persian", "کتاب‌های بزرگ", "كتاب|_|بزرگ"),
        ("russian", "и быстрые лисицы", "_|быстр|лисиц"),
        ("spanish", "los caballos", "_|caball"),
        ("turkish", "İstanbul'da ışıklar", "istanbul|ışık"),
    ],
)  # fmt: skip
def test_languages(name: str, text: str, expected: str) -> None:
    at = {token.position: token.term.decode() for token in get_analyzer(name).tokens(text)}
    n_words = len(expected.split("|"))
    assert "|".join(at.get(place, "_") for place in range(n_words)) == expected


def test_an_analyzer_of_a_type_takes_its_parameters() -> None:
    make = Analysis({}).inline

    def terms(definition: dict[str, Any], text: str) -> list[str]:
        return [token.term.decode() for token in make("analyzer", definition).tokens(text)]

    assert terms(made("standard", stopwords="_english_"), "the Fox") == ["fox"]
    assert terms(made("english", stem_exclusion=["dogs"]), "the dogs cats") == ["dogs", "cat"]
    assert terms(made("french", stopwords=["chat"]), "le chat") == ["le"]
    assert terms(made("stop", stopwords=["b"]), "a b") == ["a"]
    assert terms(made("pattern", pattern="-", lowercase=False), "A-B") == ["A", "B"]
    assert terms(made("fingerprint", separator="+"), "b é b") == ["b+e"]
    with pytest.raises(InvalidRequestError, match="stem_exclusion"):
        make("analyzer", made("cjk", stem_exclusion=["a"]))


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"[\p{L}\d]+", "né1-x", ["né1", "x"]),
        (r"\P{L}+", "a1-b", ["1-"]),
        (r"[^\p{Lu}]+", "AbC", ["b"]),
        (r"\p{Punct}", "a.b!", [".", "!"]),
        (r"(?:a++)+|[+(]*(?>b+)+", "aa+b", ["aa", "+b"]),
        (r"[]x]+", "]x", ["]x"]),
    ],
)
def test_javas_patterns_are_read(pattern: str, text: str, found: list[str]) -> None:
    matches = re.finditer(as_python(pattern), text)
    assert [match[0] for match in matches if match[0]] == found


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "((a*)b)*", "(?:x{2,}y?){3,}", "[a&&b]", "[a[b]]", r"\p{Klingon}", r"\p"]
)
def test_patterns_that_may_take_for_ever_or_are_not_known_are_refused(pattern: str) -> None:
    with pytest.raises(re.error):
        as_python(pattern)
