"""Follow-up questions made to stand alone before retrieval: by the model, or by rule where the model cannot rewrite."""

from __future__ import annotations

import html
import re
import string
from collections.abc import Container

from services.api.chat.contexts import quoted
from services.api.chat.fencing import untagged
from services.api.chat.language import language_of
from services.api.domain.answering import ModelRequest, Question, Sampling, Token
from services.api.domain.conversation import Message
from services.api.domain.ports import ChatModel, Condenser, Prompts
from services.foundation.sse import closing

_LEADING = re.compile(
    r"^(?:那么?(?!不)|还有|另外|以及|(?:and|what about|how about|also|then)\b)[，,\s]*", re.IGNORECASE
)
_REFERRING = re.compile(
    r"它|他们|她|他的|他是|其中|[其该此](?=[\u4e00-\u9fff])"
    r"|上述|上面|前面|这个|那个|这些|那些|这是"
    r"|\b(?:it|its|they|them|their|he|she|his|her|him|those|these)\b|\b(?:that|this)\s*[?.!]?$",
    re.IGNORECASE,
)
_ENDING = "呢吗么?？。!！\u3000\xa0" + string.whitespace
_SHAPE = re.compile(r"[0-9零〇一二三四五六七八九十百千两]+")
_WORD = re.compile(r"[\u4e00-\u9fff]|[A-Za-z0-9]+")
_ASKED = re.compile(
    r"(?P<before>.*的)(?P<subject>[^的]{2,}?)(?P<after>(?:是|为|有|在)?(?:多少|什么|谁|哪|几|何|怎|如何).*)"
)
_ASKS_ITSELF = re.compile(
    r"(?:怎样|怎么|如何|为什么|为何|什么是|哪些|谁).{3}|(?:how|why|who|where|which|what|when)\b.*\s\S+\s\S+",
    re.IGNORECASE,
)
_BARE = re.compile(r"呢[？?]?\s*$")
_BARE_WORDS = 12
_FEW_WORDS = 3
_FEW_IDEOGRAPHS = 5
_HISTORY_MESSAGES = 6
_REWRITE_TOKENS = 200


class RuleCondenser:
    """Recognises a follow-up by its shape and joins it to the question it follows.

    A follow-up such as 那第二季度呢 replaces what has its shape in the earlier question (第一季度);
    any other is put after it.
    A question that stands alone is returned as it is.
    """

    async def condense(self, question: Question) -> str:
        asked = [message.content for message in question.history if message.role == "user"]
        whole = ""
        for text in [*asked, question.text]:
            whole = join(whole, text) if whole and is_follow_up(text) else text
        return whole


class ModelCondenser:
    """Asks the chat model to rewrite. Without history nothing is asked.

    The model reads earlier answers, and they quote documents: what it writes is put into prompts without any tag.
    """

    def __init__(self, model: ChatModel, prompts: Prompts) -> None:
        self._model = model
        self._prompts = prompts

    async def condense(self, question: Question) -> str:
        if not question.history:
            return question.text
        lines = [f"{message.role}: {quoted(message.content, ())}" for message in question.history[-_HISTORY_MESSAGES:]]
        variables = {"history": "\n".join(lines), "question": question.text}
        prompt = self._prompts.render("condense", "default", variables, language_of(question))
        request = ModelRequest(question.model, [Message("user", prompt)], Sampling(0.0, _REWRITE_TOKENS))
        async with closing(self._model.stream(request)) as events:
            pieces = [event.text async for event in events if isinstance(event, Token)]
        return untagged(html.unescape("".join(pieces))) or question.text


class ChosenCondenser:
    """The model's own rewriting for models that can, the rule for the others."""

    def __init__(self, rewriting: ModelCondenser, rule: RuleCondenser, rewriters: Container[str]) -> None:
        self._rewriting = rewriting
        self._rule = rule
        self._rewriters = rewriters

    async def condense(self, question: Question) -> str:
        chosen: Condenser = self._rewriting if question.model in self._rewriters else self._rule
        return await chosen.condense(question)


def is_follow_up(text: str) -> bool:
    """Whether a question leans on the one before: it refers back, begins like one, or says almost nothing by itself."""
    stripped = text.strip()
    if _REFERRING.search(stripped):
        return True
    if _LEADING.match(stripped):
        return not _ASKS_ITSELF.match(_LEADING.sub("", stripped))
    words = _WORD.findall(_without_ending(stripped))
    if _BARE.search(stripped) and len(words) < _BARE_WORDS:
        return True
    latin = sum(1 for word in words if word.isascii())
    return len(words) < (_FEW_WORDS if latin * 2 > len(words) else _FEW_IDEOGRAPHS)


def _without_ending(text: str) -> str:
    """The question without the particles and marks it ends with; 的呢 goes as a whole."""
    shorter = text.rstrip(_ENDING)
    while shorter != text and shorter.endswith("的"):
        text, shorter = shorter, shorter[:-1].rstrip(_ENDING)
    return shorter


def join(earlier: str, text: str) -> str:
    """The earlier question with the follow-up worked in."""
    topic = _without_ending(_LEADING.sub("", text.strip()))
    replaced = _replace_alike(earlier, topic) or _replace_subject(earlier, topic, text)
    return replaced or f"{earlier.strip()} {text.strip()}"


def _replace_alike(earlier: str, topic: str) -> str | None:
    """第二季度 in the place of 第一季度: what differs in its number only."""
    if not _SHAPE.search(topic):
        return None
    pattern = _SHAPE.sub("\0", re.escape(topic)).replace("\0", _SHAPE.pattern)
    replaced, count = re.subn(pattern, lambda _: topic, earlier, count=1)
    return replaced if count and replaced != earlier else None


def _replace_subject(earlier: str, topic: str, text: str) -> str | None:
    """那每股收益呢 in the place of 净资产收益率: what the earlier question asks for, if the two are alike."""
    asked = _ASKED.fullmatch(earlier.strip())
    if asked is None or not topic or not _BARE.search(text) or _REFERRING.search(topic):
        return None
    alike = set(topic) & set(asked["subject"])
    return f"{asked['before']}{topic}{asked['after']}" if len(alike) > len(set(topic) & set(asked["before"])) else None
