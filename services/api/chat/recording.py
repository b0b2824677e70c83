"""Keeps each turn, whole or broken off, in its conversation. Wraps the events of an answer on their way out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.api.chat.render import citations_json
from services.api.domain.answering import ChatEvent, Citations, Token
from services.api.domain.conversation import ConversationId, Turn, TurnId
from services.foundation.sse import closing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TurnHead:
    """What is known of a turn before it is answered. `base_url` stands before the links of its citations."""

    id: TurnId
    conversation_id: ConversationId | None
    chat_type: str
    question: str
    base_url: str


class Recorder:
    """Writes turns through `write`; a client that leaves mid-answer does not lose what was said so far."""

    def __init__(self, write: Callable[[Turn], Awaitable[None]]) -> None:
        self._write = write
        self._writing: set[asyncio.Task[None]] = set()

    async def recorded(self, events: AsyncIterator[ChatEvent], head: TurnHead) -> AsyncIterator[ChatEvent]:
        """Pass the events on and keep the turn when they end, however they end."""
        pieces: list[str] = []
        cited = Citations("", ())
        try:
            async with closing(events):
                async for event in events:
                    match event:
                        case Token(text):
                            pieces.append(text)
                        case Citations():
                            cited = event
                    yield event
        finally:
            if head.conversation_id is not None:
                self._keep(head, "".join(pieces), cited)

    def _keep(self, head: TurnHead, answer: str, cited: Citations) -> None:
        turn = Turn(
            id=head.id,
            conversation_id=head.conversation_id,
            chat_type=head.chat_type,
            question=head.question,
            answer=answer,
            citations=citations_json(cited.citations, head.base_url),
            created_at=datetime.now(UTC),
        )
        # A task of its own: the request may be cancelled at this very moment.
        task = asyncio.create_task(self._logged(turn))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _logged(self, turn: Turn) -> None:
        try:
            await self._write(turn)
        except Exception:
            log.exception("turn %s could not be kept", turn.id)

    async def settle(self) -> None:
        """Wait for turns that are being written."""
        await asyncio.gather(*self._writing)
