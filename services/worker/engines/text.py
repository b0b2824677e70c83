"""From pieces of text to chat chunks: stop strings, the token limit, usage. For engines that make text themselves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence

from services.foundation.errors import ContextTooLong
from services.foundation.sse import closing
from services.wire.openai import ChatChunk, ChatCompletionRequest, ChunkChoice, Delta, Usage, new_id

_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af]|[^\W_]+|[^\w\s]|_")


def tokens_of(text: str) -> list[str]:
    """The tokens of an engine without a tokenizer: an ideograph, kana or hangul, a word, or a punctuation mark each."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens `tokens_of` finds."""
    return sum(1 for _ in _TOKEN.finditer(text))


def check_length(request: ChatCompletionRequest, limit: int, count: Callable[[str], int] = count_tokens) -> int:
    """Count the request's tokens.

    Raises:
        ContextTooLong: more than `limit`.
    """
    tokens = sum(count(message.text) for message in request.messages)
    if tokens > limit:
        raise ContextTooLong(model=request.model, tokens=tokens, limit=limit)
    return tokens


async def chat_chunks(
    request: ChatCompletionRequest,
    pieces: AsyncIterator[str],
    *,
    prompt_tokens: int,
    count: Callable[[str], int] = count_tokens,
) -> AsyncIterator[ChatChunk]:
    """Wrap `pieces` as `ChatEngine.chat` promises: role, content, finish reason, usage.

    Text that could be the beginning of a stop string is held back until it is decided. The pieces' iterator is closed
    as soon as a stop string or the token limit ends the answer.
    """
    ident = new_id("chatcmpl")

    def chunk(delta: Delta, reason: str | None = None) -> ChatChunk:
        return ChatChunk(id=ident, model=request.model, choices=[ChunkChoice(delta=delta, finish_reason=reason)])

    yield chunk(Delta(role="assistant", content=""))
    written, reason = 0, "stop"
    held = StopFilter(request.stops)
    limit = request.token_limit
    async with closing(pieces):
        async for piece in pieces:
            for ready in _limited(held.feed(piece), limit, written, count):
                written += count(ready)
                yield chunk(Delta(content=ready))
            if held.stopped or (limit is not None and written >= limit):
                reason = "stop" if held.stopped else "length"
                break
        else:
            for ready in _limited(held.rest(), limit, written, count):
                written += count(ready)
                yield chunk(Delta(content=ready))
    yield chunk(Delta(), reason)
    usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=written, total_tokens=prompt_tokens + written)
    yield ChatChunk(id=ident, model=request.model, choices=[], usage=usage)


def _limited(text: str, limit: int | None, written: int, count: Callable[[str], int]) -> list[str]:
    if not text:
        return []
    if limit is None or written + count(text) <= limit:
        return [text]
    cut = text
    while cut and written + count(cut) > limit:
        cut = cut[:-1]
    return [cut] if cut else []


class StopFilter:
    """Passes text through until one of the stop strings appears; the stop string itself is not passed."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = list(stops)
        self._held = ""
        self.stopped = False

    def feed(self, piece: str) -> str:
        text = self._held + piece
        found = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-size:]):
            return size
    return 0
