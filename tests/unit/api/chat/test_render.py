"""Goldens: the text of 0.2.10's events and of OpenAI's, character by character."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.api.chat.contexts import KnowledgeContext, Reach
from services.api.chat.render import (
    NOTHING_FOUND,
    chat_events,
    citation_body,
    citations_json,
    collect,
    knowledge_events,
    openai_completion,
    openai_events,
)
from services.api.domain.answering import ChatEvent, Citations, Finished, Token
from services.api.domain.knowledge import Place
from services.foundation.errors import NoWorker
from services.wire.openai import ChatChunk, ChatCompletion
from tests.unit.api.chat.samples import BASE, ListRetriever, hit

API = "http://127.0.0.1:7861/"
CITED = KnowledgeContext(ListRetriever(), [BASE], Reach(3)).cite(
    [hit('甲 "一"'), hit("乙", file="b&c.md", place=Place(heading=("总则",)), similarity=1.0)]
)
LINK = "knowledge_base/download_doc?knowledge_base_name=%E4%BA%A7%E5%93%81+%E6%89%8B%E5%86%8C&file_name="
PDF = "%E8%AF%B4%E6%98%8E+%E4%B9%A6.pdf"
DOCS = [
    f'出处 [1] [说明 书.pdf]({API}{LINK}{PDF}) \n\n甲 "一"\n\n',
    f"出处 [2] [b&c.md]({API}{LINK}b%26c.md) \n\n乙\n\n",
]


class Events:
    """An answer's events; knows whether it was closed."""

    def __init__(self, *events: ChatEvent | Exception) -> None:
        self._events = events
        self.closed = False

    async def stream(self) -> AsyncIterator[ChatEvent]:
        try:
            for event in self._events:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed = True


def answer(*cited: Any) -> AsyncIterator[ChatEvent]:
    return Events(Citations("独立的问题", cited), Token("你"), Token('好"'), Finished("stop", 10, 2)).stream()


async def lines(events: AsyncIterator[str]) -> list[str]:
    return [line async for line in events]


async def test_chat_stream():
    assert await lines(chat_events(answer(), "0" * 32, stream=True)) == [
        '{"text": "你", "message_id": "00000000000000000000000000000000"}',
        '{"text": "好\\"", "message_id": "00000000000000000000000000000000"}',
    ]


async def test_chat_whole_is_one_event():
    assert await lines(chat_events(answer(), "0" * 32, stream=False)) == [
        '{"text": "你好\\"", "message_id": "00000000000000000000000000000000"}'
    ]


async def test_knowledge_stream_ends_with_the_sources():
    first, second, last = await lines(knowledge_events(answer(*CITED), API, stream=True))
    assert (first, second) == ('{"answer": "你"}', '{"answer": "好\\""}')
    body = json.loads(last)
    assert list(body) == ["docs", "citations", "query"]
    assert body["docs"] == DOCS
    assert body["query"] == "独立的问题"
    assert last.startswith('{"docs": ["出处 [1] [说明 书.pdf](http://127.0.0.1:7861/knowledge_base/download_doc?')
    assert '\\n\\n甲 \\"一\\"\\n\\n", "出处 [2] [b&c.md](' in last


async def test_knowledge_whole_is_one_event():
    (line,) = await lines(knowledge_events(answer(*CITED), API, stream=False))
    assert line.startswith('{"answer": "你好\\"", "docs": ["出处 [1]')
    assert list(json.loads(line)) == ["answer", "docs", "citations", "query"]


@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_found_is_marked_as_0_2_10_did(stream: bool):
    *_, last = await lines(knowledge_events(answer(), API, stream=stream))
    assert json.loads(last)["docs"] == ["<span style='color:red'>未找到相关文档,该回答为大模型自身能力解答！</span>"]
    assert NOTHING_FOUND in last
    assert json.loads(last)["citations"] == []


async def test_no_event_holds_a_line_break():
    cited = KnowledgeContext(ListRetriever(), [BASE], Reach(1)).cite([hit("甲\r\n乙\n\n丙")])
    events = Events(Citations("q", cited), Token("一\n\n二\r三"), Finished("stop")).stream()
    for line in await lines(knowledge_events(events, API, stream=True)):
        assert "\n" not in line
        assert "\r" not in line


def test_a_citation_as_structure():
    first, second = (citation_body(citation, API).model_dump() for citation in CITED)
    assert first == {
        "number": 1,
        "knowledge_base": "产品 手册",
        "file_name": "说明 书.pdf",
        "page": 3,
        "sheet": None,
        "row": None,
        "last_row": None,
        "heading": [],
        "excerpt": '甲 "一"',
        "similarity": 0.9123,
        "chunk_id": "c" * 32,
        "url": f"{API}{LINK}{PDF}&preview=true#page=3",
    }
    assert second["heading"] == ["总则"]
    assert second["url"] == f"{API}{LINK}b%26c.md&preview=true"


def test_citations_as_they_are_kept():
    kept = citations_json(CITED, API)
    assert "甲" in kept
    assert json.loads(kept) == [citation_body(citation, API).model_dump() for citation in CITED]
    assert citations_json((), API) == "[]"


async def openai(*, include_usage: bool) -> list[str]:
    return await lines(openai_events(answer(*CITED), "qwen", API, include_usage=include_usage))


async def test_openai_stream_is_openais():
    *texts, done = await openai(include_usage=False)
    assert done == "[DONE]"
    chunks = [ChatChunk.model_validate_json(text) for text in texts]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.model == "qwen" and chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert [chunk.choices[0].delta.model_dump(exclude_none=True) for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "你"},
        {"content": '好"'},
        {},
    ]
    bodies = [json.loads(text) for text in texts]
    assert [body["choices"][0]["finish_reason"] for body in bodies] == [None, None, None, "stop"]
    assert all(body["choices"][0]["index"] == 0 for body in bodies)
    assert all("usage" not in body for body in bodies)
    assert [len(body.get("citations", [])) for body in bodies] == [0, 0, 0, 2]
    assert '"content": "你"' in texts[1]


async def test_openai_usage_comes_last_and_only_when_asked_for():
    *texts, done = await openai(include_usage=True)
    assert done == "[DONE]"
    last = json.loads(texts[-1])
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    assert all("usage" not in json.loads(text) for text in texts[:-1])


async def test_openai_whole():
    completion = openai_completion(await collect(answer(*CITED)), "qwen", API)
    body = completion.model_dump()
    assert ChatCompletion.model_validate(body) == completion
    assert body["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": '你好"'}, "finish_reason": "stop"}
    ]
    assert body["usage"]["total_tokens"] == 12
    assert [citation["number"] for citation in body["citations"]] == [1, 2]


async def test_collect_reads_to_the_end():
    whole = await collect(answer(*CITED))
    assert (whole.text, whole.query, whole.citations) == ('你好"', "独立的问题", CITED)
    assert whole.finished == Finished("stop", 10, 2)


def every_render(events: AsyncIterator[ChatEvent], *, stream: bool = True) -> list[Any]:
    return [
        chat_events(events, "m", stream=stream),
        knowledge_events(events, API, stream=stream),
        openai_events(events, "m", API, include_usage=True),
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_failure_passes_through_after_what_was_said(number: int):
    source = Events(Token("一"), NoWorker(model="m"))
    render = every_render(source.stream())[number]
    while "一" not in await anext(render):
        pass
    with pytest.raises(NoWorker):
        await anext(render)
    assert source.closed


@pytest.mark.parametrize("number", [0, 1])
async def test_a_failure_passes_through_a_whole_answer_too(number: int):
    with pytest.raises(NoWorker):
        await lines(every_render(Events(Token("一"), NoWorker(model="m")).stream(), stream=False)[number])


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_closing_the_render_closes_the_answer(number: int):
    source = Events(Token("一"), Token("二"), Finished("stop"))
    render = every_render(source.stream())[number]
    while "一" not in await anext(render):
        pass
    await render.aclose()
    assert source.closed


async def test_no_file_name_ends_the_text_of_its_link():
    context = KnowledgeContext(ListRetriever(), [BASE], Reach(3))
    named = answer(*context.cite([hit("x", file="a](b) [c].md")]))
    (line,) = [line async for line in knowledge_events(named, API, stream=False)]
    (document,) = json.loads(line)["docs"]
    assert document.startswith(f"出处 [1] [a]\\(b) [c].md]({API}{LINK}a%5D%28b%29+%5Bc%5D.md)")
