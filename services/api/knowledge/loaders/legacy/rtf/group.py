"""What holds in a group of RTF and ends with it: what is read, the font, the paragraph's properties."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

_RUNNING_TEXT = 9
NO_NUMBER = -1


class Part(Enum):
    """What the bytes of a group are."""

    TEXT = auto()
    MARKER = auto()
    FONTS = auto()
    STYLES = auto()
    SKIPPED = auto()


@dataclass(slots=True)
class Group:
    """The state of a group; an inner group begins with a copy.

    Attributes:
        story: which text flow its text belongs to.
        fallback_width: bytes after a Unicode character that repeat it for older programs.
        style: number of the paragraph's style.
        level: heading level the paragraph sets itself.
        is_marked: the next word names a part that older programs skip.
    """

    story: str = "body"
    part: Part = Part.TEXT
    font: int = NO_NUMBER
    fallback_width: int = 1
    is_hidden: bool = False
    style: int = 0
    level: int | None = None
    is_item: bool = False
    in_table: bool = False
    is_marked: bool = False

    def set_characters(self, word: str, number: int | None, default_font: int) -> None:
        """Apply a word about characters."""
        match word:
            case "f":
                self.font = NO_NUMBER if number is None else number
            case "plain":
                self.font, self.is_hidden = default_font, False
            case "uc":
                self.fallback_width = max(number or 0, 0)
            case "v" | "deleted":
                self.is_hidden = number != 0

    def set_paragraph(self, word: str, number: int | None) -> None:
        """Apply a word about the paragraph."""
        match word:
            case "pard":
                self.style, self.level, self.is_item, self.in_table = 0, None, False, False
            case "s":
                self.style = number or 0
            case "outlinelevel":
                self.level = level_of(number)
            case "ls":
                self.is_item = bool(number)
            case "intbl":
                self.in_table = True


def level_of(number: int | None) -> int | None:
    """The heading level an outline level means; running text has none."""
    return number + 1 if number is not None and 0 <= number < _RUNNING_TEXT else None
