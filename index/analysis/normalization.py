"""What languages write in several ways, written in one, as Lucene's filters of the same names.

All take words in lower case where the script has case.
"""

from __future__ import annotations

import re
import unicodedata

from index.analysis.filters import TokenFilter, each

# --- case ----------------------------------------------------------------------------------
_TURKISH = str.maketrans({"I": "ı", "İ": "i"})


def lower_turkish(text: str) -> str:
    """Lower-case with the two letters i of Turkish and Azeri."""
    return text.replace("I\u0307", "i").translate(_TURKISH).lower()


_GREEK = str.maketrans("άέήίϊΐόύϋΰώς", "αεηιιιουυυωσ")


def lower_greek(text: str) -> str:
    """Lower-case, take accents off Greek vowels, and write every sigma alike."""
    return text.lower().translate(_GREEK)


_VOWELS = "AEIOUÁÉÍÓÚ"


def lower_irish(text: str) -> str:
    """Lower-case, and set off the n or t that stands before a capital: nAthair is n-athair."""
    if len(text) > 1 and text[0] in "nt" and text[1] in _VOWELS:
        text = f"{text[0]}-{text[1:]}"
    return text.lower()


# --- Arabic and Persian --------------------------------------------------------------------
_ARABIC = str.maketrans(
    {
        **dict.fromkeys("آأإ", "ا"),
        "ى": "ي",
        "ة": "ه",
        "ـ": None,
        **{chr(code): None for code in range(0x64B, 0x653)},
    }
)
_PERSIAN = str.maketrans(
    {"ی": "ي", "ے": "ي", "ک": "ك", "ۀ": "ه", "ہ": "ه", "\u0654": None}
)  # fmt: skip

# --- Indic scripts -------------------------------------------------------------------------
_HINDI = str.maketrans(
    {
        "ँ": "ं", "ऄ": "अ", "आ": "अ", "ई": "इ", "ऊ": "उ", "ॠ": "ऋ", "ॡ": "ऌ", "ऍ": "ए", "ऎ": "ए",
        "ऐ": "ए", "ऑ": "ओ", "ऒ": "ओ", "औ": "ओ", "ऩ": "न", "ऱ": "र", "ी": "ि", "ू": "ु",
        "ॄ": "ृ", "ॣ": "ॢ",
        "ॅ": "े", "ॆ": "े", "ै": "े", "ॉ": "ो", "ॊ": "ो", "ौ": "ो", "़": None, "्": None,
        "\u200c": None, "\u200d": None,
    }
)  # fmt: skip


def normalize_hindi(text: str) -> str:
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text).replace("न्", "ं").translate(_HINDI)


_NUKTA_LETTERS = {
    unicodedata.normalize("NFD", char): char
    for char in map(chr, (*range(0x958, 0x960), 0x9DC, 0x9DD, 0x9DF, 0xA33, 0xA36, 0xA59, 0xA5A,
                          0xA5B, 0xA5E, 0xB5C, 0xB5D))
}  # fmt: skip
_NUKTA_PAIRS = re.compile("|".join(_NUKTA_LETTERS))


def normalize_indic(text: str) -> str:
    """Write letters and signs that can be one code point or several as one."""
    if not any("\u0900" <= char <= "\u0dff" for char in text):
        return text
    composed = unicodedata.normalize("NFC", text)
    return _NUKTA_PAIRS.sub(lambda match: _NUKTA_LETTERS[match[0]], composed)


# --- German and Scandinavian ---------------------------------------------------------------
_UMLAUTS = str.maketrans({"ä": "a", "ö": "o", "ü": "u", "ß": "ss"})


def normalize_german(text: str) -> str:
    """Write umlauts, and the digraphs that stand for them, as plain vowels."""
    text = re.sub("(?<![aeiouyäöüq])ue", "u", text)
    return re.sub("([ao])e", r"\1", text).translate(_UMLAUTS)


_NORDIC = str.maketrans({"ä": "æ", "ö": "ø", "Ä": "Æ", "Ö": "Ø"})
_NORDIC_PAIRS = re.compile("aa|ao|ae|oe|oo", re.IGNORECASE)
_NORDIC_LETTERS = {"aa": "å", "ao": "å", "ae": "æ", "oe": "ø", "oo": "ø"}


def normalize_scandinavian(text: str) -> str:
    """Write æ, ø and å as Danes and Norwegians do."""

    def joined(match: re.Match[str]) -> str:
        letter = _NORDIC_LETTERS[match[0].lower()]
        return letter.upper() if match[0][0].isupper() else letter

    return _NORDIC_PAIRS.sub(joined, text).translate(_NORDIC)


_NORDIC_PLAIN = str.maketrans(
    {"å": "a", "ä": "a", "æ": "a", "ö": "o", "ø": "o", "Å": "A", "Ä": "A", "Æ": "A", "Ö": "O",
     "Ø": "O"}
)  # fmt: skip


def fold_scandinavian(text: str) -> str:
    """Write æ, ø, å and the pairs that stand for them as a and o."""
    return re.sub("([aA])[aAoOeE]|([oO])[oOeE]", r"\1\2", text).translate(_NORDIC_PLAIN)


FILTERS: dict[str, TokenFilter] = {
    "arabic_normalization": each(
        lambda text: text.translate(_ARABIC), keeps_ascii=True, caseless=True, is_letterwise=True
    ),
    "persian_normalization": each(
        lambda text: text.translate(_PERSIAN), keeps_ascii=True, caseless=True, is_letterwise=True
    ),
    "hindi_normalization": each(normalize_hindi, keeps_ascii=True, caseless=True),
    "indic_normalization": each(normalize_indic, keeps_ascii=True, caseless=True),
    "german_normalization": each(normalize_german),
    "scandinavian_normalization": each(normalize_scandinavian),
    "scandinavian_folding": each(fold_scandinavian),
}
