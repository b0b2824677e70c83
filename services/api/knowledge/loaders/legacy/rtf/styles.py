"""RTF's style sheet: which style numbers are headings, and of which level."""

from __future__ import annotations

import re

from services.api.knowledge.loaders.legacy.rtf.group import level_of

_HEADING = re.compile(r"(?:heading|标题|標題)\s*([1-9])", re.IGNORECASE)
_TITLE = re.compile(r"(?:title|标题|標題)", re.IGNORECASE)


class StyleSheet:
    """Collects one style after the other; `levels` holds those that are headings, 0 for the title."""

    def __init__(self) -> None:
        self.levels: dict[int, int] = {}
        self._number: int | None = None
        self._parent: int | None = None
        self._level: int | None = None
        self._name: list[str] = []

    def add_name(self, text: str) -> None:
        """Add to the name of the style."""
        self._name.append(text)

    def set(self, word: str, number: int | None) -> None:
        """Apply a word of the style's definition."""
        match word:
            case "s":
                self._number = number
            case "sbasedon":
                self._parent = number
            case "outlinelevel":
                self._level = level_of(number)

    def end(self) -> None:
        """End the style, if one was begun. What is based on a heading is one, unless it says otherwise."""
        name = "".join(self._name).strip(" ;")
        if self._number is not None and name:
            numbered = _HEADING.match(name)
            level = self._level
            if numbered:
                level = int(numbered[1])
            elif _TITLE.fullmatch(name):
                level = 0
            elif level is None and self._parent is not None:
                level = self.levels.get(self._parent)
            if level is not None:
                self.levels[self._number] = level
        self._number = self._parent = self._level = None
        self._name = []
