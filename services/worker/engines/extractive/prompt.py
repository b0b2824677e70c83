"""Reads a chat request: the numbered passages and the question that our prompt templates and similar ones put in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.wire.openai import ChatMessage
from services.worker.engines.extractive.language.cleaning import cleaned, without_entities
from services.worker.engines.extractive.language.terms import question_terms

_CONTEXT = re.compile(r"<(已知信息|context)>", re.IGNORECASE)
_QUESTION = re.compile(r"<(问题|question)>(.*?)(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"^\s*(?:问题|提问|Question|Q)\s*[:：][ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*\[(\d{1,4})\](?:[ \t]+(.*)|[ \t]*)$")
_SOURCE = re.compile(r"^(?:出处|来源|source)\s*[:：]\s*(.*)$", re.IGNORECASE)
_ASKS = re.compile(r"[?？]\s*$")


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage of the context: its number (None where the prompt gave none), its source line and its clean text."""

    number: int | None
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a chat request asks, and what it gives to answer from.

    Attributes:
        question: the question alone.
        passages: the context's passages, in order.
        has_context: the request has a context, be it an empty one.
        earlier: the user's question before, for a follow-up without words of its own.
    """

    question: str
    passages: tuple[Passage, ...]
    has_context: bool
    earlier: str = ""

    @property
    def searched(self) -> str:
        """The text whose terms are looked for."""
        if self.earlier and not question_terms(self.question).singles:
            return f"{self.earlier} {self.question}"
        return self.question


def has_context(text: str) -> bool:
    """Whether a message brings passages between tags."""
    return _CONTEXT.search(text) is not None


def read(messages: Sequence[ChatMessage]) -> Reading:
    """Find the question and the context; the last user message is looked at first, then the system's."""
    texts = [message.text for message in messages if message.role == "user"]
    last = texts[-1] if texts else ""
    reading = _read_text(last)
    if not reading.has_context:
        for message in reversed(messages):
            found = _read_text(message.text) if message.role in {"system", "developer"} else None
            if found is not None and found.has_context:
                reading = Reading(reading.question, found.passages, has_context=True)
                break
    earlier = _read_text(texts[-2]).question if len(texts) > 1 else ""
    return Reading(reading.question, reading.passages, reading.has_context, earlier)


def _read_text(text: str) -> Reading:
    opening = _CONTEXT.search(text)
    if opening is None:
        return _read_generic(text)
    closing = f"</{opening.group(1)}>"
    end = text.rfind(closing)
    inside = text[opening.end() : end if end >= opening.end() else len(text)]
    around = text[: opening.start()] + "\n" + (text[end + len(closing) :] if end >= 0 else "")
    return Reading(_question_in(around, inside if end < 0 else ""), _blocks(inside, alone=True), has_context=True)


def _read_generic(text: str) -> Reading:
    lines = text.splitlines()
    first = next((place for place, line in enumerate(lines) if _starts(line, None)), None)
    if first is None:
        return Reading(_question_in(text, ""), (), has_context=False)
    preamble, body = "\n".join(lines[:first]), lines[first:]
    mark = max((place for place, line in enumerate(body) if _LABEL.match(line) or _QUESTION.match(line)), default=None)
    if mark is not None:
        question, body = _question_in("\n".join(body[mark:]), ""), body[:mark]
    elif _LABEL.search(preamble) or _QUESTION.search(preamble):
        question = _question_in(preamble, "")
    else:
        question, body = _unmarked(preamble, body)
    return Reading(question, _blocks("\n".join(body), alone=False), has_context=True)


def _unmarked(preamble: str, body: list[str]) -> tuple[str, list[str]]:
    """The last line is the question, unless the text before the passages ends with one and the last line does not."""
    while body and not body[-1].strip():
        body = body[:-1]
    asked_before = preamble.strip().splitlines()[-1:] or [""]
    last = body[-1]
    if _starts(last, None) or (_ASKS.search(asked_before[0]) and not _ASKS.search(last)):
        return _unescaped(asked_before[0]), body
    return _unescaped(last), body[:-1]


def _question_in(text: str, fallback: str) -> str:
    tagged = list(_QUESTION.finditer(text)) or list(_QUESTION.finditer(fallback))
    if tagged:
        return _unescaped(tagged[-1].group(2))
    labelled = list(_LABEL.finditer(text))
    if labelled:
        return _unescaped(text[labelled[-1].start(1) :])
    lines = [line for line in text.splitlines() if line.strip()]
    return _unescaped(lines[-1]) if lines else ""


def _unescaped(text: str) -> str:
    return without_entities(text).strip()


def _starts(line: str, number: int | None) -> re.Match[str] | None:
    found = _NUMBERED.match(line)
    return found if found and (number is None or int(found.group(1)) == number) else None


def _blocks(text: str, *, alone: bool) -> tuple[Passage, ...]:
    """Cut at lines that begin with the next number; where the first has a source, the others must have one too."""
    found: list[Passage] = []
    number, source, body, sourced = None, "", list[str](), False
    for line in text.splitlines():
        start = _starts(line, None if number is None else number + 1)
        header = _SOURCE.match(start.group(2) or "") if start else None
        if start is None or (sourced and header is None):
            body.append(line)
            continue
        if number is not None:
            found.append(_passage(number, source, body))
        sourced = sourced or (number is None and header is not None)
        number = int(start.group(1))
        source, body = (header.group(1), []) if header else ("", [start.group(2) or ""])
    if number is not None or alone:
        found.append(_passage(number, source, body))
    return tuple(passage for passage in found if passage.text)


def _passage(number: int | None, source: str, body: Sequence[str]) -> Passage:
    return Passage(number, cleaned(source), cleaned("\n".join(body)))
