"""Synonyms: words, and runs of words, that others stand beside or in place of.

Rules are Solr's: `car, automobile` makes equals of all; `tele => television, tv` puts the right
side for the left. `#` begins a comment, a backslash takes the next character as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from index.analysis.filters import TokenFilter
from index.analysis.word import Word
from index.errors import InvalidRequestError

SYNONYM = "SYNONYM"

Phrase = tuple[str, ...]
Analyze = Callable[[str], list[Word]]


class _Rule(NamedTuple):
    outputs: tuple[Phrase, ...]
    keeps: bool
    """The words that were found stay."""


class Rules:
    """What each run of words stands for."""

    def __init__(self) -> None:
        self._rules: dict[Phrase, _Rule] = {}
        self._longest: dict[str, int] = {}
        """First word -> words of the longest run that begins with it."""

    def add(self, found: Phrase, outputs: Sequence[Phrase], *, keeps: bool) -> None:
        old = self._rules.get(found, _Rule((), False))
        together = dict.fromkeys((*old.outputs, *outputs))
        self._rules[found] = _Rule(tuple(together), keeps or old.keeps)
        self._longest[found[0]] = max(self._longest.get(found[0], 0), len(found))

    @property
    def is_one_to_one(self) -> bool:
        return all(
            len(found) == 1 and all(len(output) == 1 for output in rule.outputs)
            for found, rule in self._rules.items()
        )

    def longest_at(self, words: list[Word], at: int) -> tuple[int, _Rule] | None:
        """Return how many words from `at` on have a rule, the most of them, and the rule."""
        text = words[at].text
        longest = self._longest.get(text) if text is not None else None
        if longest is None:
            return None
        run = [words[at].text]
        while at + len(run) < len(words) and len(run) < longest:
            word = words[at + len(run)]
            if word.text is None or word.increment != 1:
                break
            run.append(word.text)
        for n in range(len(run), 0, -1):
            rule = self._rules.get(tuple(filter(None, run[:n])))
            if rule is not None:
                return n, rule
        return None


def parse_rules(lines: Sequence[str], analyze: Analyze, *, expand: bool, lenient: bool) -> Rules:
    """Read rules; their words go through `analyze`, as the texts do before the filter.

    Raises: InvalidRequestError naming the line, unless `lenient`: then the line is left out.
    """
    rules = Rules()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            _add_line(rules, text, analyze, expand=expand)
        except InvalidRequestError as error:
            if not lenient:
                raise InvalidRequestError(
                    f"invalid synonym rule at line {number}: {error}"
                ) from error
    return rules


def _add_line(rules: Rules, line: str, analyze: Analyze, *, expand: bool) -> None:
    sides = re.split(r"(?<!\\)=>", line)
    if len(sides) > 2:
        raise InvalidRequestError("more than one [=>]")
    left = [_phrase(entry, analyze) for entry in _entries(sides[0])]
    if len(sides) == 2:
        right = [_phrase(entry, analyze) for entry in _entries(sides[1])]
        for found in left:
            rules.add(found, right, keeps=found in right)
    elif expand:
        for found in left:
            rules.add(found, [other for other in left if other != found], keeps=True)
    else:
        for found in left:
            rules.add(found, left[:1], keeps=found == left[0])


def _entries(side: str) -> list[str]:
    entries = [re.sub(r"\\(.)", r"\1", entry.strip()) for entry in re.split(r"(?<!\\),", side)]
    if not all(entries):
        raise InvalidRequestError("an empty entry")
    return entries


def _phrase(entry: str, analyze: Analyze) -> Phrase:
    words = analyze(entry)
    if not words or all(word.text is None for word in words):
        raise InvalidRequestError(f"term: [{entry}] was completely eliminated by analyzer")
    phrase = tuple(word.text for word in words if word.text is not None and word.increment)
    if len(phrase) < len(words) or any(word.increment != 1 for word in words):
        raise InvalidRequestError(
            f"term: [{entry}] analyzed to words that do not follow each other"
        )
    return phrase


def synonyms(rules: Rules, *, is_graph: bool) -> TokenFilter:
    """Return the filter that puts synonyms beside or in place of words.

    `is_graph`: a synonym of several words has positions of its own, which the other side spans;
    else its words stand at the positions of the words found and of those after them.
    """

    def apply(words: list[Word]) -> list[Word]:
        placed: list[tuple[int, Word]] = []
        position = -1
        at = 0
        while at < len(words):
            position += words[at].increment
            match = rules.longest_at(words, at)
            if match is None:
                placed.append((position, words[at]))
                at += 1
                continue
            n, rule = match
            run = words[at : at + n]
            paths = [run] if rule.keeps else []
            paths += [_path(output, run) for output in rule.outputs]
            if is_graph:
                position = _place_graph(paths, position, placed)
            else:
                position = _place_flat(paths, position, placed, n)
            at += n
        return _in_order(placed, position)

    return TokenFilter(apply, "spelling" if rules.is_one_to_one else "stream")


def _path(output: Phrase, run: list[Word]) -> list[Word]:
    return [Word(text, run[0].start, run[-1].end, 1, SYNONYM) for text in output]


def _place_graph(paths: list[list[Word]], first: int, placed: list[tuple[int, Word]]) -> int:
    """Place paths side by side from position `first` on, the inner positions of each its own;
    return the last position."""
    end = first + 1 + sum(len(path) - 1 for path in paths)
    inner = first + 1
    for path in paths:
        at = first
        for k, word in enumerate(path):
            after = end if k == len(path) - 1 else inner + k
            word.span = after - at
            placed.append((at, word))
            at = after
        inner += len(path) - 1
    return end - 1


def _place_flat(
    paths: list[list[Word]], first: int, placed: list[tuple[int, Word]], n_found: int
) -> int:
    """Place paths over each other and over what follows; return the last position of the words
    found."""
    for path in paths:
        placed += [(first + k, word) for k, word in enumerate(path)]
    return first - 1 + min(n_found, max(map(len, paths)))


def _in_order(placed: list[tuple[int, Word]], last: int) -> list[Word]:
    """Return the words by position, their increments set; `last` is the text's last position."""
    placed.sort(key=lambda each: each[0])
    at = -1
    for position, word in placed:
        word.increment = position - at
        at = position
    words = [word for _, word in placed]
    if at < last and words:
        words.append(Word(None, words[-1].end, words[-1].end, last - at))
    return words
