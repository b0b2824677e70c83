"""What the pool and its child processes say to each other: one JSON object a line. Used by `pool` and `child`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pydantic import JsonValue

from services.api.domain.knowledge import Parsed, Passage, Place, SourceFile, SplitterChoice
from services.api.domain.names import FileName
from services.foundation.errors import ChatchatError, error_from

PASSAGES_PER_LINE = 200
Facts = Mapping[str, str | int | float | bool | None]


class Message(TypedDict, total=False):
    """One line of a child. Progress and passages may come many times; then the end, or a failure, once."""

    progress: tuple[int, int | None]
    passages: list[tuple[str, dict[str, JsonValue]]]
    end: dict[str, JsonValue]
    failure: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Task:
    """What a child is to do."""

    name: str
    path: str
    cache: str | None
    splitter: str
    options: Facts

    @classmethod
    def of(cls, file: SourceFile, splitter: SplitterChoice) -> Task:
        """The task of reading `file` and cutting it by `splitter`."""
        cache = None if file.cache is None else str(file.cache)
        return cls(file.name.value, str(file.path.absolute()), cache, splitter.name, dict(splitter.options))

    @classmethod
    def from_line(cls, line: bytes) -> Task:
        """The task in a line of `to_line`."""
        return cls(**json.loads(line))

    def to_line(self) -> bytes:
        """The task as the child reads it."""
        return to_line(dataclasses.asdict(self))

    @property
    def file(self) -> SourceFile:
        """The file to read."""
        return SourceFile(FileName(self.name), Path(self.path), None if self.cache is None else Path(self.cache))


def to_line(message: object) -> bytes:
    """A message as one line. ASCII, so that even a lone surrogate arrives as it was."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Message:
    """The message in a line of a child."""
    message: Message = json.loads(line)
    return message


def passage_fields(passage: Passage) -> tuple[str, dict[str, JsonValue]]:
    """A passage without what its place does not have."""
    place = dataclasses.asdict(passage.place)
    return passage.text, {name: value for name, value in place.items() if value not in (None, ())}


def passages_of(fields: Sequence[tuple[str, dict[str, JsonValue]]]) -> list[Passage]:
    """The passages of `passage_fields`."""
    return [Passage(text, _place(place)) for text, place in fields]


def _place(fields: Mapping[str, JsonValue]) -> Place:
    known = dict(fields)
    heading = known.pop("heading", None)
    titles = tuple(str(title) for title in heading) if isinstance(heading, list) else ()
    return Place(**known, heading=titles)  # type: ignore[arg-type]  # the fields of a Place, written by `passage_fields`


def end_fields(parsed: Parsed) -> dict[str, JsonValue]:
    """All of `parsed` but its passages."""
    return {"warnings": list(parsed.warnings), "loader": parsed.loader, "splitter": parsed.splitter}


def parsed_of(passages: Sequence[Passage], end: Mapping[str, JsonValue]) -> Parsed:
    """The file as it was read and cut."""
    warnings = end["warnings"]
    told = tuple(str(warning) for warning in warnings) if isinstance(warnings, list) else ()
    return Parsed(tuple(passages), told, str(end["loader"]), str(end["splitter"]))


def failure_fields(failure: ChatchatError) -> dict[str, JsonValue]:
    """A failure, to be raised on the other side."""
    return {"code": failure.code, "facts": dict(failure.facts)}


def failure_of(fields: Mapping[str, JsonValue]) -> ChatchatError:
    """The failure of `failure_fields`."""
    facts = fields["facts"]
    kept = (
        {name: value for name, value in facts.items() if not isinstance(value, list | dict)}
        if isinstance(facts, dict)
        else {}
    )
    return error_from(str(fields["code"]), kept)
