"""Texts for analyzers, and what a memtable makes of them."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import zstandard
from hypothesis import strategies as st

from index.analysis.analyzer import Analyzer
from index.kernels.chains import find_positions
from index.kernels.rows import ROW_WIDTH
from index.kernels.term_table import fill_table_leaf
from index.vocabulary import Vocabulary
from tests.index.memtable_world import spans_of

CORPORA = Path(__file__).parents[3] / "shared" / "data"
NAMES = (
    "debian-en", "debian-de", "debian-ja", "debian-ru", "debian-zh_CN", "poetry-zh",
    "shakespeare", "tidb-docs-zh", "tldr",
)  # fmt: skip
SENTENCES = (
    "The quick brown foxes weren't jumping over the lazy dogs' kennels; it's U.S.A. 3.14 v2.0!",
    "Die Bäuerinnen fuhren über die Straße nach Köln, weil's in Ueberlingen schön ist.",
    "L'été dernier, j'ai vu qu'aujourd'hui les chevaux couraient jusqu'à l'océan.",
    "Nell'azienda dell'ingegnere c'è un'automobile. Los niños corrían por los jardines.",
    "Быстрые лисицы перепрыгивают через ленивых собак, и всё это в 2024 году.",
    "Οι γρήγορες αλεπούδες πηδούν πάνω από τα τεμπέλικα σκυλιά της ΟΔΟΥ.",
    "全文検索エンジンは、文書を速くさがすためのｿﾌﾄｳｪｱです。東京タワー",
    "他来到了清华大学，研究生命的起源。数据库 TiDB 兼容 MySQL 5.7。",
    "한국어 검색은 어렵다. 아버지가 방에 들어가신다.",
    "الكتب الجديدة في المكتبات الكبيرة ٢٠٢٤ والمدرسة",
    "کتاب‌های جدید در کتابخانه‌های بزرگ",
    "नई किताबें बड़े पुस्तकालयों में हैं। বইগুলি নতুন। புத்தகங்கள்",
    "İstanbul'da IŞIKLAR yanıyor. A t-úll agus an nAthair. Årsmøtet ble holdt på Ås.",
    "ไม่มีช่องว่างระหว่างคำ 👩‍👩‍👧 café re\u0301sume\u0301 ﬁne Ⅻ ½ wi-fi's foo_bar a.b:c",
)

tricky = st.text(
    st.sampled_from("aZß9_.,'’-  \néİıΣςﬀ\u0301\u200c\u200d漢々の字ひカーｶﾞ한국אבกক্षक़ي۹９Ａ😀"),
    max_size=40,
)
texts = st.one_of(tricky, st.text(max_size=60), st.sampled_from(SENTENCES))


def corpus(n_each: int) -> list[str]:
    """Return texts in many languages: of the shared corpora, where they are, and our own."""
    found = list(SENTENCES)
    for name in NAMES:
        path = CORPORA / f"{name}.ndjson.zst"
        if path.exists():
            with zstandard.open(path, "rt", encoding="utf-8") as lines:
                found += [json.loads(line)["text"][:400] for line in islice(lines, n_each)]
    return found


def indexed(analyzer: Analyzer, values: list[list[str]]) -> list[dict[bytes, list[int]]]:
    """Return the positions of each term of each document; a document is the values of a field."""
    vocabulary = Vocabulary()
    strings = [text.encode() for texts in values for text in texts]
    docs = [doc for doc, texts in enumerate(values) for _ in texts]
    vocabulary.add_texts(analyzer, spans_of(strings, docs, [0] * len(docs)))
    terms = vocabulary.terms()
    row = terms.table_row(len(values))
    all_docs = np.arange(len(values), dtype=np.uint32)
    found: list[dict[bytes, list[int]]] = [{} for _ in values]
    for term in terms.with_postings().tolist():
        leaf = np.zeros(ROW_WIDTH, np.int64)
        fill_table_leaf(row, term, leaf)
        starts, out = np.zeros(len(values) + 1, np.int64), np.empty(100_000, np.uint32)
        find_positions(leaf, all_docs, starts, out)
        for doc in range(len(values)):
            if starts[doc + 1] > starts[doc]:
                found[doc][terms.bytes_of(term)] = out[starts[doc] : starts[doc + 1]].tolist()
    return found


def expected(analyzer: Analyzer, text: str) -> dict[bytes, list[int]]:
    """Return the positions of each term by `Analyzer.tokens`."""
    found: dict[bytes, list[int]] = {}
    for token in analyzer.tokens(text):
        places = found.setdefault(token.term, [])
        if token.position not in places:
            places.append(token.position)
    return {term: sorted(places) for term, places in found.items()}
