"""Write index/analysis/data/stop_words.*.txt from the lists that Apache Lucene ships.

Source: the jar org.apache.lucene:lucene-analysis-common (Apache-2.0; most of its lists are those
of snowballstem.org and of Jacques Savoy, both BSD). Each file keeps the notice of its list.
Run: `python bench/generate_stop_words.py lucene-analysis-common-9.12.0.jar`.
"""

from __future__ import annotations

import sys
import textwrap
import zipfile
from pathlib import Path

TARGET = Path(__file__).parent.parent / "index" / "analysis" / "data"
FOLDER = "org/apache/lucene/analysis"

SNOWBALL = (
    "danish", "dutch", "finnish", "french", "german", "hungarian", "italian", "norwegian",
    "portuguese", "russian", "spanish", "swedish",
)  # fmt: skip
SAVOY = {"arabic": "ar", "hindi": "hi", "persian": "fa", "romanian": "ro"}
LUCENE = {
    "armenian": "hy", "basque": "eu", "brazilian": "br", "catalan": "ca", "czech": "cz",
    "estonian": "et", "greek": "el", "indonesian": "id", "irish": "ga", "lithuanian": "lt",
    "nepali": "ne", "serbian": "sr", "tamil": "ta", "turkish": "tr",
}  # fmt: skip


def main(jar: str) -> None:
    version = Path(jar).stem.rpartition("-")[2]
    with zipfile.ZipFile(jar) as lists:
        for language in SNOWBALL:
            text = lists.read(f"{FOLDER}/snowball/{language}_stop.txt").decode()
            words = [word for line in text.splitlines() for word in line.partition("|")[0].split()]
            _write(language, words, f"snowballstem.org, BSD licence; by way of Lucene {version}")
        for language, code in SAVOY.items():
            words = _plain(lists.read(f"{FOLDER}/{code}/stopwords.txt").decode())
            _write(language, words, f"Jacques Savoy, BSD licence; by way of Lucene {version}")
        for language, code in LUCENE.items():
            words = _plain(lists.read(f"{FOLDER}/{code}/stopwords.txt").decode())
            _write(language, words, f"Apache Lucene {version}, Apache-2.0")


def _plain(text: str) -> list[str]:
    return [word for line in text.splitlines() if (word := line.partition("#")[0].strip())]


def _write(language: str, words: list[str], source: str) -> None:
    kept = list(dict.fromkeys(word for word in words if " " not in word))
    body = textwrap.fill(" ".join(kept), 98, break_long_words=False, break_on_hyphens=False)
    path = TARGET / f"stop_words.{language}.txt"
    path.write_text(f"# {language.capitalize()} stop words: {source}.\n{body}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
