"""The repository of conversations and their turns."""

from __future__ import annotations

import dataclasses

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.domain.conversation import Conversation, ConversationId, Turn, TurnId
from services.api.storage.failures import STORE, conflicts
from services.api.storage.tables import ConversationRecord, TurnRecord
from services.foundation.errors import ConversationNotFound, StoreFailed


class SqlConversations:
    """Threads and their turns."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open(self, conversation: Conversation) -> None:
        await self._session.execute(insert(ConversationRecord).values(dataclasses.asdict(conversation)))

    async def get(self, id: ConversationId) -> Conversation:  # noqa: A002 - the field's name
        row = await self._session.scalar(select(ConversationRecord).where(ConversationRecord.id == id))
        if row is None:
            raise ConversationNotFound(id=id)
        return _conversation(row)

    async def of_owner(self, owner: str) -> list[Conversation]:
        """The owner's conversations, the one last spoken in first."""
        wanted = (
            select(ConversationRecord)
            .where(ConversationRecord.owner == owner)
            .order_by(ConversationRecord.updated_at.desc(), ConversationRecord.id)
        )
        return [_conversation(row) for row in await self._session.scalars(wanted)]

    async def remove(self, id: ConversationId) -> None:  # noqa: A002
        await self._session.execute(delete(ConversationRecord).where(ConversationRecord.id == id))

    async def add_turn(self, turn: Turn) -> None:
        """Append a turn; its conversation, if it has one, was then last spoken in."""
        if turn.conversation_id is not None:
            touched = await self._session.scalar(
                update(ConversationRecord)
                .where(ConversationRecord.id == turn.conversation_id)
                .values(updated_at=turn.created_at)
                .returning(ConversationRecord.id)
            )
            if touched is None:
                raise ConversationNotFound(id=turn.conversation_id)
        taken = StoreFailed(store=STORE, reason="a turn of that id exists already")
        with conflicts(taken=taken, absent=ConversationNotFound(id=turn.conversation_id)):
            await self._session.execute(insert(TurnRecord).values(dataclasses.asdict(turn)))

    async def turns(self, id: ConversationId) -> list[Turn]:  # noqa: A002
        wanted = select(TurnRecord).where(TurnRecord.conversation_id == id).order_by(TurnRecord.sequence)
        return [_turn(row) for row in await self._session.scalars(wanted)]


def _conversation(row: ConversationRecord) -> Conversation:
    return Conversation(
        id=ConversationId(row.id),
        owner=row.owner,
        title=row.title,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _turn(row: TurnRecord) -> Turn:
    return Turn(
        id=TurnId(row.id),
        conversation_id=None if row.conversation_id is None else ConversationId(row.conversation_id),
        chat_type=row.chat_type,
        question=row.question,
        answer=row.answer,
        citations=row.citations,
        created_at=row.created_at,
    )
