"""Text → the tokens the keyword index stores and asks for: words and character bigrams. The same for every index."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jieba
import opencc

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_UNSPACED = f"{_HAN}\u3041-\u30ff\u31f0-\u31ff\uac00-\ud7af"
_LETTER = f"[^\\W_{_UNSPACED}]"
_RUN = re.compile(f"[{_UNSPACED}]+|{_LETTER}+(?:[-./_+#&@:'’]{_LETTER}+)*[+#]*")
_HAN_RUN = re.compile(f"[{_HAN}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_PART = re.compile(r"\d+|[^\W\d_]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_PIECE = re.compile(f"[{_UNSPACED}]+|{_LETTER}+")
_TOKEN_LIMIT_CHARS = 64
_IDEOGRAPHS = (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000), *range(0xF900, 0xFB00))


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's tokens in reading order. Latin words and codes stand in both lists."""

    words: tuple[str, ...]
    bigrams: tuple[str, ...]


class Tokenizer:
    """Cuts Chinese with jieba's search mode and into bigrams; keeps English words (singular) and codes whole.

    `load` must have been called before; it reads jieba's dictionary, which takes about 0.7 s and 70 MB.
    """

    def __init__(self) -> None:
        self._jieba = jieba.Tokenizer()
        self._stop_words: frozenset[str] = frozenset()

    def load(self) -> None:
        """Read the dictionary and the stop words."""
        if self._jieba.initialized:
            return
        logging.getLogger("jieba").setLevel(logging.WARNING)
        # jieba's own `initialize` trusts a cache file in the shared temporary folder; so the table is built anew here.
        self._jieba.FREQ, self._jieba.total = self._jieba.gen_pfdict(self._jieba.get_dict_file())
        self._jieba.initialized = True
        lines = Path(__file__).with_name("stop_words.txt").read_text(encoding="utf-8").splitlines()
        self._stop_words = frozenset(word for line in lines if not line.startswith("#") for word in line.split())

    def of_text(self, text: str) -> Tokens:
        """Tokens of a chunk: everything, repeated as often as it stands there."""
        words: list[str] = []
        bigrams: list[str] = []
        for run in _runs(text):
            if _IS_UNSPACED.match(run):
                words.extend(self._han_words(run))
                bigrams.extend(_bigrams(run))
            else:
                latin = _latin_tokens(run)
                words.extend(latin)
                bigrams.extend(latin)
        return Tokens(tuple(words), tuple(bigrams))

    def of_query(self, text: str) -> Tokens:
        """Tokens of a question: each once, without stop words unless it is made of nothing else."""
        asked = self._without_stop_words(text)
        if not asked.words and not asked.bigrams:
            asked = self.of_text(text)
        return Tokens(tuple(dict.fromkeys(asked.words)), tuple(dict.fromkeys(asked.bigrams)))

    def _without_stop_words(self, text: str) -> Tokens:
        words: list[str] = []
        bigrams: list[str] = []
        for run in _runs(text):
            if _IS_UNSPACED.match(run):
                words.extend(word for word in self._han_words(run) if word not in self._stop_words)
                for stretch in self._stretches(run):
                    bigrams.extend(_bigrams(stretch))
            else:
                latin = [token for token in _latin_tokens(run) if token not in self._stop_words]
                words.extend(latin)
                bigrams.extend(latin)
        return Tokens(tuple(words), tuple(bigrams))

    def _han_words(self, run: str) -> Iterator[str]:
        for han in _HAN_RUN.findall(run):
            yield from self._jieba.cut_for_search(han)

    def _stretches(self, run: str) -> Iterator[str]:
        """What remains of a run between its stop words: a bigram across one would mean nothing."""
        stretch = ""
        for word in self._jieba.cut(run):
            if word in self._stop_words:
                if stretch:
                    yield stretch
                stretch = ""
            else:
                stretch += word
        if stretch:
            yield stretch


def bigrams_of(text: str) -> list[str]:
    """The `bigrams` of `Tokenizer.of_text`, for which no dictionary is needed."""
    found: list[str] = []
    for run in _runs(text):
        found.extend(_bigrams(run) if _IS_UNSPACED.match(run) else _latin_tokens(run))
    return found


def is_unspaced(token: str) -> bool:
    """Whether a token is of a script that sets no spaces between words."""
    return _IS_UNSPACED.match(token) is not None


def folded(text: str) -> str:
    """A text as it is compared: width, case and thousands separators folded, Chinese characters made simple ones."""
    return _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).casefold()).translate(_simple_forms())


def holds(text: str, wanted: str) -> bool:
    """Whether a text holds another word for word: folded, with white space and punctuation aside."""
    return _bare(wanted) in _bare(text)


def _bare(text: str) -> str:
    """Words and numbers each between single spaces; scripts without spaces run on."""
    parts = (part if is_unspaced(part) else f" {part} " for part in _PIECE.findall(folded(text)))
    return "".join(parts).replace("  ", " ")


@lru_cache(maxsize=1)
def _simple_forms() -> dict[int, str]:
    """Traditional character → simple one, one for one: only so is a part of a text folded as the whole is."""
    characters = "\n".join(map(chr, _IDEOGRAPHS))
    simple = opencc.OpenCC("t2s").convert(characters)
    pairs = zip(characters, simple, strict=True)
    return {ord(character): form for character, form in pairs if character != form}


def _runs(text: str) -> Iterator[str]:
    return (found[0] for found in _RUN.finditer(folded(text)))


def _bigrams(run: str) -> Iterable[str]:
    return (run[at : at + 2] for at in range(len(run) - 1)) if len(run) > 1 else (run,)


@lru_cache(maxsize=65_536)
def _latin_tokens(run: str) -> tuple[str, ...]:
    """A word in the singular; of a code such as `iso-9001` or `mp3` the whole and its parts."""
    word = run.replace("’", "'").removesuffix("'s").replace("'", "")
    parts = _PART.findall(word)
    whole = _singular(word)[:_TOKEN_LIMIT_CHARS]
    return (whole,) if len(parts) < 2 else (whole, *(_singular(part)[:_TOKEN_LIMIT_CHARS] for part in parts))


def _singular(word: str) -> str:
    """The s-stemmer of Harman (1991): plural endings only, so that it never merges unrelated words."""
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("us", "ss")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return f"{word[:-3]}y"
    return word[:-1]
