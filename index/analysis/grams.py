"""Filters that cut words into pieces of some characters, or join neighbours."""

from __future__ import annotations

from collections.abc import Iterator

from index.analysis.filters import TokenFilter
from index.analysis.word import Word

SHINGLE = "shingle"
SINGLE = "<SINGLE>"
DOUBLE = "<DOUBLE>"


def edge_spans(size: int, least: int, most: int) -> Iterator[tuple[int, int]]:
    """Return [begin, end) of the beginnings of `size` characters."""
    return ((0, n) for n in range(least, min(most, size) + 1))


def inner_spans(size: int, least: int, most: int) -> Iterator[tuple[int, int]]:
    """Return [begin, end) of all pieces, in the order of where they begin."""
    return (
        (begin, begin + n)
        for begin in range(size - least + 1)
        for n in range(least, min(most, size - begin) + 1)
    )


def grams(least: int, most: int, *, edge: str | None, keeps_original: bool) -> TokenFilter:
    """Return the filter that gives pieces of `least` to `most` characters, all at the position of
    their word. `edge`: `front` or `back`, only those that begin or end with the word."""

    def pieces(text: str) -> list[str]:
        size = len(text)
        if edge is None:
            found = [text[begin:end] for begin, end in inner_spans(size, least, most)]
        elif edge == "front":
            found = [text[:end] for _, end in edge_spans(size, least, most)]
        else:
            found = [text[size - n :] for _, n in edge_spans(size, least, most)]
        if keeps_original and not least <= size <= most:
            found.append(text)
        return found

    def apply(words: list[Word]) -> list[Word]:
        out: list[Word] = []
        for word in words:
            found = [] if word.text is None else pieces(word.text)
            if not found:
                word.text = None
                out.append(word)
            for i, text in enumerate(found):
                out.append(word.with_text(text, 0 if i else word.increment))
        return out

    return TokenFilter(apply, "spelling", caseless=True)


def shingles(least: int, most: int, *, separator: str, filler: str, unigrams: str) -> TokenFilter:
    """Return the filter that joins `least` to `most` neighbours. `filler` stands for a word that
    was taken out.

    `unigrams`: `always` besides the joined, `never`, or `alone`: only where none can be joined.
    """

    def joined(part: list[Word]) -> Word:
        text = separator.join(filler if word.text is None else word.text for word in part)
        return Word(text, part[0].start, part[-1].end, 1, SHINGLE)

    def apply(words: list[Word]) -> list[Word]:
        slots = [slot for word in words for slot in _slots(word)]
        keeps_single = unigrams == "always" or (unigrams == "alone" and len(slots) < least)
        out: list[Word] = []
        for i, word in enumerate(slots):
            parts = [slots[i : i + n] for n in range(least, most + 1) if i + n <= len(slots)]
            own = [joined(part) for part in parts if any(w.text is not None for w in part)]
            if (keeps_single and word.text is not None) or not own:
                alone = Word(word.text if keeps_single else None, word.start, word.end)
                alone.kind = word.kind
                own.insert(0, alone)
            for each in own[1:]:
                each.increment = 0
            out += own
        return out

    return TokenFilter(apply, "stream", caseless=True)


def _slots(word: Word) -> list[Word]:
    """Return a word one position after the one before, with holes for the positions between."""
    holes = [Word(None, word.start, word.end) for _ in range(word.increment - 1)]
    return [*holes, word]


# --- Chinese, Japanese, Korean -------------------------------------------------------------
CJK_KINDS = {
    "han": "<IDEOGRAPHIC>",
    "hiragana": "<HIRAGANA>",
    "katakana": "<KATAKANA>",
    "hangul": "<HANGUL>",
}


def cjk_bigrams(kinds: frozenset[str], *, unigrams: bool) -> TokenFilter:
    """Return the filter that gives overlapping pairs of characters for runs of words of `kinds`
    that stand side by side; a single character stays single."""

    def apply(words: list[Word]) -> list[Word]:
        out: list[Word] = []
        run: list[Word] = []
        for word in words:
            joins = word.text is not None and word.kind in kinds
            if run and not (joins and word.increment == 1 and word.start == run[-1].end):
                out += _paired(run, unigrams=unigrams)
                run = []
            if joins:
                run.append(word)
            else:
                out.append(word)
        return out + (_paired(run, unigrams=unigrams) if run else [])

    return TokenFilter(apply, "stream", caseless=True)


def _paired(run: list[Word], *, unigrams: bool) -> list[Word]:
    chars = [each for word in run for each in _chars(word)]
    if len(chars) == 1:
        chars[0].kind = SINGLE
        chars[0].increment = run[0].increment
        return chars
    out = []
    for i, char in enumerate(chars):
        own = [char] if unigrams else []
        if i + 1 < len(chars):
            after = chars[i + 1]
            pair = Word(f"{char.text}{after.text}", char.start, after.end, 1, DOUBLE)
            own.append(pair)
        char.kind = SINGLE
        for k, each in enumerate(own):
            each.increment = 0 if k else 1
        out += own
    out[0].increment = run[0].increment
    return out


def _chars(word: Word) -> list[Word]:
    text = word.text or ""
    is_as_written = word.end - word.start == len(text)
    return [
        Word(
            char,
            word.start + i if is_as_written else word.start,
            word.start + i + 1 if is_as_written else word.end,
        )
        for i, char in enumerate(text)
    ]


# --- whole texts ---------------------------------------------------------------------------
def unique(words: list[Word]) -> list[Word]:
    """Keep the first of each word of a text."""
    seen: set[str] = set()
    for word in words:
        if word.text in seen:
            word.text = None
        elif word.text is not None:
            seen.add(word.text)
    return words


def limit(n_words: int) -> TokenFilter:
    """Keep the first words of a text."""

    def apply(words: list[Word]) -> list[Word]:
        n = 0
        for i, word in enumerate(words):
            n += word.text is not None
            if n > n_words:
                return words[:i]
        return words

    return TokenFilter(apply, "stream", caseless=True)


def fingerprint(max_size: int, separator: str) -> TokenFilter:
    """Give one word: all different ones of the text, sorted; nothing if it would be too long."""

    def apply(words: list[Word]) -> list[Word]:
        texts = sorted({word.text for word in words if word.text is not None})
        joined = separator.join(texts)
        if not texts or len(joined) > max_size:
            return []
        return [Word(joined, words[0].start, words[-1].end, 1, "fingerprint")]

    return TokenFilter(apply, "stream")


def _flat(words: list[Word]) -> list[Word]:
    for word in words:
        word.span = 1
    return words


flatten_graph = TokenFilter(_flat, caseless=True)
"""Forget which positions words span, as an index does."""
