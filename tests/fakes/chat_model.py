"""FakeChatModel: plays back queued answers, keeps what it was asked, and notices being closed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from services.api.domain.answering import Finished, ModelRequest, Token

Piece = str | Exception | asyncio.Event
"""A token, a failure to raise, or something to wait for."""


class FakeChatModel:
    """A `ChatModel` whose answers are given beforehand, one per request, in order.

    Attributes:
        requests: every request so far, as it came.
        closed: streams that have ended, however they ended.
        broken_off: those of them that were closed before their Finished was taken.
    """

    def __init__(self, *answers: str | Sequence[Piece]) -> None:
        self._answers = deque([answer] if isinstance(answer, str) else list(answer) for answer in answers)
        self.requests: list[ModelRequest] = []
        self.closed = 0
        self.broken_off = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[Token | Finished]:
        self.requests.append(request)
        if not self._answers:
            raise AssertionError("FakeChatModel was asked more often than it has answers")
        pieces = self._answers.popleft()
        whole = False
        try:
            for piece in pieces:
                match piece:
                    case Exception():
                        raise piece
                    case asyncio.Event():
                        await piece.wait()
                    case str():
                        await asyncio.sleep(0)
                        yield Token(piece)
            whole = True
            tokens = sum(1 for piece in pieces if isinstance(piece, str))
            yield Finished("stop", prompt_tokens=len(request.messages), completion_tokens=tokens)
        finally:
            self.closed += 1
            self.broken_off += not whole
