"""The simple query-string syntax: `+ | - " * ( ) ~N`; nothing in it is ever an error."""

from __future__ import annotations

from index.query import ast
from index.query.string_leaves import fuzzy, over, word

MAX_DEPTH = 20
MAX_CLAUSES = 1024

_STOP = frozenset(' \t\n\r　()"|+~')


def parse_simple_query_string(
    text: str,
    fields: tuple[ast.FieldPattern, ...] | None = None,
    default_operator: ast.Operator = "or",
) -> ast.Query:
    """Parse what a user typed; what cannot be understood is skipped."""
    parser = _SimpleParser(text, fields or ast.ALL_FIELDS, default_operator)
    return parser.clauses(0) or ast.MatchNone()


class _SimpleParser:
    def __init__(
        self, text: str, fields: tuple[ast.FieldPattern, ...], operator: ast.Operator
    ) -> None:
        self._text = text
        self._fields = fields
        self._operator = operator
        self._at = 0
        self._n_clauses = 0

    def clauses(self, depth: int) -> ast.Query | None:
        """Parse up to the closing parenthesis; `+` and `|` join what stands beside them."""
        query: ast.Query | None = None
        joint: ast.Operator | None = None
        is_negative = False
        while self._at < len(self._text) and self._n_clauses < MAX_CLAUSES:
            char = self._text[self._at]
            if char == ")" and depth > 0:
                self._at += 1
                break
            if char in "+|":
                joint, self._at = ("and" if char == "+" else "or"), self._at + 1
                continue
            if char == "-":
                is_negative, self._at = not is_negative, self._at + 1
                continue
            clause = self._clause(char, depth)
            if clause is None:
                continue
            self._n_clauses += 1
            if is_negative:
                clause = ast.Bool(must_not=(clause,))
            query = _join(query, clause, joint or self._operator)
            joint, is_negative = None, False
        return query

    def _clause(self, char: str, depth: int) -> ast.Query | None:
        if char == '"':
            return self._phrase()
        if char == "(" and depth < MAX_DEPTH:
            self._at += 1
            return self.clauses(depth + 1)
        if char in _STOP:
            self._at += 1
            return None
        return self._word()

    def _phrase(self) -> ast.Query | None:
        end = self._text.find('"', self._at + 1)
        text = self._text[self._at + 1 : end if end >= 0 else None]
        self._at = len(self._text) if end < 0 else end + 1
        slop = self._number() if self._tilde() else 0
        return over(self._fields, ast.MatchPhrase("", text, slop=slop)) if text.strip() else None

    def _word(self) -> ast.Query:
        chars: list[tuple[str, bool]] = []
        while self._at < len(self._text) and self._text[self._at] not in _STOP:
            if self._text[self._at] == "\\" and self._at + 1 < len(self._text):
                self._at += 1
            char = self._text[self._at]
            chars.append((char, True))
            self._at += 1
        if self._tilde():
            edits = min(self._number(), 2)
            return fuzzy(self._fields, "".join(char for char, _ in chars), str(edits))
        if chars[-1][0] == "*" and len(chars) > 1:
            chars[-1] = ("*", self._text[self._at - 2] == "\\")
        return word(self._fields, chars, self._operator)

    def _tilde(self) -> bool:
        if self._text.startswith("~", self._at):
            self._at += 1
            return True
        return False

    def _number(self) -> int:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in "0123456789":
            self._at += 1
        return int(self._text[start : self._at][:6] or "0")


def _join(left: ast.Query | None, right: ast.Query, operator: ast.Operator) -> ast.Query:
    if left is None:
        return right
    if operator == "and":
        if isinstance(left, ast.Bool) and left.must and not left.should:
            return ast.Bool(must=(*left.must, right), must_not=left.must_not)
        return ast.Bool(must=(left, right))
    if isinstance(left, ast.Bool) and left.should and not left.must:
        return ast.Bool(should=(*left.should, right))
    return ast.Bool(should=(left, right))
