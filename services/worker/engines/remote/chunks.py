"""One event of a provider's stream → a chunk of OpenAI's wire, whatever the vendor left out or added. Used by `stream`.

Seen in the wild: no id and no model (Spark), `choices: null`, usage inside the choice (Moonshot), an empty
finish_reason, the whole message once more at the end (MiniMax), tool calls without index, id or type, or all of them
with index 0 (Gemini), arguments as an object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from services.wire.openai import ChatChunk, ChunkChoice, Delta, new_id

Fields = Mapping[str, JsonValue]

_REASONS: Mapping[str, str | None] = {"": None, "null": None, "sensitive": "content_filter"}
_BROKEN_OFF = {"network_error", "insufficient_system_resource"}
_OURS = {"id", "object", "created", "model", "choices", "usage"}
_STATUS = {"base_resp", "code", "message", "sid"}
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


class BrokenOff(Exception):
    """The provider says that it could not finish the answer."""


@dataclass(slots=True)
class _Call:
    ident: str
    name: str


@dataclass(slots=True)
class ChunkReader:
    """Reads the events of one stream; it must see them all, in order."""

    _calls: dict[int, list[_Call]] = field(default_factory=dict)
    _unfinished: set[int] = field(default_factory=set)

    def rest(self) -> ChatChunk:
        """What `[DONE]` means where the provider gave no finish_reason: every answer is whole."""
        reasons = {place: "tool_calls" if place in self._calls else "stop" for place in sorted(self._unfinished)}
        ends = [ChunkChoice(index=place, delta=Delta(), finish_reason=reason) for place, reason in reasons.items()]
        return ChatChunk(id="", model="", choices=ends)

    def read(self, event: Fields) -> ChatChunk:
        """The chunk an event means; its id and model are left to the caller.

        Raises:
            ValidationError: it is none.
            BrokenOff: it ends the answer because the provider failed.
        """
        choices = event.get("choices") or []
        usages = [event.get("usage")]
        if isinstance(choices, list):
            usages += [choice.get("usage") for choice in choices if isinstance(choice, dict)]
            choices = [self._choice(choice) if isinstance(choice, dict) else choice for choice in choices]
        usage = next((_usage(given) for given in usages if isinstance(given, Mapping)), None)
        extras = {name: value for name, value in event.items() if name not in _OURS | _STATUS}
        return ChatChunk.model_validate({**extras, "id": "", "model": "", "choices": choices, "usage": usage})

    def _choice(self, choice: Fields) -> dict[str, JsonValue]:
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            if reason in _BROKEN_OFF:
                raise BrokenOff(reason)
            reason = _REASONS.get(reason, reason)
        index = choice.get("index")
        place = index if isinstance(index, int) else 0
        (self._unfinished.discard if reason else self._unfinished.add)(place)
        given = choice.get("delta")
        delta = dict(given) if isinstance(given, Mapping) else {}
        calls = delta.pop("tool_calls", None)
        if isinstance(calls, list) and calls:
            delta["tool_calls"] = [self._call(place, call) if isinstance(call, Mapping) else call for call in calls]
        rest = {name: value for name, value in choice.items() if name not in {"usage", "message"}}
        return {**rest, "index": place, "delta": delta, "finish_reason": reason}

    def _call(self, choice: int, call: Fields) -> dict[str, JsonValue]:
        """A piece of a tool call, numbered; the first piece has id, type and name, the others have none of them."""
        known = self._calls.setdefault(choice, [])
        given = call.get("function")
        function = dict(given) if isinstance(given, Mapping) else {}
        ident, name = str(call.get("id") or ""), str(function.pop("name", None) or "")
        if function.get("arguments") is not None and not isinstance(function["arguments"], str):
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
        rest = {key: value for key, value in call.items() if key not in {"id", "type", "index", "function"}}
        place = _place(known, call.get("index"), ident, name)
        if place < len(known):
            return {**rest, "index": place, "function": function}
        made = ident or new_id("call")
        known.append(_Call(made, name))
        function.setdefault("arguments", "")
        kind = call.get("type") or "function"
        return {**rest, "index": place, "id": made, "type": kind, "function": {"name": name, **function}}


def _place(known: list[_Call], index: JsonValue, ident: str, name: str) -> int:
    """Which call a piece belongs to; the length of `known` for a new one."""
    same = next((place for place, call in enumerate(known) if ident and call.ident == ident), None)
    if same is not None:
        return same
    begins = bool(name) and (bool(ident) or not known or known[-1].name != name)
    if isinstance(index, int):
        is_known = index < len(known)
        return len(known) if not is_known or (begins and bool(ident)) else index
    return len(known) if begins or not known else len(known) - 1


def _usage(given: Fields) -> dict[str, JsonValue]:
    """The counts as numbers, the total filled in; what else is reported stays."""
    counts = {name: int(value) for name in _COUNTS if isinstance(value := given.get(name), int | float)}
    total = counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0)
    rest = {name: value for name, value in given.items() if name not in _COUNTS}
    return {**rest, "total_tokens": total, **counts}
