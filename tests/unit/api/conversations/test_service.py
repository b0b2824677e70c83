"""Conversations: opened, listed, read, deleted; turns recorded; history for the next question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from services.api.conversations.service import ConversationService, new_turn_id
from services.api.domain.conversation import ConversationId, Message, Turn
from services.foundation.errors import ConversationNotFound
from tests.fakes.storage import MemoryStorage, MemoryUnitOfWork


class SlowStorage(MemoryStorage):
    """Lets others run at the beginning of each unit of work, as a real database does."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryUnitOfWork]:
        await asyncio.sleep(0)
        async with super().begin() as work:
            yield work


@pytest.fixture
def service() -> ConversationService:
    return ConversationService(SlowStorage())


def turn(conversation: str | None, question: str = "问", answer: str = "答") -> Turn:
    ident = None if conversation is None else ConversationId(conversation)
    return Turn(new_turn_id(), ident, "llm_chat", question, answer, "[]", datetime.now(UTC))


async def test_a_conversation_is_opened_listed_and_read(service: ConversationService):
    made = await service.open("owner", "标题")
    other = await service.open("someone else", "x")
    assert len(made.id) == 32
    assert made.id != other.id
    assert await service.of_owner("owner") == [made]
    assert await service.read(made.id) == (made, [])


async def test_the_conversation_spoken_in_last_comes_first(service: ConversationService):
    first = await service.open("owner", "1")
    second = await service.open("owner", "2")
    await service.record(turn(first.id))
    assert [thread.id for thread in await service.of_owner("owner")] == [first.id, second.id]


async def test_deleting_takes_the_turns_along(service: ConversationService):
    made = await service.open("owner", "")
    await service.record(turn(made.id))
    await service.delete(made.id)
    for asking in (service.read, service.delete):
        with pytest.raises(ConversationNotFound):
            await asking(made.id)
    assert await service.history(made.id, turns=3) == ()


async def test_a_conversation_nobody_opened_is_opened_by_its_first_turn(service: ConversationService):
    await service.record(turn("from an old client", question="长" * 500))
    thread, turns = await service.read(ConversationId("from an old client"))
    assert (thread.owner, thread.title) == ("", "长" * 200)
    assert [kept.question for kept in turns] == ["长" * 500]


async def test_two_first_turns_at_once_are_both_kept(service: ConversationService):
    await asyncio.gather(*(service.record(turn("c", question=str(number))) for number in range(5)))
    _, turns = await service.read(ConversationId("c"))
    assert sorted(kept.question for kept in turns) == list("01234")


async def test_a_turn_without_a_conversation_is_kept_alone(service: ConversationService):
    await service.record(turn(None))
    assert await service.of_owner("") == []


async def test_history_is_the_last_answered_turns_oldest_first(service: ConversationService):
    made = await service.open("owner", "")
    for question, answer in (("一", "1"), ("二", "2"), ("空", ""), ("三", "3")):
        await service.record(turn(made.id, question, answer))
    assert await service.history(made.id, turns=2) == (
        Message("user", "二"),
        Message("assistant", "2"),
        Message("user", "三"),
        Message("assistant", "3"),
    )
    assert len(await service.history(made.id, turns=99)) == 6


@pytest.mark.parametrize("turns", [0, -1])
async def test_no_history_is_given_when_none_is_asked(service: ConversationService, turns: int):
    made = await service.open("owner", "")
    await service.record(turn(made.id))
    assert await service.history(made.id, turns=turns) == ()


async def test_an_unknown_conversation_has_no_history(service: ConversationService):
    assert await service.history(ConversationId("nowhere"), turns=3) == ()


def test_turn_ids_are_32_hex_digits():
    assert int(new_turn_id(), 16) >= 0
    assert len({new_turn_id() for _ in range(100)}) == 100
    assert len(new_turn_id()) == 32
