"""The conversation service: open, list, read, delete, and record turns. Chat and the conversation routes call it."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime

from services.api.domain.conversation import Conversation, ConversationId, Message, Turn, TurnId
from services.api.domain.ports import Storage
from services.foundation.errors import ConversationNotFound

_TITLE_CHARS = 200


class ConversationService:
    """Keeps conversations. Knowing a conversation's random id is what gives access to it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._opening = asyncio.Lock()

    async def open(self, owner: str, title: str) -> Conversation:
        """Begin a conversation."""
        return await self._open(ConversationId(secrets.token_hex(16)), owner, title)

    async def _open(self, ident: ConversationId, owner: str, title: str) -> Conversation:
        now = datetime.now(UTC)
        made = Conversation(ident, owner, title[:_TITLE_CHARS], now, now)
        async with self._storage.begin() as work:
            await work.conversations.open(made)
        return made

    async def of_owner(self, owner: str) -> list[Conversation]:
        """An owner's conversations, the latest first."""
        async with self._storage.begin() as work:
            return await work.conversations.of_owner(owner)

    async def read(self, ident: ConversationId) -> tuple[Conversation, list[Turn]]:
        """A conversation with its turns, oldest first. Raises ConversationNotFound."""
        async with self._storage.begin() as work:
            return await work.conversations.get(ident), await work.conversations.turns(ident)

    async def delete(self, ident: ConversationId) -> None:
        """Delete a conversation and its turns. Raises ConversationNotFound."""
        async with self._storage.begin() as work:
            await work.conversations.get(ident)
            await work.conversations.remove(ident)

    async def history(self, ident: ConversationId, *, turns: int) -> tuple[Message, ...]:
        """The messages of the last `turns` answered turns, oldest first; empty for an unknown conversation."""
        try:
            _, kept = await self.read(ident)
        except ConversationNotFound:
            return ()
        answered = [turn for turn in kept if turn.answer][-turns:] if turns > 0 else []
        return tuple(
            message
            for turn in answered
            for message in (Message("user", turn.question), Message("assistant", turn.answer))
        )

    async def record(self, turn: Turn) -> None:
        """Keep a turn. A conversation that nobody opened is opened without an owner, as 0.2.10 clients expect."""
        if turn.conversation_id is not None:
            async with self._opening:  # two first turns at once must not both open it
                try:
                    await self.read(turn.conversation_id)
                except ConversationNotFound:
                    await self._open(turn.conversation_id, "", turn.question)
        async with self._storage.begin() as work:
            await work.conversations.add_turn(turn)


def new_turn_id() -> TurnId:
    """A fresh turn id, 32 hex digits: 0.2.10's message_id."""
    return TurnId(secrets.token_hex(16))
