"""Speaker: what every answer needs, and the one place where answers are streamed from a chat model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from services.api.domain.answering import Finished, ModelRequest, Token
from services.api.domain.ports import ChatModel, Condenser, Prompts
from services.foundation.errors import ProviderFailed
from services.foundation.settings.tree import Answering, ServedModel
from services.foundation.sse import closing


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model said when it was asked for something whole."""

    text: str
    finished: Finished


class Summaries:
    """The latest summaries, by what they summarise."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, str] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def read(self, key: str) -> str:
        """A summary that is kept."""
        self._kept.move_to_end(key)
        return self._kept[key]

    def keep(self, key: str, summary: str) -> None:
        """Keep a summary; the one that was not asked for longest goes where there are too many."""
        self._kept[key] = summary
        self._kept.move_to_end(key)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Speaker:
    """What every answer needs.

    Attributes:
        model: the chat models.
        prompts: the templates.
        condenser: makes follow-ups stand alone.
        answering: how it is done where a question's manner does not say.
        served: the models that the settings know, by name.
        summaries: of older messages.
    """

    model: ChatModel
    prompts: Prompts
    condenser: Condenser
    answering: Answering = field(default_factory=Answering)
    served: Mapping[str, ServedModel] = field(default_factory=dict)
    summaries: Summaries = field(default_factory=Summaries)

    def writes(self, model: str) -> bool:
        """Whether a model writes what it is told to. One that the settings do not know is taken to."""
        known = self.served.get(model)
        return known is None or known.rewrites

    def rewrites(self, model: str) -> bool:
        """Whether follow-ups are rewritten by the model itself: only by one that the settings know."""
        known = self.served.get(model)
        return known is not None and known.rewrites

    def context_tokens(self, model: str) -> int:
        """The longest request of a model, its answer included, in tokens."""
        known = self.served.get(model)
        return self.answering.context_tokens if known is None else known.context_tokens

    async def say(self, request: ModelRequest) -> AsyncIterator[Token | Finished]:
        """Stream an answer. Closing the iterator stops the engine."""
        async with closing(self.model.stream(request)) as events:
            async for event in events:
                yield event

    async def listen(self, request: ModelRequest) -> Heard:
        """Read an answer to its end. Raises ProviderFailed for one without an end."""
        pieces: list[str] = []
        finished: Finished | None = None
        async with closing(self.say(request)) as events:
            async for event in events:
                match event:
                    case Token(text):
                        pieces.append(text)
                    case Finished():
                        finished = event
        if finished is None:
            raise ProviderFailed(model=request.model, reason="the stream ended before the answer did")
        return Heard("".join(pieces), finished)
