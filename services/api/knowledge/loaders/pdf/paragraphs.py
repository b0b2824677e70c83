"""Lines of a page → paragraphs. A line that reaches the margin, or stops in mid-sentence, goes on in the next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from services.api.knowledge.loaders.reading.cleaning import is_cjk, join_lines
from services.api.knowledge.loaders.reading.openings import opens_paragraph
from services.api.knowledge.loaders.reading.outline import numbered_level
from services.api.knowledge.splitters.measure import THIRDS, width

_WINDOW_LINES = 8
_FULL_SHARE = 0.85
_SHORT_WIDTH = 8
_ENDED = re.compile("[。！？!?:：;；][”’」』）)\\]\"']?$|[^.]\\.[”’)\\]\"']?$")


def usual_margin(lines: Sequence[str]) -> int:
    """How wide the running text of a file is, in thirds of a Chinese character."""
    widths = sorted(map(width, lines))
    return widths[len(widths) * 9 // 10] if widths else 0


def paragraphs(lines: Sequence[str], margin: int) -> Iterator[str]:
    """Join the lines of each paragraph.

    Args:
        lines: consecutive lines of one page.
        margin: the width of the file's running text.
    """
    widths = [width(line) for line in lines]
    held: list[str] = []
    for index, line in enumerate(lines):
        if held and not _goes_on(held[-1], line, _is_full(widths, index - 1, margin)):
            yield join_lines(held)
            held = []
        held.append(line)
    if held:
        yield join_lines(held)


def _is_full(widths: Sequence[int], index: int, margin: int) -> bool:
    """Whether a line reaches as far right as the file's text does, or as several lines around it do."""
    around = widths[max(0, index - _WINDOW_LINES) : index + _WINDOW_LINES + 1]
    nearby = sorted(around)[-3] if len(around) > 3 else margin
    wanted = min(margin, nearby) if nearby >= _SHORT_WIDTH * THIRDS else margin
    return widths[index] >= max(_FULL_SHARE * wanted, _SHORT_WIDTH * THIRDS)


def _goes_on(before: str, line: str, before_is_full: bool) -> bool:  # noqa: FBT001
    if opens_paragraph(line) or numbered_level(before) is not None:
        return False
    if not is_cjk(line[0]) and line[0].islower():
        return True
    if before[-1] in "，、,（" or line[0] in "，。、；：）)”":
        return True
    if _ENDED.search(before):
        return before_is_full and not is_cjk(line[0])
    return before_is_full
