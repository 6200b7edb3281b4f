"""Letters as their plainest form: without accents, in the width and case of ASCII."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

from index.analysis.filters import each

_VOICING = 8
"""Combining class of the marks that make ka ga: another sound, so they stay."""
_VIRAMA = 9
_FIRST_HALF_KANA = 0xFF65
_HALF_KANA = (
    "・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツ"
    "テトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン"
)
_VOICED_MARK = "ﾞ"
_SEMI_VOICED_MARK = "ﾟ"


@cache
def _to_ascii() -> dict[int, str]:
    path = Path(__file__).parent / "data" / "folding.tsv"
    table = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("# "):
            target, _, chars = line.partition("\t")
            table.update(dict.fromkeys(map(ord, chars), target))
    return table


def fold_ascii(text: str) -> str:
    """Write Latin letters, digits and signs that have a like in ASCII by that."""
    return text if text.isascii() else text.translate(_to_ascii())


def fold_unicode(text: str) -> str:
    """Fold case, accents, width and the forms of letters, in all scripts.

    As ICU's folding, but that the marks of Kana and the vowel signs and viramas of Indic scripts
    stay, since words differ by them alone.
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = [char for char in decomposed if unicodedata.combining(char) in (0, _VOICING, _VIRAMA)]
    return unicodedata.normalize("NFC", "".join(kept)).translate(_to_ascii()).casefold()


@cache
def _widths() -> dict[int, str]:
    """Full-width ASCII to ASCII, half-width Kana to full-width."""
    full = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    half = dict(enumerate(_HALF_KANA, _FIRST_HALF_KANA))
    return {**full, **half, 0xFF9E: "゛", 0xFF9F: "゜"}


@cache
def _voiced() -> dict[str, str]:
    pairs = {}
    for code in range(0x30A1, 0x30FF):
        for mark, combining in ((_VOICED_MARK, "゙"), (_SEMI_VOICED_MARK, "゚")):
            joined = unicodedata.normalize("NFC", chr(code) + combining)
            if len(joined) == 1:
                pairs[chr(code) + mark] = joined
    return pairs


def has_odd_width(text: str) -> bool:
    return any("！" <= char <= "ﾟ" for char in text)


def fold_width(text: str) -> str:
    """Write full-width ASCII as ASCII and half-width Kana as Kana, voiced marks joined."""
    if text.isascii() or not has_odd_width(text):
        return text
    out: list[str] = []
    widths, voiced = _widths(), _voiced()
    for char in text:
        if char in (_VOICED_MARK, _SEMI_VOICED_MARK) and out and out[-1] + char in voiced:
            out[-1] = voiced[out[-1] + char]
        else:
            out.append(widths.get(ord(char), char))
    return "".join(out)


_HALF_KANA_BYTES = re.compile(rb"\xef(?:\xbd[\xa6-\xbf]|\xbe[\x80-\x9f])")


def fold_half_kana(data: bytes) -> bytes:
    """Do the same to UTF-8 that has half-width Kana in it; leave any other as it is."""
    if _HALF_KANA_BYTES.search(data) is None:
        return data
    return fold_width(data.decode("utf-8", "replace")).encode("utf-8")


asciifolding = each(fold_ascii, keeps_ascii=True, caseless=True, is_letterwise=True)
icu_folding = each(fold_unicode, keeps_ascii=True, caseless=True, is_letterwise=True)
cjk_width = each(fold_width, keeps_ascii=True, caseless=True, is_letterwise=True)
