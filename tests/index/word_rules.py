"""UAX #29 in Python, boundary by boundary: what the word kernel must find.

The kernel walks from token to token; this asks of each pair of neighbours whether they belong
together, by the numbered rules of the standard, so that the two share the table alone.
"""

from __future__ import annotations

from index.analysis import characters as ch

LETTER = {ch.ALETTER, ch.HEBREW}
MID_LETTER = {ch.MID_LETTER, ch.MID_NUM_LET, ch.SINGLE_QUOTE}
MID_NUM = {ch.MID_NUM, ch.MID_NUM_LET, ch.SINGLE_QUOTE}
SPELLED = {*LETTER, ch.NUMERIC, ch.KATAKANA}
IN_TOKENS = {
    *SPELLED, ch.IDEOGRAPH, ch.HIRAGANA, ch.SOUTH_EAST_ASIAN, ch.EMOJI, ch.REGIONAL
}  # fmt: skip


def words(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each token in characters."""
    units = _units(text)
    kinds = [kind for _, _, kind, _ in units]
    tokens: list[tuple[int, int]] = []
    begin = 0
    for i in range(1, len(units) + 1):
        if i < len(units) and _joins(units, kinds, i):
            continue
        if any(kind in IN_TOKENS for kind in kinds[begin:i]):
            tokens.append((units[begin][0], units[i - 1][1]))
        begin = i
    return tokens


def _units(text: str) -> list[tuple[int, int, int, bool]]:
    """WB4: (start, end, class, ends with a joiner) of each character with its extenders."""
    units: list[tuple[int, int, int, bool]] = []
    for at, character in enumerate(text):
        kind = ch.character_class(character) & ch.CLASS_MASK
        if kind in (ch.EXTEND, ch.JOINER) and units:
            start, _, base, _ = units[-1]
            units[-1] = (start, at + 1, base, kind == ch.JOINER)
        else:
            units.append((at, at + 1, kind, kind == ch.JOINER))
    return units


def _joins(units: list[tuple[int, int, int, bool]], kinds: list[int], i: int) -> bool:
    """Return whether there is no boundary between units i - 1 and i."""
    a, b = kinds[i - 1], kinds[i]
    before = kinds[i - 2] if i >= 2 else ch.OTHER
    after = kinds[i + 1] if i + 1 < len(kinds) else ch.OTHER
    return (
        (a == b == ch.EMOJI and units[i - 1][3])  # WB3c
        or (a in LETTER and b in LETTER)  # WB5
        or (a in LETTER and b in MID_LETTER and after in LETTER)  # WB6
        or (before in LETTER and a in MID_LETTER and b in LETTER)  # WB7
        or (a == ch.HEBREW and b == ch.SINGLE_QUOTE)  # WB7a
        or (a == ch.HEBREW and b == ch.DOUBLE_QUOTE and after == ch.HEBREW)  # WB7b
        or (before == ch.HEBREW and a == ch.DOUBLE_QUOTE and b == ch.HEBREW)  # WB7c
        or (a == ch.NUMERIC and b == ch.NUMERIC)  # WB8
        or (a in LETTER and b == ch.NUMERIC)  # WB9
        or (a == ch.NUMERIC and b in LETTER)  # WB10
        or (before == ch.NUMERIC and a in MID_NUM and b == ch.NUMERIC)  # WB11
        or (a == ch.NUMERIC and b in MID_NUM and after == ch.NUMERIC)  # WB12
        or (a == b == ch.KATAKANA)  # WB13
        or ((a in SPELLED or a == ch.EXTEND_NUM_LET) and b == ch.EXTEND_NUM_LET)  # WB13a
        or (a == ch.EXTEND_NUM_LET and b in SPELLED)  # WB13b
        or (a == b == ch.REGIONAL and _regionals_before(kinds, i) % 2 == 1)  # WB15, WB16
        or (a == b == ch.SOUTH_EAST_ASIAN)  # UAX #14, as Lucene does
    )


def _regionals_before(kinds: list[int], i: int) -> int:
    n = 0
    while n < i and kinds[i - 1 - n] == ch.REGIONAL:
        n += 1
    return n
