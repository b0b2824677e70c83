from __future__ import annotations

from collections.abc import AsyncIterator

from services.wire.openai import ChatChunk, ChatCompletionRequest
from services.worker.answers.choices import chat_choices
from services.worker.engines.echo import EchoEngine
from tests.contract.engine import spec


class Recording(EchoEngine):
    """Keeps what it was asked, and whether its answers were closed."""

    def __init__(self) -> None:
        super().__init__(spec())
        self.asked: list[ChatCompletionRequest] = []
        self.open_answers = 0

    def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        self.asked.append(request)
        return self._watched(super().chat(request))

    async def _watched(self, chunks: AsyncIterator[ChatChunk]) -> AsyncIterator[ChatChunk]:
        self.open_answers += 1
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            self.open_answers -= 1


def request(**fields: object) -> ChatCompletionRequest:
    messages = [{"role": "user", "content": "one two three"}]
    return ChatCompletionRequest.model_validate({"model": "m", "messages": messages, **fields})


async def test_each_choice_has_a_seed_of_its_own():
    engine = Recording()
    async for _ in chat_choices(engine, request(n=3, seed=5)):
        pass

    assert [(asked.n, asked.seed) for asked in engine.asked] == [(1, 5), (1, 6), (1, 7)]


async def test_without_seed_there_is_none():
    engine = Recording()
    async for _ in chat_choices(engine, request(n=2)):
        pass

    assert [asked.seed for asked in engine.asked] == [None, None]


async def test_closing_it_closes_the_engine():
    engine = Recording()
    chunks = chat_choices(engine, request(n=2))
    await anext(chunks)
    assert engine.open_answers == 1

    await chunks.aclose()

    assert engine.open_answers == 0
    assert len(engine.asked) == 1
