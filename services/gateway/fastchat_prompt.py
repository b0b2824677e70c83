"""The conversation template a FastChat worker names, and the prompt it makes of a conversation.

The separator styles are those of fastchat/conversation.py (fschat 0.2.36), written as a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, Field

from services.foundation.errors import InvalidRequest, ProviderFailed
from services.wire.openai import ChatMessage

_LLAMA2 = 7


class Template(BaseModel):
    """The `conv` of a worker's answer to /worker_get_conv_template."""

    name: str = ""
    system_template: str = "{system_message}"
    system_message: str = ""
    roles: list[str] = Field(min_length=2)
    messages: list[tuple[str, str | None]] = []
    sep_style: int
    sep: str = "\n"
    sep2: str | None = None
    stop_str: str | list[str] | None = None
    stop_token_ids: list[int] | None = None

    @property
    def stops(self) -> list[str]:
        """The template's stop strings."""
        return [self.stop_str] if isinstance(self.stop_str, str) else list(self.stop_str or [])

    def system(self, message: str) -> str:
        """The system part. Not `str.format`: the template comes from another machine."""
        return self.system_template.replace("{system_message}", message)


@dataclass(frozen=True, slots=True)
class _Style:
    """How one separator style writes a turn.

    Attributes:
        joint: between the role and its text.
        opening: after the role of the turn that the model is to write.
        system: when a separator follows the system part: always, if the part (or its message) is not empty, never.
        two: `sep2` ends the assistant's turns.
        closing: ends a turn instead of the template's separators.
        tail: follows each separator.
        lead: stands before the user's turns.
    """

    joint: str = ": "
    opening: str = ":"
    system: Literal["always", "if part", "if message", "never"] = "always"
    two: bool = False
    closing: str | None = None
    tail: str = ""
    lead: str = ""


_STYLES: Mapping[int, _Style] = MappingProxyType(
    {
        1: _Style(),
        2: _Style(two=True),
        3: _Style(opening=": "),
        4: _Style("", "", "never"),
        5: _Style("", "", "never", two=True),
        6: _Style("\n", "\n", "if part"),
        8: _Style("：", "：", "if part", lead="[Round {round}]{sep}"),
        9: _Style("\n", "\n", "if part", tail="\n"),
        10: _Style(":", ":", "never", two=True, tail="\n", lead="<s>"),
        13: _Style(": <s>", ": <s>", "never", closing="</s>"),
        14: _Style(":\n", ":\n"),
        15: _Style(system="if message"),
        16: _Style("\n", "", "if message", closing=""),
        17: _Style(system="never", two=True),
    }
)


def render(template: Template, messages: Sequence[ChatMessage]) -> str:
    """The prompt of a conversation, ending where the assistant is to speak.

    Raises:
        InvalidRequest: a message has a role FastChat's templates do not know.
        ProviderFailed: the template has a separator style that is not in the table.
    """
    given = [message.text for message in messages if message.role in {"system", "developer"}]
    system = "\n".join(given) if given else template.system_message
    turns = [*template.messages, *_turns(template, messages)]
    if template.sep_style == _LLAMA2:
        return _llama2(template, system, turns)
    style = _STYLES.get(template.sep_style)
    if style is None:
        reason = f"its conversation template {template.name!r} has the unknown separator style {template.sep_style}"
        raise ProviderFailed(model=template.name, reason=reason)
    parts = [_system(template, style, system)]
    for position, (role, text) in enumerate(turns):
        parts.append(
            _lead(template, style, position) + role + style.joint + (text or "") + _end(template, style, position)
        )
    parts.append(_lead(template, style, len(turns)) + template.roles[1] + style.opening)
    return "".join(parts)


def _turns(template: Template, messages: Sequence[ChatMessage]) -> Iterator[tuple[str, str]]:
    roles = {"user": template.roles[0], "assistant": template.roles[1]}
    for position, message in enumerate(messages):
        if message.role in roles:
            yield roles[message.role], message.text
        elif message.role == "tool":
            raise InvalidRequest(field=f"messages.{position}.role", reason="its worker does not know tools")


def _system(template: Template, style: _Style, message: str) -> str:
    part = template.system(message)
    if style.system == "never":
        return part
    if style.system == "if message" and not message:
        return ""
    if style.system == "if part" and not part:
        return ""
    return part + (template.sep if style.closing is None else style.closing) + style.tail


def _end(template: Template, style: _Style, position: int) -> str:
    if style.closing is not None:
        return style.closing
    second = style.two and position % 2 == 1
    return ((template.sep2 or "") if second else template.sep) + style.tail


def _lead(template: Template, style: _Style, position: int) -> str:
    if position % 2 == 1 or not style.lead:
        return ""
    first = 1 if template.name == "chatglm2" else 0
    return style.lead.format(round=position // 2 + first, sep=template.sep)


def _llama2(template: Template, system: str, turns: Sequence[tuple[str, str | None]]) -> str:
    parts = [template.system(system) if system else "[INST] "]
    for position, (_, text) in enumerate(turns):
        if position == 0:
            parts.append(f"{text} ")
        else:
            end = (template.sep2 or "") if position % 2 == 1 else template.sep
            parts.append(f"{template.roles[position % 2]} {text}{end}")
    parts.append(template.roles[len(turns) % 2])
    return "".join(parts)
