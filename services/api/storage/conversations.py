"""The repository of conversations and their turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.domain.conversation import Conversation, ConversationId, Turn, TurnId
from services.api.storage.failures import STORE, conflicts
from services.api.storage.tables import ConversationRecord, TurnRecord
from services.foundation.errors import ConversationNotFound, StoreFailed

_IDS_PER_STATEMENT = 500  # SQLite's limit of variables was 999 until 3.32


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

    async def restore(self, turns: Sequence[Turn]) -> int:
        """Append the turns whose ids are not kept yet; returns how many. Raises ConversationNotFound."""
        fresh = {turn.id: turn for turn in turns}
        ids = list(fresh)
        for at in range(0, len(ids), _IDS_PER_STATEMENT):
            asked = TurnRecord.id.in_(ids[at : at + _IDS_PER_STATEMENT])
            for known in await self._session.scalars(select(TurnRecord.id).where(asked)):
                del fresh[TurnId(known)]
        if not fresh:
            return 0
        taken = StoreFailed(store=STORE, reason="a turn of that id exists already")
        absent = ConversationNotFound(id=", ".join(sorted({str(turn.conversation_id) for turn in fresh.values()})))
        with conflicts(taken=taken, absent=absent):
            await self._session.execute(insert(TurnRecord), [dataclasses.asdict(turn) for turn in fresh.values()])
        last = {turn.conversation_id: turn.created_at for turn in sorted(fresh.values(), key=lambda t: t.created_at)}
        for thread, spoken_at in last.items():
            await self._session.execute(
                update(ConversationRecord)
                .where(ConversationRecord.id == thread, ConversationRecord.updated_at < spoken_at)
                .values(updated_at=spoken_at)
            )
        return len(fresh)

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
