"""The query-string syntax (docs/query-syntax.md): what people type.

A recursive descent over the characters. `AND`, `OR`, `NOT`, `+` and `-` mean what they mean
in Lucene's classic parser: each makes its neighbours required, optional or forbidden;
there is no precedence, parentheses group.
"""

from __future__ import annotations

import re

from index.errors import InvalidQueryError
from index.query import ast
from index.query.boosts import is_boost
from index.query.parse_simple import parse_simple_query_string
from index.query.string_leaves import boosted, exists, fuzzy, over, word

__all__ = ["parse_query_string", "parse_simple_query_string"]

MAX_CLAUSES = 1024
MAX_DEPTH = 20

_SPACE = frozenset(" \t\n\r　")
_TERM_END = _SPACE | frozenset('()"^~[]{}')
_FIELD = re.compile(r"((?:[^\s()\"^~\[\]{}:\\<>=!+\-/]|\\.)(?:[^\s()\"^~\[\]{}:\\<>=!+/]|\\.)*):")
"""A name and a colon; a hyphen may stand within the name."""
_REGEXP = re.compile(r"/((?:[^/\\]|\\.)*)/", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")


def parse_query_string(
    text: str,
    fields: tuple[ast.FieldPattern, ...] | None = None,
    default_operator: ast.Operator = "or",
) -> ast.Query:
    """Parse what a user typed; terms without a field are asked of `fields` (None: of all).

    Raises: InvalidQueryError naming the place, counted in characters from 0.
    """
    if not text.strip():
        return ast.MatchNone()
    parser = _Parser(text, default_operator)
    query = parser.clauses(fields or ast.ALL_FIELDS, depth=0)
    if parser.at < len(text):
        raise parser.error(f"unexpected [{text[parser.at]}]")
    return query


class _Clauses:
    """The clauses of one group, sorted by what the operators between them say."""

    def __init__(self, operator: ast.Operator) -> None:
        self._operator = operator
        self._clauses: list[tuple[str, ast.Query]] = []

    def add(self, conjunction: str, modifier: str, query: ast.Query) -> None:
        if self._clauses and self._clauses[-1][0] != "must_not":
            if conjunction == "and":
                self._clauses[-1] = ("must", self._clauses[-1][1])
            elif conjunction == "or" and self._operator == "and":
                self._clauses[-1] = ("should", self._clauses[-1][1])
        self._clauses.append((self._occur(conjunction, modifier), query))

    def _occur(self, conjunction: str, modifier: str) -> str:
        if modifier == "not":
            return "must_not"
        if modifier == "must" or conjunction == "and":
            return "must"
        return "must" if self._operator == "and" and conjunction != "or" else "should"

    def query(self) -> ast.Query:
        if len(self._clauses) == 1 and self._clauses[0][0] != "must_not":
            return self._clauses[0][1]
        if not self._clauses:
            return ast.MatchNone()
        chosen = {
            occur: tuple(query for o, query in self._clauses if o == occur)
            for occur in ("must", "should", "must_not")
        }
        return ast.Bool(must=chosen["must"], should=chosen["should"], must_not=chosen["must_not"])


class _Parser:
    def __init__(self, text: str, operator: ast.Operator) -> None:
        self._text = text
        self._operator = operator
        self._n_clauses = 0
        self.at = 0

    def error(self, reason: str) -> InvalidQueryError:
        return InvalidQueryError(f"cannot parse query at character {self.at}: {reason}")

    # --- characters ----------------------------------------------------------------------
    def _peek(self) -> str:
        return self._text[self.at] if self.at < len(self._text) else ""

    def _skip_space(self) -> None:
        while self._peek() in _SPACE and self._peek():
            self.at += 1

    def _accept(self, token: str) -> bool:
        if self._text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def _accept_word(self, token: str) -> bool:
        """Accept an operator that is a word: something must end it."""
        end = self.at + len(token)
        if self._text.startswith(token, self.at) and (
            end == len(self._text) or self._text[end] in _SPACE or self._text[end] == "("
        ):
            self.at = end
            return True
        return False

    # --- grammar -------------------------------------------------------------------------
    def clauses(self, fields: tuple[ast.FieldPattern, ...], depth: int) -> ast.Query:
        if depth > MAX_DEPTH:
            raise self.error(f"parentheses may be nested {MAX_DEPTH} deep at most")
        group = _Clauses(self._operator)
        self._skip_space()
        while self._peek() not in ("", ")"):
            conjunction = self._conjunction()
            modifier = self._modifier()
            if self._peek() in ("", ")") or (conjunction and self._is_at_conjunction()):
                raise self.error("a clause is missing after an operator")
            group.add(conjunction, modifier, self._clause(fields, depth))
            self._skip_space()
        return group.query()

    def _conjunction(self) -> str:
        word = ""
        if self._accept_word("AND") or self._accept("&&"):
            word = "and"
        elif self._accept_word("OR") or self._accept("||"):
            word = "or"
        self._skip_space()
        return word

    def _is_at_conjunction(self) -> bool:
        at = self.at
        is_there = bool(self._conjunction())
        self.at = at
        return is_there

    def _modifier(self) -> str:
        word = ""
        if self._accept("+"):
            word = "must"
        elif self._accept("-") or self._accept("!") or self._accept_word("NOT"):
            word = "not"
        self._skip_space()
        return word

    def _clause(self, fields: tuple[ast.FieldPattern, ...], depth: int) -> ast.Query:
        name = self._field_name()
        if name == "_exists_":
            return boosted(ast.Exists(self._plain_value()), self._boost())
        if name == "_id":
            return boosted(ast.Ids((self._plain_value(),)), self._boost())
        if name == "*" and self._accept("*"):
            return boosted(ast.MatchAll(), self._boost())
        if name:
            fields = (ast.FieldPattern(name),)
        if self._accept("("):
            query = self.clauses(fields, depth + 1)
            if not self._accept(")"):
                raise self.error("a [)] is missing")
        else:
            self._n_clauses += 1
            if self._n_clauses > MAX_CLAUSES:
                raise self.error(f"a query may have {MAX_CLAUSES} clauses at most")
            query = self._leaf(fields)
        return boosted(query, self._boost())

    def _field_name(self) -> str:
        """Accept `name:`; else stay and return an empty name."""
        match = _FIELD.match(self._text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        self._skip_space()
        return re.sub(r"\\(.)", r"\1", match[1])

    def _leaf(self, fields: tuple[ast.FieldPattern, ...]) -> ast.Query:
        char = self._peek()
        if char == '"':
            return self._phrase(fields)
        if char and char in "[{":
            return self._range(fields)
        for sign, bound in ((">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt")):
            if self._accept(sign):
                self._skip_space()
                return over(fields, ast.Range.of("", {bound: self._plain_value()}))
        if char == "/":
            return over(fields, ast.Regexp("", self._regexp()))
        return self._word(fields)

    def _word(self, fields: tuple[ast.FieldPattern, ...]) -> ast.Query:
        chars = self._term_chars()
        if self._accept("~"):
            edits = self._digits()
            text = "".join(char for char, _ in chars)
            if edits not in ("", "0", "1", "2"):
                raise self.error(f"at most 2 edits are possible but [{edits}] are asked")
            return fuzzy(fields, text, edits)
        return word(fields, chars, self._operator)

    def _term_chars(self) -> list[tuple[str, bool]]:
        chars: list[tuple[str, bool]] = []
        while self._peek() and self._peek() not in _TERM_END:
            chars.append(self._char())
        if not chars:
            raise self.error(
                f"unexpected [{self._peek()}]" if self._peek() else "a term is missing"
            )
        return chars

    def _char(self) -> tuple[str, bool]:
        char = self._text[self.at]
        self.at += 1
        if char != "\\":
            return char, False
        if self.at == len(self._text):
            raise self.error("nothing follows the backslash")
        self.at += 1
        return self._text[self.at - 1], True

    def _quoted(self) -> str:
        self.at += 1
        chars = []
        while self._peek() != '"':
            if not self._peek():
                raise self.error('a ["] is missing')
            chars.append(self._char()[0])
        self.at += 1
        return "".join(chars)

    def _regexp(self) -> str:
        """Read a pattern between slashes; a backslash and a slash in it are a slash."""
        match = _REGEXP.match(self._text, self.at)
        if match is None:
            raise self.error("a [/] is missing")
        self.at = match.end()
        pattern = match[1].replace("\\/", "/")
        ast.Regexp("", pattern).automaton()
        return pattern

    def _plain_value(self) -> str:
        if self._peek() == '"':
            return self._quoted()
        return "".join(char for char, _ in self._term_chars())

    def _phrase(self, fields: tuple[ast.FieldPattern, ...]) -> ast.Query:
        text = self._quoted()
        slop = 0
        if self._accept("~"):
            slop = int(self._digits() or "0")
        return over(fields, ast.MatchPhrase("", text, slop=min(slop, 1_000_000)))

    def _range(self, fields: tuple[ast.FieldPattern, ...]) -> ast.Query:
        lower = "gte" if self._peek() == "[" else "gt"
        self.at += 1
        low = self._range_value()
        if not self._accept_word("TO"):
            raise self.error("expected TO in a range")
        high = self._range_value()
        if self._peek() not in ("]", "}") or not self._peek():
            raise self.error("expected []] or [}] at the end of a range")
        upper = "lte" if self._peek() == "]" else "lt"
        self.at += 1
        bounds = {key: v for key, v in ((lower, low), (upper, high)) if v != "*"}
        if not bounds:
            return exists(fields)
        return over(fields, ast.Range.of("", bounds))

    def _range_value(self) -> str:
        self._skip_space()
        value = self._plain_value()
        self._skip_space()
        return value

    def _digits(self) -> str:
        match = _NUMBER.match(self._text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0].partition(".")[0]

    def _boost(self) -> float:
        if not self._accept("^"):
            return 1.0
        match = _NUMBER.match(self._text, self.at)
        if match is None:
            raise self.error("expected a number after [^]")
        boost = float(match[0])
        if not is_boost(boost):
            raise self.error(f"boost [{match[0][:20]}] is more than a 32-bit float holds")
        self.at = match.end()
        return boost
