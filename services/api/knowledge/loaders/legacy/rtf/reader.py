"""Reads RTF token by token. Groups are kept on a stack of the reader's own: they may be nested deeper than Python's."""

from __future__ import annotations

from collections import defaultdict
from copy import copy

from services.api.knowledge.loaders.legacy.charsets import decoded, of_font, of_page
from services.api.knowledge.loaders.legacy.rtf.group import NO_NUMBER, Group, Part
from services.api.knowledge.loaders.legacy.rtf.story import Story
from services.api.knowledge.loaders.legacy.rtf.styles import StyleSheet
from services.api.knowledge.loaders.legacy.rtf.tokens import Token, tokens
from services.api.knowledge.loaders.legacy.rtf.words import CHARACTERS, MARKED_BUT_READ, PAGES, SKIPPED, STORIES

_PARTS = {"fonttbl": Part.FONTS, "stylesheet": Part.STYLES, "listtext": Part.MARKER, "pntext": Part.MARKER}
_WITH_TEXT = frozenset({Part.TEXT, Part.MARKER, Part.STYLES})
_PARAGRAPH_ENDS = frozenset({"par", "sect", "\n", "\r"})
_PICTURES = frozenset({"pict", "shppict"})
_LAST_UNIT = 0xFFFF


class RtfReader:
    """Takes a whole file; `stories` holds what was read, the body under "body", and `pictures` counts what was not."""

    def __init__(self) -> None:
        self.stories: dict[str, Story] = defaultdict(Story)
        self._group = Group()
        self._outer: list[Group] = []
        self._styles = StyleSheet()
        self._fonts: dict[int, str | None] = {}
        self._default_font = NO_NUMBER
        self._page: str | None = None
        self._raw = bytearray()
        self._to_skip = 0
        self.pictures = 0

    def read(self, content: bytes) -> None:
        """Read all tokens, up to the end of the outermost group."""
        for token in tokens(content):
            if token.raw:
                self._bytes(token.raw)
                continue
            self._flush()
            self._to_skip = 0
            if token.word == "{":
                self._outer.append(self._group)
                self._group = copy(self._group)
            elif token.word != "}":
                self._control(token)
            elif not self._close():
                break
        self._flush()

    def _close(self) -> bool:
        """End a group; False after the outermost."""
        if self._group.part is Part.STYLES:
            self._styles.end()
        if not self._outer:
            return False
        closed, self._group = self._group, self._outer.pop()
        if closed.story != self._group.story:
            self.stories[closed.story].end_paragraph(None, is_item=False, in_table=False)
        return bool(self._outer)

    def _bytes(self, raw: bytes) -> None:
        skipped = min(self._to_skip, len(raw))
        self._to_skip -= skipped
        if self._group.part in _WITH_TEXT:
            self._raw += raw[skipped:]

    def _flush(self) -> None:
        """Decode what has come together: the bytes of a character may be several tokens."""
        if self._raw:
            raw, self._raw = bytes(self._raw), bytearray()
            self._text(decoded(raw, self._fonts.get(self._group.font), self._page))

    def _text(self, text: str) -> None:
        if self._group.is_hidden:
            return
        match self._group.part:
            case Part.TEXT:
                self._story.add(text)
            case Part.MARKER:
                self._story.mark(text)
            case Part.STYLES:
                self._styles.add_name(text)

    @property
    def _story(self) -> Story:
        return self.stories[self._group.story]

    def _control(self, token: Token) -> None:
        word, group = token.word, self._group
        if word in _PICTURES and group.part is not Part.SKIPPED:
            self.pictures += 1
        if word in SKIPPED or (group.is_marked and word not in MARKED_BUT_READ):
            group.part = Part.SKIPPED
        group.is_marked = word == "*"
        if word == "ud":
            group.part = Part.TEXT
        if group.part is Part.SKIPPED:
            return
        if word in _PARTS:
            group.part = _PARTS[word]
        elif word in STORIES:
            group.story = STORIES[word]
        elif group.part is Part.FONTS:
            self._font_word(word, token.number)
        else:
            self._text_word(word, token.number)

    def _font_word(self, word: str, number: int | None) -> None:
        """A word of the font table: `f` names the font that those after it are about."""
        match word:
            case "f":
                self._group.font = NO_NUMBER if number is None else number
            case "fcharset":
                self._fonts[self._group.font] = of_font(number or 0)
            case "cpg":
                self._fonts[self._group.font] = of_page(number or 0)

    def _text_word(self, word: str, number: int | None) -> None:
        if word in CHARACTERS:
            self._text(CHARACTERS[word])
        elif word == "u":
            self._unicode(number)
        elif self._group.part is Part.STYLES:
            self._styles.set(word, number)
        else:
            self._set_page(word, number)
            self._group.set_paragraph(word, number)
            self._lay_out(word, number)
        self._group.set_characters(word, number, self._default_font)

    def _unicode(self, number: int | None) -> None:
        """A UTF-16 unit, written as a signed number. Half of a pair is mended when the paragraph ends."""
        self._text(chr((number or 0) & _LAST_UNIT))
        self._to_skip = self._group.fallback_width

    def _set_page(self, word: str, number: int | None) -> None:
        if word == "ansicpg":
            self._page = of_page(number or 0)
        elif word in PAGES:
            self._page = of_page(PAGES[word])
        elif word == "deff" and number is not None:
            self._default_font = self._group.font = number

    def _lay_out(self, word: str, number: int | None) -> None:
        if word in _PARAGRAPH_ENDS:
            group = self._group
            level = self._styles.levels.get(group.style) if group.level is None else group.level
            self._story.end_paragraph(level, is_item=group.is_item, in_table=group.in_table)
        elif word == "cell":
            self._story.end_cell()
        elif word == "row":
            self._story.end_row()
        else:
            self._story.define(word, number)
