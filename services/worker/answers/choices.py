"""From an engine's single answers to what a request asks for: n choices, text completions. Used by the routes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from services.foundation.errors import InvalidRequest
from services.foundation.sse import closing
from services.wire.openai import (
    ChatChunk,
    ChatCompletionRequest,
    ChatMessage,
    Completion,
    CompletionRequest,
    SamplingRequest,
    TextChoice,
    Usage,
    new_id,
)
from services.worker.engines.base import ChatEngine

STOP_LIMIT = 16
PROMPT_LIMIT = 64


def check_sampling(request: SamplingRequest) -> None:
    """Refuse what would only cost time.

    Raises:
        InvalidRequest: too many stop strings.
    """
    if len(request.stops) > STOP_LIMIT:
        raise InvalidRequest(field="stop", reason=f"{len(request.stops)} stop strings are more than {STOP_LIMIT}")


async def chat_choices(engine: ChatEngine, request: ChatCompletionRequest) -> AsyncGenerator[ChatChunk, None]:
    """Run the engine once per choice, one after the other; the chunks share an id, one usage chunk ends them.

    Prompt tokens count once, as OpenAI counts them. A given seed is moved on by one for each choice.
    """
    ident, prompt_tokens, completion_tokens = new_id("chatcmpl"), 0, 0
    for place in range(request.n):
        run = engine.chat(_single(request, place))
        async with closing(run):
            async for chunk in run:
                if chunk.usage is not None:
                    prompt_tokens = chunk.usage.prompt_tokens
                    completion_tokens += chunk.usage.completion_tokens
                if chunk.choices:
                    yield _relabelled(chunk, ident, request.model, place)
    usage = Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )
    yield ChatChunk(id=ident, model=request.model, choices=[], usage=usage)


def _single(request: ChatCompletionRequest, place: int) -> ChatCompletionRequest:
    if request.n == 1:
        return request
    seed = None if request.seed is None else request.seed + place
    return request.model_copy(update={"n": 1, "seed": seed})


def _relabelled(chunk: ChatChunk, ident: str, model: str, place: int) -> ChatChunk:
    moved = [choice.model_copy(update={"index": place}) for choice in chunk.choices]
    return chunk.model_copy(update={"id": ident, "model": model, "choices": moved, "usage": None})


def prompts_of(request: CompletionRequest) -> list[str]:
    """The prompts of a completion request.

    Raises:
        InvalidRequest: there is none, one is empty, or there are too many.
    """
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    if not prompts or not all(prompts):
        raise InvalidRequest(field="prompt", reason="it is empty")
    if len(prompts) > PROMPT_LIMIT:
        raise InvalidRequest(field="prompt", reason=f"{len(prompts)} prompts are more than {PROMPT_LIMIT}")
    return prompts


async def text_choices(engine: ChatEngine, request: CompletionRequest) -> AsyncGenerator[Completion, None]:
    """Complete each prompt as a chat with that one user message; n choices a prompt, a last event with the usage."""
    ident, total = new_id("cmpl"), Usage()

    def event(index: int, text: str, reason: str | None = None) -> Completion:
        choice = TextChoice(index=index, text=text, finish_reason=reason)
        return Completion(id=ident, model=request.model, choices=[choice])

    for number, prompt in enumerate(prompts_of(request)):
        if request.echo:
            for place in range(request.n):
                yield event(number * request.n + place, prompt)
        run = chat_choices(engine, _as_chat(request, prompt))
        async with closing(run):
            async for chunk in run:
                total = _sum(total, chunk.usage)
                for choice in chunk.choices:
                    if choice.delta.content or choice.finish_reason:
                        index = number * request.n + choice.index
                        yield event(index, choice.delta.content or "", choice.finish_reason)
    yield Completion(id=ident, model=request.model, choices=[], usage=total)


def _as_chat(request: CompletionRequest, prompt: str) -> ChatCompletionRequest:
    shared = request.model_dump(exclude_unset=True, exclude={"prompt", "echo"})
    message = ChatMessage(role="user", content=prompt)
    return ChatCompletionRequest.model_validate({**shared, "messages": [message]})


def _sum(total: Usage, more: Usage | None) -> Usage:
    if more is None:
        return total
    return Usage(
        prompt_tokens=total.prompt_tokens + more.prompt_tokens,
        completion_tokens=total.completion_tokens + more.completion_tokens,
        total_tokens=total.total_tokens + more.total_tokens,
    )
