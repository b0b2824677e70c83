"""Facts in a passage, by rules → questions whose answer stands in the passage word for word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SENTENCE = re.compile(r"[^。！？!?\n]+?(?:[。！？!?\n]|\.(?=\s|$)|$)")
_IDEOGRAPH = re.compile(r"[\u4e00-\u9fff]")
_ROW = re.compile(
    r"^[ \t*|-]*([^\s:：|][^:：|\n]{1,29}?)[ \t]*[:：][ \t]*([^\s;；|][^;；|\n]{0,59}?)[ \t]*[|;；]?$", re.MULTILINE
)
_IS_ZH = re.compile(r"^\s*([^，,；;：:。]{2,15}?)(?:是指|是一种|是一个|是一套)([^，,；;。]{4,60})")
_IS_EN = re.compile(r"^\s*((?:[A-Z][\w-]*\s?){1,4}) is (?:a|an|the) ([^,;.]{8,80})")
_ASKED = (
    (re.compile(r"\d{4}年\d{1,2}月\d{1,2}日"), "哪一天"),
    (re.compile(r"(?<!\d)\d{4}年"), "哪一年"),
    (re.compile(r"\d+(?:\.\d+)?(?:%|％)"), "百分之多少"),
)
_AMOUNT = re.compile(
    r"(?<![A-Za-z0-9.,一二三四五六七八九十百第])(\d[\d,]*(?:\.\d+)?|[二两三四五六七八九十百][一二三四五六七八九十百]{0,2})"
    r"\s?([个天小时分钟秒元人次条页字位年月种台份])"
)
_CODE = re.compile(r"(?<![A-Za-z0-9-])(?=[A-Z0-9-]*\d)[A-Z]{1,6}-?[A-Z0-9-]{2,12}(?![A-Za-z0-9-])")
_NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s?%)?(?![\w,]|\.\d)")
_BLANK = "____"
_LEAST_CHARS, _MOST_CHARS = 8, 160


@dataclass(frozen=True, slots=True)
class Fact:
    """A question, its answer as it stands in the passage, and the text of the passage that it was made from."""

    question: str
    answer: str
    evidence: str


def facts(text: str, heading: str = "") -> list[Fact]:
    """The facts of a passage, in reading order, at most one of a sentence.

    Args:
        text: of the passage.
        heading: what it stands under; rows are asked about with it.
    """
    found = [*_rows(text, heading), *_sentences(text)]
    return [fact for fact in found if _is_sound(fact, text)]


def _is_sound(fact: Fact, text: str) -> bool:
    return fact.answer in text and fact.answer not in fact.question and fact.evidence in text


def _rows(text: str, heading: str) -> Iterator[Fact]:
    """`key: value` lines, asked about under their heading: without one they would mean anything."""
    if not heading:
        return
    for row in _ROW.finditer(text):
        key, value = row[1].strip(), row[2].strip()
        if "//" in value or not value.strip(_BLANK):
            continue
        asked = f"“{heading}”中，{key}是什么？" if _is_chinese(key) else f'Under "{heading}", what is "{key}"?'
        yield Fact(asked, value, row[0].strip())


def _sentences(text: str) -> Iterator[Fact]:
    for match in _SENTENCE.finditer(text):
        sentence = match[0].strip()
        if _LEAST_CHARS <= len(sentence) <= _MOST_CHARS:
            fact = _defined(sentence) or (_chinese(sentence) if _is_chinese(sentence) else _english(sentence))
            if fact is not None:
                yield fact


def _defined(sentence: str) -> Fact | None:
    """`X 是一种 Y`, `X is a Y`."""
    if found := _IS_ZH.match(sentence):
        return Fact(f"{found[1].strip()}是什么？", found[2].strip(), sentence)
    if found := _IS_EN.match(sentence):
        return Fact(f"What is {found[1].strip()}?", found[2].strip(), sentence)
    return None


def _chinese(sentence: str) -> Fact | None:
    """Chinese asks in place: the date, the amount or the code gives way to its question word."""
    for pattern, word in _ASKED:
        if found := pattern.search(sentence):
            return _in_place(sentence, found.span(), word)
    if found := _AMOUNT.search(sentence):
        return _in_place(sentence, found.span(1), "多少" if found[2] in "元字" else "几")
    if found := _CODE.search(sentence):
        return _in_place(sentence, found.span(), "哪个编号")
    return None


def _english(sentence: str) -> Fact | None:
    found = _CODE.search(sentence) or _NUMBER.search(sentence)
    if found is None or len(sentence.split()) < 4:
        return None
    blanked = sentence[: found.start()] + _BLANK + sentence[found.end() :]
    return Fact(f'What belongs at {_BLANK} in: "{blanked.rstrip(". ")}"?', found[0], sentence)


def _in_place(sentence: str, span: tuple[int, int], word: str) -> Fact:
    asked = sentence[: span[0]] + word + sentence[span[1] :]
    return Fact(f"{asked.rstrip('。！!；; ')}？", sentence[span[0] : span[1]], sentence)


def _is_chinese(text: str) -> bool:
    return _IDEOGRAPH.search(text) is not None
