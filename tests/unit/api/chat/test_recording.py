"""Turns are kept when they end, however they end."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from services.api.chat.answering import Grounded, Plain
from services.api.chat.contexts import KnowledgeContext, Reach
from services.api.chat.recording import Recorder, TurnHead
from services.api.domain.answering import Question, Token
from services.api.domain.conversation import ConversationId, Turn, TurnId
from services.foundation.errors import NoWorker
from tests.fakes.chat_model import FakeChatModel
from tests.unit.api.chat.samples import BASE, ListRetriever, hit, speaker

HEAD = TurnHead(TurnId("t" * 32), ConversationId("c"), "llm_chat", "问", "http://api/")


class Kept:
    """What a recorder writes to; may be slow or broken."""

    def __init__(self, *, broken: bool = False) -> None:
        self.turns: list[Turn] = []
        self._broken = broken

    async def write(self, turn: Turn) -> None:
        await asyncio.sleep(0)
        if self._broken:
            raise OSError("disk full")
        self.turns.append(turn)


def recorded(kept: Kept, model: FakeChatModel, head: TurnHead = HEAD) -> tuple[Recorder, Any]:
    recorder = Recorder(kept.write)
    return recorder, recorder.recorded(Plain(speaker(model)).answer(Question("问", "m")), head)


async def test_a_whole_turn_is_kept_and_passed_on_unchanged():
    kept = Kept()
    recorder, events = recorded(kept, FakeChatModel(["你", "好"]))
    assert [event.text async for event in events if isinstance(event, Token)] == ["你", "好"]
    await recorder.settle()
    (turn,) = kept.turns
    assert (turn.id, turn.conversation_id, turn.chat_type) == (HEAD.id, "c", "llm_chat")
    assert (turn.question, turn.answer, turn.citations) == ("问", "你好", "[]")
    assert turn.created_at.tzinfo is not None


async def test_citations_are_kept_as_they_were_sent():
    kept = Kept()
    recorder = Recorder(kept.write)
    context = KnowledgeContext(ListRetriever(hit("甲")), [BASE], Reach(1))
    answer = Grounded(speaker(FakeChatModel("答")), context).answer(Question("问", "m"))
    async for _ in recorder.recorded(answer, HEAD):
        pass
    await recorder.settle()
    (citation,) = json.loads(kept.turns[0].citations)
    assert (citation["number"], citation["excerpt"], citation["page"]) == (1, "甲", 3)
    assert citation["url"].startswith("http://api/knowledge_base/download_doc?")


async def test_a_turn_broken_off_keeps_what_was_said_and_closes_the_model():
    kept, model = Kept(), FakeChatModel(["一", "二", "三"])
    recorder, events = recorded(kept, model)
    await anext(events)
    await anext(events)
    await events.aclose()
    await recorder.settle()
    assert kept.turns[0].answer == "一二"
    assert model.broken_off == 1


async def test_a_turn_of_a_cancelled_request_is_kept():
    kept, model = Kept(), FakeChatModel(["一", asyncio.Event()])
    recorder, events = recorded(kept, model)

    async def consume() -> None:
        async for _ in events:
            pass

    request = asyncio.create_task(consume())
    while model.requests == [] or model.closed == 0:
        await asyncio.sleep(0.001)
        request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await recorder.settle()
    assert len(kept.turns) == 1
    assert model.broken_off == 1


async def test_a_failed_turn_keeps_what_was_said_and_still_fails():
    kept = Kept()
    recorder, events = recorded(kept, FakeChatModel(["一", NoWorker(model="m")]))
    await anext(events)
    with pytest.raises(NoWorker):
        await anext(events)
    await recorder.settle()
    assert kept.turns[0].answer == "一"


async def test_without_a_conversation_nothing_is_kept():
    kept = Kept()
    recorder, events = recorded(kept, FakeChatModel("x"), TurnHead(HEAD.id, None, "llm_chat", "问", ""))
    assert len([event async for event in events]) == 2
    await recorder.settle()
    assert kept.turns == []


async def test_a_store_that_fails_does_not_fail_the_answer(caplog: pytest.LogCaptureFixture):
    recorder, events = recorded(Kept(broken=True), FakeChatModel("x"))
    with caplog.at_level(logging.ERROR):
        assert len([event async for event in events]) == 2
        await recorder.settle()
    assert "could not be kept" in caplog.text
