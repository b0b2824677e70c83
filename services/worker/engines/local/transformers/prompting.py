"""From messages to the tokens a model reads: its own chat template, its own tokenizer. Used by the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError
from pydantic import JsonValue

from services.foundation.errors import InvalidRequest
from services.wire.openai import ChatMessage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[ChatMessage],
    tools: Sequence[dict[str, JsonValue]],
    values: Mapping[str, Any],
) -> str:
    """The prompt as text, up to where the model begins to answer.

    Args:
        tokenizer: holds the chat template.
        messages: the conversation.
        tools: what the model may call.
        values: what the template is told besides.

    Raises:
        InvalidRequest: a message holds what is not text, or the template refuses the conversation.
    """
    conversation: list[Any] = [_message(message) for message in messages]
    if tools and "tools" not in str(tokenizer.chat_template):
        raise InvalidRequest(field="tools", reason="the model's chat template knows no tools")
    try:
        text = tokenizer.apply_chat_template(
            conversation, tools=list(tools) or None, add_generation_prompt=True, tokenize=False, **values
        )
    except (TemplateError, TypeError, ValueError, KeyError) as failure:
        reason = f"the model's chat template does not take them: {failure}"
        raise InvalidRequest(field="messages", reason=reason) from failure
    return str(text)


def tokens_of(tokenizer: PreTrainedTokenizerBase, text: str, *, add_special_tokens: bool = False) -> list[int]:
    """The tokens of a text; a rendered prompt has its special ones already."""
    idents: list[int] = tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)["input_ids"]
    return idents


def _message(message: ChatMessage) -> Mapping[str, Any]:
    if isinstance(message.content, list):
        for part in message.content:
            if part.type != "text":
                reason = f"a part is of type {part.type!r}, but this model reads text only"
                raise InvalidRequest(field="messages", reason=reason)
    extra = {name: value for name, value in (message.model_extra or {}).items() if value is not None}
    if "tool_calls" in extra:
        extra["tool_calls"] = [_call(call) for call in extra["tool_calls"]]
    # Templates know no "developer"; OpenAI calls the system message so since 2024.
    role = "system" if message.role == "developer" else message.role
    return {**extra, "role": role, "content": message.text}


def _call(call: object) -> object:
    """OpenAI sends the arguments as a string of JSON; chat templates write out an object themselves."""
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        raise InvalidRequest(field="messages", reason="a tool call of the history names no function")
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            return call
    return {**call, "function": {**function, "arguments": arguments}}
