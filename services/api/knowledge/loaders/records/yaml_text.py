"""YAML by its events: no tag is followed, aliases repeat their value within a budget, comments stay with their key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import yaml

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.code import code_sections
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.streams import Steps, joined, parts_of
from services.api.knowledge.loaders.records.tree import COMMENT, Fields, Value, plain, sections_of
from services.foundation.errors import UnreadableFile

_DEPTH = 500
_ALIASED_VALUES = 20_000
_COMMENT = re.compile(r"(?:^|(?<=\s))#[ \t]?([^\n]*)")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MERGE = "<<"


class YamlLoader:
    """Reads .yaml and .yml; a template that is not YAML yet is kept as it is written."""

    extensions: ClassVar[frozenset[str]] = frozenset({".yaml", ".yml"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            text = _UNPRINTABLE.sub("", text.removeprefix("\ufeff")).replace("\r\n", "\n")
            steps = Steps(file)
            tree = _Tree(text, steps)
            try:
                values = list(tree.values())
            except yaml.MarkedYAMLError as wrong:
                line = wrong.problem_mark.line + 1 if wrong.problem_mark else 1
                broken = f"it is not valid YAML (line {line}: {wrong.problem}), so it was read as plain text"
                yield document(file, code_sections(text), (*warnings, broken))
                return
            except _TooDeepError as deep:
                reason = f"its values are nested more than {_DEPTH} deep"
                raise UnreadableFile(file=file.name.value, reason=reason) from deep
            yield from parts_of(steps.over(section for value in values for section in sections_of(value)))
            yield Document((), (*warnings, *tree.warnings))


class _TooDeepError(Exception):
    """The values are nested deeper than anybody writes."""


class _Open:
    """A mapping or sequence that has not ended; a mapping's keys and values alternate."""

    def __init__(self, anchor: str | None, *, is_mapping: bool) -> None:
        self.anchor = anchor
        self.is_mapping = is_mapping
        self.items: list[Value] = []
        self.weight = 1

    def add(self, value: Value, weight: int) -> None:
        self.items.append(value)
        self.weight += weight

    @property
    def wants_value(self) -> bool:
        """Whether a key waits for what it is the key of."""
        return self.is_mapping and len(self.items) % 2 == 1

    def value(self) -> Value:
        if not self.is_mapping:
            return self.items
        pairs = [(_key(key), value) for key, value in zip(self.items[::2], self.items[1::2], strict=False)]
        own = {key for key, _ in pairs if key != COMMENT}
        return Fields([merged for pair in pairs for merged in _merged(pair, own)])


def _key(value: Value) -> str:
    return plain(value) if not isinstance(value, Fields) else ", ".join(key for key, _ in value.pairs)


def _merged(pair: tuple[str, Value], own: set[str]) -> list[tuple[str, Value]]:
    """The pairs a merge key (<<) brings in; the mapping's own keys win."""
    key, value = pair
    if key != _MERGE:
        return [pair]
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, Fields) for source in sources):
        return [pair]
    return [inner for source in sources if isinstance(source, Fields) for inner in source.pairs if inner[0] not in own]


class _Tree:
    """Builds values of events; what an anchor names is weighed before it is repeated."""

    def __init__(self, text: str, steps: Steps) -> None:
        self._text = text
        self._steps = steps
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._comments: list[str] = []
        self._aliased = 0
        self._left_out = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self._left_out:
            return ()
        return (f"{self._left_out} aliases would repeat too much text and stand as their names",)

    def values(self) -> Iterator[Value]:
        """The documents of the file."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        end = 0
        for event in self._steps.over(yaml.parse(self._text, Loader=loader)):
            if event.start_mark and event.end_mark:
                self._hear(self._text[end : event.start_mark.index])
                end = event.end_mark.index
            match event:
                case yaml.ScalarEvent():
                    yield from self._add(event.value, 1, event.anchor)
                case yaml.AliasEvent():
                    yield from self._add(*self._repeated(str(event.anchor)), None)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._begin(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._tell()
                    ended = self._open.pop()
                    yield from self._add(ended.value(), ended.weight, ended.anchor)
        if self._comments:
            yield Fields([(COMMENT, text) for text in self._comments])

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if len(self._open) == _DEPTH:
            raise _TooDeepError
        if self._open and self._open[-1].is_mapping:
            self._tell()
        self._open.append(_Open(event.anchor, is_mapping=isinstance(event, yaml.MappingStartEvent)))

    def _add(self, value: Value, weight: int, anchor: str | None) -> Iterator[Value]:
        """Put a value where it belongs; one that nothing holds is a document, and is handed out."""
        if anchor:
            self._anchors[anchor] = (value, weight)
        if not self._open:
            yield value
            return
        self._tell()
        self._open[-1].add(value, weight)

    def _repeated(self, anchor: str) -> tuple[Value, int]:
        value, weight = self._anchors.get(anchor, (f"*{anchor}", 1))
        if self._aliased + weight > _ALIASED_VALUES:
            self._left_out += 1
            return f"*{anchor}", 1
        self._aliased += weight
        return value, weight

    def _hear(self, between: str) -> None:
        """Note the comments between two events; one on the line of a plain value belongs to that value."""
        if "#" not in between:
            return
        line_end = between.find("\n")
        for found in _COMMENT.finditer(between):
            items = self._open[-1].items if self._open else []
            is_beside = (line_end < 0 or found.start() < line_end) and items and isinstance(items[-1], str)
            if is_beside and not self._open[-1].wants_value:
                items[-1] = f"{items[-1]}  # {found[1]}"
            else:
                self._comments.append(found[1])

    def _tell(self) -> None:
        """Put the comments heard so far in front of the next key or item."""
        if not self._comments or not self._open or self._open[-1].wants_value:
            return
        inner = self._open[-1]
        for text in self._comments:
            if inner.is_mapping:
                inner.add(COMMENT, 1)
            inner.add(text if inner.is_mapping else f"# {text}", 1)
        self._comments = []
