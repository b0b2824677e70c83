"""Whether a line opens a paragraph by itself: bullets, numbers, articles. The PDF and picture loaders ask."""

from __future__ import annotations

import re

from services.api.knowledge.loaders.reading.outline import numbered_level

_OPENS = re.compile(
    r"[•●▪■□○◦*·☐☑√-]\s|单位[:：]|\(?\d{1,3}[.)、）](?!\d)|[(（][一二三四五六七八九十\d]{1,3}[)）]|[一二三四五六七八九十]{1,3}、"
    r"|第[〇零一二三四五六七八九十百千\d]{1,6}[编篇章节条款]"
)


def opens_paragraph(line: str) -> bool:
    """Whether a line begins with a bullet or a number, or is a numbered title."""
    return _OPENS.match(line) is not None or numbered_level(line) is not None
