"""What becomes of a request's fields on the way to a provider: passed on, renamed, left out, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from services.foundation.errors import InvalidRequest
from services.foundation.settings.providers import FieldRules

_NEUTRAL: Mapping[str, JsonValue] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "store": False,
    "tool_choice": "auto",
    "top_logprobs": 0,
}
"""What OpenAI does when a field is not sent: refusing these values would refuse nothing."""
_RANDOMNESS = "temperature"


def outgoing(fields: Mapping[str, JsonValue], rules: FieldRules) -> dict[str, JsonValue]:
    """The fields as the provider takes them.

    Raises:
        InvalidRequest: it would ignore a field, or takes other values; the sentence names it.
    """
    sent = {name: value for name, value in fields.items() if name not in rules.drop}
    for name in rules.refuse:
        value = sent.pop(name, None)
        if value is not None and value != _NEUTRAL.get(name):
            raise InvalidRequest(field=name, reason="the provider of this model does not know it, or ignores it")
    if rules.greedy and sent.get(_RANDOMNESS) == 0:
        del sent[_RANDOMNESS]
        sent.update(rules.greedy)
    for name, value in sent.items():
        bounds = rules.bounds.get(rules.rename.get(name, name))
        broken = bounds.refuses(value) if bounds is not None and isinstance(value, int | float) else ""
        if broken:
            raise InvalidRequest(field=name, reason=f"the provider of this model takes {broken}, not {value}")
    for ours, theirs in rules.rename.items():
        value = sent.pop(ours, None)
        if value is not None:
            sent[theirs] = value
    return sent
