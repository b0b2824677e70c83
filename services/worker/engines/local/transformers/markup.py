"""Markup: tells thinking, tool calls and text apart in what a model writes, piece by piece. Used by the engine.

The marks are those of Hermes and Qwen: `<think>…</think>` at the beginning, and around a call's name and arguments
`<tool_call>…</tool_call>`.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass

THINK, THOUGHT = "<think>", "</think>"
CALL, CALLED = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A whole call of a tool; `arguments` is JSON."""

    name: str
    arguments: str


Piece = Text | Thinking | Call


class _Place(enum.Enum):
    START = enum.auto()
    THINKING = enum.auto()
    TEXT = enum.auto()
    CALL = enum.auto()


class Markup:
    """Reads one answer. What cannot be read as a call comes back as the text it was.

    Args:
        thinks: the prompt has opened the thinking already.
        tools: calls are looked for; else they are text.
    """

    def __init__(self, *, thinks: bool, tools: bool) -> None:
        self._place = _Place.THINKING if thinks else _Place.START
        self._tools = tools
        self._held = ""
        self._fresh = False

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain now."""
        self._held += text
        pieces: list[Piece] = []
        while (found := self._step()) is not None:
            pieces += found
        return pieces

    def rest(self) -> list[Piece]:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        if self._place is _Place.THINKING:
            return [Thinking(held)] if held else []
        if self._place is _Place.CALL:
            return [read_call(held) or Text(CALL + held)]
        held = held.lstrip() if self._fresh else held
        held = held.rstrip() if self._tools else held
        return [Text(held)] if held else []

    def _step(self) -> list[Piece] | None:
        """Read on to the next mark; None: wait for more."""
        if self._place is _Place.START:
            return self._begin()
        if self._place is _Place.THINKING:
            return self._upto(THOUGHT)
        if self._place is _Place.CALL:
            return self._call()
        return self._text()

    def _begin(self) -> list[Piece] | None:
        begun = self._held.lstrip()
        if begun.startswith(THINK):
            self._place, self._held = _Place.THINKING, begun.removeprefix(THINK)
            return []
        if THINK.startswith(begun):
            return None
        self._place = _Place.TEXT
        return []

    def _upto(self, mark: str) -> list[Piece] | None:
        before, found, after = self._held.partition(mark)
        if found:
            self._place, self._held, self._fresh = _Place.TEXT, after, True
            return [Thinking(before)] if before else []
        return self._give(Thinking, len(self._held) - _overlap(self._held, mark))

    def _text(self) -> list[Piece] | None:
        if self._fresh:  # the line breaks after a mark belong to the mark
            self._held = self._held.lstrip()
            self._fresh = not self._held
        if not self._tools:
            return self._give(Text, len(self._held))
        before, found, after = self._held.partition(CALL)
        if found:
            self._place, self._held = _Place.CALL, after
            return [Text(before.rstrip())] if before.strip() else []
        certain = self._held[: len(self._held) - _overlap(self._held, CALL)]
        return self._give(Text, len(certain.rstrip()))

    def _call(self) -> list[Piece] | None:
        inside, found, after = self._held.partition(CALLED)
        if not found:
            return None
        call = read_call(inside)
        self._place, self._held, self._fresh = _Place.TEXT, after, call is not None
        return [call or Text(CALL + inside + CALLED)]

    def _give(self, kind: type[Text | Thinking], size: int) -> list[Piece] | None:
        if size <= 0:
            return None
        certain, self._held = self._held[:size], self._held[size:]
        return [kind(certain)]


def read_call(inside: str) -> Call | None:
    """The call between two marks; None: it is none."""
    try:
        said = json.loads(inside)
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        return None
    arguments = said.get("arguments", said.get("parameters", {}))
    if isinstance(arguments, str):
        return Call(said["name"], arguments)
    return Call(said["name"], json.dumps(arguments, ensure_ascii=False)) if isinstance(arguments, dict) else None


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that is a beginning of `mark`."""
    sizes: Iterator[int] = iter(range(min(len(text), len(mark) - 1), 0, -1))
    return next((size for size in sizes if mark.startswith(text[-size:])), 0)
