"""A provider's chat stream, made to keep what `ChatEngine.chat` promises. Used by the remote engines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from services.foundation.errors import ProviderFailed
from services.wire.openai import ChatChunk, ChunkChoice, Delta, Usage, new_id
from services.worker.engines.text import count_tokens


async def as_promised(
    model: str, prompt_tokens: int, chunks: AsyncGenerator[ChatChunk, None]
) -> AsyncGenerator[ChatChunk, None]:
    """A role chunk of its own first, one choice, and a usage chunk last.

    Where the provider reports no usage it is counted with `count_tokens`.

    Raises:
        ProviderFailed: the stream ended before the answer did.
    """
    ident, usage, finished, text = new_id("chatcmpl"), None, False, ""
    begun = False
    async with aclosing(chunks):
        async for chunk in chunks:
            if not begun:
                begun = True
                opening = ChunkChoice(delta=Delta(role="assistant", content=""))
                yield ChatChunk(id=ident, model=model, choices=[opening])
            usage = chunk.usage or usage
            for choice in chunk.choices[:1]:
                choice.delta.role = None
                finished = finished or choice.finish_reason is not None
                text += choice.delta.content or ""
                if _says_something(choice):
                    yield ChatChunk(id=ident, model=model, choices=[choice])
    if not finished:
        raise ProviderFailed(model=model, reason="its stream ended before the answer did")
    written = count_tokens(text)
    counted = Usage(prompt_tokens=prompt_tokens, completion_tokens=written, total_tokens=prompt_tokens + written)
    yield ChatChunk(id=ident, model=model, choices=[], usage=usage or counted)


def _says_something(choice: ChunkChoice) -> bool:
    extras = (choice.delta.model_extra or {}).values()
    return bool(choice.finish_reason or choice.delta.content or any(value is not None for value in extras))
