"""Constraints on an answer (schemas, regexes, grammars, tools): how large they may be. Used by the limits.

An engine compiles them before it answers anybody else, and a few characters can stand for a great deal of work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from pydantic import JsonValue

from services.foundation.errors import InvalidRequest

_TOOLS = 128
_REGEX_CHARS = 2_000
_REGEX_STATES = 10_000
_REGEX_DEPTH = 50
_GRAMMAR_CHARS = 16_000
_COUNT = 65_536
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_PATTERNS = frozenset({"pattern", "regex"})
_GRAMMARS = frozenset({"grammar", "structural_tag"})
_QUANTIFIER = re.compile(r"\{(\d{0,9})(?:,(\d{0,9}))?\}")


@dataclass(frozen=True, slots=True)
class _Size:
    chars: int
    nodes: int
    depth: int


_SCHEMA = _Size(chars=65_536, nodes=5_000, depth=64)
_TOOLBOX = _Size(chars=262_144, nodes=20_000, depth=64)
_CONSTRAINTS: Mapping[str, _Size] = {
    "response_format": _SCHEMA,
    "structured_outputs": _SCHEMA,
    "text": _SCHEMA,  # of a response: its format
    "tool_choice": _SCHEMA,
    "function_call": _SCHEMA,
    "tools": _TOOLBOX,
    "functions": _TOOLBOX,
}


def check_constraints(fields: Mapping[str, JsonValue]) -> None:
    """Let a request's constraints pass or raise.

    Raises:
        InvalidRequest: one is too large, nests too deeply, or counts too far.
    """
    for name, size in _CONSTRAINTS.items():
        value = fields.get(name)
        if value is None:
            continue
        if size is _TOOLBOX and isinstance(value, list) and len(value) > _TOOLS:
            raise InvalidRequest(field=name, reason=f"{len(value)} tools are more than {_TOOLS}")
        _Weighing(name, size).weigh(value)


class _Weighing:
    """One walk through a constraint, never deeper or longer than its limits."""

    def __init__(self, field: str, size: _Size) -> None:
        self._field = field
        self._size = size
        self._chars = 0
        self._nodes = 0

    def weigh(self, root: JsonValue) -> None:
        waiting: list[tuple[str, JsonValue, int]] = [("", root, 1)]
        while waiting:
            key, value, depth = waiting.pop()
            self._count(key, value, depth)
            if isinstance(value, dict):
                self._counts(value)
                waiting += [(name, inner, depth + 1) for name, inner in value.items()]
            elif isinstance(value, list):
                waiting += [(key, inner, depth + 1) for inner in value]
            elif isinstance(value, str):
                waiting += self._text(key, value, depth)

    def _count(self, key: str, value: JsonValue, depth: int) -> None:
        self._nodes += 1
        self._chars += len(key) + (len(value) if isinstance(value, str) else 4)
        if self._nodes > self._size.nodes:
            self._refuse(f"it has more than {self._size.nodes} parts")
        if self._chars > self._size.chars:
            self._refuse(f"it is longer than {self._size.chars} characters")
        if depth > self._size.depth:
            self._refuse(f"it nests more than {self._size.depth} levels deep")

    def _counts(self, schema: Mapping[str, JsonValue]) -> None:
        for name in _COUNTS & schema.keys():
            value = schema[name]
            if isinstance(value, int | float) and value > _COUNT:
                self._refuse(f"its {name} is more than {_COUNT}")
        for pattern in self._keys_of("patternProperties", schema):
            self._regex(pattern)

    def _keys_of(self, name: str, schema: Mapping[str, JsonValue]) -> list[str]:
        inner = schema.get(name)
        return list(inner) if isinstance(inner, dict) else []

    def _text(self, key: str, text: str, depth: int) -> list[tuple[str, JsonValue, int]]:
        """Check a text that is more than text; a schema written as one is looked into."""
        if key in _PATTERNS:
            self._regex(text)
        if key in _GRAMMARS and len(text) > _GRAMMAR_CHARS:
            self._refuse(f"its {key} is longer than {_GRAMMAR_CHARS} characters")
        if key in {"json", "schema", "structural_tag"} and text.lstrip().startswith("{"):
            try:
                return [("", orjson.loads(text), depth + 1)]
            except ValueError:
                self._refuse(f"its {key} is not JSON")
        return []

    def _regex(self, pattern: str) -> None:
        if len(pattern) > _REGEX_CHARS:
            self._refuse(f"a regular expression is longer than {_REGEX_CHARS} characters")
        if states_of(pattern) > _REGEX_STATES:
            self._refuse("a regular expression repeats too much: its counted parts multiply")

    def _refuse(self, reason: str) -> None:
        raise InvalidRequest(field=self._field, reason=reason)


def states_of(pattern: str) -> int:
    """About how many states an automaton of this expression has, its counted repetitions written out.

    A nest of more than fifty groups counts as too many, whatever is in them.
    """
    totals, last, place = [0], 0, 0  # of each open group; of what a quantifier would repeat
    while place < len(pattern):
        char = pattern[place]
        if char == "(":
            totals.append(0)
            place += 2 if pattern[place + 1 : place + 2] == "?" else 1
        elif char == ")" and len(totals) > 1:
            last = totals.pop()
            totals[-1] += last
            place += 1
        elif char == "{" and (counted := _QUANTIFIER.match(pattern, place)):
            times = max(int(number or 1) for number in (counted[1], counted[2] or counted[1]))
            totals[-1] += last * (times - 1)
            last *= times
            place = counted.end()
        else:
            step = _atom_chars(pattern, place)
            if step:
                totals[-1] += 1
                last = 1
            place += step or 1
        if len(totals) > _REGEX_DEPTH or sum(totals) > _REGEX_STATES:
            return _REGEX_STATES + 1
    return sum(totals)


def _atom_chars(pattern: str, place: int) -> int:
    """How many characters the single-character matcher here has; 0 for what matches nothing of its own."""
    char = pattern[place]
    if char in "*+?|^$":
        return 0
    if char == "\\":
        return 2
    if char == "[":
        end = place + 1
        while end < len(pattern) and (pattern[end] != "]" or end == place + 1):
            end += 2 if pattern[end] == "\\" else 1
        return end + 1 - place
    return 1
