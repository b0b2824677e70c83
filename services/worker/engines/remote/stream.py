"""A provider's chat stream, made to keep what `ChatEngine.chat` promises. Used by the remote engines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from pydantic import ValidationError

from services.foundation.errors import ProviderFailed
from services.foundation.sse import closing, read_events, split_lines
from services.wire.openai import ChatChunk, ChatCompletionRequest, ChunkChoice, Delta, Usage, new_id
from services.worker.engines.remote.chunks import BrokenOff, ChunkReader
from services.worker.engines.remote.failures import AnswerReader
from services.worker.engines.text import count_tokens

_DONE = "[DONE]"


async def read_chunks(body: AsyncIterator[bytes], reader: AnswerReader) -> AsyncGenerator[ChatChunk, None]:
    """The chunks of an event stream, as the provider gave them.

    Raises:
        ChatchatError: what a failure reported inside the stream means.
        ProviderFailed: an event is no chunk, or this is no event stream.
    """
    chunks = ChunkReader()
    async with closing(_events(body, reader)) as events:
        async for text in events:
            if text.strip() == _DONE:
                yield chunks.rest()
                return
            try:
                yield chunks.read(reader.read(text))
            except ValidationError as failure:
                raise reader.misshapen(failure) from None
            except BrokenOff as reason:
                raise reader.failed(f"it broke off the answer: {reason}") from None


async def _events(body: AsyncIterator[bytes], reader: AnswerReader) -> AsyncGenerator[str, None]:
    """The events of a stream. A body that is JSON instead says what is wrong."""
    first = await anext(body, b"")
    if first.lstrip()[:1] in {b"{", b"["}:
        reader.read(first + b"".join([piece async for piece in body]))
        raise reader.failed("it answered at once instead of in a stream")

    async def whole() -> AsyncGenerator[bytes, None]:
        yield first
        async for piece in body:
            yield piece

    async for text in read_events(split_lines(whole())):
        yield text


async def as_promised(
    request: ChatCompletionRequest, prompt_tokens: int, chunks: AsyncGenerator[ChatChunk, None]
) -> AsyncGenerator[ChatChunk, None]:
    """A role chunk of its own first for each choice, one chunk that finishes it, and a usage chunk last.

    Where the provider reports no usage it is counted with `count_tokens`.

    Raises:
        ProviderFailed: the stream ended before every answer did.
    """
    ident, usage, text = new_id("chatcmpl"), None, ""
    begun: set[int] = set()
    finished: set[int] = set()
    async with closing(chunks):
        async for chunk in chunks:
            usage = chunk.usage or usage
            for place in {choice.index for choice in chunk.choices or [ChunkChoice(delta=Delta())]} - begun:
                begun.add(place)
                opening = ChunkChoice(index=place, delta=Delta(role="assistant", content=""))
                yield ChatChunk(id=ident, model=request.model, choices=[opening])
            kept = [choice for choice in chunk.choices if _goes_on(choice, finished)]
            finished |= {choice.index for choice in kept if choice.finish_reason is not None}
            text += "".join(choice.delta.content or "" for choice in kept)
            if kept:
                changes = {"id": ident, "model": request.model, "choices": kept, "usage": None}
                yield chunk.model_copy(update=changes)
    if len(finished) < request.n or not begun <= finished:
        raise ProviderFailed(model=request.model, reason="its stream ended before the answer did")
    written = count_tokens(text)
    counted = Usage(prompt_tokens=prompt_tokens, completion_tokens=written, total_tokens=prompt_tokens + written)
    yield ChatChunk(id=ident, model=request.model, choices=[], usage=usage or counted)


def _goes_on(choice: ChunkChoice, finished: set[int]) -> bool:
    """Whether a choice says something new; its role is taken away, which has been said."""
    choice.delta.role = None
    if choice.index in finished:
        return False
    extras = [*(choice.delta.model_extra or {}).values(), *(choice.model_extra or {}).values()]
    return bool(choice.finish_reason or choice.delta.content or any(value not in (None, "", []) for value in extras))
