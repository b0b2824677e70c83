"""Summariser: passages → a summary, in one call or, where they do not fit, part by part. Called by `FileSummariser`."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.api.chat.fencing import fenced, inert
from services.api.chat.language import language_of_text
from services.api.chat.speaking import Speaker
from services.api.chat.strategies.base import Grounding
from services.api.chat.strategies.packing import fitting, pack, text_tokens
from services.api.chat.strategies.steps import Steps
from services.api.domain.answering import Question, Sampling
from services.api.domain.knowledge import Chunk

_SAMPLE_PASSAGES = 20


@dataclass(frozen=True, slots=True)
class SummaryOrder:
    """How a summary is to be written.

    Attributes:
        description: what the asker says of the file; the model is shown it.
    """

    model: str
    sampling: Sampling = field(default_factory=Sampling)
    description: str = ""


@dataclass(frozen=True, slots=True)
class Summarised:
    """A summary.

    Attributes:
        parts: what was written of each part before; empty when one call read all.
        is_quoted: the model only quotes.
    """

    text: str
    parts: tuple[str, ...]
    is_quoted: bool


class Summariser:
    """Map and reduce: each group of passages is summarised, then the summaries, until they fit into one call."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    async def summarise(self, chunks: Sequence[Chunk], order: SummaryOrder) -> Summarised:
        """The summary, of as much as the model can be shown; its text is empty when the model says nothing.

        The first call that fails fails the summary and stops the others; so does whoever cancels it.
        """
        sample = " ".join(chunk.text for chunk in chunks[:_SAMPLE_PASSAGES])
        work = _Work(self._speaker, order, language_of_text(sample) or "zh-CN")
        texts = [fenced(chunk.text) for chunk in chunks]
        parts: list[str] = []
        groups = work.groups(texts)
        while len(groups) > 1:
            written = await work.parts(groups)
            parts = parts or written
            texts = [_shown(text) for text in written if text]
            fewer = work.groups(texts)
            if len(fewer) >= len(groups):  # what is written of a part is as long as the part: nothing gets shorter
                fewer = [work.what_fits(texts)]
            groups = fewer
        text = await work.whole(groups[0] if groups else ())
        return Summarised(text, tuple(parts), is_quoted=not self._speaker.writes(order.model))


class _Work:
    """The calls of one summary."""

    def __init__(self, speaker: Speaker, order: SummaryOrder, language: str) -> None:
        self._speaker = speaker
        self._order = order
        self._language = language
        self._steps = Steps(speaker, Grounding(Question("", order.model, sampling=order.sampling), "", ()))
        self._budget = min(speaker.answering.group_tokens, self._room)

    @property
    def _room(self) -> int:
        return self._steps.room(max(self._prompt("part", ()), self._prompt("whole", ()), key=len))

    def groups(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The texts as they are read together."""
        return pack(texts, text_tokens, self._budget)

    def what_fits(self, texts: Sequence[str]) -> tuple[str, ...]:
        """The longest beginning that the model can be shown."""
        return fitting(texts, text_tokens, self._room)

    async def parts(self, groups: Sequence[Sequence[str]]) -> list[str]:
        """What is to be said of each group."""
        return [text.strip() for text in await self._steps.ask_all([self._prompt("part", group) for group in groups])]

    async def whole(self, texts: Sequence[str]) -> str:
        """The summary itself."""
        if not texts:
            return ""
        sampling = Sampling(self._order.sampling.temperature, self._steps.answer_tokens)
        return (await self._steps.ask(self._prompt("whole", texts), sampling)).strip()

    def _prompt(self, name: str, texts: Sequence[str]) -> str:
        described = inert(self._order.description)
        variables = {"context": "\n\n".join(texts), "description": described}
        return self._speaker.prompts.render("summaries", name, variables, self._language)


def _shown(text: str) -> str:
    """What a model wrote, as it may stand in the next prompt."""
    return fenced(html.unescape(text))
