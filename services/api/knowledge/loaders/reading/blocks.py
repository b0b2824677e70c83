"""A long text in blocks that can be read one after another as if they were read together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

_BLOCK_CHARS = 60_000
_LONGEST_CHARS = 1_000_000
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_SENTENCE_END = re.compile(r"(?s).*[\s。！？；.!?;]")


def text_blocks(handle: TextIO) -> Iterator[str]:
    """The text of an open file, cut at blank lines.

    Where there is none for a million characters, it is cut at the end of a line, or of a sentence.
    """
    held: list[str] = []
    size = 0
    for line in _lines(handle):
        held.append(line)
        size += len(line)
        if size >= _LONGEST_CHARS or (size >= _BLOCK_CHARS and not line.strip()):
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


def markdown_blocks(text: str) -> Iterator[str]:
    """Markdown cut where a heading or a paragraph at the margin follows a blank line: no list or code goes on there."""
    begun = at = 0
    fence = ""
    after_blank = False
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        if at - begun >= _BLOCK_CHARS and after_blank and not fence and (text[at] == "#" or text[at].isalpha()):
            yield text[begun:at]
            begun = at
        found = _FENCE.match(text, at, end)
        if found:
            fence = _fence_after(fence, found[1], text[found.end() : end])
        after_blank = text[at:end].isspace()
        at = end
    yield text[begun:]


def _fence_after(fence: str, met: str, rest: str) -> str:
    """The fence that is open after a line with one: code ends at one of its kind, as long or longer, with no words."""
    if not fence:
        return met
    return "" if met.startswith(fence) and not rest.strip() else fence


def _lines(handle: TextIO) -> Iterator[str]:
    """The lines; one longer than anybody writes comes in pieces."""
    rest = ""
    while line := handle.readline(_LONGEST_CHARS):
        line, rest = rest + line, ""
        ended = _SENTENCE_END.match(line) if len(line) >= _LONGEST_CHARS and line[-1] not in "\r\n" else None
        if ended:
            line, rest = ended[0], line[ended.end() :]
        yield line
    if rest:
        yield rest
