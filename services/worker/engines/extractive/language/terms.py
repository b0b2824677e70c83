"""What two texts are compared by: stems, numbers, ideographs and their pairs; and which language a text is in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

HAN = "\u3400-\u9fff\uf900-\ufaff"
_HAN = re.compile(f"[{HAN}]")
_RUN = re.compile(rf"[{HAN}]+|\d+(?:[.,]\d+)*(?![^\W_{HAN}])|[^\W_{HAN}]+(?:['’][^\W\d_{HAN}]+)?")
_LATIN_WORD = re.compile(r"[A-Za-z]+")
_STOP_HAN = re.compile(
    "[的了是吗呢吧啊呀着也都就而及与和或被把将从于之其这那]|以及|但是|因此|请问|一下|告诉我|我们|他们|它们|可以|能够"
)
_ASKING_HAN = re.compile(
    "为什么|什么时候|什么时间|什么地方|什么样|什么|多少|多久|多[大高长远重快深]|哪一[年天月个位种座届]|哪[年天月位些里儿个种座家所]|哪|"
    "第几|几[年月天个名位次种座所家岁届]|几|何时|何处|何地|何人|为何|如何|怎么样|怎么|怎样|是否|能否|有没有|是不是|谁|何"
)
# fmt: off
_STOP_WORDS = frozenset((
    "a", "an", "the", "of", "in", "on", "at", "to", "for", "from", "by", "with", "and", "or", "but", "as", "is",
    "are", "was", "were", "be", "been", "being", "am", "do", "does", "did", "done", "has", "have", "had", "having",
    "it", "its", "this", "that", "these", "those", "there", "here", "he", "she", "they", "them", "his", "her",
    "their", "him", "we", "us", "our", "you", "your", "i", "me", "my", "what", "which", "who", "whom", "whose",
    "when", "where", "why", "how", "can", "could", "will", "would", "shall", "should", "may", "might", "must", "not",
    "no", "yes", "if", "then", "than", "so", "such", "into", "onto", "about", "over", "under", "between", "during",
    "after", "before", "also", "any", "some", "all", "each", "both", "more", "most", "other", "s", "t", "please",
    "tell", "name", "many", "much", "kind", "type",
))
# fmt: on
# fmt: off
_SUFFIXES = (
    ("ational", "ate"), ("ization", "ize"), ("fulness", "ful"), ("iveness", "ive"), ("ingly", ""), ("ments", ""),
    ("ation", "ate"), ("ities", "ity"), ("ness", ""), ("ment", ""), ("ings", ""), ("ions", ""), ("edly", ""),
    ("ies", "y"), ("ied", "y"), ("ing", ""), ("ion", ""), ("ers", ""), ("ors", ""), ("est", ""), ("ed", ""), ("er", ""),
    ("or", ""), ("ly", ""), ("es", ""), ("s", ""), ("e", ""),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Terms:
    """The distinct terms of a text: single ones, and pairs of neighbours."""

    singles: frozenset[str]
    pairs: frozenset[str]

    def __or__(self, other: Terms) -> Terms:
        return Terms(self.singles | other.singles, self.pairs | other.pairs)


NO_TERMS = Terms(frozenset(), frozenset())


def is_chinese(text: str) -> bool:
    """Whether a person who wrote `text` expects an answer in Chinese."""
    ideographs = len(_HAN.findall(text))
    words = [word.lower() for word in _LATIN_WORD.findall(text)]
    if ideographs == 0 or ideographs >= len(words):
        return ideographs > 0
    return not any(word in _STOP_WORDS and len(word) > 1 for word in words)


def terms_of(text: str) -> Terms:
    """The terms of a passage's sentence."""
    return _collect(unicodedata.normalize("NFKC", text))


def question_terms(text: str) -> Terms:
    """The content terms of a question: what asks ("哪一年", "how many") is left out."""
    return _collect(_ASKING_HAN.sub(" ", unicodedata.normalize("NFKC", text)))


def _collect(text: str) -> Terms:
    singles: set[str] = set()
    pairs: set[str] = set()
    last_word = ""
    for run in _runs(text):
        if _HAN.match(run):
            singles.update(run)
            pairs.update(run[place : place + 2] for place in range(len(run) - 1))
            last_word = ""
            continue
        word = stem(run)
        singles.add(word)
        if last_word:
            pairs.add(f"{last_word} {word}")
        last_word = word
    return Terms(frozenset(singles), frozenset(pairs))


def _runs(text: str) -> Iterator[str]:
    for match in _RUN.finditer(text):
        run = match.group()
        if _HAN.match(run):
            yield from (part for part in _STOP_HAN.split(run) if part)
        elif run.lower() not in _STOP_WORDS:
            yield run


def stem(word: str) -> str:
    """A crude English stem, enough to let "engineers" meet "engineering"; numbers lose their thousands separators."""
    low = word.lower().replace("’", "'")
    if low[0].isdigit():
        return low.replace(",", "")
    low = low.removesuffix("'s").removesuffix("'")
    low = _shortened(_shortened(low))
    return low[:-1] if len(low) > 3 and (low[-1] == low[-2] or low[-1] in "ey") else low


def _shortened(low: str) -> str:
    for suffix, kept in _SUFFIXES:
        if low.endswith(suffix) and len(low) - len(suffix) >= 3:
            return low[: len(low) - len(suffix)] + kept
    return low
