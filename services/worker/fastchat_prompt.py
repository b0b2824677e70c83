"""The conversation template we hand to FastChat, and the way back: a rendered prompt → messages."""

from __future__ import annotations

import re

from pydantic import JsonValue

from services.wire.openai import ChatMessage

_CHATML = 9  # fastchat.conversation.SeparatorStyle.CHATML

CONVERSATION: dict[str, JsonValue] = {
    "name": "chatchat",
    "system_template": "<|im_start|>system\n{system_message}",
    "system_message": "",
    "roles": ["<|im_start|>user", "<|im_start|>assistant"],
    "messages": [],
    "offset": 0,
    "sep_style": _CHATML,
    "sep": "<|im_end|>",
    "sep2": None,
    "stop_str": None,
    "stop_token_ids": None,
}
_MESSAGE = re.compile(r"<\|im_start\|>(system|user|assistant)\n(.*?)<\|im_end\|>", re.DOTALL)


def messages_in(prompt: str) -> list[ChatMessage]:
    """The messages of a ChatML prompt, empty ones left out; any other prompt is one user message."""
    found = [(role, text) for role, text in _MESSAGE.findall(prompt) if text]
    if not found:
        return [ChatMessage(role="user", content=prompt)]
    return [ChatMessage(role=role, content=text) for role, text in found]
