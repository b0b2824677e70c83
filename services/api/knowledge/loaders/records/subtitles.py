"""Subtitles (SRT, WebVTT): cues joined into paragraphs that open with their time; marks and notes dropped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.reading.cleaning import HAN, clean_line, join_lines
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,]\d{1,3}"
_TIMES = re.compile(rf"\s{{0,20}}{_TIME}\s{{0,20}}-->\s{{0,20}}{_TIME}")
_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION|WEBVTT)\b")
_SPEAKER = re.compile(r"<v(?:\.[\w.-]{1,50})?\s{1,5}([^<>]{1,100})>")
_MARK = re.compile(r"</?[A-Za-z][^<>]{0,200}>|<\d[\d:.]{0,20}>|</>|\{\\[^{}]{0,200}\}")
_HAN = re.compile(f"[{HAN}]")
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』）)]?$")
_PARAGRAPH_WIDTH = 450
_PAUSE_SECONDS = 4


@dataclass(frozen=True, slots=True)
class _Cue:
    start: int
    end: int
    lines: list[str] = field(default_factory=list)


class SubtitleLoader:
    """Reads .srt and .vtt."""

    extensions: ClassVar[frozenset[str]] = frozenset({".srt", ".vtt"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            cues = [cue for cue in _cues(text.splitlines()) if cue.lines]
            in_two_languages = sum(_languages(cue.lines) == 2 for cue in cues) * 2 > len(cues)
            outline = Outline()
            for paragraph in _paragraphs(cues):
                outline.paragraph(_shown(paragraph, in_two_languages=in_two_languages))
            return document(file, outline.finish(), warnings, empty="no subtitle with a time stands in it")


def _cues(lines: Sequence[str]) -> Iterator[_Cue]:
    """The cues; a blank line inside one does no harm, the number or name above the next one is left out."""
    cue: _Cue | None = None
    is_text = False
    for place, line in enumerate(lines):
        times = _TIMES.match(line)
        if times:
            if cue is not None:
                yield cue
            cue, is_text = _Cue(_seconds(times.groups()[:3]), _seconds(times.groups()[3:])), True
        elif _BLOCK.match(line) and not (place and lines[place - 1].strip()):
            is_text = False
        elif cue is not None and is_text and not _is_caption(lines, place):
            cue.lines.extend(filter(None, [_words(line)]))
    if cue is not None:
        yield cue


def _is_caption(lines: Sequence[str], place: int) -> bool:
    """Whether a line is the number or name of the cue below it."""
    if place + 1 == len(lines) or not _TIMES.match(lines[place + 1]):
        return False
    return lines[place].strip().isdigit() or not lines[place - 1].strip()


def _seconds(parts: Sequence[str | None]) -> int:
    hours, minutes, seconds = (int(part or 0) for part in parts)
    return hours * 3600 + minutes * 60 + seconds


def _words(line: str) -> str:
    named = _SPEAKER.sub(lambda found: f"{found[1]}: ", line)
    return clean_line(html.unescape(_MARK.sub("", named)))


def _languages(lines: Sequence[str]) -> int:
    return len({bool(_HAN.search(line)) for line in lines})


def _paragraphs(cues: Sequence[_Cue]) -> Iterator[list[_Cue]]:
    """Neighbouring cues, up to a pause or, once there is enough of them, the end of a sentence."""
    held: list[_Cue] = []
    size = 0
    for cue in cues:
        if held:
            enough = size > _PARAGRAPH_WIDTH and _SENTENCE_END.search(held[-1].lines[-1])
            if enough or size > _PARAGRAPH_WIDTH * 2 or cue.start - held[-1].end >= _PAUSE_SECONDS:
                yield held
                held, size = [], 0
        held.append(cue)
        size += sum(map(_width, cue.lines))
    if held:
        yield held


def _width(line: str) -> int:
    """Letters, a Chinese one counted as three: it says about as much."""
    return len(line) + 2 * len(_HAN.findall(line))


def _shown(cues: Sequence[_Cue], *, in_two_languages: bool) -> str:
    """The time and the words; two languages shown at once are told apart, so that each reads on."""
    hours, rest = divmod(cues[0].start, 3600)
    time = f"[{hours:02}:{rest // 60:02}:{rest % 60:02}]"
    lines = [line for cue in cues for line in cue.lines]
    if not in_two_languages:
        return f"{time} {join_lines(lines)}"
    foreign = join_lines(line for line in lines if not _HAN.search(line))
    chinese = join_lines(line for line in lines if _HAN.search(line))
    return "\n".join(filter(None, [time, foreign, chinese]))
